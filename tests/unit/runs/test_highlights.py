"""The end of a run: the largest gains and the items that failed most, in constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refinecli.data.output_lines import Outcome
from refinecli.display.closing import comparison, failures
from refinecli.runs.highlights import Highlights
from tests.support.report_files import failed_row, graded_row
from tests.support.report_files import row as refined_row


def outcome(number: int, scores: Sequence[Any], **fields: Any) -> Outcome:
    record = refined_row(number, scores, **fields)
    return Outcome(record, "done", record["score"], record["refinement"]["iterations"][0]["score"])


def seen(*outcomes: Outcome) -> Highlights:
    highlights = Highlights()
    for one in outcomes:
        highlights.add(one)
    return highlights


def said(highlights: Highlights, width: int = 100) -> list[str]:
    return ["".join(text for text, _ in line) for line in comparison(highlights, width)]


def test_answers_are_counted_by_what_became_of_them() -> None:
    worse = outcome(2, [1.0, 0.0], best=1)  # as a loop without a grader may end
    ungraded = Outcome(refined_row(3, [None, 1.0]), "done", 1.0, None)
    found = seen(outcome(0, [0.0, 1.0]), outcome(1, [1.0, 0.5]), worse, ungraded)
    assert said(found)[0] == "answers: 1 better than at first, 1 equal, 1 worse"


def test_the_largest_gains_are_shown_with_their_texts_and_what_was_mended() -> None:
    gains = [0.25, 1.0, 0.5, 0.0, 0.75, 0.5]
    rows = [outcome(n, [1 - gain, 1.0]) for n, gain in enumerate(gains)]
    assert [pair.id for pair in seen(*rows).largest] == ["dp-1", "dp-4", "dp-2"]
    two = outcome(7, [[0.0, 1.0], [1.0, 1.0]], items=({}, {}), texts=("OLD\ntext", "NEW"))
    assert said(seen(two))[1:] == [
        "  dp-7  0.5 → 1 · mended: way-0",
        "  - OLD text",
        "  + NEW",
    ]


def test_lines_are_cut_to_the_width_and_text_is_cleaned() -> None:
    found = seen(outcome(0, [0.0, 1.0], texts=("\x1b[31mred" + "x" * 300, "界" * 200)))
    lines = said(found, 40)
    assert all(len(line) <= 40 for line in lines[1:])
    assert "\x1b" not in "".join(lines)
    assert lines[2].endswith("…")
    assert lines[3].rstrip("… ") == "  + " + "界" * 17  # two columns each


def test_where_nothing_was_tried_there_is_nothing_to_compare() -> None:
    assert said(seen(outcome(0, [1.0]), outcome(1, [0.0]))) == []


def test_items_are_counted_by_the_rows_they_failed_in() -> None:
    rows = [
        outcome(0, [[0.0, 1.0], [0.0, 0.0]], items=({}, {}), best=1),
        Outcome(graded_row(1, 0.0), "done", 0.0),
        Outcome(graded_row(2, 1.0), "done", 1.0),
        Outcome(graded_row(3, None), "ungraded"),  # ungraded is not failed
        Outcome(failed_row(4), "failed"),
    ]
    assert failures(seen(*rows)) == "failed most, of 4 rows: way-0 2, way-1 1"
    assert failures(seen(rows[2])) == ""


def test_memory_does_not_grow_with_names() -> None:
    items = [[{"name": f"item-{n}-{k}"} for k in range(10)] for n in range(300)]
    found = seen(*(outcome(n, [[0.0] * 10], items=some) for n, some in enumerate(items)))
    assert len(found.failures) == 1000

"""What is written can be read back: the records of an output line, and which lines failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from refinecli.data.output_lines import Provenance, graded, refined
from refinecli.data.rows import read_row
from refinecli.data.stored_rows import has_failed, stored_row
from refinecli.errors import InputError
from refinecli.text.json_text import dumps
from refinecli.types import Iteration, JSONObject, Refinement, Usage
from tests.support.fakes import datapoint
from tests.support.report_files import failed_row, graded_row, row
from tests.unit.data.test_output_lines import USAGE, WHOLE, a_refinement

MADE_WITH = Provenance({"policy": "m"}, "digest", {"refine.threshold": 0.5})
RAW: JSONObject = {
    "id": 1,
    "convo": [{"role": "user", "content": "Hi"}],
    "rubric_items": [{"rubric_str": "Is it kind?", "name": "tone"}],
}


def without_extras(refinement: Refinement) -> Refinement:
    """The record without the part of the usage that is not written."""
    iterations = tuple(replace(one, grading=Usage()) for one in refinement.iterations)
    return replace(refinement, iterations=iterations)


def test_a_refinement_is_read_back_as_it_was_written() -> None:
    written = refined(dict(RAW), a_refinement(), MADE_WITH).record
    read = stored_row(read_row(dumps(written), 1, "out.jsonl"), "out.jsonl")
    assert read.refinement == without_extras(a_refinement())
    assert read.graded is None
    assert (read.models, read.shaped_by("refine.threshold")) == ({"policy": "m"}, 0.5)


def test_grades_are_read_back_as_they_were_written() -> None:
    point = datapoint(response="Hello!")
    raw = dict(RAW) | {"response": "Hello!"}
    written = graded(raw, point, (WHOLE,), USAGE, MADE_WITH).record
    read = stored_row(read_row(dumps(written), 1, "out.jsonl"), "out.jsonl")
    assert isinstance(read.graded, Iteration)
    assert (read.graded.response, read.graded.grades) == ("Hello!", (WHOLE,))


@pytest.mark.parametrize(
    "broken", [{"iterations": 3}, {"best_iteration": 7}, {"strategy": "magic"}, {"usage": {"x": 1}}]
)
def test_odd_results_are_an_error_with_their_place(broken: JSONObject) -> None:
    made = row(0, [1.0])
    made["refinement"] |= broken
    with pytest.raises(InputError) as caught:
        stored_row(read_row(dumps(made), 7, "out.jsonl"), "out.jsonl")
    assert caught.value.where == "out.jsonl:7"


PASSED = graded_row(0, 1.0)
PASSED["grading"]["passed"] = True


@pytest.mark.parametrize(
    ("line", "item", "expected"),
    [
        (PASSED, None, False),
        (PASSED, "way-0", False),
        (graded_row(0, 0.0), None, True),  # it does not say that it passed
        (graded_row(0, 0.0), "way-0", True),
        (graded_row(0, 0.0), "another", False),
        (graded_row(0, None), None, True),
        (graded_row(0, None), "way-0", True),
        (failed_row(0), None, True),
        (failed_row(0), "way-0", False),
        (RAW, None, False),  # nobody tried
        ({"error": {"type": "input"}, "raw": "{"}, None, True),
        # The grade of later counts, not that of the loop.
        (row(0, [0.0]) | {"grading": PASSED["grading"]}, None, False),
        (row(0, [0.0]) | {"grading": PASSED["grading"]}, "way-0", False),
    ],
)
def test_a_line_failed_by_its_last_result(
    line: JSONObject, item: str | None, expected: bool
) -> None:
    assert has_failed(line, item) is expected

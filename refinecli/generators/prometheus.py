r"""Instructions with a 1-5 rubric of their own, from files in the Feedback-Collection's columns.

Source: Prometheus (Kim et al. 2023, arxiv.org/abs/2310.08491), the data set
prometheus-eval/Feedback-Collection (CC-BY-4.0). Of a row we take the instruction, the criterion
with its five descriptions and the reference answer; the response only if asked for. `id` and
`orig_score` (the response's score, as a number) stay under their names; all else is left behind.

    {"convo": [{"role": "user", "content": "Explain tides to a child."}],
     "reference": "The moon pulls on the sea …",
     "orig_score": 4,
     "rubric_items": [
       {"rubric_str": "Is the explanation simple and right?\n\nScore 1: Wrong. …\nScore 5: …",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction":
          "Please output your score between 1 and 5 wrapped in <score> ... </score>",
        "name": "quality", "score_range": [1, 5], "pass_score": 0.75}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.generators.items import five_point_item
from refinecli.generators.reading import Columns, checked, present
from refinecli.types import JSONObject


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """One datapoint a row."""
    for where, row in rows:
        yield checked(where, _datapoint(Columns(where, row), with_response))


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    item = five_point_item(columns, "orig_criteria", "orig_score{}_description")
    return present(
        {
            "id": columns.row.get("id"),
            "convo": [{"role": "user", "content": columns.text("orig_instruction")}],
            "reference": columns.optional_text("orig_reference_answer") or None,
            "response": columns.optional_text("orig_response") if with_response else None,
            "orig_score": _score(columns, "orig_score"),
            "rubric_items": [item],
        }
    )


def _score(columns: Columns, name: str) -> int | float | None:
    value = columns.row.get(name)
    if value is None or value == "":
        return None
    try:
        score = float(value) if isinstance(value, str) else value
    except ValueError:
        score = None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 1 <= score <= 5:
        raise columns.fault(name, "expected a number from 1 to 5")
    return int(score) if score == int(score) else score

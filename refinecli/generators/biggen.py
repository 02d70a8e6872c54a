r"""Import tasks of many kinds, each with its own 1-5 rubric, from files in BiGGen-Bench's columns.

Source: BiGGen-Bench (Kim et al. 2024, arxiv.org/abs/2406.05761), in the repository
prometheus-eval/prometheus-eval (Apache-2.0). From a row we take the prompts, the rubric, the
reference answer and the kind of task; `id` stays. The benchmark has no answers; if a file has some
in a column `response`, they are taken on request. Everything else is dropped.

    {"id": "planning_travel_plan_3",
     "convo": [{"role": "system", "content": "You are a travel agent."},
               {"role": "user", "content": "Plan four days in Tokyo."}],
     "reference": "Day 1: …",
     "group": "planning", "tags": ["planning", "travel_plan"],
     "rubric_items": [
       {"rubric_str": "Is the plan realistic?\n\nScore 1: There is none. …\nScore 5: …",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction":
          "Please output your score between 1 and 5 wrapped in <score> ... </score>",
        "name": "quality", "score_range": [1, 5], "pass_score": 0.75}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.generators.reading import Columns, checked, present
from refinecli.generators.shared_items import five_point_item
from refinecli.types import JSONObject


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row."""
    for where, row in rows:
        yield checked(where, _datapoint(Columns(where, row), with_response))


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    convo = [{"role": "user", "content": columns.text("input")}]
    system = columns.optional_text("system_prompt")
    if system and system.strip():
        convo.insert(0, {"role": "system", "content": system})
    capability = columns.optional_text("capability")
    tags = [tag for tag in (capability, columns.optional_text("task")) if tag]
    item = five_point_item(columns.within("score_rubric"), "criteria", "score{}_description")
    return present(
        {
            "id": columns.row.get("id"),
            "convo": convo,
            "reference": columns.optional_text("reference_answer") or None,
            "response": columns.optional_text("response") if with_response else None,
            "group": capability or None,
            "tags": tags or None,
            "rubric_items": [item],
        }
    )

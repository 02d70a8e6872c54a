r"""Import instructions with their own 1-5 rubrics, from files in the Feedback-Collection's columns.

Source: Prometheus (Kim et al. 2023, arxiv.org/abs/2310.08491), the data set
prometheus-eval/Feedback-Collection (CC-BY-4.0). From a row we take the instruction, the criterion
with its five descriptions and the reference answer; the response only on request. `id` and
`orig_score` (the response's score, as a number) keep their names; everything else is dropped.

    {"convo": [{"role": "user", "content": "Explain tides to a child."}],
     "reference": "The moon pulls on the sea …",
     "orig_score": 4,
     "rubric_items": [
       {"rubric_str": "Is the explanation simple and right?\n\nScore 1: Wrong. …\nScore 5: …",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction":
          "Please output your score between 1 and 5 wrapped in <score> ... </score>",
        "name": "quality", "score_range": [1, 5], "pass_score": 0.75}]}

Prompts that ask a judge for such a score (`instruction`, with the headings "###The instruction to
evaluate:" and so on, as in the Vicuna and MT-Bench files of prometheus-eval/prometheus-eval,
Apache-2.0) are taken apart into the same, and a dialogue in them into its turns. The judged answer
is always the `response`, since the scores belong to it: `gpt4_score` becomes `gold`. `idx` is the
`group`; the category and the source of the answer are tags.

    {"convo": [{"role": "user", "content": "Explain tides to a child."}],
     "reference": "The moon pulls on the sea …",
     "response": "The moon does it.",
     "group": 17, "tags": ["knowledge", "vicuna"],
     "gold": [3, 4, 3],
     "rubric_items": [{"rubric_str": "Is the explanation simple and right?\n\nScore 1: …", …}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.generators.judge_prompts import is_judge_prompt, judged_datapoint
from refinecli.generators.reading import Columns, checked, present
from refinecli.generators.shared_items import five_point_item
from refinecli.types import JSONObject


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row."""
    for where, row in rows:
        columns = Columns(where, row)
        judged = is_judge_prompt(row)
        datapoint = judged_datapoint(columns) if judged else _datapoint(columns, with_response)
        yield checked(where, datapoint)


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

"""Build the rubric items that tasks share."""

from __future__ import annotations

from typing import Any

from refinecli.generators.reading import Columns
from refinecli.item_defaults import written_item
from refinecli.types import JSONObject


def rubric_item(rubric_str: str, **own: Any) -> JSONObject:
    """Build an item with all three of tinker-cookbook's keys, and then its own."""
    return written_item({"rubric_str": rubric_str}) | own


def criterion_item(text: str, **own: Any) -> JSONObject:
    """Build an item for this criterion, with score tags defused: a grader that quotes the criterion
    must not seem to give a score."""
    return rubric_item(text.replace("<score>", "(score)").replace("</score>", "(/score)"), **own)


def five_point_item(columns: Columns, criterion: str, description: str) -> JSONObject:
    """Build the 1-5 item of Prometheus and BiGGen-Bench from the columns with these names.

    `description` is the name of the five columns with a gap for the number: `score{}_description`.
    """
    lines = [columns.text(criterion).strip(), ""]
    lines += [f"Score {n}: {columns.text(description.format(n)).strip()}" for n in range(1, 6)]
    return criterion_item(
        "\n".join(lines),
        grader_output_format_instruction=(
            "Please output your score between 1 and 5 wrapped in <score> ... </score>"
        ),
        name="quality",
        score_range=[1, 5],
        pass_score=0.75,
    )

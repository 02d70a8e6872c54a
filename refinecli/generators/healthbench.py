r"""Import health conversations with physicians' rubrics, from HealthBench and its meta-evaluation.

Source: HealthBench (Arora et al. 2025, arxiv.org/abs/2505.08775), the data of github.com/openai/
simple-evals (MIT). Each criterion of a row becomes an item named after its `axis:` tag (`#2` and so
on where it repeats), with its points as weight; negative points make it a penalty. The ideal
completion becomes the reference, `prompt_id` the `id` and `example_tags` the `tags`; `response` is
kept on request. Everything else is dropped.

    {"id": "8f2c…",
     "convo": [{"role": "user", "content": "I have had a fever for three days."}],
     "reference": "I am sorry that you feel unwell. …",
     "tags": ["theme:context_seeking"],
     "rubric_items": [
       {"rubric_str": "Asks how high the fever is", …,
        "name": "context_awareness", "weight": 5, "tags": ["axis:context_awareness"]},
       {"rubric_str": "Recommends leftover antibiotics", …,
        "name": "accuracy", "weight": -8, "tags": ["axis:accuracy"]}]}

A row of the meta-evaluation is one criterion of one completion with physicians' verdicts on it. The
completion is always the `response`, since the labels belong to it: they become `gold`, one for each
physician, true where the criterion is met. `prompt_id` is the `group`, the category a tag.

    {"id": "c41d…",
     "convo": [{"role": "user", "content": "I have had a fever for three days."}],
     "response": "Take what is left of the antibiotics.",
     "group": "8f2c…", "tags": ["cluster:context_seeking"],
     "gold": [false, false, true],
     "rubric_items": [{"rubric_str": "Asks how high the fever is", …, "name": "criterion"}]}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.generators.criteria import entries, labels, weight, weighted_items
from refinecli.generators.messages import checked_as, messages
from refinecli.generators.reading import Columns, present
from refinecli.generators.shared_items import criterion_item
from refinecli.types import JSONObject

_AXIS = "axis:"


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row; files that mix both kinds hold nulls for the other's columns."""
    for where, row in rows:
        columns = Columns(where, row)
        if row.get("rubrics") is None and row.get("rubric") is not None:
            datapoint = _labelled(columns)
        else:
            datapoint = _example(columns, with_response)
        yield checked_as("prompt", where, datapoint)


def _example(columns: Columns, with_response: bool) -> JSONObject:
    reference = None
    if columns.row.get("ideal_completions_data") is not None:
        reference = columns.within("ideal_completions_data").optional_text("ideal_completion")
    return present(
        {
            "id": columns.optional_text("prompt_id"),
            "convo": messages(columns, "prompt"),
            "reference": reference or None,
            "response": columns.optional_text("response") if with_response else None,
            "tags": labels(columns, "example_tags") or None,
            "rubric_items": weighted_items(columns, "rubrics", _item),
        }
    )


def _item(columns: Columns) -> JSONObject:
    tags = labels(columns, "tags")
    axes = [tag.removeprefix(_AXIS) for tag in tags if tag.startswith(_AXIS)]
    item = criterion_item(
        columns.text("criterion"),
        name=axes[0] if axes else "criterion",
        weight=weight(columns, "points"),
    )
    return item | ({"tags": tags} if tags else {})


def _labelled(columns: Columns) -> JSONObject:
    category = columns.optional_text("category")
    completion = columns.optional_text("completion")
    if completion is None:
        raise columns.fault("completion", "field required", "give the answer that was judged")
    gold = entries(columns, "binary_labels", "true or false", lambda label: isinstance(label, bool))
    return present(
        {
            "id": columns.optional_text("completion_id"),
            "convo": messages(columns, "prompt"),
            "response": completion,
            "group": columns.optional_text("prompt_id"),
            "tags": [category] if category else None,
            "gold": gold or None,
            "rubric_items": [criterion_item(columns.text("rubric"), name="criterion")],
        }
    )

"""The rubric as verl's custom reward function.

reward.custom_reward_function.path=pkg://refinecli.reward.adapters.verl
reward.custom_reward_function.name=compute_score
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refinecli.errors import InputError
from refinecli.reward.adapters.one import reward_of_one


async def compute_score(
    data_source: object,
    solution_str: str,
    ground_truth: object = None,
    extra_info: Mapping[str, Any] | None = None,
    **_: object,
) -> float:
    """Return a solution's reward by the row's `extra_info`: `convo`, `rubric_items`, `reference`
    and `id`, as `refinecli export` writes them for verl. Raise NotGradedError where it stays
    ungraded."""
    row = extra_info or {}
    convo = row.get("convo", row.get("prompt"))
    if convo is None:
        raise InputError(
            "extra_info.convo: field required",
            "let `refinecli export` write the rows, as prompts in the format verl",
        )
    return await reward_of_one(
        convo,
        solution_str,
        rubric_items=row.get("rubric_items"),
        reference=row.get("reference") or None,
        id=row.get("id"),
    )

"""The rubric as a reward of a verifiers task.

[env.taskset.task.rewards.rubric]
fn = "refinecli.reward.adapters.verifiers:rubric"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refinecli.reward.adapters.one import reward_of_one
from refinecli.types import JSONObject


async def rubric(task: Any, trace: Any) -> float:
    """Return the reward of a trace's last reply. The task's data has `rubric_items`, and perhaps
    `reference`. Raise NotGradedError where the reply stays ungraded."""
    return await reward_of_one(
        _convo(task),
        trace.last_reply,
        rubric_items=_plain(getattr(task, "rubric_items", None)),
        reference=getattr(task, "reference", None),
        id=task.id,
    )


def _convo(task: Any) -> object:
    prompt, system = task.prompt, task.system_prompt
    if isinstance(prompt, str) and not system:
        return prompt
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else _plain(prompt)
    before: list[JSONObject] = [{"role": "system", "content": system}] if system else []
    return [*before, *(turns or [])]


def _plain(value: Any) -> Any:
    """Return data without the models that they were read into."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value

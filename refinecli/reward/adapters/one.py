"""Reward one response at a time, for trainers that do not hand over batches."""

from __future__ import annotations

from refinecli.reward.configured import configured
from refinecli.reward.rewards import NotGradedError


async def reward_of_one(
    convo: object, response: str, *, rubric_items: object, reference: object, id: object
) -> float:
    """Return the reward that the files of REFINECLI_CONFIG give; raise NotGradedError where there
    is none, since these trainers know no other word for it than a failed sample."""
    columns: dict[str, list[object]] = {}
    (reward,) = await configured()(
        [convo],
        [response],
        rubric_items=[rubric_items],
        reference=[reference],
        id=[id],
        log_extra=columns.__setitem__,
    )
    if reward is None:
        raise NotGradedError(f"the response is not graded: {columns['rubric_ungraded'][0]}")
    return reward

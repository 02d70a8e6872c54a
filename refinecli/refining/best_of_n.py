"""`best-of-n`: N drafts, graded, the best kept."""

from __future__ import annotations

from refinecli.refining.steps import best_of, finished, graded_drafts
from refinecli.refining.strategies import Rollout
from refinecli.types import Refinement, StopReason


async def best_of_n(rollout: Rollout) -> Refinement:
    """Draw N responses and keep the best: rejection sampling with the grader as verifier (Cobbe et
    al. 2021, arxiv.org/abs/2110.14168; Nakano et al. 2021, arxiv.org/abs/2112.09332).

    This is the baseline that refinement has to beat at equal cost. All N are drawn, whatever the
    first scores: N is fixed beforehand.
    """
    iterations, failure = await graded_drafts(rollout)
    best = best_of(iterations)
    stop: StopReason = "max_iterations"
    if failure:
        stop = "failed"
    elif best.score is None:
        stop = "ungraded"
    elif best.passed:
        stop = "passed"
    return finished(rollout, iterations, best, stop, failure)

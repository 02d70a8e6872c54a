"""Say why a loop took a step, and why it took no more."""

from __future__ import annotations

from rich.text import Text

from refinecli.display.boxes import label
from refinecli.refining.steps import best_of
from refinecli.types import Iteration, Refinement

_STOPPED = {
    "passed": "the best response passed",
    "max_iterations": "no iterations were left (max_iterations)",
    "plateau": "nothing more was gained, or found to change (plateau)",
    "repeated": "the rewrite repeated an earlier response word for word (repeated)",
    "ungraded": "the first response could not be graded (ungraded)",
    "failed": "a call failed (failed)",
}
# One datapoint alone has no earlier rows; a run of `refine` does.
_BY = "by this datapoint's own tries alone: one rollout has no earlier rows to learn from"


def chosen(iteration: Iteration) -> str:
    """Say why an adaptive loop took this step, and what else it could have done."""
    choice = iteration.choice
    assert choice is not None
    said = f"chosen: {_step(iteration.parent)}, {_promise(choice.gain, choice.cost)}"
    if other := choice.instead:
        said += f"; {_step(other.parent)} promised {_promise(other.gain, other.cost)}"
    return said


def _step(parent: int | None) -> str:
    return "a fresh draft" if parent is None else f"a rewrite of iteration {parent}"


def _promise(gain: float, cost: float) -> str:
    return f"+{gain:.3f} for {_tokens(cost)}"


def _tokens(cost: float) -> str:
    return f"{cost:,.0f} tokens" if cost >= 1 else f"a cost of {cost:.2g}"


def _expected(gain: float, cost: float) -> str:
    return f"expected to add {gain:.3f} to the best score for {_tokens(cost)}"


def why_chosen(iteration: Iteration, *, alone: bool) -> list[Text]:
    """Say at length what an adaptive loop's step promised, and the best step of the other kind;
    where it is `alone`, also that no earlier rows could teach it anything."""
    choice = iteration.choice
    assert choice is not None
    lines = [label(f"{_step(iteration.parent)}, {_expected(choice.gain, choice.cost)}")]
    if other := choice.instead:
        lines.append(
            label(f"rather than {_step(other.parent)}, {_expected(other.gain, other.cost)}")
        )
        if other.gain * choice.cost > choice.gain * other.cost:
            lines.append(
                label(
                    "by chance: steps are compared by a random draw around what is expected, so "
                    "that the less known gets its turn"
                )
            )
    else:
        lines.append(label("no step of the other kind was possible"))
    return [*lines, *([label(_BY, "dim")] if alone else [])]


def why_stopped(refinement: Refinement, min_gain: float) -> list[Text]:
    """Say why the loop ended; where no step promised enough, what the best one promised."""
    best = refinement.declined
    if best is None:
        return [label(f"stopped: {_STOPPED[refinement.stop_reason]}")]
    return [
        label(f"stopped: no step was expected to add {min_gain:g} (refine.min_gain; plateau)"),
        label(f"the best was {_step(best.parent)}, {_expected(best.gain, best.cost)}"),
    ]


def kept_request(refinement: Refinement, iteration: Iteration) -> str:
    """Return the request of a rewrite whose call is not recorded. A response that an adaptive loop
    rewrote several times keeps that of its best rewrite, which is not that of the others."""
    iterations = refinement.iterations
    if iteration.choice is None or iteration.parent is None:
        return iterations[iteration.iteration - 1].feedback or ""
    siblings = [it for it in iterations if it.parent == iteration.parent]
    if best_of(siblings) is not iteration:
        return "(not recorded)"
    return iterations[iteration.parent].feedback or ""

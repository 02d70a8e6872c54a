"""Name what a grader's template of one's own loses by the placeholders that it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.types import Datapoint

# By these words a system prompt promises what only {{nonce}} keeps.
_SPEAKS_OF_CODE = "same code"


def lost_code(prompts: Prompts, options: GradeOptions, systems: Iterable[str]) -> Iterator[str]:
    """Yield a warning about each template in use that has no code for the tags around a response,
    where one of the grader's system prompts speaks of it."""
    used = dict.fromkeys(_used(options), "grader_system")
    if options.batch_items > 1:
        used["grader_batch"] = "grader_batch_system"
    roles = tuple(systems)
    for name, system in used.items():
        said = (getattr(prompts, system), *roles)
        if _has(prompts, name, "nonce") or not any(_SPEAKS_OF_CODE in one for one in said):
            continue
        yield (
            f"warning: prompts.{name} has no {{{{nonce}}}}, and the grader's system prompt says "
            "that the tags around the response carry a code: the grader looks for one that is not "
            "there, and a response may close its own tags; write <response-{{nonce}}> and "
            f"</response-{{{{nonce}}}}>, or set prompts.{system} too"
        )


def lost_penalties(
    prompts: Prompts, options: GradeOptions, datapoint: Datapoint
) -> tuple[str, ...]:
    """Return a warning about each template in use that does not say of a penalty item, where the
    datapoint has one that a model grades, that it describes a fault."""
    item = next((i for i in datapoint.rubric_items if i.penalty and i.check is None), None)
    if item is None:
        return ()
    return tuple(
        f"warning: prompts.{name} has no {{{{penalty}}}}: nothing says that penalty "
        f'items such as "{item.name}" describe a fault, and the grader may give the high score to '
        "a response without it; write {{penalty}} on a line of its own below {{criterion}}"
        for name in _used(options)
        if not _has(prompts, name, "penalty")
    )


def _used(options: GradeOptions) -> tuple[str, ...]:
    names = {"explain": ("grader",), "verdict": ("verdict",), "logprobs": ("verdict", "grader")}
    return names[options.mode]


def _has(prompts: Prompts, name: str, placeholder: str) -> bool:
    return f"{{{{{placeholder}}}}}" in getattr(prompts, name)

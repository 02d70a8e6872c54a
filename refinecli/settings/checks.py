"""Check settings that are each valid but do not go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from refinecli.errors import UsageError, option
from refinecli.grading.verdict import GradeOptions
from refinecli.refining.strategies import (
    OPTIONS,
    STRATEGIES,
    RefineOptions,
    Strategy,
    strategy_named,
)
from refinecli.settings.roles import RoleConfig, RoleSettings
from refinecli.settings.sources import Given, Source

# ------------------------------------------------------------------ strategies


def of_strategy(given: Given) -> tuple[dict[str, Any], dict[str, str]]:
    """Return `[refine]` with the strategy's own defaults, and a line about each ignored option by
    its name: a config or an environment may be shared by several strategies.

    Raise UsageError where there is no such strategy, or an option that means nothing to it was
    given for this run.
    """
    table: Mapping[str, Any] = given.tables.get("refine", {})
    try:
        strategy = strategy_named(str(table.get("strategy", RefineOptions().strategy)))
    except UsageError as error:
        source = given.sources["refine.strategy"]
        raise UsageError(f"{source}: {error.args[0]}", error.args[1]) from None
    ignored: dict[str, str] = {}
    for key in sorted(OPTIONS - strategy.options):
        neutral = 0 if key == "max_iterations" else getattr(RefineOptions(), key)
        value = tuple(v) if isinstance(v := table.get(key, neutral), list) else v
        if value != neutral:
            source = given.sources[f"refine.{key}"]
            if source.kind in ("flag", "set"):
                raise _means_nothing(strategy, key, value, source)
            named = source.names(f"refine.{key}")
            ignored[key] = f"{named} is ignored: it means nothing to the strategy {strategy.name}"
    used = {key: value for key, value in table.items() if key not in ignored}
    return {**strategy.defaults, **used}, ignored


def _means_nothing(loop: Strategy, key: str, value: object, source: Source) -> UsageError:
    named = f"{source} {value}" if source.kind == "flag" else str(source)
    takers = [other for other, strategy in STRATEGIES.items() if key in strategy.options]
    instead = f"use the strategy {' or '.join(takers)}"
    if key == "max_iterations" and "drafts" in loop.options:
        instead = f"give {option('drafts', 'N')}, which are all it writes"
    return UsageError(
        f"{named} means nothing to the strategy {loop.name}", f"leave it out, or {instead}"
    )


def check_refining(refine: RefineOptions, policy: RoleSettings) -> None:
    """Raise UsageError where an option of the loop would change nothing."""
    check_drafts(refine, policy)
    rounds = refine.max_iterations
    for key in ("accept", "patience", "stop_on_repeat", "principles"):
        changed = getattr(refine, key) != getattr(RefineOptions(), key)
        if changed and (not rounds or (key == "patience" and (refine.patience or 0) >= rounds)):
            raise UsageError(
                f"refine.{key} means nothing with max_iterations {rounds}",
                f"leave it out, or set {option('max_iterations')} higher"
                + (" than it" if key == "patience" else ""),
            )


def check_drafts(refine: RefineOptions, policy: RoleSettings) -> None:
    """Raise UsageError for several drafts at temperature 0: one draft, paid for several times."""
    if refine.drafts > 1 and policy.temperature == 0:
        raise UsageError(
            f"{refine.drafts} drafts at temperature 0 would all be the same",
            f"set policy.temperature above 0, or {option('drafts', 1)}",
        )


def check_grading(grade: GradeOptions, given: Given) -> None:
    """Raise UsageError where items are to be asked together by a mode that asks for one label."""
    if grade.batch_items > 1 and grade.mode == "logprobs":
        place = "grade.batch_items"
        raise UsageError(
            f"{given.sources[place].names(place)} does not go with mode logprobs, which asks for "
            "the first token of one verdict",
            f"leave it out, or use {option('grade.mode', 'verdict')}",
        )


def check_feedback(grade: GradeOptions, sources: Mapping[str, Source]) -> None:
    """Raise UsageError where responses are to be rewritten from grades that would be missing."""
    if grade.gate:
        place = "grade.gate"
        raise UsageError(
            f"{sources[place].names(place)} does not go with refining, whose feedback needs the "
            "grade of every item",
            "leave it out, or set it for `refinecli grade` alone",
        )


def check_repeats(repeats: int, graders: Sequence[RoleSettings], grade: GradeOptions) -> None:
    """Raise UsageError for several grades that would be one grade, paid for several times."""
    if repeats == 1:
        return
    cold = next((role for role in graders if role.temperature == 0), None)
    if cold:
        whose = f" of {cold.name}" if cold.is_juror else ""
        raise UsageError(
            f"{repeats} repeats{whose} at temperature 0 would all be the same",
            f"use {option(f'{cold.name}.temperature', 0.7)}, or {option('repeats', 1)}",
        )
    if grade.mode == "logprobs":
        raise UsageError(
            f"{repeats} repeats of the same probabilities would all be the same",
            f"use {option('repeats', 1)}, or {option('grade.mode', 'verdict')}",
        )


# ------------------------------------------------------------------ roles


def check_role(name: str, role: RoleConfig) -> None:
    """Raise UsageError where the role has one price and not the other."""
    if (role.input_price is None) != (role.output_price is None):
        raise UsageError(
            f"{name}: input_price and output_price go together", "set both, for a million tokens"
        )


def check_named(name: str, role: RoleConfig, given: Given) -> None:
    """Raise UsageError where a role that inherits from none has no model of its own."""
    if role.model is None and role.base_url is None:
        raise UsageError(
            f"{given.source_within(f'{name}.')}: the {name} needs a model of its own",
            f"set {name}.model",
        )


def check_jury(jurors: Sequence[RoleSettings], grade: GradeOptions, given: Given) -> None:
    """Raise UsageError unless there are at least two jurors, and each has an independent vote."""
    if len(jurors) == 1:
        (juror,) = jurors
        raise UsageError(
            f"{given.source_within(juror.name)}: {juror.name} is a jury of one",
            "give it a second [jury.NAME], or set what it says in [grader]",
        )
    for juror, other in combinations(jurors, 2):
        alike = juror.asks_the_same(other)
        if alike and (juror.temperature == 0 or grade.mode == "logprobs"):
            raise UsageError(
                f"{juror.name} and {other.name} are the same model, asked in the same way: they "
                "would always vote alike",
                f"give one of them another model or system prompt, or leave {other.name} out",
            )

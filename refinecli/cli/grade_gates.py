"""`grade --fail-under` and `--require`: gates, each by the flag that set it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.gold_labels import Labels
    from refinecli.runs.gates import Gate, Verdict

_WHY_NULL: Mapping[str, str] = MappingProxyType(
    {
        "score": "nothing was graded",
        "pass_rate": "nothing was graded",
        "initial_score": "only `refine` has one",
        "cost": "not all that was asked has an input_price and an output_price",
    }
)


def gates_of(fail_under: str | None, required: Sequence[str], labels: Labels | None) -> list[Gate]:
    """Return all gates; raise UsageError for one whose figure no summary has."""
    if fail_under is None and not required:
        return []
    from refinecli.runs.gates import Gate, number, parse

    gates = []
    if fail_under is not None:
        bound = number(fail_under)
        if bound is None:
            raise UsageError(f"--fail-under {fail_under}: not a number", "give one such as 0.9")
        gates.append(Gate(f"--fail-under {fail_under}", "score", ">=", bound))
    for text in required:
        gates.append(replace(parse(text), text=f"--require '{text}'"))
    if required:
        from refinecli.models.traffic import Traffic
        from refinecli.runs.summary import Summary

        agreement = labels.figures() if labels else None
        figures = Summary(agreement=agreement).figures(Traffic())
        # All that could be asked of a null is null; a number has no figures below it.
        figures |= {name: 0 for name, value in figures.items() if value is None}
        for gate in gates:
            if not _only_known_later(gate):
                try:
                    _check(gate, figures)
                except UsageError as error:
                    if labels or error.hint.endswith("?"):
                        raise
                    hint = f"{error.hint}; those of agreement with labels need --gold-field"
                    raise UsageError(error.message, hint) from None
    return gates


def check_whole_scores(gates: Sequence[Gate], *, gated: bool) -> None:
    """Raise UsageError for a gate on the mean score where failing responses have none, since they
    are `gated`."""
    for gate in gates:
        if gated and gate.metric == "score":
            raise UsageError(
                f"{gate.text} does not go with grade.gate: a response that fails it has no score, "
                "and the mean would be over the others",
                "use a gate on --require 'pass_rate>=…', or leave grade.gate out",
            )


def _only_known_later(gate: Gate) -> bool:
    """Return whether only grades can show the figure: parts, and how often votes agree."""
    parts = ("tags.", "files.", "jurors.", "coverage.")
    return gate.metric.removeprefix("agreement.").startswith(parts)


def verdict_on(gate: Gate, figures: Mapping[str, Any]) -> Verdict:
    from refinecli.runs.gates import Verdict

    try:
        return _check(gate, figures)
    except UsageError as error:
        if not _only_known_later(gate):
            raise
        return Verdict(gate, None, False, f"no such figure; {error.hint}")


def _check(gate: Gate, figures: Mapping[str, Any]) -> Verdict:
    from refinecli.runs import gates

    verdict = gates.check(gate, figures)
    if verdict.met or verdict.value is not None:
        return verdict
    why = verdict.reason.partition(" is null: ")[2] or _WHY_NULL.get(gate.metric)
    return replace(verdict, reason=f"there is no {gate.metric}{f': {why}' if why else ''}")

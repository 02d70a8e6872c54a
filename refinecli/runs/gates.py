"""Check quality gates: `METRIC>=X` on the figures of a report or a summary.

gate = parse("items.tone.gain.low>=0")
check(gate, figures).met
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any

from refinecli.errors import UsageError

_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        # Figures are means of floats, and a gate at 0.9 is met by nine of ten.
        ">=": lambda value, bound: value >= bound - 1e-9,
        "<=": lambda value, bound: value <= bound + 1e-9,
        ">": operator.gt,
        "<": operator.lt,
    }
)
_GATE = re.compile(r"\s*(?P<metric>[^<>=]*[^<>=\s])\s*(?P<operator>>=|<=|>|<)\s*(?P<bound>\S+)\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """A figure, by its dotted path, and what it has to be."""

    text: str
    metric: str
    operator: str
    bound: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate, the value it was held against, and where it was missed, the reason."""

    gate: Gate
    value: float | None
    met: bool
    reason: str = ""


def parse(text: str) -> Gate:
    """Read a gate; raise UsageError where `text` is not one."""
    found = _GATE.fullmatch(text)
    hint = "write METRIC, one of >= <= > <, and a number, such as 'score>=0.8'"
    if not found:
        raise UsageError(f"not a gate: {text}", hint)
    bound = number(found["bound"])
    if bound is None:
        raise UsageError(f"not a gate: {text}: {found['bound']} is not a number", hint)
    return Gate(text, found["metric"], found["operator"], bound)


_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def number(text: str) -> float | None:
    """Read a finite decimal number; float() would take `1_0` and other digits too."""
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    return value if isfinite(value) else None


def check(gate: Gate, figures: Mapping[str, Any]) -> Verdict:
    """Check `figures` against the gate. A null figure misses it, since its value is unknown.

    A part of the path is a key, a place in a list (-1 is the last) or the `name` or `label` of an
    entry; an interval stands for its mean, and a yes or no for 1 or 0. Raise UsageError where there
    is no such figure.
    """
    found = list(_found(figures, gate.metric.split("."), ()))
    if not found:
        raise UsageError(f"{gate.text}: no such figure", _close(gate.metric, figures))
    value, place = found[0]
    why = ""
    if isinstance(value, Mapping) and (key := _middle(value)):
        why, value = f": {value['reason']}" if value.get("reason") else "", value[key]
    if value is None:
        return Verdict(gate, None, False, f"{place} is null{why}")
    if not isinstance(value, int | float):
        raise UsageError(f"{gate.text}: not a number", _close(gate.metric + ".", figures))
    met = _COMPARE[gate.operator](value, gate.bound)
    return Verdict(
        gate, +value, met, "" if met else f"{gate.metric} is {_missing_value(value, gate)}"
    )


def _missing_value(value: float, gate: Gate) -> str:
    """Return the value that misses the gate, in as many digits as it takes to see that it does."""
    if isinstance(value, int):
        return str(+value)
    for digits in range(4, 18):
        rounded = float(text := f"{value:.{digits}g}")
        seen = (rounded == gate.bound) == (value == gate.bound)
        if seen and not _COMPARE[gate.operator](rounded, gate.bound):
            break
    return text


def _middle(interval: Mapping[str, Any]) -> str | None:
    """Return the key of what an interval stands for."""
    return next((key for key in ("mean", "value") if key in interval), None)


def _found(value: Any, parts: Sequence[str], above: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    """Yield each value at the path, with the path itself or as much of it as is not null."""
    if not parts or (value is None and above):
        yield value, ".".join(above)
        return
    for size in range(1, len(parts) + 1):  # a name may have dots in it
        name = ".".join(parts[:size])
        for entry in _entries(value, name):
            yield from _found(entry, parts[size:], (*above, name))


def _entries(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, Mapping) and name in value:
        yield value[name]
    elif isinstance(value, list):
        if re.fullmatch(r"-?[0-9]+", name) and -len(value) <= int(name) < len(value):
            yield value[int(name)]
        yield from (
            e for e in value if isinstance(e, Mapping) and name in (e.get("name"), e.get("label"))
        )


def _close(metric: str, figures: Mapping[str, Any]) -> str:
    """Return the hint that names the metrics that were probably meant."""
    known = list(dict.fromkeys(_paths(figures, "")))
    close = difflib.get_close_matches(metric, known, n=3, cutoff=0.6)
    close += [path for path in known if path.startswith(metric) and path not in close][:3]
    return (
        "did you mean " + ", ".join(close) + "?" if close else "name one of " + ", ".join(figures)
    )


def _paths(value: Any, above: str) -> Iterator[str]:
    """Yield the paths of all figures; entries of lists by name where they have one."""
    if isinstance(value, Mapping):
        if _middle(value):
            yield above.rstrip(".")
        for key, entry in value.items():
            yield from _paths(entry, f"{above}{key}.")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            if isinstance(entry, Mapping):
                yield from _paths(entry, f"{above}{entry.get('name', number)}.")
    elif value is None or isinstance(value, int | float):
        yield above.rstrip(".")

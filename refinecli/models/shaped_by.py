"""The settings that shaped a result, in a form that a person can read a month later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import STRATEGIES, RefineOptions
from refinecli.settings.roles import RoleSettings
from refinecli.settings.secrets import replaced
from refinecli.text.json_text import digest, dumps
from refinecli.types import JSONObject, role_traits

_LONGEST = 200  # characters of a value that are shown

# Recorded by themselves (models, strategy), or different each time they mean the same (places).
_ELSEWHERE = frozenset({"name", "model", "weights", "base_url", "strategy"})


def shaped_by(shaping: JSONObject, roles: Mapping[str, RoleSettings]) -> JSONObject:
    """Return, by `section.key`, what differs from the defaults in what shapes results.

    A long text is its digest and its first characters, and a secret its digest: `extra_body` may
    hold one. Headers are digests in `shaping` already.
    """
    rest = {k: v for k, v in shaping.items() if k not in roles}
    found: dict[str, Any] = {} if rest["seed"] is None else {"run.seed": rest["seed"]}
    for section, defaults in _defaults(rest).items():
        for key, value in rest.get(section, {}).items():
            if key not in _ELSEWHERE and _plain(value) != _plain(defaults.get(key)):
                found[f"{section}.{key}"] = value
    found |= {k: v for k, v in rest.items() if k in ("repeats", "threshold", "contrast")}
    for name in roles:
        found |= _of_role(name, shaping)
    return {key: _short(replaced(value, digest)) for key, value in found.items()}


def _defaults(rest: JSONObject) -> dict[str, JSONObject]:
    strategy = rest.get("refine", {}).get("strategy", RefineOptions().strategy)
    return {
        "prompts": asdict(Prompts()),
        "refine": {**asdict(RefineOptions()), **STRATEGIES[strategy].defaults},
        "grade": asdict(GradeOptions()),
    }


def _of_role(name: str, shaping: JSONObject) -> JSONObject:
    """Return a role's own settings: neither defaults nor what it has from its fallback."""
    traits = role_traits(name)
    below = shaping.get(traits.fallback or "", {})
    return dict(_changed(name, shaping[name], below, 0 if traits.gives_verdicts else None))


def _changed(
    name: str, role: JSONObject, below: JSONObject, temperature: float | None
) -> Iterator[tuple[str, Any]]:
    for key, value in role.items():
        default = temperature if key == "temperature" else None
        if key in _ELSEWHERE or value == default or value in (None, {}, ""):
            continue
        if key not in below or below[key] != value:
            yield f"{name}.{key}", value


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _short(value: object) -> object:
    text = value if isinstance(value, str) else dumps(value).decode()
    if len(text) <= _LONGEST:
        return value
    return {"digest": digest(text), "begins": text[:_LONGEST]}

"""Take what a caller sets in code: settings as the command line has them, and functions as
models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from refinecli.api.arguments import kind
from refinecli.errors import UsageError
from refinecli.models.function import AnswerFunction, FunctionModel
from refinecli.settings.load import Settings, load
from refinecli.settings.roles import chain
from refinecli.types import ROLES, juror_in

Model: TypeAlias = str | FunctionModel | AnswerFunction

# Every role that grading and refining ask; the judge is asked by reports alone.
ASKED = tuple(name for name, traits in ROLES.items() if not traits.optional)
_NOTHING: Mapping[str, object] = MappingProxyType({})


def completer(function: AnswerFunction, *, name: str | None = None) -> FunctionModel:
    """Return a model that answers with an async function: messages in, the reply's text out.

    The function may return a `Completion` in place of a text, to say what it took or how it ended,
    and raise `CompletionError` where there is no reply. Models differ by their `name`.
    """
    if not callable(function):
        raise UsageError(
            f"function: must be an async function, not {kind(function)}",
            "write async def f(messages) -> str",
        )
    named = name or getattr(function, "__name__", type(function).__name__)
    if not isinstance(named, str):
        raise UsageError(f"name: must be a string, not {kind(named)}")
    return FunctionModel(function, named)


@dataclass(frozen=True, slots=True)
class Given:
    """The arguments that stand for options, the other settings, and what else settings are read
    from. `functions` are the models that are functions, by role; in settings they have names."""

    arguments: Mapping[str, object]
    values: Mapping[str, object]
    environ: Mapping[str, str]
    paths: list[Path]
    functions: Mapping[str, FunctionModel] = field(default_factory=dict)

    def settings(self, more: Mapping[str, object] = _NOTHING) -> Settings:
        """Return the settings, with `more` arguments."""
        return load({**self.arguments, **more}, self.values, self.environ, self.paths)

    def answering(self, settings: Settings) -> dict[str, FunctionModel]:
        """Return the functions by each role that they answer for: their own, and those that fall
        back to it."""
        found = {}
        for role in settings.asked(ASKED):
            place = next((p for p in chain(role.name) if is_set(p, settings)), None)
            if place is not None and place in self.functions:
                found[role.name] = self.functions[place]
        return found


def given(
    arguments: Mapping[str, object],
    values: Mapping[str, object],
    environ: Mapping[str, str],
    paths: list[Path],
) -> Given:
    """Return what was given, with its functions apart."""
    given_last = (*values.items(), *arguments.items())  # arguments come before other settings
    functions = {
        _role_in(dotted): _function(value)
        for dotted, value in given_last
        if callable(value) or isinstance(value, FunctionModel)
    }
    names = {f"{role}.model": function.name for role, function in functions.items()}
    arguments = {dotted: names.get(dotted, value) for dotted, value in arguments.items()}
    values = {dotted: names.get(dotted, value) for dotted, value in values.items()}
    return Given(arguments, values, environ, paths, functions)


def _function(value: Any) -> FunctionModel:
    return value if isinstance(value, FunctionModel) else completer(value)


def _role_in(dotted: str) -> str:
    role, _, key = dotted.rpartition(".")
    if key != "model" or not (role in ASKED or juror_in(role)):
        raise UsageError(
            f"{dotted}: a function cannot be a value of this setting",
            f"set it as the model of one of {', '.join(ASKED)}, or of a juror",
        )
    return role


def is_set(role: str, settings: Settings) -> bool:
    """Return True where the role says itself whom to ask."""
    return any(f"{role}.{key}" in settings.sources for key in ("model", "base_url"))

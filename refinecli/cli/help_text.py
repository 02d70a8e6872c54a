"""Format `--help` without types and ranges next to the names of values, which say enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup


def _quiet(params: Iterable[Any]) -> None:
    """Show only the name of each value: nothing for a switch, and not typer's rendering of a type,
    such as `<int range> [x>=1]`. Only for help, after which the process ends."""
    for param in params:
        is_argument = param.param_type_name == "argument"
        shown = None if is_argument else param.metavar
        vars(param)["display_type_rich"] = lambda ctx, shown=shown: shown
        vars(param)["_get_number_range_help_str"] = lambda: None


def _unread_where_absent(params: Iterable[Any]) -> None:
    """Let typer make no validator for an option that was not given. It makes one of pydantic's for
    each, and those of `refine` would take a twentieth of the time to its first request."""
    for param in params:
        if not param.required and param.callback is None:
            nothing = () if param.multiple or param.nargs == -1 else None
            vars(param)["process_value"] = _given_or(nothing, param.process_value)


def _given_or(nothing: object, read: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda ctx, value: nothing if value is None else read(ctx, value)


class Command(TyperCommand):
    """A command whose help is quiet."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _unread_where_absent(self.params)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Program(TyperGroup):
    """The program, whose help is quiet too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)

"""Read options, and format `--help` without types and ranges next to the names of values, which say
enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from typer import BadParameter, Context
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_Read: TypeAlias = Callable[[Context, object], object]
_MAY_BE_EMPTY = "ID"  # a datapoint's own name for itself


def _quiet(params: Iterable[Any]) -> None:
    """Show only the name of each value: nothing for a switch, and not typer's rendering of a type,
    such as `<int range> [x>=1]`. Only for help, after which the process ends."""
    for param in params:
        is_argument = param.param_type_name == "argument"
        shown = None if is_argument else param.metavar
        vars(param)["display_type_rich"] = lambda ctx, shown=shown: shown
        vars(param)["_get_number_range_help_str"] = lambda: None


def _read_by_us_first(params: Iterable[Any]) -> None:
    """Refuse values that are empty, as a variable of the shell that is not set leaves them: an
    empty path would be the current folder. And let typer make no validator for an option that was
    not given: it makes one of pydantic's for each, and those of `refine` would take a twentieth of
    the time to its first request."""
    for param in params:
        lazy = not param.required and param.callback is None
        vars(param)["process_value"] = _reader(param, param.process_value, lazy=lazy)


def _reader(param: TyperOption | TyperArgument, read: _Read, *, lazy: bool) -> _Read:
    def process_value(ctx: Context, value: object) -> object:
        if value is None and lazy:
            return () if param.multiple or param.nargs == -1 else None
        values = value if isinstance(value, (list, tuple)) else [value]
        if "" in values and param.metavar != _MAY_BE_EMPTY:
            wanted = param.metavar or "a value"
            raise BadParameter(f"it is empty: give {wanted}, or leave it out", ctx=ctx, param=param)
        return read(ctx, value)

    return process_value


class Command(TyperCommand):
    """A command whose help is quiet."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _read_by_us_first(self.params)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Program(TyperGroup):
    """The program, whose help is quiet too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)

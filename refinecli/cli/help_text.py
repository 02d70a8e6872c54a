"""Format `--help` without types and ranges next to the names of values, which say enough."""

from __future__ import annotations

from collections.abc import Iterable
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


class Command(TyperCommand):
    """A command whose help is quiet."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Program(TyperGroup):
    """The program, whose help is quiet too."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        _quiet(self.get_params(ctx))
        super().format_help(ctx, formatter)

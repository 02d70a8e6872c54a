"""Read the files that settings name, in place of their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from refinecli.data.whole_files import read_whole_text
from refinecli.errors import UsageError
from refinecli.prompts import PLACEHOLDERS, Prompts
from refinecli.settings.sources import Given
from refinecli.types import Example


def read_files(given: Given) -> dict[str, Path]:
    """Put each file's contents in place of its name; return the files, by `section.key`."""
    found = {}
    for place, reader in READERS.items():
        section, key = place.split(".")
        table = given.tables.get(section, {})
        if key not in table:
            continue
        source = given.sources[place]
        if not isinstance(table[key], str):
            raise UsageError(f"{source.names(place)}: not the name of a file")
        found[place] = source.folder / table[key]
        try:
            table[key] = reader(found[place])
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(
                f"{source}: {place}: {found[place]}: {why}",
                "name a file with a template: see `refinecli help prompts`",
            ) from None
    return found


def _template(path: Path) -> str:
    return read_whole_text(path).rstrip("\n")


def _examples(path: Path) -> tuple[Example, ...]:
    from refinecli.data.graded_examples import read_examples

    return read_examples(path)


READERS: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {"grade.examples": _examples} | {f"prompts.{name}": _template for name in PLACEHOLDERS}
)


def prompts_of(table: Mapping[str, str]) -> Prompts:
    """Return the templates in use; raise UsageError where one cannot work."""
    try:
        return Prompts(**table)
    except ValueError as error:
        raise UsageError(
            f"prompts.{error}", "see `refinecli help prompts` for the placeholders"
        ) from None

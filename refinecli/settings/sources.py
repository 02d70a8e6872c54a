"""Read settings from their sources, lowest first: files, environment, `--set`, flags."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from refinecli.data.whole_files import read_whole_text
from refinecli.errors import UsageError, option
from refinecli.text.toml_text import loads
from refinecli.types import JSONObject

# Sections that hold others, each with a name.
NAMED = ("jury", "classifier")
_PREFIX = "REFINECLI_"


class Source(NamedTuple):
    """The source of a value. Of two sources the one with the higher `level` wins; `name` is what
    users know it by, which may be a mention of an option."""

    kind: Literal["file", "environment", "set", "flag"]
    name: str
    level: int = 0

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        """The folder that a relative path starts from: the file's own, or the current one."""
        return Path(self.name).parent if self.kind == "file" else Path()

    def names(self, dotted: str) -> str:
        """Return the source and the setting in it, which flags and some others name by
        themselves."""
        return self.name if self.kind == "flag" or dotted in self.name else f"{self.name}: {dotted}"


_Value: TypeAlias = tuple[Source, str, Any]  # where from, dotted name, value


class Given(NamedTuple):
    """All that was set: `tables` by section and key, and the `sources` of each `section.key`."""

    tables: dict[str, Any]
    sources: dict[str, Source]

    def source_within(self, *prefixes: str) -> Source | None:
        """Return the first source of anything that begins with the first prefix that fits."""
        return next((s for p in prefixes for n, s in self.sources.items() if n.startswith(p)), None)


def read(
    flags: Mapping[str, object],
    sets: Sequence[str] | Mapping[str, object],
    environ: Mapping[str, str],
    paths: Sequence[Path],
) -> Given:
    """Read every source; a value set in several is that of the highest, and tables are merged."""
    given = Given({}, {})
    for source, dotted, value in _values(flags, sets, environ, paths):
        if not _is_finite(value):
            raise UsageError(f"{source.names(dotted)}: a number must be finite")
        keys = dotted.split(".")
        _put(given.tables, keys, value, source)
        given.sources[place_of(keys)] = source
    return given


def _values(
    flags: Mapping[str, object],
    sets: Sequence[str] | Mapping[str, object],
    environ: Mapping[str, str],
    paths: Sequence[Path],
) -> Iterator[_Value]:
    for level, path in enumerate(paths):
        yield from _from_file(path, level)
    level = len(paths)
    yield from _from_environment(environ, level)
    yield from _from_sets(sets, level + 1)
    for dotted, value in flags.items():
        if value is not None:
            yield Source("flag", option(_flag(dotted)), level + 2), dotted, value


def _from_file(path: Path, level: int) -> Iterator[_Value]:
    source = Source("file", str(path), level)
    for section, table in _read(path).items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {section} is not a section", f"write [{section}]")
        for key, value in table.items():
            if section in NAMED and isinstance(value, dict) and value:
                dotted = f"{section}.{key}"
                yield from ((source, f"{dotted}.{name}", one) for name, one in value.items())
            else:
                yield source, f"{section}.{key}", value


def _from_environment(environ: Mapping[str, str], level: int) -> Iterator[_Value]:
    for name, text in sorted(environ.items()):
        if name.startswith(_PREFIX) and "__" in name:
            dotted = name.removeprefix(_PREFIX).lower().replace("__", ".")
            yield Source("environment", f"environment {name}", level), dotted, toml_value(text)


def _from_sets(sets: Sequence[str] | Mapping[str, object], level: int) -> Iterator[_Value]:
    if isinstance(sets, Mapping):
        yield from _from_values(sets, level)
        return
    for assignment in sets:
        dotted, equals, text = assignment.partition("=")
        if not equals or "." not in dotted:
            # Do not show the value: it may be a key in the wrong place.
            raise UsageError(
                f"--set {dotted}: expected section.key=value",
                "write for example --set policy.temperature=0.7; name keys instead of giving them: "
                "--set policy.api_key_env=NAME",
            )
        yield Source("set", f"--set {dotted}", level), dotted.strip(), toml_value(text)


def _from_values(values: Mapping[str, object], level: int) -> Iterator[_Value]:
    for dotted, value in values.items():
        if "." not in dotted:
            raise UsageError(
                f"settings: {dotted!r} is not a setting", "name one such as grade.mode"
            )
        if value is not None:
            yield Source("set", option(dotted), level), dotted, value


def _flag(dotted: str) -> str:
    """Return the option that stands for a setting: the grader's has its name in front."""
    section, key = dotted.split(".")
    return f"grader_{key}" if section == "grader" else key


def _read(path: Path) -> JSONObject:
    try:
        return loads(read_whole_text(path))
    except OSError as error:
        raise UsageError(f"{option('config', path)}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}", "write TOML; configs/ has examples") from None


def toml_value(text: str) -> object:
    """Return `0.5`, `true`, `[1, 2]` or `{a = 1}` as TOML reads them, anything else as text."""
    try:
        value: object = loads(f"value = {text}")["value"]
    except (ValueError, KeyError):
        return text
    return value if isinstance(value, bool | int | float | str | list | dict) else text


def _is_finite(value: object) -> bool:
    """Return True unless a number in the value is infinite or none, which JSON cannot say."""
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def place_of(keys: Sequence[str]) -> str:
    """Return a value's section, which a juror has within `jury`, and its key."""
    return ".".join(keys[: 3 if keys[0] in NAMED else 2])


def _put(tree: dict[str, Any], keys: Sequence[str], value: Any, source: Source) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"{source}: {key} is a value, not a section")
    if isinstance(value, dict) and isinstance(tree.get(keys[-1]), dict):
        tree[keys[-1]] = {**tree[keys[-1]], **value}
    else:
        tree[keys[-1]] = value

"""What settings are read from, the lowest first: files, environment, `--set`, flags."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from refinecli.errors import UsageError
from refinecli.types import JSONObject

_PREFIX = "REFINECLI_"
Layer: TypeAlias = Iterator[tuple[str, str, Any]]  # where from, dotted name, value


def layers(
    flags: Mapping[str, object],
    sets: Sequence[str],
    environ: Mapping[str, str],
    paths: Sequence[Path],
) -> Iterator[Layer]:
    yield from map(_from_file, paths)
    yield _from_environment(environ)
    yield _from_sets(sets)
    yield ((flag(dotted), dotted, value) for dotted, value in flags.items() if value is not None)


def _from_file(path: Path) -> Layer:
    for section, table in _read(path).items():
        if not isinstance(table, dict):
            raise UsageError(f"{path}: {section} is not a section", f"write [{section}]")
        for key, value in table.items():
            if section == "jury" and isinstance(value, dict) and value:
                yield from ((str(path), f"jury.{key}.{name}", one) for name, one in value.items())
            else:
                yield str(path), f"{section}.{key}", value


def _from_environment(environ: Mapping[str, str]) -> Layer:
    for name, text in sorted(environ.items()):
        if name.startswith(_PREFIX) and "__" in name:
            dotted = name.removeprefix(_PREFIX).lower().replace("__", ".")
            yield f"environment {name}", dotted, _toml_value(text)


def _from_sets(sets: Sequence[str]) -> Layer:
    for assignment in sets:
        dotted, equals, text = assignment.partition("=")
        if not equals or "." not in dotted:
            # Not the value: it may be a key that went astray.
            raise UsageError(
                f"--set {dotted}: expected section.key=value",
                "for example --set policy.temperature=0.7; keys are named, not given: "
                "--set policy.api_key_env=NAME",
            )
        yield f"--set {dotted}", dotted.strip(), _toml_value(text)


def flag(dotted: str) -> str:
    section, key = dotted.split(".")
    name = f"grader-{key}" if section == "grader" else key
    return "--" + name.replace("_", "-")


def _read(path: Path) -> JSONObject:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: {error}", "the file is TOML; configs/ has examples") from None


def _toml_value(text: str) -> object:
    """`0.5`, `true`, `[1, 2]` or `{a = 1}` as TOML reads them; anything else is text."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
    return value if isinstance(value, bool | int | float | str | list | dict) else text


def place_of(keys: Sequence[str]) -> str:
    """What a value is known by: its section, which a juror has within `jury`, and its key."""
    return ".".join(keys[: 3 if keys[0] == "jury" else 2])


def put(tree: dict[str, Any], keys: Sequence[str], value: Any, source: str) -> None:
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise UsageError(f"{source}: {key} is a value, not a section")
    if isinstance(value, dict) and isinstance(tree.get(keys[-1]), dict):
        tree[keys[-1]] = {**tree[keys[-1]], **value}
    else:
        tree[keys[-1]] = value

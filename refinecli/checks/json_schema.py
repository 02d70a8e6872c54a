"""Check values against JSON Schemas from data files, and list misfits; nothing is ever fetched.

A pattern may not be trusted either, so matching it stops after a number of backtracking steps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from urllib.parse import unquote

from pydantic import AfterValidator

if TYPE_CHECKING:
    import jsonschema_rs


def on_one_line(schema: dict[str, Any]) -> str:
    """Write the schema as JSON; raise if it has a value that JSON lacks (a date from TOML)."""
    return json.dumps(schema, ensure_ascii=False, allow_nan=False)


def _must_be_valid(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        text = on_one_line(schema)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a JSON Schema: {error}") from None
    _validator(text)
    return schema


Schema: TypeAlias = Annotated[dict[str, Any], AfterValidator(_must_be_valid)]


@lru_cache(maxsize=256)
def _validator(schema: str) -> jsonschema_rs.Validator:
    import jsonschema_rs

    steps_back = 1_000_000  # some 20 ms; a sane pattern takes a handful
    try:
        return jsonschema_rs.validator_for(
            schema,
            offline=True,
            validate_formats=True,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=steps_back),
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"not a JSON Schema: {_worded(error)}") from None
    except ValueError as error:  # nested too deeply
        raise ValueError(f"not a JSON Schema: {error}") from None


def misfits(schema: str, value: object) -> Iterator[str]:
    """List the misfits, each with its place; or say only that the value does not fit, if nested
    alternatives would make the list endless.

    Raise TimeoutError if the schema, or a pattern in it, takes too many steps.
    """
    validator, steps = _validator(schema), _steps(schema, _depth(value))
    if steps <= _MOST_LISTED:
        try:
            return map(_worded, validator.iter_errors(value))
        except ValueError:  # Python writes no integer of more than 4300 digits
            return iter(() if validator.is_valid(value) else ("a very long number does not fit",))
    # A value may also fail because a pattern was given up, which only the list of misfits shows.
    if steps > _MOST_TRIED or (not (fits := validator.is_valid(value)) and '"pattern' in schema):
        raise TimeoutError("the schema's alternatives take too many steps")
    return iter(() if fits else ("in none of its many alternatives",))


# ------------------------------------------------------------------ limits


# A step takes some 10 microseconds with a list of misfits, some 10 nanoseconds without.
_MOST_LISTED, _MOST_TRIED = 10_000, 50_000_000
_SAME_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_BELOW = (
    *("additionalProperties", "unevaluatedProperties", "propertyNames"),
    *("items", "additionalItems", "unevaluatedItems", "contains"),
)
_BY_NAME = ("dependentSchemas", "dependencies", "patternProperties")
_ONE_OF_BELOW = ("properties", "prefixItems")  # a place has one name, or one number


def _depth(value: object) -> int:
    """Count how deep lists and objects are nested."""
    depth, level = 0, [value]
    while level := [
        entry
        for outer in level
        if isinstance(outer, dict | list)
        for entry in (outer.values() if isinstance(outer, dict) else outer)
    ]:
        depth += 1
    return depth


@lru_cache(maxsize=1024)
def _steps(schema: str, depth: int) -> int:
    """Return an upper bound on the subschemas that apply to one part of a value of this depth and
    to everything around it. Alternatives within alternatives multiply."""
    root, found = json.loads(schema), dict[tuple[int, int], int]()

    def count(part: Any, below: int) -> int:
        if isinstance(part, list):
            return sum(count(entry, below) for entry in part)
        if not isinstance(part, dict) or below < 0:
            return 0
        if (key := (id(part), below)) not in found:
            found[key] = 1  # if it refers to itself at the same place
            found[key] = min(1 + sum(inside(part, below)), _MOST_TRIED + 1)
        return found[key]

    def inside(part: dict[str, Any], below: int) -> Iterator[int]:
        for name, entry in part.items():
            if name in _REFERENCES:
                yield count(_referred(root, entry), below)
            elif name in _ONE_OF_BELOW:
                entries = entry.values() if isinstance(entry, dict) else entry
                yield max((count(one, below - 1) for one in entries), default=0)
            elif name in _BY_NAME:
                yield count(list(entry.values()), below - (name == "patternProperties"))
            elif name in _SAME_PLACE or name in _BELOW:
                yield count(entry, below - (name in _BELOW))

    # Shallow values first: each count reuses the last, and recurses no deeper than the schema.
    try:
        return max(count(root, below) for below in range(depth + 1))
    except RecursionError:  # hundreds of references that lead to each other
        return _MOST_TRIED + 1


def _referred(root: Any, reference: str) -> Any:
    """Return the part that a reference within the schema names; for other kinds, the whole
    schema."""
    part = root
    for name in reference.removeprefix("#").split("/")[1:]:
        name = unquote(name).replace("~1", "/").replace("~0", "~")
        try:
            part = part[int(name) if isinstance(part, list) else name]
        except (KeyError, IndexError, ValueError, TypeError):
            return root
    return part


# ------------------------------------------------------------------ in words


def _worded(error: jsonschema_rs.ValidationError) -> str:
    place = "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in error.instance_path
    )
    return f"{place.removeprefix('.')}: {_reason(error)}" if place else _reason(error)


def _reason(error: jsonschema_rs.ValidationError) -> str:
    import jsonschema_rs

    kinds = jsonschema_rs.ValidationErrorKind
    kind = error.kind
    if isinstance(kind, kinds.BacktrackLimitExceeded | kinds.RegexEngineFailure):
        raise TimeoutError("a pattern in the schema took too long")
    if isinstance(kind, kinds.AnyOf | kinds.OneOfNotValid):
        reasons = dict.fromkeys(_worded(branch[0]) for branch in kind.context if branch)
        return f"fits none of the alternatives ({' / '.join(reasons)})"
    return _shortened(error.message)


def _shortened(message: str) -> str:
    """Cut the middle of a message: it begins with the value, which may be long, and ends with the
    demand."""
    head, tail = 80, 160
    if len(message) <= head + tail:
        return message
    return f"{message[:head]} … {message[-tail:]}"

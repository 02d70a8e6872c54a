"""JSON Schemas from data files: checked when they are read, never fetched, and what does not fit.

A pattern in a schema is given up after so many steps back, for it comes from a data file too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator

if TYPE_CHECKING:
    import jsonschema_rs


def on_one_line(schema: dict[str, Any]) -> str:
    """The schema as JSON; raises where it has what JSON has not (TOML: dates)."""
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
    """What of the value does not fit the schema, each with its place.

    Raises TimeoutError where a pattern takes too many steps.
    """
    return map(_worded, _validator(schema).iter_errors(value))


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
    """A message begins with the value, which may be long, and ends with what was expected."""
    head, tail = 80, 160
    if len(message) <= head + tail:
        return message
    return f"{message[:head]} … {message[-tail:]}"

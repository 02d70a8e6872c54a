"""A rubric in a file of its own: TOML or JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from refinecli.errors import InputError, UsageError
from refinecli.field_errors import check_kinds, input_error
from refinecli.item_defaults import item_fields
from refinecli.text.json_text import loads
from refinecli.types import JSONObject, RubricItem


def read_rubric(path: Path) -> list[JSONObject]:
    """The items of a `--rubric` file: TOML `[[rubric_items]]`, or JSON with those or a list."""
    import tomllib

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--rubric {path}: {error.strerror}") from None
    try:
        value = tomllib.loads(data.decode()) if path.suffix == ".toml" else loads(data)
    except ValueError as error:
        raise UsageError(f"--rubric {path}: {error}", "TOML (.toml) or JSON") from None
    items = value.get("rubric_items") if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise UsageError(
            f"--rubric {path}: no rubric items in it", "a list of items under `rubric_items`"
        )
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise UsageError(f"--rubric {path}: rubric_items[{index}] is not an object")
        try:
            check_kinds(items)
            RubricItem.model_validate(item_fields(item, index))
        except ValidationError as error:
            fault = input_error(error)
            raise UsageError(
                f"--rubric {path}: rubric_items[{index}].{fault.message}", fault.hint
            ) from None
        except InputError as fault:
            raise UsageError(f"--rubric {path}: {fault.message}", fault.hint) from None
    return items

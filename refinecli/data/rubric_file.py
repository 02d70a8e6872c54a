"""Read a rubric from its own file: TOML or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from refinecli.data.item_slips import slip
from refinecli.data.whole_files import read_at_most, read_whole
from refinecli.errors import InputError, UsageError, option
from refinecli.field_errors import check_kind, in_our_words
from refinecli.item_defaults import item_fields
from refinecli.text import toml_text
from refinecli.text.json_text import loads
from refinecli.text.urls import is_url, without_credentials
from refinecli.types import JSONObject, RubricItem

_BOM = b"\xef\xbb\xbf"


def read_rubric(path: Path | str, on_note: Callable[[str], None]) -> list[JSONObject]:
    """Read the items of a rubric file: TOML `[[rubric_items]]`, or JSON with those or a list.

    It may be behind a URL. `on_note` is called with a probable slip, such as a key close to one of
    ours. Raise UsageError naming what is wrong.
    """
    shown = without_credentials(path) if isinstance(path, str) and is_url(path) else str(path)
    named = option("rubric", shown)
    try:
        data = _content(path).removeprefix(_BOM)
    except OSError as error:
        raise UsageError(f"{named}: {error.strerror}") from None
    try:
        value = toml_text.loads(data.decode()) if shown.endswith(".toml") else loads(data)
    except ValueError as error:
        raise UsageError(f"{named}: {error}", "write TOML (.toml) or JSON") from None
    items = value.get("rubric_items") if isinstance(value, dict) else value
    if not isinstance(items, list) or not items:
        raise UsageError(f"{named}: no rubric items in it", "list them under `rubric_items`")
    _check_items(items, named)
    if note := slip(items):
        on_note(f"{shown}: {note}")
    return items


def _content(path: Path | str) -> bytes:
    if isinstance(path, str) and is_url(path):
        from refinecli.data.remote import RemoteObject

        with RemoteObject(path).open() as file:
            return read_at_most(file)
    return read_whole(Path(path))


def _check_items(items: Sequence[Any], named: str) -> None:
    names: dict[object, int] = {}
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise UsageError(f"{named}: rubric_items[{index}] is not an object")
        place = f"rubric_items[{index}]."
        try:
            check_kind(item)
            with in_our_words():
                RubricItem.model_validate(item_fields(item, index))
        except InputError as fault:
            message, hint = fault.args
            raise UsageError(f"{named}: {place}{message}", hint) from None
        name = item.get("name")
        if name is not None and names.setdefault(name, index) != index:
            raise UsageError(
                f"{named}: {place}name: {name!r} is the name of rubric_items[{names[name]}] too",
                "give each item a name of its own",
            )

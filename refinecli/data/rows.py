"""Turn one line of JSONL into one datapoint, or report what is wrong with it at `path:line`.

Reading keeps the line's own object next to the datapoint, so that writing gives back every unknown
key, equal as JSON.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from refinecli.data.conversations import CONVO_NAMES, Conversation, conversation_of
from refinecli.data.fast_rows import plain_datapoint
from refinecli.data.item_slips import slip
from refinecli.errors import InputError, option
from refinecli.field_errors import check_kinds, in_our_words
from refinecli.item_defaults import (
    item_fields,
    message_fields,
    with_defaults,
    without_nulls,
    written_item,
)
from refinecli.text.clean import one_line
from refinecli.text.json_text import digest, loads
from refinecli.text.reasoning import split_leading_reasoning
from refinecli.types import Datapoint, JSONObject


class Row(NamedTuple):
    """One line that was read: its object and, unless there is an `error`, its datapoint.

    `text` is the line itself where there is no object to give back, `file` its origin if there are
    several files. `replaced` are the names of its items that the rubric has its own form of.
    """

    line: int
    raw: JSONObject
    datapoint: Datapoint | None = None
    error: InputError | None = None
    text: str = ""
    note: str = ""  # a probable slip, which may also be intended
    file: str = ""
    replaced: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # of the settings, on this datapoint

    @property
    def notes(self) -> tuple[str, ...]:
        """Whatever is worth saying once, although the row can be used."""
        replaced = (f'the rubric replaces the item "{name}"' for name in self.replaced)
        return (*((self.note,) if self.note else ()), *replaced, *self.remarks)


def read_row(data: bytes, line: int, where: str, rubric: Sequence[JSONObject] = ()) -> Row:
    """Read one line; never raise: a line that cannot be used is a row with `error`.

    `rubric` are items to add to the datapoint's own; one with a name of its own replaces the
    datapoint's of that name. `where` names the file in errors.
    """
    try:
        try:
            value = loads(data)
        except ValueError as error:
            raise InputError(f"not JSON: {error}", "each line must be one JSON object") from None
        if not isinstance(value, dict):
            raise InputError(
                f"expected a JSON object, found {_kind(value)}", "each line must be one JSON object"
            )
        if _is_error_record(value):
            return Row(line, value)
        return _row(line, value, rubric)
    except InputError as error:
        error.where, error.line = f"{where}:{line}", line
        return Row(line, {}, error=error, text=data.decode("utf-8", "backslashreplace"))


def _kind(value: object) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _is_error_record(value: JSONObject) -> bool:
    """Return whether an earlier command could not read the line, which is then passed on as it
    is."""
    error = value.get("error")
    return isinstance(error, dict) and error.get("type") == "input" and "raw" in value


def _row(line: int, raw: JSONObject, rubric: Sequence[JSONObject]) -> Row:
    for name in CONVO_NAMES:
        if raw.get(name) is not None:
            break
    else:
        raise InputError(
            "convo: field required",
            _meant(raw, CONVO_NAMES) or _LOOKED_FOR + _columns(raw),
        )
    said = conversation_of(raw, name)
    convo = said.convo
    own = _own_items(raw.get("rubric_items"))
    if own is None and not rubric:
        raise InputError(
            "rubric_items: field required",
            _meant(raw, ("rubric_items",))
            or f"give the row rubric_items, or all rows {option('rubric', 'FILE')}",
        )
    items, replaced = _all_items(own, rubric)
    if plain := plain_datapoint(raw, convo, items):
        datapoint, written = plain
    else:
        if isinstance(convo, list):
            convo = [message_fields(message) for message in convo]
        datapoint = _validated(raw, said._replace(convo=convo), items)
        written = [written_item(item) for item in items]
    if datapoint.response and (answer := split_leading_reasoning(datapoint.response)[1]) != (
        datapoint.response
    ):  # what ends inside its thoughts is not an answer
        datapoint = datapoint.model_copy(update={"response": answer or None})
    given_id = raw.get("id")
    if given_id is None:
        own_written = map(_own_written, own or ()) if replaced else written[: len(own or ())]
        own_items = [without_nulls(item) for item in own_written]
        datapoint = datapoint.model_copy(update={"id": digest([convo, own_items])})
        raw = raw if "id" in raw else {"id": None, **raw}
    raw = {**raw, "id": datapoint.id, "rubric_items": written}
    note = slip(_kept(own, items) if replaced else own or ()) or _stray(tuple(raw))
    return Row(line, raw, datapoint, note=note, replaced=replaced)


def _kept(own: Sequence[JSONObject], items: Sequence[JSONObject]) -> list[JSONObject]:
    """Return the row's own items, with an empty one in the place of each that is replaced."""
    return [mine if mine is item else {} for mine, item in zip(own, items, strict=False)]


_LOOKED_FOR = "give the conversation prefix under convo, prefix, messages or prompt"
_MOST_COLUMNS = 8  # that an error lists


def _columns(raw: JSONObject) -> str:
    """Say what a row has in place of a conversation."""
    if raw.get("conversations") is not None:
        return "; the task chat of generate-data reads a column conversations"
    there = [one_line(key, 40) for key, value in raw.items() if value is not None]
    if not there:
        return ""
    more = len(there) - _MOST_COLUMNS
    listed = ", ".join(there[:_MOST_COLUMNS]) + (f" and {more} more" if more > 0 else "")
    return f"; the row has {listed}"


def _own_items(value: object) -> Any:
    """Return a row's items, which tables hold as JSON text where columns must be alike, as our own
    exports for trainers do."""
    if not (isinstance(value, str) and value.lstrip().startswith("[")):
        return value
    try:
        return loads(value.encode())
    except ValueError as error:
        raise InputError(
            f"rubric_items: is text that is not JSON: {error}", "give a list, or a list as JSON"
        ) from None


_FIELDS = (*CONVO_NAMES, *("rubric_items", "response", "reference"))


@lru_cache(maxsize=256)  # most rows have the same keys
def _stray(keys: tuple[str, ...]) -> str:
    """Name a field that is close to one of ours which is absent."""
    for key in keys:
        if key not in _FIELDS and (close := _close_to(key)) and close not in keys:
            if close in CONVO_NAMES:  # another of these is present
                continue
            return f"{key} is passed on but means nothing here; did you mean {close}?"
    return ""


def _meant(raw: JSONObject, names: Sequence[str]) -> str:
    """Name what a row has in place of a field that it lacks."""
    for key in raw:
        if (close := _close_to(key)) in names and key not in _FIELDS:
            return f"did you mean {close} by {key}?"
    return ""


@lru_cache(maxsize=1024)  # comparing names is slow
def _close_to(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key, _FIELDS, n=1, cutoff=0.75)), None)


def _all_items(own: Any, rubric: Sequence[JSONObject]) -> tuple[Any, tuple[str, ...]]:
    """Return the row's own items and those of the rubric that are not among them, and the names of
    the items that the rubric replaces, each in its place."""
    items = [] if own is None else own
    if not isinstance(items, list) or not rubric:
        return items, ()
    there = [with_defaults(item) for item in items if isinstance(item, dict)]
    places = _places(items)
    result, replaced = list(items), []
    for item in rubric:
        name = item.get("name")
        if name is None or name not in places:
            if with_defaults(item) not in there:
                result.append(item)
        elif with_defaults({**items[places[name]], "name": name}) != with_defaults(item):
            result[places[name]] = item
            replaced.append(name)
    return result, tuple(replaced)


def _places(items: Sequence[object]) -> dict[str, int]:
    """Return the first place of each name; an item without one is named after its place."""
    places: dict[str, int] = {}
    for index, item in enumerate(items):
        if isinstance(item, dict):
            name = item.get("name")
            if isinstance(name := f"item-{index}" if name is None else name, str):
                places.setdefault(name, index)
    return places


def _own_written(item: JSONObject) -> JSONObject:
    """Return an item of the row in its written form, which one that is replaced may not have."""
    try:
        return written_item(item)
    except KeyError:
        return item


def _validated(raw: JSONObject, said: Conversation, items: object) -> Datapoint:
    """Return the datapoint, or raise an InputError that says what is wrong and where."""
    fields = {key: raw.get(key) for key in ("response", "reference", "group", "tags")}
    fields["convo"] = said.convo
    fields["rubric_items"] = _items(items)
    given_id = raw.get("id")
    fields["id"] = "" if given_id is None else given_id
    try:
        check_kinds(items)
        with in_our_words():
            datapoint = Datapoint.model_validate(fields)
        datapoint.check_whole()
    except InputError as error:
        message, hint = error.args
        raise InputError(said.place(message), hint) from None
    return datapoint


def _items(items: object) -> object:
    if not isinstance(items, list):
        return items
    return [
        item_fields(item, index) if isinstance(item, dict) else item
        for index, item in enumerate(items)
    ]


def unreadable_record(row: Row) -> JSONObject:
    """Return the line that stands for one that could not be read."""
    assert row.error is not None
    error = {
        "type": "input",
        **({"file": row.file} if row.file else {}),
        "line": row.line,
        "message": row.error.message,
        "stage": "input",
    }
    return {"error": error, "raw": row.text}

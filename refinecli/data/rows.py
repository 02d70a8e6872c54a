"""One line of JSONL <-> one datapoint; what is wrong with a line is said with `path:line`.

Reading keeps the line's own object beside the datapoint, so that writing gives back every key we
do not know, equal as JSON. orjson does the work; where it would not give back what stood there
(integers beyond 64 bits, lone surrogates) the standard library does.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args

import orjson
from pydantic import ValidationError

from refinecli.checks.kinds import Check
from refinecli.data.fast_rows import plain_datapoint
from refinecli.errors import InputError, UsageError
from refinecli.item_defaults import item_fields, slip, with_defaults, without_nulls, written_item
from refinecli.types import Datapoint, JSONObject, RubricItem

CONVO_NAMES = ("convo", "prefix", "messages", "prompt")
# orjson turns an integer beyond 64 bits into a float, and such an integer has 19 digits or more.
# Looked for by `in` among bytes whose digits are all made 0: ten times as fast as by an expression.
_BIG_INTEGER = b"0" * 19
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else 255 for byte in range(256))
# Every line that is read has to be written again, and Python writes some hundred levels at most.
_SURELY_WRITABLE = 500


class Row(NamedTuple):
    """One line that was read: its object and, unless `error` says why not, its datapoint.

    `text` is the line itself where there is no object to give back, `file` the file that it is from
    where there are several.
    """

    line: int
    raw: JSONObject
    datapoint: Datapoint | None = None
    error: InputError | None = None
    text: str = ""
    note: str = ""  # what looks like a slip, but may be meant
    file: str = ""


# ------------------------------------------------------------------ JSON


def loads(data: bytes) -> Any:
    """The JSON value; raises ValueError (with the reason) where it is none, or one too deep."""
    text = data.decode("utf-8")
    if _BIG_INTEGER in data.translate(_DIGITS_TO_0):
        return _exact_loads(text)
    if len(data) > _SURELY_WRITABLE and data.count(b"[") + data.count(b"{") > _SURELY_WRITABLE:
        return _exact_loads(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _exact_loads(text)


def _exact_loads(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def finite(text: str) -> float:
        if math.isinf(number := float(text)):
            raise ValueError(f"{text} is too large a number")
        return number

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
        dumps(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dumps(value: Any) -> bytes:
    """The value as one line of JSON, without the newline."""
    try:
        return orjson.dumps(value)
    except TypeError:  # a big integer or a lone surrogate
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def canonical(value: Any) -> bytes:
    """Bytes that are equal for equal JSON values, whatever the order of keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(value: Any) -> str:
    """16 hexadecimal digits that are equal for equal JSON values, whatever the order of keys."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]


# ------------------------------------------------------------------ reading


def read_row(data: bytes, line: int, where: str, rubric: Sequence[JSONObject] = ()) -> Row:
    """The row that one line is; never raises: a line that cannot be used is a row with `error`.

    `rubric` are items to add to the datapoint's own. `where` names the file in errors.
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
    """A line that an earlier command could not read; it is passed on as it is."""
    error = value.get("error")
    return isinstance(error, dict) and error.get("type") == "input" and "raw" in value


def _row(line: int, raw: JSONObject, rubric: Sequence[JSONObject]) -> Row:
    for name in CONVO_NAMES:
        if raw.get(name) is not None:
            break
    else:
        raise InputError(
            "convo: field required",
            _meant(raw, CONVO_NAMES)
            or "the conversation prefix, under convo, prefix, messages or prompt",
        )
    convo = raw[name]
    if isinstance(convo, str):
        convo = [{"role": "user", "content": convo}]
    own = raw.get("rubric_items")
    if own is None and not rubric:
        raise InputError(
            "rubric_items: field required",
            _meant(raw, ("rubric_items",))
            or "give the row rubric_items, or all rows --rubric FILE",
        )
    items = _all_items(own, rubric)
    if plain := plain_datapoint(raw, convo, items):
        datapoint, written = plain
    else:
        if isinstance(convo, list):
            convo = [_message(message) for message in convo]
        datapoint = _validated(raw, name, convo, items)
        written = [written_item(item) for item in items]
    given_id = raw.get("id")
    if given_id is None:
        own_items = [without_nulls(item) for item in written[: len(own or ())]]
        datapoint = datapoint.model_copy(update={"id": digest([convo, own_items])})
        raw = raw if "id" in raw else {"id": None, **raw}
    raw = {**raw, "id": datapoint.id, "rubric_items": written}
    return Row(line, raw, datapoint, note=slip(own or ()) or _stray(raw))


_FIELDS = (*CONVO_NAMES, *("rubric_items", "response", "reference"))


def _stray(raw: JSONObject) -> str:
    """A field that is none of ours and close to one that is not there."""
    for key in raw:
        if key not in _FIELDS and (close := _close_to(key)) and close not in raw:
            if close in CONVO_NAMES:  # another of these is there
                continue
            return f"{key} is passed on and means nothing here; did you mean {close}?"
    return ""


def _meant(raw: JSONObject, names: Sequence[str]) -> str:
    """What a row has in place of a field that it lacks."""
    for key in raw:
        if (close := _close_to(key)) in names and key not in _FIELDS:
            return f"did you mean {close} by {key}?"
    return ""


@lru_cache(maxsize=1024)  # the same keys stand in every row, and comparing them is slow
def _close_to(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key, _FIELDS, n=1, cutoff=0.75)), None)


def _all_items(own: Any, rubric: Sequence[JSONObject]) -> Any:
    """The row's own items and those of the rubric that are not among them."""
    items = [] if own is None else own
    if not isinstance(items, list) or not rubric:
        return items
    there = [with_defaults(item) for item in items if isinstance(item, dict)]
    return [*items, *(item for item in rubric if with_defaults(item) not in there)]


def _validated(raw: JSONObject, name: str, convo: object, items: object) -> Datapoint:
    """The datapoint, or an InputError that says what is wrong and where."""
    fields = {key: raw.get(key) for key in ("response", "reference", "group", "tags")}
    fields["convo"] = convo
    fields["rubric_items"] = _items(items)
    given_id = raw.get("id")
    fields["id"] = "" if given_id is None else given_id
    _check_kinds(items)
    try:
        datapoint = Datapoint.model_validate(fields)
    except ValidationError as error:
        raise _input_error(error, name) from None
    _check_convo(datapoint, name)
    if not any(item.weight > 0 for item in datapoint.rubric_items):
        raise InputError("rubric_items: no item has a positive weight", "give one weight above 0")
    return datapoint


def _items(items: object) -> object:
    if not isinstance(items, list):
        return items
    return [
        item_fields(item, index) if isinstance(item, dict) else item
        for index, item in enumerate(items)
    ]


def _message(message: object) -> object:
    """A message as it goes over the wire, where a null could be refused; `content` may be null."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if isinstance(content, list):
        content = [without_nulls(part) if isinstance(part, dict) else part for part in content]
    return {**without_nulls(message), **({"content": content} if "content" in message else {})}


def _check_kinds(items: object) -> None:
    """pydantic looks `kind` up in a table, and fails on what cannot be a key of one."""
    for index, item in enumerate(items if isinstance(items, list) else ()):
        check = item.get("check") if isinstance(item, dict) else None
        if isinstance(check, dict) and isinstance(check.get("kind"), list | dict):
            raise InputError(f"rubric_items[{index}].check: kind must be a text", _HINTS["check"])


def _check_convo(datapoint: Datapoint, name: str) -> None:
    for index, message in enumerate(datapoint.convo):
        if message.get("content") is None and not message.get("tool_calls"):
            raise InputError(f"{name}[{index}].content: field required", "give the message a text")
    if datapoint.convo[-1]["role"] == "assistant":
        raise InputError(
            f"{name}: must not end with an assistant message",
            "an answer that exists already belongs into `response`",
        )


_HINTS = {
    "rubric_str": "the criterion in words",
    "check": "checks and their options: README, 'The datapoint'",
    "role": "system, user, assistant or tool",
    "weight": "a number; negative for a penalty",
    "score_range": "two numbers, the lower one first",
    "pass_score": "the share of its range that an item needs to pass, such as 0.7",
    "rubric_items": 'a list of objects, such as [{"rubric_str": "Is the answer polite?"}]',
}


_CHECKS: dict[str, Any] = {
    kind.model_fields["kind"].annotation.__args__[0]: kind for kind in get_args(get_args(Check)[0])
}
_PLAIN_WORDS = {
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a text",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "too_short": "must not be empty",
}


def _input_error(error: ValidationError, convo_name: str) -> InputError:
    # pydantic calls a list too short where one of its entries is wrong.
    details = [
        detail
        for detail in error.errors(include_url=False, include_context=False)
        if not (detail["type"] == "too_short" and detail["input"])
    ]
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")  # a slip explains the rest
    path = _place(details[0]["loc"], convo_name)
    message = _said(details[0])
    if {detail["type"] for detail in details if detail["loc"][:-1] == details[0]["loc"][:-1]} == {
        "int_type",
        "float_type",
    }:
        message = _PLAIN_WORDS["float_type"]
    message = message.removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    more = len({_place(detail["loc"], convo_name) for detail in details}) - 1
    suffix = f" (and {more} more {'mistake' if more == 1 else 'mistakes'})" if more else ""
    leaf = re.split(r"[.\[]", path)
    hint = next((_HINTS[part] for part in reversed(leaf) if part in _HINTS), "")
    return InputError(f"{path}: {message}{suffix}", hint)


def _said(detail: Any) -> str:
    """What is wrong, with what was probably meant."""
    kind, given = detail["type"], detail["input"]
    known = ", ".join(sorted(_CHECKS))
    if kind == "union_tag_not_found":
        return f"kind is missing; one of {known}"
    if kind == "union_tag_invalid":
        return f"unknown kind {given['kind']!r}{_close(given['kind'], _CHECKS)}; one of {known}"
    if kind == "extra_forbidden" and "check" in detail["loc"]:
        fields = _CHECKS[detail["loc"][-2]].model_fields
        options = {field.alias or name for name, field in fields.items()} - {"kind"}
        name = detail["loc"][-1]
        listed = ", ".join(sorted(options)) or "none"
        return f"no such option{_close(name, options)}; {detail['loc'][-2]} takes {listed}"
    return str(_PLAIN_WORDS.get(kind, detail["msg"]))


def _close(name: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(name), known, n=1)
    return f", did you mean {close[0]}?" if close else ""


def _place(loc: tuple[int | str, ...], convo_name: str) -> str:
    """`rubric_items[0].check.words` from pydantic's location, without the names of union arms."""
    path = ""
    for position, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif position and loc[position - 1] in ("check", "content", "id", "group", "tags", "value"):
            continue
        else:
            path += f".{part}" if path else convo_name if part == "convo" else part
    return path


# ------------------------------------------------------------------ rubric files


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
            _check_kinds(items)
            RubricItem.model_validate(item_fields(item, index))
        except ValidationError as error:
            fault = _input_error(error, "convo")
            raise UsageError(
                f"--rubric {path}: rubric_items[{index}].{fault.message}", fault.hint
            ) from None
        except InputError as fault:
            raise UsageError(f"--rubric {path}: {fault.message}", fault.hint) from None
    return items


# ------------------------------------------------------------------ writing


def unreadable_record(row: Row) -> JSONObject:
    """The line that stands for one that could not be read."""
    assert row.error is not None
    error = {
        "type": "input",
        **({"file": row.file} if row.file else {}),
        "line": row.line,
        "message": row.error.message,
        "stage": "input",
    }
    return {"error": error, "raw": row.text}

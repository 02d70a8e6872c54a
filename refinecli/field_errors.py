"""pydantic's errors in our words: the field's path, what is wrong with it, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import ValidationError

from refinecli.checks.kinds import Check
from refinecli.errors import InputError

_HINTS = {
    "rubric_str": "write the criterion in words",
    "check": "see `refinecli help checks` for the checks and their options",
    "role": "use system, user, assistant or tool",
    "weight": "give a number, negative for a penalty",
    "score_range": "give two numbers, the lower one first",
    "pass_score": "give the share of its range that an item needs to pass, such as 0.7",
    "rubric_items": 'give a list of objects, such as [{"rubric_str": "Is the answer polite?"}]',
}


_CHECKS: dict[str, Any] = {
    kind.model_fields["kind"].annotation.__args__[0]: kind for kind in get_args(get_args(Check)[0])
}
_PLAIN_WORDS = {
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "float_type": "must be a number",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "too_short": "must not be empty",
}


@contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what pydantic finds as an InputError that names the field."""
    try:
        yield
    except ValidationError as error:
        raise input_error(error) from None


def refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    """Raise InputError for a field that a record does not have."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"use one of: {', '.join(known)}"
            raise InputError(f"{name}: there is no such field", hint)


def input_error(error: ValidationError) -> InputError:
    """Return the first mistake that pydantic found, with the number of the others."""
    # pydantic calls a list too short where one of its entries is wrong.
    details = [
        detail
        for detail in error.errors(include_url=False, include_context=False)
        if not (detail["type"] == "too_short" and detail["input"])
    ]
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")  # a slip explains the rest
    path = _place(details[0]["loc"])
    message = _said(details[0])
    if {detail["type"] for detail in details if detail["loc"][:-1] == details[0]["loc"][:-1]} == {
        "int_type",
        "float_type",
    }:
        message = _PLAIN_WORDS["float_type"]
    message = worded(message)
    more = len({_place(detail["loc"]) for detail in details}) - 1
    suffix = f" (and {more} more {'mistake' if more == 1 else 'mistakes'})" if more else ""
    leaf = re.split(r"[.\[]", path)
    hint = next((_HINTS[part] for part in reversed(leaf) if part in _HINTS), "")
    return InputError(f"{path}: {message}{suffix}" if path else message + suffix, hint)


def worded(message: str) -> str:
    """Return a message of pydantic's as the end of a sentence that begins with the field."""
    message = message.removeprefix("Value error, ")
    if message.startswith(asked := "Input should "):
        message = f"must {message.removeprefix(asked)}"
    return message[:1].lower() + message[1:]


def _said(detail: Any) -> str:
    """Say what is wrong, with what was probably meant."""
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


def _place(loc: tuple[int | str, ...]) -> str:
    """Write pydantic's location as `rubric_items[0].check.words`, without names of union arms."""
    path = ""
    for position, part in enumerate(loc):
        if isinstance(part, int):
            path += f"[{part}]"
        elif position and loc[position - 1] in ("check", "content", "id", "group", "tags", "value"):
            continue
        else:
            path += f".{part}" if path else part
    return path


def check_kinds(items: object) -> None:
    """Raise InputError where a check's kind is a list or an object. pydantic looks it up in a table
    and fails on what cannot be a key of one."""
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            check_kind(item, f"rubric_items[{index}].")


def check_kind(item: Mapping[str, object], place: str = "") -> None:
    """Raise InputError where the kind of one item's check is a list or an object."""
    check = item.get("check")
    if isinstance(check, dict) and isinstance(check.get("kind"), list | dict):
        raise InputError(f"{place}check: kind must be a string", _HINTS["check"])

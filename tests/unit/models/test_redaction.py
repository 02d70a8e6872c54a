"""A key is hidden however it is spelled, and a short one does not spoil what others say."""

from __future__ import annotations

import json
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import CompletionError
from refinecli.models.redaction import Redaction
from refinecli.models.reply import read_completion

KEY = "sk-0123456789/abc+def="
SURE = Redaction(KEY)


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        quote(KEY, safe=""),
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in KEY),
        quote(KEY, safe="").lower(),
        quote(quote(KEY, safe="")),
        "".join(f"%{ord(character):02X}" for character in KEY),
    ],
    ids=["plain", "percent", "slashes", "escapes", "lower", "twice", "all percent"],
)
def test_a_key_is_hidden_in_every_spelling_of_json(spelled: str) -> None:
    content = b'{"a": "so ' + spelled.encode() + b' it is", "b": [1, null]}'
    assert orjson.loads(SURE.reply(content)) == {"a": "so [key] it is", "b": [1, None]}


def test_a_key_is_hidden_in_what_is_not_json_and_in_names() -> None:
    assert SURE.reply(b"<p>" + KEY.encode() + b"\xff") == b"<p>[key]\xff"
    assert orjson.loads(SURE.reply(orjson.dumps({KEY: 1}))) == {"[key]": 1}


@given(st.binary() | st.text().map(lambda text: json.dumps({"a": text}).encode()))
def test_a_reply_without_the_key_stays_as_it_is(content: bytes) -> None:
    assert SURE.reply(content) == content


def test_a_short_key_stays_in_what_a_model_writes() -> None:
    content = b'{"a": "Unsupported parameter: max_tokens x"}'
    assert Redaction("x").reply(content) == content
    assert Redaction("").reply(content) == content


def test_a_short_key_is_hidden_as_a_word_in_errors_and_logs() -> None:
    error = Redaction("x").error(CompletionError("auth", "key x for max_tokens", "is x right?"))
    assert (error.message, error.hint) == ("key [key] for max_tokens", "is [key] right?")
    assert Redaction("x").logged(b'{"a": "x max"}') == b'{"a": "[key] max"}'
    assert SURE.logged(KEY.encode()) == b"[key]"


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.mark.parametrize(
    "content",
    [
        '{"x": NaN, "choices": [{"message": {"content": "' + ESCAPED + '"}}]}',
        ': wait\n{"choices": [{"message": {"content": "' + ESCAPED + '"}}]}',
        f'data: {{"choices": [{{"delta": {{"content": "{KEY[:9]}"}}}}]}}\n\n'
        f'data: {{"choices": [{{"delta": {{"content": "{KEY[9:]}"}}}}]}}\n\ndata: [DONE]\n\n',
        '{"choices": [{"message": {"content": "{\\"a\\": \\"'
        + ESCAPED.replace("\\", "\\\\")
        + '"}}]}',
    ],
    ids=["not quite JSON", "comment", "split over a stream", "JSON in JSON"],
)
def test_no_way_of_reading_a_reply_brings_the_key_back(content: str) -> None:
    text = read_completion(SURE.reply(content.encode())).text
    assert "[key]" in text
    assert KEY not in text


def test_a_key_is_hidden_in_json_that_broke_off() -> None:
    assert SURE.reply(b'{"a": "' + ESCAPED.encode()) == b'{"a": "[key]'

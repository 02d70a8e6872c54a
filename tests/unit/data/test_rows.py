"""A line is a datapoint and comes out again; what is wrong with it is said, never raised."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from refinecli.data import fast_rows
from refinecli.data import rows as jsonl
from refinecli.data.fast_rows import plain_datapoint
from refinecli.data.rows import read_row, unreadable_record
from refinecli.data.rubric_file import read_rubric
from refinecli.errors import UsageError
from refinecli.generators import TASKS
from refinecli.text.json_text import digest, dumps, loads
from refinecli.types import Datapoint, RubricItem
from tests.conftest import datapoint

TINKER = {
    "extraction_regex": "<score>(.*?)</score>",
    "grader_output_format_instruction": (
        "Please output your score between 0 and 1 wrapped in <score> ... </score>"
    ),
}
CONVO = [{"role": "user", "content": "What is 2 + 2?"}]


def line(**fields: Any) -> bytes:
    return json.dumps(datapoint(**fields)).encode()


def item(**fields: Any) -> bytes:
    """A line whose only item has these fields."""
    return line(rubric_items=[{"rubric_str": "Is it 4?", **fields}])


def read(data: bytes, rubric: list[dict[str, Any]] | None = None) -> Datapoint:
    row = read_row(data, 1, "in.jsonl", rubric or [])
    assert row.error is None, row.error
    assert row.datapoint is not None
    return row.datapoint


def written(data: bytes, rubric: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The line as it comes out again, as the standard library reads it."""
    row = read_row(data, 1, "in.jsonl", rubric or [])
    assert row.error is None, row.error
    value = json.loads(dumps(row.raw))
    assert isinstance(value, dict)
    return value


def message(data: bytes) -> str:
    """What is wrong with a line, as `path:line: message`."""
    row = read_row(data, 17, "in.jsonl")
    assert row.error is not None
    assert row.datapoint is None
    assert row.error.line == 17
    return f"{row.error.where}: {row.error.message}"


# ------------------------------------------------------------------ what is read


def test_tinkers_own_datapoint_is_read() -> None:
    point = read(
        json.dumps(
            {
                "convo": [
                    {"role": "user", "content": "What is 4 + 5?"},
                    {"role": "assistant", "content": "9"},
                    {"role": "user", "content": "What is 122 + 12?"},
                ],
                "rubric_items": [{"rubric_str": "Is it 134?", **TINKER}],
            }
        ).encode()
    )
    assert [m["role"] for m in point.convo] == ["user", "assistant", "user"]
    (only,) = point.rubric_items
    assert only.rubric_str == "Is it 134?"
    assert only.score_range == (0, 1)
    assert (only.name, only.weight, only.pass_score) == ("item-0", 1.0, 1.0)
    assert (only.required, only.reveal, only.check) == (False, "full", None)


@pytest.mark.parametrize("name", ["convo", "prefix", "messages", "prompt"])
@pytest.mark.parametrize("value", ["What is 2 + 2?", CONVO])
def test_a_conversation_is_read_under_its_names_and_comes_out_under_the_same(
    name: str, value: object
) -> None:
    data = json.dumps({name: value, "rubric_items": [{"rubric_str": "Is it 4?"}]}).encode()
    assert list(read(data).convo) == CONVO
    out = written(data)
    assert out[name] == value
    assert set(out) == {"id", name, "rubric_items"}


def test_an_alias_beside_the_conversation_is_an_unknown_key() -> None:
    data = line(prompt="something else", messages=None)
    assert list(read(data).convo) == CONVO
    out = written(data)
    assert (out["prompt"], out["messages"], out["convo"]) == ("something else", None, CONVO)


def test_null_is_absent() -> None:
    nothing = dict.fromkeys(["id", "response", "reference", "group", "tags", "prompt"])
    empty = dict.fromkeys(
        ["name", "score_range", "weight", "pass_score", "required", "reveal", "check"]
    ) | dict.fromkeys(TINKER)
    full = read(line(rubric_items=[{"rubric_str": "Is it 4?", **empty}], **nothing))
    plain = read(line(rubric_items=[{"rubric_str": "Is it 4?"}]))
    assert full == plain
    moved = {"convo": None, "messages": CONVO, "rubric_items": [{"rubric_str": "x"}]}
    assert list(read(json.dumps(moved).encode()).convo) == CONVO
    check = {"kind": "words", "min": 2, "max": None}
    assert read(item(check=check)).rubric_items[0].check is not None


@pytest.mark.parametrize("role", ["system", "user", "tool"])
def test_roles_and_content_parts_stay_what_they_are(role: str) -> None:
    convo = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]},
        {"role": role, "content": [{"type": "text", "text": "x"}, {"type": "y", "z": [1]}], "k": 1},
    ]
    assert written(line(convo=convo))["convo"] == convo
    assert [m["role"] for m in read(line(convo=convo)).convo] == ["system", "assistant", role]
    assert read(line(convo=convo)).convo[2] == convo[2]


def test_the_optional_fields_are_read() -> None:
    point = read(line(id=17, response="4", reference="Four.", group="sums", tags=["easy", "short"]))
    assert (point.id, point.response, point.reference) == (17, "4", "Four.")
    assert (point.group, point.tags) == ("sums", ["easy", "short"])


@pytest.mark.parametrize(
    ("instruction", "score_range"),
    [
        (TINKER["grader_output_format_instruction"], (0, 1)),
        ("Output your score between 1 and 5 wrapped in <score></score>", (1, 5)),
        ("Give a Score between 0.5 and 2.5.", (0.5, 2.5)),
        ("A score between -1 and 1, please", (-1, 1)),
        ("score between\n0 and 100", (0, 100)),
        ("score between 5 and 1", (0, 1)),
        ("score between 1 and 1", (0, 1)),
        ("Rate it from 1 to 10", (0, 1)),
        ("score between one and five", (0, 1)),
        ("", (0, 1)),
    ],
)
def test_the_range_is_taken_from_the_instruction(
    instruction: str, score_range: tuple[float, float]
) -> None:
    data = item(grader_output_format_instruction=instruction)
    assert read(data).rubric_items[0].score_range == score_range


def test_the_default_instruction_asks_for_an_items_own_range() -> None:
    asked = written(item(score_range=[1, 5]))["rubric_items"][0]["grader_output_format_instruction"]
    assert asked == "Please output your score between 1 and 5 wrapped in <score> ... </score>"
    assert "between 0 and 1 wrapped" in str(written(item(score_range=[0.0, 1])))
    half = str(written(item(score_range=[-0.5, 10]))["rubric_items"])
    assert "between -0.5 and 10 wrapped" in half


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {
                "score_range": [1, 5],
                "grader_output_format_instruction": "A score between 0 and 1 in <score></score>",
            },
            "score_range is 1 to 5, but its instruction asks for a score between 0 and 1",
        ),
        ({"extraction_regex": r"Score: (\d+)"}, "extraction_regex does not find <score>1</score>"),
        ({"extraction_regex": r"(\d+)"}, ""),
        ({"extraction_regex": r"Score: (\d+)", "check": {"kind": "json"}}, ""),
        (
            {
                "extraction_regex": r"Score: (\d+)",
                "grader_output_format_instruction": "End with Score: N, a score between 0 and 9.",
                "score_range": [0, 9],
            },
            "",
        ),
    ],
)
def test_an_item_that_contradicts_itself_is_noted(fields: dict[str, Any], told: str) -> None:
    note = read_row(item(**fields), 1, "in.jsonl").note
    assert note.removeprefix("rubric_items[0].").startswith(told) if told else not note
    again = read_row(dumps(written(item(**fields))), 1, "in.jsonl")
    assert again.note == note


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"referance": "4"}, "did you mean reference?"),
        ({"repsonse": "4"}, "did you mean response?"),
        ({"responses": ["4"], "response": "4"}, ""),
        ({"message": "another name of the conversation is there"}, ""),
        ({"meta": 1, "source": "web"}, ""),
    ],
)
def test_a_field_that_is_nearly_one_of_ours_is_noted(fields: dict[str, Any], told: str) -> None:
    note = read_row(line(**fields), 1, "in.jsonl").note
    assert told in note if told else not note


def test_a_field_that_is_missing_is_looked_for_under_names_close_to_its_own() -> None:
    for wrong, meant in (("promt", "prompt"), ("mesages", "messages")):
        error = read_row(dumps({wrong: "hi", "rubric_items": []}), 1, "in.jsonl").error
        assert error is not None
        assert error.hint == f"did you mean {meant} by {wrong}?"
    error = read_row(dumps({"prompt": "hi", "rubric_item": []}), 1, "in.jsonl").error
    assert error is not None
    assert error.hint == "did you mean rubric_items by rubric_item?"


def test_items_are_named_by_their_place() -> None:
    items = [{"rubric_str": "a"}, {"rubric_str": "b", "name": "B"}, {"rubric_str": "c"}]
    assert [i.name for i in read(line(rubric_items=items)).rubric_items] == [
        "item-0",
        "B",
        "item-2",
    ]


# ------------------------------------------------------------------ what is written


def test_all_three_tinker_keys_are_always_written() -> None:
    assert written(line())["rubric_items"] == [{"rubric_str": "Is the answer 4?", **TINKER}]
    check = {"kind": "contains_all", "words": ["dog"]}
    (only,) = written(line(rubric_items=[{"check": check}]))["rubric_items"]
    assert only == {
        "rubric_str": "The response contains all of these: dog",
        "check": check,
        **TINKER,
    }
    nulls = item(extraction_regex=None, grader_output_format_instruction=None)
    assert written(nulls)["rubric_items"] == [{"rubric_str": "Is it 4?", **TINKER}]


def test_a_given_pattern_and_instruction_are_written_as_given() -> None:
    own = {"extraction_regex": "S(.)", "grader_output_format_instruction": "Say S1."}
    assert written(item(**own))["rubric_items"] == [{"rubric_str": "Is it 4?", **own}]


def test_what_is_written_is_read_the_same_and_written_the_same() -> None:
    items = [
        {"rubric_str": "a", "weight": -0.5, "mine": 1},
        {"check": {"kind": "number", "value": 4}},
        {"rubric_str": "c", "score_range": [1, 5], "pass_score": 0.75, "required": True},
    ]
    data = line(rubric_items=items, response="4", mine={"a": None})
    once = dumps(read_row(data, 1, "in.jsonl").raw)
    assert dumps(read_row(once, 1, "in.jsonl").raw) == once
    assert read(once) == read(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**60, 2**70)
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=8), inner)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equal as JSON values: 1 and True are not, and nor are 1 and 1.0 at this strictness."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@given(JSON, JSON, JSON, st.booleans())
@example(2**64, -(2**63) - 1, 10**400, True)
@example("\ud800", {"\udfff": "\ud83d"}, "\U0001f415", True)
@example("\u2028\u2029\u0085\ufeff\x00\x1f\x7f", ["\ufeff"], {"\u2028": "\n"}, False)
@example(1e308, -0.0, 5e-324, True)
@example(0.1 + 0.2, 1e22, 12345678901234567.0, False)
@settings(deadline=None)
def test_unknown_keys_come_out_equal_as_json(top: Any, own: Any, part: Any, ascii: bool) -> None:
    value = datapoint(mine=top)
    value["rubric_items"][0]["mine"] = own
    value["convo"][0]["mine"] = part
    data = json.dumps(value, ensure_ascii=ascii)
    try:
        encoded = data.encode()
    except UnicodeEncodeError:  # a lone surrogate has to be written as an escape
        encoded = json.dumps(value).encode()
    row = read_row(encoded, 1, "in.jsonl")
    if any(0xD800 <= ord(c) <= 0xDFFF for key in _keys(part) for c in key) and row.error:
        return  # such a key in a message cannot be sent to anyone; refused by name
    out = written(encoded)
    assert b"\n" not in dumps(out)
    assert same(out["mine"], top)
    assert same(out["rubric_items"][0]["mine"], own)
    assert same(out["convo"][0]["mine"], part)


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\u0085b", "\ufeffa", "a\x0bb\x0cb"])
def test_odd_characters_inside_text_stay(text: str) -> None:
    data = json.dumps(datapoint(response=text, note=text), ensure_ascii=False).encode()
    assert read(data).response == text
    assert written(data)["note"] == text


def test_a_big_integer_is_a_possible_id() -> None:
    assert read(line(id=2**80)).id == 2**80
    assert written(line(id=2**80))["id"] == 2**80


@pytest.mark.parametrize("depth", [900, 1000, 2000, 100_000])
@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"k":', "}")])
def test_what_is_read_can_be_written_and_what_is_too_deep_is_refused(
    depth: int, open_: str, close: str
) -> None:
    nested = open_ * depth + "1" + close * depth
    data = line()[:-1] + b', "deep": ' + nested.encode() + b"}"
    row = read_row(data, 17, "in.jsonl")
    if row.error:
        assert row.error.message == "not JSON: nested too deeply"
        assert row.text == data.decode()
    else:
        assert json.loads(dumps(row.raw))["deep"] == json.loads(nested)
    assert row.error or depth < 100_000  # how deep Python can write differs by version


# ------------------------------------------------------------------ ids


def shuffled(value: Any) -> Any:
    """The same JSON value with all keys in the other order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(entry) for entry in value] if isinstance(value, list) else value


def test_equal_rows_have_the_same_id_and_others_another() -> None:
    assert read(line()).id == read(line()).id
    assert read(line()).id == written(line())["id"]
    assert re.fullmatch("[0-9a-f]{16}", str(read(line()).id))
    different = [
        line(convo=[{"role": "user", "content": "What is 2 + 3?"}]),
        line(convo=[{"role": "system", "content": "What is 2 + 2?"}]),
        item(),
        item(weight=2.0),
        item(extraction_regex="(.)"),
    ]
    assert len({read(data).id for data in [line(), *different]}) == 6


def test_an_id_does_not_hang_on_the_order_of_keys_or_on_other_fields() -> None:
    value = datapoint(rubric_items=[{"rubric_str": "x", "weight": 2.0, "mine": {"a": 1, "b": 2}}])
    first = read(json.dumps(value).encode())
    assert read(json.dumps(shuffled(value)).encode()).id == first.id
    others = {"response": "4", "reference": "4", "group": "g", "tags": ["t"], "mine": 1}
    assert read(json.dumps({**value, **others}).encode()).id == first.id


@given(JSON)
@settings(deadline=None)
def test_a_digest_does_not_hang_on_the_order_of_keys(value: Any) -> None:
    assert digest(shuffled(value)) == digest(value)


def test_an_id_stays_when_the_row_has_gone_through() -> None:
    out = dumps(read_row(line(), 1, "in.jsonl").raw)
    assert read(out).id == read(line()).id
    without = {key: value for key, value in json.loads(out).items() if key != "id"}
    assert read(json.dumps(without).encode()).id == read(line()).id


def test_a_given_id_stays() -> None:
    for given_id in ("addition-17", 17, 0, "", "0"):
        assert read(line(id=given_id)).id == given_id
        assert written(line(id=given_id))["id"] == given_id


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (line(rubric_items=[{}]), "rubric_items[0].rubric_str: field required"),
        (
            line(rubric_items=[{"rubric_str": "x"}, {"name": "b"}]),
            "rubric_items[1].rubric_str: field required",
        ),
        (line(rubric_items=[{"rubric_str": None}]), "rubric_items[0].rubric_str: field required"),
        (
            item(check={"kind": "contains_all"}),
            "rubric_items[0].check.words: field required",
        ),
        (line(convo=[{"content": "x"}]), "convo[0].role: field required"),
        (line(convo=[{"role": "user"}]), "convo[0].content: field required"),
        (line(convo=[{"role": "user", "content": None}]), "convo[0].content: field required"),
        (line(convo=None), "convo: field required"),
        (line(rubric_items=None), "rubric_items: field required"),
        (
            line(convo=[*CONVO, {"role": "assistant", "content": "4"}]),
            "convo: must not end with an assistant message",
        ),
        (item(weight=0), "rubric_items: no item has a positive weight"),
        (item(weight=-1), "rubric_items: no item has a positive weight"),
    ],
)
def test_an_error_names_the_line_and_the_field_exactly(data: bytes, expected: str) -> None:
    assert message(data) == f"in.jsonl:17: {expected}"


def test_an_error_in_an_alias_names_the_alias() -> None:
    items = [{"rubric_str": "x"}]
    bad = json.dumps({"messages": [{"role": "bot", "content": "x"}], "rubric_items": items})
    assert message(bad.encode()).startswith("in.jsonl:17: messages[0].role: ")
    ends = json.dumps({"prefix": [{"role": "assistant", "content": "x"}], "rubric_items": items})
    assert message(ends.encode()).startswith("in.jsonl:17: prefix: must not end with")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (line() + b"x", "not JSON"),
        (b'{"a": NaN}', "not JSON: NaN is not JSON"),
        (b'{"a": -Infinity}', "not JSON: -Infinity is not JSON"),
        (b'{"a": 1e999}', "not JSON: 1e999 is too large"),
        (b"\xef\xbb\xbf" + line(), "not JSON: "),
        (b'{"a": "\xff"}', "not JSON: "),
        (b'{"a": ' + b"1" * 5000 + b"}", "not JSON: "),
        (b"[]", "expected a JSON object, found an array"),
        (b'"x"', "expected a JSON object, found a string"),
        (b"1", "expected a JSON object, found a number"),
        (b"null", "expected a JSON object, found null"),
        (b"true", "expected a JSON object, found a boolean"),
        (line(convo=[]), "convo: "),
        (line(convo=5), "convo: "),
        (line(convo=[5]), "convo[0]: "),
        (line(convo=[{"role": "bot", "content": "x"}]), "convo[0].role: "),
        (line(convo=[{"role": "user", "content": 5}]), "convo[0].content: "),
        (line(rubric_items=[]), "rubric_items: "),
        (line(rubric_items={}), "rubric_items: "),
        (line(rubric_items=["x"]), "rubric_items[0]: "),
        (line(rubric_items=[{"rubric_str": ""}]), "rubric_items[0].rubric_str: "),
        (item(extraction_regex="("), "rubric_items[0].extraction_regex: not a regular expression"),
        (item(extraction_regex="(" * 5000 + ")" * 5000), "rubric_items[0].extraction_regex: "),
        (item(weight="1"), "rubric_items[0].weight: "),
        (item(weight=True), "rubric_items[0].weight: "),
        (item(pass_score=1.5), "rubric_items[0].pass_score: "),
        (item(required="yes"), "rubric_items[0].required: "),
        (item(reveal="none"), "rubric_items[0].reveal: "),
        (item(score_range=[1]), "rubric_items[0].score_range"),
        (item(score_range=[1, 2, 3]), "rubric_items[0].score_range: "),
        (item(score_range=[5, 1]), "rubric_items[0].score_range: "),
        (item(score_range=[1, 1]), "rubric_items[0].score_range: "),
        (item(score_range=[-1e308, 1e308]), "rubric_items[0].score_range: "),
        (item(check={"kind": "magic"}), "rubric_items[0].check: "),
        (item(check={"kind": ["regex"]}), "rubric_items[0].check: "),
        (item(check={"kind": {}}), "rubric_items[0].check: "),
        (item(check={}), "rubric_items[0].check: "),
        (item(check="json"), "rubric_items[0].check: "),
        (item(check={"kind": "regex", "pattern": "("}), "rubric_items[0].check.pattern: "),
        (item(check={"kind": "json", "words": []}), "rubric_items[0].check.words: "),
        (item(check={"kind": "words", "min": 3, "max": 1}), "rubric_items[0].check: min 3 is more"),
        (line(id=1.5), "id: "),
        (line(id=True), "id: "),
        (line(id=[]), "id: "),
        (line(response=4), "response: "),
        (line(reference=["4"]), "reference: "),
        (line(tags={"a": 1}), "tags: "),
        (line(group=[]), "group: "),
    ],
)
def test_a_line_that_cannot_be_used_says_why(data: bytes, expected: str) -> None:
    assert message(data).startswith(f"in.jsonl:17: {expected}")


def test_an_instruction_cannot_make_a_range_without_end() -> None:
    data = item(grader_output_format_instruction=f"score between 0 and {'9' * 400}")
    row = read_row(data, 1, "in.jsonl")
    assert row.error or row.datapoint
    if row.datapoint:
        assert row.datapoint.rubric_items[0].score_range == (0, 1)


def test_two_faults_are_counted_and_one_is_not() -> None:
    assert message(line(rubric_items=[{}, {}])).endswith("field required (and 1 more mistake)")
    assert "mistake" not in message(line(rubric_items=[{}]))
    assert "mistake" not in message(line(convo=[{"role": "bot", "content": "x"}]))


@pytest.mark.parametrize(
    "data", [b'{"id": ', line(rubric_items=[{}]), b"[]", "{é}".encode(), b'{"a": 1e999}']
)
def test_a_line_that_could_not_be_read_is_kept_whole(data: bytes) -> None:
    row = read_row(data, 17, "in.jsonl")
    record = unreadable_record(row)
    assert record["raw"] == data.decode()
    assert record["error"]["type"] == "input"
    assert record["error"]["line"] == 17
    assert record["error"]["message"]


def test_bytes_that_are_no_utf8_are_kept_readable() -> None:
    record = unreadable_record(read_row(b'{"a": "caf\xe9"}', 17, "in.jsonl"))
    assert record["raw"] == r'{"a": "caf\xe9"}'
    assert json.loads(dumps(record)) == record


def test_an_error_record_passes_through_as_it_is() -> None:
    record = unreadable_record(read_row(b"{", 17, "in.jsonl"))
    row = read_row(dumps(record), 1, "next.jsonl")
    assert (row.error, row.datapoint) == (None, None)
    assert row.raw == record
    assert dumps(row.raw) == dumps(record)


def test_a_datapoint_that_failed_is_simply_read_again() -> None:
    failed = line(error={"type": "timeout", "message": "gone", "stage": "policy"})
    assert list(read(failed).convo) == CONVO


TEXTS = ("id", "convo", "messages", "prompt", "response", "reference", "group", "tags")
LIKELY = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(TEXTS, JSON)
    | {
        "error": JSON,
        "raw": JSON,
        "convo": st.just(CONVO)
        | st.lists(st.fixed_dictionaries({"role": st.just("user")}, optional={"content": JSON})),
        "rubric_items": st.lists(
            JSON
            | st.fixed_dictionaries(
                {},
                optional={
                    "rubric_str": st.text() | JSON,
                    "extraction_regex": st.text("()[]{}*+?\\|^$.a0-,:<>P=!", max_size=12) | JSON,
                    "grader_output_format_instruction": st.text() | JSON,
                    "score_range": st.lists(st.floats() | JSON, max_size=3) | JSON,
                    "weight": st.floats(allow_nan=False, allow_infinity=False) | JSON,
                    "name": JSON,
                    "reveal": JSON,
                    "check": JSON
                    | st.fixed_dictionaries(
                        {"kind": st.sampled_from(["regex", "words", "number", "equals"]) | JSON},
                        optional={"words": JSON, "value": JSON, "pattern": JSON, "min": JSON},
                    ),
                },
            ),
            max_size=3,
        ),
    },
)


@pytest.mark.slow
@given(
    st.binary(max_size=200)
    | JSON.map(lambda value: json.dumps(value).encode())
    | LIKELY.map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=4 * settings().max_examples)
def test_no_line_raises_and_each_is_a_datapoint_an_error_or_an_error_record(data: bytes) -> None:
    row = read_row(data, 17, "in.jsonl")
    if row.error:
        assert row.datapoint is None
        assert row.error.message
        assert row.error.where == "in.jsonl:17"
        assert json.loads(dumps(unreadable_record(row)))["error"]["line"] == 17
    elif row.datapoint:
        again = read_row(dumps(row.raw), 17, "in.jsonl")
        assert again.datapoint == row.datapoint
        assert sum(i.weight for i in row.datapoint.rubric_items if i.weight > 0) > 0
    else:
        assert row.raw["error"]["type"] == "input"


PLAIN = {
    "id": "a",
    "convo": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}],
    "response": "4",
    "reference": "4",
    "group": "sums",
    "tags": "easy",
    "rubric_items": [
        {"rubric_str": "Is it 4?", "weight": 2, "reveal": "verdict"},
        {"rubric_str": "Is it kind?", **TINKER, "name": "kind", "score_range": [0, 1]},
        {"check": {"kind": "number", "value": 4}, "required": True, "pass_score": 0.5},
    ],
}
ODD: st.SearchStrategy[Any] = (
    st.sampled_from([None, "", "\ud800", "é", "(", 0, -1, 1, True, 1.0, 2**64, [], ["t"], {}])
    | st.sampled_from(["user", "assistant", "bot", [1, 5], [5, 1], {"kind": []}, {"kind": "json"}])
    | JSON
)
KEYS = ("id", "role", "content", "name", "rubric_str", "weight", "wieght", "check", "tags", "mine")


@st.composite
def nearly_plain(draw: st.DrawFn) -> Any:
    """A plain row in which a few values are others, gone, or too many."""
    row = json.loads(json.dumps(draw(st.sampled_from([PLAIN, shuffled(PLAIN)]))))
    for _ in range(draw(st.integers(0, 3))):
        inside = draw(st.sampled_from(list(containers(row))))
        key = draw(st.sampled_from([*(inside if isinstance(inside, dict) else ()), *KEYS]))
        if isinstance(inside, list):
            inside[: draw(st.integers(0, 1))] = copy.deepcopy(draw(st.lists(ODD, max_size=1)))
        elif draw(st.booleans()):
            inside[key] = copy.deepcopy(draw(ODD))  # the drawn one is shared by all rows
        else:
            inside.pop(key, None)
    return row


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for entry in value.values() if isinstance(value, dict) else value:
            yield from containers(entry)


@given(nearly_plain(), st.sampled_from([[], PLAIN["rubric_items"], [{"rubric_str": "x"}]]))
@settings(max_examples=5 * settings().max_examples)
def test_a_plain_row_is_read_as_validation_reads_it(
    value: dict[str, Any], rubric: list[dict[str, Any]]
) -> None:
    data = json.dumps(value).encode()
    row = read_row(data, 17, "in.jsonl", rubric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "plain_datapoint", lambda *_: None)
        validated = read_row(data, 17, "in.jsonl", rubric)
    assert (row.line, row.text, row.note) == (validated.line, validated.text, validated.note)
    assert json.dumps(row.raw) == json.dumps(validated.raw)
    assert repr(row.datapoint) == repr(validated.datapoint)  # unlike ==, tells 1 and True apart
    assert row.datapoint == validated.datapoint
    assert str(row.error) == str(validated.error)


def test_what_the_generators_make_is_plain() -> None:
    for name in ("addition", "keywords"):
        for made in TASKS[name].generate(3, 42):
            assert plain_datapoint(made, made["convo"], made["rubric_items"])


def test_items_of_texts_alone_are_read_without_building_the_rules_for_all_kinds_of_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def validate(fields: object) -> None:
        raise AssertionError(f"{fields} went through pydantic")

    monkeypatch.setattr(RubricItem, "model_validate", validate)
    fast_rows._shape.cache_clear()
    for made in TASKS["addition"].generate(3, 42):
        assert plain_datapoint(made, made["convo"], made["rubric_items"])


def test_a_plain_datapoint_is_a_whole_model() -> None:
    plain, validated = read(line()), Datapoint.model_validate(read(line()).model_dump())
    assert plain == validated
    assert plain.model_dump() == validated.model_dump()
    assert plain.model_copy(update={"id": 1}).id == 1
    with pytest.raises(ValidationError, match="frozen"):
        plain.id = 1  # type: ignore[misc]


def test_reading_json_is_strict_where_the_standard_library_is_not() -> None:
    for bad in (b"NaN", b"[Infinity]", b"01", b"'a'", b"[1,]", b'"\x01"', b"1e400", b"\xff", b""):
        with pytest.raises(ValueError, match=r"\w"):
            loads(bad)
    assert loads(b'{"a": 1, "a": 2}') == {"a": 2}


# ------------------------------------------------------------------ --rubric FILE


def test_items_of_a_rubric_file_are_added_to_every_row() -> None:
    rubric = [{"rubric_str": "Is it kind?"}]
    assert [i.rubric_str for i in read(line(), rubric).rubric_items] == [
        "Is the answer 4?",
        "Is it kind?",
    ]
    bare = json.dumps({"prompt": "Hi."}).encode()
    assert [i.rubric_str for i in read(bare, rubric).rubric_items] == ["Is it kind?"]
    assert written(bare, rubric)["rubric_items"] == [{"rubric_str": "Is it kind?", **TINKER}]


@pytest.mark.parametrize("own", [[{"rubric_str": "Is the answer 4?"}], None])
def test_a_rubric_given_to_both_ends_of_a_pipe_is_added_once(own: Any) -> None:
    rubric: list[dict[str, Any]] = [
        {"rubric_str": "Is it kind?"},
        {"check": {"kind": "words", "max": 9}},
    ]
    once = read_row(line(rubric_items=own), 1, "in.jsonl", rubric)
    twice = read_row(dumps(once.raw), 1, "in.jsonl", rubric)
    assert twice.datapoint == once.datapoint
    assert twice.raw == once.raw


OWN = [
    {"rubric_str": "Is it short?"},
    {"name": "kind", "rubric_str": "Is it kind?"},
    {"name": "true", "rubric_str": "Is it true?"},
]


def test_an_item_of_the_rubric_replaces_the_rows_of_its_name_in_its_place() -> None:
    harder = {"name": "kind", "rubric_str": "Is it kind to everyone?", "weight": 2}
    row = read_row(line(rubric_items=OWN), 1, "in.jsonl", [{"rubric_str": "Is it new?"}, harder])
    assert [item["rubric_str"] for item in row.raw["rubric_items"]] == [
        "Is it short?",
        "Is it kind to everyone?",
        "Is it true?",
        "Is it new?",
    ]
    assert row.datapoint is not None
    assert row.datapoint.rubric_items[1].weight == 2
    assert row.notes == ('the rubric replaces the item "kind"',)
    assert row.datapoint.id == read(line(rubric_items=OWN)).id


def test_an_item_without_a_name_is_known_by_its_place() -> None:
    shorter = {"name": "item-0", "rubric_str": "Has it one word?"}
    row = read_row(line(rubric_items=OWN), 1, "in.jsonl", [shorter])
    assert [item["rubric_str"] for item in row.raw["rubric_items"]] == [
        "Has it one word?",
        "Is it kind?",
        "Is it true?",
    ]
    assert row.replaced == ("item-0",)


@pytest.mark.parametrize("rubric", [OWN[1:], [{**OWN[1], "score_range": [0, 1], **TINKER}]])
def test_an_item_that_is_the_same_replaces_nothing(rubric: list[dict[str, Any]]) -> None:
    row = read_row(line(rubric_items=OWN), 1, "in.jsonl", rubric)
    assert row.raw == written(line(rubric_items=OWN))
    assert row.notes == ()


def test_an_item_that_is_replaced_may_be_one_that_cannot_be_used() -> None:
    row = read_row(line(rubric_items=[{"name": "kind"}]), 1, "in.jsonl", OWN[1:2])
    assert row.error is None
    assert [item["rubric_str"] for item in row.raw["rubric_items"]] == ["Is it kind?"]


def test_a_key_of_a_rubric_file_that_nearly_fits_is_noted(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[[rubric_items]]\nrubric_str = "Kind?"\nwieght = 2\n')
    notes: list[str] = []
    read_rubric(tmp_path / "r.toml", notes.append)
    expected = "rubric_items[0].wieght is ignored; did you mean weight?"
    assert notes == [f"{tmp_path / 'r.toml'}: {expected}"]


ITEMS = [{"rubric_str": "Is it kind?", "weight": 2.0}, {"check": {"kind": "words", "max": 9}}]
TOML = """
[[rubric_items]]
rubric_str = "Is it kind?"
weight = 2.0

[[rubric_items]]
check = {kind = "words", max = 9}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rubric.toml", TOML),
        ("rubric.json", json.dumps({"rubric_items": ITEMS})),
        ("rubric.json", json.dumps(ITEMS)),
    ],
)
def test_a_rubric_file_is_toml_or_json(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    assert [
        i.rubric_str
        for i in read(line(rubric_items=None), read_rubric(path, pytest.fail)).rubric_items
    ] == [
        "Is it kind?",
        "The response has at most 9 words",
    ]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("r.toml", "rubric_items = 1", "no rubric items in it"),
        ("r.toml", "", "no rubric items in it"),
        ("r.toml", "[[", "r.toml: "),
        ("r.toml", "[[rubric_items]]\nname = 'x'", "rubric_items[0].rubric_str: field required"),
        (
            "r.toml",
            "[[rubric_items]]\nrubric_str = 'x'\nscore_range = [0, inf]",
            "rubric_items[0].score_range: ",
        ),
        (
            "r.toml",
            "[[rubric_items]]\nrubric_str = 'x'\nweight = nan",
            "rubric_items[0].weight: ",
        ),
        ("r.json", "[]", "no rubric items in it"),
        ("r.json", "[1]", "rubric_items[0] is not an object"),
        ("r.json", "{", "r.json: "),
        ("r.json", "\xff", "r.json: "),
        ("r.json", '[{"rubric_str": "x"}, {}]', "rubric_items[1].rubric_str: field required"),
        (
            "r.json",
            '[{"rubric_str": "x", "name": "kind"}, {"rubric_str": "y", "name": "kind"}]',
            "rubric_items[1].name: 'kind' is the name of rubric_items[0] too",
        ),
    ],
)
def test_a_rubric_file_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(text, "latin-1")
    with pytest.raises(UsageError) as caught:
        read_rubric(path, pytest.fail)
    assert f"rubric={path}" in caught.value.message
    assert expected in caught.value.message


def test_a_rubric_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_rubric(tmp_path / "none.toml", pytest.fail)


@pytest.mark.parametrize(
    ("check", "told"),
    [
        (
            {"kind": "contain_all", "words": ["a"]},
            "check: unknown kind 'contain_all', did you mean",
        ),
        ({"kind": 5}, "check: unknown kind 5; one of characters, contains_all"),
        ({"type": "words"}, "check: kind is missing; one of characters"),
        (
            {"kind": "contains_all", "word": ["a"]},
            "check.word: no such option, did you mean words?",
        ),
        ({"kind": "json", "shema": {}}, "check.shema: no such option, did you mean schema?"),
        ({"kind": "number", "value": "3.5"}, "check.value: must be a number"),
        ({"kind": "words", "max": "x"}, "check.max: must be a whole number"),
    ],
)
def test_a_slip_in_a_check_is_told_with_what_was_probably_meant(
    check: dict[str, Any], told: str
) -> None:
    error = read_row(line(rubric_items=[{"check": check}]), 1, "in.jsonl").error
    assert error is not None
    assert error.message.startswith(f"rubric_items[0].{told}")


def test_an_integer_of_thousands_of_digits_is_a_problem_in_our_words() -> None:
    found = message(line(id=0).replace(b'"id": 0', b'"id": ' + b"9" * 5000))
    assert "an integer has 5,000 digits; 4,300 at most" in found
    assert "set_int_max_str_digits" not in found


def test_rubric_items_may_be_a_list_as_json_and_are_written_as_one() -> None:
    items = [{"rubric_str": "Is it good?", "weight": 2}, {"check": {"kind": "json"}}]
    given = {"convo": "Hi!", "rubric_items": json.dumps(items)}
    row = read_row(json.dumps(given).encode(), 1, "in.jsonl")
    as_list = read_row(json.dumps({**given, "rubric_items": items}).encode(), 1, "in.jsonl")
    assert row.error is None
    assert row.datapoint == as_list.datapoint
    assert row.raw == as_list.raw
    broken = read_row(b'{"convo": "Hi!", "rubric_items": "[{"}', 3, "in.jsonl")
    assert broken.error is not None
    assert broken.error.message.startswith("rubric_items: is text that is not JSON: ")

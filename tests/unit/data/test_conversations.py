"""A line's conversation is read whole, with its system prompt, or refused at its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refinecli.data.rows import Row, read_row

ASKED = {"role": "user", "content": "Who wrote Emma?"}
SYSTEM = {"role": "system", "content": "You are a librarian."}


def read(**fields: Any) -> Row:
    line = {"rubric_items": [{"rubric_str": "Is it right?"}], **fields}
    return read_row(json.dumps(line).encode(), 1, "in.jsonl")


def convo(**fields: Any) -> list[Any]:
    row = read(**fields)
    assert row.error is None, row.error
    assert row.datapoint is not None
    return list(row.datapoint.convo)


def fault(**fields: Any) -> str:
    error = read(**fields).error
    assert error is not None
    return error.message


@pytest.mark.parametrize("name", ["convo", "prefix", "messages", "prompt"])
def test_a_system_prompt_next_to_the_messages_is_their_first(name: str) -> None:
    row = read(**{name: [ASKED], "system": SYSTEM["content"]})
    assert row.datapoint is not None
    assert row.datapoint.convo == (SYSTEM, ASKED)
    assert row.raw[name] == [ASKED]  # it comes out as it came
    assert row.raw["system"] == SYSTEM["content"]


def test_a_text_has_its_system_prompt_too() -> None:
    assert convo(prompt="Who wrote Emma?", system=SYSTEM["content"]) == [SYSTEM, ASKED]


@pytest.mark.parametrize("system", [None, "", " \n", SYSTEM["content"]])
def test_a_system_prompt_that_adds_nothing_changes_nothing(system: Any) -> None:
    assert convo(messages=[SYSTEM, ASKED], system=system) == [SYSTEM, ASKED]


def test_another_system_prompt_makes_another_datapoint() -> None:
    ids = {str(read(messages=[ASKED], system=system).raw["id"]) for system in ("A", "B", None)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": [SYSTEM, ASKED], "system": "B"}, "system: messages begins with another"),
        ({"messages": [ASKED], "system": 3}, "system: must be a string"),
        ({"messages": [ASKED], "system": [{"type": "text"}]}, "system[0].text: field required"),
        ({"messages": [{"role": "user"}], "system": "A"}, "messages[0].content: field required"),
        ({"messages": [{"role": "cat", "content": ""}], "system": "A"}, "messages[0].role: "),
        ({"messages": [], "system": "A"}, "messages: must not be empty"),
    ],
)
def test_a_fault_next_to_a_system_prompt_is_named_by_its_place_in_the_line(
    fields: dict[str, Any], message: str
) -> None:
    assert fault(**fields).startswith(message)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({}, ".type: field required"),
        ({"text": "Hi."}, ".type: field required"),
        ({"type": 3, "text": "Hi."}, ".type: must be a string"),
        ({"type": "text"}, ".text: field required"),
        ({"type": "text", "text": None}, ".text: field required"),
        ({"type": "text", "text": 3}, ".text: must be a string"),
        ({"type": "image_url"}, ".image_url: field required"),
        ({"type": "image_url", "image_url": {}}, ".image_url.url: field required"),
        ({"type": "image_url", "image_url": {"url": " "}}, ".image_url.url: must not be blank"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, ".input_audio.data: field"),
        ({"type": "image"}, ".image: field required"),
        ({"type": "file", "file": {}}, ".file: field required"),
    ],
)
def test_a_part_without_what_its_type_promises_is_refused_at_its_place(
    part: dict[str, Any], problem: str
) -> None:
    good = {"type": "text", "text": "Look:"}
    said = fault(convo=[{"role": "user", "content": [good, part]}])
    assert said.startswith(f"convo[0].content[1]{problem}")


def test_a_list_of_no_parts_is_refused() -> None:
    assert fault(convo=[{"role": "user", "content": []}]) == "convo[0].content: must not be empty"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "thing_of_next_year", "thing": 1},
    ],
)
def test_parts_that_hold_their_promise_stay_what_they_are(part: dict[str, Any]) -> None:
    message = {"role": "user", "content": [part]}
    assert convo(convo=[message]) == [message]


GIVEN = json.dumps([SYSTEM, ASKED])


@pytest.mark.parametrize(
    "text",
    [
        GIVEN,
        f"\n {json.dumps([SYSTEM, ASKED], indent=2)}\n",
        f"\ufeff{GIVEN}",
        f"```json\n{GIVEN}\n```",
        json.dumps(GIVEN),
    ],
)
def test_a_conversation_given_as_json_text_is_parsed(text: str) -> None:
    row = read(prompt=text)
    assert row.datapoint is not None
    assert row.datapoint.convo == (SYSTEM, ASKED)
    assert row.raw["prompt"] == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (str([ASKED]), "is a conversation as text that is not JSON"),  # as Python prints it
        (f"array({[ASKED]}, dtype=object)", "is a conversation as text that is not JSON"),
        (
            "[{'content': 'Hi.', 'role': 'user'}\n {'content'",
            "is a conversation as text that is not",
        ),
        (json.dumps([ASKED])[:-1], "is a conversation as text that is not JSON"),
        (json.dumps({"messages": [ASKED]})[:-2], "is a conversation as text that is not JSON"),
        (json.dumps({"messages": [ASKED]}), "is JSON text, but not a list of messages"),
        (json.dumps([ASKED, 3]), "is JSON text, but not a list of messages"),
        ('[{"from": "human", "value": "Hi."}]', "is JSON text, but not a list of messages"),
        (json.dumps([ASKED, {"role": "assistant", "content": "J."}]), "must not end with an ass"),
    ],
)
def test_a_conversation_given_as_text_that_cannot_be_read_is_never_taken_for_a_sentence(
    text: str, problem: str
) -> None:
    assert fault(prompt=text).startswith(f"prompt: {problem}")


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3]",
        '{"role": "wizard", "strength": 3}',
        '[{"name": "Emma"}]',
        "[INST] Who? [/INST]",
        "{not JSON}",
        '"Who?"',
        "array of what?",
        "```json\n{}\n```",
        "[{'content': 'x', 'size': 3}]",
        "```json" + " " * 200_000 + "x",
        'Mend this JSON: [{"role": "user"}',
    ],
)
def test_other_json_in_a_prompt_is_the_users_text(text: str) -> None:
    assert convo(prompt=text) == [{"role": "user", "content": text}]


def test_a_row_without_a_conversation_says_what_it_has_instead() -> None:
    error = read(question="Who?", answer=None).error
    assert error is not None
    assert error.hint.endswith(
        "convo, prefix, messages or prompt; the row has rubric_items, question"
    )

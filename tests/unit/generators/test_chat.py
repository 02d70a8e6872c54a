"""`generate-data chat`: conversations lose their last answer and get their criteria elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.generators import TASKS
from refinecli.generators.criteria import with_rubric
from tests.unit.generators.test_generators import (
    CHAT,
    ITEM,
    as_datapoint,
    json_values,
    read_or_refused,
    refused,
)

ASKED = CHAT["messages"]
ANSWERED = {"messages": [*ASKED, {"role": "assistant", "content": "Jane Austen."}]}
SHAREGPT = {
    "id": "s-1",
    "conversations": [
        {"from": "system", "value": "You are a librarian."},
        {"from": "human", "value": "Who wrote Emma?"},
        {"from": "gpt", "value": "Jane Austen."},
    ],
}


def plain(row: dict[str, Any], with_response: bool = False) -> dict[str, Any]:
    """What comes of the row without any rubric."""
    (made,) = TASKS["chat"].read([("in.jsonl:7", row)], with_response)
    return made


@pytest.mark.parametrize("row", [ANSWERED, SHAREGPT])
def test_the_last_answer_is_cut_off_and_becomes_the_response_if_asked_for(
    row: dict[str, Any],
) -> None:
    assert plain(row)["convo"] == ASKED
    assert "response" not in plain(row)
    assert plain(row, with_response=True) == plain(row) | {"response": "Jane Austen."}


def test_a_conversation_that_ends_with_a_question_stays_whole() -> None:
    assert plain(CHAT, with_response=True) == {"convo": ASKED}


def test_other_keys_of_the_row_stay_and_the_old_conversation_goes() -> None:
    assert plain(SHAREGPT | {"source": {"split": "x"}, "messages": None}) == {
        "id": "s-1",
        "source": {"split": "x"},
        "convo": ASKED,
    }
    items = [ITEM | {"weight": 2}]
    assert plain(CHAT | {"rubric_items": items, "conversations": None}) == {
        "rubric_items": items,
        "convo": ASKED,
    }


@pytest.mark.parametrize("name", ["convo", "prefix", "prompt"])
def test_a_conversation_may_have_any_name_that_a_datapoint_knows(name: str) -> None:
    assert plain({name: ASKED}) == {"convo": ASKED}
    assert plain({name: "Who wrote Emma?"}) == {"convo": ASKED[1:]}


def test_a_chats_own_columns_come_before_its_prompt() -> None:
    row = plain(ANSWERED | {"prompt": "Who?", "convo": None})
    assert row == {"convo": ASKED, "prompt": "Who?"}
    (given_items,) = with_rubric([row], [ITEM], pytest.fail)
    assert as_datapoint(given_items).convo[0]["role"] == "system"


def test_earlier_answers_and_tools_stay_in_the_conversation() -> None:
    turns = ["human", "gpt", "user", "function_call", "observation", "assistant", "user", "gpt"]
    roles = ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]
    call = '{"name": "find", "arguments": {}}'
    made = plain(sharegpt(*((turn, call) for turn in turns)), with_response=True)
    assert [message["role"] for message in made["convo"]] == roles
    assert made["response"] == call


def sharegpt(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


FIND = '{"name": "find", "arguments": {"book": "Emma"}}'
FOUND = {"name": "find", "arguments": '{"book":"Emma"}'}


@pytest.mark.parametrize(
    ("calling", "said", "calls"),
    [
        (("function_call", FIND), None, [FOUND]),
        (("function_call", f"[{FIND}, {FIND}]"), None, [FOUND, FOUND]),
        (("function_call", f"<tool_call>{FIND}</tool_call>"), None, [FOUND]),
        (
            ("function_call", '{"name": "find", "arguments": "{}"}'),
            None,
            [FOUND | {"arguments": "{}"}],
        ),
        (("gpt", f"Let me see.\n<tool_call>\n{FIND}\n</tool_call>"), "Let me see.", [FOUND]),
    ],
)
def test_sharegpts_calls_and_observations_become_tool_calls_and_results(
    calling: tuple[str, str], said: str | None, calls: list[dict[str, str]]
) -> None:
    observed = [("observation", f"result {n}") for n in range(len(calls))]
    made = plain(sharegpt(("human", "Who wrote Emma?"), calling, *observed, ("gpt", "Jane.")))
    names = [f"call_{n}" for n in range(len(calls))]
    asked, *results = made["convo"][1:]
    assert asked == {
        "role": "assistant",
        "content": said,
        "tool_calls": [
            {"id": name, "type": "function", "function": call}
            for name, call in zip(names, calls, strict=True)
        ],
    }
    assert results == [
        {"role": "tool", "tool_call_id": name, "content": f"result {n}"}
        for n, name in enumerate(names)
    ]


def test_one_observation_may_hold_the_results_of_all_calls() -> None:
    both = ("function_call", f"[{FIND}, {FIND}]")
    made = plain(sharegpt(("human", "?"), both, ("observation", '["a", {"b": 1}]'), ("gpt", "!")))
    assert [message["content"] for message in made["convo"][2:]] == ["a", '{"b":1}']


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([("function_call", "find Emma")], "conversations[1].value: a call of a tool that is not"),
        (
            [("function_call", '{"arguments": {}}')],
            "conversations[1].value: a call of a tool witho",
        ),
        ([("function_call", '{"name": "find"}')], "conversations[1].value: a call of find without"),
        ([("function_call", "[]")], "conversations[1].value: an empty list of calls"),
        ([("observation", "1815")], "conversations[1].value: is an observation without a call"),
        ([("function_call", FIND), ("gpt", "Jane.")], "conversations[2].value: expected the obse"),
        (
            [("function_call", FIND), ("tool", "1"), ("tool", "2")],
            "conversations[3].value: is an observation without a call",
        ),
    ],
)
def test_a_turn_about_tools_that_does_not_fit_is_named(
    turns: list[tuple[str, str]], message: str
) -> None:
    row = sharegpt(("human", "Who wrote Emma?"), *turns, ("gpt", "Jane."))
    assert refused("chat", row).message.startswith(message)


def test_a_chats_system_column_is_part_of_its_conversation() -> None:
    row = {"system": "You are a librarian.", "messages": ASKED[1:]}
    assert plain(row) == {"convo": ASKED}
    assert plain(row | {"messages": ASKED}) == {"convo": ASKED}
    other = refused("chat", row | {"messages": ASKED, "system": "Another."})
    assert other.message == "system: messages begins with another system prompt"


@pytest.mark.parametrize("name", ["messages", "conversations"])
def test_a_chat_that_a_table_holds_as_json_text_is_read(name: str) -> None:
    row = ANSWERED if name == "messages" else SHAREGPT
    assert plain({name: json.dumps(row[name])}) == {"convo": ASKED}
    broken = json.dumps(row[name])[:-1]
    assert "text that is not JSON" in refused("chat", {name: broken}).message


def test_a_row_without_a_conversation_says_which_columns_were_looked_for() -> None:
    error = refused("chat", {"question": "Who?"})
    assert error.hint == "looked for messages, conversations, convo, prefix, prompt"


def test_a_system_column_comes_before_sharegpts_turns() -> None:
    row = {"system": "You are a librarian.", "conversations": SHAREGPT["conversations"][1:]}
    assert plain(row) == {"convo": ASKED}
    assert plain(row | {"system": " "})["convo"] == ASKED[1:]
    assert plain(SHAREGPT | {"system": "You are a librarian."})["convo"] == ASKED
    other = refused("chat", SHAREGPT | {"system": "Another."})
    assert other.message == "system: conversations begins with another system prompt"


@pytest.mark.parametrize(
    ("answers", "response"),
    [
        ([{"content": ""}], ""),
        (
            [{"content": [{"type": "text", "text": "Jane"}, {"type": "text", "text": "A."}]}],
            "Jane\nA.",
        ),
        ([{"content": "Let me see."}, {"content": "Jane."}], "Let me see.\nJane."),
        ([{"content": None, "tool_calls": [{"id": "1"}]}], None),
        ([{"content": None, "tool_calls": [{"id": "1"}]}, {"content": "Jane."}], "Jane."),
    ],
)
def test_an_answer_is_the_text_of_all_its_messages(
    answers: list[dict[str, Any]], response: str | None
) -> None:
    messages = [*ASKED, *({"role": "assistant", **answer} for answer in answers)]
    made = plain({"messages": messages}, with_response=True)
    assert (made["convo"], made.get("response")) == (ASKED, response)


def test_the_weight_that_fine_tuning_gives_a_message_is_not_sent_to_a_model() -> None:
    weighted = [{**message, "weight": 0} for message in ANSWERED["messages"]]
    assert plain({"messages": weighted}) == {"convo": ASKED}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "messages: field required"),
        ({"messages": None, "conversations": None}, "messages: field required"),
        ({"messages": 3}, "messages: expected a list of messages"),
        ({"prefix": [{"role": "cat", "content": "Hi."}]}, "prefix[0].role: "),
        ({"messages": []}, "messages: expected a list of messages"),
        ({"messages": ["Hi."]}, "messages[0]: expected an object"),
        ({"messages": [{"role": "human", "content": "Hi."}]}, "messages[0].role: "),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content: field required"),
        ({"messages": ANSWERED["messages"][-1:]}, "messages: expected a message before"),
        (
            {"messages": [*ASKED, {"role": "assistant", "content": [{"type": "audio"}]}]},
            "messages[2].content: expected a string",
        ),
        ({"conversations": []}, "conversations: expected a list of messages"),
        ({"conversations": [3]}, "conversations[0]: expected an object"),
        ({"conversations": [{"value": "Hi."}]}, "conversations[0].from: field required"),
        ({"conversations": [{"from": "gpt", "value": "Hi."}]}, "conversations: expected a message"),
        ({"conversations": [{"from": "dog", "value": "?"}]}, "conversations[0].from: unknown"),
        ({"conversations": [{"from": "human"}]}, "conversations[0].value: field required"),
        ({"conversations": [{"from": "human", "value": 3}]}, "conversations[0].value: expected"),
        (CHAT | {"rubric_items": [{}]}, "rubric_items[0].rubric_str: "),
        (CHAT | {"id": 1.5}, "id: "),
    ],
)
def test_a_bad_chat_names_its_place_and_field(row: dict[str, Any], message: str) -> None:
    error = refused("chat", row)
    assert error.message.startswith(message)
    assert error.where == "in.jsonl:7"


@given(data=st.data())
def test_any_json_in_a_sharegpt_row_gives_a_datapoint_or_an_error_with_its_place(
    data: st.DataObject,
) -> None:
    columns = st.sampled_from([*SHAREGPT, "system"])
    turns = st.fixed_dictionaries(
        {"from": st.sampled_from(["human", "gpt", "dog"]) | json_values, "value": json_values}
    )
    values = json_values | st.lists(turns, max_size=3)
    changes = data.draw(st.dictionaries(columns, values, max_size=3))
    changes |= {"system": None} if "conversations" not in changes else {}
    suspects = {*changes, "messages"}
    read_or_refused("chat", SHAREGPT | changes, suspects, data.draw(st.booleans()))


# ------------------------------------------------------------------ --rubric

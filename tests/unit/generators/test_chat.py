"""`generate-data chat`: conversations lose their last answer and get their criteria elsewhere."""

from __future__ import annotations

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
    turns = ["human", "gpt", "user", "function_call", "observation", "assistant", "tool", "gpt"]
    roles = ["user", "assistant", "user", "assistant", "tool", "assistant", "tool"]
    row = {"conversations": [{"from": turn, "value": f"{turn}!"} for turn in turns]}
    made = plain(row, with_response=True)
    assert [message["role"] for message in made["convo"]] == roles
    assert made["response"] == "gpt!"


def test_a_system_column_comes_before_sharegpts_turns() -> None:
    row = {"system": "You are a librarian.", "conversations": SHAREGPT["conversations"][1:]}
    assert plain(row) == {"convo": ASKED}
    assert plain(row | {"system": " "})["convo"] == ASKED[1:]


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
            "messages[2].content: expected a text",
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

"""What an endpoint refuses is left out or renamed, once for all calls; alone, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from refinecli.errors import CompletionError, UnsupportedError
from refinecli.models.negotiation import (
    RefusedParameterError,
    Terms,
    answers,
    changed,
    negotiated,
    without_system_role,
)
from refinecli.models.request import name_of
from refinecli.types import Completion, FirstTokens, JSONObject, JSONReply, Message, Wants

TOKENS = FirstTokens(20, 4)
BODY: JSONObject = {"model": "m", "temperature": 0, "max_tokens": 5}
WITH_TOKENS = Completion("4", first_tokens=(("4", -0.1),))


class Endpoint:
    """An endpoint that refuses some parameters, and the replies that were kept of it."""

    def __init__(self, *refused: str, reply: Completion | None = None) -> None:
        self.refused = refused
        self.reply = reply or Completion("4")
        self.kept: list[tuple[JSONObject, Completion]] = []
        self.sent: list[JSONObject] = []
        self.notices: list[str] = []

    def find(self, body: JSONObject) -> Completion | None:
        return next((reply for kept, reply in self.kept if kept == body), None)

    async def send(self, body: JSONObject) -> Completion:
        self.sent.append(body)
        for name in self.refused:
            if name in body:
                raise RefusedParameterError(name, f"unsupported: {name}")
        return self.reply

    def ask(self, terms: Terms, wants: Wants | None = None, body: JSONObject = BODY) -> Completion:
        return asyncio.run(
            negotiated(
                body, wants, terms, find=self.find, send=self.send, learned=self.notices.append
            )
        )


@pytest.fixture
def terms() -> Terms:
    return Terms("m")


def test_what_is_not_refused_is_sent_as_it_is_meant(terms: Terms) -> None:
    endpoint = Endpoint()
    assert endpoint.ask(terms).text == "4"
    assert endpoint.sent == [BODY]
    assert not terms.changes


def test_a_refused_parameter_is_left_out_for_this_call_and_all_others(terms: Terms) -> None:
    endpoint = Endpoint("temperature")
    endpoint.ask(terms)
    endpoint.ask(terms)
    without = {"model": "m", "max_tokens": 5}
    assert endpoint.sent == [BODY, without, without]
    assert endpoint.notices == ["m: temperature is not sent: unsupported: temperature"]


def test_max_tokens_has_another_name_and_is_left_out_if_that_is_refused_too(terms: Terms) -> None:
    endpoint = Endpoint("max_tokens", "max_completion_tokens")
    endpoint.ask(terms)
    assert endpoint.sent[1] == {"model": "m", "temperature": 0, "max_completion_tokens": 5}
    assert endpoint.sent[2] == {"model": "m", "temperature": 0}
    assert terms.changes == {"max_tokens": None}
    assert [notice.split(": ")[1] for notice in endpoint.notices] == [
        "max_tokens is sent as max_completion_tokens",
        "max_tokens is not sent",
    ]


def test_a_renamed_parameter_keeps_its_place_in_the_body() -> None:
    renamed = changed(BODY, {"temperature": "heat"})
    assert list(renamed.items()) == [("model", "m"), ("heat", 0), ("max_tokens", 5)]
    assert changed(BODY, {}) is BODY


def test_a_refusal_that_another_call_has_settled_is_not_said_again(terms: Terms) -> None:
    refused = RefusedParameterError("temperature", "unsupported")
    assert terms.settle(refused, {}) != ""
    assert terms.settle(refused, {}) == ""


def test_a_reply_from_before_a_refusal_still_answers_what_was_meant(terms: Terms) -> None:
    endpoint = Endpoint("temperature")
    endpoint.kept.append((BODY, Completion("from before")))
    terms.changes["temperature"] = None
    assert endpoint.ask(terms).text == "from before"
    assert not endpoint.sent


def test_nothing_is_looked_for_where_nothing_was_refused(terms: Terms) -> None:
    endpoint = Endpoint()
    endpoint.kept.append((BODY, Completion("from before")))
    assert endpoint.ask(terms).text == "4"  # `send` looks itself


# ------------------------------------------------------------------ what a request wants


class Unwilling(Endpoint):
    """Refuses what requests want."""

    async def send(self, body: JSONObject) -> Completion:
        self.sent.append(body)
        raise RefusedParameterError(name_of(TOKENS), "logprobs are not available")


def test_what_is_wanted_and_refused_is_unsupported_and_not_asked_for_again(terms: Terms) -> None:
    endpoint = Unwilling()
    for _ in range(2):
        with pytest.raises(UnsupportedError, match="m does not take top_logprobs 20"):
            endpoint.ask(terms, TOKENS)
    assert len(endpoint.sent) == len(endpoint.notices) == 1


def test_a_reply_that_leaves_out_what_was_wanted_is_a_refusal(terms: Terms) -> None:
    endpoint = Endpoint(reply=Completion("4"))
    with pytest.raises(UnsupportedError):
        endpoint.ask(terms, TOKENS)
    assert endpoint.notices == [
        "m: top_logprobs 20 is not sent: its replies come without",
    ]


def test_where_it_was_given_before_a_refusal_is_about_this_request_alone(terms: Terms) -> None:
    Endpoint(reply=WITH_TOKENS).ask(terms, TOKENS)
    unwilling = Unwilling()
    with pytest.raises(UnsupportedError, match="logprobs are not available"):
        unwilling.ask(terms, TOKENS)
    assert not terms.changes
    assert Endpoint(reply=WITH_TOKENS).ask(terms, TOKENS) is WITH_TOKENS


def test_what_it_took_before_is_not_left_out_because_one_request_is_refused(terms: Terms) -> None:
    terms.took(BODY)
    endpoint = Endpoint("temperature")
    with pytest.raises(CompletionError, match="unsupported: temperature"):
        endpoint.ask(terms)
    assert (terms.changes, endpoint.sent, endpoint.notices) == ({}, [BODY], [])
    endpoint.ask(terms, body=BODY | {"temperature": 1.5})  # another value may be too much
    assert terms.changes == {"temperature": None}


def test_a_kept_reply_gives_what_the_endpoint_no_longer_does(terms: Terms) -> None:
    terms.changes = {name_of(TOKENS): None, "temperature": None}
    endpoint = Unwilling()
    endpoint.kept.append(({"model": "m", "max_tokens": 5}, WITH_TOKENS))
    assert endpoint.ask(terms, TOKENS) is WITH_TOKENS
    assert not endpoint.sent


def test_a_plain_request_is_sent_to_an_endpoint_that_gives_no_probabilities(terms: Terms) -> None:
    terms.changes = {name_of(TOKENS): None}
    assert Endpoint().ask(terms).text == "4"


def test_a_failure_of_another_kind_comes_through(terms: Terms) -> None:
    class Failing(Endpoint):
        async def send(self, body: JSONObject) -> Completion:
            raise CompletionError("refused", "no")

    with pytest.raises(CompletionError, match="no"):
        Failing().ask(terms, JSONReply())


@pytest.mark.parametrize(
    ("wants", "reply", "given"),
    [
        (None, Completion("4"), True),
        (JSONReply(), Completion("4"), True),
        (TOKENS, Completion("4"), False),
        (TOKENS, WITH_TOKENS, True),
        (TOKENS, Completion("", first_tokens=()), True),
    ],
    ids=str,
)
def test_only_probabilities_are_seen_to_be_missing(
    wants: Wants | None, reply: Completion, given: bool
) -> None:
    assert answers(reply, wants) == given


def test_the_first_to_want_something_goes_ahead_alone(terms: Terms) -> None:
    order: list[str] = []

    async def ask(name: str, wants: Wants) -> None:
        async with terms.trying(wants):
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    def together(*asks: Callable[[], Any]) -> None:
        async def main() -> None:
            await asyncio.gather(*(one() for one in asks))

        order.clear()
        asyncio.run(main())

    together(lambda: ask("1", TOKENS), lambda: ask("2", TOKENS), lambda: ask("3", JSONReply()))
    assert order.index("1 ends") < order.index("2 begins")
    assert order.index("3 begins") < order.index("1 ends")  # it wants something else
    together(lambda: ask("1", TOKENS), lambda: ask("2", TOKENS))
    assert order[:2] == ["1 begins", "2 begins"]


def test_what_the_system_says_begins_the_first_user_turn_as_one_text() -> None:
    system: Message = {"role": "system", "content": "Be brief."}
    user: Message = {"role": "user", "content": "Hi."}
    assert without_system_role([system, user]) == [{"role": "user", "content": "Be brief.\n\nHi."}]
    assistant: Message = {"role": "assistant", "content": "Yes?"}
    assert without_system_role([system, assistant, user]) == [
        {"role": "user", "content": "Be brief."},
        assistant,
        user,
    ]


def test_what_the_system_says_precedes_the_parts_of_a_turn_that_has_an_image() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    sent = without_system_role(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [image]}]
    )
    assert sent == [{"role": "user", "content": [{"type": "text", "text": "Be brief."}, image]}]


def test_a_run_of_many_seeds_remembers_none_of_them(terms: Terms) -> None:
    endpoint = Endpoint()
    for seed in range(100):
        terms.took({**BODY, "seed": seed})
    assert len(terms.taken) == 2
    endpoint.refused = ("seed",)
    endpoint.ask(terms, body={**BODY, "seed": 1})
    assert endpoint.sent[-1] == BODY

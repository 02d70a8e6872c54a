"""What requests take: estimated from bytes and limits, learned from replies."""

from __future__ import annotations

from math import inf

import pytest

from refinecli.models.budget import Amount
from refinecli.models.spending import Spending
from refinecli.settings.load import load
from refinecli.types import Completion, Usage

DATA = b"x" * 400  # 100 tokens, by a rough count
UNLIMITED = Amount(inf, inf, inf)


def spending(*sets: str) -> Spending:
    flags = {"policy.model": "m", "policy.base_url": "http://host/v1"}
    prices = ("policy.input_price=1000000", "policy.output_price=3000000")
    return Spending(load(flags, (*prices, *sets), {}).policy)


def reply(prompt: int, completion: int, text: str = "4", reasoning: str = "") -> Completion:
    return Completion(text, reasoning=reasoning, usage=Usage(1, prompt, completion))


def test_a_prompt_is_a_quarter_of_its_bytes_until_a_reply_has_shown_it() -> None:
    one = spending()
    assert one.tokens({}, DATA) == 100
    one.took(DATA, reply(200, 10))
    assert one.tokens({}, DATA) == 210


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_reply_may_be_as_long_as_it_is_allowed_to_be(name: str) -> None:
    assert spending().tokens({name: 50}, DATA) == 150
    assert spending().estimate({name: 50}, DATA, UNLIMITED) == Amount(1, 150, 100 + 3 * 50)


def test_the_longest_reply_so_far_is_the_estimate_of_the_next() -> None:
    one = spending()
    for length in (10, 30, 20):
        one.took(DATA, reply(100, length))
    assert one.tokens({}, DATA) == 130


def test_until_a_reply_has_shown_its_length_all_that_is_left_is_set_aside() -> None:
    one = spending()
    assert one.estimate({}, DATA, Amount(9, 5000, inf)) == Amount(1, 5000, 100)
    assert one.estimate({}, DATA, Amount(9, inf, 7000)) == Amount(1, 100, 7000)
    assert one.estimate({}, DATA, Amount(9, 20, 30)) == Amount(1, 100, 100)
    one.took(DATA, reply(100, 10))
    assert one.estimate({}, DATA, Amount(9, 5000, 7000)) == Amount(1, 110, 130)


def test_what_was_taken_is_what_the_reply_says() -> None:
    assert spending().took(DATA, reply(80, 20)) == Amount(1, 100, 80 + 60)
    assert spending().took(DATA, reply(0, 20)) == Amount(1, 20, 60)


def test_a_reply_that_does_not_say_is_counted_by_its_length() -> None:
    silent = reply(0, 0, text="x" * 40, reasoning="y" * 80)
    assert spending().took(DATA, silent) == Amount(1, 130, 100 + 90)


def test_without_prices_nothing_costs() -> None:
    flags = {"policy.model": "m", "policy.base_url": "http://host/v1"}
    assert Spending(load(flags, (), {}).policy).took(DATA, reply(80, 20)) == Amount(1, 100, 0)

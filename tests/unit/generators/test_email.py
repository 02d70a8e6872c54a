"""`generate-data email`: what its items say is true of the email and the policies in the prompt."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from refinecli.data.rows import read_row
from refinecli.generators import TASKS
from refinecli.generators.email.asides import CLASHES, SIDE_CASES
from refinecli.generators.email.cases import MAIN_CASES, written
from refinecli.generators.email.words import FIRST_NAMES, LAST_NAMES, SHOP_NAMES, TRADES
from refinecli.text.json_text import dumps
from refinecli.types import Datapoint, RubricItem

ROWS: list[dict[str, Any]] = list(TASKS["email"].generate(1000, 42))
FIRST = (["returns", "stock", "discount"], "Subject: Return of my espresso machine", "Irene Novak")
AMOUNT = r"[$£€]\d+(?:\.\d\d)?"
MONTHS = [written(date(2025, month, 1)).split()[1] for month in range(1, 13)]


def datapoint(row: dict[str, Any]) -> Datapoint:
    read = read_row(dumps(row), 1, "out.jsonl")
    assert read.datapoint is not None, read.error
    return read.datapoint


def item(row: dict[str, Any], name: str) -> RubricItem:
    (found,) = [item for item in datapoint(row).rubric_items if item.name == name]
    return found


def named(row: dict[str, Any]) -> list[str]:
    return [item["name"] for item in row["rubric_items"]]


def system(row: dict[str, Any]) -> str:
    return str(row["convo"][0]["content"])


def letter(row: dict[str, Any]) -> str:
    return str(row["convo"][1]["content"])


def dates(text: str) -> list[date]:
    found = re.findall(rf"(\d+) ({'|'.join(MONTHS)}) (\d{{4}})", text)
    return [date(int(year), MONTHS.index(month) + 1, int(day)) for day, month, year in found]


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, (pattern, text)
    return int(found[1])


def cents(amount: str) -> int:
    whole, _, rest = amount.lstrip("$£€").partition(".")
    return 100 * int(whole) + int(rest or 0)


def about(name: str) -> list[dict[str, Any]]:
    return [row for row in ROWS if row["tags"][0] == name]


def days_before(row: dict[str, Any]) -> int:
    """How long before the day of the reply the customer bought, ordered or got the thing."""
    (today,), (then,) = dates(system(row)), dates(letter(row))
    return (today - then).days


# ------------------------------------------------------------------ the shape of a datapoint


def test_a_thousand_rows_are_a_thousand_emails() -> None:
    assert len({letter(row) for row in ROWS}) == len(ROWS)
    assert len({system(row) for row in ROWS}) == len(ROWS)


def test_the_first_row_of_seed_42_stays_the_same() -> None:
    lines = letter(ROWS[0]).splitlines()
    assert (ROWS[0]["tags"], lines[0], lines[-1]) == FIRST


def test_every_row_has_policies_a_letter_and_an_item_for_each_policy_it_touches() -> None:
    for row in ROWS:
        assert [message["role"] for message in row["convo"]] == ["system", "user"]
        assert 3 <= len(re.findall(r"(?m)^\d\. ", system(row))) <= 5
        names = named(row)
        policies = [f"policy:{tag}" for tag in row["tags"]]
        assert names[: len(policies) + 3] == [*policies, "tone", "facts", "overpromise"]
        assert set(names[len(policies) + 3 :]) <= {"greeting", "order-number", "length"}
        assert 1 <= len(names) - len(policies) - 3 <= 2
        assert len(set(names)) == len(names)


def test_items_that_hold_the_answer_hide_it_and_only_the_penalty_weighs_against() -> None:
    for row in ROWS[:100]:
        for rubric_item in datapoint(row).rubric_items:
            holds_it = rubric_item.name.startswith(("policy:", "facts", "overpromise"))
            assert rubric_item.reveal == ("verdict" if holds_it else "full")
            assert (rubric_item.weight < 0) == (rubric_item.name == "overpromise")


def test_every_case_and_every_outcome_comes_up() -> None:
    tags = {tag for row in ROWS for tag in row["tags"]}
    assert len(tags) == len(MAIN_CASES) + len(SIDE_CASES)
    outcomes = {item(row, f"policy:{row['tags'][0]}").rubric_str.split(",")[0] for row in ROWS}
    assert len(outcomes) > 100


def test_no_two_policies_of_a_prompt_contradict_each_other() -> None:
    titles = {"damage": "Damage in transit:", "discount": "Discounts:"}
    for row in ROWS:
        for main, side in CLASHES:
            assert not (titles[main] in system(row) and titles[side] in system(row))


def test_names_and_words_are_plain_and_come_once() -> None:
    for names in (FIRST_NAMES, LAST_NAMES, SHOP_NAMES):
        assert len(set(names)) == len(names) >= 24
        assert all(re.fullmatch("[A-Z][a-z]+", name) for name in names)
    products = [product.name for trade in TRADES for product in trade.products]
    assert len(set(products)) == len(products)


def test_no_text_has_a_hole_or_a_slip_in_it() -> None:
    for row in ROWS:
        texts = [system(row), letter(row), *(item["rubric_str"] for item in row["rubric_items"])]
        for text in texts:
            assert not re.search(r"[{}]|\bNone\b|  |\.\.|,,|\ba [aeio]\w", text), text


# ------------------------------------------------------------------ checks and what was promised


def test_each_check_has_its_rule_in_the_prompt() -> None:
    rules = {"greeting": "- Greet with", "order-number": "- Name the order number.",
             "length": "- At most"}  # fmt: skip
    for row in ROWS:
        for name, rule in rules.items():
            assert (rule in system(row)) == (name in named(row))


def test_a_reply_that_keeps_to_the_rules_passes_the_checks() -> None:
    for row in ROWS:
        name = letter(row).splitlines()[-1]
        order = re.search(r"[A-Z]{2}-\d{5}", letter(row))
        assert order
        good = f"Dear {name},\n\nThank you for writing about {order[0]}.\n\nKind regards"
        bad = f"Dear customer,\n\nThank you for your letter, {name}.\n\n" + "Well. " * 200
        for rubric_item in datapoint(row).rubric_items:
            if rubric_item.check:
                assert rubric_item.check.grade(good).score == 1, rubric_item
                assert rubric_item.check.grade(bad).score == 0, rubric_item


# ------------------------------------------------------------------ the facts


def test_the_facts_item_has_the_letters_own_name_order_price_and_date() -> None:
    for row in ROWS:
        facts = item(row, "facts").rubric_str
        name = letter(row).splitlines()[-1]
        order = re.search(r"[A-Z]{2}-\d{5}", letter(row))
        price = re.search(AMOUNT, letter(row))
        assert order
        assert price
        assert f"the customer is {name}, the order {order[0]}" in facts
        assert f" for {price[0]};" in facts
        assert set(dates(system(row)) + dates(letter(row))) <= set(dates(facts))


def test_returns_follow_from_the_days_since_purchase() -> None:
    for row in about("returns"):
        window, days = number(r"within (\d+) days of purchase", system(row)), days_before(row)
        right = item(row, "policy:returns").rubric_str
        if "product has been used" in right:
            assert days < window
            assert re.search("I have used it|I did use it|been in use", letter(row))
        elif days < window:
            assert "a full refund" in right
        elif window < days < 2 * window:
            assert "store credit of" in right
        else:
            assert days > 2 * window
            assert "declines both a refund and store credit" in right
        payer = re.search(r"the (shop|customer) pays for the return parcel", system(row))
        assert payer
        assert ("full refund" not in right) or payer[0] in right


def test_warranty_follows_from_date_and_cause() -> None:
    for row in about("warranty"):
        years = 1 if "for one year" in system(row) else number(r"for (\d) years", system(row))
        right = item(row, "policy:warranty").rubric_str
        if any(product.accident in letter(row) for trade in TRADES for product in trade.products):
            assert "does not cover damage by accident" in right
        elif days_before(row) < 365 * years:
            assert "free of charge" in right
        else:
            assert days_before(row) > 366 * years
            assert "is over" in right


def test_delivery_follows_from_the_days_since_the_order() -> None:
    for row in about("delivery"):
        due = number(r"arrive within (\d+) days", system(row))
        late = number(r"more than (\d+) days late", system(row))
        right = item(row, "policy:delivery").rubric_str
        over = days_before(row) - due
        assert over != 0
        assert ("is not late yet" in right) == (over < 0)
        assert ("shipping fee" in right) == (0 < over < late)
        assert ("as lost" in right) == (over > late)
        for day in dates(right):
            assert (day - dates(letter(row))[0]).days == due


def test_cancellation_counts_days_and_works_out_the_fee() -> None:
    for row in about("cancellation"):
        free = number(r"cancelled free of charge within (\d+) days", system(row))
        percent = number(r"(\d+)% of its price", system(row))
        right = item(row, "policy:cancellation").rubric_str
        price = cents(re.findall(AMOUNT, letter(row))[0])
        amounts = [cents(amount) for amount in re.findall(AMOUNT, right)]
        assert ("not free of charge" in right) == (days_before(row) > free)
        fee = price * percent // 100
        assert fee * 100 == price * percent
        assert amounts == ([fee, price - fee] if days_before(row) > free else [price])


def test_damage_follows_from_photo_and_days_since_delivery() -> None:
    for row in about("damage"):
        limit, days = number(r"within (\d+) days of delivery", system(row)), days_before(row)
        right = item(row, "policy:damage").rubric_str
        photo = "A photo is attached." in letter(row)
        assert ("too late" in right) == (days > limit)
        assert ("at no cost" in right) == (days < limit and photo)
        assert ("asks for a photo" in right) == (days < limit and not photo)


def test_price_promise_follows_from_days_and_shop_and_works_out_the_difference() -> None:
    for row in about("price"):
        limit, days = number(r"within (\d+) days of a purchase", system(row)), days_before(row)
        right, facts = item(row, "policy:price").rubric_str, item(row, "facts").rubric_str
        paid, lower = (cents(amount) for amount in re.findall(AMOUNT, letter(row)))
        difference = re.search(rf"the difference ({AMOUNT})", facts)
        assert difference
        assert cents(difference[1]) == paid - lower
        granted = days < limit and "another shop" not in letter(row)
        assert ("is refunded" in right) == granted
        assert (difference[1] in right) == granted


def test_a_telephone_is_answered_on_weekdays_only() -> None:
    rows = [row for row in ROWS if "hours" in row["tags"]]
    assert rows
    for row in rows:
        weekend = re.search(r"ring you on (Saturday|Sunday)", letter(row)) is not None
        assert ("nobody answers" in item(row, "policy:hours").rubric_str) == weekend


@given(day=st.dates(min_value=date(1900, 1, 1)))
def test_a_date_is_written_so_that_it_can_be_read(day: date) -> None:
    assert dates(written(day)) == [day]

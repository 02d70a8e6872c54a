"""Make customers' emails, to be answered by a shop's policies, graded mostly by a model.

Shops, customers, products and policies are invented from a seed. The consequences of a policy for
this customer (bought 45 days ago, refunds within 30) are worked out, so that each item states the
truth. The items: `policy:NAME` for each policy that the email touches, `tone`, `facts`,
`overpromise`, a penalty, and one or two checks out of `greeting`, `order-number` and `length`, for
which the system prompt has a rule. Policies that the email does not touch have no item.

    {"id": "email-0",
     "convo": [{"role": "system", "content": "You answer customers' emails for Oakmere Table, …"},
               {"role": "user", "content": "Subject: Return of my stand mixer …"}],
     "tags": ["returns", "privacy"],
     "rubric_items": [
       {"rubric_str": "The reply says that the 30 days for a refund are over (it was bought 45 days
                       ago) and offers store credit of $240 instead.", …, "name": "policy:returns"},
       …,
       {"rubric_str": "The reply promises something that the policies do not allow, …",
        …, "name": "overpromise", "weight": -1},
       {"rubric_str": "The reply has at most 140 words.",
        …, "name": "length", "check": {"kind": "words", "max": 140}}]}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from refinecli.generators.email.asides import CLASHES, SIDE_CASES
from refinecli.generators.email.cases import MAIN_CASES, Case, Facts, written
from refinecli.generators.email.words import (
    AGENTS,
    FIRST_NAMES,
    LAST_NAMES,
    MOODS,
    SHOP_NAMES,
    TONES,
    TRADES,
    Mood,
    Tone,
)
from refinecli.generators.shared_items import rubric_item
from refinecli.types import JSONObject


def generate(n: int, seed: int) -> Iterator[JSONObject]:
    """Yield the first n emails of this seed."""
    rng = Random(seed)
    for index in range(n):
        yield {"id": f"email-{index}", **_datapoint(rng)}


@dataclass(frozen=True, slots=True)
class _Rule:
    """A property of the reply that code can check."""

    name: str
    rule: str  # as the system prompt has it
    criterion: str
    check: JSONObject


def _datapoint(rng: Random) -> JSONObject:
    trade, facts = _facts(rng)
    mood, tone, agent = rng.choice(MOODS), rng.choice(TONES), rng.choice(AGENTS)
    touched, policies = _cases(rng, facts)
    rules = _rules(rng, facts, tone)
    style = [*tone.rules, f'Sign as "{agent}, {facts.company}".']
    system = _system_prompt(facts, trade, policies, [*style, *(rule.rule for rule in rules)])
    return {
        "convo": [
            {"role": "system", "content": system},
            {"role": "user", "content": _letter(rng, facts, mood, touched)},
        ],
        "tags": [case.name for case in touched],
        "rubric_items": list(_items(facts, mood, style, touched, rules)),
    }


def _facts(rng: Random) -> tuple[str, Facts]:
    """Draw what the shop sells, who wrote to it, and about what."""
    trade, shop = rng.choice(TRADES), rng.choice(SHOP_NAMES)
    suffix, product = rng.choice(trade.suffixes), rng.choice(trade.products)
    facts = Facts(
        company=f"{shop} {suffix}",
        domain=f"{shop}-{suffix}.example".lower(),
        currency=rng.choice("$£€"),
        today=date(2025, 1, 2) + timedelta(days=rng.randrange(700)),
        first_name=rng.choice(FIRST_NAMES),
        last_name=rng.choice(LAST_NAMES),
        order=f"{shop[0]}{suffix[0]}-{rng.randint(10_000, 99_999)}",
        product=product,
        price=100 * rng.randint(*product.price),
    )
    return trade.sells, facts


def _cases(rng: Random, facts: Facts) -> tuple[list[Case], list[Case]]:
    """Draw the cases that the email is about, and those whose policies the prompt has: 3 to 5."""
    main = rng.choice(MAIN_CASES)(rng, facts)
    sides = [side(rng, facts) for side in rng.sample(SIDE_CASES, len(SIDE_CASES))]
    sides = [side for side in sides if (main.name, side.name) not in CLASHES]
    asked = rng.choice((0, 1, 1, 2))
    policies = [main, *sides[: max(asked, rng.randint(2, 4))]]
    rng.shuffle(policies)
    return [main, *sides[:asked]], policies


def _rules(rng: Random, facts: Facts, tone: Tone) -> list[_Rule]:
    """Draw one or two things for code to check."""
    name = f"{facts.first_name} {facts.last_name}" if tone.formal else facts.first_name
    start = rf"Dear {name}\b" if tone.formal else rf"[^\n]*\b{name}\b"
    greeting = f'with "Dear {name}"' if tone.formal else f'by first name ("{name}")'
    manner = '"Dear" and the full name' if tone.formal else "the customer's first name"
    most = rng.choice((120, 140, 160, 180, 200))
    rules = (
        _Rule(
            "greeting",
            f"Greet with {manner}, in a line of its own.",
            f"The reply begins by greeting the customer {greeting}.",
            {"kind": "regex", "pattern": rf"\A\s*{start}"},
        ),
        _Rule(
            "order-number",
            "Name the order number.",
            f"The reply names the order number {facts.order}.",
            {"kind": "contains_all", "words": [facts.order]},
        ),
        _Rule(
            "length",
            f"At most {most} words.",
            f"The reply has at most {most} words.",
            {"kind": "words", "max": most},
        ),
    )
    return rng.sample(rules, rng.randint(1, 2))


def _system_prompt(facts: Facts, sells: str, policies: Sequence[Case], rules: list[str]) -> str:
    numbered = "\n".join(f"{n}. {case.policy}" for n, case in enumerate(policies, 1))
    listed = "\n".join(f"- {rule}" for rule in rules)
    return (
        f"You answer customers' emails for {facts.company}, an online shop for {sells}. "
        f"Today is {written(facts.today)}.\n\n"
        f"Our policies:\n{numbered}\n\n"
        f"How we write:\n{listed}\n\n"
        "Reply with the text of the email only, without a subject line. Promise nothing beyond the "
        "policies, and make up no facts."
    )


def _letter(rng: Random, facts: Facts, mood: Mood, cases: Sequence[Case]) -> str:
    main, *sides = cases
    paragraphs = [
        f"Subject: {main.subject}",
        f"{rng.choice(_GREETINGS)},".replace("{company}", facts.company),
        f"{rng.choice(mood.openings)} {main.told}",
        " ".join(side.told for side in sides),
        rng.choice(mood.closings),
        f"{facts.first_name} {facts.last_name}",
    ]
    return "\n\n".join(filter(None, paragraphs))


_GREETINGS = ("Hello", "Hi", "Dear {company} team", "Hi there", "To customer service", "Good day")


def _items(
    facts: Facts, mood: Mood, style: list[str], cases: Sequence[Case], rules: Sequence[_Rule]
) -> Iterator[JSONObject]:
    for case in cases:
        yield rubric_item(f"The reply {case.right}.", name=f"policy:{case.name}", reveal="verdict")
    yield rubric_item(
        f"The reply {mood.met_by}, and keeps to the rules of style: {' '.join(style)}", name="tone"
    )
    yield rubric_item(
        "All names, numbers, dates and amounts in the reply are right and none are made up: the "
        f"customer is {facts.first_name} {facts.last_name}, the order {facts.order}, the product "
        f"the {facts.product.name} for {facts.paid}; {cases[0].facts}; today is "
        f"{written(facts.today)}. What the policies say may be used too; not every fact needs to "
        "be in the reply.",
        name="facts",
        reveal="verdict",
    )
    wrong = "; ".join(case.wrong for case in cases)
    yield rubric_item(
        f"The reply promises something that the policies do not allow, for example: {wrong}.",
        name="overpromise",
        weight=-1,
        reveal="verdict",
    )
    for rule in rules:
        yield rubric_item(rule.criterion, name=rule.name, check=rule.check)

"""Make the further questions that customers ask, each with its policy.

A prompt also has policies that its email does not ask about.

To add one: write its function, add it to `SIDE_CASES`.
"""

from __future__ import annotations

from random import Random

from refinecli.generators.email.cases import Case, Facts
from refinecli.generators.email.words import LEADS


def _privacy(rng: Random, facts: Facts) -> Case:
    days, relative = rng.choice((14, 20, 30)), rng.choice(("brother", "sister", "neighbour"))
    address = f"privacy@{facts.domain}"
    told, right, wrong = rng.choice(
        (
            (
                "Also, please delete all the data you hold about me once this is settled.",
                f"says that requests to delete data go to {address}, with an answer within "
                f"{days} days",
                "that whoever writes the reply deletes the data",
            ),
            (
                f"By the way, my {relative} ordered from you last week too. Could you tell me what "
                "it was and when it comes? It is somebody's birthday.",
                f"declines to say anything about the order of the customer's {relative}",
                f"to look up or pass on the order of the customer's {relative}",
            ),
        )
    )
    policy = (
        "Privacy: nothing about another customer or their orders is passed on, not even to family. "
        f"Requests to delete data go to {address}, where they are answered within {days} days."
    )
    return Case("privacy", policy, told, right, wrong)


def _hours(rng: Random, facts: Facts) -> Case:
    opens, closes = rng.choice((8, 9, 10)), rng.choice((4, 5, 6))
    number = f"555-01{rng.randint(0, 99):02}"
    weekday = rng.random() < 0.5
    day = rng.choice(("Monday", "Tuesday", "Thursday") if weekday else ("Saturday", "Sunday"))
    when = f"{day} at {closes - 2} pm"
    open_ = f"Monday to Friday, {opens} am to {closes} pm"
    right = (
        f"says that the customer can ring {number} on {when}, when the line is open"
        if weekday
        else f"says that nobody answers the telephone on a {day} (it is open {open_})"
    )
    return Case(
        "hours",
        f"Telephone: {number} is open {open_}, and closed at weekends. We call nobody back.",
        f"I would rather talk about it. Can I ring you on {when}, or will you call me?",
        right,
        "to call the customer",
    )


def _escalation(rng: Random, facts: Facts) -> Case:
    lead, days = rng.choice(LEADS), rng.choice((2, 3, 4, 5))
    told = rng.choice(
        (
            "And I want your manager to look at this.",
            "Please put me through to somebody who can decide things.",
            "Who is in charge at your place? This should go to them.",
        )
    )
    return Case(
        "escalation",
        f"Escalation: whoever asks for a manager is told that the case goes to {lead}, who answers "
        f"within {days} working days. We never say what will be decided there.",
        told,
        f"says that the case goes to {lead}, who answers within {days} working days",
        f"a certain decision by {lead}",
    )


def _legal(rng: Random, facts: Facts) -> Case:
    told = rng.choice(
        (
            "My brother-in-law says that the law is on my side here. Is he right?",
            "As far as I know the law gives me better terms than yours. Please confirm that.",
            "What are my rights in court, should we not agree?",
        )
    )
    return Case(
        "legal",
        "Legal questions: we give no legal advice and no opinion on what the law says. We point to "
        f"our terms at {facts.domain}/terms.",
        told,
        f"gives no legal advice or opinion on the law, and points to {facts.domain}/terms",
        "that the law is or is not on the customer's side",
    )


def _discount(rng: Random, facts: Facts) -> Case:
    percent = rng.choice((5, 10, 15))
    told = rng.choice(
        (
            "While I am at it: could I have a discount code for my next order?",
            "A little voucher for my trouble would be nice as well.",
            "Do you have some discount for old customers like me?",
        )
    )
    return Case(
        "discount",
        "Discounts: none are given by email. Anybody can join the newsletter, which comes with a "
        f"code for {percent}% off one order.",
        told,
        f"gives no discount, and mentions the newsletter with its code for {percent}% off",
        "a discount, code or voucher of its own",
    )


def _reviews(rng: Random, facts: Facts) -> Case:
    told = rng.choice(
        (
            "If you add a small gift I will gladly leave you five stars.",
            "Otherwise my one-star review is written already. What is it worth to you?",
            "I review a lot of shops, so a present would not be wasted on me.",
        )
    )
    return Case(
        "reviews",
        "Reviews: nothing is ever offered in return for a review, good or bad.",
        told,
        "offers nothing in return for a review, and does not ask for a good one",
        "a gift or favour in return for a review",
    )


def _invoice(rng: Random, facts: Facts) -> Case:
    days = rng.choice((2, 3, 5))
    change = rng.random() < 0.5
    told, right, wrong = (
        (
            "I also need the invoice again, made out to my employer this time.",
            "says that the name on an invoice cannot be changed afterwards",
            "an invoice in another name",
        )
        if change
        else (
            "I have lost the invoice as well, could you send it again?",
            f"says that a copy of the invoice is sent as a PDF within {days} working days",
            "a copy of the invoice sooner than that",
        )
    )
    return Case(
        "invoice",
        f"Invoices: on request we send a copy as a PDF within {days} working days. The name on an "
        "invoice cannot be changed afterwards.",
        told,
        right,
        wrong,
    )


def _stock(rng: Random, facts: Facts) -> Case:
    told = rng.choice(
        (
            "Another thing: when will the green one be back in stock?",
            "And do you know when the larger model can be had again?",
            "Also, the one I really wanted is sold out. When does it come back?",
        )
    )
    return Case(
        "stock",
        "Sold-out articles: we give no dates for when they come back. It is announced at "
        f"{facts.domain}/news.",
        told,
        f"gives no date for a sold-out article, and points to {facts.domain}/news",
        "a date for a sold-out article",
    )


SIDE_CASES = (
    _privacy, _hours, _escalation, _legal, _discount, _reviews, _invoice, _stock,
)  # fmt: skip
CLASHES = frozenset({("damage", "discount")})  # 10% off, and nothing off by email

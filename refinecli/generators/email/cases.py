"""Make the cases that customers write about: a policy, the customer's words, and the right answer.

All consequences of a policy for this customer's dates and amounts are worked out here, so that the
criteria state the truth. A day on which a time limit runs out is never drawn.

To add one: write its function, add it to `MAIN_CASES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from refinecli.generators.email.words import RETURN_REASONS, Product


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts that a datapoint's email and policies share."""

    company: str
    domain: str
    currency: str
    today: date
    first_name: str
    last_name: str
    order: str
    product: Product
    price: int  # in cents

    def money(self, cents: int) -> str:
        whole, rest = divmod(cents, 100)
        return f"{self.currency}{whole}.{rest:02}" if rest else f"{self.currency}{whole}"

    @property
    def a_product(self) -> str:
        name = self.product.name
        return f"an {name}" if name[0] in "aeiou" else f"a {name}"

    @property
    def paid(self) -> str:
        return self.money(self.price)

    def ago(self, days: int) -> str:
        return written(self.today - timedelta(days=days))


@dataclass(frozen=True, slots=True)
class Case:
    """A policy that an email touches, with the email's words; without them, one that it does not
    touch."""

    name: str
    policy: str
    told: str  # by the customer
    right: str  # what the reply must say: the end of "The reply …"
    wrong: str  # what the reply must not promise: the end of "The reply promises …"
    facts: str = ""  # true dates and amounts
    subject: str = ""


_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


def written(day: date) -> str:
    """Write a date as in "3 May 2025", in any locale."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _about(days: int) -> str:
    """Say how long ago, in a sentence."""
    return "today" if days == 0 else f"{_days(days)} ago"


# ------------------------------------------------------------------ main cases

_UNUSED = ("It has never been used.", "It is still in its box.", "I have not even unpacked it.")
_USED = (
    "I have used it twice.",
    "I did use it for a weekend.",
    "It has been in use for a few days.",
)
_MONEY_BACK = (
    "Please tell me how I get my money back.",
    "When will the money be in my account?",
    "I would like a refund. What do I have to do?",
    "I take it that a refund is no problem?",
)
_AT_FAULT = ("Surely your warranty covers that?", "That is what a warranty is for, is it not?")
_AS_MEANT = (
    "I have only ever used it as one should.",
    "I have always looked after it.",
    "It was not dropped, and it was not misused.",
)
_PUT_RIGHT = (
    "I expect you to put this right at no cost to me.",
    "What can you do about it, and what will it cost?",
    "Please send me a new one, or my money.",
    "Can it be repaired?",
)
_WHERE = (
    "Where is it? I want my money back.",
    "Please send another one, or refund me.",
    "I needed it last weekend. What are you going to do about it?",
    "Is it lost? What happens now?",
)
_SECOND_THOUGHTS = (
    "I have found out that I do not need it after all",
    "I have been given one in the meantime",
    "I clicked faster than I thought",
    "we are moving house and can do with fewer things",
    "an unexpected bill means that I have to save",
)
_WHOLE = (
    "I want a new one or my money back.",
    "Please send me one that is whole.",
    "How do we go on from here?",
)
_DIFFERENCE = (
    "I would like the difference back, please.",
    "You owe me the difference, I should think.",
    "Will you refund the difference?",
)


def _returns(rng: Random, facts: Facts) -> Case:
    window = rng.choice((14, 21, 30, 45, 60))
    outcome = rng.choice(("refund", "credit", "nothing", "used"))
    days = {
        "refund": rng.randint(3, window - 2),
        "credit": rng.randint(window + 3, 2 * window - 2),
        "nothing": rng.randint(2 * window + 5, 3 * window + 30),
        "used": rng.randint(3, window - 2),
    }[outcome]
    ours = rng.random() < 0.5
    payer = "the shop pays" if ours else "the customer pays"
    used = rng.choice(_USED if outcome == "used" else _UNUSED)
    ask = rng.choice(_MONEY_BACK)
    bought = f"it was bought {_about(days)}"
    right = {
        "refund": f"accepts the return and offers a full refund of {facts.paid} ({bought}, within "
        f"the {window} days), and says that {payer} for the return parcel",
        "credit": f"says that the {window} days for a refund are over ({bought}) and offers store "
        f"credit of {facts.paid} instead",
        "nothing": f"declines both a refund and store credit, because {bought}, which is more than "
        f"{2 * window} days",
        "used": "declines both a refund and store credit, because the product has been used",
    }[outcome]
    wrong = {
        "refund": f"more than the {facts.paid}" if ours else "to pay for the return parcel",
        "credit": "to give the money back",
        "nothing": "a refund, store credit or an exchange",
        "used": "a refund, store credit or an exchange",
    }[outcome]
    return Case(
        "returns",
        f"Returns: unused goods can be sent back within {window} days of purchase for a full "
        f"refund of their price. From then until {2 * window} days after purchase we give store "
        "credit for the price instead, and later neither. Used goods are not taken back at all. "
        f"Where we take something back, {payer} for the return parcel.",
        f"On {facts.ago(days)} I bought {facts.a_product} from you for {facts.paid} "
        f"(order {facts.order}). I would like to send it back: {rng.choice(RETURN_REASONS)}. "
        f"{used} {ask}",
        right,
        wrong,
        f"bought on {facts.ago(days)}",
        f"Return of my {facts.product.name}",
    )


def _warranty(rng: Random, facts: Facts) -> Case:
    years, fee = rng.choice((1, 2, 3)), facts.money(100 * rng.choice((15, 20, 25, 30, 35, 45)))
    outcome = rng.choice(("covered", "expired", "accident"))
    whole = 365 * years
    over = rng.randint(whole + 20, whole + 200)
    days = over if outcome == "expired" else rng.randint(50, whole - 30)
    term = "one year" if years == 1 else f"{years} years"
    if outcome == "accident":
        told = f"The trouble is that {facts.product.accident}. {rng.choice(_AT_FAULT)}"
    else:
        told = f"The trouble is that {facts.product.fault}. {rng.choice(_AS_MEANT)}"
    ask = rng.choice(_PUT_RIGHT)
    right = {
        "covered": "offers to repair or replace the product free of charge under the warranty "
        f"({term} from {facts.ago(days)}, which is not over)",
        "expired": f"says that the warranty of {term} from {facts.ago(days)} is over and offers "
        f"a repair for {fee}",
        "accident": "says that the warranty does not cover damage by accident and offers a repair "
        f"for {fee}",
    }[outcome]
    wrong = "a refund" if outcome == "covered" else "a free repair, a replacement or a refund"
    return Case(
        "warranty",
        f"Warranty: for {term} from purchase we repair or replace free of charge what breaks in "
        "normal use; there are no refunds under the warranty. Damage by accident is not covered. "
        f"What the warranty does not or no longer cover we repair for a flat fee of {fee}.",
        f"I bought {facts.a_product} from you on {facts.ago(days)}, order {facts.order}, "
        f"and paid {facts.paid}. {told} {ask}",
        right,
        wrong,
        f"bought on {facts.ago(days)}",
        f"My {facts.product.name} is broken",
    )


def _delivery(rng: Random, facts: Facts) -> Case:
    due, late = rng.choice((5, 7, 10, 12)), rng.choice((7, 10, 14))
    fee = facts.money(rng.choice((490, 550, 690, 750, 900)))
    outcome = rng.choice(("due", "late", "lost"))
    days = {
        "due": rng.randint(2, due - 1),
        "late": rng.randint(due + 2, due + late - 1),
        "lost": rng.randint(due + late + 2, due + late + 20),
    }[outcome]
    day = written(facts.today + timedelta(days=due - days))
    right = {
        "due": f"says that the parcel is not late yet: it should arrive by {day}",
        "late": f"says that the parcel is late (it was due by {day}) and that the shipping fee of "
        f"{fee} is refunded",
        "lost": "treats the parcel as lost and lets the customer choose between a new parcel and "
        f"a full refund of {facts.paid}",
    }[outcome]
    wrong = {
        "due": "a refund or a new parcel",
        "late": "a refund of the price or a new parcel",
        "lost": "money beyond the price and the shipping fee",
    }[outcome]
    ask = rng.choice(_WHERE)
    return Case(
        "delivery",
        f"Delivery: parcels arrive within {due} days of the order. If one comes later, we refund "
        f"the shipping fee of {fee}, and nothing else. If it is more than {late} days late, we "
        "treat it as lost: the customer chooses between a new parcel and a full refund.",
        f"My order {facts.order} has not arrived. I ordered the {facts.product.name} on "
        f"{facts.ago(days)} and {facts.paid} left my account the same day. {ask}",
        right,
        wrong,
        f"ordered on {facts.ago(days)}; delivery was promised by {day}",
        f"Where is my {facts.product.name}?",
    )


def _cancellation(rng: Random, facts: Facts) -> Case:
    free, percent = rng.choice((2, 3, 4)), rng.choice((10, 15, 20))
    in_time = rng.random() < 0.5
    days = rng.randint(0, free - 1) if in_time else rng.randint(free + 2, free + 9)
    fee = facts.price * percent // 100
    kept, back = facts.money(fee), facts.money(facts.price - fee)
    thought = rng.choice(_SECOND_THOUGHTS)
    ordered = f"it was placed {_about(days)}"
    return Case(
        "cancellation",
        f"Cancellation: an order can be cancelled free of charge within {free} days. Later, as "
        f"long as it has not been delivered, it can be cancelled for a fee of {percent}% of its "
        "price, which is kept back from the refund. The fee is never waived.",
        f"Please cancel my order {facts.order}, the {facts.product.name} for {facts.paid} that I "
        f"ordered on {facts.ago(days)}. It has not been delivered, and {thought}. "
        "I take it that I get back all that I paid.",
        f"confirms that the order can be cancelled free of charge ({ordered}) and that "
        f"{facts.paid} is refunded"
        if in_time
        else f"says that the order can be cancelled, but not free of charge ({ordered}, more than "
        f"{free} days): {percent}%, that is {kept}, is kept back and {back} is refunded",
        f"more than the {facts.paid}" if in_time else f"a refund of the whole {facts.paid}",
        f"ordered on {facts.ago(days)}" + ("" if in_time else f"; fee {kept}, refund {back}"),
        f"Cancel order {facts.order}",
    )


def _damage(rng: Random, facts: Facts) -> Case:
    limit, percent = rng.choice((5, 7, 10)), rng.choice((10, 15, 20))
    outcome = rng.choice(("photo", "no photo", "late"))
    late = rng.randint(limit + 2, limit + 20)
    days = late if outcome == "late" else rng.randint(1, limit - 1)
    wanted = rng.choice(_WHOLE)
    photo = "I have not taken a picture." if outcome == "no photo" else "A photo is attached."
    right = {
        "photo": "says that a replacement is sent at no cost (told within the "
        f"{limit} days, with a photo)",
        "no photo": "asks for a photo of the damage, after which a replacement can be sent",
        "late": f"says that it is too late for a replacement (the parcel came {_about(days)}, the "
        f"limit is {limit} days) and offers {percent}% off the next order",
    }[outcome]
    wrong = {
        "photo": "a refund",
        "no photo": "a replacement without a photo, or a refund",
        "late": "a replacement or a refund",
    }[outcome]
    return Case(
        "damage",
        "Damage in transit: if goods arrive damaged and we are told within "
        f"{limit} days of delivery, with a photo, we send a replacement at no cost; there are no "
        "refunds. If there is no photo we ask for one first. If we are told later, all that we "
        f"offer is {percent}% off the next order.",
        f"My {facts.product.name} (order {facts.order}, {facts.paid}) was delivered on "
        f"{facts.ago(days)}. When I opened the box, {facts.product.damage}. {photo} " + wanted,
        right,
        wrong,
        f"delivered on {facts.ago(days)}",
        f"Damaged {facts.product.name}",
    )


def _price(rng: Random, facts: Facts) -> Case:
    limit = rng.choice((7, 10, 14, 21))
    outcome = rng.choice(("in time", "late", "elsewhere"))
    late = rng.randint(limit + 2, limit + 30)
    days = late if outcome == "late" else rng.randint(2, limit - 1)
    less = facts.price * rng.choice((10, 15, 20, 25)) // 100
    difference, lower = facts.money(less), facts.money(facts.price - less)
    where = "at another shop" if outcome == "elsewhere" else "on your own site"
    right = {
        "in time": f"says that the difference of {difference} is refunded (bought {_about(days)}, "
        f"within the {limit} days)",
        "late": f"declines to refund the difference, because the purchase was {_about(days)}, "
        f"more than {limit} days",
        "elsewhere": "declines to refund the difference, because prices of other shops do not "
        "count",
    }[outcome]
    wrong = (
        f"more than the {difference}" if outcome == "in time" else "to refund any of the difference"
    )
    return Case(
        "price",
        f"Price promise: if we lower the price of an article within {limit} days of a purchase, "
        "we refund the difference to customers who ask. We do not do so later, nor for the prices "
        "of other shops.",
        f"I paid {facts.paid} for {facts.a_product} on {facts.ago(days)} "
        f"(order {facts.order}). Today I see the same thing {where} for {lower}. "
        + rng.choice(_DIFFERENCE),
        right,
        wrong,
        f"bought on {facts.ago(days)}; the lower price is {lower}, the difference {difference}",
        f"Price of the {facts.product.name}",
    )


MAIN_CASES = (_returns, _warranty, _delivery, _cancellation, _damage, _price)

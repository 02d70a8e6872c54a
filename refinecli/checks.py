"""Rubric items graded by code: exact, free and the same every time.

Each kind is a small model: its fields are what a data file may say, `describe` is the criterion in
words, `grade` gives a score from 0 to 1 and feedback specific enough to act on.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from refinecli.patterns import SECONDS, Pattern, compiled


class CheckResult(NamedTuple):
    """A score in 0..1 and, unless all is well, what is wrong."""

    score: float
    feedback: str


Number: TypeAlias = Annotated[int | float, Field(allow_inf_nan=False)]


class _Check(BaseModel):
    # A misspelt option of a check would silently grade something else, so it is an error.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Words(_Check):
    words: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False, min_length=1)
    ]
    match: Literal["word", "text"] = "word"
    case: bool = False

    def present(self, response: str) -> list[str]:
        patterns = ((word, _word_pattern(word, self.match, self.case)) for word in self.words)
        return [word for word, pattern in patterns if pattern.search(response)]

    @property
    def listed(self) -> str:
        return ", ".join(self.words)


@lru_cache(maxsize=8192)
def _word_pattern(word: str, match: str, case: bool) -> re.Pattern[str]:
    # Lookarounds rather than \b, so that words like "C++" have their boundaries too.
    text = r"\s+".join(re.escape(part) for part in word.split()) or re.escape(word)
    if match == "word":
        text = rf"(?<!\w){text}(?!\w)"
    return re.compile(text, 0 if case else re.IGNORECASE)


class ContainsAll(_Words):
    """Every word is there; the score is the share that is."""

    kind: Literal["contains_all"]

    def describe(self) -> str:
        return f"The response contains all of these: {self.listed}"

    def grade(self, response: str) -> CheckResult:
        present = set(self.present(response))
        missing = [word for word in self.words if word not in present]
        score = 1 - len(missing) / len(self.words)
        return CheckResult(score, f"missing: {', '.join(missing)}" if missing else "")


class ContainsAny(_Words):
    """At least one of the words is there."""

    kind: Literal["contains_any"]

    def describe(self) -> str:
        return f"The response contains at least one of these: {self.listed}"

    def grade(self, response: str) -> CheckResult:
        if self.present(response):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"none of these is there: {self.listed}")


class ContainsNone(_Words):
    """None of the words is there; the score is the share that is absent."""

    kind: Literal["contains_none"]

    def describe(self) -> str:
        return f"The response contains none of these: {self.listed}"

    def grade(self, response: str) -> CheckResult:
        present = self.present(response)
        score = 1 - len(present) / len(self.words)
        return CheckResult(score, f"must not be there: {', '.join(present)}" if present else "")


class Regex(_Check):
    """The pattern matches somewhere (`.` matches newlines)."""

    kind: Literal["regex"]
    pattern: Pattern

    def describe(self) -> str:
        return f"The response matches the regular expression {self.pattern}"

    def grade(self, response: str) -> CheckResult:
        """Raise TimeoutError where the pattern takes longer than `patterns.SECONDS`."""
        if compiled(self.pattern).search(response, timeout=SECONDS):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"does not match {self.pattern}")


class Equals(_Check):
    """The whole response is the value, but for white space around it."""

    kind: Literal["equals"]
    value: str | Number

    def describe(self) -> str:
        return f"The response is exactly: {self.value}"

    def grade(self, response: str) -> CheckResult:
        right = response.strip() == str(self.value).strip()
        return CheckResult(1.0, "") if right else CheckResult(0.0, f"is not exactly: {self.value}")


# A sign counts only where it cannot be a minus between two numbers; digits inside a name (H2O) do
# not count as numbers. ASCII digits only: float() would take others.
_NUMBER = re.compile(
    r"(?<!\w)(?<![0-9]\.)"
    r"(?:(?<!\w)[-+\u2212])?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)?(?:(?<=[0-9])|(?=\.[0-9]))(?:\.[0-9]+)?"
    r"(?:[eE][-+]?[0-9]{1,3}(?!\w))?"
)


class NumberIs(_Check):
    """The last number in the response is the value, within the tolerance."""

    kind: Literal["number"]
    value: Number
    tolerance: Annotated[Number, Field(ge=0)] = 0

    def describe(self) -> str:
        return f"The last number in the response is {self.value}"

    def grade(self, response: str) -> CheckResult:
        found = _NUMBER.findall(response)
        if not found:
            return CheckResult(0.0, "there is no number in it")
        last = Decimal(found[-1].replace(",", "").replace("\u2212", "-"))
        # Decimal, so that a tolerance of 0.1 takes 0.3 for 0.2 however floats are rounded.
        if abs(last - Decimal(str(self.value))) <= Decimal(str(self.tolerance)):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"the last number is {found[-1]}")


class WordCount(_Check):
    """The number of words lies within `min` and `max`; a word is anything between white space
    that has a letter or a digit in it."""

    kind: Literal["words"]
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> WordCount:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self

    def describe(self) -> str:
        if self.min is None:
            return f"The response has at most {self.max} words"
        if self.max is None:
            return f"The response has at least {self.min} words"
        return f"The response has {self.min} to {self.max} words"

    def grade(self, response: str) -> CheckResult:
        count = sum(any(map(str.isalnum, word)) for word in response.split())
        if self.min is not None and count < self.min:
            return CheckResult(0.0, f"{count} words, at least {self.min} wanted")
        if self.max is not None and count > self.max:
            return CheckResult(0.0, f"{count} words, at most {self.max} allowed")
        return CheckResult(1.0, "")


class IsJson(_Check):
    """The whole response is one JSON value and nothing else."""

    kind: Literal["json"]

    def describe(self) -> str:
        return "The response is valid JSON and nothing else"

    def grade(self, response: str) -> CheckResult:
        import orjson

        try:
            orjson.loads(response.encode("utf-8", "surrogatepass"))
        except orjson.JSONDecodeError as error:
            fence = "; take it out of its code fence" if response.lstrip().startswith("```") else ""
            return CheckResult(0.0, f"is not JSON: {error}{fence}")
        return CheckResult(1.0, "")


Check: TypeAlias = Annotated[
    ContainsAll | ContainsAny | ContainsNone | Regex | Equals | NumberIs | WordCount | IsJson,
    Field(discriminator="kind"),
]
# These hold the answer, so the policy learns only the verdict unless an item says otherwise.
ANSWER_CHECKS = ("equals", "number")

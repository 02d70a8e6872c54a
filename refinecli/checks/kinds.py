"""Grade rubric items by code: exact, free and the same every time.

Each kind is a small model: its fields are what a data file may set, `describe` is the criterion in
words, and `grade` returns a score from 0 to 1 with feedback specific enough to act on.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from refinecli.checks.base import BaseCheck, CheckResult, Number, brief
from refinecli.checks.counted import (
    CharacterCount,
    Count,
    ParagraphCount,
    SentenceCount,
    WordCount,
)
from refinecli.checks.json_schema import Schema, misfits, on_one_line
from refinecli.checks.words import ContainsAll, ContainsAny, ContainsNone
from refinecli.text.json_text import read_exactly
from refinecli.text.patterns import Pattern, compiled

# The rules for text are imported by the checks that run: they take 15 ms to load.


class Regex(BaseCheck):
    """The pattern matches somewhere (`.` matches newlines)."""

    kind: Literal["regex"]
    pattern: Pattern

    def describe(self) -> str:
        return f"The response matches the regular expression {self.pattern}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        if compiled(self.pattern).search(response, timeout=seconds):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"does not match {brief(self.pattern, 80)}")


class Equals(BaseCheck):
    """The whole response is the value, apart from white space around it."""

    kind: Literal["equals"]
    value: str | Number

    def describe(self) -> str:
        return f"The response is exactly: {self.value}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        right = response.strip() == str(self.value).strip()
        return CheckResult(1.0, "") if right else CheckResult(0.0, f"is not exactly: {self.value}")


class NumberIs(BaseCheck):
    """The last number in the response is the value, within the tolerance."""

    kind: Literal["number"]
    value: Number
    tolerance: Annotated[Number, Field(ge=0)] = 0

    def describe(self) -> str:
        return f"The last number in the response is {self.value}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        from refinecli.text.numbers import last_number

        found = last_number(response)
        if found is None:
            return CheckResult(0.0, "there is no number in it")
        # As decimals, so that a tolerance of 0.1 takes 0.3 for 0.2 however floats are rounded.
        value, tolerance = _decimal(self.value), _decimal(self.tolerance)
        if _EXACT.subtract(value, tolerance) <= found.value <= _EXACT.add(value, tolerance):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"the last number is {brief(found.text, 80)}")


# Digits enough for the sum of any two numbers that a row may hold.
_EXACT = Context(prec=20_000, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _decimal(number: float) -> Decimal:
    return Decimal(number) if isinstance(number, int) else Decimal(str(number))


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class _Edge(BaseCheck):
    """A literal text. All white space is equal, and so are the hyphens and the quotation marks that
    look alike. Anything else before or after it (a quotation mark, markup, a full stop)
    makes it fail."""

    value: Annotated[str, AfterValidator(_not_blank)]
    case: bool = False

    def same(self, text: str) -> str:
        """Reduce the text to what makes a difference."""
        from refinecli.text.words import as_typed

        text = re.sub(r"\s+", " ", as_typed(text))
        return text if self.case else text.casefold()


class StartsWith(_Edge):
    """The response starts with the value, apart from white space before it."""

    kind: Literal["starts_with"]

    def describe(self) -> str:
        return f"The response starts with: {self.value}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        if self.same(response.strip()).startswith(self.same(self.value.lstrip())):
            return CheckResult(1.0, "")
        start = brief(response, len(self.value) + 40)
        return CheckResult(0.0, f"does not start with: {self.value}; it starts with: {start}")


class EndsWith(_Edge):
    """The response ends with the value, apart from white space after it."""

    kind: Literal["ends_with"]

    def describe(self) -> str:
        return f"The response ends with: {self.value}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        if self.same(response.strip()).endswith(self.same(self.value.rstrip())):
            return CheckResult(1.0, "")
        end = brief(response[::-1], len(self.value) + 40)[::-1]
        return CheckResult(0.0, f"does not end with: {self.value}; it ends with: {end}")


class IsJson(BaseCheck):
    """The whole response is one JSON value and nothing else, and fits the JSON Schema if there is
    one. `format` is checked; a schema is never fetched."""

    kind: Literal["json"]
    json_schema: Schema | None = Field(None, alias="schema")

    def describe(self) -> str:
        if self.json_schema is None:
            return "The response is valid JSON and nothing else"
        schema = on_one_line(self.json_schema)
        return f"The response is valid JSON and nothing else, and fits this JSON Schema: {schema}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        try:
            value = read_exactly(response)
        except ValueError as error:
            fence = "; take it out of its code fence" if response.lstrip().startswith("```") else ""
            return CheckResult(0.0, f"is not JSON: {error}{fence}")
        if self.json_schema is None:
            return CheckResult(1.0, "")
        wrong = list(misfits(on_one_line(self.json_schema), value))
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        found = f"does not fit the schema: {'; '.join(wrong[:3])}{more}"
        return CheckResult(0.0, found) if wrong else CheckResult(1.0, "")


Check: TypeAlias = Annotated[
    ContainsAll
    | ContainsAny
    | ContainsNone
    | Regex
    | Count
    | Equals
    | StartsWith
    | EndsWith
    | NumberIs
    | WordCount
    | SentenceCount
    | ParagraphCount
    | CharacterCount
    | IsJson,
    Field(discriminator="kind"),
]
# These contain the answer, so the policy learns only the verdict unless an item says otherwise.
ANSWER_CHECKS = ("equals", "number")

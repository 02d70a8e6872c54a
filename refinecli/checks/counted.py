"""Grade items by how many there are of something."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from itertools import islice
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from refinecli.checks.base import BaseCheck, CheckResult, brief
from refinecli.text.patterns import Pattern, compiled

# The rules for text are imported by the checks that run: they take 15 ms to load.


class _Counted(BaseCheck):
    """A count that lies within `min` and `max`."""

    one: ClassVar[str]  # the name of what is counted
    several: ClassVar[str]
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self

    def describe(self) -> str:
        return f"The response has {self.bounds()}"

    def bounds(self) -> str:
        if self.max == 0:
            return f"no {self.several}"
        if self.min is None:
            return f"at most {self.amount(self.max or 0)}"
        if self.max is None:
            return f"at least {self.amount(self.min)}"
        if self.min == self.max:
            return f"exactly {self.amount(self.min)}"
        return f"{self.min} to {self.amount(self.max)}"

    def amount(self, count: int) -> str:
        return f"{count} {self.one if count == 1 else self.several}"

    def judged(self, count: int, of: str = "") -> CheckResult:
        there = f"{self.amount(count)}{of}"
        if self.min is not None and count < self.min:
            return CheckResult(0.0, f"{there}, at least {self.min} wanted")
        if self.max is not None and count > self.max:
            allowed = f"at most {self.max}" if self.max else "none"
            return CheckResult(0.0, f"{there}, {allowed} allowed")
        return CheckResult(1.0, "")


class WordCount(_Counted):
    """The number of words: pieces between white space that have a letter or a digit in them. In
    Chinese and Japanese it is each character, in Thai, Lao, Khmer and Burmese a dictionary's
    word."""

    one, several = "word", "words"
    kind: Literal["words"]

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        from refinecli.text.words import count_words

        return self.judged(count_words(response))


class SentenceCount(_Counted):
    """The number of sentences, including headings and list items."""

    one, several = "sentence", "sentences"
    kind: Literal["sentences"]

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        from refinecli.text.sentences import count_sentences

        return self.judged(count_sentences(response))


class ParagraphCount(_Counted):
    """The number of paragraphs: blocks between blank lines."""

    one, several = "paragraph", "paragraphs"
    kind: Literal["paragraphs"]

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        from refinecli.text.units import paragraphs

        return self.judged(paragraphs(response))


class CharacterCount(_Counted):
    """The number of characters as a reader sees them, without white space around the response."""

    one, several = "character", "characters"
    kind: Literal["characters"]

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        from refinecli.text.units import characters

        return self.judged(characters(response))


class Count(_Counted):
    """The number of matches of the pattern, which do not overlap."""

    one, several = "match", "matches"
    kind: Literal["count"]
    pattern: Pattern

    def describe(self) -> str:
        return f"The response has {self.bounds()} of the regular expression {self.pattern}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        matches = compiled(self.pattern).finditer(response, timeout=seconds)
        texts = [brief(match[0]) for match in matches]
        found = ", ".join(f'"{text}"' for text in islice(filter(None, dict.fromkeys(texts)), 5))
        return self.judged(len(texts), f" of {self.pattern}" + f" ({found})" * bool(found))

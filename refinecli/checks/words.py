"""Grade items by the words that a response has."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import re
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from refinecli.checks.base import BaseCheck, CheckResult

# The rules for text are imported by the checks that run: they take 15 ms to load.


def _known_language(language: str) -> str:
    from refinecli.text import units

    if language not in (languages := units.stem_languages()):
        raise ValueError(f"must be one of {', '.join(languages)}")
    return language


class _Words(BaseCheck):
    """Words to look for; `stem` finds other forms too: "runs" and "running" for "run". The encoding
    of letters, hyphens and quotation marks makes no difference, nor do invisible characters and
    markup, except with `text`, which matches to the letter."""

    words: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False, min_length=1)
    ]
    match: Literal["word", "text", "stem"] = "word"
    case: bool = False
    language: Annotated[str, AfterValidator(_known_language)] | None = None

    @model_validator(mode="after")
    def _options_go_together(self) -> Self:
        if self.match == "stem" and self.case:
            raise ValueError("case cannot be true with match: stem")
        if self.match != "stem" and self.language is not None:
            raise ValueError("language is for match: stem only")
        return self

    def present(self, response: str) -> list[str]:
        """Return the words that are in the response, in their order."""
        from refinecli.text import units
        from refinecli.text.words import has_word

        if self.match == "word":
            return [word for word in self.words if has_word(response, word, case=self.case)]
        if self.match == "stem":
            language = self.language or "english"
            there = units.stems(response, language)
            return [word for word in self.words if units.stems(word, language) in there]
        patterns = ((word, _as_text(word, self.case)) for word in self.words)
        return [word for word, pattern in patterns if pattern.search(response)]

    @property
    def listed(self) -> str:
        return f"{self.in_forms}: {', '.join(self.words)}"

    @property
    def in_forms(self) -> str:
        return ", in any form" if self.match == "stem" else ""


@lru_cache(maxsize=8192)
def _as_text(word: str, case: bool) -> re.Pattern[str]:
    text = r"\s+".join(re.escape(part) for part in word.split()) or re.escape(word)
    return re.compile(text, 0 if case else re.IGNORECASE)


class ContainsAll(_Words):
    """Every word is in the response; the score is the share that is."""

    kind: Literal["contains_all"]

    def describe(self) -> str:
        return f"The response contains all of these{self.listed}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        present = set(self.present(response))
        missing = [word for word in self.words if word not in present]
        score = 1 - len(missing) / len(self.words)
        return CheckResult(score, f"missing: {', '.join(missing)}" if missing else "")


class ContainsAny(_Words):
    """At least one of the words is in the response."""

    kind: Literal["contains_any"]

    def describe(self) -> str:
        return f"The response contains at least one of these{self.listed}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        if self.present(response):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"none of these is there{self.listed}")


class ContainsNone(_Words):
    """None of the words is in the response; the score is the share that is absent."""

    kind: Literal["contains_none"]

    def describe(self) -> str:
        return f"The response contains none of these{self.listed}"

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        present = self.present(response)
        score = 1 - len(present) / len(self.words)
        if not present:
            return CheckResult(1.0, "")
        return CheckResult(score, f"must not be there{self.in_forms}: {', '.join(present)}")

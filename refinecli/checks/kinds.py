"""Grade rubric items by code: exact, free and the same every time.

Each kind is a small model: its fields are what a data file may set, `describe` is the criterion in
words, and `grade` returns a score from 0 to 1 with feedback specific enough to act on.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from itertools import islice
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias
from unicodedata import is_normalized, normalize

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from refinecli.checks.json_schema import Schema, misfits, on_one_line
from refinecli.text import units
from refinecli.text.patterns import SECONDS, Pattern, compiled


class CheckResult(NamedTuple):
    """A score in 0..1 and, unless it is 1, what is wrong."""

    score: float
    feedback: str


Number: TypeAlias = Annotated[int | float, Field(allow_inf_nan=False)]


class _Check(BaseModel):
    # A misspelt option of a check would silently grade something else, so it is an error. Models
    # are built as part of a rubric item, not each on its own too: that took 6 ms of every command.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


def _known_language(language: str) -> str:
    if language not in (languages := units.stem_languages()):
        raise ValueError(f"must be one of {', '.join(languages)}")
    return language


class _Words(_Check):
    """Words to look for; `stem` finds other forms too: "runs" and "running" for "run". Typographic
    apostrophes and quotation marks equal straight ones, and the encoding of letters and digits
    makes no difference, except with `text`, which matches to the letter."""

    words: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False, min_length=1)
    ]
    match: Literal["word", "text", "stem"] = "word"
    case: bool = False
    language: Annotated[str, AfterValidator(_known_language)] | None = None

    @model_validator(mode="after")
    def _options_go_together(self) -> _Words:
        if self.match == "stem" and self.case:
            raise ValueError("case cannot be true with match: stem")
        if self.match != "stem" and self.language is not None:
            raise ValueError("language is for match: stem only")
        return self

    def present(self, response: str) -> list[str]:
        if self.match == "stem":
            language = self.language or "english"
            there = units.stems(_one_encoding(response), language)
            stems = ((word, units.stems(_one_encoding(word), language)) for word in self.words)
            return [word for word, stem in stems if stem in there]
        if self.match == "word":
            response = units.straightened(_one_encoding(response))
        patterns = ((word, _word_pattern(word, self.match, self.case)) for word in self.words)
        return [word for word, pattern in patterns if pattern.search(response)]

    @property
    def listed(self) -> str:
        return f"{self.in_forms}: {', '.join(self.words)}"

    @property
    def in_forms(self) -> str:
        return ", in any form" if self.match == "stem" else ""


_LETTERS = re.compile(r"[^\W\x00-\x7f]+")  # and digits


def _one_encoding(text: str) -> str:
    """Compose accents, and replace ligatures, full-width letters and the like with plain ones.

    Only letters and digits: full NFKC would find the word 102 in "10²" but no Acme in "Acme™".
    """
    if text.isascii():
        return text
    text = normalize("NFC", text)
    return text if is_normalized("NFKC", text) else _LETTERS.sub(_plain, text)


def _plain(letters: re.Match[str]) -> str:
    old = letters[0]
    if is_normalized("NFKC", old):
        return old
    new = normalize("NFKC", old)
    # Superscripts and fractions stay, and so does what would end a word in its plain form.
    return new if new.isalnum() and all(c.isalpha() or c.isdecimal() for c in old) else old


@lru_cache(maxsize=8192)
def _word_pattern(word: str, match: str, case: bool) -> re.Pattern[str]:
    # Lookarounds rather than \b, so that words like "C++" have boundaries too.
    word = units.straightened(_one_encoding(word)) if match == "word" else word
    text = r"\s+".join(re.escape(part) for part in word.split()) or re.escape(word)
    if match == "word":
        text = rf"(?<!\w){text}(?!\w)"
    return re.compile(text, 0 if case else re.IGNORECASE)


class ContainsAll(_Words):
    """Every word is in the response; the score is the share that is."""

    kind: Literal["contains_all"]

    def describe(self) -> str:
        return f"The response contains all of these{self.listed}"

    def grade(self, response: str) -> CheckResult:
        present = set(self.present(response))
        missing = [word for word in self.words if word not in present]
        score = 1 - len(missing) / len(self.words)
        return CheckResult(score, f"missing: {', '.join(missing)}" if missing else "")


class ContainsAny(_Words):
    """At least one of the words is in the response."""

    kind: Literal["contains_any"]

    def describe(self) -> str:
        return f"The response contains at least one of these{self.listed}"

    def grade(self, response: str) -> CheckResult:
        if self.present(response):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"none of these is there{self.listed}")


class ContainsNone(_Words):
    """None of the words is in the response; the score is the share that is absent."""

    kind: Literal["contains_none"]

    def describe(self) -> str:
        return f"The response contains none of these{self.listed}"

    def grade(self, response: str) -> CheckResult:
        present = self.present(response)
        score = 1 - len(present) / len(self.words)
        if not present:
            return CheckResult(1.0, "")
        return CheckResult(score, f"must not be there{self.in_forms}: {', '.join(present)}")


class Regex(_Check):
    """The pattern matches somewhere (`.` matches newlines)."""

    kind: Literal["regex"]
    pattern: Pattern

    def describe(self) -> str:
        return f"The response matches the regular expression {self.pattern}"

    def grade(self, response: str) -> CheckResult:
        """Grade the response; raise TimeoutError where the pattern takes longer than `SECONDS`."""
        if compiled(self.pattern).search(response, timeout=SECONDS):
            return CheckResult(1.0, "")
        return CheckResult(0.0, f"does not match {_brief(self.pattern, 80)}")


class Equals(_Check):
    """The whole response is the value, apart from white space around it."""

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


class _Counted(_Check):
    """A count that lies within `min` and `max`."""

    one: ClassVar[str]  # the name of what is counted
    several: ClassVar[str]
    min: Annotated[int, Field(ge=0)] | None = None
    max: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> _Counted:
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
    """The number of words: pieces between white space that have a letter or a digit in them."""

    one, several = "word", "words"
    kind: Literal["words"]

    def grade(self, response: str) -> CheckResult:
        return self.judged(units.words(response))


class SentenceCount(_Counted):
    """The number of sentences, including headings and list items."""

    one, several = "sentence", "sentences"
    kind: Literal["sentences"]

    def grade(self, response: str) -> CheckResult:
        return self.judged(units.sentences(response))


class ParagraphCount(_Counted):
    """The number of paragraphs: blocks between blank lines."""

    one, several = "paragraph", "paragraphs"
    kind: Literal["paragraphs"]

    def grade(self, response: str) -> CheckResult:
        return self.judged(units.paragraphs(response))


class CharacterCount(_Counted):
    """The number of characters as a reader sees them, without white space around the response."""

    one, several = "character", "characters"
    kind: Literal["characters"]

    def grade(self, response: str) -> CheckResult:
        return self.judged(units.characters(response))


class Count(_Counted):
    """The number of matches of the pattern, which do not overlap."""

    one, several = "match", "matches"
    kind: Literal["count"]
    pattern: Pattern

    def describe(self) -> str:
        return f"The response has {self.bounds()} of the regular expression {self.pattern}"

    def grade(self, response: str) -> CheckResult:
        """Grade the response; raise TimeoutError where the pattern takes longer than `SECONDS`."""
        matches = compiled(self.pattern).finditer(response, timeout=SECONDS, concurrent=False)
        texts = [_brief(match[0]) for match in matches]
        found = ", ".join(f'"{text}"' for text in islice(filter(None, dict.fromkeys(texts)), 5))
        return self.judged(len(texts), f" of {self.pattern}" + f" ({found})" * bool(found))


def _brief(text: str, length: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class _Edge(_Check):
    """A literal text. All white space is equal, and typographic quotation marks and apostrophes
    equal straight ones. Anything else before or after it (a quotation mark, markup, a full stop)
    makes it fail."""

    value: Annotated[str, AfterValidator(_not_blank)]
    case: bool = False

    def same(self, text: str) -> str:
        """Reduce the text to what makes a difference."""
        text = re.sub(r"\s+", " ", units.straightened(text))
        return text if self.case else text.casefold()


class StartsWith(_Edge):
    """The response starts with the value, apart from white space before it."""

    kind: Literal["starts_with"]

    def describe(self) -> str:
        return f"The response starts with: {self.value}"

    def grade(self, response: str) -> CheckResult:
        if self.same(response.strip()).startswith(self.same(self.value.lstrip())):
            return CheckResult(1.0, "")
        start = _brief(response, len(self.value) + 40)
        return CheckResult(0.0, f"does not start with: {self.value}; it starts with: {start}")


class EndsWith(_Edge):
    """The response ends with the value, apart from white space after it."""

    kind: Literal["ends_with"]

    def describe(self) -> str:
        return f"The response ends with: {self.value}"

    def grade(self, response: str) -> CheckResult:
        if self.same(response.strip()).endswith(self.same(self.value.rstrip())):
            return CheckResult(1.0, "")
        end = _brief(response[::-1], len(self.value) + 40)[::-1]
        return CheckResult(0.0, f"does not end with: {self.value}; it ends with: {end}")


class IsJson(_Check):
    """The whole response is one JSON value and nothing else, and fits the JSON Schema if there is
    one. `format` is checked; a schema is never fetched."""

    kind: Literal["json"]
    json_schema: Schema | None = Field(None, alias="schema")

    def describe(self) -> str:
        if self.json_schema is None:
            return "The response is valid JSON and nothing else"
        schema = on_one_line(self.json_schema)
        return f"The response is valid JSON and nothing else, and fits this JSON Schema: {schema}"

    def grade(self, response: str) -> CheckResult:
        """Grade the response; raise TimeoutError where a schema's pattern takes too long."""
        import orjson

        try:
            value = orjson.loads(response.encode("utf-8", "surrogatepass"))
        except orjson.JSONDecodeError as error:
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

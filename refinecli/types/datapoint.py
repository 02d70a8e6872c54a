"""Define what a user writes: a conversation, and the rubric for what comes next.

pydantic validates it; in code a record builds itself with the same defaults as a line of data.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Literal, NotRequired, Self, TypeAlias, Unpack

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict

from refinecli.checks.kinds import Check
from refinecli.errors import InputError
from refinecli.field_errors import check_kind, check_kinds, in_our_words, refuse_unknown
from refinecli.item_defaults import (
    EXTRACTION_REGEX,
    INSTRUCTION,
    as_written,
    convo_of,
    example_fields,
    item_fields,
    message_fields,
    without_nulls,
    written_item,
)
from refinecli.text.json_text import digest
from refinecli.text.patterns import Pattern, verdict_in
from refinecli.types.parts import check_parts

JSONObject: TypeAlias = dict[str, Any]
Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
Choice: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
_MOST_CHOICES = 20


def _apart(choices: tuple[str, ...]) -> tuple[str, ...]:
    names = {choice.strip().casefold() for choice in choices}
    if not 2 <= len(choices) <= _MOST_CHOICES or len(names) < len(choices) or "" in names:
        raise ValueError(f"needs 2 to {_MOST_CHOICES} different names, the worst first")
    return choices


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if not (ends[0] < ends[1] and isfinite(ends[1] - ends[0])):
        raise ValueError("needs two numbers, the lower one first")
    return ends


@with_config(ConfigDict(extra="allow"))
class Message(TypedDict):
    """One chat message, just as it goes over the wire; unknown keys stay in it."""

    role: Role
    content: NotRequired[str | list[JSONObject] | None]


class ExampleFields(TypedDict, total=False):
    """The further fields of an `Example` in code."""

    reasons: str | None
    convo: str | Sequence[Message] | None
    rubric_str: str | None


class Example(BaseModel):
    """A response with the verdict that it deserves, shown to the grader before it is asked.

    `score` is on the item's own scale, or one of its choices; `convo` and `rubric_str` default to
    those of the datapoint and the item.
    """

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    response: Annotated[str, Field(min_length=1)]
    score: float | str
    reasons: str = ""
    convo: Annotated[tuple[Message, ...], Field(strict=False, min_length=1)] | None = None
    rubric_str: Annotated[str, Field(min_length=1)] | None = None

    def __init__(
        self,
        response: str | None = None,
        score: float | str | None = None,
        **fields: Unpack[ExampleFields],
    ) -> None:
        given = without_nulls({"response": response, "score": score, **fields})
        refuse_unknown(given, Example.model_fields)
        with in_our_words():
            super().__init__(**example_fields(given))

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see RubricItem

    @property
    def verdict(self) -> str:
        """The score in the form in which a grader writes it."""
        if isinstance(self.score, str):
            return self.score
        written = str(self.score)
        if "e" in written:  # a score in scientific notation would not be read
            written = f"{self.score:.15f}".rstrip("0")
        return written.removesuffix(".0").removesuffix(".")


class ByClassifier(BaseModel):
    """A classifier of the settings, by name, and the label whose probability is the score. It is
    shown the response alone, or the conversation with it."""

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=40)]
    label: Annotated[str, Field(min_length=1, max_length=200)]
    sees: Literal["response", "conversation"] = "response"


class ItemFields(TypedDict, total=False):
    """The further fields of a `RubricItem` in code; None counts as absent."""

    name: str | None
    weight: float | None
    pass_score: float | None
    required: bool | None
    reveal: Literal["full", "verdict"] | None
    score_range: Sequence[float] | None
    choices: Sequence[str] | None
    examples: Sequence[Example | JSONObject] | None
    check: Check | JSONObject | None
    classifier: ByClassifier | JSONObject | None
    extraction_regex: str | None
    grader_output_format_instruction: str | None


class RubricItem(BaseModel):
    """One criterion: what it asks, how a grader states its score, and how the score counts.

    The first three fields are tinker-cookbook's `Rubric`. Item scores are normalised to 0..1 over
    `score_range`; an item with a negative `weight` is a penalty, met when the bad thing happens.
    Where there are `choices`, worst to best, a grader names one of them, and its place among them,
    from 0, is the raw score.
    """

    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    rubric_str: Annotated[str, Field(min_length=1)]
    extraction_regex: Pattern = EXTRACTION_REGEX
    grader_output_format_instruction: str = INSTRUCTION
    name: str
    score_range: Annotated[tuple[float, float], Field(strict=False), AfterValidator(_rising)]
    weight: Annotated[float, Field(ge=-1e9, le=1e9)] = 1.0
    pass_score: Annotated[float, Field(ge=0, le=1)] = 1.0
    required: bool = False
    reveal: Literal["full", "verdict"] = "full"
    choices: Annotated[tuple[Choice, ...], Field(strict=False), AfterValidator(_apart)] | None = (
        None
    )
    examples: Annotated[tuple[Example, ...], Field(strict=False)] = ()
    check: Check | None = None
    classifier: ByClassifier | None = None

    def __init__(self, rubric_str: str | None = None, **fields: Unpack[ItemFields]) -> None:
        given = without_nulls({"rubric_str": rubric_str, **fields})
        refuse_unknown(given, RubricItem.model_fields)
        check_kind(given)
        with in_our_words():
            super().__init__(**item_fields(given, 0))
        self.model_fields_set.intersection_update(given)

    # Only code that builds a record uses this. Validation of a line does not: its fields are filled
    # in already, and an error within a datapoint is one of many.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="after")
    def _is_graded_in_one_way(self) -> Self:
        if self.check and self.classifier:
            raise ValueError("check and classifier: an item has one of them")
        return self

    @model_validator(mode="after")
    def _examples_fit(self) -> Self:
        for example in self.examples:
            if self.raw_score(example.score) is None:
                low, high = self.score_range
                scale = ", ".join(self.choices or ()) or f"{low:g} to {high:g}"
                raise ValueError(
                    f"examples: {example.score!r} is not a score of this item ({scale})"
                )
            if verdict_in(self.extraction_regex, example.verdict) is None:
                raise ValueError(
                    "examples: the extraction_regex does not say how a grader writes its verdict; "
                    "it needs plain text around one group, as in Score: ([0-9]+)"
                )
        return self

    @property
    def asks_grader(self) -> bool:
        """True unless code or a classifier grades it."""
        return self.check is None and self.classifier is None

    @property
    def penalty(self) -> bool:
        return self.weight < 0

    def given(self) -> JSONObject:
        """Return the fields that were given, as a line would have them."""
        fields = self.model_dump(include=self.model_fields_set, exclude_unset=True, by_alias=True)
        return {key: as_written(value) for key, value in fields.items()}

    def raw_score(self, verdict: str | float) -> float | None:
        """Return a verdict on this item's scale: a choice's place, or the number; None where it is
        not one of the choices, or outside `score_range`."""
        if self.choices:
            names = [choice.strip().casefold() for choice in self.choices]
            name = str(verdict).strip().casefold()
            return float(names.index(name)) if name in names else None
        low, high = self.score_range
        fits = not isinstance(verdict, str) and low <= verdict <= high
        return float(verdict) if fits else None


class DatapointFields(TypedDict, total=False):
    """The further fields of a `Datapoint` in code; None counts as absent."""

    id: str | int | None
    response: str | None
    reference: str | None
    group: str | int | None
    tags: str | list[str] | None
    occurrence: int
    convo_occurrence: int


class Datapoint(BaseModel):
    """A conversation prefix and the rubric for what comes next.

    `occurrence` is how many earlier rows had the same `id`, `convo_occurrence` how many had the
    same conversation: equal rows draw their own samples.
    """

    # Most rows skip validation (`data/fast_rows.py`).
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)

    id: str | int
    convo: Annotated[tuple[Message, ...], Field(strict=False, min_length=1)]
    rubric_items: Annotated[tuple[RubricItem, ...], Field(strict=False, min_length=1)]
    response: str | None = None
    reference: str | None = None
    group: str | int | None = None
    tags: str | list[str] | None = None
    occurrence: int = 0
    convo_occurrence: int = 0

    def __init__(
        self,
        convo: str | Sequence[Message] | None = None,
        rubric_items: Sequence[str | RubricItem | JSONObject] | None = None,
        **fields: Unpack[DatapointFields],
    ) -> None:
        given = without_nulls({"convo": convo, "rubric_items": rubric_items, **fields})
        refuse_unknown(given, Datapoint.model_fields)
        messages, items = convo_of(convo), _objects(rubric_items)
        if isinstance(messages, list | tuple):
            given["convo"] = [message_fields(message) for message in messages]
        if isinstance(items, list):
            check_kinds(items)
            given["rubric_items"] = [_placed(item, index) for index, item in enumerate(items)]
        with in_our_words():
            super().__init__(**{"id": "", **given})
        self.check_whole()
        if "id" not in given:
            self.__dict__["id"] = _id_of(given["convo"], items)

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # see RubricItem

    def check_whole(self) -> None:
        """Raise InputError for what is wrong with the whole, though each field is valid."""
        for index, message in enumerate(self.convo):
            if message.get("content") is None and not message.get("tool_calls"):
                raise InputError(
                    f"convo[{index}].content: field required", "give the message some text"
                )
            if not (message.get("content") == [] and message.get("tool_calls")):
                check_parts(message.get("content"), f"convo[{index}].content")
        if self.convo[-1]["role"] == "assistant":
            raise InputError(
                "convo: must not end with an assistant message",
                "put an existing answer into `response`",
            )
        if not any(item.weight > 0 for item in self.rubric_items):
            raise InputError(
                "rubric_items: no item has a positive weight", "give one weight above 0"
            )


def _objects(items: Any) -> Any:
    """Return the items, with texts turned into objects."""
    if not isinstance(items, list | tuple):
        return items
    return [{"rubric_str": item} if isinstance(item, str) else item for item in items]


def _placed(item: object, index: int) -> object:
    """Return an item as it stands among others: its place gives a name to an item without one."""
    if isinstance(item, dict):
        return item_fields(item, index)
    if isinstance(item, RubricItem) and "name" not in item.model_fields_set:
        item = item.model_copy(update={"name": f"item-{index}"})
        item.model_fields_set.discard("name")
    return item


def _id_of(convo: object, items: Sequence[RubricItem | JSONObject]) -> str:
    """Return the id of a datapoint that has none of its own, the same as in a line."""
    written = [written_item(item if isinstance(item, dict) else item.given()) for item in items]
    try:
        return digest([convo, [without_nulls(item) for item in written]])
    except (TypeError, ValueError) as error:
        raise InputError(f"convo: cannot be written as JSON: {error}") from None

"""Make datapoints and responses of what a trainer hands over: prompts, completions, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from refinecli.data.rows import read_row
from refinecli.errors import InputError, UsageError
from refinecli.stats.wording import plural
from refinecli.text.json_text import dumps
from refinecli.text.reasoning import split_leading_reasoning
from refinecli.types import Datapoint, JSONObject


class Sample(NamedTuple):
    """One completion to reward: its datapoint, and the response in it. Equal samples have equal
    keys."""

    datapoint: Datapoint
    response: str
    key: bytes


def read_samples(
    prompts: Sequence[object],
    completions: Sequence[object],
    columns: Mapping[str, Sequence[object] | None],
    rubric: Sequence[JSONObject],
) -> list[Sample]:
    """Return a sample for each completion, in order. `columns` are a trainer's, each with a value
    for every completion or None; raise InputError naming the row that cannot be used."""
    given = {name: column for name, column in columns.items() if column is not None}
    for name, column in {"prompts": prompts, **given}.items():
        if len(column) != len(completions):
            raise UsageError(
                f"{name}: has {plural(len(column), 'value')} for "
                f"{plural(len(completions), 'completion')}",
                "give each completion its own",
            )
    rows: dict[bytes, Datapoint] = {}
    return [
        _sample(prompt, completion, {n: column[i] for n, column in given.items()}, rubric, rows, i)
        for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
    ]


def _sample(
    prompt: object,
    completion: object,
    columns: JSONObject,
    rubric: Sequence[JSONObject],
    rows: dict[bytes, Datapoint],
    place: int,
) -> Sample:
    """Return the sample at a place. The completions of a group share the row, which is read
    once."""
    try:
        convo, said = _parted(prompt, completion)
        raw = _written({**columns, "prompt": convo})
        if raw not in rows:
            rows[raw] = _datapoint(raw, rubric)
    except InputError as error:
        message, hint = error.args
        raise InputError(f"row {place} of the batch: {message}", hint) from None
    response = answer_in(said)
    return Sample(rows[raw], response, raw + b"\n" + dumps(response))


def _datapoint(raw: bytes, rubric: Sequence[JSONObject]) -> Datapoint:
    row = read_row(raw, 0, "the batch", rubric)
    if row.error:
        raise row.error
    if row.datapoint is None:
        raise InputError("is a line that could not be read", "leave such lines out")
    return row.datapoint


def answer_in(said: str) -> str:
    """Return what a model said without the reasoning that it begins with. Who thinks until the
    tokens are used up has had a say and said nothing, which is an empty response."""
    return split_leading_reasoning(said)[1]


def _written(row: JSONObject) -> bytes:
    try:
        return dumps(row)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"cannot be written as JSON: {error}", "hand over texts, not images or arrays"
        ) from None


def _parted(prompt: Any, completion: Any) -> tuple[object, str]:
    """Return the conversation before the last thing said, and that.

    A completion may be several messages, with calls of tools; a prompt may end in the beginning of
    the response.
    """
    if isinstance(completion, str):
        said, before = completion, []
    elif _are_messages(completion) and completion:
        *before, last = completion
        said = text_of(last) if last.get("role") == "assistant" else ""
    else:
        raise InputError("completions: must be a string or a list of messages")
    if isinstance(prompt, str) and not before:
        return prompt, said
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if not _are_messages(turns):
        raise InputError("prompts: must be a string or a list of messages")
    if not before and turns and turns[-1].get("role") == "assistant":
        return turns[:-1], text_of(turns[-1]) + said
    return [*turns, *before], said


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message, whose content may come in parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))

"""Read the requests of trainers, each in its own shape."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from refinecli.errors import InputError
from refinecli.item_defaults import without_nulls
from refinecli.types import JSONObject


class Asked(NamedTuple):
    """One response to reward: what it answers, the id of its row in the data, and what a request
    without such a row brings along."""

    response: str
    prompt: object = None
    label: str | None = None
    columns: Mapping[str, object] = {}


# ------------------------------------------------------------------ OpenRLHF


def openrlhf(body: object) -> list[Asked]:
    """Read `{"query": […], "prompts": […], "labels": […]}`: a query is a prompt with its response,
    as the model saw and wrote them."""
    given = _object(body)
    queries = _texts(given, "query")
    prompts, labels = _texts(given, "prompts"), given.get("labels")
    if labels is None:
        labels = [None] * len(queries)
    for name, column in (("prompts", prompts), ("labels", labels)):
        if not isinstance(column, list) or len(column) != len(queries):
            raise InputError(f"{name}: must be a list of {len(queries)}, one for each query")
    return [
        Asked(without_end(_rest(query, prompt, place)), prompt, _label(label))
        for place, (query, prompt, label) in enumerate(zip(queries, prompts, labels, strict=True))
    ]


# A prompt that was cut at its beginning, or that the tokenizer does not give back exactly, is found
# by this much of its end.
_TAIL = 80


def _rest(query: str, prompt: str, place: int) -> str:
    if query.startswith(prompt):
        return query[len(prompt) :]
    tail = prompt[-_TAIL:]
    if tail.strip() and (found := query.find(tail)) >= 0:
        return query[found + len(tail) :]
    raise InputError(
        f"query[{place}]: does not begin with prompts[{place}]",
        "send the prompt as the model was given it, followed by the response",
    )


# What ends a turn, in the templates of the models that are trained; padding may follow it.
_ENDS = (
    *("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
    *("<end_of_turn>", "<turn|>", "<eos>", "<pad>", "[PAD]", "<|end|>", "<|return|>", "<|eos|>"),
    *(
        "<｜end▁of▁sentence｜>",
        "<|end_of_sentence|>",
        "<|endofprompt|>",
        "<|finetune_right_pad_id|>",
    ),
    *("<|END_OF_TURN_TOKEN|>", "<|eot|>", "<|user|>", "<|observation|>", "[|endofturn|]", "[EOS]"),
    *("<|im_sep|>", "<|vision_pad|>", "<|PAD_TOKEN|>", "<|reserved_special_token_0|>"),
)
_AT_THE_END = re.compile(rf"(?:(?:{'|'.join(map(re.escape, _ENDS))})\s*)+\Z")


def without_end(response: str) -> str:
    """Return a response without the tokens that end a turn, which a decoded sequence still has."""
    found = _AT_THE_END.search(response)
    return response[: found.start()] if found else response


# ------------------------------------------------------------------ slime, verl, and by hand

_RESPONSES = ("response", "solution_str")
_COLUMNS = ("id", "rubric_items", "reference")


def reward(body: object) -> Asked:
    """Read slime's `{"prompt", "response", "label"}`, or the same in verl's names, with what the
    row brings along in it or in its `extra_info` or `metadata`."""
    given = without_nulls(_object(body))
    response = next((given[name] for name in _RESPONSES if name in given), None)
    if not isinstance(response, str):
        raise InputError("response: field required", "send the model's answer as a string")
    more = _more(given.get("extra_info")) | _more(given.get("metadata"))
    columns = {name: given.get(name, more.get(name)) for name in _COLUMNS}
    label = given.get("label", columns["id"])
    prompt = given.get("prompt", more.get("convo", more.get("prompt")))
    return Asked(without_end(response), prompt, _label(label), without_nulls(columns))


def _more(value: object) -> JSONObject:
    return without_nulls(value) if isinstance(value, dict) else {}


# ------------------------------------------------------------------ parts


def _object(value: object) -> JSONObject:
    if not isinstance(value, dict):
        raise InputError("the request must be a JSON object", "see `refinecli help rewards`")
    return value


def _texts(given: JSONObject, name: str) -> list[str]:
    value = given.get(name)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{name}: must be a list of strings")
    return value


def _label(value: Any) -> str | None:
    """Return a label as an id is compared with it: many trainers turn it into a text."""
    return str(value) if isinstance(value, str | int) and value != "" else None


def one_or_all(value: object) -> tuple[Sequence[object], bool]:
    """Return the entries of a request, and whether it was a list of them."""
    return (value, True) if isinstance(value, list) else ([value], False)

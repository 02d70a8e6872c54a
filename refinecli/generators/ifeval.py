r"""Import prompts with instructions that code can verify, from files in IFEval's columns.

Source: IFEval (Zhou et al. 2023, arxiv.org/abs/2311.07911), the data and the verifiers of
github.com/google-research/google-research, instruction_following_eval (Apache-2.0). Each
instruction of a row becomes a rubric item named after it (`#2` and so on where it repeats): a
`check` that passes exactly the responses that IFEval's own verifier passes or, where no check can,
an item in words for a grader model. From the row `key` stays, as `id`, and `response` on request.

These differ from IFEval's verifier. The grader judges the language of a response, which IFEval
guesses with langdetect; "English and in capitals" is therefore two items of half the weight, a
check of the letters and the grader's verdict on the language. A check counts sentences and a
pattern counts words in capitals, where IFEval asks NLTK: headings and list items are sentences
here, and where NLTK's tokenizer splits a word the numbers can differ by one or two. A forbidden
word with an apostrophe is also forbidden with a typographic one.

    {"id": 1393,
     "convo": [{"role": "user", "content": "List the pros and cons of …"}],
     "rubric_items": [
       {"rubric_str": "\"synonyms\" appears at least 3 times in the response",
        …, "name": "keywords:frequency",
        "check": {"kind": "count", "pattern": "(?i:synonyms)", "min": 3}}]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from refinecli.generators.ifeval_instructions import parts_of, texts
from refinecli.generators.reading import Columns, checked, present
from refinecli.generators.shared_items import criterion_item
from refinecli.types import JSONObject


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row."""
    for where, row in rows:
        yield checked(where, _datapoint(Columns(where, row), with_response))


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    prompt = columns.text("prompt")
    ids = texts(columns, "instruction_id_list")
    return present(
        {
            "id": _key(columns),
            "convo": [{"role": "user", "content": prompt}],
            "response": columns.optional_text("response") if with_response else None,
            "rubric_items": list(_items(ids, _kwargs(columns, len(ids)))),
        }
    )


def _key(columns: Columns) -> str | int | None:
    key = columns.row.get("key")
    if isinstance(key, bool) or not isinstance(key, str | int | None):
        raise columns.fault("key", "expected a string or a whole number")
    return key


def _kwargs(columns: Columns, count: int) -> list[Columns]:
    """Return the arguments of each instruction; null means none."""
    given = columns.row.get("kwargs")
    if given is None:
        given = [None] * count
    if not isinstance(given, list) or len(given) != count:
        raise columns.fault("kwargs", "expected a list as long as instruction_id_list")
    for index, kwargs in enumerate(given):
        if not isinstance(kwargs, dict | None):
            raise columns.fault(f"kwargs[{index}]", "expected an object")
    return [
        Columns(columns.where, kwargs or {}, f"kwargs[{index}].")
        for index, kwargs in enumerate(given)
    ]


def _items(ids: list[str], kwargs: list[Columns]) -> Iterator[JSONObject]:
    seen = Counter[str]()
    for instruction, arguments in zip(ids, kwargs, strict=True):
        seen[instruction] += 1
        name = instruction if seen[instruction] == 1 else f"{instruction}#{seen[instruction]}"
        parts = parts_of(instruction, arguments)
        for part in parts:
            own: dict[str, Any] = {"name": name + part.name}
            if len(parts) > 1:
                own["weight"] = 1 / len(parts)
            if part.check:
                own["check"] = part.check
            yield criterion_item(part.words, **own)

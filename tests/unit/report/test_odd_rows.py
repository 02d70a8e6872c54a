"""A row that no run of ours wrote is reported on or refused by its place; it never ends in a
traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from refinecli.errors import InputError, RefineError
from refinecli.report.figures import build
from refinecli.report.html.page import write_html
from refinecli.report.runs import read_run
from refinecli.report.table import renderables
from refinecli.text.json_text import dumps
from tests.support.thoroughness import some

USAGE = {"calls": 2, "prompt_tokens": 3, "completion_tokens": 4}
ODD: tuple[Any, ...] = (None, [None], [[]], {}, "x", 1e30, -1e308, 10**400, {"a": [None]}, -5, True)


def iteration(number: int, score: float) -> dict[str, Any]:
    grade = {"item": 0, "name": "item-0", "status": "graded", "score": score, "passed": score == 1}
    return {
        "iteration": number,
        "parent": number - 1 if number else None,
        "role": "policy",
        "response": "Jane Austen.",
        "score": score,
        "accepted": True,
        "grades": [grade],
        "usage": USAGE,
    }


ROW = {
    "id": "a",
    "convo": [{"role": "user", "content": [{"type": "text", "text": "Who wrote Emma?"}]}],
    "rubric_items": [{"rubric_str": "Is it right?"}],
    "response": "Jane Austen.",
    "score": 1.0,
    "refinement": {
        "status": "done",
        "stop_reason": "passed",
        "initial_score": 0.0,
        "best_iteration": 1,
        "iterations": [iteration(0, 0.0), iteration(1, 1.0)],
        "usage": USAGE,
        "models": {"policy": "m"},
        "settings": "abc",
    },
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield (*path, key)
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))


def changed(path: tuple[Any, ...], odd: object) -> dict[str, Any]:
    row = copy.deepcopy(ROW)
    inner: Any = row
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = odd
    return row


def report(tmp_path: Path, row: dict[str, Any]) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b"\n".join(map(dumps, [row, ROW | {"id": "b"}, ROW | {"id": "c"}])))
    figures = build([read_run(str(file))], [])
    dumps(figures)
    list(renderables(figures))
    write_html(tmp_path / "out.html", figures, file)


PLACES = list(places(ROW))


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_any_field_may_be_odd(tmp_path: Path, path: tuple[Any, ...]) -> None:
    for odd in some(ODD, PLACES.index(path)):
        with suppress(RefineError):
            report(tmp_path, changed(path, odd))


@pytest.mark.parametrize("score", [1e30, 10**400, 1.5])
def test_a_score_that_no_rubric_gives_is_refused_by_its_place(tmp_path: Path, score: float) -> None:
    row = changed(("refinement", "iterations", 1, "score"), score)
    with pytest.raises(InputError, match="is not a score") as error:
        report(tmp_path, row)
    assert error.value.where == f"{tmp_path / 'out.jsonl'}:1"

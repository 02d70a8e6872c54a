"""A report as a whole: of a run like many, as figures, on a terminal and as a page."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refinecli.report.figures import build
from refinecli.report.gains import Regrade
from refinecli.report.html.page import write_html
from refinecli.report.runs import Run, read_run
from refinecli.report.table import renderables
from refinecli.types import JSONObject
from tests.conftest import write_jsonl
from tests.support.approved import approve, approve_json
from tests.support.report_files import Row, failed_row, graded_row, row
from tests.support.report_pages import report_of, run_rows

ITEMS: tuple[Row, ...] = (
    {"name": "polite"},
    {"name": "answers", "weight": 2.0},
    {"name": "brief", "reveal": "verdict"},
    {"name": "padding", "weight": -0.5},
)


def some_run(seed: int, n: int = 40, *, rounds: int = 3, drafts: bool = False) -> list[Row]:
    """Datapoints graded on four items over some rounds, the later ones better; a few went wrong."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for number in range(n):
        scores = [
            [float(rng.random() < 0.35 + 0.15 * at) for _ in ITEMS]
            for at in range(rng.randint(1, rounds))
        ]
        texts = [f"{'word ' * (8 + 3 * at + number % 4)}{number}" for at in range(rounds)]
        rows.append(
            row(number, scores, items=ITEMS, drafts=drafts, texts=texts, tokens=100 + number)
        )
    return [*rows, row(n, [[None, 1.0, 1.0, 0.0]], items=ITEMS, drafts=drafts), failed_row(n + 1)]


def regrades(seed: int, n: int = 40) -> Mapping[Any, Regrade]:
    rng = random.Random(seed)

    def one() -> Regrade:
        first = rng.random() * 0.6
        items = tuple((rng.random(), rng.random()) for _ in ITEMS)
        return Regrade(first, first + rng.random() * 0.3, items, 0.05 * rng.random())

    return {(f"dp-{i}", 0): Regrade(*_four(one()), others=(one(),)) for i in range(n) if i % 9}


def _four(found: Regrade) -> tuple[Any, Any, Any, Any]:
    return found.first, found.final, found.items, found.spread


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    rows = {
        "before": some_run(1),
        "after": some_run(2),
        "best": some_run(3, rounds=4, drafts=True),
        "once": [*[row(n, [float(n % 4 == 0)]) for n in range(12)], failed_row(12)],
        # Graded again by a later `grade`, which leaves its own scores beside the loop's.
        "later": [
            one | {"grading": graded_row(n, float(n % 3 > 0))["grading"], "score": float(n % 3 > 0)}
            for n, one in enumerate(row(n, [0.0, float(n % 2)]) for n in range(30))
        ],
        "graded": [graded_row(number, float(number % 3 == 0)) for number in range(30)],
    }
    return {
        name: read_run(str(write_jsonl(folder / f"{name}.jsonl", lines)), f"2026-11-0{at} {name}")
        for at, (name, lines) in enumerate(rows.items(), 1)
    }


def settled(figures: JSONObject) -> JSONObject:
    """Return the figures as JSON has them, without the folder that the files happen to be in."""
    found: JSONObject = json.loads(re.sub(r'[^\s"]*/(\w+\.jsonl)', r"\1", json.dumps(figures)))
    if pair := found["compared"]:
        pair["flips"]["listed"] = pair["flips"]["listed"][:3]
    return found


@pytest.fixture(scope="module")
def reports(runs: dict[str, Run]) -> dict[str, JSONObject]:
    fresh, judge = regrades(5), regrades(6)
    full = settled(build([runs["after"]], [runs["best"]], fresh, judge))
    two = settled(build([runs["before"], runs["after"]]))
    many = [item | {"name": f"{item['name']} {n}"} for n in range(6) for item in full["items"]]
    flips = {"now_pass": [f"id-{n}" for n in range(12)], "now_fail": ["id-20"]}
    return {
        # What a report may hold besides, all at once.
        "everything": full
        | {
            "items": many,
            "selections": {"tie": 3, "policy": 1_200},
            "regrade": {"models": {"grader": "large", "judge": "third"}, "repeats": 3},
            "gates": [
                {"gate": "score>=0.5", "value": 0.575_04, "met": True},
                {"gate": "failed<=0", "value": 1, "met": False},
            ],
            "alarms": [{"type": "length", "message": "responses grew by 31%"}],
            "compared": two["compared"] | flips | {"left_out": 2},
            "trend": [
                one | {"items": [{"name": f"item {n}", "score": n / 24} for n in range(24)]}
                for one in two["trend"]
            ],
        },
        "compared": two,
        "regraded": full,
        "graded": settled(build([runs["graded"]])),
        "drafts": settled(build([runs["best"]], [runs["after"]])),
        "once": settled(build([runs["once"]])),
        "later": settled(build([runs["before"], runs["later"]])),
    }


REPORTS = ("everything", "compared", "regraded", "graded", "drafts", "once", "later")


@pytest.mark.parametrize("name", REPORTS)
def test_the_figures_are_the_approved_ones(reports: dict[str, JSONObject], name: str) -> None:
    approve_json(f"report/approved/{name}.json", reports[name])


@pytest.mark.parametrize("name", REPORTS)
def test_the_tables_are_the_approved_ones(reports: dict[str, JSONObject], name: str) -> None:
    shown = "\n".join(line.plain for line in renderables(reports[name]))
    approve(f"report/approved/{name}.txt", shown)


@pytest.mark.parametrize("name", REPORTS)
def test_the_pages_summary_is_the_approved_one(
    reports: dict[str, JSONObject], name: str, tmp_path: Path
) -> None:
    approve(f"report/approved/{name}.html", body(reports[name], tmp_path, []))


def test_the_pages_datapoints_are_the_approved_ones(tmp_path: Path) -> None:
    approve("report/approved/page.html", body(report_of(14), tmp_path, run_rows(14)))


def body(report: JSONObject, folder: Path, rows: list[Row]) -> str:
    """What a page says: without its style, its script and their hashes, a tag to a line."""
    path = folder / "page.html"
    write_html(path, report, write_jsonl(folder / "out.jsonl", rows))
    text = path.read_text("utf-8")
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>|sha256-[\w+/=]+", "", text, flags=re.S)
    text = re.sub(r"(?<=>)H4sI[\w+/=]+(?=<)", lambda found: unpacked(found[0]), text)
    return re.sub(r"(?<=>)(?=<)|(?<=[\]}]),(?=[\[{])", "\n", text)


def unpacked(block: str) -> str:
    return gzip.decompress(base64.b64decode(block)).decode()

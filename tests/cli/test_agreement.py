"""`grade --gold-field` and `--repeats`: what is compared, what is recorded, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, at, datapoint, item, jsonl, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, by_role

Cli = Callable[..., Result]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
FIVE = {
    "score_range": [1, 5],
    "pass_score": 0.75,
    "grader_output_format_instruction": "Give a score between 1 and 5 in <score> ... </score>",
}


def by_response(request: Request) -> Reply:
    """The grader's score is the number that the response ends in."""
    response = request.last.split("answer-")[1]
    return Reply(f"Fine.\n<score>{response[0]}</score>")


def labelled(n: int, **fields: Any) -> list[dict[str, Any]]:
    """The response of each names the score it gets: the label is one below, but never below 1."""
    return [
        datapoint(
            id=i,
            response=f"answer-{1 + i % 5}",
            rubric_items=[item(**FIVE)],
            gold=max(1, i % 5),
            **fields,
        )
        for i in range(n)
    ]


def test_the_summary_holds_the_agreement_and_stderr_its_words(cli: Cli, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "in.jsonl", labelled(40, tags=["all"]))
    with ChatServer(by_role("", by_response)) as server:
        result = cli(
            *("grade", file, "-o", "out.jsonl", "--gold-field", "gold", "--summary", "s.json"),
            *at(server),
        )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert (found["n"], found["scale"]) == (40, [1.0, 5.0])
    assert found["exact"]["value"] == 0.2
    assert found["within_one"]["value"] == 1.0
    assert found["bias"]["value"] == pytest.approx(0.8)
    assert found["kappa"].keys() == {"value", "low", "high"}
    assert found["tags"][0]["name"] == "all"
    assert "agreement over 40 labelled grades" in result.stderr
    assert "Verdicts: better than chance" in result.stderr
    assert all(row["gold"] for row in read_jsonl(tmp_path / "out.jsonl"))


def test_the_figures_are_the_same_in_whatever_order_grades_come(cli: Cli, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "in.jsonl", labelled(25))
    found = []
    for concurrency in ("1", "16"):
        with ChatServer(by_role("", by_response)) as server:
            args = ("--gold-field", "gold", "--summary", "s.json", "--concurrency", concurrency)
            assert cli("grade", file, *args, *at(server)).returncode == 0
        found.append(json.loads((tmp_path / "s.json").read_text())["agreement"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["kappa>=0.3", "agreement.kappa>=0.3", "mae<=0.8", "tags.all.kappa>=0.3"], 0),
        (["quadratic_kappa.low>=0.99"], 1),
        (["repeat_kappa>=0"], 1),
        (["tags.none.kappa>=0"], 1),
        (["kapa>=0"], 2),
    ],
)
def test_agreement_can_be_required(cli: Cli, tmp_path: Path, gates: list[str], code: int) -> None:
    bounded = any(".low" in gate for gate in gates)  # which is drawn for twenty rows or more
    file = write_jsonl(tmp_path / "in.jsonl", labelled(40 if bounded else 15, tags="all"))
    required = [arg for gate in gates for arg in ("--require", gate)]
    with ChatServer(by_role("", by_response)) as server:
        result = cli("grade", file, "--gold-field", "gold", *required, *at(server))
        assert bool(server.requests) is (code != 2)
    assert result.returncode == code, result.stderr
    if gates[0].startswith("repeat"):
        assert "there is no repeat_kappa: nothing was graded twice" in result.stderr


def test_labels_of_items_are_held_to_their_items(cli: Cli, tmp_path: Path) -> None:
    items = [item("A?", gold=True), item("B?", gold=False), item("C?")]
    file = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4", rubric_items=items)])
    script = by_role("", lambda r: f"<score>{int('A?' in r.last)}</score>")
    with ChatServer(script) as server:
        args = ("--gold-field", "rubric_items.gold", "--summary", "s.json")
        assert cli("grade", file, *args, *at(server)).returncode == 0
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert (found["n"], found["clusters"], found["graded"]) == (2, 1, 3)
    assert found["accuracy"]["value"] == 1.0


@pytest.mark.parametrize(
    ("path", "rows", "said"),
    [
        ("glod", labelled(3), "--gold-field glod: no datapoint has such a field"),
        (
            "gold",
            [*labelled(1), datapoint(gold="maybe")],
            "in.jsonl:2: gold: 'maybe' is not a label",
        ),
        ("gold", [datapoint(gold=3)], "3 is outside 0 to 1"),
    ],
)
def test_a_slip_in_labels_is_told_before_anything_is_sent(
    cli: Cli, tmp_path: Path, path: str, rows: list[dict[str, Any]], said: str
) -> None:
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    result = cli("grade", file, "--gold-field", path, *NOBODY)
    assert result.returncode == 2
    assert said in result.stderr


def test_of_a_stream_what_is_no_label_counts_as_none(cli: Cli) -> None:
    rows = [datapoint(response="4", gold="yes"), datapoint(response="4", gold="maybe")]
    with ChatServer(by_role("", "<score>1</score>")) as server:
        result = cli("grade", "--gold-field", "gold", *at(server), stdin=jsonl(rows))
    assert result.returncode == 0, result.stderr
    assert "labels that cannot be used, ignored: 1" in result.stderr
    assert "agreement over 1 labelled grade" in result.stderr


# ------------------------------------------------------------------ --repeats

WARM = ["--set", "grader.temperature=0.7"]


def test_repeats_are_refused_at_temperature_0(cli: Cli) -> None:
    result = cli("grade", "--repeats", "3", *NOBODY, stdin=jsonl([datapoint(response="4")]))
    assert result.returncode == 2
    assert "3 repeats at temperature 0 would all be the same" in result.stderr


def scripted(*scores: str) -> ChatServer:
    """A grader that gives these in the order in which it is asked, one at a time."""
    return ChatServer(by_role("", lambda r: f"Because {r.number}.\n{scores[r.number - 1]}"))


def graded(cli: Cli, *scores: str) -> tuple[Result, dict[str, Any]]:
    row = datapoint(response="4", rubric_items=[item(**FIVE)], gold=4)
    repeats = ("--repeats", str(len(scores)), "--concurrency", "1", "--max-errors", "1")
    with scripted(*scores) as server:
        result = cli("grade", *repeats, *WARM, *at(server), stdin=jsonl([row]))
    (out,) = read_jsonl(result.stdout)
    grade: dict[str, Any] = out["grading"]["grades"][0]
    return result, grade


def test_the_median_counts_and_each_vote_is_recorded(cli: Cli) -> None:
    result, grade = graded(cli, *(f"<score>{n}</score>" for n in (2, 5, 4)))
    assert result.returncode == 0, result.stderr
    assert (grade["raw_score"], grade["passed"]) == (4.0, True)
    assert grade["disagreement"] == pytest.approx(1 / 3)
    assert sorted(vote["raw_score"] for vote in grade["votes"]) == [2.0, 4.0, 5.0]
    assert all(vote["reply"] for vote in grade["votes"])
    four = next(vote for vote in grade["votes"] if vote["raw_score"] == 4.0)
    assert grade["feedback"] == four["feedback"]


def test_repeats_feed_the_agreement(cli: Cli, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "in.jsonl", labelled(15))

    def wavering(request: Request) -> Reply:
        score = int(request.last.split("answer-")[1][0])
        return Reply(f"<score>{score if request.number % 2 else max(1, score - 1)}</score>")

    with ChatServer(by_role("", wavering)) as server:
        args = ("--gold-field", "gold", "--repeats", "3", "--summary", "s.json")
        result = cli("grade", file, *args, *WARM, *at(server))
        assert len(server.requests) == 45
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert found["repeat_agreement"]["value"] is not None
    assert found["coverage"][-1]["coverage"] == 1.0


def test_a_dry_run_counts_the_repeats(cli: Cli) -> None:
    stdin = jsonl([datapoint(response="4")])
    result = cli("grade", "--repeats", "3", *WARM, *NOBODY, "--dry-run", stdin=stdin)
    assert "at most 6 calls" in result.stderr

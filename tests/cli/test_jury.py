"""A jury: several models in the grader's place, each vote by name, and none is indispensable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.conftest import (
    REFINE,
    Result,
    Start,
    at,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role, error

Cli = Callable[..., Result]
NOWHERE = "http://127.0.0.1:9/v1"  # nobody listens at the port of `discard`


def jury(**jurors: str) -> list[str]:
    """The flags for jurors with these models, in this order."""
    pairs = [f"jury.{name}.model={model}" for name, model in jurors.items()]
    return [arg for pair in pairs for arg in ("--set", pair)]


THREE = jury(a="yes", b="no", c="yes-too")


def by_model(request: Request) -> str:
    """Models named `yes…` find everything met, and those named `no…` nothing."""
    if not request.is_grading:
        return f"draft {len(request.body['messages'])}"
    model = str(request.body["model"])
    return f"{model} says so.\n<score>{int(model.startswith('yes'))}</score>"


def answered(**fields: Any) -> dict[str, Any]:
    return datapoint(id="d", response="4", **fields)


def graded(result: Result) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [row["grading"]["grades"][0] for row in read_jsonl(result.stdout)]


# ------------------------------------------------------------------ votes


def test_each_juror_votes_by_name_and_the_grader_is_not_asked(cli: Cli) -> None:
    with ChatServer(by_model) as server:
        result = cli("grade", *at(server), *THREE, stdin=jsonl([answered()]))
    (grade,) = graded(result)
    assert (grade["score"], grade["raw_score"], grade["passed"]) == (1.0, 1.0, True)
    assert grade["disagreement"] == 1 / 3
    assert grade["feedback"] == "yes says so."
    assert [(v["juror"], v["score"], v["passed"]) for v in grade["votes"]] == [
        ("a", 1.0, True),
        ("b", 0.0, False),
        ("c", 1.0, True),
    ]
    assert [v["reply"].split()[0] for v in grade["votes"]] == ["yes", "no", "yes-too"]
    grading = read_jsonl(result.stdout)[0]["grading"]
    assert grading["models"] == {"jury.a": "yes", "jury.b": "no", "jury.c": "yes-too"}
    assert grading["usage"]["calls"] == 3
    assert sorted(r.body["model"] for r in server.requests) == ["no", "yes", "yes-too"]
    for juror, model in grading["models"].items():
        assert f"{juror}: {model} (127.0.0.1:{server.port})" in result.stderr


def test_the_votes_of_an_even_jury_are_split_and_that_is_no_pass(cli: Cli) -> None:
    with ChatServer(by_model) as server:
        found = [
            graded(
                cli(
                    *("grade", *at(server), *jury(a="yes", b="no")),
                    *("--set", f"grade.combine={how}"),
                    stdin=jsonl([answered()]),
                )
            )[0]
            for how in ("median", "majority")
        ]
    assert [(g["score"], g["passed"]) for g in found] == [(0.5, False), (0.0, False)]
    assert [(g["disagreement"], g["feedback"]) for g in found] == [(0.5, "no says so.")] * 2


def test_an_empty_section_named_grader_is_the_grader_among_the_jury(
    cli: Cli, tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[grader]\nmodel = "yes"\n[jury.grader]\n[jury.b]\nmodel = "no"\n')
    with ChatServer(by_model) as server:
        args = ("--config", config, "--base-url", server.url, "--model", "policy")
        (grade,) = graded(cli("grade", *args, stdin=jsonl([answered()])))
    assert [(v["juror"], v["score"]) for v in grade["votes"]] == [("grader", 1.0), ("b", 0.0)]


def test_repeats_ask_every_juror_so_often(cli: Cli) -> None:
    def script(request: Request) -> str:
        return f"{request.body['seed']}\n<score>1</score>"

    flags = ("--set", "grader.temperature=0.7", "--seed", "3", "--repeats", "2")
    # The same model twice: what tells its votes apart is whose they are.
    with ChatServer(script) as server:
        result = cli(
            "grade", *at(server), *jury(a="yes", b="yes"), *flags, stdin=jsonl([answered()])
        )
    (grade,) = graded(result)
    assert [(v["juror"], v["repeat"]) for v in grade["votes"]] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
    assert len({v["reply"] for v in grade["votes"]}) == len(server.requests) == 4


def test_equal_jurors_have_a_vote_each_without_seeds_too(cli: Cli) -> None:
    with ChatServer(lambda r: f"{r.number}\n<score>1</score>") as server:
        flags = ("--set", "grader.temperature=0.7", "--cache", "c")
        args = ("grade", *at(server), *jury(a="yes", b="yes"), *flags)
        first, second = (cli(*args, stdin=jsonl([answered()])) for _ in range(2))
    (grade,) = graded(first)
    assert len({v["reply"] for v in grade["votes"]}) == len(server.requests) == 2
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--repeats", "2"], "2 repeats of jury.a at temperature 0"),
        (["--set", "jury.c.model=yes"], "jury.a and jury.c are the same model"),
        (
            ["--set", "grade.mode=logprobs", "--gold-field", "gold", "--calibrate", "t.toml"],
            "a jury has several",
        ),
        (["--max-cost", "1"], "the prices of the jury.a's model are not known"),
    ],
)
def test_what_would_mean_nothing_is_refused(cli: Cli, flags: list[str], words: str) -> None:
    args = ("--base-url", NOWHERE, "--model", "m", *THREE, *flags)
    result = cli("grade", *args, stdin=jsonl([answered(gold=True)]))
    assert result.returncode == 2
    assert words in result.stderr


# ------------------------------------------------------------------ jurors that fail


def script_of(**special: Callable[[Request], str | Reply]) -> Callable[[Request], str | Reply]:
    """`by_model`, but for these models."""

    def script(request: Request) -> str | Reply:
        return special.get(str(request.body["model"]).replace("-", "_"), by_model)(request)

    return script


def test_a_juror_whose_server_is_down_has_no_vote_and_the_rest_grade(cli: Cli) -> None:
    rows = [datapoint(id=n, response="4") for n in range(5)]
    with ChatServer(by_model) as server:
        down = ("--set", f"jury.b.base_url={NOWHERE}")
        result = cli("grade", *at(server), *THREE, *down, stdin=jsonl(rows))
    grades = graded(result)
    assert [g["score"] for g in grades] == [1.0] * 5
    for grade in grades:
        a, b, c = grade["votes"]
        assert (a["score"], b["score"], c["score"]) == (1.0, None, 1.0)
        assert b["error"]["type"] == "connection"
        assert grade["disagreement"] == 0
    assert result.stderr.count("jury.b is lost, the others grade without it") == 1
    assert "5 votes are missing" in result.stderr


def test_where_too_few_jurors_are_left_the_run_ends(cli: Cli) -> None:
    with ChatServer(by_model) as server:
        down = [f"jury.{name}.base_url={NOWHERE}" for name in "bc"]
        flags = [arg for pair in down for arg in ("--set", pair)]
        result = cli("grade", *at(server), *THREE, *flags, stdin=jsonl([answered()]))
    assert result.returncode == 3
    assert f"{NOWHERE}/chat/completions" in result.stderr
    assert result.stdout == ""


def test_a_key_that_is_refused_is_for_the_user_to_mend(cli: Cli) -> None:
    with ChatServer(script_of(no=lambda r: error(401, "no such key"))) as server:
        result = cli("grade", *at(server), *THREE, stdin=jsonl([answered()]))
    assert result.returncode == 3
    assert "no such key" in result.stderr


def test_a_juror_that_gives_no_verdict_is_one_vote_less(cli: Cli) -> None:
    with ChatServer(script_of(no=lambda r: "Hm.")) as server:
        three = graded(cli("grade", *at(server), *THREE, stdin=jsonl([answered()])))
        two = cli("grade", *at(server), *jury(a="yes", b="no"), stdin=jsonl([answered()]))
    assert [three[0]["score"], three[0]["votes"][1]["error"]["type"]] == [1.0, "no_score"]
    assert two.returncode == 3
    (grade,) = read_jsonl(two.stdout)[0]["grading"]["grades"]
    assert grade["status"] == "ungraded"
    assert grade["error"]["message"].startswith("1 of 2 jurors: b: ")


# ------------------------------------------------------------------ wherever the grader grades


def test_the_loop_stops_where_the_jury_is_content(cli: Cli) -> None:
    def b(request: Request) -> str:
        return f"Stricter.\n<score>{int('draft 3' in request.last)}</score>"

    rows = jsonl([datapoint(id="d")])
    with ChatServer(script_of(no=b, yes_too=b)) as server:
        result = cli(*REFINE, *at(server), *THREE, stdin=rows)
    assert result.returncode == 0, result.stderr
    (row,) = read_jsonl(result.stdout)
    first, second = row["refinement"]["iterations"]
    assert (first["score"], second["score"]) == (0.0, 1.0)
    assert [v["juror"] for v in first["grades"][0]["votes"]] == ["a", "b", "c"]
    assert first["grades"][0]["feedback"] == "Stricter."
    assert "Stricter." in first["feedback"]
    models = {"policy": "scripted", "jury.a": "yes", "jury.b": "no", "jury.c": "yes-too"}
    assert row["refinement"]["models"] == models
    assert row["refinement"]["usage"]["calls"] == len(server.requests) == 2 + 6


def test_a_rollout_shows_what_each_juror_was_asked_and_said(cli: Cli) -> None:
    with ChatServer(by_model) as server:
        result = cli("debug-rollout", *at(server), *THREE)
    assert result.returncode == 0, result.stderr
    for name, model in (("a", "yes"), ("b", "no"), ("c", "yes-too")):
        assert f"jury.{name}'s input" in result.stdout
        said = result.stdout.split(f"jury.{name}'s output")[1]
        assert f"{model} says so." in said.split("'s input")[0]
    assert "call (iteration" not in result.stdout  # every call has its place


def test_each_of_several_drafts_is_shown_with_the_calls_that_graded_it(cli: Cli) -> None:
    warm = ("--set", "policy.temperature=1", "--strategy", "best-of-n", "--set", "refine.drafts=2")
    script = by_role(
        lambda r: f"draft number {r.number}", lambda r: f"{r.number}\n<score>0</score>"
    )
    with ChatServer(script) as server:
        result = cli("debug-rollout", *at(server), *warm)  # the built-in datapoint has two items
    assert result.stdout.count("grader's input · user") == 4
    assert "grader call (iteration" not in result.stdout


def test_the_settings_and_the_plan_of_a_run_count_every_juror(cli: Cli, tmp_path: Path) -> None:
    args = ("grade", "--base-url", NOWHERE, "--model", "m", *THREE, "--set", "jury.b.system=Doubt.")
    shown = cli(*args, "--show-config").stdout
    assert '[jury.a]\nmodel = "yes"  # --set jury.a.model\n' in shown
    assert f'base_url = "{NOWHERE}"  # --base-url, through policy\n' in shown
    assert "[grader]" not in shown
    dry = cli(*args, "--dry-run", stdin=jsonl([answered()]))
    assert "at most 6 calls" in dry.stderr
    assert "== to the jury.a and the jury.c: system ==" in dry.stderr
    assert "== to the jury.b: system ==\nDoubt." in dry.stderr


# ------------------------------------------------------------------ ends and beginnings


def test_a_run_that_was_killed_replays_the_votes_it_has(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    file = write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n, response=str(n)) for n in range(4)])
    released = Event()

    def held(request: Request) -> Reply:
        reply = Reply(str(by_model(request)))
        return replace(reply, wait_for=released) if request.number == 5 else reply

    with ChatServer(held) as server:
        args = ("grade", file, *at(server), *THREE, "--concurrency", "1", "-o", "out.jsonl")
        process = start(*args)
        server.wait_for_requests(6)
        process.kill()
        process.wait()
        released.set()
        other = cli(*args, "--set", "jury.b.system=Doubt.")
        assert "jury.b.system was not set, is" in other.stderr
        assert cli(*args).returncode == 0
        assert len(server.requests) == 12 + 1  # only what was in flight is asked again
        whole = cli(*args[:-2])
    assert (tmp_path / "out.jsonl").read_text() == whole.stdout


def test_offline_a_vote_that_the_cache_lacks_is_missing_and_not_lost(cli: Cli) -> None:
    rows = jsonl([answered()])
    with ChatServer(by_model) as server:
        two = ("grade", *at(server), "--cache", "c")
        assert cli(*two, *jury(a="yes", c="yes-too"), stdin=rows).returncode == 0
        dry = cli(*two, *THREE, "--dry-run", stdin=rows)
        assert "at most 4 calls (2 more are cached)" in dry.stderr
        result = cli(*two, *THREE, "--offline", stdin=rows)
    assert result.returncode == 3
    (grade,) = read_jsonl(result.stdout)[0]["grading"]["grades"]
    assert (grade["status"], grade["error"]["type"]) == ("ungraded", "offline")


def test_what_each_juror_costs_is_counted_by_its_own_price(cli: Cli, tmp_path: Path) -> None:
    prices = [
        f"jury.{name}.{kind}_price={price}"
        for name, price in (("a", 1), ("b", 10))
        for kind in ("input", "output")
    ]
    flags = [arg for pair in prices for arg in ("--set", pair)]
    with ChatServer(by_model) as server:
        args = ("grade", *at(server), *jury(a="yes", b="no"), *flags, "--summary", "s.json")
        cli(*args, stdin=jsonl([answered()]))
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["cost"] == pytest.approx((10 * 1 + 10 * 10) / 1e6)  # tokens of a reply: 10


def test_a_cost_that_is_known_of_some_jurors_alone_is_no_cost_of_the_run(
    cli: Cli, tmp_path: Path
) -> None:
    prices = ("--set", "jury.a.input_price=1", "--set", "jury.a.output_price=1")
    with ChatServer(by_model) as server:
        args = ("grade", *at(server), *jury(a="yes", b="no"), *prices, "--summary", "s.json")
        result = cli(*args, "--require", "cost<=1", stdin=jsonl([answered()]))
    assert result.returncode == 1
    assert "there is no cost: not all that was asked has an input_price" in result.stderr
    assert "≥ $0.0000 (1 of the calls have no price)" in result.stderr
    assert "cost" not in json.loads((tmp_path / "s.json").read_text())


# ------------------------------------------------------------------ agreement


def test_each_juror_is_held_to_the_labels_and_to_the_others(cli: Cli, tmp_path: Path) -> None:
    """a is always right, b never, and c finds everything met."""

    def a(request: Request) -> str:
        return f"<score>{int('right' in request.last)}</score>"

    def b(request: Request) -> str:
        return f"<score>{int('right' not in request.last)}</score>"

    rows = [
        datapoint(id=n, response=f"{('right', 'wrong')[n % 2]} {n}", gold=n % 2 == 0)
        for n in range(20)
    ]
    file = write_jsonl(tmp_path / "in.jsonl", rows)
    gates = ("--require", "jurors.a.kappa>=0.9", "--require", "jury_agreement<=0.4")
    with ChatServer(script_of(a=a, b=b)) as server:
        args = ("--gold-field", "gold", "--summary", "s.json", *gates)
        result = cli("grade", file, *at(server), *jury(a="a", b="b", c="yes"), *args)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    jurors = found["jurors"]
    assert [jurors[name]["accuracy"]["value"] for name in "abc"] == [1.0, 0.0, 0.5]
    assert [jurors[name]["balanced_accuracy"]["value"] for name in "abc"] == [1.0, 0.0, 0.5]
    assert jurors["a"]["kappa"]["value"] == 1.0
    assert jurors["b"]["n"] == 20
    assert found["jury_agreement"]["value"] == pytest.approx(1 / 3)  # one pair of three
    assert found["repeat_agreement"]["value"] is None
    assert "kappa, juror a" in result.stderr
    assert "Where all votes agree" not in result.stderr


def test_without_a_jury_its_figures_are_there_as_null(cli: Cli, tmp_path: Path) -> None:
    row = answered(gold=True)
    with ChatServer(by_role("", "<score>1</score>")) as server:
        args = ("--gold-field", "gold", "--summary", "s.json", "--require", "jury_kappa>=0")
        result = cli("grade", *at(server), *args, stdin=jsonl([row]))
    assert result.returncode == 1
    assert "nothing was graded by several jurors" in result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert (found["jury_agreement"]["value"], found["jurors"]) == (None, {})


def test_items_that_code_grades_need_no_jury(cli: Cli) -> None:
    items = [item(check={"kind": "contains_all", "words": ["4"]})]
    result = cli(
        *("grade", "--base-url", NOWHERE, "--model", "m", *THREE),
        stdin=jsonl([datapoint(response="4", rubric_items=items)]),
    )
    (grade,) = graded(result)
    assert "votes" not in grade


# ------------------------------------------------------------------ reports


def test_a_report_names_the_jury_and_grades_afresh_by_one_grader(cli: Cli, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        if request.is_grading:
            return f"<score>{int('draft 3' in request.last)}</score>"
        return f"draft {len(request.body['messages'])}"

    file = write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n) for n in range(3)])
    with ChatServer(script) as server:
        refined = cli(*REFINE, file, *at(server), *THREE, "-o", "out.jsonl")
        assert refined.returncode == 0, refined.stderr
        before = len(server.requests)
        unnamed = cli("report", "out.jsonl", "--regrade")
        assert unnamed.returncode == 2
        assert "was graded by a jury of yes and no and yes-too, and no grader" in unnamed.stderr
        result = cli("report", "out.jsonl", "--regrade", *at(server), *THREE, "--json", "r.json")
        assert result.returncode == 0, result.stderr
        assert {r.body["model"] for r in server.requests[before:]} == {"scripted"}
    assert "by a jury of yes and no and yes-too and regraded by scripted" in result.stderr

"""`report --regrade`: fresh grades are blind, perturbed and paid for once; noise shows in them."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from refinecli.prompts import Prompts
from refinecli.prompts.regrade import reworded
from refinecli.prompts.templates import GRADER_SYSTEM
from tests.conftest import REFINE, Result, Start, at, check_item, item, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request
from tests.support.fakes import between, without_nonce
from tests.support.html_pages import Page
from tests.support.report_files import failed_row, graded_row, row

Cli = Callable[..., Result]
Row = dict[str, Any]


def rows(count: int, **fields: Any) -> list[Row]:
    """Datapoints whose first response failed in the loop and whose last passed."""
    return [row(n, [0.0, 1.0], **fields) for n in range(count)]


def response_in(request: Request) -> str:
    """The response to be graded; where its grader is asked once more, that is no longer last."""
    return between(request.body["messages"][1]["content"], "response")


def always(score: float) -> Callable[[Request], str]:
    return lambda request: f"Because.\n<score>{score}</score>"


def by_arm(first: float, final: float) -> Callable[[Request], str]:
    """A grader of `report_files.row`'s responses that knows the first from the final."""

    def script(request: Request) -> str:
        score = first if response_in(request).startswith("answer 0") else final
        return f"Because.\n<score>{score}</score>"

    return script


def regraded(cli: Cli, server: ChatServer, *args: str, code: int = 0) -> Row:
    """The figures of the report on out.jsonl."""
    result = cli("report", "out.jsonl", "--regrade", "--json", "-", *at(server), *args)
    assert result.returncode == code, result.stderr
    return dict(json.loads(result.stdout))


def mean(figures: Row, name: str) -> float | None:
    return None if figures[name] is None else figures[name]["mean"]


# ------------------------------------------------------------------ what is asked


def test_the_gaps_between_loop_fresh_grades_and_judge_are_told(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(20))
    judge = by_arm(0.5, 0.75)
    grader = by_arm(0.25, 0.75)
    with ChatServer(lambda r: (judge if r.body["model"] == "judge" else grader)(r)) as server:
        judged = ["--set", "judge.model=judge", "--set", f"judge.base_url={server.url}"]
        figures = regraded(cli, server, *judged, "--html", "page.html")
        asked = Counter(r.body["model"] for r in server.requests)
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    again = page.details[0]["regraded"]["judge"]  # with what it wrote
    assert again["scores"] == [0.5, 0.75]
    assert [[one["reply"] for one in repeat] for repeat in again["final"]] == [
        ["Because.\n<score>0.75</score>"]
    ] * 3
    assert asked == {"scripted": 20 * 2 * 3, "judge": 20 * 2 * 3}
    names = ("loop_gain", "regraded_gain", "heldout_gain", "optimism", "judge_gap")
    assert [mean(figures, name) for name in names] == [1.0, 0.5, 0.25, 0.5, 0.25]
    assert figures["items"][0]["regraded_gain"]["mean"] == 0.5
    assert "judge_not_held_out" not in [alarm["type"] for alarm in figures["alarms"]]


def test_nothing_sent_tells_the_first_response_from_the_final(cli: Cli, tmp_path: Path) -> None:
    """Both get the same words, temperature and seed; only the response itself is another."""
    write_jsonl(tmp_path / "out.jsonl", rows(4, items=({}, {}), reference="A reference."))
    with ChatServer(always(1)) as server:
        regraded(cli, server)
        arms: dict[str, Counter[str]] = {"answer 0": Counter(), "answer 1": Counter()}
        for request in server.requests:
            response = response_in(request)
            body = json.dumps(request.body, sort_keys=True).replace(response, "RESPONSE")
            body = without_nonce(body)
            arms[response[:8]][body] += 1
            assert "answer" not in body.replace("An answer", "").replace("an answer", "")
    assert arms["answer 0"] == arms["answer 1"]
    assert set(arms["answer 0"].values()) == {1}
    assert not re.search("iteration|draft|round|earlier|previous|rewrit", "".join(arms["answer 0"]))


def test_which_is_asked_about_first_follows_no_rule(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(40))
    with ChatServer(always(1)) as server:
        regraded(cli, server, "--repeats", "1", "--concurrency", "1")
        first = [response_in(request)[:8] for request in server.requests][::2]
    assert 5 < first.count("answer 0") < 35


def test_every_repeat_has_other_words_and_another_seed(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", [row(0, [0.0, 1.0])])
    with ChatServer(always(1)) as server:
        regraded(cli, server)
        sent = [r.body for r in server.requests if response_in(r).startswith("answer 0")]
    assert len({body["messages"][0]["content"] for body in sent}) == 3
    assert len({body["seed"] for body in sent}) == 3
    assert {body["temperature"] for body in sent} == {0.7}
    assert GRADER_SYSTEM not in [body["messages"][0]["content"] for body in sent]


def test_a_seed_and_a_temperature_of_the_users_are_used(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", [row(0, [0.0, 1.0])])
    with ChatServer(always(1)) as server:
        regraded(cli, server)
        regraded(cli, server, "--seed", "7", "--set", "grader.temperature=0.3")
        sent = [request.body for request in server.requests]
    assert {body["temperature"] for body in sent[6:]} == {0.3}
    assert not {body["seed"] for body in sent[:6]} & {body["seed"] for body in sent[6:]}


def test_equal_responses_are_graded_once_and_differ_by_nothing(cli: Cli, tmp_path: Path) -> None:
    kept = [row(n, [0.0, 1.0], texts=("the same", "the same")) for n in range(20)]
    write_jsonl(tmp_path / "out.jsonl", kept)
    scores = iter(n / 97 for n in range(97))
    with ChatServer(lambda request: f"<score>{next(scores):.3f}</score>") as server:
        figures = regraded(cli, server)
        assert len(server.requests) == 20 * 3
    assert figures["regraded_gain"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_baselines_are_graded_afresh_by_the_best_of_the_drafts_that_count(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(20))
    texts = ["draft one", "draft two", "draft three"]
    others = [row(n, [0.5, 0.25, 1.0], drafts=True, texts=texts) for n in reversed(range(20))]
    write_jsonl(tmp_path / "bon.jsonl", others)

    def script(request: Request) -> str:
        score = {"d": 0.75, "a": 0.25}[response_in(request)[0]]
        return f"Because.\n<score>{score}</score>"

    with ChatServer(script) as server:
        args = ("--baseline", "bon.jsonl", "--repeats", "2")
        dry = cli("report", "out.jsonl", "--regrade", *at(server), *args, "--dry-run")
        assert "at most 240 calls" in dry.stderr
        figures = regraded(cli, server, *args)
        asked = [response_in(request) for request in server.requests]
    assert Counter(text for text in asked if text.startswith("draft")) == {"draft one": 40}
    assert len(asked) == 120
    baseline = figures["baselines"][1]
    assert baseline["drafts"] == 2
    assert baseline["gain_over_it"]["mean"] == 0.5
    assert baseline["regraded_gain_over_it"]["mean"] == -0.5
    assert "regraded, resampling beats refining" in "\n".join(figures["conclusions"])


def test_checks_are_graded_by_code_and_no_model_is_needed(cli: Cli, tmp_path: Path) -> None:
    made = rows(20, items=[check_item("yes")], texts=("no", "yes"))
    write_jsonl(tmp_path / "out.jsonl", made)
    result = cli("report", "out.jsonl", "--regrade", "--json", "-")
    assert result.returncode == 0, result.stderr
    assert not (tmp_path / "out.jsonl.regrade.cache").exists()
    figures = json.loads(result.stdout)
    assert figures["regraded_gain"] == figures["loop_gain"]
    assert "regraded: 3 times each by code" in cli("report", "out.jsonl", "--regrade").stdout


@pytest.mark.parametrize(
    ("reply", "score", "told"),
    [
        ("<score>0.25</score>", {"mean": 0.25, "low": 0.25, "high": 0.25}, "0.250 (95%: 0.250 to"),
        ("I cannot say.", None, "They could not be regraded."),
    ],
)
def test_single_responses_have_their_fresh_mean_beside_the_loops(
    cli: Cli, tmp_path: Path, reply: str, score: Row | None, told: str
) -> None:
    write_jsonl(tmp_path / "out.jsonl", [row(n, [1.0]) for n in range(20)])
    with ChatServer(lambda request: reply) as server:
        figures = regraded(cli, server, "--max-errors", "20")
    assert figures["regraded_score"] == score
    assert figures["heldout_score"] is None
    first, *others = figures["conclusions"]
    assert first.startswith("Score 1.000")
    assert told in others[-1]


def test_an_empty_response_scores_0_without_a_call(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", [row(0, [0.0, 1.0], texts=("", "something"))])
    with ChatServer(always(1)) as server:
        figures = regraded(cli, server)
        assert len(server.requests) == 3
    assert mean(figures, "regraded_gain") == 1.0


def test_only_what_has_both_scores_from_the_loop_is_graded(cli: Cli, tmp_path: Path) -> None:
    others = [row(1, [None, 1.0]), graded_row(2, 1.0), failed_row(3), failed_row(0)]
    write_jsonl(tmp_path / "out.jsonl", [*others, row(0, [0.0, 1.0]), row(0, [0.0, 1.0, 1.0])])
    with ChatServer(by_arm(0.5, 1)) as server:
        figures = regraded(cli, server)
        asked = Counter(response_in(request) for request in server.requests)
    assert set(asked) == {"answer 0 to question 0", "answer 1 to question 0"}
    assert mean(figures, "regraded_gain") == 0.5
    assert figures["n"] == 2


# ------------------------------------------------------------------ wordings


def test_templates_of_the_users_own_stay(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", [row(0, [0.0, 1.0])])
    own = "OURS <response>\n{{response}}\n</response> {{criterion}} {{instruction}}"
    (tmp_path / "own.md").write_text(own)
    with ChatServer(always(1)) as server:
        regraded(cli, server, "--set", "prompts.grader=own.md")
        assert all(request.last.startswith("OURS") for request in server.requests)
        assert len({request.body["messages"][0]["content"] for request in server.requests}) == 3


# ------------------------------------------------------------------ what a grader leaves out


def test_a_repeat_without_a_score_is_left_out_of_the_mean(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(20))
    silent = reworded(Prompts(), 1).grader_system

    def script(request: Request) -> str:
        if request.body["messages"][0]["content"] == silent:
            return "I cannot say."
        return by_arm(0.25, 0.75)(request)

    with ChatServer(script) as server:
        result = cli("report", "out.jsonl", "--regrade", "--json", "-", *at(server))
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert mean(figures, "regraded_gain") == 0.5
    assert figures["regrade"] == {
        "repeats": 3,
        "models": {"grader": "scripted"},
        "grades": 120,
        "ungraded": 40,
    }
    assert "ungraded_afresh" in types(figures)
    assert "40 of 120 grades have no score" in result.stderr


def test_a_datapoint_that_no_repeat_could_grade_has_no_score(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(21))

    def script(request: Request) -> str:
        if response_in(request).startswith("answer 1 to question 7"):
            return "I cannot say."
        return by_arm(0, 1)(request)

    with ChatServer(script) as server:
        args = ["report", "out.jsonl", "--regrade", "--json", "-", *at(server)]
        result = cli(*args)
        sent = len(server.requests)
        assert result.returncode == 3
        assert "1 of 21 datapoints failed or stayed ungraded" in result.stderr
        figures = json.loads(result.stdout)
        assert figures["n"] == 21
        assert figures["regraded_sign_test"]["wins"] == 20
        # The same command asks again for what failed, and only for that.
        cli(*args)
        assert len(server.requests) == sent + 6
        # Where the user allows it, it is no failure; and then nothing is asked twice.
        assert cli(*args, "--max-errors", "1").returncode == 0
        sent = len(server.requests)
        assert cli(*args, "--max-errors", "1").returncode == 0
        assert len(server.requests) == sent


def test_where_no_fresh_grade_could_be_read_it_does_not_ask_for_fresh_grades(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(21))
    write_jsonl(tmp_path / "bon.jsonl", [row(n, [0.0, 0.0], drafts=True) for n in range(21)])
    with ChatServer(lambda request: "I cannot say.") as server:
        args = ("--max-errors", "21", "--baseline", "bon.jsonl", "--gate", "regraded_gain>0")
        result = cli("report", "out.jsonl", "--regrade", *at(server), *args)
    assert result.returncode == 1, result.stderr
    told = " ".join(result.stdout.split())
    assert "more than grader noise: the responses could not be regraded." in told
    assert "It could not be regraded." in told
    assert "(--regrade)" not in told
    assert "regraded_gain is null\n" in result.stderr
    assert "it takes --regrade" not in result.stderr


def test_grades_by_code_are_no_share_of_those_that_can_be_unreadable(
    cli: Cli, tmp_path: Path
) -> None:
    """One reply in sixteen was no score: that is too many, however much code graded beside it."""
    made = rows(8, items=({}, *[check_item("question")] * 9), texts=("no question", "a question"))
    for n, one in enumerate(made):
        for iteration in one["refinement"]["iterations"]:
            iteration["response"] += f" {n}"
    write_jsonl(tmp_path / "out.jsonl", made)

    def script(request: Request) -> str:
        silent = response_in(request) == "a question 7"
        return "I cannot say." if silent else by_arm(0, 1)(request)

    with ChatServer(script) as server:
        figures = regraded(cli, server, "--repeats", "1", "--max-errors", "1")
    assert (figures["regrade"]["grades"], figures["regrade"]["ungraded"]) == (16, 1)
    assert "ungraded_afresh" in types(figures)


# ------------------------------------------------------------------ noise


def wrong(request: Request, share: float) -> bool:
    """An error of a grader that asks nothing but itself: for equal requests the same, else drawn
    anew for each response, criterion and seed."""
    text = response_in(request), between(request.last, "criterion"), request.body.get("seed")
    return int.from_bytes(hashlib.sha256(repr(text).encode()).digest()[:4]) < share * 2**32


def idle_loop(share: float) -> Callable[[Request], str | Reply]:
    """A writer whose rewrites change nothing that counts, and a grader that errs."""

    def script(request: Request) -> str:
        if not request.is_grading:
            asked = re.search(r"Number (\d+)", request.text)
            return f"text {asked and asked[1]}, version {request.number}"
        digits = re.search(r"text (\d+)", response_in(request))
        criterion = between(request.last, "criterion")
        met = (int(digits[1]) if digits else 0) % 2 == 0 or "first" in criterion
        return f"<score>{int(met != wrong(request, share))}</score>"

    return script


def test_gains_that_are_only_noise_do_not_outlive_fresh_grades(cli: Cli, tmp_path: Path) -> None:
    items = [item("Is the first thing so?"), item("Is the second thing so?")]
    made = [
        {"id": n, "convo": [{"role": "user", "content": f"Number {n}"}], "rubric_items": items}
        for n in range(40)
    ]
    write_jsonl(tmp_path / "in.jsonl", made)
    with ChatServer(idle_loop(0.2)) as server:
        refined = cli(
            *(*REFINE, "in.jsonl", "-o", "out.jsonl", "--concurrency", "1", *at(server)),
        )
        assert refined.returncode == 0, refined.stderr
        figures = regraded(cli, server)
    assert figures["loop_gain"]["low"] > 0.1
    assert figures["optimism"]["low"] > 0.05
    assert figures["regraded_gain"]["low"] <= 0 <= figures["regraded_gain"]["high"]
    assert not figures["claim"]["gain"]


# ------------------------------------------------------------------ the cache


@pytest.mark.parametrize("own_prompts", [False, True])
def test_no_reply_of_the_loop_is_taken_for_a_fresh_one(
    cli: Cli, tmp_path: Path, own_prompts: bool
) -> None:
    """Not even where prompts, temperature and seed are those of the loop."""
    args = ["--cache", "shared.cache", "--seed", "42", "--set", "grader.temperature=0.7"]
    if own_prompts:
        (tmp_path / "own.md").write_text(
            "<response>\n{{response}}\n</response><criterion>{{criterion}}{{instruction}}"
        )
        (tmp_path / "system.md").write_text("You grade.")
        args += ["--set", "prompts.grader=own.md", "--set", "prompts.grader_system=system.md"]
    made = {"id": 1, "convo": [{"role": "user", "content": "Hi"}], "rubric_items": [item()]}
    write_jsonl(tmp_path / "in.jsonl", [made])

    def script(request: Request) -> str:
        return "<score>0</score>" if request.is_grading else f"answer {request.number}"

    with ChatServer(script) as server:
        result = cli(
            *(*REFINE, "in.jsonl", "-o", "out.jsonl", "--max-iterations", "1"),
            *(*at(server), *args),
        )
        assert result.returncode == 0, result.stderr
        in_loop = len(server.requests)
        regraded(cli, server, *args)
        assert len(server.requests) == in_loop + 3  # nothing was accepted: one text
        regraded(cli, server, *args)
        assert len(server.requests) == in_loop + 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_after_a_death_the_same_command_sends_only_the_rest(
    cli: Cli, start: Start, tmp_path: Path, number: int, code: int
) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(30))
    release, grader = threading.Event(), by_arm(0, 1)

    def held_after_50(request: Request) -> Reply:
        return Reply(grader(request), wait_for=release if request.number >= 50 else None)

    with ChatServer(held_after_50) as server:
        args = ["report", "out.jsonl", "--regrade", "--json", "-", *at(server)]
        process = start(*args, "--concurrency", "4")
        server.wait_for_requests(54)
        process.send_signal(number)
        _, told = process.communicate()
        release.set()
        assert process.returncode == code
        assert (b"this continues" in told) == (number != signal.SIGKILL)
        result = cli(*args)
        assert result.returncode == 0, result.stderr
        # What was in flight is lost, and no more than that.
        assert len(server.requests) == 180 + 4
        again = cli(*args)
        assert len(server.requests) == 180 + 4
    assert again.stdout == result.stdout
    assert (tmp_path / "out.jsonl.regrade.cache").exists()


def test_a_budget_ends_it_and_the_same_command_continues(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(5))
    with ChatServer(by_arm(0, 1)) as server:
        args = ["report", "out.jsonl", "--regrade", *at(server), "--max-calls", "20"]
        result = cli(*args, "--summary", "summary.json")
        assert result.returncode == 4
        assert result.stdout == ""
        assert "out.jsonl.regrade.cache; this continues, with as much again" in result.stderr
        assert json.loads((tmp_path / "summary.json").read_text())["calls"] == 20
        assert cli(*args).returncode == 0
        assert len(server.requests) == 30


def test_offline_answers_from_the_cache_or_says_what_is_missing(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(3))
    with ChatServer(by_arm(0, 1)) as server:
        online = regraded(cli, server)
        sent = len(server.requests)
        assert regraded(cli, server, "--offline") == online
        assert regraded(cli, server, "--offline", "--repeats", "4")["regraded_gain"]
        regraded(cli, server, "--offline", "--seed", "1", code=3)
        assert len(server.requests) == sent


def test_a_provider_that_refuses_ends_it_and_leaves_no_empty_cache(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(3))
    refused = Reply(status=401, raw=b'{"error": {"message": "no such key"}}')
    with ChatServer(lambda request: refused) as server:
        result = cli("report", "out.jsonl", "--regrade", *at(server))
    assert result.returncode == 3
    assert result.stdout == ""
    assert not (tmp_path / "out.jsonl.regrade.cache").exists()


def test_a_dry_run_says_how_many_calls_it_takes(cli: Cli, tmp_path: Path) -> None:
    same = row(9, [0.0, 0.0], best=0)
    write_jsonl(tmp_path / "out.jsonl", [*rows(4, items=({}, check_item("1"))), same])
    with ChatServer(by_arm(0, 1)) as server:
        args = ["report", "out.jsonl", "--regrade", "--dry-run", *at(server)]
        first = cli(*args)
        assert first.returncode == 0, first.stderr
        # Four pairs and one text, three repeats, and as often once more for an unreadable reply.
        assert "5 datapoints, 3 repeats, at most 54 calls, not" in first.stderr
        assert "== to the grader: user ==" in first.stderr
        assert server.requests == []
        assert not (tmp_path / "out.jsonl.regrade.cache").exists()
        regraded(cli, server, "--repeats", "2")
        assert "at most 18 calls (18 more are cached)" in cli(*args).stderr
        assert len(server.requests) == 18


# ------------------------------------------------------------------ who grades


def types(figures: Row) -> list[str]:
    return [alarm["type"] for alarm in figures["alarms"]]


@pytest.mark.parametrize(
    ("loop", "judge", "expected"),
    [
        ({"policy": "small", "grader": "scripted"}, "other", []),
        ({"policy": "small", "grader": "scripted"}, "scripted", ["judge_not_held_out"]),
        ({"policy": "small", "grader": "scripted"}, "small", ["judge_not_held_out"]),
        ({"grader": "another"}, "other", ["other_grader"]),
        ({"grader": "another"}, "another", ["other_grader", "judge_not_held_out"]),
    ],
)
def test_a_judge_of_the_loop_and_a_new_grader_are_warned_of(
    cli: Cli, tmp_path: Path, loop: dict[str, str], judge: str, expected: Sequence[str]
) -> None:
    made = rows(3)
    for one in made:
        one["refinement"]["models"] = loop
    write_jsonl(tmp_path / "out.jsonl", made)
    with ChatServer(by_arm(0, 1)) as server:
        judged = ["--set", f"judge.model={judge}", "--set", f"judge.base_url={server.url}"]
        result = cli("report", "out.jsonl", "--regrade", "--json", "-", *at(server), *judged)
    alarms = [
        alarm
        for alarm in json.loads(result.stdout)["alarms"]
        if alarm["type"] in ("judge_not_held_out", "other_grader")
    ]
    assert [alarm["type"] for alarm in alarms] == expected
    warned = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
    assert warned == [f"warning: {alarm['message']}" for alarm in alarms]


def test_the_local_model_grades_afresh_only_what_it_graded(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(3))
    result = cli("report", "out.jsonl", "--regrade")
    assert result.returncode == 2
    assert "was graded by large, and no grader is named" in result.stderr


@pytest.mark.parametrize(
    "args", [["--model", "m"], ["--repeats", "5"], ["--set", "judge.model=m"], ["--dry-run"]]
)
def test_an_option_for_models_means_nothing_without_regrade(
    cli: Cli, tmp_path: Path, args: list[str]
) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(3))
    result = cli("report", "out.jsonl", *args)
    assert result.returncode == 2
    assert f"error: {args[0]}: no model is asked without --regrade" in result.stderr


def test_what_cannot_be_graded_afresh_is_refused(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "graded.jsonl", [graded_row(1, 1.0)])
    result = cli("report", "graded.jsonl", "--regrade", "--model", "m")
    assert result.returncode == 2
    assert "no datapoint has a score of its first and" in result.stderr
    lines = "".join(json.dumps(one) + "\n" for one in rows(1))
    result = cli("report", "-", "--regrade", "--model", "m", stdin=lines)
    assert result.returncode == 2
    assert "name its file" in result.stderr


def test_a_slip_in_a_gate_is_told_before_any_call(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "out.jsonl", rows(20))
    with ChatServer(by_arm(0, 1)) as server:
        args = ["report", "out.jsonl", "--regrade", *at(server)]
        assert cli(*args, "--gate", "regraded_gian.low>0").returncode == 2
        assert cli(*args, "--gate", "alarms>0").returncode == 2
        assert "did you mean regrade.ungraded" in cli(*args, "--gate", "regrade.ungarded>0").stderr
        assert server.requests == []
        assert cli(*args, "--gate", "regraded_gain.low>0").returncode == 0
        assert cli(*args, "--gate", "regraded_gain.low>1").returncode == 1
        assert (
            cli(*args, "--gate", "regrade.ungraded<=0", "--gate", "claim.gain>=1").returncode == 0
        )
        assert cli(*args, "--gate", "regrade.grades<120", "--gate", "claim.gain>=1").returncode == 1
        assert len(server.requests) == 20 * 2 * 3


def test_show_config_shows_who_grades_afresh(cli: Cli) -> None:
    args = ["--grader-model", "large", "--set", "judge.model=other", "--seed", "7"]
    shown = cli("report", "--show-config", *args).stdout
    assert 'model = "other"' in shown
    assert shown.count("temperature = 0.7") == 2
    assert "[policy]" not in shown

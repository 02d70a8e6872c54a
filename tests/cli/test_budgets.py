"""Budgets: reserved before sending, shared by all roles, exit 4, and the same command continues."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_resume import names, told_command
from tests.conftest import Result, at, read_jsonl, write_jsonl
from tests.support.chat_server import Reply, error
from tests.support.fault_server import Arrival, FaultServer, questions, steady

Cli = Callable[..., Result]
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "1", "--strategy", "refine"]
# So that what a call can take at most is known before it is sent.
BOUNDED = ["--set", "policy.max_tokens=50", "--set", "grader.max_tokens=50"]
PRICES = [
    *("--set", "policy.input_price=2", "--set", "policy.output_price=10"),
    *("--set", "grader.input_price=1", "--set", "grader.output_price=5"),
]


def priced(request: Arrival) -> Reply:
    """`steady` with an honest usage: a token for every six bytes asked, a full reply."""
    asked = len(request.raw) // 6
    usage = {"prompt_tokens": asked, "completion_tokens": 50, "total_tokens": asked + 50}
    return Reply(steady(request), usage=usage)


def tokens(server: FaultServer) -> int:
    return sum(len(request.raw) // 6 + 50 for request in server.arrivals)


def cost(server: FaultServer) -> float:
    def one(request: Arrival) -> float:
        into, out = (1, 5) if request.grades else (2, 10)
        return (len(request.raw) // 6 * into + 50 * out) / 1e6

    return sum(one(request) for request in server.arrivals)


def whole_run(cli: Cli, tmp_path: Path, server: FaultServer, count: int = 12) -> bytes:
    """What the run writes without a budget; the server keeps its count of it."""
    write_jsonl(tmp_path / "in.jsonl", questions(count))
    result = cli(*RUN, *BOUNDED, *at(server))
    assert result.returncode == 0, result.stderr
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()
    return whole


def ended_and_continued(
    cli: Cli,
    tmp_path: Path,
    server: FaultServer,
    *budget: str,
    spent: Callable[[FaultServer], float],
    most: float,
) -> int:
    """Run the same command until it is done: how often. No run spends more than `most`."""
    for run in range(1, 40):
        arrived = len(server.arrivals)
        before = spent(server)
        result = cli(*RUN, *BOUNDED, *at(server), *budget)
        assert spent(server) - before <= most
        if result.returncode == 0:
            return run
        assert result.returncode == 4, result.stderr
        assert len(server.arrivals) > arrived, "a budget that allows nothing never ends"
        assert not (tmp_path / "out.jsonl").exists()
        assert (tmp_path / "out.jsonl.cache").exists()
    raise AssertionError("it was never done")


# ------------------------------------------------------------------ all three


def test_max_calls_ends_the_run_and_the_same_command_continues(cli: Cli, tmp_path: Path) -> None:
    with FaultServer(priced) as server:
        whole = whole_run(cli, tmp_path, server)
        requests = len(server.arrivals)
        server.forget()
        runs = ended_and_continued(
            cli, tmp_path, server, "--max-calls", "9", spent=lambda s: len(s.arrivals), most=9
        )
        assert server.sent_again == 0
    assert runs == -(-requests // 9)
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_max_total_tokens_is_never_exceeded_and_the_same_command_continues(
    cli: Cli, tmp_path: Path
) -> None:
    with FaultServer(priced, latency=0.01) as server:
        whole = whole_run(cli, tmp_path, server)
        most = tokens(server) // 3
        server.forget()
        runs = ended_and_continued(
            cli, tmp_path, server, "--max-total-tokens", str(most), spent=tokens, most=most
        )
        assert server.sent_again == 0
    # It is an estimate that is reserved; one that is wide of the mark would need many more runs.
    assert 3 <= runs <= 8
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_max_cost_is_never_exceeded_and_the_same_command_continues(
    cli: Cli, tmp_path: Path
) -> None:
    with FaultServer(priced, latency=0.01) as server:
        whole = whole_run(cli, tmp_path, server)
        most = cost(server) / 3
        server.forget()
        budget = ["--max-cost", f"{most:.9f}", *PRICES]
        runs = ended_and_continued(cli, tmp_path, server, *budget, spent=cost, most=most)
        assert server.sent_again == 0
    assert 3 <= runs <= 8
    # Prices shape no result: the bytes are those of a run without them.
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    "budget",
    [["--max-calls", "0"], ["--max-total-tokens", "0"], ["--max-cost", "0", *PRICES]],
    ids=lambda budget: budget[0],
)
def test_a_budget_of_nothing_sends_nothing(cli: Cli, tmp_path: Path, budget: list[str]) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(priced) as server:
        result = cli(*RUN, *BOUNDED, *at(server), *budget)
        assert server.arrivals == []
        assert result.returncode == 4, result.stderr
        assert budget[0] in result.stderr
        assert not (tmp_path / "out.jsonl").exists()
        last = cli(*RUN, *BOUNDED, *at(server))
    assert last.returncode == 0, last.stderr
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


@pytest.mark.parametrize(
    "budget",
    [["--max-calls", "1000"], ["--max-total-tokens", "10000000"], ["--max-cost", "100", *PRICES]],
    ids=lambda budget: budget[0],
)
def test_enough_is_enough(cli: Cli, tmp_path: Path, budget: list[str]) -> None:
    with FaultServer(priced) as server:
        whole = whole_run(cli, tmp_path, server, 6)
        result = cli(*RUN, *BOUNDED, *at(server), *budget)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    "budget",
    [["--max-calls", "5"], ["--max-total-tokens", "2000"], ["--max-cost", "0.005", *PRICES]],
    ids=lambda budget: budget[0],
)
def test_the_end_of_a_budget_says_what_is_finished_and_how_to_continue(
    cli: Cli, tmp_path: Path, budget: list[str]
) -> None:
    with FaultServer(priced) as server:
        whole = whole_run(cli, tmp_path, server, 8)
        server.forget()
        first = cli(*RUN, *BOUNDED, *at(server), *budget, "--concurrency", "1")
        assert first.returncode == 4, first.stderr
        assert budget[0] in first.stderr
        assert "Traceback" not in first.stderr
        command = told_command(first.stderr)
        assert command[:4] == RUN[:4]
        for _ in range(60):
            if (again := cli(*command)).returncode != 4:
                break
        assert again.returncode == 0, again.stderr
        assert server.sent_again == 0
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    "budget", [["--max-total-tokens", "5000"], ["--max-cost", "0.01", *PRICES]]
)
def test_replies_that_cannot_be_used_are_paid_for_too(
    cli: Cli, tmp_path: Path, budget: list[str]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(20))
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010}
    filtered = Reply("", finish_reason="content_filter", usage=usage)
    with FaultServer(lambda request: filtered) as server:
        flags = ["--max-errors", "100%", "--concurrency", "1", "--summary", "s.json"]
        result = cli(*RUN, *BOUNDED, *at(server), *flags, *budget)
    assert result.returncode == 4, result.stderr
    assert len(server.arrivals) <= 5
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["prompt_tokens"] == 1000 * len(server.arrivals)


def test_replayed_calls_cost_nothing(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(5))
    run = ["refine", "in.jsonl", "--cache", "c.db", *BOUNDED, "--strategy", "refine"]
    with FaultServer(priced) as server:
        first = cli(*run, *at(server))
        assert first.returncode == 0, first.stderr
        budget = ["--max-calls", "0", "--max-total-tokens", "0", "--max-cost", "0", *PRICES]
        again = cli(*run, *at(server), *budget)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout


def test_what_is_in_flight_when_the_budget_ends_is_kept(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(10))
    with FaultServer(priced, latency=0.2) as server:
        first = cli(*RUN, *at(server), "--max-calls", "6")
        assert first.returncode == 4, first.stderr
        assert len(server.arrivals) == 6
        server.latency = 0
        last = cli(*RUN, *at(server))
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 10


def test_tries_count_and_their_reserve_is_given_back(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))

    def script(request: Arrival) -> Reply:
        if request.earlier == 0:
            return error(500, "not yet", headers={"retry-after-ms": "1"})
        return priced(request)

    with FaultServer(script) as server:
        run = [*RUN, *BOUNDED, *at(server), "--concurrency", "1"]
        few = cli(*run, "--max-calls", "5")
        assert few.returncode == 4, few.stderr
        assert len(server.arrivals) == 5
        # A try that failed has used no tokens that anyone reported.
        enough = tokens(server) * 20
        last = cli(*run, "--max-total-tokens", str(enough))
    assert last.returncode == 0, last.stderr


def test_budgets_without_a_bound_on_replies_end_and_continue_too(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    with FaultServer(priced) as server:
        run = [*RUN, *at(server), "--concurrency", "2"]
        first = cli(*run, "--max-total-tokens", "1000")
        assert first.returncode == 4, first.stderr
        last = cli(*run)
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0


def test_a_budget_may_change_from_run_to_run(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    with FaultServer(priced) as server:
        run = [*RUN, *BOUNDED, *at(server)]
        assert cli(*run, "--max-calls", "3").returncode == 4
        assert cli(*run, "--max-calls", "4").returncode == 4
        dearer = [*PRICES[:-1], "grader.output_price=7"]
        assert cli(*run, "--max-cost", "0.000001", *PRICES).returncode == 4
        assert cli(*run, "--max-cost", "0.000001", *dearer).returncode == 4
        last = cli(*run)
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0


def test_the_summary_is_written_when_a_budget_ends_the_run(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    with FaultServer(priced) as server:
        first = cli(*RUN, *at(server), "--max-calls", "7", "--summary", "one.json")
        second = cli(*RUN, *at(server), "--max-calls", "2", "--summary", "two.json")
    assert (first.returncode, second.returncode) == (4, 4)
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert (one["calls"], one["replayed"]) == (7, 0)
    assert two["calls"] == 2
    assert two["replayed"] <= 7


# ------------------------------------------------------------------ wrong budgets


@pytest.mark.parametrize(
    "budget",
    [
        ["--max-calls", "-1"],
        ["--max-total-tokens", "-1"],
        ["--max-total-tokens", "many"],
        ["--max-cost", "-0.5", *PRICES],
        ["--max-cost", "nan", *PRICES],
        ["--max-cost", "inf", *PRICES],
        ["--max-cost", "1", "--set", "policy.input_price=-1", "--set", "policy.output_price=1"],
        ["--max-cost", "1", "--set", "policy.input_price=nan", "--set", "policy.output_price=1"],
    ],
    ids=" ".join,
)
def test_a_budget_that_is_none_is_refused(cli: Cli, tmp_path: Path, budget: list[str]) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(priced) as server:
        result = cli(*RUN, *at(server), *budget)
        assert server.arrivals == []
    assert result.returncode == 2, result.stderr
    assert names(tmp_path) == {"in.jsonl"}


UNPRICED: list[Any] = [
    pytest.param([], "policy", id="nobody has a price"),
    pytest.param(["--set", "policy.input_price=1"], "output_price", id="half a price"),
    pytest.param(
        [*PRICES[:4], "--grader-model", "other", "--grader-base-url", "http://127.0.0.1:9/v1"],
        "grader",
        id="a grader elsewhere has none",
    ),
]


@pytest.mark.parametrize(("prices", "named"), UNPRICED)
def test_max_cost_needs_a_price_for_every_role(
    cli: Cli, tmp_path: Path, prices: list[str], named: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(priced) as server:
        result = cli(*RUN, *at(server), "--max-cost", "1", *prices)
        assert server.arrivals == []
    assert result.returncode == 2, result.stderr
    assert named in result.stderr
    assert "price" in result.stderr
    assert names(tmp_path) == {"in.jsonl"}

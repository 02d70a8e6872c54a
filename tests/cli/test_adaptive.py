"""`refine` as a command, with its default loop: what rows learn depends on nothing but replies."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, Start, at, check_item, datapoint, read_jsonl, write_jsonl
from tests.support.chat_server import Reply, Request, error
from tests.support.fault_server import Arrival, FaultServer

Cli = Callable[..., Result]
WORDS = ("red", "blue", "green", "gold")
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--seed", "3", "--max-iterations", "5"]


def rows(count: int) -> list[dict[str, Any]]:
    return [
        datapoint(
            id=f"row {n}",
            convo=[{"role": "user", "content": f"Say something about row {n}."}],
            rubric_items=[check_item(word) for word in WORDS],
        )
        for n in range(count)
    ]


def written(request: Request | Arrival) -> str:
    """Some of the words, by what was asked and the seed alone; rewrites mostly add one."""
    said = json.dumps([request.body["messages"], request.body.get("seed")])
    rng = random.Random(hashlib.sha256(said.encode()).digest())
    before = request.body["messages"][-2]["content"] if len(request.body["messages"]) > 1 else ""
    words = [w for w in WORDS if rng.random() < (0.9 if w in before else 0.35)]
    return f"{' '.join(words)} {rng.randrange(1000)}"


def test_the_file_is_the_same_at_any_concurrency(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(70))
    found = []
    with FaultServer(written) as server:
        for concurrency in ("1", "8", "64"):
            result = cli(*RUN, *at(server), "--concurrency", concurrency, "--force")
            assert result.returncode == 0, result.stderr
            found.append((tmp_path / "out.jsonl").read_bytes())
    assert found[1:] == found[:1] * 2
    taken = [
        it["role"]
        for row in read_jsonl(tmp_path / "out.jsonl")
        for it in row["refinement"]["iterations"]
        if "choice" in it
    ]
    assert set(taken) == {"policy", "reviser"}


# How a run ends in the middle, by a signal or by a flag, and its exit code.
MANY_DEATHS = [
    pytest.param(signal.SIGKILL, -9, id="kill -9"),
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
    pytest.param(["--max-calls", "60"], 4, id="calls used up"),
    pytest.param(["--max-total-tokens", "600"], 4, id="tokens used up"),
    pytest.param(["--max-cost", "0.0006"], 4, id="money used up"),
]
# Of replies of 3 tokens at most, so that what a budget reserves is near to what is used.
BOUNDED = ["--set", "policy.max_tokens=10", "--set", "grader.max_tokens=10"]
BOUNDED += ["--set", "policy.input_price=1", "--set", "policy.output_price=1"]


@pytest.mark.parametrize(("ending", "code"), MANY_DEATHS)
def test_a_run_that_ended_in_the_middle_continues_to_the_same_file_and_pays_for_nothing_twice(
    cli: Cli, start: Start, tmp_path: Path, ending: signal.Signals | list[str], code: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    run = [*RUN, *BOUNDED, "--concurrency", "8"]
    with FaultServer(written, latency=0.01) as server:
        assert cli(*run, *at(server)).returncode == 0
        whole = (tmp_path / "out.jsonl").read_bytes()
        (tmp_path / "out.jsonl").unlink()
        requests = len(server.seen)
        server.forget()
        for moment in sorted(random.Random(code).sample(range(1, requests * 8 // 10), 3)):
            if isinstance(ending, list):
                ended = cli(*run, *at(server), *ending)
                assert ended.returncode == code, ended.stderr
            else:
                first = server.count_of_next()
                process = start(*run, *at(server), stdin=subprocess.DEVNULL)
                server.wait_for_requests(max(moment, first))
                process.send_signal(ending)
                process.communicate(timeout=30)
                assert process.returncode == code
            assert not (tmp_path / "out.jsonl").exists()
        last = cli(*run, *at(server))
        assert last.returncode == 0, last.stderr
        assert len(server.seen) == requests
        assert server.sent_again <= (0 if isinstance(ending, list) else 8 * 3)
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert read_jsonl(tmp_path / "out.jsonl")[0]["refinement"]["strategy"] == "adaptive"


@pytest.mark.parametrize("failing", ["first draft", "later step"])
def test_after_failures_the_same_command_sends_only_what_failed(
    cli: Cli, tmp_path: Path, failing: str
) -> None:
    """Row 2 fails at first, and rows 6 and on would learn from it."""
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    broken = True
    asked = 0

    def answer(request: Arrival) -> str | Reply:
        nonlocal asked
        if "about row 2." in request.body["messages"][0]["content"]:
            asked += 1
            if broken and (failing == "first draft" or asked > 1):
                return error(400, "not this one")
            return "none"
        return written(request)

    with FaultServer(answer) as server:
        first = cli(*RUN, *at(server))
        assert first.returncode == 3, first.stderr
        before = read_jsonl(tmp_path / "out.jsonl")
        assert [row["id"] for row in before if _failed(row)] == ["row 2"]
        allowed = cli(*RUN, *at(server), "--max-errors", "1", "--force", "--cache", "other.db")
        assert allowed.returncode == 0, allowed.stderr
        broken = False
        server.forget()
        second = cli(*RUN, *at(server), "--force")
        assert second.returncode == 0, second.stderr
        about = {request.body["messages"][0]["content"] for request in server.arrivals}
    after = read_jsonl(tmp_path / "out.jsonl")
    assert about == {"Say something about row 2."}
    assert [row for row in after if row["id"] != "row 2"] == [
        row for row in before if row["id"] != "row 2"
    ]
    assert after[2]["refinement"]["status"] == "done"


def _failed(row: dict[str, Any]) -> bool:
    return "error" in row or row["refinement"]["status"] == "failed"


def test_prices_shape_the_choice_so_a_run_does_not_continue_with_others(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    with FaultServer(written) as server:
        first = cli(*RUN, *BOUNDED, *at(server), "--max-calls", "60")
        assert first.returncode == 4, first.stderr
        dearer = ["--set", "reviser.input_price=9", "--set", "reviser.output_price=9"]
        second = cli(*RUN, *BOUNDED, *dearer, *at(server))
    assert second.returncode == 2
    assert "refine.prices" in second.stderr


def test_another_runs_output_teaches_and_learning_can_be_switched_off(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    with FaultServer(written) as server:
        assert cli(*RUN, *at(server)).returncode == 0
        (tmp_path / "out.jsonl").rename(tmp_path / "other.jsonl")
        learned = cli(*RUN, *at(server), "--learned", "other.jsonl", "--summary", "s.json")
        assert learned.returncode == 0, learned.stderr
        first = read_jsonl(tmp_path / "out.jsonl")
        # Each row goes by the file alone, so a part of the input comes out as in the whole.
        write_jsonl(tmp_path / "in.jsonl", rows(40)[20:])
        again = cli(*RUN, *at(server), "--learned", "other.jsonl", "--force")
        assert again.returncode == 0, again.stderr
        assert read_jsonl(tmp_path / "out.jsonl") == first[20:]
        alone = cli(
            *RUN, *at(server), "--set", "refine.learn=false", "--learned", "other.jsonl", "--force"
        )
    assert alone.returncode == 2
    assert "--learned other.jsonl means nothing with refine.learn = false" in alone.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["steps"]["draft"]["count"] > 0
    assert "chosen after the first drafts: " in learned.stderr


def test_best_of_n_can_stop_at_a_draft_that_passes(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(3))
    sent = iter(["red", "red blue green gold", "red", "red", "blue"] + ["gold"] * 20)
    with FaultServer(lambda request: next(sent)) as server:
        result = cli(
            *("refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n", "--drafts", "3"),
            *("--set", "refine.stop_when_passed=true", "--concurrency", "1"),
            *at(server),
        )
    assert result.returncode == 0, result.stderr
    made = [row["refinement"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert [len(one["iterations"]) for one in made] == [2, 3, 3]
    assert [one["passed"] for one in made] == [True, False, False]

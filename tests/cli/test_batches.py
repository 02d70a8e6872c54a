"""`--batch`: a run in waves that a provider's batches answer, against a server that speaks their
protocol."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_waves import SCRIPT, rows
from tests.conftest import Result, Start, at, write_jsonl
from tests.support.batch_server import BatchServer
from tests.support.chat_server import ChatServer

Cli = Callable[..., Result]
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "refine", "--max-iterations", "1"]
RUN += ["--seed", "3", "--concurrency", "4"]  # fewer than there are rows
QUICK = ["--set", "run.batch_seconds=0.05"]
ENV = {"OPENAI_API_KEY": "sk-batch-key-0123456789"}


def batched(server: BatchServer, *more: str) -> list[str]:
    return [*RUN, "--batch", *QUICK, *at(server), *more]


@pytest.fixture
def live(cli: Cli, tmp_path: Path) -> tuple[bytes, int]:
    """The lines of a live run, without what names its endpoint, and its number of requests."""
    write_jsonl(tmp_path / "in.jsonl", rows(12))
    with ChatServer(SCRIPT) as server:
        result = cli(*RUN, *at(server))
        assert result.returncode == 0, result.stderr
        lines = without_place((tmp_path / "out.jsonl").read_bytes())
        (tmp_path / "out.jsonl").unlink()
        return lines, len(server.requests)


def without_place(lines: bytes) -> bytes:
    """The lines without the digest of all settings, of which the endpoint's URL is one."""
    made = [json.loads(line) for line in lines.splitlines()]
    for row in made:
        row["refinement"].pop("settings", None)
    return json.dumps(made).encode()


def test_batches_write_the_bytes_of_a_live_run_and_pay_for_no_request_twice(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    lines, requests = live
    with BatchServer(SCRIPT, looks=3, refusals=2) as server:
        result = cli(*batched(server), "--summary", "s.json", env=ENV)
        assert result.returncode == 0, result.stderr
        assert len(server.paid) == len(set(server.paid)) == requests
        assert not server.live
        assert server.keys == {f"Bearer {ENV['OPENAI_API_KEY']}"}
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines
    assert json.loads((tmp_path / "s.json").read_text())["calls"] == requests
    assert "submitted as batch batch_0" in result.stderr
    assert "refine: 12 datapoints: 12 done" in result.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"in.jsonl", "out.jsonl", "s.json"}


@pytest.mark.parametrize("ending", ["expired", "cancelled"])
def test_what_an_ended_batch_delivered_is_used_and_the_rest_asked_again(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int], ending: str
) -> None:
    lines, requests = live
    with BatchServer(SCRIPT, endings=[ending, ending]) as server:
        result = cli(*batched(server), env=ENV)
        assert result.returncode == 0, result.stderr
        assert len(server.paid) == requests
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


def test_requests_in_the_error_file_are_asked_again(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    lines, _ = live
    with BatchServer(SCRIPT, failing=lambda entry: "-try1-" in entry["custom_id"]) as server:
        result = cli(*batched(server), env=ENV)
    assert result.returncode == 0, result.stderr
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


def test_a_batch_that_fails_validation_ends_the_run_and_is_submitted_again(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    lines, requests = live
    with BatchServer(SCRIPT, endings=["failed"]) as server:
        failed = cli(*batched(server), env=ENV)
        assert failed.returncode == 3
        assert "batch batch_0 was refused: line 1 is not to our liking" in failed.stderr
        assert not server.paid
        assert cli(*batched(server), env=ENV).returncode == 0
        assert len(server.paid) == requests
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


@pytest.mark.parametrize("step", ["upload", "create", "created", "look", "download"])
def test_a_run_that_is_killed_at_any_step_pays_for_nothing_twice(
    cli: Cli, start: Start, tmp_path: Path, live: tuple[bytes, int], step: str
) -> None:
    lines, requests = live
    reached, release = threading.Event(), threading.Event()

    def hold(at: str) -> None:
        if at == step and not release.is_set():
            reached.set()
            release.wait(30)

    with BatchServer(SCRIPT, looks=2, others=150, before=hold) as server:
        process = start(*batched(server), stdin=subprocess.DEVNULL, env=ENV)
        assert reached.wait(30)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        release.set()
        server.before = lambda at: None
        result = cli(*batched(server), env=ENV)
        assert result.returncode == 0, result.stderr
        assert len(server.paid) == len(set(server.paid)) == requests
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


def test_without_waiting_each_call_of_the_command_looks_once(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    lines, requests = live
    codes = []
    with BatchServer(SCRIPT, looks=2) as server:
        for _ in range(20):
            result = cli(*batched(server), "--batch-wait", "no", env=ENV)
            codes.append(result.returncode)
            if codes[-1] != 5:
                break
            assert "not done yet: batch_" in result.stderr
        shown = cli(*RUN, "--batch", "--dry-run", "--force", *at(server), env=ENV)
        assert shown.returncode == 0
        assert len(server.paid) == requests
    assert (codes[-1], set(codes[:-1])) == (0, {5})
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


def test_open_batches_are_listed_and_can_be_cancelled(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    lines, requests = live
    with BatchServer(SCRIPT, looks=99) as server:
        assert cli(*batched(server), "--batch-wait", "no", env=ENV).returncode == 5
        listed = cli(*batched(server), "--dry-run", env=ENV)
        assert "open: batch batch_0 with 12 requests of wave-001.jsonl" in listed.stderr
        cancelled = cli(*batched(server), "--batch-cancel", env=ENV)
        assert (cancelled.returncode, cancelled.stderr) == (0, "batch batch_0: cancelled\n")
        server.looks = 1
        assert cli(*batched(server), env=ENV).returncode == 0
        assert len(server.paid) == requests  # the half that it had done is not paid for again
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines


def test_a_batch_that_is_over_is_not_cancelled(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int]
) -> None:
    with BatchServer(SCRIPT, looks=1) as server:
        assert cli(*batched(server), "--batch-wait", "no", env=ENV).returncode == 5
        ended = cli(*batched(server), "--batch-cancel", env=ENV)
        assert (ended.returncode, ended.stderr) == (0, "batch batch_0: completed\n")
        record = tmp_path / "out.jsonl.batch" / "batches.json"
        entries = json.loads(record.read_text())
        record.write_text(json.dumps([{**entry, "id": ""} for entry in entries]))  # as if killed
        found = cli(*batched(server), "--batch-cancel", env=ENV)
        assert found.stderr == "batch batch_0: completed\n"


@pytest.mark.parametrize(("least", "batches"), [(12, 4), (13, 0)])
def test_a_wave_of_fewer_requests_goes_live_with_all_that_follows(
    cli: Cli, tmp_path: Path, live: tuple[bytes, int], least: int, batches: int
) -> None:
    lines, requests = live  # the smallest of its waves has 12
    with BatchServer(SCRIPT) as server:
        result = cli(*batched(server), "--batch-min", str(least), env=ENV)
        assert result.returncode == 0, result.stderr
        assert len(server.paid) + len(server.live) == requests
        assert len(server.ours) == batches
    assert without_place((tmp_path / "out.jsonl").read_bytes()) == lines
    assert not (tmp_path / "out.jsonl.batch").exists()


def test_a_large_wave_is_divided_into_batches(cli: Cli, tmp_path: Path) -> None:
    from refinecli.models.batch.submitted import Batches

    lines = [b'{"custom_id": "%d"}\n' % n for n in range(10)]
    path = tmp_path / "wave-001.jsonl"
    path.write_bytes(b"".join(lines))

    async def wait(seconds: float) -> None: ...

    batches = Batches(tmp_path, {}, wait, print, 1.0, 5, most=(4, 10_000))
    parts = list(batches._new(1, path, 1))
    assert [part.requests for part in parts] == [4, 4, 2]
    whole = path.read_bytes()
    assert b"".join(whole[p.start : p.start + p.size] for p in parts) == whole
    by_size = Batches(tmp_path, {}, wait, print, 1.0, 5, most=(99, len(lines[0]) * 3))
    assert [part.requests for part in by_size._new(1, path, 1)] == [3, 3, 3, 1]


def test_models_at_several_endpoints_batch_side_by_side(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{**row, "response": "red"} for row in rows(3)])
    with BatchServer(SCRIPT) as one, BatchServer(SCRIPT) as two:
        (tmp_path / "jury.toml").write_text(
            f'[jury.one]\nmodel = "m"\nbase_url = "{one.url}"\n'
            f'[jury.two]\nmodel = "m"\nbase_url = "{two.url}"\n'
        )
        run = ["grade", "in.jsonl", "-o", "out.jsonl", "--config", "jury.toml", "--batch"]
        result = cli(*run, *QUICK, env=ENV)
        assert result.returncode == 0, result.stderr
        assert one.paid
        assert two.paid


def test_costs_count_at_a_discount_and_a_budget_is_kept_before_submission(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    prices = ["--set", "policy.input_price=1000000", "--set", "policy.output_price=0"]
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n", "--drafts", "1"]
    with BatchServer(SCRIPT) as server:
        command = [*run, "--batch", *QUICK, *at(server), *prices, "--summary", "s.json"]
        poor = cli(*command, "--max-cost", "3", env=ENV)
        assert poor.returncode == 4, poor.stderr
        assert not server.batches
        assert cli(*command, env=ENV).returncode == 0
        tokens: Any = json.loads((tmp_path / "s.json").read_text())
    assert tokens["cost"] == pytest.approx(tokens["prompt_tokens"] * 0.5)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--batch-wait", "no"], "--batch-wait no means nothing without --batch"),
        (["--batch-min", "3"], "--batch-min 3 means nothing without --batch"),
        (["--batch", "--batch-wait", "maybe"], "--batch-wait maybe: must be yes or no"),
    ],
)
def test_options_of_batches_go_with_batch(
    cli: Cli, tmp_path: Path, args: list[str], said: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(1))
    result = cli(*RUN, "--model", "m", "--base-url", "http://127.0.0.1:9/v1", *args)
    assert result.returncode == 2
    assert said in result.stderr


def test_an_endpoint_without_batches_is_named(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(1))
    with ChatServer(SCRIPT) as server:
        result = cli(*batched(server, "--set", "policy.retries=1"), env=ENV)
    assert result.returncode == 3
    assert "Traceback" not in result.stderr

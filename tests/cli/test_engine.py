"""What holds where several parts of the engine meet: whose file is whose, what a refused command
leaves alone, what ends a run and what only a row, and what is told to nobody."""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import (
    CLEAN,
    REFINECLI,
    Result,
    Start,
    at,
    check_item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, error
from tests.support.fault_server import Arrival, FaultServer, questions, steady

Cli = Callable[..., Result]
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]


def no_score(request: Arrival) -> str:
    return "No idea." if request.grades else "Answer."


def status(row: dict[str, Any]) -> str:
    return "error" if "error" in row else str(row["refinement"]["status"])


def summary(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def cut_short(cli: Cli, server: FaultServer, *args: str | Path, calls: int = 2) -> None:
    """A run that ends early, after so many calls."""
    result = cli(*args, *at(server), "--concurrency", "1", "--max-calls", str(calls))
    assert result.returncode == 4, result.stderr


# ------------------------------------------------------------------ whose file is whose


def test_a_refused_command_leaves_the_cache_of_the_run_it_met(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    (tmp_path / "out.jsonl").write_text("of old\n")
    go = threading.Event()
    with FaultServer(lambda request: Reply(steady(request), wait_for=go)) as server:
        running = start(*RUN, "--force", *at(server))
        server.wait_for_requests(2)
        refused = cli(*RUN, *at(server))
        assert refused.returncode == 2
        assert "use --force to replace it" in refused.stderr
        assert (tmp_path / "out.jsonl.cache").exists()
        go.set()
        assert running.wait(30) == 0
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 2


def test_a_run_that_got_no_reply_at_all_can_be_run_again(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(lambda request: error(400, "not today")) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        server.script = steady
        again = cli(*RUN, *at(server))
    assert again.returncode == 0, again.stderr
    assert [status(row) for row in read_jsonl(tmp_path / "out.jsonl")] == ["done"] * 2


def test_a_run_that_got_nothing_twice_can_be_run_again(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(lambda request: error(400, "not today")) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        assert cli(*RUN, *at(server), "--max-calls", "0").returncode == 4
        server.script = steady
        again = cli(*RUN, *at(server))
    assert again.returncode == 0, again.stderr


def test_another_input_of_the_same_name_is_another_run(cli: Cli, tmp_path: Path) -> None:
    for name, count in (("train", 2), ("test", 1)):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "in.jsonl", questions(count))
    with FaultServer(no_score) as server:
        assert cli("refine", "train/in.jsonl", *RUN[2:], *at(server)).returncode == 3
        written = (tmp_path / "out.jsonl").read_bytes()
        server.script = steady
        other = cli("refine", "test/in.jsonl", *RUN[2:], *at(server))
    assert other.returncode == 2
    assert 'input was "train/in.jsonl", is "test/in.jsonl"' in other.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == written


def test_what_is_thrown_away_may_be_so_twice(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer() as server:
        nothing = ["-o", "/dev/null", "--summary", "/dev/null"]
        result = cli("refine", "in.jsonl", "--max-iterations", "0", *nothing, *at(server))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_another_run_wrote_is_not_replaced_through_a_shared_cache(
    cli: Cli, tmp_path: Path, moved: bool
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    write_jsonl(tmp_path / "other.jsonl", questions(1))
    file = tmp_path / "out.jsonl"
    with FaultServer(no_score) as server:
        assert cli(*RUN, "--cache", "c.db", *at(server)).returncode == 3
        written = file.read_bytes()
        if moved:
            file = file.rename(tmp_path / "kept.jsonl")
        server.script = steady
        other = cli("refine", "other.jsonl", "-o", file.name, "--cache", "c.db", *at(server))
    assert other.returncode == 2
    assert f"{file.name}: exists already" in other.stderr
    assert file.read_bytes() == written


def test_a_rerun_that_is_refused_leaves_the_lines_of_the_run_before(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    with FaultServer() as server:
        cut_short(cli, server, *RUN)
        partial = tmp_path / "out.jsonl.partial"
        lines = partial.read_bytes()
        assert lines.count(b"\n") == 1
        refused = cli(*RUN, *at(server), "--max-iterations", "1")
        assert refused.returncode == 2
        assert "belongs to another run" in refused.stderr
        assert partial.read_bytes() == lines
        (tmp_path / "out.jsonl.cache").write_bytes(b"damaged" * 999)
        assert cli(*RUN, *at(server)).returncode == 2
        assert partial.read_bytes() == lines


def test_a_shared_cache_makes_nobodys_unfinished_file_ones_own(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    paid = '{"paid": "by somebody"}\n'
    with FaultServer() as server:
        before = cli("refine", "in.jsonl", "--cache", "c.db", *at(server))
        assert before.returncode == 0, before.stderr
        (tmp_path / "out.jsonl.partial").write_text(paid)
        assert cli(*RUN, "--cache", "c.db", *at(server)).returncode == 0
    assert [file.read_text() for file in tmp_path.glob("out.jsonl.partial*")] == [paid]


@pytest.mark.parametrize("flag", ["--log-requests", "--summary"])
@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl", "out.jsonl.cache", "c.db"])
def test_a_file_that_a_flag_names_is_none_that_the_run_needs(
    cli: Cli, tmp_path: Path, flag: str, name: str
) -> None:
    data = write_jsonl(tmp_path / "in.jsonl", questions(1))
    before = data.read_bytes()
    with FaultServer() as server:
        result = cli(*RUN, *at(server), "--cache", "c.db", flag, name)
        assert result.returncode == 2
        assert f"{flag} {name}: is " in result.stderr
        assert not server.arrivals
    assert data.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("suffix", ["partial", "cache-wal", "cache-shm", "cache-journal"])
def test_a_cache_is_no_file_that_the_run_makes_beside_its_output(
    cli: Cli, tmp_path: Path, suffix: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    name = f"out.jsonl.{suffix}"
    with FaultServer() as server:
        assert cli("refine", "in.jsonl", "--cache", name, *at(server)).returncode == 0
        kept, sent = (tmp_path / name).read_bytes(), len(server.arrivals)
        result = cli(*RUN, *at(server), "--cache", name)
        assert result.returncode == 2
        assert f"--cache {name}: is kept for the run itself" in result.stderr
        assert len(server.arrivals) == sent
    assert (tmp_path / name).read_bytes() == kept


def test_the_cache_beside_the_output_may_be_named(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer() as server:
        result = cli(*RUN, *at(server), "--cache", "out.jsonl.cache")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out.jsonl.cache").exists()


def test_a_log_that_cannot_be_written_any_more_ends_the_run_and_no_reply_is_lost(
    cli: Cli, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no device that is always full")
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer() as server:
        result = cli(*RUN, *at(server), "--log-requests", "/dev/full")
        assert result.returncode == 3
        assert "--log-requests /dev/full: No space left" in result.stderr
        again = cli(*RUN, *at(server))
        assert again.returncode == 0, again.stderr
        assert (len(server.arrivals), server.sent_again) == (2, 0)


def test_a_run_never_replaces_its_file_by_a_shorter_one_unless_forced(
    cli: Cli, tmp_path: Path
) -> None:
    rows, out = questions(6), tmp_path / "out.jsonl"
    write_jsonl(tmp_path / "in.jsonl", rows)
    with FaultServer(no_score) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        written, sent = out.read_bytes(), len(server.arrivals)
        server.script = steady
        limited = cli(*RUN, *at(server), "--limit", "2")
        write_jsonl(tmp_path / "in.jsonl", rows[:4])
        shortened = cli(*RUN, *at(server))
        for refused, coming in ((limited, 2), (shortened, 4)):
            assert refused.returncode == 2, refused.stderr
            assert f"out.jsonl: has 6 lines, and this run would write {coming}" in refused.stderr
            assert "--force" in refused.stderr
        assert (out.read_bytes(), len(server.arrivals)) == (written, sent)
        assert (tmp_path / "out.jsonl.cache").exists()
        forced = cli(*RUN, *at(server), "--force")
    assert forced.returncode == 0, forced.stderr
    assert len(read_jsonl(out)) == 4


@pytest.mark.parametrize("cache", [[], ["--cache", "c.db"]], ids=["its own cache", "a named one"])
def test_nor_does_one_that_reads_a_stream_and_is_limited_to_fewer_lines(
    cli: Cli, tmp_path: Path, cache: list[str]
) -> None:
    rows = jsonl(questions(3))
    run = ["refine", "-o", "out.jsonl.gz", "--max-iterations", "0", *cache]
    with FaultServer(no_score) as server:
        assert cli(*run, *at(server), stdin=rows).returncode == 3
        refused = cli(*run, *at(server), "--limit", "2", stdin=rows)
        assert refused.returncode == 2
        assert "has 3 lines, and this run would write 2" in refused.stderr
        server.script = steady
        again = cli(*run, *at(server), "--limit", "3", stdin=rows)
    assert again.returncode == 0, again.stderr


def test_a_limited_run_keeps_the_replies_that_its_rows_did_not_need(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    cache = tmp_path / "out.jsonl.cache"
    with FaultServer() as server:
        cut_short(cli, server, *RUN, calls=12)
        for limit in ("2", "4"):
            limited = cli(*RUN, *at(server), "--limit", limit)
            assert limited.returncode == 0, limited.stderr
            (told,) = [line for line in limited.stderr.splitlines() if str(cache) in line]
            assert f"{12 - 2 * int(limit)} replies" in told
            assert "without --limit" in told
            assert len(read_jsonl(tmp_path / "out.jsonl")) == int(limit)
        assert len(server.arrivals) == 12
        whole = cli(*RUN, *at(server))
        assert whole.returncode == 0, whole.stderr
        assert (len(server.arrivals), server.sent_again) == (16, 0)
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 8
    assert not cache.exists()


def test_a_limited_run_that_used_every_reply_is_over(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))
    with FaultServer() as server:
        cut_short(cli, server, *RUN, calls=2)
        limited = cli(*RUN, *at(server), "--limit", "2")
    assert limited.returncode == 0, limited.stderr
    assert "--limit" not in limited.stderr
    assert not (tmp_path / "out.jsonl.cache").exists()


def test_a_restart_replaces_the_file_of_the_run_before_only_if_forced(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    other = [*RUN, "--restart", "--grader-model", "other"]
    with FaultServer(no_score) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        written, sent = (tmp_path / "out.jsonl").read_bytes(), len(server.arrivals)
        server.script = steady
        refused = cli(*other, *at(server))
        assert refused.returncode == 2
        assert "out.jsonl: exists already" in refused.stderr
        assert "--force" in refused.stderr
        assert (tmp_path / "out.jsonl").read_bytes() == written
        assert len(server.arrivals) == sent
        # The run that was there is there still.
        server.script = no_score
        assert cli(*RUN, *at(server)).returncode == 3
        server.script = steady
        forced = cli(*other, "--force", *at(server))
    assert forced.returncode == 0, forced.stderr


# ------------------------------------------------------------------ going on


def in_folder(name: str) -> list[str]:
    return ["refine", f"{name}/in.jsonl", "-o", f"{name}/out.jsonl", "--max-iterations", "0"]


def test_a_folder_that_was_moved_goes_on_where_it_is(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write_jsonl(tmp_path / "here" / "in.jsonl", questions(2))
    with FaultServer() as server:
        cut_short(cli, server, *in_folder("here"))
        (tmp_path / "here").rename(tmp_path / "there")
        result = cli(*in_folder("there"), *at(server))
        assert result.returncode == 0, result.stderr
        assert (len(server.arrivals), server.sent_again) == (4, 0)


def test_after_exit_3_too_a_folder_may_be_moved(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    write_jsonl(tmp_path / "here" / "in.jsonl", questions(2))
    with FaultServer(no_score) as server:
        assert cli(*in_folder("here"), *at(server)).returncode == 3
        (tmp_path / "here").rename(tmp_path / "there")
        server.script = steady
        result = cli(*in_folder("there"), *at(server))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("tail", ["/", "/chat/completions"])
def test_another_spelling_of_the_same_endpoint_goes_on(cli: Cli, tmp_path: Path, tail: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        cut_short(cli, server, *RUN)
        result = cli(*RUN, "--base-url", server.url + tail, "--model", "scripted")
        assert result.returncode == 0, result.stderr
        assert (len(server.arrivals), server.sent_again) == (4, 0)


def test_input_from_a_process_goes_on(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    command = f'exec "$0" -m refinecli {RUN[0]} <(cat in.jsonl) {" ".join(RUN[2:])} "$@"'

    def run(*args: str) -> Result:
        return subprocess.run(
            ["bash", "-c", command, REFINECLI[0], *args],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        )

    with FaultServer() as server:
        cut_short(run, server)
        result = run(*at(server))
        assert result.returncode == 0, result.stderr
        assert (len(server.arrivals), server.sent_again) == (4, 0)


PAD = 20_000  # characters, so that a run has not read all of its input before its first reply


def spoils(path: Path, keep: int) -> Callable[[Arrival], str]:
    """`steady`, but as the first request comes, only so many bytes of the file are left."""

    def script(request: Arrival) -> str:
        if request.number == 0:
            os.truncate(path, keep)
        return steady(request)

    return script


def test_an_input_made_shorter_while_it_is_read_is_told_and_what_was_paid_for_is_kept(
    cli: Cli, tmp_path: Path
) -> None:
    rows = questions(60, pad="x" * PAD)
    whole = jsonl(rows)
    data = write_jsonl(tmp_path / "in.jsonl", rows)
    keep = len(jsonl(rows[:40]))
    with FaultServer(spoils(data, keep)) as server:
        result = cli(*RUN, *at(server), "--concurrency", "1", "--summary", "summary.json")
        assert result.returncode == 3, result.stderr
        assert "in.jsonl: 40 lines could be read of the 60" in result.stderr
        assert "every reply is kept" in result.stderr
        assert not (tmp_path / "out.jsonl").exists()
        assert summary(tmp_path / "summary.json")["calls"] == 80
        server.script = steady
        data.write_text(whole)
        again = cli(*RUN, *at(server))
        assert again.returncode == 0, again.stderr
        assert (len(server.arrivals), server.sent_again) == (120, 0)


def test_an_input_that_breaks_off_in_mid_run_ends_it_with_what_was_paid_for_kept(
    cli: Cli, tmp_path: Path
) -> None:
    rows = [{**row, "pad": os.urandom(PAD).hex()} for row in questions(40)]
    data = tmp_path / "in.jsonl.gz"
    data.write_bytes(whole := gzip.compress(jsonl(rows).encode()))
    run = ["refine", data.name, *RUN[2:]]
    with FaultServer(spoils(data, len(whole) // 2)) as server:
        result = cli(*run, *at(server), "--concurrency", "1", "--summary", "summary.json")
        assert result.returncode == 3, result.stderr
        assert "in.jsonl.gz: " in result.stderr
        assert "every reply is kept" in result.stderr
        assert summary(tmp_path / "summary.json")["calls"] > 1
        server.script = steady
        data.write_bytes(whole)
        again = cli(*run, *at(server))
        assert again.returncode == 0, again.stderr
        assert server.sent_again <= 1  # what was in flight
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 40


def test_a_restart_that_ends_early_can_be_run_again(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer(no_score) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        server.script = lambda request: "<score>0</score>"
        restarted = [*RUN[:-1], "1", "--restart", "--force"]
        cut_short(cli, server, *restarted, calls=1)
        result = cli(*restarted, *at(server))
    assert result.returncode == 0, result.stderr
    assert [status(row) for row in read_jsonl(tmp_path / "out.jsonl")] == ["done"] * 2


def test_a_parameter_that_is_refused_now_and_then_costs_no_reply_that_was_paid_for(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))

    def script(request: Arrival) -> str | Reply:
        if "seed" in request.body and not any(f"number {n}?" in request.text for n in range(3)):
            return error(400, "Unsupported parameter: 'seed' is not supported by this provider.")
        return steady(request)

    seeded = [*RUN, "--seed", "7"]
    with FaultServer(script) as server:
        cut_short(cli, server, *seeded, calls=12)
        assert any("seed" in a.body for a in server.arrivals if server.delivered[a.raw])
        assert any("seed" not in a.body for a in server.arrivals)
        result = cli(*seeded, *at(server))
        assert result.returncode == 0, result.stderr
        assert server.delivered.total() == 16
    assert "seed is not sent, as the call cache knows" in result.stderr


# ------------------------------------------------------------------ replies as they come


def raw_reply(text: bytes) -> bytes:
    return (
        b'{"choices": [{"message": {"role": "assistant", "content": "a' + text + b"z "
        b'<score>1</score>"}, "finish_reason": "stop"}]}'
    )


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(raw_reply(b"\xed\xa0\x80"), id="half a character"),
        pytest.param(raw_reply(b"\\ud83d"), id="half a character, escaped"),
        pytest.param(raw_reply(b"").decode().encode("utf-16"), id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + raw_reply(b""), id="byte order mark"),
    ],
)
def test_a_reply_in_a_strange_encoding_is_the_same_when_it_is_replayed(
    cli: Cli, tmp_path: Path, reply: bytes
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    command = ["refine", "in.jsonl", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer(lambda request: Reply(raw=reply)) as server:
        first = cli(*command, *at(server))
        assert first.returncode == 0, first.stderr
        again = cli(*command, *at(server))
        assert again.returncode == 0, again.stderr
        assert len(server.arrivals) == 2
    assert first.stdout == again.stdout


def test_a_reply_that_is_not_json_fails_its_row_alone(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    nearly = raw_reply(b"").replace(b"}]}", b"}]")

    def script(request: Arrival) -> str | Reply:
        return Reply(raw=nearly) if "number 0?" in request.text else steady(request)

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "--set", "policy.retries=0")
    assert result.returncode == 3
    assert "(bad_reply 1)" in result.stderr
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [status(row) for row in rows] == ["error", "done"]


# ------------------------------------------------------------------ what ends a run, and what a row


def test_rows_that_always_fail_fail_alone(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(12))

    def script(request: Arrival) -> str | Reply:
        fails = any(f"number {n}?" in request.text for n in range(7, 12))
        return error(500, "the template crashed") if fails else steady(request)

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "--set", "policy.retries=1")
    assert result.returncode == 3
    assert "7 done, 5 failed" in result.stderr
    assert "(server 5)" in result.stderr


def test_no_provider_is_asked_again_at_once_whatever_it_says(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))

    def script(request: Arrival) -> str | Reply:
        if request.earlier:
            return steady(request)
        status = 500 if request.mark % 2 else 409
        return error(status, "a moment", headers={"retry-after": "0"})

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "-v")
    assert result.returncode == 0, result.stderr
    waits = re.findall(r" 1 in ([\d.]+) s: (?:409|500)", result.stderr)
    assert len(waits) == 16
    assert "0.0" not in waits


def test_an_account_without_credit_ends_the_run_also_where_the_status_says_200(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    words = b'{"error": {"code": 402, "message": "Payment required"}}'
    with FaultServer(lambda request: Reply(raw=words)) as server:
        result = cli(*RUN, *at(server), "--concurrency", "1")
        assert len(server.arrivals) == 1
    assert result.returncode == 3
    assert "answered 402: Payment required" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_server_that_is_still_loading_is_no_mistake_of_the_command(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    loading = error(503, "Loading model")
    with ChatServer(lambda request: "", models_reply=loading) as server:
        result = cli(*RUN, "--base-url", server.url, "--set", "policy.retries=0")
        assert server.model_requests == 1
    assert result.returncode == 3
    assert "/models answered 503: Loading model" in result.stderr


# ------------------------------------------------------------------ limits and figures


def test_the_limit_of_one_role_holds_for_all_that_share_its_endpoint(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        result = cli(*RUN, *at(server), "--set", "grader.rpm=120", "--summary", "s.json")
    assert result.returncode == 0, result.stderr
    figures = summary(tmp_path / "s.json")
    # Two may go at once, and 118 a minute after them: four calls cannot take less.
    assert figures["calls"] == 4
    assert figures["seconds"] > 1


def test_a_token_budget_holds_where_replies_do_not_say_what_they_took(
    cli: Cli, tmp_path: Path
) -> None:
    rows = questions(12)
    write_jsonl(
        tmp_path / "in.jsonl", [row | {"rubric_items": [check_item("word")]} for row in rows]
    )
    answered: list[int] = []

    def script(request: Arrival) -> Reply:
        answered.append(server.delivered.total())
        return Reply("word " * 2_000, usage={})  # some 2,500 tokens

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "--max-total-tokens", "10000")
        assert result.returncode == 4
        assert len(server.arrivals) <= 4
        assert answered[1] == 1  # until one reply has shown how long they get, they go one by one


def test_an_error_that_rows_share_is_no_replayed_call(cli: Cli, tmp_path: Path) -> None:
    row = questions(1, response="Same.")[0]
    write_jsonl(tmp_path / "in.jsonl", [row | {"id": number} for number in range(6)])
    with FaultServer(lambda request: error(400, "no"), latency=0.3) as server:
        result = cli("grade", "in.jsonl", *at(server), "--summary", "s.json")
        sent = len(server.arrivals)
    assert result.returncode == 3
    figures = summary(tmp_path / "s.json")
    assert (figures["ungraded"], figures["calls"], figures["replayed"]) == (6, sent, 0)
    assert sent < 6


def test_a_dry_run_needs_no_cache_that_knows_the_model(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    command = ["refine", "in.jsonl", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer() as server:
        assert cli(*command, *at(server)).returncode == 0
        dry = cli(*command, "--dry-run", "--base-url", server.url)
        assert dry.returncode == 0, dry.stderr
        assert (len(server.arrivals), server.model_requests) == (2, 0)
    assert "Nothing was sent" in dry.stderr


# ------------------------------------------------------------------ what is told to nobody


@pytest.fixture
def refusing_proxy() -> Iterator[int]:
    """The port of a proxy that wants another password."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:  # closed
                return
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                connection.sendall(head + b"content-length: 0\r\nconnection: close\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_a_proxys_password_is_not_told(cli: Cli, tmp_path: Path, refusing_proxy: int) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    result = cli(
        *(*RUN, "-v", "--base-url", "https://example.invalid/v1", "--model", "m"),
        *("--set", "policy.retries=0"),
        env={"HTTPS_PROXY": f"http://user:swordfish@127.0.0.1:{refusing_proxy}"},
    )
    assert result.returncode == 3
    assert "the proxy answered 407" in result.stderr
    assert "swordfish" not in result.stderr


def test_the_values_of_headers_are_neither_kept_nor_told(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer(no_score) as server:
        for value, code in (("swordfish", 3), ("changed", 2)):
            config = f'[policy]\nheaders = {{"X-Tenant" = "{value}"}}\n'
            (tmp_path / "config.toml").write_text(config)
            result = cli(*RUN, *at(server), "--config", "config.toml")
            assert result.returncode == code, result.stderr
            assert server.arrivals[0].headers["x-tenant"] == "swordfish"
    assert "policy.headers.X-Tenant was" in result.stderr
    assert "swordfish" not in result.stderr
    assert b"swordfish" not in (tmp_path / "out.jsonl.cache").read_bytes()


def test_a_key_in_the_query_of_a_url_is_neither_logged_nor_kept(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer() as server:
        result = cli(
            *(*RUN, "-v", "--cache", "c.db", "--log-requests", "log.jsonl"),
            *("--base-url", f"{server.url}?key=swordfish", "--model", "m", "--max-calls", "1"),
        )
        assert result.returncode == 4, result.stderr
        assert "key=swordfish" in server.arrivals[0].path
    assert len(read_jsonl(tmp_path / "log.jsonl")) == 1
    assert "swordfish" not in result.stderr
    assert "key=[hidden]" in result.stderr.partition("this continues")[2]
    assert not [file.name for file in tmp_path.iterdir() if b"swordfish" in file.read_bytes()]


def test_nor_is_it_in_what_is_learned_or_asked_of_an_endpoint(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))

    def script(request: Arrival) -> str | Reply:
        if "temperature" in request.body:
            return error(400, "Unsupported parameter: 'temperature' is not supported.")
        return steady(request)

    command = ["refine", "in.jsonl", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer(script) as server:
        url = f"{server.url}?key=swordfish"
        result = cli(*command, "--base-url", url)
        assert result.returncode == 0, result.stderr
        assert b"swordfish" not in (tmp_path / "c.db").read_bytes()
        again = cli(*command, "--base-url", url, "--offline")
        assert again.returncode == 0, again.stderr
        unknown = cli(*command, "--base-url", f"{url}2", "--offline")
        assert unknown.returncode == 2
    gone = cli(*command, "--base-url", url)
    assert gone.returncode == 3
    with ChatServer(lambda request: "", models_reply=error(503, "Loading")) as loading:
        url = f"{loading.url}?key=swordfish"
        busy = cli(*command, "--base-url", url, "--set", "policy.retries=0")
        assert busy.returncode == 3
    for ended in (result, again, unknown, gone, busy):
        assert "swordfish" not in ended.stderr.partition("this continues")[0]

"""`--cache`, `--offline`, `--log-requests`: a cache that is kept, shared, never trusted blindly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_resume import names
from tests.conftest import (
    CLEAN,
    REFINE,
    REFINECLI,
    Result,
    Start,
    at,
    datapoint,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import Reply, error
from tests.support.fault_server import Arrival, Fault, FaultServer, questions, steady

Cli = Callable[..., Result]
KEY = "sk-secret-0123456789abcdef"
RUN = ["refine", "in.jsonl", "--cache", "c.db", "--strategy", "refine"]


def filled(cli: Cli, tmp_path: Path, server: FaultServer, count: int = 6) -> Result:
    """A whole run with `--cache c.db`; the server forgets it."""
    write_jsonl(tmp_path / "in.jsonl", questions(count))
    result = cli(*RUN, *at(server))
    assert result.returncode == 0, result.stderr
    server.forget()
    return result


# ------------------------------------------------------------------ kept and shared


def test_a_named_cache_is_kept_and_the_next_run_sends_nothing(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        write_jsonl(tmp_path / "in.jsonl", questions(6))
        first = cli(*RUN, *at(server), "-o", "one.jsonl", "--summary", "one.json")
        assert first.returncode == 0, first.stderr
        sent = len(server.arrivals)
        again = cli(*RUN, *at(server), "-o", "two.jsonl", "--summary", "two.json")
        assert again.returncode == 0, again.stderr
        assert len(server.arrivals) == sent
    one, two = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("one", "two"))
    assert (one["calls"], one["replayed"]) == (sent, 0)
    assert (two["calls"], two["replayed"]) == (0, sent)
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    kept = {"in.jsonl", "one.jsonl", "two.jsonl", "one.json", "two.json", "c.db"}
    assert names(tmp_path) == kept


def test_a_named_cache_is_for_its_owner_only(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        filled(cli, tmp_path, server)
    assert stat.S_IMODE((tmp_path / "c.db").stat().st_mode) == 0o600


def test_other_settings_share_the_replies_that_fit(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(10))
    with FaultServer() as server:
        for rounds in ("0", "1"):
            result = cli(*RUN, *at(server), "--max-iterations", rounds)
            assert result.returncode == 0, result.stderr
        assert server.sent_again == 0
        alone = cli(*REFINE, "in.jsonl", *at(server), "--max-iterations", "1")
    assert result.stdout == alone.stdout


def test_grade_shares_what_refine_has_paid_for(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        refined = filled(cli, tmp_path, server)
        (tmp_path / "refined.jsonl").write_text(refined.stdout)
        graded = cli("grade", "refined.jsonl", "--cache", "c.db", *at(server))
        assert graded.returncode == 0, graded.stderr
        assert server.arrivals == []
    assert len(read_jsonl(graded.stdout)) == 6


def _rubric(path: Path, *criteria: str) -> None:
    path.write_text(json.dumps([{"rubric_str": text} for text in criteria]))


@pytest.mark.parametrize(
    ("flags", "calls", "said"),
    [
        (["--cache", "c.db"], 2, None),
        ([], 4, "2 of these 4 calls were made for the file that was replaced, too: --cache PATH"),
    ],
)
def test_an_edited_rubric_asks_only_for_what_changed_or_says_what_a_cache_would_save(
    cli: Cli, tmp_path: Path, flags: list[str], calls: int, said: str | None
) -> None:
    rows = [{"convo": [{"role": "user", "content": n}], "response": n} for n in ("one", "two")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = ["grade", "in.jsonl", "-o", "out.jsonl", "--rubric", "r.json", *flags]
    with FaultServer(lambda request: "<score>1</score>") as server:
        _rubric(tmp_path / "r.json", "Is it short?", "Is it kind?")
        first = cli(*run, *at(server))
        assert first.returncode == 0, first.stderr
        assert ("the replies to these 4 calls are not kept" in first.stderr) is (said is not None)
        server.forget()
        _rubric(tmp_path / "r.json", "Is it short?", "Is it very kind?")
        second = cli(*run, "--force", *at(server))
        assert second.returncode == 0, second.stderr
        asked = server.arrivals
    assert len(asked) == calls
    assert sum(b"very kind" in request.raw for request in asked) == 2
    assert said is None or said in second.stderr
    assert ("an edited rubric asks" in second.stderr) is (said is not None)


def test_another_models_replies_are_never_used(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        filled(cli, tmp_path, server)
        other = cli(*RUN, "--base-url", server.url, "--model", "other")
        assert other.returncode == 0, other.stderr
        assert server.arrivals
        assert {request.body["model"] for request in server.arrivals} == {"other"}
        # A rewrite that asks the same is another sample; at temperature 0 there is but one.
        counts = [n for body, n in server.seen.items() if json.loads(body).get("temperature") == 0]
        assert counts
        assert all(count == 1 for count in counts)


def test_another_request_is_another_call(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        filled(cli, tmp_path, server, 3)
        for flags in (
            ["--set", "policy.temperature=0.5"],
            ["--set", "policy.max_tokens=9"],
            ["--set", "policy.extra_body={think=true}"],
            ["--seed", "1"],
        ):
            server.forget()
            result = cli(*RUN, *at(server), *flags)
            assert result.returncode == 0, result.stderr
            assert sum(not request.grades for request in server.arrivals) >= 3, flags


def test_another_endpoint_is_another_call(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server, FaultServer() as elsewhere:
        filled(cli, tmp_path, server)
        result = cli(*RUN, *at(elsewhere))
        assert result.returncode == 0, result.stderr
        assert len(elsewhere.arrivals) >= 12


def test_how_a_reply_is_fetched_is_no_part_of_it(cli: Cli, tmp_path: Path) -> None:
    fetching = ["--set", "policy.timeout=77", "--set", "policy.retries=1", "--concurrency", "1"]
    with FaultServer() as server:
        filled(cli, tmp_path, server, 3)
        for flags, tail in ((fetching, ""), ([], "/"), ([], "/chat/completions")):
            place = ["--base-url", server.url + tail, "--model", "scripted"]
            result = cli(*RUN, *place, *flags, env={"OPENAI_API_KEY": KEY})
            assert result.returncode == 0, result.stderr
            assert server.arrivals == [], (flags, tail)


def test_errors_are_not_kept(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))

    def script(request: Arrival) -> str | Reply:
        bad = "number 2?" in request.text and request.earlier == 0
        return error(400, "not this one") if bad else steady(request)

    with FaultServer(script) as server:
        run = [*RUN, "--max-iterations", "0", *at(server)]
        first = cli(*run)
        assert first.returncode == 3, first.stderr
        server.arrivals.clear()
        second = cli(*run)
        assert second.returncode in (0, 3), second.stderr
        assert server.arrivals
        assert all("number 2?" in request.text for request in server.arrivals)


@pytest.mark.parametrize("whole", [True, False])
def test_a_cache_that_was_ever_named_is_not_removed_by_the_run_whose_output_is_beside_it(
    cli: Cli, tmp_path: Path, whole: bool
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))
    cache = tmp_path / "out.jsonl.cache"
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
    with FaultServer() as server:
        budget = [] if whole else ["--max-calls", "0"]
        named = cli(*run[:2], *run[4:], "--cache", cache.name, *at(server), *budget)
        assert named.returncode == (0 if whole else 4), named.stderr
        sent = len(server.arrivals)
        result = cli(*run, *at(server), *budget)
        assert result.returncode == (0 if whole else 4), result.stderr
        assert result.stderr.count("named it with --cache") == 1
        assert len(server.arrivals) == sent  # what it has is used
    assert cache.exists()


def test_a_cache_that_is_named_while_its_run_goes_on_stays_when_that_is_over(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
    go = threading.Event()

    def script(request: Arrival) -> str | Reply:
        return Reply(steady(request), wait_for=None if "other" in request.body["model"] else go)

    with FaultServer(script) as server:
        process = start(*run, *at(server), stdin=subprocess.DEVNULL)
        server.wait_for_requests(2)
        other = ["--base-url", server.url, "--model", "other", "--cache", "out.jsonl.cache"]
        guest = cli(*REFINE, "in.jsonl", "-o", "guest.jsonl", *run[4:], *other)
        assert guest.returncode == 0, guest.stderr
        go.set()
        assert process.wait(30) == 0
        sent = len(server.arrivals)
        again = cli(*REFINE, "in.jsonl", "-o", "again.jsonl", *run[4:], *other)
        assert again.returncode == 0, again.stderr
        assert len(server.arrivals) == sent


# ------------------------------------------------------------------ replies without use


WITHOUT_USE = [
    pytest.param(Reply("It is fine."), id="no score"),
    pytest.param(Reply("<score>1</score>", finish_reason="length"), id="cut off"),
    pytest.param(Reply("", finish_reason="content_filter"), id="filtered"),
]


@pytest.mark.parametrize("reply", WITHOUT_USE)
def test_a_reply_without_use_is_not_replayed_by_another_run(
    cli: Cli, tmp_path: Path, reply: Reply
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    run = [*RUN, "--max-iterations", "0"]

    def useless(request: Arrival) -> str | Reply:
        if not request.grades:
            return steady(request)
        return reply if "number 1?" in request.text else "<score>1</score>"

    def useful(request: Arrival) -> str:
        return "<score>1</score>" if request.grades else steady(request)

    with FaultServer(useless) as server:
        first = cli(*run, "-o", "one.jsonl", *at(server))
        assert first.returncode == 3, first.stderr
        server.forget()
        server.script = useful
        second = cli(*run, "-o", "two.jsonl", *at(server))
        assert second.returncode == 0, second.stderr
        (asked,) = server.arrivals
        assert asked.grades
        assert "number 1?" in asked.text


def test_a_killed_run_with_a_named_cache_replays_what_it_could_not_use(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    release = threading.Event()
    run = [*RUN, "-o", "out.jsonl", "--max-iterations", "0"]

    def script(request: Arrival) -> str | Reply:
        if "number 2?" in request.text:
            return Reply(steady(request), wait_for=release)
        bad = request.grades and "number 0?" in request.text
        return "It is fine." if bad else "<score>1</score>"

    with FaultServer(script) as server:
        process = start(*run, *at(server), "-v", stdin=subprocess.DEVNULL)
        for line in iter(process.stderr.readline, b""):
            if b"q1: done" in line:
                break
        process.kill()
        process.wait(30)
        release.set()
        server.forget()
        server.script = steady
        second = cli(*run, *at(server))
        assert second.returncode == 3, second.stderr
        assert all("number 2?" in request.text for request in server.arrivals)


# ------------------------------------------------------------------ secrets


def _holding(folder: Path, word: str) -> set[str]:
    return {path.name for path in folder.rglob("*") if word.encode() in path.read_bytes()}


@pytest.mark.parametrize("header", ["Authorization", "api-key"])
def test_a_key_is_never_in_the_cache_even_if_the_server_repeats_it(
    cli: Cli, start: Start, tmp_path: Path, header: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))
    release = threading.Event()
    run = [*RUN, "-o", "out.jsonl", "--set", f"policy.api_key_header={header}", "-v"]
    env = {"OPENAI_API_KEY": KEY}

    def script(request: Arrival) -> str | Reply:
        told = f"<score>1</score> {request.headers[header.lower()]}"
        return Reply(told, wait_for=release) if "number 3?" in request.text else told

    with FaultServer(script) as server:
        process = start(*run, *at(server), env=env, stdin=subprocess.DEVNULL)
        for line in iter(process.stderr.readline, b""):
            if b"q2: done" in line:
                break
        assert _holding(tmp_path, KEY) == set()  # in the -wal neither
        release.set()
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert _holding(tmp_path, KEY) == set()
        server.forget()
        again = cli(*RUN, *at(server), "--set", f"policy.api_key_header={header}", env=env)
        assert server.arrivals == []
    assert again.stdout.encode() == (tmp_path / "out.jsonl").read_bytes()


def test_logged_requests_show_every_call_and_no_key(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(4))
    env = {"OPENAI_API_KEY": KEY}
    run = ["refine", "in.jsonl", "--max-iterations", "0"]
    began = datetime.now(UTC)
    with FaultServer() as server:
        quiet = cli(*run, *at(server), "-v", env=env)
        logged = cli(*run, *at(server), "--log-requests", "log.jsonl", env=env)
    assert logged.returncode == 0, logged.stderr
    text = (tmp_path / "log.jsonl").read_text()
    assert KEY not in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) >= 8
    for line in lines:
        assert began - timedelta(milliseconds=1) <= datetime.fromisoformat(line["time"])
        assert line["seconds"] >= 0
    for number in range(4):
        assert f"What is the name of number {number}?" in text
    assert "What is the name" not in quiet.stderr
    assert KEY not in quiet.stderr
    assert stat.S_IMODE((tmp_path / "log.jsonl").stat().st_mode) == 0o600


def test_logged_requests_show_what_was_lost_and_that_it_was_sent_again(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))

    def breaks_off_once(request: Arrival) -> str | Reply:
        return steady(request) if request.earlier else Fault(reset=True)

    with FaultServer(breaks_off_once) as server:
        run = ["refine", "in.jsonl", "--max-iterations", "0", "--log-requests", "log.jsonl"]
        result = cli(*run, *at(server))
    assert result.returncode == 0, result.stderr
    lines = read_jsonl(tmp_path / "log.jsonl")
    asked = [line["request"]["messages"] for line in lines]
    assert [line.get("status") for line in lines] == [None, 200, None, 200]
    assert [asked[0], asked[2]] == [asked[1], asked[3]]
    for line in (lines[0], lines[2]):
        assert line["error"]["type"] == "connection"
        assert line["error"]["message"]
        assert "reply" not in line


def test_a_log_of_requests_that_cannot_be_written_is_found_before_anything_is_sent(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1))
    with FaultServer() as server:
        result = cli(*REFINE, "in.jsonl", *at(server), "--log-requests", "nowhere/log.jsonl")
        assert server.arrivals == []
    assert result.returncode == 2, result.stderr
    assert "nowhere/log.jsonl" in result.stderr


def test_waiting_for_a_cache_that_another_process_holds_is_told(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        run = ["refine", "in.jsonl", "--cache", "c.db", *at(server), "--max-iterations", "0"]
        assert cli(*run).returncode == 0
        holder = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        process = start(*run, stdin=subprocess.DEVNULL)
        told = iter(process.stderr.readline, b"")
        assert any(b"c.db: waiting for another process" in line for line in told)
        assert process.poll() is None
        holder.execute("ROLLBACK")
        holder.close()
        assert process.wait(30) == 0


# ------------------------------------------------------------------ offline


def test_a_full_cache_needs_no_provider_no_key_and_no_right_to_write(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(6))
    run = [*RUN, "--model", "scripted", "--set", "policy.api_key_env=MY_KEY"]
    with FaultServer() as server:
        place = {"OPENAI_BASE_URL": server.url}
        first = cli(*run, env=place | {"MY_KEY": KEY})
        assert first.returncode == 0, first.stderr
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    tmp_path.chmod(0o555)
    (tmp_path / "c.db").chmod(0o444)
    try:
        result = cli(*run, "--offline", "--concurrency", "2", env=place)
    finally:
        tmp_path.chmod(0o755)
    assert result.returncode == 0, result.stderr
    assert result.stdout == first.stdout
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert after == before


_READ_ONLY = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && exec "$@"'


def test_a_file_system_that_is_read_only_is_enough_offline(cli: Cli, tmp_path: Path) -> None:
    inside = [shutil.which("unshare") or "", "-rm", "sh", "-c", _READ_ONLY, "sh"]
    allowed = inside[0] and subprocess.run([*inside, "true"], cwd=tmp_path, capture_output=True)
    if not allowed or allowed.returncode:
        pytest.skip("a read-only file system was NOT tried: unshare -rm is not permitted here")
    with FaultServer() as server:
        first = filled(cli, tmp_path, server)
        result = subprocess.run(
            [*inside, *REFINECLI, *RUN, *at(server), "--offline"],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert server.arrivals == []
    assert result.returncode == 0, result.stderr
    assert result.stdout == first.stdout


@pytest.mark.parametrize("flag", ["--offline", "--dry-run"])
def test_a_link_to_a_cache_that_is_being_written_has_all_that_is_in_it(
    cli: Cli, start: Start, tmp_path: Path, flag: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    (tmp_path / "there").mkdir()
    (tmp_path / "link.db").symlink_to("there/c.db")
    run = ["refine", "in.jsonl", "--max-iterations", "0", "--cache"]
    release = threading.Event()

    def script(request: Arrival) -> str | Reply:
        held = "number 2?" in request.text
        return Reply(steady(request), wait_for=release if held else None)

    with FaultServer(script) as server:
        writing = start(*run, "there/c.db", *at(server), stdin=subprocess.DEVNULL)
        assert b"q0" in writing.stdout.readline()
        assert b"q1" in writing.stdout.readline()
        assert (tmp_path / "there" / "c.db-wal").exists()
        result = cli(*run, "link.db", *at(server), "--limit", "2", flag)
        release.set()
        writing.communicate(timeout=30)
    assert result.returncode == 0, result.stderr
    if flag == "--offline":
        assert [row["id"] for row in read_jsonl(result.stdout)] == ["q0", "q1"]
    else:
        assert "at most 0 calls (4 more are cached)" in result.stderr


def test_offline_a_missing_call_fails_its_datapoint_and_is_named(cli: Cli, tmp_path: Path) -> None:
    with FaultServer() as server:
        first = filled(cli, tmp_path, server, 4)
        write_jsonl(tmp_path / "in.jsonl", questions(6))
        result = cli(*RUN, *at(server), "--offline", "--summary", "summary.json")
        assert server.arrivals == []
    assert result.returncode == 3, result.stderr
    assert result.stdout.startswith(first.stdout)
    *_, last = read_jsonl(result.stdout)
    assert last["error"]["type"] == "offline"
    for word in ("policy", "scripted", f"127.0.0.1:{server.port}"):
        assert word in last["error"]["message"]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["done"], summary["failed"], summary["calls"]) == (4, 2, 0)
    assert summary["errors"] == {"offline": 2}
    assert "offline" in result.stderr


def test_offline_a_missing_grade_leaves_its_datapoint_ungraded_and_is_named(
    cli: Cli, tmp_path: Path
) -> None:
    with FaultServer() as server:
        filled(cli, tmp_path, server, 2)
        result = cli(*RUN, *at(server), "--offline", "--grader-model", "other")
        assert server.arrivals == []
    assert result.returncode == 3, result.stderr
    for row in read_jsonl(result.stdout):
        assert row["score"] is None
        (grade,) = row["refinement"]["iterations"][0]["grades"]
        assert grade["error"]["type"] == "offline"
        assert "grader" in grade["error"]["message"]
        assert "other" in grade["error"]["message"]


def test_offline_adds_no_reply_to_the_cache_and_the_same_command_online_goes_on_from_there(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(6))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
    with FaultServer() as server:
        assert cli(*run, *at(server), "--max-calls", "4").returncode == 4
        kept = _replies(tmp_path / "out.jsonl.cache")
        offline = cli(*run, *at(server), "--offline")
        assert offline.returncode == 3, offline.stderr
        assert "without --offline" in offline.stderr
        assert _replies(tmp_path / "out.jsonl.cache") == kept
        last = cli(*run, *at(server))  # it knows the file that was written offline
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 6


def _replies(path: Path) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM replies ORDER BY key").fetchall()


@pytest.mark.parametrize("flags", [["--cache", "none.db"], ["-o", "out.jsonl"], []], ids=str)
def test_offline_without_a_cache_says_so_and_makes_none(
    cli: Cli, tmp_path: Path, flags: Sequence[str]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        result = cli(*REFINE, "in.jsonl", *at(server), "--offline", *flags)
        assert server.arrivals == []
    assert result.returncode in (2, 3), result.stderr
    assert "cache" in result.stderr
    assert not list(tmp_path.glob("*none.db*")) + list(tmp_path.glob("*.cache*"))


def test_offline_an_endpoint_is_not_asked_for_its_models_either(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        assert cli(*RUN, "--base-url", server.url).returncode == 0
        server.forget()
        asked = server.model_requests
        result = cli(*RUN, "--base-url", server.url, "--offline")
        assert server.model_requests == asked
        assert server.arrivals == []
    assert result.returncode in (0, 2), result.stderr
    if result.returncode:
        assert "--model" in result.stderr


# ------------------------------------------------------------------ not our file, or no longer


def _garbage(path: Path, whole: bytes) -> None:
    path.write_bytes(b"no database, but somebody's notes\n" * 50)


def _cut(path: Path, whole: bytes) -> None:
    path.write_bytes(whole[: len(whole) // 2])


def _foreign(path: Path, whole: bytes) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (id INTEGER PRIMARY KEY, text TEXT)")
    connection.execute("INSERT INTO letters (text) VALUES ('dear')")
    connection.commit()
    connection.close()


def _scratched(path: Path, whole: bytes) -> None:
    """All but the first page is overwritten, as a broken disk does."""
    size = int.from_bytes(whole[16:18], "big") or 4096
    size = 65536 if size == 1 else size
    path.write_bytes(whole[:size] + b"\xa5" * (len(whole) - size))


@pytest.mark.parametrize("place", ["c.db", "out.jsonl.cache"])
def test_a_file_that_is_no_whole_cache_is_named_and_left_alone(
    cli: Cli, tmp_path: Path, place: str
) -> None:
    flags = ["--cache", "c.db"] if place == "c.db" else ["-o", "out.jsonl"]
    with FaultServer() as server:
        filled(cli, tmp_path, server, 8)
        (tmp_path / "c.db").rename(tmp_path / place)
        whole = (tmp_path / place).read_bytes()
        for harm in (_garbage, _cut, _foreign, _scratched):
            harm(tmp_path / place, whole)
            harmed = (tmp_path / place).read_bytes()
            for offline in ([], ["--offline"]):
                result = cli(*REFINE, "in.jsonl", *at(server), *flags, *offline)
                told = (harm.__name__, offline, result.stderr)
                assert result.returncode == 2, told
                assert place in result.stderr, told
                assert "hint" in result.stderr, told
                assert "Traceback" not in result.stderr, told
                assert (tmp_path / place).read_bytes() == harmed, told
                assert names(tmp_path) == {"in.jsonl", place}, told
        assert server.arrivals == []


def test_the_input_or_a_folder_is_no_cache(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    (tmp_path / "folder").mkdir()
    before = (tmp_path / "in.jsonl").read_bytes()
    with FaultServer() as server:
        for flags in (
            ["--cache", "in.jsonl"],
            ["--cache", "folder"],
            ["--cache", "nowhere/c.db"],
            ["--cache", "out.jsonl", "-o", "out.jsonl"],
        ):
            result = cli(*REFINE, "in.jsonl", *at(server), *flags)
            assert result.returncode == 2, (flags, result.stderr)
            assert flags[1] in result.stderr
        assert server.arrivals == []
    assert (tmp_path / "in.jsonl").read_bytes() == before
    assert names(tmp_path) == {"in.jsonl", "folder"}


def test_an_empty_file_is_a_cache_that_holds_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.db").touch()
    with FaultServer() as server:
        filled(cli, tmp_path, server, 2)
        again = cli(*RUN, *at(server))
        assert again.returncode == 0, again.stderr
        assert server.arrivals == []


def test_a_cache_that_may_not_be_written_is_found_before_anything_is_sent(
    cli: Cli, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("the superuser may write everywhere")
    with FaultServer() as server:
        filled(cli, tmp_path, server, 2)
        (tmp_path / "c.db").chmod(0o444)
        write_jsonl(tmp_path / "in.jsonl", questions(3))
        result = cli(*RUN, *at(server))
        assert server.arrivals == []
    assert result.returncode == 2, result.stderr
    assert "c.db" in result.stderr


def test_a_dry_run_neither_makes_nor_changes_a_cache(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        for flags in ([], ["-o", "out.jsonl"], ["--cache", "c.db"]):
            result = cli("refine", "in.jsonl", *at(server), *flags, "--dry-run")
            assert result.returncode == 0, result.stderr
        assert names(tmp_path) == {"in.jsonl"}
        filled(cli, tmp_path, server, 2)
        before = (tmp_path / "c.db").read_bytes()
        full = cli(*RUN, *at(server), "--dry-run")
        assert full.returncode == 0, full.stderr
        assert server.arrivals == []
    assert (tmp_path / "c.db").read_bytes() == before


# ------------------------------------------------------------------ two at once


@pytest.mark.parametrize("death", [False, True], ids=["both live", "one is killed"])
def test_two_runs_at_once_share_a_cache_and_pay_once(
    cli: Cli, start: Start, tmp_path: Path, death: bool
) -> None:
    # One goes through the rows forwards and the other backwards: they meet in the middle, and only
    # what is in flight where they meet can be sent twice.
    rows = questions(120)
    write_jsonl(tmp_path / "up.jsonl", rows)
    write_jsonl(tmp_path / "down.jsonl", rows[::-1])
    in_flight = 4
    flags = ["--cache", "c.db", "--max-iterations", "0", "--concurrency", str(in_flight)]
    with FaultServer(latency=0.01) as server:

        def started(name: str) -> Any:
            run = [*REFINE, f"{name}.jsonl", "-o", f"{name}-out.jsonl", *flags]
            return start(*run, *at(server), stdin=subprocess.DEVNULL)

        up, down = started("up"), started("down")
        if death:
            server.wait_for_requests(60)
            down.kill()
            down.communicate(timeout=30)
            down = started("down")
        errors = [process.communicate(timeout=60)[1].decode() for process in (up, down)]
        again, sent = server.sent_again, len(server.seen)
    assert (up.returncode, down.returncode) == (0, 0), errors
    assert not any("locked" in text or "Traceback" in text for text in errors)
    assert sent == 240
    # Where they meet, each of the rows in work may be met twice: for its answer and its grade.
    assert again <= 4 * in_flight + (in_flight if death else 0)
    forwards, backwards = (read_jsonl(tmp_path / f"{n}-out.jsonl") for n in ("up", "down"))
    assert forwards == backwards[::-1]
    assert (tmp_path / "c.db").exists()


def test_many_runs_may_make_one_cache_at_the_same_moment(start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    with FaultServer(latency=0.01) as server:
        runs = [
            start(*RUN, "-o", f"{n}.jsonl", *at(server), stdin=subprocess.DEVNULL) for n in range(4)
        ]
        ends = [(run.communicate(timeout=60)[1].decode(), run.returncode) for run in runs]
    assert [code for _, code in ends] == [0] * 4, ends
    assert len({(tmp_path / f"{n}.jsonl").read_bytes() for n in range(4)}) == 1


def test_equal_rows_of_two_inputs_have_the_same_first_sample(cli: Cli, tmp_path: Path) -> None:
    def drawn(request: Arrival) -> str:
        graded = "<score>1</score>"
        return graded if request.grades else f"Answer {request.mark}, {request.earlier}."

    with FaultServer(drawn) as server:
        once = cli(*REFINE, "--cache", "c.db", *at(server), stdin=jsonl([datapoint(id=1)]))
        twice = cli(
            *REFINE, "--cache", "c.db", *at(server), stdin=jsonl([datapoint(id=n) for n in (1, 2)])
        )
    one, (first, second) = read_jsonl(once.stdout)[0], read_jsonl(twice.stdout)
    assert first["response"] == one["response"] != second["response"]


@pytest.mark.parametrize("together", [[], ["--set", "grade.batch_items=9"]], ids=["alone", "batch"])
def test_an_items_weight_asks_nobody_and_its_text_asks_the_calls_that_it_stands_in(
    cli: Cli, tmp_path: Path, together: list[str]
) -> None:
    rows = [{"convo": [{"role": "user", "content": n}], "response": n} for n in ("one", "two")]
    write_jsonl(tmp_path / "in.jsonl", rows)

    def script(request: Arrival) -> str:
        names = re.findall('<criterion name="(.*?)">', request.last)
        (code,) = set(re.findall("<response-([0-9a-f]{12})>", request.last))
        said = (f'<grade-{code} name="{n}"><score>1</score></grade-{code}>' for n in names)
        return "".join(said) or "<score>1</score>"

    def asked(name: str, *rubric: dict[str, object]) -> int:
        (tmp_path / "r.json").write_text(json.dumps(rubric))
        server.forget()
        run = ["grade", "in.jsonl", "-o", name, "--rubric", "r.json", "--cache", "c.db"]
        result = cli(*run, *together, *at(server))
        assert result.returncode == 0, result.stderr
        return len(server.arrivals)

    short, kind = {"name": "a", "rubric_str": "Short?"}, {"name": "b", "rubric_str": "Kind?"}
    with FaultServer(script) as server:
        assert asked("one.jsonl", short, kind) == (2 if together else 4)
        assert asked("two.jsonl", short, kind | {"weight": 3, "required": True}) == 0
        assert asked("three.jsonl", short, kind | {"rubric_str": "Very kind?"}) == 2
    shown = cli("report", "two.jsonl", "three.jsonl").stdout
    assert "1 item changed, 2 calls, 0 verdicts flipped: b edited, weight 3 → 1" in shown

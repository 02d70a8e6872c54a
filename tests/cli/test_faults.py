"""Faults of a provider, many at once: everything is done, nothing twice, nothing is lost."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_resume import impatient, told_command
from tests.conftest import CLEAN, REFINECLI, Result, Start, at, read_jsonl, write_jsonl
from tests.support.chat_server import Reply, error
from tests.support.fault_server import Arrival, Fault, FaultServer, questions, steady

Cli = Callable[..., Result]
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
# A stalled call is given up after this; a reply that is merely slow comes well before.
PATIENT = ["--set", "policy.timeout=3"]

PAGE = "<html><body>502 Bad Gateway</body></html>"


def _passing(request: Arrival) -> str:
    return "<score>1</score>" if request.grades else steady(request)


# What comes in place of an answer, each for one request in ten; a burst lasts two tries.
FAULTS: list[Callable[[Arrival], Reply | None]] = [
    lambda request: error(429, "slow down", headers={"retry-after": "1"}),
    lambda request: error(429, "slow down"),
    lambda request: error((500, 502, 503, 529)[request.mark // 10 % 4], "it broke"),
    lambda request: Fault(reset=True),
    lambda request: Fault(stall=True),
    lambda request: Reply(_passing(request), truncate=True),
    lambda request: Reply(raw=b'{"choices": [{"message": {"content": "I am not wh'),
    lambda request: Reply(raw=b'{"id": "1", "object": "chat.completion", "choices": []}'),
    lambda request: Fault(raw=PAGE.encode(), content_type="text/html"),
    lambda request: None,
]
BURST = 2


def faulty(request: Arrival) -> str | Reply:
    """Answer, but only after the fault that the request's own number decides."""
    kind = request.mark % 10
    fault = FAULTS[kind](request)
    tries = 2 if kind == BURST else 1
    if fault is not None and request.earlier < tries:
        return fault
    if request.mark // 100 % 10 == 0:  # a whole reply under a wrong name
        return Fault(_passing(request), content_type="text/plain")
    return _passing(request)


def test_everything_is_done_once_whatever_the_provider_does(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(1000))
    with FaultServer(faulty) as server:
        result = cli(*RUN, *at(server), *PATIENT, "--concurrency", "256", seconds=110)
        kinds = Counter(request.mark % 10 for request in server.arrivals if not request.earlier)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"q{number}" for number in range(1000)]
    assert {row["refinement"]["status"] for row in rows} == {"done"}
    assert len(server.delivered) == 2000
    assert max(server.delivered.values()) == 1
    assert all(kinds[kind] > 100 for kind in range(10))


def test_a_kill_amid_faults_loses_nothing_either(cli: Cli, start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(100))
    run = [*RUN, *PATIENT, "--concurrency", "64"]
    with FaultServer(_passing) as server:
        whole = cli(*run, *at(server))
        assert whole.returncode == 0, whole.stderr
        expected = (tmp_path / "out.jsonl").read_bytes()
        (tmp_path / "out.jsonl").unlink()
        server.forget()
        server.script = faulty
        process = start(*run, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_for_requests(150)
        process.kill()
        process.wait(30)
        delivered = server.delivered.total()
        last = cli(*run, *at(server))
    assert last.returncode == 0, last.stderr
    assert delivered < 200
    assert server.delivered.total() <= 200 + 64
    assert len(server.delivered) == 200
    assert (tmp_path / "out.jsonl").read_bytes() == expected


def _number(request: Arrival) -> int:
    """Which of the questions a request is about."""
    return int(request.text.partition("number ")[2].partition("?")[0])


def test_a_status_that_can_pass_by_itself_is_tried_again(cli: Cli, tmp_path: Path) -> None:
    statuses = [408, 409, 425, 429, 500, 502, 503, 504, 520, 529]
    write_jsonl(tmp_path / "in.jsonl", questions(len(statuses)))

    def script(request: Arrival) -> str | Reply:
        if request.earlier:
            return _passing(request)
        return error(statuses[_number(request)], "later", headers={"retry-after-ms": "1"})

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server))
    assert result.returncode == 0, result.stderr
    assert set(server.seen.values()) == {2}


def test_a_refusal_ends_its_datapoint_and_is_not_tried_again(cli: Cli, tmp_path: Path) -> None:
    statuses = [400, 413, 422, None]
    write_jsonl(tmp_path / "in.jsonl", questions(len(statuses)))

    def script(request: Arrival) -> str | Reply:
        status = statuses[_number(request)]
        return error(status, "no") if status else _passing(request)

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server))
    assert result.returncode == 3, result.stderr
    assert server.sent_again == 0
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert ["error" in row for row in rows] == [True, True, True, False]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "this key is refused"),
        (403, "this key is refused"),
        (402, "your credit balance is too low"),
        (429, "You exceeded your current quota, insufficient_quota"),
    ],
)
def test_what_every_call_would_meet_ends_the_run_in_mid_run_and_it_continues(
    cli: Cli, tmp_path: Path, status: int, words: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(30))
    run = [*RUN, "--concurrency", "4"]

    def script(request: Arrival) -> str | Reply:
        return error(status, words) if request.number >= 20 else _passing(request)

    with FaultServer(script) as server:
        first = cli(*run, *at(server))
        assert first.returncode == 3, first.stderr
        assert words in first.stderr
        assert len(server.arrivals) <= 28  # it ended at once
        assert not (tmp_path / "out.jsonl").exists()
        server.script = _passing
        second = cli(*told_command(first.stderr))
    assert second.returncode == 0, second.stderr
    assert server.sent_again <= 8
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [
        f"q{number}" for number in range(30)
    ]


@pytest.mark.parametrize("status", [403, 404, 405, 302])
def test_a_row_that_alone_is_refused_does_not_end_a_run_that_works(
    cli: Cli, tmp_path: Path, status: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))

    def script(request: Arrival) -> str | Reply:
        return error(status, "blocked") if _number(request) == 5 else _passing(request)

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "--concurrency", "1")
    assert result.returncode == 3, result.stderr
    assert "1 of 8 datapoints failed" in result.stderr
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert ["error" in row for row in rows] == [number == 5 for number in range(8)]


def test_the_refusal_that_ends_a_run_costs_nothing_that_is_in_flight_and_none_twice(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))

    def script(request: Arrival) -> str | Reply:
        return error(403, "blocked") if _number(request) == 0 else _passing(request)

    with FaultServer(script, latency=0.2) as server:
        first = cli(*RUN, *at(server))
        assert first.returncode == 3, first.stderr
        assert "403: blocked" in first.stderr
        assert len(server.arrivals) == 8
        second = cli(*told_command(first.stderr))
    assert second.returncode == 3, second.stderr
    assert "1 of 8 datapoints failed" in second.stderr
    assert server.sent_again == 1


@pytest.mark.parametrize("fault", ["errors", "silence", "refusals to talk"])
def test_a_provider_that_answers_nothing_any_more_ends_the_run_resumably(
    cli: Cli, tmp_path: Path, fault: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(200))
    run = [*RUN, "--concurrency", "16", "--set", "policy.timeout=1"]

    def script(request: Arrival) -> str | Reply:
        if request.number < 100:
            return _passing(request)
        if fault == "errors":
            return error(500, "we are down")
        return Fault(stall=True) if fault == "silence" else Fault(reset=True)

    with FaultServer(script) as server:
        process = impatient(tmp_path, *run, *at(server))
        err = process.communicate(timeout=60)[1].decode()
        assert process.returncode == 3, err
        assert not (tmp_path / "out.jsonl").exists()
        assert f"127.0.0.1:{server.port}" in err
        # It has not gone through all the rest to fail each of them.
        assert len(server.seen) < 150
        server.script = _passing
        second = cli(*told_command(err))
        assert second.returncode == 0, second.stderr
        assert max(server.delivered.values()) == 1
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert {row["refinement"]["status"] for row in rows} == {"done"}
    assert len(rows) == 200


def test_one_row_that_always_fails_does_not_end_the_run(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(60))

    def script(request: Arrival) -> str | Reply:
        if "number 1?" in request.text:
            return error(500, "not this one", headers={"retry-after-ms": "1"})
        return _passing(request)

    with FaultServer(script) as server:
        result = cli(*RUN, *at(server), "--concurrency", "4", "--set", "policy.retries=2")
    assert result.returncode == 3, result.stderr
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert len(rows) == 60
    assert [row["id"] for row in rows if "error" in row] == ["q1"]


def test_rows_that_are_all_refused_one_by_one_are_no_lost_provider(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(60))
    with FaultServer(lambda request: error(400, "I do not like this prompt")) as server:
        result = cli(*RUN, *at(server), "--concurrency", "4")
    assert result.returncode == 3, result.stderr
    assert len(server.arrivals) == 60
    assert {row["error"]["type"] for row in read_jsonl(tmp_path / "out.jsonl")} == {"bad_request"}


def test_few_open_files_mean_fewer_requests_in_flight_and_no_failures(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(200))
    with FaultServer(_passing, latency=0.05) as server:
        words = [*REFINECLI, *RUN, *at(server), "--concurrency", "500"]
        result = subprocess.run(
            ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", *words],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert result.returncode == 0, result.stderr
    assert "at most 36 requests in flight, since 100 files may be open" in result.stderr
    assert server.sent_again == 0

"""The benchmarks run; how fast anything is, is not asked here."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.benchmarks import jobs
from tests.benchmarks.__main__ import cells
from tests.benchmarks.jobs import Lab
from tests.benchmarks.measure import NotMeasuredError, Server, run
from tests.benchmarks.prefix import prefix


def test_a_job_is_measured_and_makes_lines_of_the_table(tmp_path: Path) -> None:
    figures = list(jobs.job(Lab(tmp_path, runs=1), datapoints=3, latency_ms=1))
    assert [figure.unit for figure in figures] == ["×", "ms"]
    assert all(figure.value > 0 for figure in figures)
    what, value, spread, target, _ = cells(figures[0])
    assert what.startswith("refinecli, 6 calls")
    assert value.endswith("×")
    assert (spread, target) == ("", "≤ 1.4")


def test_the_server_refuses_what_is_over_its_rate_and_counts_it() -> None:
    with Server(rate=0.001, burst=1, retry_after=2) as server:
        statuses = []
        for _ in range(2):
            connection = HTTPConnection(server.address, timeout=10)
            connection.request("POST", "/v1/chat/completions", body=b"{}")
            reply = connection.getresponse()
            statuses.append((reply.status, reply.headers["retry-after"]))
            connection.close()
        stats = server.stats()
    assert statuses == [(200, None), (429, "2")]
    assert (stats["requests"], stats["answered"], stats["refused"]) == (2, 1, 1)


def test_the_server_that_keeps_prefixes_serves_a_prompt_that_begins_like_an_answered_one() -> None:
    long = "word " * 2000

    def cached(server: Server, text: str) -> float:
        connection = HTTPConnection(server.address, timeout=10)
        body = json.dumps({"messages": [{"role": "user", "content": text}]})
        connection.request("POST", "/v1/chat/completions", body=body)
        connection.getresponse().read()
        connection.close()
        return float(server.stats()["cached_tokens"])

    with Server(prefixes=True) as server:
        assert cached(server, long + "?") == 0
        assert cached(server, "Other words: " + long) == 0
        assert cached(server, long + "!") == pytest.approx(2500, abs=128)
        server.reset()
        assert cached(server, long + "!") == 0


def test_the_lead_is_measured_by_what_the_cache_served_and_the_time_it_took(tmp_path: Path) -> None:
    figures = list(prefix(Lab(tmp_path, runs=1), latency_ms=1, files=((2, 8, 1.05),)))
    ratio, led, at_once = (figure.value for figure in figures)
    assert ratio > 0
    assert led > 0.6
    assert at_once < led


def test_a_command_that_fails_gives_its_error_instead_of_a_figure(tmp_path: Path) -> None:
    command = (*jobs.REFINECLI, "refine", tmp_path / "missing.jsonl")
    with pytest.raises(NotMeasuredError, match=r"^exit 2: .*missing\.jsonl"):
        run(command, tmp_path)

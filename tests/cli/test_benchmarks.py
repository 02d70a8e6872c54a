"""The benchmarks run, and the experiments on scale; how fast anything is, is not asked here."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.benchmarks import jobs, million
from tests.benchmarks.__main__ import cells
from tests.benchmarks.jobs import Lab
from tests.benchmarks.measure import NotMeasuredError, Server, run
from tests.benchmarks.prefix import prefix
from tests.experiments import ways


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


def rows_of_table(printed: str) -> list[list[str]]:
    """The cells of a Markdown table, without its head."""
    return [line.strip("| ").split(" | ") for line in printed.splitlines()[2:]]


def test_a_file_of_any_number_of_rows_is_measured_in_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["million", "--rows", "60", "--folder", str(tmp_path)])
    monkeypatch.setattr(million, "PARTS", 2)
    million.main()
    steps = {name: [rows, *rest] for name, rows, *rest in rows_of_table(capsys.readouterr().out)}
    assert steps["merge of 2"][-1].endswith("the bytes of the whole")
    assert "calls twice" in steps["refine, second half"][-1]
    assert steps["export --to sft"][-1].startswith("54 lines")
    assert steps["refine, all from the cache"][0] == "60"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", ["--shard", "--batch"])
def test_each_way_writes_equal_bytes_whole_and_after_a_kill(
    way: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ways", "-n", "20", "--latency", "0.02", f"--only={way}"])
    monkeypatch.setattr(ways, "PARTS", 2)
    monkeypatch.setattr(ways, "LOOKS_EVERY", 0.1)
    ways.main()
    table = rows_of_table(capsys.readouterr().out)
    assert [name for name, *_ in table] == ["plain", next(n for n, *_ in table if way in n)]
    assert all(
        (calls, *same) == ("80", "equal", "equal") for _, _, calls, *same in map(short, table)
    )


def short(cells: list[str]) -> list[str]:
    """The cells that do not depend on the machine."""
    name, wall, calls, same, _, _, same_after = cells
    return [name, wall, calls, same, same_after]

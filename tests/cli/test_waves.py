"""`--batch-files DIR`: a run in waves of requests, written to files and answered by files."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from refinecli.models.batch.wave_files import latest_wave
from tests.cli.test_adaptive import WORDS, written
from tests.conftest import Result, Start, at, check_item, datapoint, item, write_jsonl
from tests.support.batch_server import BatchServer
from tests.support.chat_server import ChatServer, Reply, Request, by_role

Cli = Callable[..., Result]
SCRIPT = by_role(written, lambda request: f"<score>{len(request.text) % 3 // 2}</score>")
# Nobody is there, and nothing knows a key.
NOWHERE = ["--base-url", "http://127.0.0.1:9/v1", "--model", "scripted"]


def rows(count: int) -> list[dict[str, Any]]:
    """Rows that a model and code grade, some of them the same."""
    return [
        datapoint(
            id=f"row {n}",
            convo=[{"role": "user", "content": f"Say something about {n % 5}."}],
            rubric_items=[*map(check_item, WORDS[:2]), item("Is it short?"), item("Is it kind?")],
        )
        for n in range(count)
    ]


def requests_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answered(entry: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """The line that a batch gives back for a request."""
    request = Request(number, entry["body"], {}, entry["url"])
    reply = SCRIPT(request)
    body = (Reply(reply) if isinstance(reply, str) else reply).body("scripted")
    response = {"status_code": 200, "request_id": "1", "body": json.loads(body)}
    return {"id": "1", "custom_id": entry["custom_id"], "response": response, "error": None}


def failed(entry: dict[str, Any], status: int) -> dict[str, Any]:
    response = {"status_code": status, "body": {"error": {"message": "out of order"}}}
    return {"custom_id": entry["custom_id"], "response": response, "error": None}


Answers = Callable[[list[dict[str, Any]]], Sequence[dict[str, Any]]]


def in_reverse(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answered(entry) for entry in reversed(entries)]


class WavesOfATest:
    """Runs a command until it needs no more waves, answering each; keeps what was asked."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.cli, self.folder = cli, folder / "waves"
        self.asked: list[dict[str, Any]] = []

    def run(self, *args: str, answers: Sequence[Answers] = ()) -> Result:
        for wave in range(1, 30):
            nowhere = () if "--base-url" in args else NOWHERE
            result = self.cli(*args, "--batch-files", "waves", *nowhere)
            if result.returncode != 5:
                return result
            assert latest_wave(self.folder) == wave, result.stderr
            for path in self.folder.glob(f"wave-{wave:03}*.jsonl"):
                entries = requests_in(path)
                self.asked += entries
                answer = answers[wave - 1] if wave <= len(answers) else in_reverse
                write_jsonl(self.folder / f"{path.stem}.out.jsonl", answer(entries))
        raise AssertionError("it never ends")


@pytest.fixture
def waves(cli: Cli, tmp_path: Path) -> WavesOfATest:
    return WavesOfATest(cli, tmp_path)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(SCRIPT) as server:
        yield server


@pytest.mark.parametrize(
    ("most", "options"),
    [
        (6, ["--strategy", "refine", "--max-iterations", "2"]),
        (2, ["--strategy", "best-of-n", "--drafts", "3"]),
        (6, ["--set", "refine.learn=false", "--max-iterations", "2"]),
        (8, ["--strategy", "self-refine", "--max-iterations", "2"]),
        (4, ["--strategy", "best-of-n", "--set", "grade.batch_items=2"]),
    ],
    ids=["refine", "best of n", "adaptive", "self-refine", "items together"],
)
def test_a_run_in_waves_writes_the_bytes_of_a_live_run_for_the_same_requests(
    cli: Cli,
    tmp_path: Path,
    server: ChatServer,
    waves: WavesOfATest,
    most: int,
    options: list[str],
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(12))
    args = ["refine", "in.jsonl", "--seed", "3", *options]
    live = cli(*args, "-o", "live.jsonl", *at(server), "--cache", "live.db")
    assert live.returncode == 0, live.stderr
    sent = len(server.requests)
    ended = waves.run(*args, "-o", "out.jsonl", *at(server))
    assert ended.returncode == 0, ended.stderr
    assert latest_wave(waves.folder) <= most
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "live.jsonl").read_bytes()
    assert len(server.requests) == sent
    assert bodies(entry["body"] for entry in waves.asked) == bodies(
        request.body for request in server.requests
    )
    assert not (tmp_path / "out.jsonl.cache").exists()


@pytest.mark.parametrize(
    "options",
    [
        ["--strategy", "refine", "--max-iterations", "1"],
        ["--strategy", "best-of-n", "--set", "refine.stop_when_passed=true"],
        ["--strategy", "rm-gallery", "--max-iterations", "1"],
    ],
    ids=["refine", "one draft after another", "rm-gallery"],
)
def test_a_dry_run_counts_the_next_wave_and_bounds_their_number(
    cli: Cli, tmp_path: Path, options: list[str]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(12))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", *options, "--batch-files", "waves", *NOWHERE]
    most = []
    for wave in range(1, 30):
        before = {path.name for path in tmp_path.rglob("*")}
        dry = cli(*run, "--dry-run")
        assert {path.name for path in tmp_path.rglob("*")} == before
        if cli(*run).returncode != 5:
            assert "no wave is needed: no reply is missing" in dry.stderr
            break
        entries = requests_in(tmp_path / "waves" / f"wave-{wave:03}.jsonl")
        assert f"next wave: number {wave}, {len(entries)} request" in dry.stderr
        assert "price" not in dry.stderr
        waiting = cli(*run, "--dry-run").stderr
        assert f"requests to be answered: {len(entries)} in waves/wave-{wave:03}" in waiting
        if wave == 4:  # the last grades: what they are of was kept, and is not all there is to ask
            live = cli(*run[: run.index("--batch-files")], *NOWHERE, "--dry-run")
            assert " 0 calls" not in live.stderr
        most.append(int(dry.stderr.partition("waves: at most ")[2].split()[0].strip(",;")))
        write_jsonl(tmp_path / "waves" / f"{wave}.jsonl", [answered(entry) for entry in entries])
    assert wave - 1 <= min(most)


def test_a_dry_run_in_waves_says_what_they_cost(cli: Cli, tmp_path: Path) -> None:
    text = "x" * 4000  # 1,000 tokens
    row = datapoint(convo=[{"role": "user", "content": text}], rubric_items=[check_item("red")])
    write_jsonl(tmp_path / "in.jsonl", [row])
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "refine", "--batch-files", "w"]
    prices = ["--set", "policy.input_price=2000", "--set", "policy.output_price=1000"]
    dry = cli(*run, *NOWHERE, *prices, "--dry-run").stderr
    assert "1 request, about 1,000 prompt tokens, $1.00 with no replies" in dry
    assert "price of 4 calls: at most about $4.00 with no replies" in dry
    dry = cli(*run, *NOWHERE, *prices, "--dry-run", "--set", "policy.max_tokens=1000").stderr
    assert "about 1,000 prompt tokens, $1.50 with replies of max_tokens" in dry
    assert "price of 4 calls: at most about $6.00 with replies of max_tokens" in dry
    assert not (tmp_path / "w").exists()


def bodies(found: Any) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in found)


def test_replies_of_waves_are_those_of_the_same_endpoint(
    cli: Cli, tmp_path: Path, server: ChatServer
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(3))
    args = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0", *at(server)]
    assert cli(*args, "--batch-files", "waves").returncode == 5
    entries = requests_in(tmp_path / "waves" / "wave-001.jsonl")
    write_jsonl(tmp_path / "waves" / "results.jsonl", [answered(entry) for entry in entries])
    assert cli(*args, "--batch-files", "waves").returncode == 5
    assert not server.requests
    assert cli(*args).returncode == 0  # the rest, live
    assert not [request for request in server.requests if not request.is_grading]


def test_a_request_is_a_line_of_openais_batches(tmp_path: Path, cli: Cli) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
    result = cli(*run, "--batch-files", "waves", *NOWHERE)
    assert result.returncode == 5
    assert "requests to be answered: 2 in waves/wave-001.jsonl" in result.stderr
    first, second = requests_in(tmp_path / "waves" / "wave-001.jsonl")
    assert set(first) == {"custom_id", "method", "url", "body"}
    assert (first["method"], first["url"]) == ("POST", "/v1/chat/completions")
    assert first["body"]["model"] == "scripted"
    assert first["custom_id"] != second["custom_id"]
    assert len(first["custom_id"]) <= 64


def test_until_results_come_the_wave_is_only_named_again(tmp_path: Path, cli: Cli) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--batch-files", "waves", *NOWHERE]
    run += ["--set", "refine.learn=false"]
    first, second = cli(*run), cli(*run)
    assert (first.returncode, second.returncode) == (5, 5)
    assert "requests to be answered: 2 in waves/wave-001.jsonl" in second.stderr
    assert [path.name for path in (tmp_path / "waves").glob("*.jsonl")] == ["wave-001.jsonl"]


def test_neither_others_results_nor_half_a_file_have_a_wave_asked_again(
    tmp_path: Path, cli: Cli
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0", *NOWHERE]
    run += ["--batch-files", "waves"]
    cli(*run)
    results = [answered(entry) for entry in requests_in(tmp_path / "waves" / "wave-001.jsonl")]
    strange = {"custom_id": f"wave001-try1-{'0' * 32}"}
    write_jsonl(tmp_path / "waves" / "other.jsonl", [{**one, **strange} for one in results])
    result = cli(*run)
    assert result.returncode == 5
    assert "2 results are there, all for other requests" in result.stderr
    path = tmp_path / "waves" / "coming.jsonl"
    write_jsonl(path, results)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    result = cli(*run)
    assert result.returncode == 5
    assert "waves/coming.jsonl:2: is half a line" in result.stderr
    path.write_bytes(whole.removesuffix(b"\n"))
    result = cli(*run)
    assert "without which 2 datapoints cannot continue" in result.stderr
    asked = requests_in(tmp_path / "waves" / "wave-002.jsonl")
    assert all("<criterion>" in json.dumps(entry) for entry in asked)


def test_a_folder_belongs_to_one_run_until_its_waves_are_over(
    tmp_path: Path, cli: Cli, waves: WavesOfATest
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    write_jsonl(tmp_path / "in2.jsonl", rows(3))
    options = ["--max-iterations", "0", "--batch-files", "waves", *NOWHERE]
    first = ["refine", "in.jsonl", "-o", "out.jsonl"]
    other = ["refine", "in2.jsonl", "-o", "out2.jsonl"]
    assert cli(*first, *options).returncode == 5
    refused = cli(*other, *options)
    assert refused.returncode == 2
    assert (
        'waves holds the waves of another run: input was "in.jsonl", is "in2.jsonl"; '
        'output was "../out.jsonl", is "../out2.jsonl"'
    ) in refused.stderr
    described = cli(*other, *options, "--dry-run")
    assert (described.returncode, described.stderr) == (2, refused.stderr)
    assert cli(*first, *options, "--dry-run").returncode == 0
    path = tmp_path / "waves" / "wave-001.jsonl"
    write_jsonl(tmp_path / "waves" / "r1.jsonl", map(answered, requests_in(path)))
    assert cli(*other, *options).returncode == 2  # its results are still to be read
    assert latest_wave(tmp_path / "waves") == 1
    assert cli(*other, *options, "--restart").returncode == 5  # unless they are given up
    assert cli(*first, *options).returncode == 2
    shutil.rmtree(tmp_path / "waves")
    (tmp_path / "out2.jsonl.cache").unlink()
    assert waves.run(*first, "--max-iterations", "0").returncode == 0
    assert cli(*other, *options).returncode == 5  # it is free again


@pytest.mark.parametrize("flags", [["--batch-files", "out.jsonl.batch"], ["--batch"]])
def test_two_processes_do_not_share_a_folder(
    tmp_path: Path, cli: Cli, start: Start, flags: list[str]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    holding, release = threading.Event(), threading.Event()

    def hold(at: str) -> None:
        holding.set()
        release.wait(30)

    run = ["refine", "in.jsonl", "--max-iterations", "0"]
    with BatchServer(SCRIPT, before=hold) as server:
        env = {"OPENAI_API_KEY": "sk-batch-key-0123456789"}
        first = [*run, "-o", "out.jsonl", "--batch", "--set", "run.batch_seconds=0.05"]
        process = start(*first, *at(server), stdin=subprocess.DEVNULL, env=env)
        assert holding.wait(30)
        # The output's own lock is free between two passes.
        second = cli(*run, "-o", "out.jsonl", *flags, *at(server), env=env)
        release.set()
        process.communicate(timeout=30)
    assert second.returncode == 2
    assert "out.jsonl.batch: another run is using it" in second.stderr
    assert process.returncode == 0
    assert not (tmp_path / "out.jsonl.batch").exists()


def test_in_a_folder_that_was_removed_nothing_is_asked_twice(tmp_path: Path, cli: Cli) -> None:
    run = ["refine", "in.jsonl", "--max-iterations", "0", "--batch-files", "waves", *NOWHERE]
    run += ["--cache", "calls.db"]
    asked = []
    for count in (1, 2):
        write_jsonl(tmp_path / "in.jsonl", rows(count))
        while cli(*run, "-o", f"{count}.jsonl").returncode == 5:
            for path in (tmp_path / "waves").glob("wave-???.jsonl"):
                entries = requests_in(path)
                write_jsonl(path.with_suffix(".out.jsonl"), map(answered, entries))
            latest = tmp_path / "waves" / f"wave-{latest_wave(tmp_path / 'waves'):03}.jsonl"
            asked += requests_in(latest)
        shutil.rmtree(tmp_path / "waves")
    assert len(asked) == 6
    assert len({entry["custom_id"] for entry in asked}) == 6


def test_what_is_missing_or_failed_is_asked_again_and_nothing_else(
    tmp_path: Path, waves: WavesOfATest
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(4))

    def in_part(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        one, two, three, _ = entries
        expired = {"custom_id": three["custom_id"], "response": None, "error": {"code": "expired"}}
        return [answered(one), failed(two, 500), expired]  # and nothing for the fourth

    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n", "--drafts", "1"]
    ended = waves.run(*run, answers=[in_part])
    assert ended.returncode == 0, ended.stderr
    first, second = (requests_in(waves.folder / f"wave-00{n}.jsonl") for n in (1, 2))
    again = [one["body"] for one in second if "-try2-" in one["custom_id"]]
    assert again == [one["body"] for one in first[1:]]
    assert len({entry["custom_id"] for entry in waves.asked}) == len(waves.asked)


def test_a_request_that_fails_as_often_as_it_may_fails_its_row_and_the_same_command_asks_again(
    tmp_path: Path, waves: WavesOfATest
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))

    def but_the_first(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            failed(entry, 500) if "about 0" in json.dumps(entry["body"]) else answered(entry)
            for entry in entries
        ]

    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n", "--drafts", "1"]
    run += ["--set", "policy.retries=1"]
    ended = waves.run(*run, answers=[but_the_first] * 2)
    assert ended.returncode == 3
    assert "out of order" in ended.stderr
    last = latest_wave(waves.folder)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [("error" in line) for line in lines] == [True, False]
    result = waves.cli(*run, "--batch-files", "waves", *NOWHERE)
    assert result.returncode == 5
    (again,) = requests_in(waves.folder / f"wave-{last + 1:03}.jsonl")
    assert "about 0" in json.dumps(again["body"])


def test_a_pass_that_is_killed_leaves_no_wave(tmp_path: Path, start: Start, cli: Cli) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(3000))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n"]
    run += ["--batch-files", "waves", *NOWHERE]
    process = start(*run, stdin=subprocess.DEVNULL)
    unfinished = tmp_path / "waves" / "wave-001.jsonl.partial"
    while not unfinished.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "waves" / "wave-001.jsonl").exists()
    assert cli(*run).returncode == 5
    assert len(requests_in(tmp_path / "waves" / "wave-001.jsonl")) == 4 * 3000
    assert not unfinished.exists()


def test_models_have_a_file_each(tmp_path: Path, cli: Cli) -> None:
    answers = [{**row, "response": "red"} for row in rows(2)]
    write_jsonl(tmp_path / "in.jsonl", answers)
    (tmp_path / "jury.toml").write_text(
        "[jury.one]\nmodel = 'org/one'\n[jury.two]\nmodel = 'two'\n"
    )
    run = ["grade", "in.jsonl", "-o", "out.jsonl", "--config", "jury.toml"]
    result = cli(*run, "--batch-files", "waves", *NOWHERE)
    assert result.returncode == 5
    names = {path.name for path in (tmp_path / "waves").glob("*.jsonl")}
    assert names == {"wave-001-org-one.jsonl", "wave-001-two.jsonl"}
    for name, model in (("org-one", "org/one"), ("two", "two")):
        entries = requests_in(tmp_path / "waves" / f"wave-001-{name}.jsonl")
        assert {entry["body"]["model"] for entry in entries} == {model}


def test_a_budget_bounds_the_wave(tmp_path: Path, cli: Cli) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(4))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "best-of-n", "--drafts", "1"]
    run += ["--batch-files", "waves", *NOWHERE]
    assert cli(*run, "--max-calls", "3").returncode == 4
    assert list((tmp_path / "waves").iterdir()) == []
    assert cli(*run, "--max-calls", "4").returncode == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "needs a call cache to keep the replies"),
        (["-o", "out.jsonl"], "in waves no row can learn from the rows before it"),
        (["-o", "out.jsonl", "--strategy", "refine", "--offline"], "means nothing with --offline"),
        (["-o", "out.jsonl", "--strategy", "refine", "--model", "local"], "the embedded model"),
        (["-o", "out.jsonl", "--strategy", "refine", "--batch-files", "in.jsonl"], "not a folder"),
        (["-o", "out.jsonl", "--strategy", "refine", "--batch-files", "no/waves"], "No such file"),
        (["-o", "out.jsonl", "--max-iterations", "0"], "cannot ask for its model"),
    ],
)
def test_what_waves_cannot_do_is_refused_before_anything_is_written(
    cli: Cli, tmp_path: Path, args: list[str], said: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(1))
    nowhere = [] if "local" in args else NOWHERE[:2] if "0" in args else NOWHERE
    default = [] if "--strategy" in args or "-o" in args else ["--strategy", "refine"]
    result = cli("refine", "in.jsonl", "--batch-files", "waves", *nowhere, *default, *args)
    assert result.returncode == 2
    assert said in result.stderr
    assert not (tmp_path / "waves").exists()

"""`refinecli serve`: a trainer's requests over HTTP, a clean stop, and what it refuses to start."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, Start, at, datapoint, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, error

Cli = Callable[..., Result]
PROMPT = "<|user|>\nWhat is 122 + 12?\n<|assistant|>\n"
TOKEN = "a-secret-token"
ITEM = {"rubric_str": "Is the answer right?", "name": "right"}


def url_of(process: subprocess.Popen[bytes]) -> str:
    """Return where the server listens, as it says when it does."""
    assert process.stderr is not None
    for line in iter(process.stderr.readline, b""):
        if found := re.search(r"at (http://\S+?)[,;]", line.decode()):
            return found[1]
    raise AssertionError("the server did not start")


def post(url: str, body: Any) -> tuple[int, Any]:
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as failed:
        return failed.code, json.load(failed)


def openrlhf(response: str) -> dict[str, list[str]]:
    return {"query": [f"{PROMPT}{response}</s>"], "prompts": [PROMPT], "labels": ["sum-1"]}


def test_openrlhf_is_rewarded_over_http_and_a_stop_loses_nothing(
    start: Start, cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "train.jsonl", [datapoint(id="sum-1", rubric_items=[ITEM])])
    late = threading.Event()

    def grader(request: Request) -> str | Reply:
        if request.number == 0:
            return error(503, "overloaded")
        if "slow" in request.text:
            return Reply("<score>1</score>", wait_for=late)
        return f"<score>{int('134' in request.text)}</score>"

    with ChatServer(grader) as server:
        flags = ("--cache", "replies.db", "--summary", "s.json", "--log-requests", "log.jsonl")
        env = {"REFINECLI_SERVE_TOKEN": TOKEN}
        process = start("serve", "train.jsonl", "--port", "0", *flags, *at(server), env=env)
        url = url_of(process)
        reward = f"{url}/get_reward?token={TOKEN}"
        assert post(f"{url}/get_reward", openrlhf("134"))[0] == 401
        with ThreadPoolExecutor(8) as pool:
            texts = [f"It is {100 + n}." for n in range(30, 38)]
            answers = list(pool.map(lambda text: post(reward, openrlhf(text)), texts))
            assert [one["rewards"] for _, one in answers] == [
                [float("134" in text)] for text in texts
            ]
            slow = pool.submit(post, reward, openrlhf("slow"))
            while not any("slow" in request.text for request in server.requests):
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            threading.Timer(0.3, late.set).start()
            assert slow.result()[1]["rewards"] == [1.0]
        stdout, stderr = process.communicate(timeout=30)
        assert (process.returncode, stdout) == (0, b"")
        assert b"serve: 9 datapoints: 9 done; 10 calls, 1 tried again" in stderr
        sent = len(server.requests)

        summary = json.loads((tmp_path / "s.json").read_text())
        assert (summary["done"], summary["pass_rate"]) == (9, pytest.approx(2 / 9))
        everything = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
        assert TOKEN.encode() not in everything + stderr

        # The cache is that of every command: the same response costs nothing more.
        write_jsonl(
            tmp_path / "again.jsonl",
            [datapoint(id="sum-1", rubric_items=[ITEM], response="slow")],
        )
        result = cli("grade", "again.jsonl", "-o", "g.jsonl", "--cache", "replies.db", *at(server))
        assert result.returncode == 0, result.stderr
        assert len(server.requests) == sent
    assert read_jsonl(tmp_path / "g.jsonl")[0]["score"] == 1.0


def test_the_line_of_grade_is_the_line_of_the_command(
    start: Start, cli: Cli, tmp_path: Path
) -> None:
    row = datapoint(id="x", rubric_items=[ITEM], response="134", mine={"a": [1, 2.5]})
    write_jsonl(tmp_path / "in.jsonl", [row])
    with ChatServer(lambda _: "It is. <score>1</score>") as server:
        assert cli("grade", "in.jsonl", "-o", "out.jsonl", *at(server)).returncode == 0
        process = start("serve", "--port", "0", *at(server))
        url = url_of(process)
        status, line = post(f"{url}/grade", row)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert (status, process.returncode) == (200, 0)
    assert line == read_jsonl(tmp_path / "out.jsonl")[0]


def test_what_cannot_be_served_is_refused_before_anybody_asks(cli: Cli, tmp_path: Path) -> None:
    code = [{"check": {"kind": "words", "max": 3}}]
    write_jsonl(tmp_path / "code.jsonl", [{"id": "a", "convo": "Hi!", "rubric_items": code}])
    write_jsonl(tmp_path / "bad.jsonl", [{"id": "a", "convo": []}])
    write_jsonl(
        tmp_path / "twice.jsonl",
        [{"id": "a", "convo": text, "rubric_items": code} for text in ("Hi!", "Bye!")],
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for args, said in (
            (("code.jsonl", "--host", "0.0.0.0"), "there is no token"),
            (("code.jsonl", "--ungraded", "nan"), "must be hold, error or a number"),
            (("code.jsonl", "--port", port), f"127.0.0.1:{port}: cannot listen there"),
            (("bad.jsonl",), "bad.jsonl:1: "),
            (("twice.jsonl",), "twice.jsonl:2: the id 'a' is that of another row too"),
            (("none.jsonl",), "none.jsonl"),
        ):
            result = cli("serve", *args)
            assert (result.returncode, result.stdout) == (2, ""), result.stderr
            assert said in result.stderr

"""A classifier as a grader: over HTTP in both shapes, cached, and never a score where it is out."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, read_jsonl, write_jsonl

Cli = Callable[..., Result]
SENTIMENT = [{"label": "POSITIVE", "score": 0.9}, {"label": "NEGATIVE", "score": 0.1}]


class Server(ThreadingHTTPServer):
    """Answers each request with `reply`, a status and a value, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: tuple[int, Any] = (200, SENTIMENT)
        self.asked: list[tuple[str, str | None, Any]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/predict"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Authorization"), body))
        status, value = self.server.reply
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


def row(**classifier: str) -> dict[str, Any]:
    asked = {"name": "mood", "label": "POSITIVE", **classifier}
    item = {"rubric_str": "Is it friendly?", "classifier": asked}
    return {"id": 1, "convo": "How are you?", "response": "Very well!", "rubric_items": [item]}


def grade(cli: Cli, server: Server, folder: Path, line: dict[str, Any], *more: str) -> Result:
    write_jsonl(folder / "in.jsonl", [line])
    settings = ("--set", f"classifier.mood.url={server.url}", "--set", "classifier.mood.retries=0")
    return cli("grade", str(folder / "in.jsonl"), *settings, *more)


@pytest.mark.parametrize("reply", [SENTIMENT, [SENTIMENT]], ids=["TEI", "Hugging Face"])
def test_a_labels_probability_is_the_score(
    cli: Cli, server: Server, tmp_path: Path, reply: Any
) -> None:
    server.reply = (200, reply)
    result = grade(cli, server, tmp_path, row())
    assert result.returncode == 0, result.stderr
    (line,) = read_jsonl(result.stdout)
    (found,) = line["grading"]["grades"]
    assert (line["score"], found["grader"], found["passed"]) == (0.9, "classifier", True)
    assert found["probabilities"] == {"POSITIVE": 0.9, "NEGATIVE": 0.1}
    assert line["grading"]["models"]["classifier.mood"] == server.url
    assert server.asked == [("/predict", None, {"inputs": "Very well!"})]


def test_no_grader_is_needed_where_classifiers_grade_everything(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    nobody = ("--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    result = grade(cli, server, tmp_path, row(), *nobody)
    assert (result.returncode, len(server.asked)) == (0, 1)
    both = row()
    both["rubric_items"].append({"rubric_str": "Is it true?"})
    assert grade(cli, server, tmp_path, both, *nobody).returncode == 3


def test_prompt_and_response_are_a_pair_where_the_item_says_so(
    cli: Cli, server: Server, tmp_path: Path
) -> None:
    grade(cli, server, tmp_path, row(sees="conversation"))
    assert [body for _, _, body in server.asked] == [{"inputs": [["How are you?", "Very well!"]]}]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ((503, {"error": "the model is loading"}), "loading"),
        ((200, {"error": "overloaded"}), None),
        ((200, [{"label": "POSITIVE", "score": 3.2}]), "bad_reply"),  # a raw score
        ((200, [{"label": "OTHER", "score": 0.7}]), "no_score"),
        ((413, {"error": "too many tokens"}), None),
    ],
)
def test_an_outage_is_never_a_score(
    cli: Cli, server: Server, tmp_path: Path, reply: tuple[int, Any], kind: str | None
) -> None:
    server.reply = reply
    result = grade(cli, server, tmp_path, row())
    assert result.returncode == 3
    (line,) = read_jsonl(result.stdout)
    (found,) = line["grading"]["grades"]
    assert (line["score"], found["status"]) == (None, "ungraded")
    assert kind is None or found["error"]["type"] == kind


@pytest.mark.parametrize("status", [200, 400])
def test_the_log_of_requests_holds_what_was_sent_and_what_came(
    cli: Cli, server: Server, tmp_path: Path, status: int
) -> None:
    server.reply = (status, [SENTIMENT])
    log = tmp_path / "log.jsonl"
    extra = ("--set", "classifier.mood.extra_body.truncate=true")
    grade(cli, server, tmp_path, row(sees="conversation"), *extra, "--log-requests", str(log))
    (line,) = read_jsonl(log)
    assert [line["request"]] == [body for _, _, body in server.asked]
    assert line["request"] == {"inputs": [["How are you?", "Very well!"]], "truncate": True}
    assert (line["url"], line["role"]) == (server.url, "classifier.mood")
    assert (line["status"], json.loads(line["reply"])) == (status, [SENTIMENT])


def test_answers_are_kept_and_not_asked_for_again(cli: Cli, server: Server, tmp_path: Path) -> None:
    cache = ("--cache", str(tmp_path / "calls.db"))
    first = grade(cli, server, tmp_path, row(), *cache)
    again = grade(cli, server, tmp_path, row(), *cache, "--offline")
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert len(server.asked) == 1


def test_the_url_comes_from_the_settings_alone(cli: Cli, server: Server, tmp_path: Path) -> None:
    result = grade(cli, server, tmp_path, row(url=server.url))
    assert (result.returncode, server.asked) == (2, [])
    result = grade(cli, server, tmp_path, row(name="other"))
    assert (result.returncode, server.asked) == (3, [])
    assert "names the classifier 'other'" in result.stderr


def test_a_classifier_without_a_place_is_refused(cli: Cli, server: Server, tmp_path: Path) -> None:
    for setting, words in (
        ("classifier.other.rpm=3", "needs a url or a directory"),
        (f"classifier.other.directory={tmp_path}", "has no config.json"),
        ("classifier.other.model=x", "there is no setting classifier.other.model"),
    ):
        result = grade(cli, server, tmp_path, row(), "--set", setting)
        assert result.returncode == 2
        assert words in result.stderr

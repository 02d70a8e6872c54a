"""What goes wrong, how it is said, and the exit code it ends in; a key is never part of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import (
    REFINE,
    Result,
    Start,
    at,
    check_item,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role, error

Cli = Callable[..., Result]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
NO_RETRY = ["--set", "policy.retries=0"]
AT_ONCE = {"retry-after": "0"}


def named(name: str, **fields: Any) -> dict[str, Any]:
    return datapoint(id=name, convo=[{"role": "user", "content": f"name {name}"}], **fields)


def unless(name: str, reply: Reply) -> Callable[[Request], str | Reply]:
    """Answer 4 and grade 1, but give whoever has the name that reply instead of an answer."""
    return by_role(lambda request: reply if f"name {name}" in request.text else "4")


# ------------------------------------------------------------------ lines that cannot be used

BAD_LINES: list[tuple[str, str]] = [
    ("not JSON", "not JSON: "),
    ('{"convo": [', "not JSON: "),
    ("[1]", "expected a JSON object, found an array"),
    ('"text"', "expected a JSON object, found a string"),
    ("null", "expected a JSON object, found null"),
    ("{}", "convo: field required"),
    (json.dumps({"convo": [{"role": "user", "content": "x"}]}), "rubric_items: field required"),
    (json.dumps(datapoint(rubric_items=[{}])), "rubric_items[0].rubric_str: field required"),
    (json.dumps(datapoint(rubric_items=[])), "rubric_items: "),
    (json.dumps(datapoint(convo=[])), "convo: "),
    (json.dumps(datapoint(convo=[{"role": "king", "content": "x"}])), "convo[0].role: "),
    (json.dumps(datapoint(convo=[{"role": "user"}])), "convo[0].content: field required"),
    (
        json.dumps(datapoint(convo=[{"role": "assistant", "content": "x"}])),
        "convo: must not end with an assistant message",
    ),
    (json.dumps(datapoint(response=5)), "response: "),
    (
        json.dumps(datapoint(rubric_items=[item(extraction_regex="(")])),
        "rubric_items[0].extraction_regex: not a regular expression",
    ),
    (
        json.dumps(datapoint(rubric_items=[item(score_range=[1, 0])])),
        "rubric_items[0].score_range: ",
    ),
    (
        json.dumps(datapoint(rubric_items=[item(score_range=[1, 1])])),
        "rubric_items[0].score_range: ",
    ),
    (json.dumps(datapoint(rubric_items=[item(weight=-1)])), "rubric_items: no item has a positive"),
    (
        json.dumps(datapoint(rubric_items=[item(check={"kind": "magic"})])),
        "rubric_items[0].check",
    ),
    (json.dumps(datapoint()).replace("2 + 2", "\udcff"), "not JSON: "),
]


def test_all_bad_lines_of_a_file_are_named_before_anything_is_sent(
    cli: Cli, tmp_path: Path
) -> None:
    good = json.dumps(datapoint(response="4"))
    lines = [good, ""]  # a blank line is no line, but it counts
    for line, _ in BAD_LINES:
        lines += [line, good]
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    (tmp_path / "in.jsonl").write_bytes(data)
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), "in.jsonl", "-o", "out.jsonl")
        assert server.requests == []
    assert (result.returncode, result.stdout) == (2, "")
    assert not (tmp_path / "out.jsonl").exists()
    said = [line for line in result.stderr.splitlines() if line.startswith("error: in.jsonl:")]
    assert len(said) == len(BAD_LINES)
    for n, ((_, words), line) in enumerate(zip(BAD_LINES, said, strict=True)):
        assert line.startswith(f"error: in.jsonl:{3 + 2 * n}: {words}"), line
    missing = "rubric_items[0].rubric_str: field required\n  hint: write the criterion"
    assert missing in result.stderr
    assert f"{len(BAD_LINES)} of {2 * len(BAD_LINES) + 1} lines" in result.stderr
    assert "--keep-going" in result.stderr


def test_a_bad_line_is_said_as_path_line_field_and_hint(cli: Cli, tmp_path: Path) -> None:
    rows = [datapoint()] * 16 + [datapoint(rubric_items=[{"weight": 1}])]
    write_jsonl(tmp_path / "in.jsonl", rows)
    result = cli("refine", *NOBODY, "in.jsonl")
    assert result.returncode == 2
    assert result.stderr.splitlines()[:2] == [
        "error: in.jsonl:17: rubric_items[0].rubric_str: field required",
        "  hint: write the criterion in words",
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["--keep-going", "stream"])
def test_bad_lines_become_error_records_and_the_rest_goes_on(
    cli: Cli, tmp_path: Path, stream: bool
) -> None:
    lines = [json.dumps(datapoint(response="4")), "not JSON", "", json.dumps(datapoint(convo=1))]
    text = "\n".join([*lines, json.dumps(datapoint(id="last", response="4")), ""])
    (tmp_path / "in.jsonl").write_text(text)
    args = [] if stream else ["in.jsonl", "--keep-going"]
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), *args, stdin=text)
    assert result.returncode == 3, result.stderr
    first, bad, worse, last = read_jsonl(result.stdout)
    assert (first["score"], last["score"], last["id"]) == (1.0, 1.0, "last")
    assert bad["error"] | {"message": ""} == {
        "type": "input",
        "line": 2,
        "message": "",
        "stage": "input",
    }
    assert bad["raw"] == "not JSON"
    assert (worse["error"]["line"], worse["raw"]) == (4, lines[3])
    assert worse["error"]["message"].startswith("convo")


def test_a_line_that_is_not_utf_8_becomes_an_error_record(cli: Cli, start: Any) -> None:
    with ChatServer(by_role("4")) as server:
        process = start("grade", *at(server))
        out, _ = process.communicate(b'{"a": "\xff"}\n' + jsonl([datapoint(response="4")]).encode())
    bad, good = read_jsonl(out.decode())
    assert (bad["error"]["type"], good["score"]) == ("input", 1.0)
    assert "\\xff" in bad["raw"]


# ------------------------------------------------------------------ exit codes


def test_exit_0_when_all_is_done(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
    assert result.returncode == 0, result.stderr


GATES = [
    # score of the one response, flags, exit code
    (1, ["--fail-under", "1"], 0),
    (1, ["--fail-under", "0.5"], 0),
    (0, ["--fail-under", "0.5"], 1),
    (0, ["--fail-under", "0"], 0),
    (0, [], 0),
]


@pytest.mark.parametrize(("score", "flags", "code"), GATES)
def test_exit_1_when_the_mean_score_is_under_the_gate(
    cli: Cli, score: int, flags: list[str], code: int
) -> None:
    row = datapoint(response="4" if score else "5", rubric_items=[check_item("4")])
    result = cli("grade", *NOBODY, *flags, stdin=jsonl([row]))
    assert result.returncode == code, result.stderr
    assert ("--fail-under" in result.stderr) == (code == 1)


def test_a_gate_is_missed_when_nothing_was_graded(cli: Cli) -> None:
    rows = [datapoint()]
    flags = ["--fail-under", "0", "--max-errors", "100%"]
    assert cli("grade", *NOBODY, *flags, stdin=jsonl(rows)).returncode == 1
    nothing = cli("grade", *NOBODY, "--fail-under", "0", stdin="")
    assert nothing.returncode == 1
    assert "no score" in nothing.stderr


def test_exit_3_outranks_1(cli: Cli) -> None:
    rows = [datapoint(), datapoint(response="5", rubric_items=[check_item("4")])]
    result = cli("grade", *NOBODY, "--fail-under", "0.5", stdin=jsonl(rows))
    assert result.returncode == 3
    assert "--fail-under" in result.stderr
    assert "1 of 2 datapoints failed or stayed ungraded" in result.stderr


USAGE = [
    ["refine", "--no-such-flag"],
    ["refine", "--max-iterations", "-1"],
    ["refine", "--max-iterations", "many"],
    ["refine", "--drafts", "0"],
    ["refine", "--threshold", "nan"],
    ["refine", "--concurrency", "0"],
    ["refine", "--max-errors", "some"],
    ["refine", "--max-errors", "²"],
    ["refine", "--max-errors", "1.5"],
    ["refine", "--base-url", "localhost:8000"],
    ["refine", "--base-url", "http://user:hunter2@localhost/v1"],
    ["refine", "--config", "missing.toml"],
    ["refine", "--rubric", "missing.toml"],
    ["refine", "--set", "policy.temperature"],
    ["refine", "--set", "temperature=1"],
    ["refine", "--set", "policy.temperature=hot"],
    ["refine", "--set", "policy.temperature=-1"],
    ["refine", "missing.jsonl"],
    ["refine", "--model", "missing.gguf"],
    ["grade", "--fail-under", "nan"],
    ["no-such-command"],
    ["debug-rollout", "--index", "0"],
]


@pytest.mark.parametrize("args", USAGE, ids=" ".join)
def test_exit_2_on_a_wrong_command_line(cli: Cli, args: list[str]) -> None:
    more = [] if args[0] == "no-such-command" or "--model" in args else ["--model", "m"]
    more += [] if "--base-url" in args or not more else ["--base-url", "http://127.0.0.1:9/v1"]
    result = cli(*args, *more, stdin=jsonl([datapoint(response="4")]))
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr
    assert result.stderr


def test_drafts_at_temperature_0_are_refused(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        flags = ["--drafts", "2", "--set", "policy.temperature=0"]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()]))
        assert server.requests == []
    assert result.returncode == 2
    assert "2 drafts at temperature 0" in result.stderr


@pytest.mark.parametrize(
    ("flag", "failing", "code"),
    [("0", 1, 3), ("1", 1, 0), ("1", 2, 3), ("25%", 1, 0), ("24%", 1, 3), ("50%", 2, 0)],
)
def test_max_errors_is_a_count_or_a_share(cli: Cli, flag: str, failing: int, code: int) -> None:
    good = datapoint(response="4", rubric_items=[check_item("4")])
    rows = [datapoint()] * failing + [good] * (4 - failing)
    result = cli("grade", *NOBODY, "--max-errors", flag, stdin=jsonl(rows))
    assert result.returncode == code, result.stderr
    assert len(read_jsonl(result.stdout)) == 4


@pytest.mark.parametrize("most", [0, 1, 3, 4])
def test_max_calls_is_never_exceeded_and_exit_4_says_so(
    cli: Cli, tmp_path: Path, most: int
) -> None:
    rows = [datapoint(id=n, convo=[{"role": "user", "content": f"{n}?"}]) for n in range(6)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    args = ["in.jsonl", "-o", "out.jsonl", "--max-calls", str(most), "--summary", "summary.json"]
    with ChatServer(by_role("4")) as server:
        result = cli(*REFINE, *at(server), "--concurrency", "1", *args)
        assert len(server.requests) == most
    assert result.returncode == 4, result.stderr
    assert f"--max-calls {most}" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()
    assert json.loads((tmp_path / "summary.json").read_text())["calls"] == most
    partial = tmp_path / "out.jsonl.partial"
    kept = [row["id"] for row in read_jsonl(partial)] if partial.exists() else []
    assert kept == list(range(most // 2))


def test_max_calls_holds_with_many_in_flight_and_with_retries(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        return error(500, "no", headers=AT_ONCE) if request.number % 2 else "4"

    rows = [datapoint(id=n) for n in range(40)]
    with ChatServer(script) as server:
        result = cli(*REFINE, *at(server), "--max-calls", "17", stdin=jsonl(rows))
        assert len(server.requests) == 17
    assert result.returncode == 4
    assert "Traceback" not in result.stderr


def test_enough_calls_are_enough(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        result = cli(*REFINE, *at(server), "--max-calls", "2", stdin=jsonl([datapoint()]))
    assert result.returncode == 0, result.stderr


def test_grade_without_a_response_is_an_error_record_with_the_way_out(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), stdin=jsonl([datapoint(note=1), datapoint(response="")]))
        assert server.requests == []
    missing, empty = read_jsonl(result.stdout)
    assert result.returncode == 3
    assert missing["note"] == 1
    assert "score" not in missing
    assert missing["error"]["stage"] == "grade"
    assert "refine --max-iterations 0" in missing["error"]["message"]
    assert empty["score"] == 0  # an empty response is a response: 0 on every item, without a call


def test_a_summary_that_cannot_be_written_is_refused_before_anything_is_sent(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(by_role("4")) as server:
        args = ["in.jsonl", "-o", "out.jsonl", "--summary", "no/such/folder/summary.json"]
        result = cli(*REFINE, *at(server), *args)
        assert len(server.requests) == 0
    assert result.returncode == 2
    assert "summary" in result.stderr


# ------------------------------------------------------------------ endpoints that do not work


def test_a_refused_connection_ends_the_run_with_a_hint(cli: Cli) -> None:
    result = cli("refine", *NOBODY, *NO_RETRY, stdin=jsonl([datapoint()]))
    assert (result.returncode, result.stdout) == (3, "")
    assert "http://127.0.0.1:9/v1/chat/completions" in result.stderr
    assert "refused" in result.stderr
    assert "check that the server runs" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_host_that_does_not_exist_ends_the_run(cli: Cli) -> None:
    url = "http://no-such-host.invalid/v1"
    result = cli("refine", "--base-url", url, "--model", "m", *NO_RETRY, stdin=jsonl([datapoint()]))
    assert result.returncode == 3
    assert "no-such-host.invalid" in result.stderr
    assert "no such host" in result.stderr


KEY = "sk-secret-0123456789"
WITH_KEY = {"OPENAI_API_KEY": KEY}

# What a server may say, always repeating the key; the exit code; a word that is said or written.
KEY_ECHOES: dict[str, tuple[Reply, int, str]] = {
    "401": (error(401, f"Incorrect API key provided: {KEY}."), 3, "check the key"),
    "403": (error(403, f"{KEY} may not do this"), 3, "check the key"),
    "404 model": (error(404, f"The model `m` does not exist for {KEY}"), 3, "--model"),
    "404 page": (Reply(status=404, raw=f"<h1>{KEY}</h1>".encode()), 3, "check the URL"),
    "quota": (error(429, f"{KEY}: insufficient_quota"), 3, "credit"),
    "400": (error(400, f"bad {KEY}"), 3, "bad_request"),
    "500": (error(500, f"oops {KEY}", headers=AT_ONCE), 3, "server"),
    "long": (error(400, "x" * 382 + KEY + "x" * 100), 3, "bad_request"),
    "200 error": (Reply(raw=json.dumps({"error": {"message": KEY}}).encode()), 3, "server"),
    "200 refused": (
        Reply(raw=json.dumps({"error": {"message": KEY, "code": 400}}).encode()),
        3,
        "bad_request",
    ),
    "200 no JSON": (Reply(raw=f"<p>{KEY}</p>".encode()), 3, "bad_reply"),
    "refusal": (Reply(None, message={"refusal": f"not with {KEY}"}), 3, "refused"),
    "redirect": (Reply(status=302, headers={"location": f"/?k={KEY}"}), 3, "redirect"),
}


@pytest.mark.parametrize("case", KEY_ECHOES)
def test_a_key_is_never_repeated_whatever_the_server_says(
    cli: Cli, tmp_path: Path, case: str
) -> None:
    reply, code, word = KEY_ECHOES[case]
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(lambda r: reply) as server:
        args = ["-v", "-o", "out.jsonl", "--summary", "summary.json", "--set", "policy.retries=1"]
        result = cli(*REFINE, "in.jsonl", *at(server), *args, env=WITH_KEY)
        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert result.returncode == code, result.stderr
    written = [path.read_text(errors="replace") for path in tmp_path.iterdir()]
    everything = "\n".join([result.stdout, result.stderr, *written])
    assert word in everything
    assert KEY[:12] not in everything


def test_401_403_and_an_unknown_model_end_the_run_with_the_first_call(cli: Cli) -> None:
    for status, message, words in [
        (401, "Incorrect API key provided", "answered 401: Incorrect API key provided"),
        (403, "Country not supported", "answered 403: Country not supported"),
        (404, "The model `scripted` does not exist", "check the name, scripted: --model"),
        (404, "404 page not found", "check the URL, "),
    ]:
        with ChatServer(lambda r, s=status, m=message: error(s, m)) as server:  # type: ignore[misc]
            flags = ["--concurrency", "1"]
            result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()] * 5))
            assert len(server.requests) == 1
        assert (result.returncode, result.stdout) == (3, "")
        assert words in result.stderr


def test_used_up_credit_ends_the_run_at_once_though_it_is_a_429(cli: Cli) -> None:
    reply = error(429, "You exceeded your current quota", code="insufficient_quota")
    with ChatServer(lambda r: reply) as server:
        flags = ["--concurrency", "1"]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()] * 5))
        assert len(server.requests) == 1
    assert result.returncode == 3
    assert "credit" in result.stderr


def test_what_was_done_before_the_run_ended_is_kept(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [named("a"), named("b"), named("c")])
    with ChatServer(unless("b", error(401, "key expired"))) as server:
        flags = ["--concurrency", "1", "-o", "out.jsonl"]
        result = cli(*REFINE, "in.jsonl", *at(server), *flags)
    assert result.returncode == 3
    assert not (tmp_path / "out.jsonl").exists()
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl.partial")] == ["a"]
    assert "out.jsonl.partial" in result.stderr


# A reply to one datapoint that ends it and no other; its error's type; how often it is asked for.
FAILURES: dict[str, tuple[Reply, str, int]] = {
    "500s": (error(500, "oops", headers=AT_ONCE), "server", 3),
    "503s without JSON": (Reply(status=503, raw=b"busy", headers=AT_ONCE), "server", 3),
    "429s": (error(429, "slow down", headers=AT_ONCE), "rate_limit", 3),
    "429s by date": (
        error(429, "slow", headers={"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}),
        "rate_limit",
        3,
    ),
    "429s by ms": (
        error(429, "slow", headers={"retry-after-ms": "0", "retry-after": "9"}),
        "rate_limit",
        3,
    ),
    "a 429 for an hour": (error(429, "later", headers={"retry-after": "3600"}), "rate_limit", 1),
    "400": (error(400, "what is this?"), "bad_request", 1),
    "content filter": (Reply("so", finish_reason="content_filter"), "content_filter", 1),
    "content filter 400": (
        error(400, "filtered", code="content_filter"),
        "content_filter",
        1,
    ),
    "context length": (
        error(400, "This model's maximum context length is 4096 tokens"),
        "context_length",
        1,
    ),
    "context length of llama.cpp": (
        error(400, "the request exceeds the available context size, try increasing it"),
        "context_length",
        1,
    ),
    "refusal": (Reply(None, message={"refusal": "I will not"}), "refused", 1),
    "tool calls": (Reply(None, message={"tool_calls": [{"id": "1"}]}), "tool_calls", 1),
    "200 with an error": (
        Reply(raw=b'{"error": {"message": "no", "code": 400}}'),
        "bad_request",
        1,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_datapoint_fails_by_name_while_the_others_go_on(cli: Cli, case: str) -> None:
    reply, kind, tries = FAILURES[case]
    rows = [named("a"), named("b"), named("c")]
    with ChatServer(unless("b", reply)) as server:
        flags = ["--set", "policy.retries=2", "--summary", "/dev/stderr", "-q"]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl(rows))
        sent = sum("name b" in request.text for request in server.requests)
        # While others get through, one that is refused has more patience.
        assert tries <= sent <= (3 * tries if kind == "rate_limit" else tries)
    assert result.returncode == 3, result.stderr
    a, b, c = read_jsonl(result.stdout)
    assert (a["score"], c["score"]) == (1.0, 1.0)
    assert b == rows[1] | {"error": b["error"], "rubric_items": b["rubric_items"]}
    assert (b["error"]["type"], b["error"]["stage"]) == (kind, "policy")
    summary = json.loads(next(ln for ln in result.stderr.splitlines() if ln.startswith("{")))
    assert (summary["done"], summary["failed"], summary["errors"]) == (2, 1, {kind: 1})
    assert summary["calls"] == 4 + sent


# Replies that are no reply, and may be one at the next try.
PASSING: dict[str, Reply] = {
    "truncated body": Reply("cut", truncate=True),
    "dropped connection": Reply(drop=True),
    "no JSON": Reply(raw=b"<html>"),
    "no choices": Reply(raw=b'{"choices": []}'),
    "no message": Reply(raw=b'{"choices": [{}]}'),
    "200 with an error": Reply(raw=b'{"error": {"message": "overloaded"}}'),
    "500": error(500, "oops", headers=AT_ONCE),
    "529": error(529, "overloaded", headers=AT_ONCE),
    "429": error(429, "slow down", headers=AT_ONCE),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_can_pass_by_itself_is_tried_again(cli: Cli, case: str) -> None:
    def script(request: Request) -> str | Reply:
        return PASSING[case] if request.number == 0 else "<score>1</score>"

    with ChatServer(script) as server:
        result = cli(*REFINE, *at(server), "-v", stdin=jsonl([datapoint()]))
        assert len(server.requests) == 3
        assert server.requests[0].body == server.requests[1].body
    assert result.returncode == 0, result.stderr
    assert "policy: retry 1" in result.stderr
    (out,) = read_jsonl(result.stdout)
    assert out["refinement"]["usage"]["calls"] == 2  # those that the result rests on


def test_a_redirect_is_not_followed(cli: Cli) -> None:
    with ChatServer(by_role("4")) as other:
        reply = Reply(status=307, raw=b"", headers={"location": f"{other.url}/chat/completions"})
        with ChatServer(lambda r: reply) as server:
            result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]), env=WITH_KEY)
        assert other.requests == []
    assert result.returncode == 3
    assert "redirect" in result.stderr
    assert other.url in result.stderr


def test_a_slow_reply_is_called_a_timeout(cli: Cli) -> None:
    never = threading.Event()
    with ChatServer(lambda r: Reply("4", wait_for=never)) as server:
        flags = ["--set", "policy.timeout=0.3", *NO_RETRY]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()]))
        never.set()
    assert result.returncode == 3
    (out,) = read_jsonl(result.stdout)
    assert out["error"]["type"] == "timeout"
    assert "0.3 s" in out["error"]["message"]


# ------------------------------------------------------------------ graders that do not work

GRADER_FAILURES: dict[str, tuple[Reply, str]] = {
    "500s": (error(500, "down", headers=AT_ONCE), "server"),
    "no score": (Reply("It is fine."), "no_score"),
    "out of range": (Reply("<score>7</score>"), "no_score"),
    "cut off": (Reply("<score>1</score>", finish_reason="length"), "no_score"),
    "empty": (Reply(""), "no_score"),
    "content filter": (Reply("", finish_reason="content_filter"), "content_filter"),
    "refusal": (Reply(None, message={"refusal": "no"}), "refused"),
}


@pytest.mark.parametrize("command", ["grade", "refine"])
@pytest.mark.parametrize("case", GRADER_FAILURES)
def test_a_grader_that_fails_leaves_ungraded_never_0(cli: Cli, case: str, command: str) -> None:
    reply, kind = GRADER_FAILURES[case]
    row = datapoint(response="4", rubric_items=[item(), check_item("4", name="code")])
    with ChatServer(by_role("4", lambda r: reply)) as server:
        flags = ["--set", "grader.retries=1", "--summary", "/dev/stderr", "-q"]
        result = cli(command, *at(server), *flags, stdin=jsonl([row]))
    assert result.returncode == 3
    (out,) = read_jsonl(result.stdout)
    assert out["score"] is None
    key = "grading" if command == "grade" else "refinement"
    assert out[key]["status"] == "ungraded"
    grades = out[key]["grades"] if command == "grade" else out[key]["iterations"][0]["grades"]
    assert [grade["status"] for grade in grades] == ["ungraded", "graded"]
    assert (grades[0]["score"], grades[0]["raw_score"], grades[0]["passed"]) == (None,) * 3
    assert grades[0]["error"]["type"] == kind
    summary = json.loads(next(ln for ln in result.stderr.splitlines() if ln.startswith("{")))
    assert (summary["ungraded"], summary["score"], summary["errors"]) == (1, None, {kind: 1})
    if command == "refine":
        assert (out["response"], out[key]["stop_reason"]) == ("4", "ungraded")
        assert out[key]["initial_score"] is None


def test_a_grader_that_is_not_there_ends_the_run_with_3(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        flags = ["--grader-base-url", "http://127.0.0.1:9/v1", "--grader-model", "g"]
        flags += ["--set", "grader.retries=0"]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()]))
    assert result.returncode == 3
    assert "127.0.0.1:9" in result.stderr


# ------------------------------------------------------------------ what cannot be written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "args", [["--version"], ["--help"], ["grade", "--help"], ["grade", *NOBODY, "--show-config"]]
)
def test_help_and_version_to_a_full_device_are_exit_3(
    start: Start, args: list[str], unbuffered: str
) -> None:
    with open("/dev/full", "wb") as full:
        process = start(*args, env={"PYTHONUNBUFFERED": unbuffered}, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert err.startswith(b"error: ")
    assert err.endswith(b"No space left on device\n")
    assert err.count(b"\n") == 1


# ------------------------------------------------------------------ asking for the model


def test_a_base_url_with_one_model_needs_no_model(cli: Cli) -> None:
    with ChatServer(by_role("4"), models=["only-one"]) as server:
        result = cli(*REFINE, "--base-url", server.url, stdin=jsonl([datapoint()]), env=WITH_KEY)
        assert {request.body["model"] for request in server.requests} == {"only-one"}
        assert {h["authorization"] for h in server.model_headers} == {f"Bearer {KEY}"}
    assert result.returncode == 0, result.stderr
    assert "only-one" in result.stderr
    assert read_jsonl(result.stdout)[0]["refinement"]["models"]["policy"] == "only-one"


@pytest.mark.parametrize("models", [["a-model", "b-model"], []])
def test_a_base_url_with_several_or_no_models_names_them_and_exits_2(
    cli: Cli, models: list[str]
) -> None:
    with ChatServer(by_role("4"), models=models) as server:
        result = cli(*REFINE, "--base-url", server.url, stdin=jsonl([datapoint()]))
        assert server.requests == []
    assert (result.returncode, result.stdout) == (2, "")
    assert all(name in result.stderr for name in models)
    assert "--model NAME" in result.stderr


@pytest.mark.parametrize(
    ("reply", "code"),
    [(error(401, f"no {KEY}"), 3), (Reply(status=404, raw=b"<html>"), 2), (Reply(raw=b"[]"), 2)],
)
def test_an_endpoint_that_lists_no_models_is_an_error(cli: Cli, reply: Reply, code: int) -> None:
    with ChatServer(by_role("4"), models_reply=reply) as server:
        result = cli("grade", "--base-url", server.url, stdin="", env=WITH_KEY)
    assert result.returncode == code, result.stderr
    assert "/models" in result.stderr
    assert KEY not in result.stderr
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------ keys that are not there


def test_a_variable_that_is_not_set_is_named_and_nothing_is_sent(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        flags = ["--set", "policy.api_key_env=MY_KEY"]
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()]))
        assert (server.requests, server.model_requests) == ([], 0)
    assert result.returncode == 2
    assert "MY_KEY is not set" in result.stderr
    assert "export MY_KEY" in result.stderr


def test_openai_without_a_key_is_exit_2(cli: Cli) -> None:
    result = cli(*REFINE, "--model", "gpt-x", stdin=jsonl([datapoint()]))
    assert result.returncode == 2
    assert "OPENAI_API_KEY is not set" in result.stderr


WRONG_PLACES = [
    ["--set", f"policy.api_key={KEY}"],
    ["--set", f"api_key={KEY}"],
    ["--set", f"policy.api_key_env={KEY}"],
    ["--set", f'policy.headers={{Authorization = "Bearer {KEY}"}}'],
    ["--set", f"policy.headers.x-api-key={KEY}"],
]


@pytest.mark.parametrize("flags", WRONG_PLACES, ids=lambda f: f[1].split(KEY)[0])
def test_a_key_in_a_wrong_place_is_refused_and_not_repeated(cli: Cli, flags: list[str]) -> None:
    result = cli("refine", *NOBODY, *flags, stdin=jsonl([datapoint()]))
    assert result.returncode == 2
    assert "api_key_env" in result.stderr
    assert KEY not in result.stderr + result.stdout


@pytest.mark.parametrize("key", ["sk-…abc", "sk-a\nb"], ids=ascii)
def test_a_key_that_cannot_stand_in_a_header_is_a_usage_error(cli: Cli, key: str) -> None:
    with ChatServer(by_role("4")) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]), env={"OPENAI_API_KEY": key})
    assert result.returncode == 2, result.stderr
    assert "OPENAI_API_KEY" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_output_that_is_a_link_in_a_circle_is_a_wrong_argument(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    result = cli(
        "refine", "in.jsonl", "-o", "a", "--model", "m", "--base-url", "http://127.0.0.1:9/v1"
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "hint: name another file" in result.stderr


def test_no_output_shows_what_a_gateway_wants_for_a_key(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(by_role("4")) as server:
        models = ["--model", "m", "--base-url", f"{server.url}?api-key={KEY}-query", "-v"]
        models += ["--set", f"policy.extra_body.api_key={KEY}-body"]
        models += ["--set", f'policy.headers={{X-Gateway = "Bearer {KEY}-header"}}']
        run = ["refine", "in.jsonl", "-o", "out.jsonl", *models, "--max-calls", "1"]
        ended = cli(*run, "--log-requests", "log.jsonl", "--summary", "s.json")
        assert ended.returncode == 4
        assert "this continues" in ended.stderr
        other = cli(*run, "--set", f"policy.extra_body.api_key={KEY}-other")
        assert "belongs to another run: policy.extra_body.api_key was" in other.stderr
        shown = cli(*run, "--show-config")
        sent = [(r.path, r.headers, r.body) for r in server.requests]
    assert all(f"{KEY}-{where}" in str(sent) for where in ("query", "body", "header"))
    assert '"X-Gateway" = "Bearer [hidden]"' in shown.stdout
    for result in (ended, other, shown):
        assert KEY not in result.stdout + result.stderr
    for path in tmp_path.iterdir():
        assert KEY.encode() not in path.read_bytes(), path

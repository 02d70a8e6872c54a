"""Lines in, lines out, through real pipes: nothing lost, nothing changed, nothing out of order."""

from __future__ import annotations

import gzip
import json
import os
import pty
import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.sources import zstd
from tests.conftest import (
    CLEAN,
    REFINE,
    REFINECLI,
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


def test_generate_refine_and_grade_are_one_pipe(start: Start) -> None:
    with ChatServer(by_role("I think it is 134.", "Fine.\n<score>1</score>")) as server:
        generate = start("generate-data", "addition", "-n", "5", stdin=subprocess.DEVNULL)
        refine = start(*REFINE, *at(server), stdin=generate.stdout)
        generate.stdout.close()
        grade = start("grade", *at(server), "--fail-under", "0.5", stdin=refine.stdout)
        refine.stdout.close()
        refine.stdout = generate.stdout = None
        out, err = grade.communicate(timeout=60)
        assert (generate.wait(60), refine.wait(60), grade.returncode) == (0, 0, 0), err.decode()
    rows = read_jsonl(out.decode())
    assert all(row["response"] == "I think it is 134." and row["score"] == 1.0 for row in rows)
    assert all(row["grading"]["status"] == "done" for row in rows)
    assert all(row["refinement"]["stop_reason"] == "passed" for row in rows)
    assert all(row["rubric_items"][0]["reveal"] == "verdict" for row in rows)


def test_results_come_in_input_order_though_replies_come_in_the_opposite_one(cli: Cli) -> None:
    names = ["a", "b", "c", "d"]
    graded = {name: threading.Event() for name in [*names, "nobody"]}
    graded["nobody"].set()
    after = dict(zip(names, ["b", "c", "d", "nobody"], strict=True))

    def script(request: Request) -> str | Reply:
        name = next(n for n in names if f"name {n}" in request.text)
        if request.is_grading:
            graded[name].set()
            return "<score>1</score>"
        return Reply(f"I am {name}", wait_for=graded[after[name]])

    rows = [datapoint(id=n, convo=[{"role": "user", "content": f"name {n}"}]) for n in names]
    with ChatServer(script) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl(rows))
        order = [r.text for r in server.requests if r.is_grading]
    assert result.returncode == 0, result.stderr
    assert [f"name {n}" in text for n, text in zip(reversed(names), order, strict=True)] == [
        True
    ] * 4
    assert [(r["id"], r["response"]) for r in read_jsonl(result.stdout)] == [
        (n, f"I am {n}") for n in names
    ]


ODD_VALUES: dict[str, Any] = {
    "nothing": None,
    "empty": [{}, [], "", 0, False],
    "deep": {"a": [{"b": {"c": [1.5, -0.0, 1e300]}}]},
    "big": 123456789012345678901234567890,
    "float": 1.0,
    "": "a key without a name",
    "ключ": "значение",
    "group": "g",
    "tags": ["x", "y"],
}


@pytest.mark.parametrize("command", ["refine", "grade"])
def test_unknown_keys_come_out_equal(cli: Cli, command: str) -> None:
    own_item = item(note={"by": "me", "n": 12345678901234567890123}, name="sum")
    row = datapoint(id=7, response="4", rubric_items=[own_item], **ODD_VALUES)
    with ChatServer(by_role("4")) as server:
        result = cli(command, *at(server), stdin=jsonl([row]))
    assert result.returncode == 0, result.stderr
    (out,) = read_jsonl(result.stdout)
    assert {key: out[key] for key in ODD_VALUES} == ODD_VALUES
    assert isinstance(out["float"], float)
    assert out["id"] == 7
    assert out["convo"] == row["convo"]
    assert {key: out["rubric_items"][0][key] for key in own_item} == own_item
    assert out["rubric_items"][0].keys() - own_item.keys() == {
        "extraction_regex",
        "grader_output_format_instruction",
    }


ODD_TEXTS = {
    "line separator": "a\u2028b\u2029c",
    "next line": "a\u0085b",
    "BOM inside": "a\ufeffb",
    "BOM first": "\ufeffa",
    "controls": "a\x00\x0b\x0c\x1c\x1d\x1e\x7fb",
    "newlines": "a\r\nb\nc\rd",
    "emoji": "👩‍👩‍👧‍👦 é e\u0301",
    "braces": "{{response}} {0} {x} %s $HOME",
    "bidi": "\u202eabc\u2066",
}


@pytest.mark.parametrize("escaped", [True, False], ids=["escaped", "raw"])
def test_odd_characters_survive_and_are_no_line_ends(cli: Cli, escaped: bool) -> None:
    rows = [
        datapoint(id=name, convo=[{"role": "user", "content": text}], note=text)
        for name, text in ODD_TEXTS.items()
    ]
    text = "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows)
    with ChatServer(by_role(lambda r: "said: " + r.last)) as server:
        result = cli(*REFINE, *at(server), stdin=text)
    assert result.returncode == 0, result.stderr
    assert [
        (r["id"], r["convo"][0]["content"], r["note"], r["response"])
        for r in read_jsonl(result.stdout)
    ] == [(name, text, text, f"said: {text}") for name, text in ODD_TEXTS.items()]


def test_a_lone_surrogate_in_the_input_comes_out_again_and_goes_out_as_a_replacement(
    cli: Cli,
) -> None:
    row = datapoint(convo=[{"role": "user", "content": "half a character: \ud83d"}])
    with ChatServer(by_role("fine")) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([row]))
        assert "half a character: \ufffd" in server.requests[0].last
    assert result.returncode == 0, result.stderr
    assert read_jsonl(result.stdout)[0]["convo"] == row["convo"]


def test_lone_surrogates_in_a_reply_become_replacement_characters(cli: Cli) -> None:
    raw = json.dumps(
        {"choices": [{"message": {"content": "x \ud83d y"}, "finish_reason": "stop"}]}
    ).encode()
    with ChatServer(by_role(lambda r: Reply(raw=raw))) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
    assert read_jsonl(result.stdout)[0]["response"] == "x \ufffd y", result.stderr


@pytest.mark.parametrize("from_file", [True, False])
def test_a_leading_bom_crlf_blank_lines_and_no_last_newline_are_read(
    cli: Cli, tmp_path: Path, from_file: bool
) -> None:
    rows = [json.dumps(datapoint(id=n, response="4")) for n in range(3)]
    data = "\ufeff\r\n" + rows[0] + "\r\n\r\n  \t\r\n" + rows[1] + "\n\n" + rows[2]
    (tmp_path / "in.jsonl").write_bytes(data.encode())
    with ChatServer(by_role("4")) as server:
        args = ["in.jsonl"] if from_file else []
        result = cli("grade", *at(server), *args, stdin="" if from_file else data)
    assert result.returncode == 0, result.stderr
    assert [row["id"] for row in read_jsonl(result.stdout)] == [0, 1, 2]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_files_go_in_and_out(cli: Cli, tmp_path: Path, suffix: str) -> None:
    pack, unpack = (
        (gzip.compress, gzip.decompress)
        if suffix == ".gz"
        else (zstd().compress, zstd().decompress)
    )
    rows = [datapoint(id=n, response="4") for n in range(4)]
    # Two members, as `cat a.gz b.gz` makes them.
    data = pack(jsonl(rows[:2]).encode()) + pack(jsonl(rows[2:]).encode())
    (tmp_path / f"in.jsonl{suffix}").write_bytes(data)
    with ChatServer(by_role("4")) as server:
        results = [
            cli("grade", *at(server), f"in.jsonl{suffix}", "-o", f"{name}.jsonl{suffix}")
            for name in ("one", "two")
        ]
        again = cli(*REFINE, *at(server), f"one.jsonl{suffix}")
    assert [r.returncode for r in [*results, again]] == [0, 0, 0], results[0].stderr + again.stderr
    one, two = ((tmp_path / f"{name}.jsonl{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    if suffix == ".gz":
        assert [r["id"] for r in read_jsonl(unpack(one).decode())] == [0, 1, 2, 3]
    assert [r["id"] for r in read_jsonl(again.stdout)] == [0, 1, 2, 3]


def test_the_first_result_leaves_while_later_input_has_not_arrived(start: Start) -> None:
    with ChatServer(by_role(lambda r: f"re: {r.last}")) as server:
        process = start(*REFINE, *at(server))
        for n in range(3):
            row = datapoint(id=n, convo=[{"role": "user", "content": f"question {n}"}])
            process.stdin.write(jsonl([row]).encode())
            process.stdin.flush()
            out = json.loads(process.stdout.readline())
            assert (out["id"], out["response"]) == (n, f"re: question {n}")
            assert process.poll() is None
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()


def test_a_result_leaves_while_a_later_reply_is_still_awaited(start: Start) -> None:
    release = threading.Event()

    def answer(request: Request) -> str | Reply:
        return Reply("late", wait_for=release) if "second" in request.text else "early"

    rows = [datapoint(convo=[{"role": "user", "content": text}]) for text in ("first", "second")]
    with ChatServer(by_role(answer)) as server:
        process = start(*REFINE, *at(server))
        process.stdin.write(jsonl(rows).encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["response"] == "early"
        release.set()
        out, err = process.communicate(timeout=60)
    assert json.loads(out)["response"] == "late"
    assert process.returncode == 0, err.decode()


@pytest.mark.parametrize("command", ["refine", "grade"])
def test_a_reader_that_goes_away_ends_the_run_quietly(start: Start, command: str) -> None:
    # 2 MB are more than any pipe holds, so that most of it cannot be written any more.
    rows = [datapoint(id=n, response="4", pad="x" * 2000) for n in range(1000)]
    rows = [{**row, "rubric_items": [check_item("4")]} for row in rows]
    process = start(command, "--base-url", "http://127.0.0.1:9/v1", "--model", "m")
    writer = threading.Thread(target=_feed, args=(process.stdin, jsonl(rows).encode()))
    writer.start()
    assert json.loads(process.stdout.readline())["id"] == 0
    process.stdout.close()
    err = process.stderr.read().decode()
    assert process.wait(60) == 0, err
    assert "Traceback" not in err
    assert "rror" not in err
    writer.join()


def _feed(pipe: Any, data: bytes) -> None:
    try:
        pipe.write(data)
        pipe.close()
    except BrokenPipeError:
        pass


def test_generate_data_into_head_ends_quietly(start: Start) -> None:
    process = start("generate-data", "addition", "-n", "100000", stdin=subprocess.DEVNULL)
    assert process.stdout.readline().startswith(b"{")
    process.stdout.close()
    err = process.stderr.read().decode()
    assert (process.wait(60), err) == (0, "")


def test_show_config_into_a_reader_that_is_gone_is_quiet(start: Start) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("refine", "--show-config", stdin=subprocess.DEVNULL, stdout=write)
    os.close(write)
    err = process.stderr.read().decode()
    assert (process.wait(60), err) == (0, "")


@pytest.mark.parametrize("command", ["refine", "grade"])
def test_a_terminal_with_no_input_shows_help_on_stderr_and_exits_2(command: str) -> None:
    ours, theirs = pty.openpty()
    try:
        result = subprocess.run(
            [*REFINECLI, command], stdin=theirs, capture_output=True, text=True, env=CLEAN
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr
    assert f"refinecli {command}" in result.stderr


def test_the_output_of_every_command_is_input_of_every_other(cli: Cli) -> None:
    with ChatServer(by_role("It is 134, because I added.", "Good.\n<score>1</score>")) as server:
        made = cli("generate-data", "addition", "-n", "1").stdout
        refined = cli(*REFINE, *at(server), stdin=made).stdout
        graded = cli("grade", *at(server), stdin=refined).stdout
        shown = cli("debug-rollout", "--json", "-", *at(server)).stdout
        together = made + refined + graded + shown
        for command in ("refine", "grade"):
            result = cli(command, *at(server), "--max-errors", "1", stdin=together)
            assert result.returncode == 0, result.stderr
            out = read_jsonl(result.stdout)
            # What was only just generated has no response for `grade` yet.
            unscored = [row["id"] for row in out if row.get("score") is None]
            assert unscored == (["addition-0"] if command == "grade" else [])
            assert len(out) == 4
        args = ("debug-rollout", "--json", "-", *at(server), "-", "--index", "3")
        result = cli(*args, stdin=together)
        assert json.loads(result.stdout)["id"] == "built-in", result.stderr


UNREADABLE = {
    "error": {"type": "input", "line": 3, "message": "not JSON: …", "stage": "input"},
    "raw": '{"convo": [',
    "extra": [1],
}


def test_error_records_of_unreadable_lines_pass_through_every_command(cli: Cli) -> None:
    rows = [datapoint(response="4"), UNREADABLE, datapoint(response="5")]
    with ChatServer(by_role("4")) as server:
        graded = cli("grade", *at(server), stdin=jsonl(rows))
        refined = cli(*REFINE, *at(server), stdin=graded.stdout)
    assert (graded.returncode, refined.returncode) == (3, 3)
    for result in (graded, refined):
        out = read_jsonl(result.stdout)
        assert out[1] == UNREADABLE
        assert [row.get("score") for row in out] == [1.0, None, 1.0]


def test_error_records_pass_through_a_regular_file_without_keep_going(
    cli: Cli, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [UNREADABLE, datapoint(response="4")])
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), path, "--max-errors", "1")
    assert result.returncode == 0, result.stderr
    assert read_jsonl(result.stdout)[0] == UNREADABLE


def test_a_failed_datapoint_fed_in_again_is_tried_again(cli: Cli) -> None:
    rows = [datapoint(id="good"), datapoint(id="bad", convo=[{"role": "user", "content": "bad"}])]

    def answer(request: Request) -> str | Reply:
        return error(400, "no thanks") if "bad" in request.last else "4"

    with ChatServer(by_role(answer)) as server:
        first = cli(*REFINE, *at(server), stdin=jsonl(rows))
    good, bad = read_jsonl(first.stdout)
    assert first.returncode == 3
    assert bad["error"].keys() == {"type", "message", "stage"}
    assert (bad["error"]["type"], bad["error"]["stage"]) == ("bad_request", "policy")
    assert {k: bad[k] for k in ("id", "convo")} == {k: rows[1][k] for k in ("id", "convo")}
    with ChatServer(by_role("4")) as server:
        second = cli(*REFINE, *at(server), stdin=first.stdout)
    assert second.returncode == 0, second.stderr
    good, bad = read_jsonl(second.stdout)
    assert "error" not in bad
    assert (good["response"], bad["response"], bad["score"]) == ("4", "4", 1.0)


def test_refine_replaces_what_an_earlier_run_left_and_drops_its_grading(cli: Cli) -> None:
    row = datapoint(
        response="old",
        score=0.25,
        grading={"status": "done", "grades": []},
        refinement={"status": "done", "iterations": ["old"]},
        error={"type": "server", "message": "once", "stage": "policy"},
    )
    with ChatServer(by_role("new", lambda r: f"<score>{int('new' in r.last)}</score>")) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([row]))
    (out,) = read_jsonl(result.stdout)
    assert result.returncode == 0, result.stderr
    assert "grading" not in out
    assert "error" not in out
    assert (out["response"], out["score"]) == ("new", 1.0)
    assert [it["role"] for it in out["refinement"]["iterations"]] == ["input", "reviser"]


def test_grade_replaces_an_older_grading_and_keeps_the_refinement(cli: Cli) -> None:
    old = {"status": "done", "iterations": []}
    row = datapoint(response="4", score=0.0, grading={"grades": ["old"]}, refinement=old)
    with ChatServer(by_role("", "<score>1</score>")) as server:
        (out,) = read_jsonl(cli("grade", *at(server), stdin=jsonl([row])).stdout)
    assert out["refinement"] == old
    assert (out["score"], len(out["grading"]["grades"])) == (1.0, 1)
    assert out["grading"]["grades"][0]["status"] == "graded"


@pytest.mark.parametrize("from_file", [True, False])
def test_limit_reads_so_many_rows(cli: Cli, tmp_path: Path, from_file: bool) -> None:
    rows = [datapoint(id=n, response=f"{n}") for n in range(5)]
    text = "\n" + jsonl(rows[:2]) + "\n" + jsonl(rows[2:])
    (tmp_path / "in.jsonl").write_text(text)
    with ChatServer(by_role("4")) as server:
        source = ["in.jsonl"] if from_file else []
        result = cli("grade", *at(server), *source, "--limit", "3", stdin=text)
        assert len(server.requests) == 3
    assert result.returncode == 0, result.stderr
    assert [row["id"] for row in read_jsonl(result.stdout)] == [0, 1, 2]


def test_limit_is_over_when_so_many_rows_came_though_input_stays_open(start: Start) -> None:
    with ChatServer(by_role("4")) as server:
        process = start("grade", *at(server), "--limit", "2")
        process.stdin.write(jsonl([datapoint(response="4")] * 2).encode())
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["score"] for _ in range(2)] == [1.0, 1.0]
        assert process.wait(5) == 0


def test_no_input_lines_give_no_output_lines(cli: Cli) -> None:
    for command in ("refine", "grade"):
        result = cli(command, "--base-url", "http://127.0.0.1:9/v1", "--model", "m", stdin="\n\n")
        assert (result.returncode, result.stdout) == (0, ""), result.stderr


def test_equal_rows_each_come_out(cli: Cli) -> None:
    row = datapoint()
    with ChatServer(by_role(lambda r: f"{r.number}")) as server:
        result = cli(*REFINE, *at(server), "--concurrency", "1", stdin=jsonl([row] * 3))
    out = read_jsonl(result.stdout)
    assert len({r["id"] for r in out}) == 1
    assert len({r["response"] for r in out}) == 3


def test_a_reader_of_stderr_that_goes_away_loses_no_work(start: Start, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=i, response="4") for i in range(5)])
    with ChatServer(by_role("4")) as server:
        process = start("grade", *at(server), "in.jsonl", "-o", "out.jsonl", "-v", stderr=write)
        os.close(write)
        assert process.wait(60) == 0
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 5


def test_a_slip_in_a_rubric_item_is_named_once(cli: Cli) -> None:
    rows = [datapoint(response="4", rubric_items=[item(wieght=2)]) for _ in range(3)]
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), stdin=jsonl(rows))
    assert result.returncode == 0
    assert result.stderr.count("rubric_items[0].wieght is ignored; did you mean weight?") == 1
    assert all(row["rubric_items"][0]["wieght"] == 2 for row in read_jsonl(result.stdout))


@pytest.mark.parametrize("how", ['in.jsonl "$@" >> in.jsonl', '"$@" < in.jsonl >> in.jsonl'])
def test_standard_output_that_goes_to_the_input_is_refused(tmp_path: Path, how: str) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4")])
    before = path.read_bytes()
    with ChatServer(by_role("4")) as server:
        script = f"{shlex.join(REFINECLI)} grade {how}"
        result = subprocess.run(
            ["sh", "-c", script, "sh", *at(server)],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert server.requests == []
    assert result.returncode == 2
    assert "is the input, and standard output goes there too" in result.stderr
    assert path.read_bytes() == before


def test_a_gate_is_not_skipped_in_silence_where_the_reader_goes_away(
    start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=i, response="4") for i in range(300)])
    read, write = os.pipe()
    with ChatServer(by_role("4")) as server:
        process = start("grade", *at(server), "in.jsonl", "--fail-under", "1", stdout=write)
        os.close(write)
        os.close(read)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"--fail-under 1: not judged: the reader of standard output went away" in stderr


def test_a_summary_that_cannot_be_written_does_not_say_that_nothing_was_sent(cli: Cli) -> None:
    rows = jsonl([datapoint(response="4")])
    with ChatServer(by_role("4")) as server:
        assert cli("grade", *at(server), "--summary", "/dev/full", stdin=rows).returncode == 3
        kept = cli("grade", *at(server), "--summary", "/dev/full", "--max-calls", "0", stdin=rows)
    assert kept.returncode == 4


def test_a_dry_run_and_a_rollout_name_a_slip_too(cli: Cli, tmp_path: Path) -> None:
    rows = [datapoint(response="4", rubric_items=[item(wieght=2)]) for _ in range(3)]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role("4")) as server:
        for command in (["grade", "--dry-run"], ["debug-rollout"], ["debug-rollout", "--dry-run"]):
            result = cli(*command, *at(server), str(path))
            assert result.returncode == 0, result.stderr
            assert result.stderr.count("in.jsonl:1: rubric_items[0].wieght is ignored") == 1


def test_lines_that_cannot_be_read_say_why_at_the_end_and_nobody_is_asked_again(cli: Cli) -> None:
    lines = jsonl([datapoint(response="4")]) + '{"convo": 7}\n' + "no json\n"
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), "--cache", "c.db", stdin=lines)
    assert result.returncode == 3
    assert "  the first: line 2: " in result.stderr
    assert "hint: fix those lines" in result.stderr
    assert "asks again" not in result.stderr


def test_a_range_beside_choices_is_named_unless_it_is_theirs(cli: Cli) -> None:
    choices = ["wrong", "close", "right"]
    for given, named in (([1, 5], 1), ([0, 2], 0), ([0.0, 2.0], 0)):
        rows = [datapoint(response="4", rubric_items=[item(choices=choices, score_range=given)])]
        told = "rubric_items[0].score_range is ignored: the choices are the scale"
        with ChatServer(by_role("4", "<score>right</score>")) as server:
            result = cli("grade", *at(server), stdin=jsonl(rows))
        assert result.stderr.count(told) == named, result.stderr


def test_a_summary_over_the_input_or_the_output_is_refused(cli: Cli, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4")])
    before = path.read_bytes()
    for name in ("in.jsonl", "out.jsonl"):
        result = cli("grade", "in.jsonl", "-o", "out.jsonl", "--summary", name)
        assert result.returncode == 2
        assert f"--summary {name}: is the" in result.stderr
    assert path.read_bytes() == before

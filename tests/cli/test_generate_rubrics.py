"""`refinecli generate-data rubrics`: a run as of `grade`, with a rubric for each row."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinecli.prompts.templates import RUBRIC_SYSTEM
from tests.cli.test_local import needs_model
from tests.conftest import Result, Start, at, jsonl, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request
from tests.support.fakes import between

Cli = Callable[..., Result]
TASK = ["generate-data", "rubrics"]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]


def prompt(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "prompt": f"How do I cook {name}?", **fields}


def writes(request: Request) -> bool:
    return bool(request.body["messages"][0]["content"] == RUBRIC_SYSTEM)


def dish(request: Request) -> str:
    return (
        str(request.body["messages"][1]["content"]).partition("How do I cook ")[2].partition("?")[0]
    )


def rubric(request: Request) -> str:
    """Four criteria: one that tells responses apart, one that does not, a vague one, a fault."""
    name = dish(request)
    entries = [
        {"name": "heat", "criterion": f"Says how hot {name} must be", "weight": 8},
        {"name": "dish", "criterion": f"Speaks of {name} and of a pot", "weight": 3},
        {"name": "quality", "criterion": "Is the response good?", "weight": 5},
        {"name": "danger", "criterion": f"Recommends raw {name} to a child", "weight": -6},
    ]
    return f"<rubric>\n{json.dumps(entries)}\n</rubric>"


def verdict(request: Request) -> str:
    """Of the heat, the pot and the danger: what GOOD and BAD say."""
    text = str(request.body["messages"][1]["content"])
    response, criterion = between(text, "response"), between(text, "criterion")
    word = "pot" if "pot" in criterion else "hot" if "hot" in criterion else "raw"
    return f"<score>{int(word in response)}</score>"


GOOD, BAD = "In a pot, very hot.", "In a pot, or raw."


def scripted(write: Callable[[Request], str | Reply] = rubric) -> Callable[[Request], str | Reply]:
    return lambda request: verdict(request) if request.is_grading else write(request)


# ------------------------------------------------------------------ what comes out


def test_each_prompt_gets_a_rubric_and_every_line_is_a_datapoint(cli: Cli, tmp_path: Path) -> None:
    chat = {
        "conversations": [
            {"from": "human", "value": "How do I cook rice?"},
            {"from": "gpt", "value": "Boil it."},
        ]
    }
    rows = [prompt("eggs", reference="Hot.", mine=[1]), chat, prompt("ham", response="Fry it.")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(scripted()) as server:
        result = cli(*TASK, "--from", "in.jsonl", "-o", "out.jsonl", *at(server))
        assert [writes(request) for request in server.requests] == [True] * 3
        assert all(request.body["temperature"] == 0 for request in server.requests)
    assert result.returncode == 0, result.stderr
    eggs, rice, ham = read_jsonl(tmp_path / "out.jsonl")
    assert [item["name"] for item in eggs["rubric_items"]] == ["heat", "dish", "danger"]
    assert [item["weight"] for item in eggs["rubric_items"]] == [8, 3, -6]
    assert eggs["rubric_items"][0] == {
        "rubric_str": "Says how hot eggs must be",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction": "Please output your score between 0 and 1 wrapped in "
        "<score> ... </score>",
        "name": "heat",
        "weight": 8,
    }
    assert (eggs["mine"], eggs["prompt"], ham["response"]) == ([1], rows[0]["prompt"], "Fry it.")
    assert rice["convo"] == [{"role": "user", "content": "How do I cook rice?"}]
    assert "response" not in rice
    about = eggs["rubric_writing"]
    assert about.keys() == {"status", "written", "dropped", "usage", "models", "settings"}
    assert about["usage"] == {"calls": 1, "prompt_tokens": 7, "completion_tokens": 3}
    assert about["models"] == {"grader": "scripted"}
    assert [drop["reason"] for drop in about["dropped"]] == ["vague"]
    assert not (tmp_path / "out.jsonl.cache").exists()
    graded = cli("grade", "out.jsonl", "--dry-run", *NOBODY)
    assert graded.returncode == 0, graded.stderr
    assert "3 datapoints," in graded.stderr


def test_an_item_that_does_not_tell_good_from_bad_is_dropped_and_counted(
    cli: Cli, tmp_path: Path
) -> None:
    rows = [prompt("eggs", chosen=GOOD, rejected=BAD), prompt("ham"), prompt("rice", chosen=GOOD)]
    args = ["--contrast", "chosen,rejected", "--summary", "summary.json", "--from", "-"]
    with ChatServer(scripted()) as server:
        result = cli(*TASK, *args, *at(server), stdin=jsonl(rows))
        assert len([r for r in server.requests if r.is_grading]) == 3 * 2
    assert result.returncode == 0, result.stderr
    eggs, ham, rice = read_jsonl(result.stdout)
    assert [item["name"] for item in eggs["rubric_items"]] == ["heat", "danger"]
    assert [item["name"] for item in ham["rubric_items"]] == ["heat", "dish", "danger"]
    assert len(rice["rubric_items"]) == 3
    about = eggs["rubric_writing"]
    assert [drop["reason"] for drop in about["dropped"]] == ["no_contrast", "vague"]
    assert about["contrast"] == [
        {"item": 0, "good": 1.0, "bad": 0.0},
        {"item": 1, "good": 0.0, "bad": 1.0},
    ]
    assert about["usage"]["calls"] == 7
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["rubrics"] == {
        "prompts": 3,
        "already": 0,
        "written": 12,
        "kept": 8,
        "dropped": {
            "vague": 3,
            "duplicate": 0,
            "unanswerable": 0,
            "long": 0,
            "no_contrast": 1,
            "undecided": 0,
        },
        "contrast": {"tried": 1, "missing": 2},
    }
    assert "12 written, 8 kept, 2.7 a prompt" in result.stderr
    assert "3 vague" in result.stderr
    assert "2 of 3 prompts have no two different responses" in result.stderr


def test_an_item_that_the_grader_leaves_undecided_goes_and_the_exit_code_says_so(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [prompt("eggs", good=GOOD, bad=BAD)])
    mute = [True]

    def answer(request: Request) -> str | Reply:
        silent = mute[0] and request.is_grading and "raw eggs" in request.text
        return "I cannot say." if silent else scripted()(request)

    args = [*TASK, "--from", "in.jsonl", "-o", "out.jsonl", "--contrast", "good,bad"]
    with ChatServer(answer) as server:
        first = cli(*args, *at(server))
        (row,) = read_jsonl(tmp_path / "out.jsonl")
        mute[0], sent = False, len(server.requests)
        again = cli(*args, *at(server))
        asked = server.requests[sent:]
    assert first.returncode == 3
    assert "undecided" in first.stderr
    assert row["rubric_writing"]["status"] == "ungraded"
    assert [item["name"] for item in row["rubric_items"]] == ["heat"]
    # The same command asks for those verdicts again, and for nothing else.
    assert again.returncode == 0, again.stderr
    assert len(asked) == 2
    assert all(request.is_grading and "raw eggs" in request.text for request in asked)
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    assert [item["name"] for item in row["rubric_items"]] == ["heat", "danger"]


def test_a_row_with_a_rubric_passes_and_costs_nothing(cli: Cli) -> None:
    rows = [prompt("eggs", rubric_items=[{"rubric_str": "Is it done?"}]), prompt("ham")]
    with ChatServer(scripted()) as server:
        result = cli(*TASK, "--from", "-", *at(server), stdin=jsonl(rows))
        assert len(server.requests) == 1
        again = cli(*TASK, "--from", "-", *at(server), stdin=result.stdout)
        assert len(server.requests) == 1
    assert result.returncode == again.returncode == 0, result.stderr
    eggs, _ = read_jsonl(result.stdout)
    assert [item["rubric_str"] for item in eggs["rubric_items"]] == ["Is it done?"]
    assert "rubric_writing" not in eggs
    assert again.stdout == result.stdout
    assert "2 datapoints already have a rubric" in again.stderr


def test_items_of_a_rubric_file_come_first_and_are_not_written_again(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text(
        '[[rubric_items]]\nrubric_str = "Is it polite?"\n'
        '[[rubric_items]]\nrubric_str = "Does it say how hot eggs must be?"\n'
    )
    with ChatServer(scripted()) as server:
        rows = jsonl([prompt("eggs")])
        result = cli(*TASK, "--from", "-", "--rubric", "r.toml", *at(server), stdin=rows)
    assert result.returncode == 0, result.stderr
    (row,) = read_jsonl(result.stdout)
    told = [item["rubric_str"] for item in row["rubric_items"]]
    assert told[:2] == ["Is it polite?", "Does it say how hot eggs must be?"]
    assert told[2:] == ["Speaks of eggs and of a pot", "Recommends raw eggs to a child"]
    assert [d["reason"] for d in row["rubric_writing"]["dropped"]] == ["duplicate", "vague"]


def test_the_grader_writes_where_one_is_named(cli: Cli) -> None:
    with ChatServer(scripted()) as policy, ChatServer(scripted()) as grader:
        flags = ["--grader-base-url", grader.url, "--grader-model", "strong"]
        result = cli(*TASK, "--from", "-", *at(policy), *flags, stdin=jsonl([prompt("eggs")]))
        assert not policy.requests
        assert [request.body["model"] for request in grader.requests] == ["strong"]
    assert result.returncode == 0, result.stderr


def test_own_templates_are_sent(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("MINE {{conversation}} MINE")
    with ChatServer(lambda request: rubric_for_eggs()) as server:
        args = ["--set", "prompts.rubric=mine.txt", "--from", "-", *at(server)]
        result = cli(*TASK, *args, stdin=jsonl([prompt("eggs")]))
        assert server.requests[0].last.startswith("MINE <turn")
    assert result.returncode == 0, result.stderr


def rubric_for_eggs() -> str:
    return '<rubric>[{"criterion": "Says how hot eggs must be", "weight": 1}]</rubric>'


# ------------------------------------------------------------------ failures


def test_a_row_without_a_rubric_fails_by_name_and_only_it_is_asked_again(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [prompt("eggs"), prompt("ham", mine=1), prompt("rice")])
    broken = [True]

    def write(request: Request) -> str:
        if broken[0] and dish(request) == "ham":
            return "1. Is it ham?"
        if broken[0] and dish(request) == "rice":
            return '<rubric>[{"criterion": "Is it good?", "weight": 1}]</rubric>'
        return rubric(request)

    args = [*TASK, "--from", "in.jsonl", "-o", "out.jsonl", "--summary", "summary.json"]
    with ChatServer(scripted(write)) as server:
        first = cli(*args, *at(server))
        _, ham, rice = read_jsonl(tmp_path / "out.jsonl")
        summary = json.loads((tmp_path / "summary.json").read_text())
        broken[0], sent = False, len(server.requests)
        assert sent == 5  # eggs is asked about once
        again = cli(*args, *at(server))
        asked = {dish(request) for request in server.requests[sent:]}
    assert first.returncode == 3
    assert summary["errors"] == {"unreadable": 2}
    assert ham.keys() == {"id", "prompt", "mine", "error"}
    assert ham["error"]["type"] == "unreadable"
    assert "nothing in it stands between" in ham["error"]["message"]
    assert "nothing is left of its criteria (1 vague)" in rice["error"]["message"]
    assert "rubric_items" not in rice
    assert again.returncode == 0, again.stderr
    assert asked == {"ham", "rice"}
    assert all(row["rubric_items"] for row in read_jsonl(tmp_path / "out.jsonl"))


def test_a_rubric_that_tells_nothing_apart_fails_with_all_that_was_dropped(cli: Cli) -> None:
    rows = jsonl([prompt("eggs", good=BAD, bad=GOOD)])  # the wrong way round
    with ChatServer(scripted()) as server:
        result = cli(*TASK, "--from", "-", "--contrast", "good,bad", *at(server), stdin=rows)
    assert result.returncode == 3
    (row,) = read_jsonl(result.stdout)
    assert row["error"]["type"] == "no_rubric"
    assert "(3 no_contrast, 1 vague)" in row["error"]["message"]
    assert "rubric_items" not in row
    assert row["rubric_writing"]["status"] == "failed"
    assert len(row["rubric_writing"]["dropped"]) == 4
    assert "no_rubric" in result.stderr


def test_max_errors_lets_some_fail(cli: Cli) -> None:
    with ChatServer(lambda request: "no") as server:
        args = ["--from", "-", "--max-errors", "1", *at(server)]
        result = cli(*TASK, *args, stdin=jsonl([prompt("eggs")]))
    assert result.returncode == 0, result.stderr


def test_nobody_answers(cli: Cli) -> None:
    args = ["--from", "-", *NOBODY, "--set", "grader.retries=0"]
    result = cli(*TASK, *args, stdin=jsonl([prompt("eggs")]))
    assert result.returncode == 3
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------ an early end


def held(release: threading.Event, name: str) -> Callable[[Request], str | Reply]:
    """Answers at once, but for what is about that dish."""

    def answer(request: Request) -> str | Reply:
        said = scripted()(request)
        assert isinstance(said, str)
        return Reply(said, wait_for=release if name in request.text else None)

    return answer


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_the_same_command_continues_after_any_death(
    start: Start, cli: Cli, tmp_path: Path, number: int, code: int
) -> None:
    rows = [prompt(name, good=GOOD, bad=BAD) for name in ("eggs", "ham", "rice", "soup")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    args = [*TASK, "--from", "in.jsonl", "--contrast", "good,bad"]
    release = threading.Event()
    with ChatServer(held(release, "soup")) as server:
        process = start(*args, "-o", "out.jsonl", "-v", *at(server))
        told = b""
        while b"rice: done" not in told:  # `-v` tells each line after it was written
            line = process.stderr.readline()
            assert line, told
            told += line
        process.send_signal(number)
        assert process.wait(30) == code
        assert not (tmp_path / "out.jsonl").exists()
        release.set()
        sent = len(server.requests)
        continued = cli(*args, "-o", "out.jsonl", *at(server))
        assert continued.returncode == 0, continued.stderr
        assert all("soup" in request.text for request in server.requests[sent:])
        whole = cli(*args, *at(server))
    assert (tmp_path / "out.jsonl").read_text() == whole.stdout
    assert len(read_jsonl(whole.stdout)) == 4


def test_a_budget_ends_the_run_and_the_same_command_goes_on(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [prompt(name) for name in ("eggs", "ham", "rice")])
    args = [*TASK, "--from", "in.jsonl", "-o", "out.jsonl", "--max-calls", "2"]
    with ChatServer(scripted()) as server:
        first = cli(*args, *at(server))
        assert (first.returncode, len(server.requests)) == (4, 2)
        assert not (tmp_path / "out.jsonl").exists()
        again = cli(*args, *at(server))
        assert (again.returncode, len(server.requests)) == (0, 3)
    assert len(read_jsonl(tmp_path / "out.jsonl")) == 3


def test_other_settings_are_another_run(cli: Cli, tmp_path: Path) -> None:
    rows = [prompt(name, good=GOOD, bad=BAD) for name in ("eggs", "ham")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    args = [*TASK, "--from", "in.jsonl", "-o", "out.jsonl", "--max-calls", "1"]
    with ChatServer(scripted()) as server:
        assert cli(*args, *at(server)).returncode == 4
        other = cli(*args, "--contrast", "good,bad", *at(server))
    assert other.returncode == 2
    assert "contrast was not set, is" in other.stderr


# ------------------------------------------------------------------ the command line


def test_a_dry_run_sends_nothing_and_shows_the_writers_prompt(cli: Cli, tmp_path: Path) -> None:
    rows = [prompt("eggs", a=GOOD, b=BAD), prompt("ham", rubric_items=[{"rubric_str": "x"}])]
    write_jsonl(tmp_path / "in.jsonl", rows)
    args = [*TASK, "--from", "in.jsonl", "--dry-run", *NOBODY]
    plain, contrast = cli(*args), cli(*args, "--contrast", "a,b")
    assert plain.returncode == contrast.returncode == 0, plain.stderr
    assert "How do I cook eggs?" in plain.stderr
    assert GOOD not in contrast.stderr
    assert "2 datapoints, at most 2 calls" in plain.stderr
    assert "at most 98 calls" in contrast.stderr


def test_show_config_shows_the_one_role_that_is_asked(cli: Cli) -> None:
    result = cli(*TASK, "--show-config", *NOBODY)
    assert result.returncode == 0, result.stderr
    assert "[grader]" in result.stdout
    assert "[policy]" not in result.stdout
    assert "# rubric: " in result.stdout


def test_quiet_says_nothing(cli: Cli) -> None:
    with ChatServer(scripted()) as server:
        rows = jsonl([prompt("eggs"), prompt("ham")])
        result = cli(*TASK, "--from", "-", "-q", "-n", "1", *at(server), stdin=rows)
    assert (result.returncode, result.stderr) == (0, "")
    assert len(read_jsonl(result.stdout)) == 1


def test_the_example_data_are_prompts_with_two_responses_each(cli: Cli) -> None:
    shipped = Path(__file__).parents[2] / "example_data" / "prompts.jsonl"
    args = ["--from", shipped, "--contrast", "chosen,rejected", "--dry-run", *NOBODY]
    result = cli(*TASK, *args)
    assert result.returncode == 0, result.stderr
    assert "4 datapoints, at most 392 calls" in result.stderr
    assert all(row["chosen"] != row["rejected"] for row in read_jsonl(shipped))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rubrics"], "rubrics: needs --from FILE"),
        (["rubrics", "--from", "missing.jsonl"], "missing.jsonl: No such file"),
        (["rubrics", "--from", "in.jsonl", "--train", "3"], "rubrics makes one file"),
        (["rubrics", "--from", "in.jsonl", "--out-dir", "x"], "rubrics makes one file"),
        (["rubrics", "--from", "in.jsonl", "--contrast", "good"], "expected two fields"),
        (["rubrics", "--from", "in.jsonl", "--contrast", "a,a"], "expected two fields"),
        (["rubrics", "--from", "in.jsonl", "--contrast", "a,b"], "no row has two different"),
        (["rubrics", "--from", "array.json"], "array.json: is a JSON array"),
        (["rubrics", "--from", "bad.jsonl"], "bad.jsonl:2: convo: field required"),
        (["rubrics", "--from", "in.jsonl", "-o", "in.jsonl"], "in.jsonl"),
        (["chat", "--from", "in.jsonl", "--contrast", "a,b"], "--contrast: the task chat asks no"),
        (["addition", "--model", "m"], "--model: the task addition asks no model"),
        (["addition", "--keep-going"], "--keep-going: the task addition asks no model"),
        (["addition", "--dry-run"], "only rubrics does"),
        (["addition", "--set", "run.seed=3"], "--set: the task addition"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    cli: Cli, tmp_path: Path, args: list[str], said: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [prompt("eggs")])
    write_jsonl(tmp_path / "bad.jsonl", [prompt("eggs"), {"question": "?"}])
    (tmp_path / "array.json").write_text(json.dumps([prompt("eggs")]))
    before = sorted(tmp_path.iterdir())
    model = NOBODY if args[0] == "rubrics" else []
    result = cli("generate-data", *args, *model)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_bad_lines_become_error_records_if_the_rest_is_to_go_on(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"question": "?"}, prompt("eggs")])
    with ChatServer(scripted()) as server:
        args = ["--from", "in.jsonl", "--keep-going", "--max-errors", "1", *at(server)]
        result = cli(*TASK, *args)
    assert result.returncode == 0, result.stderr
    bad, eggs = read_jsonl(result.stdout)
    assert (bad["error"]["type"], json.loads(bad["raw"])) == ("input", {"question": "?"})
    assert eggs["rubric_items"]


def test_an_array_of_chats_comes_in_through_a_pipe(cli: Cli, tmp_path: Path) -> None:
    chat = {"conversations": [{"from": "human", "value": "How do I cook eggs?"}]}
    (tmp_path / "chats.json").write_text(json.dumps([chat]))
    chats = cli("generate-data", "chat", "--from", "chats.json")
    with ChatServer(scripted()) as server:
        result = cli(*TASK, "--from", "-", *at(server), stdin=chats.stdout)
    assert result.returncode == 0, result.stderr
    assert len(read_jsonl(result.stdout)[0]["rubric_items"]) == 3


def test_the_seed_is_sent_only_if_it_is_given(cli: Cli) -> None:
    with ChatServer(scripted()) as server:
        for flags in ([], ["--seed", "7"]):
            cli(*TASK, "--from", "-", *flags, *at(server), stdin=jsonl([prompt("eggs")]))
        assert ["seed" in request.body for request in server.requests] == [False, True]


# ------------------------------------------------------------------ the embedded model


@needs_model
@pytest.mark.timeout(300)
def test_the_local_model_drives_it_to_an_end_that_is_told(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [prompt("eggs", good=GOOD, bad=BAD)])
    args = ["--contrast", "good,bad", "--set", "grader.max_tokens=48", "-o", "out.jsonl"]
    result = cli(*TASK, "--from", "in.jsonl", *args, seconds=250)
    # A model this small may write no rubric that can be read; it must not be made up.
    assert result.returncode in (0, 3), result.stderr
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    assert ("rubric_items" in row) == ("error" not in row)
    assert "Traceback" not in result.stderr

"""`refinecli refine` as a user meets it: what is sent, what comes out, what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import (
    QUESTION,
    REFINE,
    Result,
    at,
    check_item,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role
from tests.support.fakes import between

Cli = Callable[..., Result]
GRADE_KEYS = {
    "item",
    "name",
    "status",
    "score",
    "raw_score",
    "passed",
    "grader",
    "feedback",
    "reply",
}
ITERATION_KEYS = {
    "iteration",
    "parent",
    "role",
    "response",
    "score",
    "passed",
    "accepted",
    "finish_reason",
    "grades",
    "feedback",
    "usage",
}


def drafts_then_right(request: Request) -> str:
    """Wrong at first, right once it was asked for something else: to change it."""
    return "5" if request.last == QUESTION else "4"


def grade_4(request: Request) -> str:
    said = between(request.last, "response")
    return f"It says {said}.\n<score>{int(said == '4')}</score>"


def test_the_output_record_has_the_contracts_shape(cli: Cli) -> None:
    row = datapoint(id="sum", note="kept")
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([row]))
    assert result.returncode == 0, result.stderr
    (out,) = read_jsonl(result.stdout)
    assert out.keys() == {"id", "convo", "rubric_items", "note", "response", "score", "refinement"}
    assert (out["response"], out["score"]) == ("4", 1.0)
    refinement = out["refinement"]
    assert refinement.keys() == {
        "status",
        "passed",
        "stop_reason",
        "strategy",
        "initial_score",
        "best_iteration",
        "iterations",
        "usage",
        "models",
        "settings",
    }
    assert (refinement["status"], refinement["stop_reason"]) == ("done", "passed")
    assert (refinement["initial_score"], refinement["best_iteration"]) == (0.0, 1)
    assert refinement["usage"] == {"calls": 4, "prompt_tokens": 28, "completion_tokens": 12}
    assert refinement["models"] == {"policy": "scripted", "grader": "scripted"}
    first, second = refinement["iterations"]
    assert first.keys() == second.keys() == ITERATION_KEYS
    assert first["grades"] == [
        {
            "item": 0,
            "name": "item-0",
            "status": "graded",
            "score": 0.0,
            "raw_score": 0.0,
            "passed": False,
            "grader": "llm",
            "feedback": "It says 5.",
            "reply": "It says 5.\n<score>0</score>",
        }
    ]
    assert {key: first[key] for key in ITERATION_KEYS - {"grades", "feedback"}} == {
        "iteration": 0,
        "parent": None,
        "role": "policy",
        "response": "5",
        "score": 0.0,
        "passed": False,
        "accepted": True,
        "finish_reason": "stop",
        "usage": {"calls": 2, "prompt_tokens": 14, "completion_tokens": 6},
    }
    assert "It says 5." in first["feedback"]
    assert (second["iteration"], second["parent"], second["role"]) == (1, 0, "reviser")
    assert (second["accepted"], second["feedback"], second["score"]) == (True, None, 1.0)


def test_equal_runs_write_equal_bytes_whatever_the_key_and_nothing_of_the_key_or_the_port(
    cli: Cli, tmp_path: Path
) -> None:
    rows = [datapoint(id=n, note={"z": 1, "a": 2}) for n in range(6)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        for n, flags in enumerate([["--concurrency", "1"], ["--concurrency", "64"]]):
            env = {"OPENAI_API_KEY": f"sk-secret-{n}"}
            result = cli(*REFINE, "in.jsonl", "-o", f"{n}.jsonl", *at(server), *flags, env=env)
            assert result.returncode == 0, result.stderr
        port = str(server.port)
    one, two = (tmp_path / "0.jsonl").read_bytes(), (tmp_path / "1.jsonl").read_bytes()
    assert one == two
    assert port.encode() not in one.replace(read_settings(one).encode(), b"")
    assert b"sk-secret" not in one


def read_settings(data: bytes) -> str:
    return str(read_jsonl(data.decode())[0]["refinement"]["settings"])


def test_settings_tell_runs_apart_that_may_differ_and_no_others(cli: Cli) -> None:
    def settings(*flags: str) -> str:
        result = cli(*REFINE, *at(server), *flags, stdin=jsonl([datapoint()]))
        return read_settings(result.stdout.encode())

    with ChatServer(by_role("4")) as server:
        plain = settings()
        assert (
            settings("--concurrency", "3", "--set", "policy.timeout=5", "--max-errors", "1")
            == plain
        )
        for flags in (
            ["--max-iterations", "1"],
            ["--seed", "0"],
            ["--set", "policy.system=Be brief."],
            ["--grader-model", "other"],
        ):
            assert settings(*flags) != plain, flags


def test_reasoning_and_cached_tokens_are_counted(cli: Cli, tmp_path: Path) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    script = by_role(
        lambda r: Reply("4", usage=usage), lambda r: Reply("<score>1</score>", usage={})
    )
    with ChatServer(script) as server:
        args = ["--summary", "summary.json"]
        result = cli(*REFINE, *at(server), *args, stdin=jsonl([datapoint()]))
    assert read_jsonl(result.stdout)[0]["refinement"]["usage"] == {
        "calls": 2,
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "reasoning_tokens": 40,
        "cached_tokens": 64,
    }
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["prompt_tokens"], summary["completion_tokens"]) == (100, 50)


def test_a_reply_without_usage_counts_as_a_call_without_tokens(cli: Cli) -> None:
    script = by_role(lambda r: Reply(raw=b'{"choices": [{"message": {"content": "4"}}]}'))
    with ChatServer(script) as server:
        (out,) = read_jsonl(cli(*REFINE, *at(server), stdin=jsonl([datapoint()])).stdout)
    usage = out["refinement"]["iterations"][0]["usage"]
    assert usage == {"calls": 2, "prompt_tokens": 7, "completion_tokens": 3}
    assert out["refinement"]["iterations"][0]["finish_reason"] is None


def test_the_summary_has_the_contracts_fields(cli: Cli, tmp_path: Path) -> None:
    rows = [datapoint(id="a"), datapoint(id="b", convo=1), datapoint(id="c", response="4")]
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        args = ["--summary", "summary.json", "--max-errors", "1"]
        result = cli(*REFINE, *at(server), *args, stdin=jsonl(rows))
        sent = len(server.requests)
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert isinstance(summary.pop("seconds"), float)
    assert summary == {
        "datapoints": 3,
        "done": 2,
        "ungraded": 0,
        "failed": 1,
        "errors": {"input": 1},
        "score": 1.0,
        "initial_score": 0.5,
        "pass_rate": 1.0,
        "calls": sent,
        "replayed": 0,
        "retried": 0,
        "refused": 0,
        "prompt_tokens": 7 * sent,
        "completion_tokens": 3 * sent,
    }


def test_a_gain_is_called_optimistic_and_points_to_the_report(cli: Cli) -> None:
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
        assert "optimistic" in result.stderr
        assert "refinecli report" in result.stderr
        quiet = cli(*REFINE, *at(server), "-q", stdin=jsonl([datapoint()]))
        assert quiet.stderr == ""
        checked = datapoint(rubric_items=[{"check": {"kind": "equals", "value": "4"}}])
        exact = cli(*REFINE, *at(server), stdin=jsonl([checked]))
        assert "1.000 at best" in exact.stderr
        assert "optimistic" not in exact.stderr


def test_stderr_says_which_model_and_endpoint_each_role_uses(cli: Cli) -> None:
    with ChatServer(by_role("4")) as policy, ChatServer(by_role("4")) as grader:
        flags = ["--grader-model", "strict", "--grader-base-url", grader.url]
        result = cli(*REFINE, *at(policy), *flags, stdin=jsonl([datapoint()]))
        assert [r.is_grading for r in policy.requests + grader.requests] == [False, True]
        assert f"policy, reviser: scripted (127.0.0.1:{policy.port})" in result.stderr
        assert f"grader: strict (127.0.0.1:{grader.port})" in result.stderr
    models = read_jsonl(result.stdout)[0]["refinement"]["models"]
    assert models == {"policy": "scripted", "grader": "strict"}


@pytest.mark.parametrize("where", ["reasoning_content", "reasoning", "think", "lone think"])
def test_reasoning_is_kept_apart_and_no_other_role_sees_it(cli: Cli, where: str) -> None:
    def answer(request: Request) -> Reply:
        text = drafts_then_right(request)
        if where == "think":
            return Reply(f"<think>SECRET thought</think>\n{text}")
        if where == "lone think":
            return Reply(f"SECRET thought\n</think>\n\n{text}")
        return Reply(text, message={where: "SECRET thought"})

    with ChatServer(by_role(answer, grade_4)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
        assert len(server.requests) == 4
        assert not any("SECRET" in request.text for request in server.requests)
    (out,) = read_jsonl(result.stdout)
    assert out["response"] == "4"
    assert [it["response"] for it in out["refinement"]["iterations"]] == ["5", "4"]
    assert all("SECRET thought" in it["reasoning"] for it in out["refinement"]["iterations"])


def test_a_graders_reasoning_is_no_feedback(cli: Cli) -> None:
    def judge(request: Request) -> Reply:
        text = grade_4(request)
        return Reply(f"<think>SECRET <score>1</score></think>{text}")

    with ChatServer(by_role(drafts_then_right, judge)) as server:
        (out,) = read_jsonl(cli(*REFINE, *at(server), stdin=jsonl([datapoint()])).stdout)
        assert not any("SECRET" in request.text for request in server.requests)
    assert out["refinement"]["initial_score"] == 0.0


def test_max_iterations_0_is_draft_and_grade(cli: Cli) -> None:
    with ChatServer(by_role("5", grade_4)) as server:
        result = cli("refine", *at(server), "--max-iterations", "0", stdin=jsonl([datapoint()]))
        assert len(server.requests) == 2
    (out,) = read_jsonl(result.stdout)
    assert (out["response"], out["score"]) == ("5", 0.0)
    assert out["refinement"]["stop_reason"] == "max_iterations"
    assert out["refinement"]["iterations"][0]["feedback"] is None


def test_the_best_is_returned_not_the_last(cli: Cli) -> None:
    texts = ["half", "good", "worse", "bad"]
    scores = {"half": 0.5, "good": 0.75, "worse": 0.6, "bad": 0.1}

    def judge(request: Request) -> str:
        said = between(request.last, "response")
        return f"<score>{scores[said]}</score>"

    answers = iter(texts)
    with ChatServer(by_role(lambda r: next(answers), judge)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
        rewrites = [r for r in server.requests if not r.is_grading][1:]
        assert [r.body["messages"][-2]["content"] for r in rewrites] == ["half", "good", "good"]
    (out,) = read_jsonl(result.stdout)
    refinement = out["refinement"]
    assert (out["response"], out["score"], refinement["best_iteration"]) == ("good", 0.75, 1)
    assert [it["accepted"] for it in refinement["iterations"]] == [True, True, False, False]
    assert [it["parent"] for it in refinement["iterations"]] == [None, 0, 1, 1]
    assert (refinement["initial_score"], refinement["stop_reason"]) == (0.5, "max_iterations")


def test_the_conversation_stays_one_and_calls_share_their_prefix(cli: Cli) -> None:
    convo = [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "What is 2 + 2?"},
    ]
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        cli(*REFINE, *at(server), stdin=jsonl([datapoint(convo=convo)]))
        draft, rewrite = (r.body["messages"] for r in server.requests if not r.is_grading)
        grader = next(r for r in server.requests if r.is_grading)
    assert draft == convo
    assert rewrite[:5] == [*convo, {"role": "assistant", "content": "5"}]
    assert [m["role"] for m in rewrite[5:]] == ["user"]
    assert "It says 5." in rewrite[5]["content"]
    assert [m["role"] for m in grader.body["messages"]] == ["system", "user"]


def test_threshold_is_the_score_that_passes(cli: Cli) -> None:
    items = [check_item("four"), check_item("five")]
    with ChatServer(by_role("four")) as server:
        row = jsonl([datapoint(rubric_items=items)])
        (enough,) = read_jsonl(cli(*REFINE, *at(server), "--threshold", "0.5", stdin=row).stdout)
        (short,) = read_jsonl(cli(*REFINE, *at(server), "--threshold", "0.6", stdin=row).stdout)
    assert (enough["score"], enough["refinement"]["stop_reason"]) == (0.5, "passed")
    assert short["refinement"]["stop_reason"] == "repeated"


def test_drafts_are_drawn_and_the_best_is_kept(cli: Cli) -> None:
    texts = iter(["3", "4", "5"])
    with ChatServer(by_role(lambda r: next(texts), grade_4)) as server:
        (out,) = read_jsonl(
            cli(*REFINE, *at(server), "--drafts", "3", stdin=jsonl([datapoint()])).stdout
        )
        assert len(server.requests) == 6
    iterations = out["refinement"]["iterations"]
    assert (out["response"], len(iterations)) == ("4", 3)
    assert out["refinement"]["stop_reason"] == "passed"
    assert all(it["parent"] is None and it["role"] == "policy" for it in iterations)


def test_a_failure_in_a_later_round_keeps_the_best_so_far(cli: Cli) -> None:
    def answer(request: Request) -> str | Reply:
        return "5" if request.last == QUESTION else Reply(status=400, raw=b"{}")

    with ChatServer(by_role(answer, grade_4)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
    assert result.returncode == 3
    (out,) = read_jsonl(result.stdout)
    refinement = out["refinement"]
    assert (out["response"], out["score"]) == ("5", 0.0)
    assert (refinement["status"], refinement["stop_reason"]) == ("failed", "failed")
    assert refinement["error"]["type"] == "bad_request"


def test_show_prints_each_turn_on_stderr_and_nothing_of_it_on_stdout(cli: Cli) -> None:
    with ChatServer(by_role(drafts_then_right, grade_4)) as server:
        result = cli(*REFINE, *at(server), "--show", stdin=jsonl([datapoint()]))
    assert "It says 5." in result.stderr
    assert result.stderr.index("iteration 0") < result.stderr.index("iteration 1")
    assert len(read_jsonl(result.stdout)) == 1
    assert "\x1b" not in result.stderr


def test_dry_run_shows_the_first_prompts_and_sends_nothing(cli: Cli, tmp_path: Path) -> None:
    rows = [datapoint(), datapoint(response="4", rubric_items=[item(), item("Polite?")])]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role("4")) as server:
        args = ["in.jsonl", "--dry-run", "-o", "out.jsonl", "--set", "policy.system=Be brief."]
        result = cli(*REFINE, *at(server), *args)
        assert (server.requests, server.model_requests) == ([], 0)
    assert (result.returncode, result.stdout) == (0, "")
    for words in ("Be brief.", "What is 2 + 2?", "Is the answer 4?", "2 datapoints"):
        assert words in result.stderr
    # Each: three rewrites; each response two calls for each of its items; one draft.
    assert "at most 31 calls" in result.stderr
    said = re.search(r"grading a response of each: .* in 3 calls; (.*)", result.stderr)
    assert said
    assert re.search(r"with grade\.batch_items=2 about .* in 2, ..% less", said[1])
    assert not (tmp_path / "out.jsonl").exists()


def test_rubric_files_add_their_items_to_every_datapoint(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        '[[rubric_items]]\nname = "kind"\nrubric_str = "Is it kind?"\nweight = 2\n'
    )
    (tmp_path / "r.json").write_text('[{"rubric_str": "Is it kind?", "name": "kind"}]')
    rows = [datapoint(id=1), {"id": 2, "prompt": "What is 2 + 2?"}]
    for name in ("r.toml", "r.json"):
        with ChatServer(by_role("4", "<score>1</score>")) as server:
            args = ["--rubric", name]
            result = cli(*REFINE, *at(server), *args, stdin=jsonl(rows))
        one, two = read_jsonl(result.stdout)
        assert result.returncode == 0, result.stderr
        grades = one["refinement"]["iterations"][0]["grades"]
        assert [grade["name"] for grade in grades] == ["item-0", "kind"]
        assert two["prompt"] == "What is 2 + 2?"
        assert "convo" not in two
        assert [i["name"] for i in two["rubric_items"]] == ["kind"]


def test_a_rubric_file_replaces_items_by_name_and_says_so_once(cli: Cli, tmp_path: Path) -> None:
    named = item("Is it four?", name="sum")
    rows = [datapoint(id=n, rubric_items=[named]) for n in range(3)]
    (tmp_path / "r.json").write_text('[{"rubric_str": "Is it 4?", "name": "sum", "wieght": 2}]')
    with ChatServer(by_role("4", "<score>1</score>")) as server:
        result = cli(*REFINE, *at(server), "--rubric", "r.json", stdin=jsonl(rows))
    assert result.returncode == 0, result.stderr
    for row in read_jsonl(result.stdout):
        assert [i["rubric_str"] for i in row["rubric_items"]] == ["Is it 4?"]
    assert result.stderr.count('<stdin>:1: the rubric replaces the item "sum"') == 1
    assert "<stdin>:2:" not in result.stderr
    assert result.stderr.count("r.json: rubric_items[0].wieght is ignored; did you mean") == 1


def test_what_the_policy_must_not_know_is_in_no_message_to_it(cli: Cli) -> None:
    row = datapoint(
        reference="REFERENCE four",
        rubric_items=[
            item("HIDDEN criterion 4", reveal="verdict"),
            {"check": {"kind": "number", "value": 424242}},
            item("open one", grader_output_format_instruction="INSTRUCTION <score>0-1</score>"),
        ],
    )
    with ChatServer(by_role("5", "HIDDEN reason\n<score>0</score>")) as server:
        cli(*REFINE, *at(server), "--max-iterations", "1", stdin=jsonl([row]))
        policy = [r for r in server.requests if not r.is_grading]
        graders = [r for r in server.requests if r.is_grading]
    assert len(policy) == 2
    told = policy[1].last
    for secret in ("HIDDEN criterion", "424242", "REFERENCE", "INSTRUCTION"):
        assert not any(secret in r.text for r in policy), secret
    assert "open one" in told
    assert all("REFERENCE four" in r.text for r in graders)
    assert sum("INSTRUCTION <score>0-1</score>" in r.last for r in graders) == 1


PARTS: list[dict[str, Any]] = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
]
TOOLS: list[dict[str, Any]] = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "sunny", "extra": 1},
]


def test_content_parts_and_tool_messages_pass_through_to_policy_and_grader(cli: Cli) -> None:
    rows = [
        datapoint(id="parts", convo=[{"role": "user", "content": PARTS, "name": "Ann"}]),
        datapoint(id="tools", convo=TOOLS),
    ]
    with ChatServer(by_role("4")) as server:
        result = cli(*REFINE, *at(server), "--concurrency", "1", stdin=jsonl(rows))
        asked = [r for r in server.requests if not r.is_grading]
        grading = [r for r in server.requests if r.is_grading]
    assert result.returncode == 0, result.stderr
    assert [r.body["messages"] for r in asked] == [row["convo"] for row in rows]
    assert PARTS[1] in grading[0].body["messages"][1]["content"]
    assert "What is this?" in grading[0].last
    assert "sunny" in grading[1].last
    assert [row["convo"] for row in read_jsonl(result.stdout)] == [row["convo"] for row in rows]


@pytest.mark.parametrize("name", ["convo", "prefix", "messages", "prompt"])
def test_the_conversation_may_have_four_names_and_keeps_its_own(cli: Cli, name: str) -> None:
    row = datapoint()
    row[name] = row.pop("convo")
    with ChatServer(by_role("4")) as server:
        (out,) = read_jsonl(cli(*REFINE, *at(server), stdin=jsonl([row])).stdout)
    assert out[name] == row[name]
    assert {"convo", "prefix", "messages", "prompt"} & out.keys() == {name}


def test_an_answer_that_speaks_of_think_tags_is_kept_whole(cli: Cli) -> None:
    answer = "Use the <think> tag to reason."
    with ChatServer(by_role(answer)) as server:
        result = cli(*REFINE, *at(server), stdin=jsonl([datapoint()]))
    assert read_jsonl(result.stdout)[0]["response"] == answer

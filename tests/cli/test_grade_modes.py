"""`[grade]`: verdicts alone, by probabilities, as JSON; choices, examples, calibration."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REFINE, Result, at, datapoint, item, jsonl, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, error, likely

Cli = Callable[..., Result]
LOGPROBS = ["--set", "grade.mode=logprobs"]
JSON = ["--set", "grade.format=json"]
WORDS = "Fine.\n<score>1</score>"


def the_only_grade(result: Result) -> dict[str, Any]:
    (out,) = read_jsonl(result.stdout)
    (grade,) = out["grading"]["grades"]
    assert isinstance(grade, dict)
    return grade


def graded(cli: Cli, server: ChatServer, row: dict[str, Any], *flags: str) -> dict[str, Any]:
    result = cli("grade", *at(server), *flags, stdin=jsonl([row]))
    assert result.returncode == 0, result.stderr
    return the_only_grade(result)


# ------------------------------------------------------------------ the verdict alone


def test_a_verdict_alone_is_asked_for_without_reasons(cli: Cli) -> None:
    with ChatServer(lambda r: "<score>0.5</score>") as server:
        found = graded(cli, server, datapoint(response="4"), "--set", "grade.mode=verdict")
        (request,) = server.requests
    assert "First say in one to three sentences" not in request.last
    assert "Give your verdict and nothing else." in request.last
    assert (found["score"], found["feedback"]) == (0.5, None)


# ------------------------------------------------------------------ by probabilities


def test_the_score_is_the_expectation_over_the_first_tokens_labels(cli: Cli) -> None:
    said = likely(Yes=0.6, no=0.35, The=0.05)
    with ChatServer(lambda r: said) as server:
        found = graded(cli, server, datapoint(response="4"), *LOGPROBS)
        (request,) = server.requests
    assert (request.body["logprobs"], request.body["top_logprobs"]) == (True, 20)
    assert request.body["max_tokens"] < 10
    assert request.last.endswith("Answer with one word alone: yes or no.")
    assert "<score>" not in request.last
    assert found["score"] == pytest.approx(0.6 / 0.95)
    assert found["passed"]  # by its probability: the expectation itself is never 1
    assert found["mass"] == pytest.approx(0.95)
    assert found["probabilities"] == {"no": pytest.approx(0.35), "yes": pytest.approx(0.6)}
    assert found["reply"] == "Yes"


def test_a_scale_is_asked_for_by_its_numbers_and_passes_by_its_pass_score(cli: Cli) -> None:
    row = datapoint(response="4", rubric_items=[item(score_range=[1, 5], pass_score=0.75)])
    said = likely(**{"3": 0.3, "4": 0.4, "5": 0.28})
    with ChatServer(lambda r: said) as server:
        found = graded(cli, server, row, *LOGPROBS)
        assert "from 1 (not at all) to 5 (fully)" in server.requests[0].last
    assert found["raw_score"] == pytest.approx((0.9 + 1.6 + 1.4) / 0.98)
    assert found["passed"]  # 0.68 of 0.98 is on 4 and 5, though 3.98 is below 4


def test_choices_are_asked_for_by_letter(cli: Cli) -> None:
    row = datapoint(response="4", rubric_items=[item(choices=["wrong", "vague", "right"])])
    with ChatServer(lambda r: likely(A=0.1, B=0.2, C=0.7)) as server:
        found = graded(cli, server, row, *LOGPROBS)
        assert "A: wrong\nB: vague\nC: right" in server.requests[0].last
    assert (found["raw_score"], found["score"]) == (pytest.approx(1.6), pytest.approx(0.8))


def test_too_little_mass_on_the_labels_is_asked_again_in_words(cli: Cli, tmp_path: Path) -> None:
    def script(request: Request) -> str | Reply:
        return likely(yes=0.8, The=0.2) if "logprobs" in request.body else WORDS

    with ChatServer(script) as server:
        row = jsonl([datapoint(response="4")])
        result = cli("grade", *at(server), *LOGPROBS, "--summary", "s.json", stdin=row)
        assert len(server.requests) == 2
    found = the_only_grade(result)
    assert (found["score"], found["feedback"], found["reply"]) == (1.0, "Fine.", WORDS)
    assert found["mass"] == pytest.approx(0.8)
    assert "probabilities" not in found
    assert json.loads((tmp_path / "s.json").read_text())["fell_back"] == 1
    assert "1 verdict was asked for in words" in result.stderr


def test_a_scale_without_a_few_steps_is_asked_for_in_words(cli: Cli) -> None:
    row = datapoint(response="4", rubric_items=[item(score_range=[0, 100])])
    with ChatServer(lambda r: "<score>90</score>") as server:
        assert graded(cli, server, row, *LOGPROBS)["score"] == 0.9
        assert "logprobs" not in server.requests[0].body


@pytest.mark.parametrize(
    "refused",
    [
        error(400, "Unsupported parameter: 'logprobs' is not supported with this model."),
        Reply("Yes, it is."),  # some ignore what they do not know
    ],
    ids=["refused", "ignored"],
)
def test_an_endpoint_without_probabilities_is_asked_for_them_only_at_first(
    cli: Cli, tmp_path: Path, refused: Reply
) -> None:
    rows = [datapoint(id=n, response=str(n)) for n in range(6)]
    with ChatServer(lambda r: refused if "logprobs" in r.body else WORDS) as server:
        write_jsonl(tmp_path / "in.jsonl", rows)
        command = ("grade", "in.jsonl", "--concurrency", "1", *at(server), *LOGPROBS)
        result = cli(*command, "--cache", "kept")
        assert [r.body.get("top_logprobs") for r in server.requests] == [20, 5, *[None] * 6]
        assert cli(*command, "--cache", "kept").stdout == result.stdout
        assert len(server.requests) == 8
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("top_logprobs 5 is not sent") == 1
    found = read_jsonl(result.stdout)
    assert [out["score"] for out in found] == [1.0] * 6
    assert [out["grading"]["usage"]["calls"] for out in found] == [1] * 6


def test_fewer_alternatives_are_asked_for_where_20_are_too_many(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if request.body["top_logprobs"] > 5:
            return error(400, "Requested sample logprobs of 20, which is greater than max: 5")
        return likely(yes=0.9, no=0.1)

    with ChatServer(script) as server:
        assert graded(cli, server, datapoint(response="4"), *LOGPROBS)["score"] == 0.9


def test_white_space_before_the_label_is_passed_over(cli: Cli) -> None:
    said = likely(yes=0.9, no=0.1)
    assert said.logprobs
    space = {"token": "\n", "logprob": 0.0, "top_logprobs": [{"token": "\n", "logprob": 0.0}]}
    said.logprobs["content"].insert(0, space)
    with ChatServer(lambda r: said) as server:
        assert graded(cli, server, datapoint(response="4"), *LOGPROBS)["score"] == 0.9


def test_that_a_way_is_refused_is_found_out_by_one_call_of_all(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n, response=str(n)) for n in range(30)])
    refused = error(400, "logprobs and response_format are not supported")
    ways = ("logprobs", "response_format")
    with ChatServer(lambda r: refused if r.body.keys() & set(ways) else WORDS) as server:
        result = cli("grade", "in.jsonl", *at(server), *LOGPROBS, *JSON)
        asked = [sum(way in r.body for r in server.requests) for way in ways]
    assert (result.returncode, asked) == (0, [2, 2]), result.stderr


def test_one_reply_without_probabilities_is_that_reply_alone_also_when_run_again(
    cli: Cli, tmp_path: Path
) -> None:
    def script(request: Request) -> str | Reply:
        if "logprobs" not in request.body:
            return WORDS
        return "yes" if "odd one" in request.last else likely(yes=0.7, no=0.3)

    responses = ["a", "b", "an odd one", "c", "d"]
    rows = [datapoint(id=n, response=text) for n, text in enumerate(responses)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(script) as server:
        flags = ("--concurrency", "1", "--cache", "kept", *at(server), *LOGPROBS)
        first = cli("grade", "in.jsonl", *flags)
        again = cli("grade", "in.jsonl", *flags)
    assert first.returncode == 0, first.stderr
    assert [out["score"] for out in read_jsonl(first.stdout)] == [0.7, 0.7, 1.0, 0.7, 0.7]
    assert again.stdout == first.stdout


def test_replies_from_before_a_way_was_refused_are_replayed(cli: Cli, tmp_path: Path) -> None:
    """What is learned of an endpoint does not make a run that goes on another one."""
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n, response=f"{n}!") for n in range(3)])
    takes = True

    def script(request: Request) -> str | Reply:
        if "logprobs" not in request.body:
            return WORDS
        return likely(yes=0.7, no=0.3) if takes else error(400, "logprobs: not supported")

    with ChatServer(script) as server:
        flags = ("--cache", "kept", *at(server), *LOGPROBS)
        first = cli("grade", "in.jsonl", *flags, "--limit", "2")
        takes = False
        cli("grade", "in.jsonl", *flags, "--set", "grader.system=Other.")
        sent = len(server.requests)
        again = cli("grade", "in.jsonl", *flags, "--limit", "2")
        assert len(server.requests) == sent
    assert "as the call cache knows" in again.stderr
    assert [out["score"] for out in read_jsonl(again.stdout)] == [0.7, 0.7]
    assert again.stdout == first.stdout


def test_a_run_in_pieces_is_the_same_as_a_whole_one_whatever_is_refused(
    cli: Cli, tmp_path: Path
) -> None:
    """With probabilities that are refused, too vague or missing, and one JSON form of two."""

    def script(request: Request) -> str | Reply:
        body, number = request.body, int(request.last.split("number ")[1].split(";")[0])
        if "logprobs" in body:
            if body["top_logprobs"] > 5:
                return error(400, "top_logprobs: at most 5")
            if number == 4:
                return "yes"
            return likely(The=0.5, yes=0.5) if number % 3 == 0 else likely(yes=0.6, no=0.4)
        if body["response_format"]["type"] == "json_schema":
            return error(400, "response_format json_schema is not supported")
        return '{"reasons": "So.", "score": 0.5}'

    rows = [datapoint(id=n, response=f"number {n};") for n in range(12)]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(script) as server:
        command = ("grade", "in.jsonl", *at(server), *LOGPROBS, *JSON, "--concurrency", "4")
        assert cli(*command, "-o", "whole.jsonl", "--cache", "kept").returncode == 0
        sent = len(server.requests)
        codes = [cli(*command, "-o", "pieces.jsonl", "--max-calls", "6").returncode for _ in "abcd"]
        assert (codes[0], codes[-1]) == (4, 0)
        assert len(server.requests) == 2 * sent
        offline = cli(*command, "-o", "offline.jsonl", "--cache", "kept", "--offline")
        assert len(server.requests) == 2 * sent
    assert offline.returncode == 0, offline.stderr
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "pieces.jsonl").read_bytes() == whole
    assert (tmp_path / "offline.jsonl").read_bytes() == whole


def first_token(token: str, logprob: float, top: Any) -> Reply:
    """A reply as some servers give it: its first token's alternatives in a shape of their own."""
    entry = {"token": token, "logprob": logprob, "top_logprobs": top}
    return Reply(token, "length", logprobs={"content": [entry]})


def test_the_token_that_was_drawn_counts_once_however_its_logarithm_is_rounded(cli: Cli) -> None:
    top = [{"token": t, "logprob": math.log(p)} for t, p in (("yes", 0.55), ("no", 0.45))]
    with ChatServer(lambda r: first_token("yes", -0.6, top)) as server:
        assert graded(cli, server, datapoint(response="4"), *LOGPROBS)["score"] == 0.55


@pytest.mark.parametrize(
    "without",
    [
        first_token("yes", -0.05, None),
        first_token("yes", -0.05, []),
        first_token("yes", 9.0, [{"token": "yes", "logprob": 9.0}, {"token": "no", "logprob": 8}]),
        Reply("yes", "length", logprobs={"content": []}),
        Reply("yes", "length", logprobs={"content": [{"token": "yes", "logprob": -0.05}]}),
    ],
    ids=["null", "empty", "no logarithms", "no tokens", "missing"],
)
def test_without_alternatives_there_are_no_probabilities(cli: Cli, without: Reply) -> None:
    with ChatServer(lambda r: without if "logprobs" in r.body else WORDS) as server:
        found = graded(cli, server, datapoint(response="4"), *LOGPROBS)
        assert [r.body.get("top_logprobs") for r in server.requests] == [20, 5, None]
    assert found["reply"] == WORDS
    assert "probabilities" not in found


def test_repeats_of_probabilities_are_refused(cli: Cli) -> None:
    flags = ("--repeats", "3", "--set", "grader.temperature=1")
    with ChatServer(lambda r: "") as server:
        result = cli("grade", *at(server), *LOGPROBS, *flags, stdin=jsonl([datapoint()]))
        assert not server.requests
    assert result.returncode == 2
    assert "3 repeats of the same probabilities" in result.stderr


def test_refine_goes_by_probabilities_too(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if not request.is_grading:
            return "better" if len(request.body["messages"]) > 1 else "draft"
        return likely(yes=0.9, no=0.1) if "better" in request.last else likely(yes=0.2, no=0.8)

    with ChatServer(script) as server:
        result = cli(*REFINE, *at(server), *LOGPROBS, stdin=jsonl([datapoint()]))
    (out,) = read_jsonl(result.stdout)
    assert result.returncode == 0, result.stderr
    assert (out["response"], out["score"]) == ("better", pytest.approx(0.9))
    assert out["refinement"]["stop_reason"] == "passed"


def test_debug_rollout_shows_what_could_have_been_the_first_token(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if "logprobs" not in request.body:
            return WORDS
        return likely(yes=0.7, The=0.3) if "Sure?" in request.last else likely(yes=0.9, no=0.1)

    row = jsonl([datapoint(response="4", rubric_items=[item("Right?"), item("Sure?")])])
    with ChatServer(script) as server:
        result = cli("debug-rollout", "-", *at(server), *LOGPROBS, stdin=row)
    assert result.returncode == 0, result.stderr
    told = result.stdout
    first, second = told.split("grade of item-0")[1].split("grade of item-1")
    assert "first token, by probability\n  yes 0.900 · no 0.100" in first
    assert "too little of the first token's probability is on a label" in second
    assert "First say in one to three sentences" in second
    assert "grader call" not in told  # each has its place


def test_debug_rollout_says_what_passes_by_probabilities(cli: Cli) -> None:
    row = jsonl([datapoint(response="4")])
    with ChatServer(lambda r: likely(yes=0.7, no=0.3)) as server:
        result = cli("debug-rollout", "-", *at(server), *LOGPROBS, stdin=row)
    assert result.returncode == 0, result.stderr
    assert "a pass is 0.700 likely, at least 0.5 passes" in result.stdout


def test_debug_rollout_shows_each_jurors_vote_and_that_most_decide(cli: Cli) -> None:
    def script(request: Request) -> str:
        return f"<score>{0 if request.body['model'] == 'c' else 1}</score>"

    jury = [flag for name in "abc" for flag in ("--set", f"jury.{name}.model={name}")]
    row = jsonl([datapoint(response="4")])
    with ChatServer(script) as server:
        told = cli("debug-rollout", "-", *at(server), *jury, stdin=row).stdout
        by_most = cli(
            "debug-rollout", "-", *at(server), *jury, "--set", "grade.combine=majority", stdin=row
        ).stdout
    assert "votes: a 1 ✓ passed · b 1 ✓ passed · c 0 ✗ failed" in told
    assert "→ 1, at least 1 passes" in told
    assert "→ 1, most votes decide" in by_most


def test_debug_rollout_shows_no_call_that_the_endpoint_did_not_take(cli: Cli) -> None:
    refused = error(400, "Unsupported parameter: 'logprobs' is not supported with this model.")
    row = jsonl([datapoint(response="4")])
    with ChatServer(lambda r: refused if "logprobs" in r.body else WORDS) as server:
        result = cli("debug-rollout", "-", *at(server), *LOGPROBS, stdin=row)
    assert "failed" not in result.stdout.split("== scores")[0].split("== grade of")[1].lower()
    assert "call (" not in result.stdout
    assert "top_logprobs 20 is not sent" in result.stderr


def test_show_config_shows_the_file_of_examples(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "seen.jsonl", [{"prompt": "2 + 2?", "response": "4", "score": 1}])
    (tmp_path / "c.toml").write_text('[grade]\nexamples = "seen.jsonl"\n')
    result = cli("grade", "--config", "c.toml", "--model", "m", "--show-config")
    assert result.returncode == 0, result.stderr
    assert tomllib.loads(result.stdout)["grade"]["examples"].endswith("seen.jsonl")


# ------------------------------------------------------------------ JSON


def form(request: Request) -> str:
    return str(request.body.get("response_format", {}).get("type"))


def test_a_json_verdict_is_asked_for_by_schema_and_read_whole(cli: Cli) -> None:
    with ChatServer(lambda r: '{"reasons": "Nearly.", "score": 0.5}') as server:
        found = graded(cli, server, datapoint(response="4"), *JSON)
        (request,) = server.requests
    schema = request.body["response_format"]["json_schema"]
    assert (schema["strict"], schema["schema"]["required"]) == (True, ["reasons", "score"])
    assert "<score>" not in request.last
    assert (found["score"], found["feedback"]) == (0.5, "Nearly.")


def test_json_forms_that_an_endpoint_refuses_are_left_once_for_all(
    cli: Cli, tmp_path: Path
) -> None:
    def script(request: Request) -> str | Reply:
        if form(request) == "json_schema":
            return error(400, "This response_format type is unavailable now")
        return '{"reasons": "Yes.", "score": 1}'

    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n, response=str(n)) for n in range(4)])
    with ChatServer(script) as server:
        result = cli("grade", "in.jsonl", "--concurrency", "1", *at(server), *JSON)
        assert [form(r) for r in server.requests] == ["json_schema", *["json_object"] * 4]
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("response_format json_schema is not sent") == 1
    assert [out["score"] for out in read_jsonl(result.stdout)] == [1.0] * 4


def test_where_no_json_is_to_be_had_the_items_own_format_is_used(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if "response_format" in request.body:
            return error(400, "Groq: This model does not support response format `json_object`")
        return WORDS

    with ChatServer(script) as server:
        found = graded(cli, server, datapoint(response="4"), *JSON)
        assert [form(r) for r in server.requests] == ["json_schema", "json_object", "None"]
        assert "<score>" in server.requests[-1].last
    assert found["score"] == 1.0


@pytest.mark.parametrize(
    "own",
    [
        {"extraction_regex": r"Rating: (\d)", "grader_output_format_instruction": "Rating: 0 or 1"},
        {"grader_output_format_instruction": "Please write <score>0</score> or <score>1</score>."},
        {"choices": ["0", "1"], "grader_output_format_instruction": "<score>0</score>, or 1."},
    ],
)
def test_an_item_with_a_format_of_its_own_keeps_to_it(cli: Cli, own: dict[str, Any]) -> None:
    with ChatServer(lambda r: "Rating: 1 <score>1</score>") as server:
        found = graded(cli, server, datapoint(response="4", rubric_items=[item(**own)]), *JSON)
        (request,) = server.requests
    assert "response_format" not in request.body
    assert own["grader_output_format_instruction"] in request.last
    assert found["score"] == 1.0


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ('Sure: {"score": 1}', "not one JSON object"),
        ('{"score": 1} {"score": 1}', "not one JSON object"),
        ('[{"score": 1}]', "no JSON object with a score"),
        ('{"verdict": 1}', "no JSON object with a score"),
        ('{"score": true}', "'True' is no score"),
        ('{"score": 2}', "'2' is not a number from 0 to 1"),
        ('{"score": NaN}', "not one JSON object"),
        ('{"score": null}', "'None' is no score"),
    ],
)
def test_a_json_reply_that_is_no_verdict_stays_ungraded(cli: Cli, reply: str, why: str) -> None:
    with ChatServer(lambda r: reply) as server:
        result = cli("grade", *at(server), *JSON, stdin=jsonl([datapoint(response="4")]))
        assert len(server.requests) == 2
        assert why in server.requests[1].last
        assert "Reply with one JSON object" in server.requests[1].last
    found = the_only_grade(result)
    assert (result.returncode, found["status"], found["score"]) == (3, "ungraded", None)
    assert why in found["error"]["message"]


def test_a_fenced_json_reply_is_read(cli: Cli) -> None:
    with ChatServer(lambda r: '<think>Hm.</think>```json\n{"score": 1}\n```') as server:
        assert graded(cli, server, datapoint(response="4"), *JSON)["score"] == 1.0


def test_reasons_in_json_may_speak_of_the_end_of_thoughts(cli: Cli) -> None:
    said = '{"reasons": "It says </think> and <think>.", "score": 0.5}'
    for reply in (said, f"```json\n{said}\n```"):
        with ChatServer(lambda r, reply=reply: reply) as server:  # type: ignore[misc]
            assert graded(cli, server, datapoint(response="4"), *JSON)["score"] == 0.5


# ------------------------------------------------------------------ choices


CHOICES = item(choices=["Wrong", "vague", "right"])


@pytest.mark.parametrize(("said", "score"), [("Right", 1.0), ("vague", 0.5), (" WRONG ", 0.0)])
def test_a_choice_is_scored_by_its_rank(cli: Cli, said: str, score: float) -> None:
    with ChatServer(lambda r: f"So.\n<score>{said}</score>") as server:
        found = graded(cli, server, datapoint(response="4", rubric_items=[CHOICES]))
        assert "Wrong; vague; right (from worst to best)" in server.requests[0].last
    assert (found["score"], found["passed"]) == (score, score == 1.0)


def test_what_is_none_of_the_choices_is_no_verdict(cli: Cli) -> None:
    with ChatServer(lambda r: "<score>2</score>") as server:
        row = jsonl([datapoint(response="4", rubric_items=[CHOICES])])
        result = cli("grade", *at(server), stdin=row)
    assert result.returncode == 3
    assert (
        "'2' is none of the choices Wrong, vague, right"
        in the_only_grade(result)["error"]["message"]
    )


def test_a_label_may_name_a_choice(cli: Cli, tmp_path: Path) -> None:
    said = ["right", "Wrong", "vague", "right"] * 4  # fewer than what intervals are drawn for
    rows = [
        datapoint(id=n, response=text, gold=text, rubric_items=[CHOICES])
        for n, text in enumerate(said)
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(
        lambda r: f"<score>{r.last.split('<response-')[1].split(chr(10))[1]}</score>"
    ) as server:
        result = cli(
            *("grade", "in.jsonl", *at(server), "--gold-field", "gold", "--summary", "s.json")
        )
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert (found["n"], found["exact"]["value"]) == (16, 1.0)


def test_choices_as_json_are_an_enumeration(cli: Cli) -> None:
    with ChatServer(lambda r: '{"reasons": "", "score": "vague"}') as server:
        found = graded(cli, server, datapoint(response="4", rubric_items=[CHOICES]), *JSON)
        schema = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["score"] == {"type": "string", "enum": ["Wrong", "vague", "right"]}
    assert found["score"] == 0.5


def test_choices_that_cannot_be_told_apart_are_refused(cli: Cli) -> None:
    wrong: list[list[Any]] = [["one"], ["a", "A"], [1, 2], [f"c{n}" for n in range(21)]]
    rows = [datapoint(response="4", rubric_items=[item(choices=choices)]) for choices in wrong]
    with ChatServer(by_response) as server:
        result = cli("grade", *at(server), stdin=jsonl(rows))
        assert not server.requests
    said = [row["error"]["message"] for row in read_jsonl(result.stdout)]
    assert ["rubric_items[0].choices" in one for one in said] == [True] * 4


# ------------------------------------------------------------------ examples


SHOTS = [
    {"response": "I do not know.", "score": 0, "reasons": "It answers nothing."},
    {"response": "134", "score": 1},
]


def test_examples_come_before_the_question_as_turns_in_the_form_that_is_asked_for(
    cli: Cli,
) -> None:
    row = datapoint(response="9", rubric_items=[item(examples=SHOTS)])
    seen = {}
    for name, flags, reply in (
        ("text", [], WORDS),
        ("json", JSON, '{"reasons": "", "score": 1}'),
        ("logprobs", LOGPROBS, likely(yes=1.0)),
        ("verdict", ["--set", "grade.mode=verdict"], WORDS),
    ):
        with ChatServer(lambda r, reply=reply: reply) as server:  # type: ignore[misc]
            graded(cli, server, row, *flags)
            messages = server.requests[0].body["messages"]
        assert [m["role"] for m in messages] == [
            *("system", "user", "assistant", "user", "assistant", "user")
        ]
        assert "I do not know." in messages[1]["content"]
        assert row["convo"][0]["content"] in messages[1]["content"]
        seen[name] = [messages[2]["content"], messages[4]["content"]]
    assert seen["text"] == ["It answers nothing.\n<score>0</score>", "<score>1</score>"]
    assert seen["json"] == [
        '{"reasons":"It answers nothing.","score":0.0}',
        '{"reasons":"","score":1.0}',
    ]
    assert seen["logprobs"] == ["no", "yes"]
    assert seen["verdict"] == ["<score>0</score>", "<score>1</score>"]


def test_examples_of_a_file_go_to_all_items_but_those_of_the_own_criterion_go_first(
    cli: Cli, tmp_path: Path
) -> None:
    lines = [
        {"prompt": "70 + 7?", "response": "78", "score": 0},
        {"prompt": "80 + 8?", "response": "6", "score": 1, "rubric_str": "Kind?"},
        {"prompt": "90 + 9?", "response": "8", "score": 4},  # on no scale of these
    ]
    write_jsonl(tmp_path / "shots.jsonl", lines)
    shots = (tmp_path / "shots.jsonl").read_bytes()
    (tmp_path / "shots.jsonl").write_bytes(b"\xef\xbb\xbf" + shots)  # as some editors write it
    (tmp_path / "conf.toml").write_text('[grade]\nexamples = "shots.jsonl"\n')
    row = datapoint(response="4", rubric_items=[item("Right?"), item("Kind?")])
    with ChatServer(lambda r: WORDS) as server:
        cli("grade", *at(server), "--config", "conf.toml", stdin=jsonl([row]))
        sent = {r.last.split("<criterion>\n")[1][:5]: r.text for r in server.requests}
    assert ("70 + 7?" in sent["Right"], "80 + 8?" in sent["Right"]) == (True, True)
    assert sent["Right"].count("Kind?") == 1  # the criterion of the second example
    assert ("70 + 7?" in sent["Kind?"], "80 + 8?" in sent["Kind?"]) == (False, True)
    assert "90 + 9?" not in sent["Right"] + sent["Kind?"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "shots.jsonl:2: "),
        ('{"prompt": "x", "response": "y"}', "shots.jsonl:2: score: "),
        ('{"response": "y", "score": 1}', "an example in a file needs its prompt"),
        ('{"prompt": "x", "response": "", "score": 1}', "shots.jsonl:2: response: "),
    ],
)
def test_a_line_that_is_no_example_is_told_by_its_place(
    cli: Cli, tmp_path: Path, line: str, why: str
) -> None:
    (tmp_path / "shots.jsonl").write_text(f"\n{line}\n")
    flags = ("--set", "grade.examples=shots.jsonl", "--model", "m")
    result = cli("grade", *flags, stdin=jsonl([datapoint(response="4")]))
    assert result.returncode == 2
    assert why in result.stderr


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ({"examples": [{"response": "x", "score": 7}]}, "7.0 is not a score of this item"),
        (
            {"extraction_regex": r"(\d)(/|:)(\d)", "examples": SHOTS},
            "does not say how a grader writes its verdict",
        ),
    ],
)
def test_examples_that_do_not_fit_their_item_are_an_error_of_the_line(
    cli: Cli, tmp_path: Path, own: dict[str, Any], why: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4", rubric_items=[item(**own)])])
    result = cli("grade", "in.jsonl", "--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert result.returncode == 2
    assert why in result.stderr
    assert "in.jsonl:1" in result.stderr


# ------------------------------------------------------------------ calibrated


def by_response(request: Request) -> Reply:
    """The response says how likely a yes is, in hundredths: good ones too get less than half."""
    percent = int(request.last.split("p=")[1][:2])
    return likely(yes=percent / 100, no=1 - percent / 100)


def labelled(good: list[int], bad: list[int]) -> list[dict[str, Any]]:
    rows = [(f"p={p}", True) for p in good] + [(f"p={p}", False) for p in bad]
    return [datapoint(id=n, response=r, gold=g) for n, (r, g) in enumerate(rows)]


def test_a_calibrated_threshold_is_read_as_a_config_and_makes_better_verdicts(
    cli: Cli, tmp_path: Path
) -> None:
    rows = labelled([*range(30, 45)], [*range(12, 27)])
    write_jsonl(tmp_path / "in.jsonl", rows)
    flags = ("--gold-field", "gold", *LOGPROBS)
    with ChatServer(by_response) as server:
        asked = ("grade", "in.jsonl", *at(server))
        first = cli(*asked, *flags, "--calibrate", "my.toml", "--summary", "one.json")
        assert first.returncode == 0, first.stderr
        again = cli(*asked, "--config", "my.toml", "--gold-field", "gold", "--summary", "two.json")
        assert again.returncode == 0, again.stderr
        kept = cli(*asked, *flags, "--calibrate", "my.toml")
    written = tomllib.loads((tmp_path / "my.toml").read_text())
    assert written["grade"]["mode"] == "logprobs"
    assert 0.26 < written["grade"]["pass_probability"] < 0.30
    assert "by cross-validation" in first.stderr
    one, two = (
        json.loads((tmp_path / name).read_text())["agreement"] for name in ("one.json", "two.json")
    )
    assert (one["balanced_accuracy"]["value"], one["auc"]["value"]) == (0.5, 1.0)
    assert two["balanced_accuracy"]["value"] == 1.0
    assert kept.returncode == 2
    assert "my.toml exists" in kept.stderr


def test_probabilities_at_chance_give_no_threshold(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", labelled([*range(20, 50)], [*range(20, 50)]))
    with ChatServer(by_response) as server:
        result = cli(
            *("grade", "in.jsonl", *at(server), *LOGPROBS),
            *("--gold-field", "gold", "--calibrate", "my.toml"),
        )
    assert result.returncode == 1
    assert "my.toml is not written: the probabilities are at chance: AUC 0.500" in result.stderr
    assert not (tmp_path / "my.toml").exists()


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (LOGPROBS, "--calibrate needs labels"),
        (["--gold-field", "gold"], "--calibrate means nothing in mode explain"),
    ],
)
def test_a_calibration_of_nothing_is_refused(cli: Cli, flags: list[str], why: str) -> None:
    result = cli("grade", "--model", "m", "--calibrate", "my.toml", *flags, stdin="{}")
    assert result.returncode == 2
    assert why in result.stderr


def test_a_threshold_of_millionths_is_written_as_it_is(cli: Cli, tmp_path: Path) -> None:
    """Small models hardly ever say yes, and tell good from bad all the same."""

    def hardly_ever(request: Request) -> Reply:
        yes = int(request.last.split("p=")[1][:2]) * 1e-9
        return likely(yes=yes, no=1 - yes)

    write_jsonl(tmp_path / "in.jsonl", labelled([*range(30, 45)], [*range(12, 27)]))
    with ChatServer(hardly_ever) as server:
        asked = ("grade", "in.jsonl", *at(server), "--gold-field", "gold")
        assert cli(*asked, *LOGPROBS, "--calibrate", "my.toml").returncode == 0
        again = cli(*asked, "--config", "my.toml", "--require", "balanced_accuracy>=1")
    assert again.returncode == 0, again.stderr
    assert "pass_probability = 2.8e-08" in (tmp_path / "my.toml").read_text()


def test_a_run_that_failed_writes_no_threshold_and_can_be_run_again(
    cli: Cli, tmp_path: Path
) -> None:
    rows = labelled([*range(30, 45)], [*range(12, 27)])
    write_jsonl(tmp_path / "in.jsonl", [*rows, datapoint(response="vague", gold=True)])
    there = False

    def script(request: Request) -> str | Reply:
        if "vague" not in request.last:
            return by_response(request)
        return likely(yes=0.9, no=0.1) if there else "no idea"

    with ChatServer(script) as server:
        flags = ("--gold-field", "gold", *LOGPROBS, "--calibrate", "my.toml")
        flags += ("--set", "policy.retries=1")
        command = ("grade", "in.jsonl", "-o", "out.jsonl", *at(server), *flags)
        first = cli(*command)
        assert (first.returncode, (tmp_path / "my.toml").exists()) == (3, False)
        assert "my.toml is not written: too much failed" in first.stderr
        there = True
        again = cli(*command)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "my.toml").exists()


# ------------------------------------------------------------------ as given by tables, and by hand


def test_an_example_of_an_item_may_have_a_prompt_and_nulls(cli: Cli) -> None:
    shot = {"prompt": "70 + 7?", "response": "78", "score": 0, "reasons": None, "rubric_str": None}
    with ChatServer(lambda r: WORDS) as server:
        graded(cli, server, datapoint(response="4", rubric_items=[item(examples=[shot])]))
        messages = server.requests[0].body["messages"]
    assert "70 + 7?" in messages[1]["content"]
    assert "70 + 7?" not in messages[3]["content"]


def test_a_choice_is_named_without_the_spaces_around_it(cli: Cli) -> None:
    row = datapoint(response="4", rubric_items=[item(choices=["bad ", " good"])])
    with ChatServer(lambda r: "<score>good</score>") as server:
        assert graded(cli, server, row)["score"] == 1.0


def test_the_choices_of_a_fault_go_from_the_least_of_it_to_the_most(cli: Cli) -> None:
    fault = item("It rambles", weight=-1, choices=["not at all", "much"])
    row = datapoint(response="4", rubric_items=[item(), fault])
    with ChatServer(lambda r: likely(A=0.9, B=0.1)) as server:
        result = cli("grade", *at(server), *LOGPROBS, stdin=jsonl([row]))
        (asked,) = (r.last for r in server.requests if "It rambles" in r.last and "A: " in r.last)
    assert "from the least of that fault to the most" in asked
    assert "worst" not in asked
    written = read_jsonl(result.stdout)[0]["rubric_items"][1]
    assert "least of the fault" in written["grader_output_format_instruction"]


@pytest.mark.parametrize("score", [1234567, 0.0000001, 2.5, 3])
def test_a_score_of_an_example_is_written_as_a_grader_may_write_it(cli: Cli, score: float) -> None:
    shots = [{"response": "x", "score": score}]
    row = datapoint(response="4", rubric_items=[item(score_range=[0, 1e7], examples=shots)])
    with ChatServer(lambda r: r.body["messages"][2]["content"]) as server:
        assert graded(cli, server, row)["raw_score"] == score


def test_the_examples_that_show_config_names_are_found_from_anywhere(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    write_jsonl(tmp_path / "sub" / "shots.jsonl", [{"prompt": "x", "response": "y", "score": 1}])
    (tmp_path / "sub" / "conf.toml").write_text('[grade]\nexamples = "shots.jsonl"\n')
    model = ("--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    shown = cli("grade", *model, "--config", "sub/conf.toml", "--show-config")
    assert shown.returncode == 0, shown.stderr
    (tmp_path / "all.toml").write_text(shown.stdout)
    assert cli("grade", "--config", "all.toml", "--show-config").returncode == 0
    assert tomllib.loads(shown.stdout)["grade"]["examples"] == str(tmp_path / "sub" / "shots.jsonl")


# ------------------------------------------------------------------ several items in a call


def test_items_asked_together_give_one_grade_each_and_count_one_call(
    cli: Cli, tmp_path: Path
) -> None:
    """The third item's verdict is missing, so it is asked about alone; the same command, started
    again, is answered from the cache."""
    items = [item(f"{name}?", name=name) for name in ("right", "tone", "short")]
    row = datapoint(response="4", rubric_items=items)

    def grader(request: Request) -> str:
        if "<criterion name=" not in request.last:
            return "Alone.\n<score>1</score>"
        (tag,) = set(re.findall("<(grade-[0-9a-f]+) ", request.last))
        verdicts = {"right": "Yes.\n<score>1</score>", "tone": "No.\n<score>0</score>"}
        return "\n".join(f'<{tag} name="{n}">\n{v}\n</{tag}>' for n, v in verdicts.items())

    flags = ["--set", "grade.batch_items=3", "--cache", str(tmp_path / "cache")]
    with ChatServer(grader) as server:
        results = [cli("grade", *at(server), *flags, stdin=jsonl([row])) for _ in range(2)]
        assert len(server.requests) == 2
    assert results[0].stdout == results[1].stdout
    grading = read_jsonl(results[0].stdout)[0]["grading"]
    assert [grade["score"] for grade in grading["grades"]] == [1, 0, 1]
    assert [grade["feedback"] for grade in grading["grades"]] == ["Yes.", "No.", "Alone."]
    assert grading["usage"]["calls"] == 2
    assert grading["shaped_by"] == {"grade.batch_items": 3}
    refused = cli("grade", *flags[:2], *LOGPROBS, stdin=jsonl([row]))
    assert refused.returncode == 2
    assert "grade.batch_items" in refused.stderr

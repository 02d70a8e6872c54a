"""`refinecli export`: what it prints, what it refuses, and when its directory appears."""

from __future__ import annotations

import hashlib
import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinecli.export.formats import FORMATS
from refinecli.export.kinds import KINDS
from refinecli.export.selection import PAIRINGS
from refinecli.text.json_text import digest
from tests.conftest import Result, Start, jsonl, read_jsonl, write_jsonl
from tests.support.report_files import failed_row, row
from tests.support.waiting import wait_until

Cli = Callable[..., Result]


def drafts(n: int = 12) -> list[dict[str, Any]]:
    """Rows with four drafts each: one passed, one was cut off, one is empty, one failed."""
    rows = [row(number, [1.0, 1.0, 1.0, 0.5], drafts=True) for number in range(n)]
    for made in rows:
        made["refinement"]["iterations"][1]["finish_reason"] = "length"
        made["refinement"]["iterations"][2]["response"] = ""
    return [*rows, failed_row(99)]


def test_an_export_says_what_went_in_and_the_three_main_reasons_for_the_rest(
    cli: Cli, tmp_path: Path
) -> None:
    run = write_jsonl(tmp_path / "out.jsonl", drafts())
    result = cli("export", str(run), "--to", "sft", "-o", "made")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "sft: graded responses with a good ending, each once; passed",
        "12 answers of 12 prompts, from 48 responses in 13 rows: 11 in made/train.jsonl, 1 in "
        "made/test.jsonl",
        "left out: cut off, or without a good ending: 12; empty: 12; not passed: 12; other "
        "reasons: 1",
        "next: refinecli train made --model local -o made.gguf",
        "or: cd made && trl sft --config trl.yaml --model_name_or_path MODEL",
    ]
    made = tmp_path / "made"
    names = {path.name for path in made.iterdir()}
    assert names == {"train.jsonl", "test.jsonl", "manifest.json", "README.md", "trl.yaml"}
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["sources"][0]["sha256"] == hashlib.sha256(run.read_bytes()).hexdigest()
    assert manifest["dropped"] == {"cut_off": 12, "empty": 12, "not_passed": 12, "failed": 1}
    assert manifest["kept"] == 12


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("sft", "draw more with `refine --drafts N` or ask for less with --min-score X"),
        ("dpo", "draw more with `refine --drafts N` or ask for less with --min-margin X"),
        ("prompts", "give more rows"),
    ],
)
def test_examples_too_few_to_train_on_come_with_the_way_to_more(
    cli: Cli, tmp_path: Path, kind: str, more: str
) -> None:
    rows = [row(n, [0.0, 1.0], texts=("one", "two")) for n in range(9)]
    write_jsonl(tmp_path / "out.jsonl", rows)
    said = cli("export", "out.jsonl", "--to", kind, "-o", "made", "--test-share", "0").stderr
    [note] = [line for line in said.splitlines() if line.startswith("note:")]
    assert re.sub(r"9 \w+", "9 …", note) == (
        f"note: 9 … to train on will hardly change a model: {more}"
    )


def test_what_trains_next_is_a_command_for_this_machine_or_for_a_gpu(
    cli: Cli, tmp_path: Path
) -> None:
    run = str(write_jsonl(tmp_path / "out.jsonl", drafts()))
    rewards = cli("export", run, "--to", "reward", "--pairs", "best-worst", "-o", "my pairs")
    assert rewards.stderr.splitlines()[-2:] == [
        "next: refinecli train 'my pairs' --model local -o 'my pairs-model'",
        "or: cd 'my pairs' && trl reward --config trl.yaml --model_name_or_path MODEL",
    ]
    elsewhere = cli("export", run, "--to", "sft", "-o", "made", "--gpu").stderr
    assert elsewhere.splitlines()[-1] == (
        "next: cd made && trl sft --config trl.yaml --model_name_or_path MODEL"
    )
    assert "refinecli train" not in elsewhere


def test_the_help_names_every_kind_format_and_pairing(cli: Cli) -> None:
    shown = " ".join(cli("export", "--help").stdout.replace("│", " ").split())
    assert f"One of: {', '.join(KINDS)}." in shown
    assert f"One of: {', '.join(FORMATS)}." in shown
    assert all(pairing in shown for pairing in PAIRINGS)


def test_equal_runs_give_equal_bytes_also_through_a_pipe(cli: Cli, tmp_path: Path) -> None:
    lines = jsonl(drafts())
    for name in ("one", "two"):
        assert cli("export", "--to", "sft", "-o", name, "-q", stdin=lines).stderr == ""
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    sources = json.loads((tmp_path / "one" / "manifest.json").read_text())["sources"]
    assert sources[0]["sha256"] == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "export needs a kind"),
        (("--to", "ppo", "-o", "made"), "there is no kind ppo"),
        (("--to", "sft"), "name a new one with -o DIR"),
        (("--to", "sft", "-o", "made", "--pairs", "all"), "--pairs does not go with --to sft"),
        (("--to", "dpo", "-o", "made", "--pairs", "some"), "--pairs some: unknown"),
        (("--to", "sft", "-o", "made", "--format", "csv"), "there is no format csv"),
        (("--to", "sft", "-o", "made", "--format", "verl"), "use --format trl or --format openai"),
        (("--to", "prompts", "-o", "made", "--random"), "it selects nothing"),
        (("--to", "sft", "-o", "made", "--format", "openai", "--gpu"), "--gpu goes with"),
        (("--to", "sft", "-o", "."), "has other files in it"),
        (("--to", "sft", "-o", "out.jsonl"), "is not a directory"),
        (("--to", "sft", "-o", "made", "--min-score", "2"), "no answer is left of 48 responses"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    cli: Cli, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    write_jsonl(tmp_path / "out.jsonl", drafts())
    result = cli("export", "out.jsonl", *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_run_without_grades_is_refused_with_the_way_out(cli: Cli, tmp_path: Path) -> None:
    plain = [{"convo": "Hi?", "rubric_items": ["x"], "response": "Hi"}]
    write_jsonl(tmp_path / "in.jsonl", [{**plain[0], "rubric_items": [{"rubric_str": "Kind?"}]}])
    result = cli("export", "in.jsonl", "--to", "dpo", "-o", "made")
    assert result.returncode == 2
    assert "in.jsonl: it has no graded response" in result.stderr
    assert (
        "hint: give export the output of `refinecli refine` or `refinecli grade`" in result.stderr
    )


def test_bad_lines_are_listed_up_to_twenty_and_counted(cli: Cli, tmp_path: Path) -> None:
    odd = row(3, [1.0])
    odd["refinement"]["iterations"][0]["response"] = 7
    run = write_jsonl(tmp_path / "out.jsonl", [*drafts(), odd])
    with run.open("a") as file:
        file.write("{\n" * 22)
    result = cli("export", "out.jsonl", "--to", "sft", "-o", "made")
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: out.jsonl:14: not an output line of refine or grade: ")
    assert lines[1].startswith("error: out.jsonl:15: not JSON")
    assert lines[-3:] == [
        "error: and 3 more lines",
        "error: 23 of 36 lines cannot be used; nothing is written",
        "  hint: fix them, or leave them out",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_force_replaces_an_export_and_nothing_else_in_its_directory(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "out.jsonl", drafts())
    base = ("export", "out.jsonl", "--to", "sft", "-o", "made", "-q")
    assert cli(*base).returncode == 0
    (tmp_path / "made" / "model").mkdir()
    refused = cli(*base)
    assert refused.returncode == 2
    assert "made: exists already" in refused.stderr
    assert cli(*base, "--force", "--format", "openai").returncode == 0
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"train.jsonl", "test.jsonl", "manifest.json", "README.md", "model"}
    assert "messages" in read_jsonl(tmp_path / "made" / "train.jsonl")[0]


def test_a_signal_ends_it_and_leaves_nothing(start: Start, tmp_path: Path) -> None:
    process = start("export", "-", "--to", "sft", "-o", "made")
    assert process.stdin is not None
    process.stdin.write(jsonl(drafts()).encode())
    process.stdin.flush()
    wait_until(lambda: any(tmp_path.glob(".made.*/*")))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert not list(tmp_path.iterdir())


def test_prompts_begin_with_the_runs_system_prompt_only_where_asked(
    cli: Cli, tmp_path: Path
) -> None:
    rows = drafts()
    for made in rows[:-1]:
        made["refinement"]["shaped_by"] = {"policy.system": "Be kind."}
    write_jsonl(tmp_path / "out.jsonl", rows)
    assert cli("export", "out.jsonl", "--to", "sft", "-o", "a").returncode == 0
    assert cli("export", "out.jsonl", "--to", "sft", "--with-system", "-o", "b").returncode == 0
    without, having = (read_jsonl(tmp_path / name / "train.jsonl")[0]["prompt"] for name in "ab")
    assert [message["role"] for message in without] == ["user"]
    assert having[0] == {"role": "system", "content": "Be kind."}


def test_a_long_system_prompt_comes_from_the_runs_settings(cli: Cli, tmp_path: Path) -> None:
    system, rows = "Be kind. " * 60, drafts()
    recorded = {"digest": digest(system), "begins": system[:200]}
    for made in rows[:-1]:
        made["refinement"]["shaped_by"] = {"policy.system": recorded}
    write_jsonl(tmp_path / "out.jsonl", rows)
    base = ("export", "out.jsonl", "--to", "sft", "--with-system", "-o", "made")
    refused = cli(*base)
    assert refused.returncode == 2
    assert "hint: give the settings that it was made with: --config FILE" in refused.stderr
    (tmp_path / "run.toml").write_text(f'[policy]\nsystem = "{system}"\n')
    assert cli(*base, "--config", "run.toml").returncode == 0
    first = read_jsonl(tmp_path / "made" / "train.jsonl")[0]["prompt"][0]
    assert first == {"role": "system", "content": system}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("poor", "much better"), "note: the better one is the longer in 100% of the pairs\n"),
        (("not good", "good"), "note: the better one is the shorter in 100% of the pairs\n"),
        (("four", "five"), ""),
    ],
)
def test_a_side_that_is_always_the_longer_is_named(
    cli: Cli, tmp_path: Path, texts: tuple[str, str], said: str
) -> None:
    rows = [row(n, [0.1, 0.9], texts=texts) for n in range(12)]
    write_jsonl(tmp_path / "out.jsonl", rows)
    result = cli("export", "out.jsonl", "--to", "dpo", "-o", "made")
    assert result.returncode == 0
    assert said in result.stderr
    assert ("note: " in result.stderr) is bool(said)

"""What `--help` costs, and that its examples run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CLEAN, Result, datapoint, write_jsonl
from tests.support.report_files import row as refined_row

Cli = Callable[..., Result]

# ------------------------------------------------------------------ --help

_AFTER_HELP = """
import sys
sys.argv = ["refinecli", *sys.argv[1:]]
{run}
print(*sorted({{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
print(*sorted(sys.modules))
"""
_OURS = "from refinecli.cli import main\ntry: main()\nexcept SystemExit: pass"
_BARE = """
import typer
app = typer.Typer(rich_markup_mode="rich", add_completion=False)
@app.callback()
def about(version: bool = typer.Option(False, "--version")): "Say."
@app.command()
def hello(name: str = "x"): "Hello."
try: app()
except SystemExit: pass"""


def loaded(run: str, *args: str) -> tuple[set[str], set[str]]:
    """The third-party packages and all modules that are loaded after it ran."""
    code = _AFTER_HELP.format(run=run)
    result = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, env=CLEAN, check=True
    )
    packages, names = result.stdout.splitlines()[-2:]
    return set(packages.split()), set(names.split())


COMMANDS = ["refine", "grade", "debug-rollout", "generate-data", "report"]


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_loads_no_more_packages_than_a_bare_typer_app(args: list[str]) -> None:
    ours, names = loaded(_OURS, *args)
    bare, _ = loaded(_BARE, *(["hello"] if len(args) > 1 else []), "--help")
    assert ours - bare == {"refinecli"}
    assert not {"httpx", "aiohttp", "orjson", "regex", "asyncio"} & names
    # Typer itself loads it for a command's help, never for the program's.
    assert len(args) > 1 or "pydantic" not in names


# ------------------------------------------------------------------ examples


def examples(cli: Cli, *command: str) -> list[str]:
    """The lines of a command's help that can be run, as a terminal of the usual width has them: a
    longer one would go on in a line that looks like a command of its own."""
    result = cli(*command, "--help", env={"COLUMNS": "80"})
    assert result.returncode == 0, result.stderr
    lines = [line.strip() for line in result.stdout.splitlines()]
    return [line for line in lines if re.match(r"refinecli (?!\[|COMMAND)", line)]


def segments(example: str) -> list[list[str]]:
    """The commands of a pipe, without where their output goes."""
    return [
        shlex.split(re.sub(r"\s>\s*\S+", "", part))[1:]
        for part in example.split(" | ")
        if part.startswith("refinecli")
    ]


INPUTS = re.compile(r"(?<!-o )(?<!> )\b(\S+\.(?:jsonl|json|toml))\b")


def make_inputs(folder: Path, example: str) -> None:
    """The files that an example reads."""
    for name in INPUTS.findall(
        re.sub(r"(?:-o|>|--summary|--out-dir|--json|--calibrate) \S+", "", example)
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".toml"):
            is_config = f"--config {name}" in example
            rubric = '[[rubric_items]]\nrubric_str = "Is it helpful?"\n'
            path.write_text('[grade]\nmode = "logprobs"\n' if is_config else rubric)
        elif name.endswith(".json"):
            row = {"orig_instruction": "Say hi.", "orig_criteria": "Is it kind?"}
            row |= {f"orig_score{n}_description": f"level {n}" for n in range(1, 6)}
            row |= {"orig_response": "hi", "orig_score": "4", "orig_reference_answer": "hello"}
            path.write_text(json.dumps([row]))
        elif "generate-data rubrics" in example:
            write_jsonl(path, [{"prompt": "Hi!", "chosen": "Hello!", "rejected": "What?"}])
        elif example.startswith("refinecli report"):
            write_jsonl(path, [refined_row(n, [0.0, 1.0]) for n in range(20)])
        else:
            rows = [datapoint(id=f"addition-{n}", response="4", gold=True) for n in range(18)]
            write_jsonl(path, rows)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_the_examples_of_every_help_run(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    found = examples(cli, *command)
    assert len(found) >= 2, found
    for example in found:
        assert len(example) <= 76, "too near the width to stand in one line everywhere"
        make_inputs(tmp_path, example)
        for args in segments(example):
            if args[0] == "generate-data":
                args = [("20" if arg in ("10000", "1000", "100") else arg) for arg in args]
                asks = ["--dry-run"] if "rubrics" in args else []
                result = cli(*args, *asks, env={"OPENAI_API_KEY": "a key"})
            elif args[0] == "report":
                asks = ["--dry-run"] if "--regrade" in args else []
                result = cli(*args, *asks, env={"OPENAI_API_KEY": "a key"})
            else:
                stdin = json.dumps(datapoint(response="4"))
                result = cli(*args, "--dry-run", stdin=stdin, env={"OPENAI_API_KEY": "a key"})
                assert "Nothing was sent" in result.stderr
            assert result.returncode == 0, (example, args, result.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text_and_an_h(cli: Cli, command: str) -> None:
    short, long = cli(command, "-h"), cli(command, "--help")
    assert short.stdout == long.stdout
    options = re.findall(r"^│ (?:\*\s+)?(--[\w-]+)(.*)│$", long.stdout, re.MULTILINE)
    assert options
    for name, rest in options:
        words = re.sub(r"-\w |[A-Z]+[|%A-Z.=]*|<[^>]*>|\[[^\]]*\]|int range", "", rest)
        assert re.search(r"[A-Za-z]{3}", words), f"{command} {name} has no help"

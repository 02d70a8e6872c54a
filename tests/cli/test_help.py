"""`--help`: what it costs and leaves out, that its examples run; what a shell completes."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from typer import BadParameter
from typer.main import get_command

from refinecli.cli.completion import (
    complete_formats,
    complete_kinds,
    complete_pairings,
    complete_settings,
    complete_strategies,
    complete_tasks,
    complete_topics,
)
from refinecli.cli.names import COMMANDS as NAMES
from refinecli.cli.names import PAGES, topics
from refinecli.cli.program import build
from refinecli.refining.strategies import STRATEGIES
from tests.conftest import CLEAN, REFINECLI, Result, datapoint, write_jsonl
from tests.support.report_files import row as refined_row

Cli = Callable[..., Result]
COMMANDS = ["refine", "grade", "debug-rollout", "generate-data", "report", "export", "help"]

# ------------------------------------------------------------------ what it costs

_AFTER_HELP = """
import atexit, sys
sys.argv = ["refinecli", *sys.argv[1:]]
@atexit.register
def show():
    print(*sorted({{name.split(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)))
    print(*sorted(sys.modules), flush=True)
{run}
"""
_OURS = "from refinecli.cli import main\nmain()"
_BARE = """
import typer
app = typer.Typer(rich_markup_mode="rich", add_completion={completion})
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


@pytest.mark.parametrize("args", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_loads_no_more_packages_than_a_bare_typer_app(args: list[str]) -> None:
    ours, names = loaded(_OURS, *args)
    of_a_command = len(args) > 1
    bare = _BARE.format(completion=not of_a_command)
    theirs, _ = loaded(bare, *(["hello"] if of_a_command else []), "--help")
    assert ours - theirs == {"refinecli"}
    assert not {"httpx", "aiohttp", "orjson", "regex", "asyncio", "pydoc"} & names
    # Typer itself loads it for a command's help, never for the program's.
    assert of_a_command or "pydantic" not in names


def test_the_help_of_strategies_names_them_with_their_own_defaults() -> None:
    shown = " ".join(shown_by("refine", "--help").replace("│", " ").split())
    *others, last = STRATEGIES
    assert f"The loop: {', '.join(others)} or {last}." in shown
    for name, strategy in STRATEGIES.items():
        for value in dict(strategy.defaults).values():
            assert not value or value is True or f"{name}: {value})" in shown


def test_the_list_of_topics_needs_no_formatting() -> None:
    ours, names = loaded(_OURS, "help")
    assert ours & {"rich", "pygments", "markdown_it"} == set()
    assert "pydoc" not in names


# ------------------------------------------------------------------ what it shows


@cache
def shown_by(*args: str) -> str:
    """What a command's help shows, in 80 columns."""
    env = CLEAN | {"COLUMNS": "80"}
    command = [*REFINECLI, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_shows_no_types_and_no_ranges(command: list[str]) -> None:
    shown = shown_by(*command, "--help")
    assert not re.findall(r"<[a-z]+[^>]*>|\[x[<>]=|\[default:", shown)


@pytest.mark.parametrize("command", ["refine", "grade", "debug-rollout", "report"])
def test_a_commands_own_options_stand_before_those_that_it_shares(command: str) -> None:
    shown = shown_by(command, "--help")
    panels = re.findall(r"^╭─ (\w+)", shown, re.MULTILINE)
    assert panels[:2] == ["Arguments", "Options"]
    assert set(panels[2:]) <= {"Data", "Models", "Run", "Batches", "Ray"}
    assert shown.index("refinecli " + command) < shown.index("╭─ Arguments")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_help_text(command: str) -> None:
    shown = shown_by(command, "--help")
    options = re.findall(r"^│ (?:\*\s+)?(--[\w-]+)(.*)│$", shown, re.MULTILINE)
    assert options
    for name, rest in options:
        words = re.sub(r"-\w |[A-Z]+[|%A-Z.=]*", "", rest)
        assert re.search(r"[A-Za-z]{3}", words), f"{command} {name} has no help"


def test_help_and_the_version_have_short_flags(cli: Cli) -> None:
    assert shown_by("grade", "-h") == shown_by("grade", "--help")
    assert cli("-V").stdout == cli("--version").stdout
    assert re.fullmatch(r"refinecli \d+\.\d+\.\d+\S*\n", cli("-V").stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_pages_that_say_more(command: str) -> None:
    assert set(PAGES[command]) <= set(topics())
    for page in PAGES[command]:
        assert f"refinecli help {page}" in " ".join(shown_by(command, "--help").split())


# ------------------------------------------------------------------ examples


def examples(*command: str) -> list[str]:
    """The lines of a command's help that can be run, as a terminal of the usual width has them: a
    longer one would go on in a line that looks like a command of its own."""
    lines = [line.strip() for line in shown_by(*command, "--help").splitlines()]
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
        elif example.startswith(("refinecli report", "refinecli export")):
            write_jsonl(path, [refined_row(n, [0.0, 1.0]) for n in range(20)])
        else:
            rows = [datapoint(id=f"addition-{n}", response="4", gold=True) for n in range(18)]
            write_jsonl(path, rows)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_the_examples_of_every_help_run(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    found = examples(*command)
    assert len(found) >= 2, found
    for example in found:
        assert len(example) <= 76, "too near the width to stand in one line everywhere"
        make_inputs(tmp_path, example)
        for args in segments(example):
            if args[0] == "generate-data":
                args = [("20" if arg in ("10000", "1000", "100") else arg) for arg in args]
                asks = ["--dry-run"] if "rubrics" in args else []
                result = cli(*args, *asks, env={"OPENAI_API_KEY": "a key"})
            elif args[0] in ("report", "export", "help"):
                asks = ["--dry-run"] if "--regrade" in args else []
                result = cli(*args, *asks, env={"OPENAI_API_KEY": "a key"})
            else:
                stdin = json.dumps(datapoint(response="4"))
                result = cli(*args, "--dry-run", stdin=stdin, env={"OPENAI_API_KEY": "a key"})
                assert "Nothing was sent" in result.stderr
            assert result.returncode == 0, (example, args, result.stderr)


# ------------------------------------------------------------------ completion

PROGRAM = Path(sys.executable).with_name("refinecli")


@pytest.mark.parametrize(
    ("complete", "begun", "offered"),
    [
        (complete_topics, "training-", ["training-data"]),
        (complete_topics, "ref", ["reference", "refine"]),
        (complete_strategies, "s", ["self-refine"]),
        (complete_kinds, "r", ["reward", "reviser"]),
        (complete_formats, "t", ["trl", "tinker"]),
        (complete_pairings, "a", ["all"]),
        (complete_strategies, "", list(STRATEGIES)),
        (complete_tasks, "add", ["addition"]),
        (complete_settings, "policy.temp", ["policy.temperature="]),
        (complete_settings, "run.max_c", ["run.max_calls=", "run.max_cost="]),
        (complete_settings, "jury.NAME.mod", ["jury.NAME.model="]),
        (complete_settings, "nothing", []),
    ],
)
def test_what_is_offered(
    complete: Callable[[str], list[str]], begun: str, offered: list[str]
) -> None:
    assert complete(begun) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("refinecli refine --strategy best", "best-of-n"),
        ("refinecli generate-data add", "addition"),
        ("refinecli help training-", "training-data"),
        ("refinecli grade --set grade.mo", "grade.mode="),
    ],
)
def test_each_shell_is_given_it(shell: str, typed: str, offered: str) -> None:
    asked = {
        "_REFINECLI_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": typed,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split(" ")) - 1),
    }
    result = subprocess.run(
        [PROGRAM], env=CLEAN | asked, capture_output=True, text=True, check=True
    )
    assert re.findall(r"[\w.-]+[\w=]", result.stdout.replace("_arguments", "")) == [offered]


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_can_be_installed_and_used_in_bash(tmp_path: Path) -> None:
    folder = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    home = CLEAN | {"HOME": str(tmp_path), "PATH": folder}
    commands = (
        "refinecli --install-completion; source ~/.bash_completions/refinecli.sh; "
        "COMP_WORDS=(refinecli refine --strategy self) COMP_CWORD=3; "
        '_refinecli_completion refinecli; echo "offered: ${COMPREPLY[*]}"'
    )
    result = subprocess.run(
        ["bash", "-c", commands], env=home, capture_output=True, text=True, check=True
    )
    assert "offered: self-refine\n" in result.stdout, result.stderr
    assert ".bash_completions/refinecli.sh" in (tmp_path / ".bashrc").read_text()


# ------------------------------------------------------------------ values that are empty


@pytest.mark.parametrize("command", NAMES)
def test_no_value_may_be_empty_as_an_unset_variable_leaves_it(command: str) -> None:
    program = get_command(build([command]))
    with program.make_context("refinecli", [command]) as context:
        found = program.get_command(context, command)
        assert found is not None
        for param in found.params:
            if getattr(param, "is_flag", False) or param.name == "id":
                continue
            args = ["x"] if param.param_type_name == "option" and found.params[0].required else []
            name = [param.opts[0]] if param.param_type_name == "option" else []
            with pytest.raises(BadParameter, match=f"it is empty: give {param.metavar or ''}"):
                found.make_context(command, [*args, *name, ""], parent=context)


@pytest.mark.parametrize("flag", ["-o", "--batch-files", "--cache"])
def test_an_empty_path_is_not_the_current_folder(cli: Cli, flag: str) -> None:
    result = cli("grade", "in.jsonl", flag, "")
    assert result.returncode == 2
    assert "it is empty: give" in result.stderr

"""The house: who may import what, what `--help` costs, and that its examples run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import refinecli
from tests.conftest import CLEAN, Result, datapoint, write_jsonl
from tests.support.report_files import row as refined_row

Cli = Callable[..., Result]
PACKAGE = Path(refinecli.__file__).parent
CORE = (
    "types",
    "grading.scoring",
    "checks.kinds",
    "grading.grade",
    "grading.votes",
    "refining.selecting",
    "refining.rollout",
    "text.patterns",
    "data.output_lines",
    "errors",
    "text.json_text",
    "field_errors",
    "data.rubric_file",
    "data.rows",
    "item_defaults",
    "data.fast_rows",
    "runs.ordered_map",
    "models.budget",
    "data.repeats",
    "models.pacing.pacer",
    "models.pacing.learned_rate",
    "prompts.grader",
    "prompts.critique",
    "prompts.select",
    "prompts.rewrite",
    "prompts.regrade",
    "prompts.rubric",
    "prompts.untrusted",
    "generators.rubric_writer",
    "generators.criterion_faults",
    "grading.verdict",
    "grading.by_probabilities",
    "grading.by_json",
    "refining.refine",
    "refining.self_refine",
    "refining.writer_critic",
    "text.units",
    "checks.json_schema",
    "models.pacing.rate_headers",
    "models.endpoint",
    "models.reply",
    "models.request",
    "models.traffic",
    "display.throughput",
    "display.progress",
)
EDGE_LIBRARIES = {"aiohttp", "yarl", "typer", "rich", "sqlite3", "xllamacpp"}
# Where each library may be imported; folders end in a slash.
HOMES = {
    "httpx": ("models/http.py",),
    "aiohttp": ("models/http.py",),
    "yarl": ("models/http.py",),
    "multidict": ("models/http.py",),
    "certifi": ("models/http.py",),
    "typer": ("cli/",),
    "click": (),
    "xllamacpp": ("models/local/child.py",),
    "rich": (
        "display/",
        "text/word_diff.py",
        "cli/debug_rollout.py",
        "cli/report.py",
        "report/table.py",
    ),
    "scipy": ("stats/", "agreement/"),
    "numpy": ("stats/", "agreement/"),
    "sqlite3": ("models/cache/",),
    "regex": ("text/patterns.py", "prompts/grader.py", "checks/"),
    "jsonschema_rs": ("checks/json_schema.py",),
    "sentencex": ("text/units.py",),
    "snowballstemmer": ("text/units.py",),
    "requests": (),
    "urllib3": (),
    "openai": (),
}


def modules() -> dict[str, Path]:
    """Each module of the package by its dotted name within it."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(path: Path, *, lazy: bool = True, typing: bool = True) -> Iterator[str]:
    """Dotted names that a file imports; inside functions and under TYPE_CHECKING too, if asked."""

    def visit(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                assert node.module is not None
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from visit(node.body if typing else node.orelse)
            elif not lazy and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            else:
                for _, value in ast.iter_fields(node):
                    if isinstance(value, list):
                        yield from visit([v for v in value if isinstance(v, ast.stmt)])
                        for handler in value:
                            if isinstance(handler, ast.ExceptHandler | ast.match_case):
                                yield from visit(handler.body)

    yield from visit(ast.parse(path.read_text("utf-8")).body)


def libraries(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def test_the_core_modules_are_all_there() -> None:
    assert set(CORE) <= modules().keys()


@pytest.mark.parametrize("name", CORE)
def test_the_core_knows_no_terminal_no_http_and_no_database(name: str) -> None:
    assert not libraries(modules()[name]) & EDGE_LIBRARIES


@pytest.mark.parametrize("name", CORE)
def test_the_core_does_not_reach_them_through_others_either(name: str) -> None:
    known = modules()
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        reached = set(imports(known[module], typing=False))
        found = {dotted.split(".")[0] for dotted in reached} & EDGE_LIBRARIES
        assert not found, f"{name} reaches {found} through {module}"
        inside = {dotted.removeprefix("refinecli.") for dotted in reached}
        waiting += inside & known.keys()


@pytest.mark.parametrize("library", HOMES)
def test_each_library_is_imported_in_its_one_place(library: str) -> None:
    for path in modules().values():
        place = path.relative_to(PACKAGE).as_posix()
        if library in libraries(path):
            assert place.startswith(HOMES[library]), f"{place} imports {library}"


def test_nothing_imports_the_command_line_but_itself() -> None:
    for name, path in modules().items():
        if not name.startswith("cli") and name != "__main__":
            assert not any(dotted.startswith("refinecli.cli") for dotted in imports(path)), name


def test_no_two_modules_know_each_other() -> None:
    known = modules()
    reached = {
        name: {dotted.removeprefix("refinecli.") for dotted in imports(path)} & known.keys()
        for name, path in known.items()
    }
    pairs = {(one, other) for one in known for other in reached[one] if one in reached[other]}
    assert not pairs


def test_every_module_says_what_it_is() -> None:
    for name, path in modules().items():
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), name


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

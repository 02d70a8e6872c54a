"""The tests' own house: a unit test starts no command, so that all of them run in seconds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
UNIT = sorted((TESTS / "unit").rglob("*.py"))
# What starts the command or another process: modules, and fixtures of conftest.py.
STARTS = frozenset({"subprocess", "pexpect", "multiprocessing", "tests.support.s3_server"})
FIXTURES = frozenset({"cli", "start", "local_model"})
# To parse every file takes a second; in most none of these words is an argument or a module.
_MAY_START = re.compile(rf"\b(?:{'|'.join(STARTS)})\b|[(\s](?:{'|'.join(FIXTURES)})[,:)]")


def starters(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of what starts a process."""
    for node in ast.walk(ast.parse(text)) if _MAY_START.search(text) else ():
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in STARTS)
        elif isinstance(node, ast.ImportFrom) and node.module in STARTS:
            yield node.lineno, node.module
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((arg.lineno, arg.arg) for arg in node.args.args if arg.arg in FIXTURES)


def test_a_unit_test_starts_no_process() -> None:
    wrong = [
        f"tests/{path.relative_to(TESTS)}:{line}: {name} starts a process. "
        "Move the test to tests/cli, or call the function in this process."
        for path in UNIT
        for line, name in starters(path.read_text("utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_what_starts_a_process_is_seen() -> None:
    text = "import subprocess\nfrom multiprocessing import Pool\ndef test_it(cli, tmp_path): ...\n"
    found = [name for _, name in starters(text)]
    assert found == ["subprocess", "multiprocessing", "cli"]


def test_the_unit_tests_are_in_the_folder_of_the_package_that_they_test() -> None:
    packages = {path.name for path in (TESTS.parent / "refinecli").iterdir() if path.is_dir()}
    folders = {path.name for path in (TESTS / "unit").iterdir() if path.is_dir()}
    unknown = folders - packages - {"__pycache__"}
    assert not unknown, f"tests/unit/{unknown.pop()}: no package of this name; move its tests"

"""The library does not speak command line: flags are spelled in `cli/` and `settings/` alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

from tests.architecture.source import PACKAGE, modules, nodes, shown

SPELL_FLAGS = ("cli/", "settings/")
_FLAG = re.compile(r"(?<![\w-])--[a-z]")
# What only looks like one: pip's flags, those of the embedded server's own process, TRL's, and the
# name of a fact in the call cache, which caches of every version hold.
NOT_OURS = {
    "export/recipe.py": ("--config trl.yaml", "--model_name_or_path", "--resume_from_checkpoint"),
    "models/local/server.py": ("pip install --no-deps ", "--slots", "--context"),
    "models/local/child.py": ("--slots", "--context"),
    "training/train.py": (
        *("--config", "--model_name_or_path", "--output_dir"),
        "--resume_from_checkpoint",
    ),
    "runs/run_cache.py": ("named with --cache",),
}


def literals(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string, f-strings' parts too, but no docstring."""
    nodes = list(nodes)
    docstrings = {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in nodes:
        if not isinstance(node, ast.Constant) or id(node) in docstrings:
            continue
        if isinstance(node.value, str):
            yield node.lineno, node.value


def flags(nodes: Iterable[ast.AST], foreign: tuple[str, ...] = ()) -> list[tuple[int, str]]:
    """Return the line and the text of each string literal that spells a flag of ours."""
    found = []
    for line, text in literals(nodes):
        ours = text
        for known in foreign:
            ours = ours.replace(known, "")
        if _FLAG.search(ours):
            found.append((line, text))
    return found


def test_no_string_literal_outside_cli_and_settings_spells_a_flag() -> None:
    wrong = []
    for path in modules().values():
        where = path.relative_to(PACKAGE).as_posix()
        if where.startswith(SPELL_FLAGS):
            continue
        found = flags(nodes(path), NOT_OURS.get(where, ()))
        wrong += [f"{shown(path, line)}: {text[:70]!r}" for line, text in found]
    hint = 'Mention the option as data instead: option("max_calls", 5), of refinecli.errors.'
    assert not wrong, "\n".join([*wrong, hint])


@pytest.mark.parametrize(
    ("source", "spells"),
    [
        ('raise Error("--max-calls is used up")', True),
        ('f"{path}: exists; --force replaces it"', True),
        ('f"{flag}" + "run `x --json`"', True),
        ('def f():\n    """Add what `--rubric` holds."""', False),
        ('# --rubric\nx = "a -- b, 1--2, ---"', False),
    ],
)
def test_a_flag_in_a_string_is_found_and_in_a_docstring_not(source: str, spells: bool) -> None:
    assert bool(flags(ast.walk(ast.parse(source)))) is spells

"""A ratchet on size: what is longer than it should be is named here, and may only shrink."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import PACKAGE, Definition, definitions, modules, shown

LINES_OF_A_FUNCTION = 40
LINES_OF_A_FILE = 400
LINES_OF_A_CLASS = 400

# What was longer when the limits came, with its size then. Never add to these: cut the new
# function, class or file up instead.
FUNCTIONS = {
    "generators/email/cases.py _returns": 42,
}
FILES = {
    "agreement/figures.py": 405,
}
CLASSES: dict[str, int] = {}


def _body(node: Definition) -> int:
    """Return the lines of a definition without its head and docstring."""
    assert node.end_lineno is not None
    body = node.body
    if ast.get_docstring(node, clean=False) is not None and len(body) > 1:
        body = body[1:]
    return node.end_lineno - body[0].lineno + 1


def _sizes(kind: type | tuple[type, ...]) -> dict[str, tuple[int, str]]:
    """Return the size and the place of each definition of a kind."""
    return {
        f"{path.relative_to(PACKAGE).as_posix()} {name}": (_body(node), shown(path, node.lineno))
        for path in modules().values()
        for name, node in definitions(path)
        if isinstance(node, kind)
    }


def _files() -> dict[str, tuple[int, str]]:
    return {
        path.relative_to(PACKAGE).as_posix(): (
            len(path.read_text("utf-8").splitlines()),
            shown(path),
        )
        for path in modules().values()
    }


def _check(
    sizes: dict[str, tuple[int, str]], most: int, exceptions: dict[str, int], remedy: str
) -> None:
    wrong = [
        f"{where}: {lines} lines, {exceptions.get(key, most)} at most. {remedy}"
        for key, (lines, where) in sizes.items()
        if lines > exceptions.get(key, most)
    ]
    for key in exceptions:
        lines, where = sizes.get(key, (0, key))
        if lines <= most:
            now = f"{lines} lines now" if lines else "gone"
            wrong.append(f"{where}: {now}. Delete its exception in test_size.py.")
    assert not wrong, "\n".join(wrong)


def test_functions_are_short() -> None:
    _check(
        _sizes((ast.FunctionDef, ast.AsyncFunctionDef)),
        LINES_OF_A_FUNCTION,
        FUNCTIONS,
        "Give a step of it a name and a function of its own.",
    )


def test_classes_are_short() -> None:
    _check(
        _sizes(ast.ClassDef),
        LINES_OF_A_CLASS,
        CLASSES,
        "Move a concern of its own into a second class or into functions.",
    )


def test_files_are_short() -> None:
    _check(_files(), LINES_OF_A_FILE, FILES, "Move a concern of its own into a module next to it.")


def test_the_ratchet_turns_one_way() -> None:
    sizes = {"a.py long": (50, "a.py:1"), "a.py short": (5, "a.py:60")}
    _check(sizes, 40, {"a.py long": 50}, "")
    for exceptions, said in (
        ({}, "50 lines, 40 at most"),
        ({"a.py long": 45}, "50 lines, 45 at most"),
        ({"a.py long": 50, "a.py short": 50}, "5 lines now. Delete its exception"),
        ({"a.py long": 50, "a.py gone": 50}, "gone. Delete its exception"),
    ):
        with pytest.raises(AssertionError, match=said):
            _check(sizes, 40, exceptions, "")


def test_a_body_is_counted_without_its_docstring() -> None:
    (node,) = ast.parse('def f():\n    """Two\n    lines."""\n    x = 1\n    return x\n').body
    assert isinstance(node, ast.FunctionDef)
    assert _body(node) == 2

"""The package as the tests of its architecture see it: its modules, and what each one imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import refinecli

PACKAGE = Path(refinecli.__file__).parent
NAME = "refinecli"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def modules() -> dict[str, Path]:
    """Return each module's file by its dotted name within the package; a package by its own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return everything in a file's tree: to walk through it takes longer than to look at it."""
    return tuple(ast.walk(tree(path)))


def shown(path: Path, line: int | None = None) -> str:
    """Return a file as a message names it, so that an editor can follow it."""
    place = f"{NAME}/{path.relative_to(PACKAGE).as_posix()}"
    return place if line is None else f"{place}:{line}"


def place(module: str) -> str:
    """Return the place on the top floor that a module belongs to."""
    return module.split(".", maxsplit=1)[0]


@cache
def imports(path: Path) -> list[tuple[int, str, str | None]]:
    """Return the line, the module and the name of every import, wherever in the file it stands:
    inside functions and under TYPE_CHECKING too."""
    found: list[tuple[int, str, str | None]] = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found += ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path, node.lineno)}: write the import in full"
            assert node.module is not None
            found += ((node.lineno, node.module, alias.name) for alias in node.names)
    return found


def libraries(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the top name of everything a file imports from outside the package."""
    for line, module, _ in imports(path):
        if place(module) not in (NAME, "__future__"):
            yield line, place(module)


def inside(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of everything a file imports from the package."""
    for line, module, name in imports(path):
        if place(module) == NAME:
            within = module.removeprefix(NAME).lstrip(".")
            full = f"{within}.{name}".lstrip(".")
            yield line, full if full in modules() else within


def definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """Yield each function and class of a file with its dotted name: `RoleChat.complete`."""

    def visit(node: ast.AST, above: str) -> Iterator[tuple[str, Definition]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Definition):
                yield f"{above}{child.name}", child
                yield from visit(child, f"{above}{child.name}.")
            else:
                yield from visit(child, above)

    yield from visit(tree(path), "")

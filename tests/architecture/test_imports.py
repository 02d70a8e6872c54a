"""The house: who may import what. Arrows go down only, and each library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import (
    PACKAGE,
    imports,
    inside,
    libraries,
    modules,
    nodes,
    place,
    shown,
    tree,
)
from tests.conftest import CLEAN

# The places on the top floor, from the ground up: a module imports its own place and those before.
ORDER = (
    "errors",
    "text",
    "checks",
    "field_errors",
    "item_defaults",
    "types",
    "stats",
    "prompts",
    "completers",
    "grading",
    "refining",
    "data",
    "agreement",
    "generators",
    "settings",
    "models",
    "runs",
    "api",
    "display",
    "ci",
    "report",
    "export",
    "reward",
    "training",
    "guide",
    "cli",
)
# Up to here nothing touches files, sockets, the environment, the clock or the terminal.
PURE = ORDER[: ORDER.index("refining") + 1]

# Where each library from outside may be imported; folders end in a slash.
HOMES = {
    # One module asks, one listens, and one says in its types how long a download may be silent.
    "aiohttp": ("models/http.py", "reward/server/web.py", "data/remote.py"),
    "backports": ("data/sources.py",),
    "certifi": ("models/http.py",),
    "fsspec": ("data/remote.py",),
    "gguf": ("training/to_gguf.py",),
    "httpx": ("models/http.py",),
    "icu4py": ("text/words.py",),
    "jsonschema_rs": ("checks/json_schema.py",),
    "multidict": ("models/http.py",),
    "numpy": ("stats/", "agreement/", "training/to_gguf.py"),
    # JSON in bytes: lines, replies, what the cache holds.
    "orjson": ("text/json_text.py", "data/", "models/", "grading/by_json.py"),
    # `verdict` and `strategies` declare [grade] and [refine], checked as they are built.
    "pydantic": (
        "types/",
        "field_errors.py",
        "item_defaults.py",
        "checks/",
        "text/patterns.py",
        "grading/verdict.py",
        "refining/strategies.py",
        "data/",
        "settings/",
    ),
    "pyarrow": ("data/parquet.py", "export/formats/verl.py"),
    "peft": ("training/to_hugging_face.py",),
    "ray": ("runs/cluster/driver.py",),
    # `prompts/grader` names a compiled pattern's type; the time limit stands in `text/patterns`.
    "regex": ("text/patterns.py", "prompts/grader.py"),
    # Renderables, tables, and the console that a command prints them on.
    "rich": (
        *("display/", "report/table.py", "report/columns.py"),
        *("cli/debug_rollout.py", "cli/report.py"),
    ),
    "safetensors": ("training/to_gguf.py",),
    "scipy": ("stats/", "agreement/"),
    "snowballstemmer": ("text/units.py",),
    "sqlite3": ("models/cache/", "models/batch/wave_files.py", "export/shelf.py"),
    "torch": ("training/to_hugging_face.py", "models/local/classifier_child.py"),
    "transformers": ("training/to_hugging_face.py", "models/local/classifier_child.py"),
    "trl": ("training/run_trl.py",),
    "typer": ("cli/",),
    "typing_extensions": ("types/",),
    "xllamacpp": ("models/local/child.py",),
    "yarl": ("models/http.py",),
}

# What reaches out of the process, or depends on when and where it runs.
REACHES_OUT = frozenset(
    """
    os io sys pathlib shutil tempfile glob fcntl mmap gzip bz2 lzma zipfile tarfile sqlite3
    socket ssl select selectors http urllib subprocess multiprocessing threading signal
    time datetime zoneinfo locale getpass platform secrets uuid logging importlib.resources
    """.split()  # noqa: SIM905
)
# `urllib.parse` and the like only take strings apart.
HARMLESS = frozenset({"urllib.parse"})
CALLS_OUT = frozenset({"open", "print", "input", "exec", "eval", "breakpoint"})


def test_the_top_floor_can_be_taken_in_at_a_glance() -> None:
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    unknown = (files | folders) - set(ORDER)
    assert not unknown, (
        f"refinecli/: {sorted(unknown)} stands on the top floor and not in ORDER. "
        "Put it into the package whose concern it is, or name its place in ORDER in this file."
    )
    assert len(files) <= 12, (
        f"refinecli/: {len(files)} single modules on the top floor, 12 at most: {sorted(files)}. "
        "Move one into a package."
    )
    assert len(ORDER) <= 26, f"{len(ORDER)} places, 26 at most: no new one without leaving one."


def _steps(name: str) -> list[tuple[int, str]]:
    """Return the other places that a module imports from, with the lines."""
    return [
        (line, place(target))
        for line, target in inside(modules()[name])
        if target and place(target) != place(name)
    ]


def test_a_module_imports_only_its_own_place_and_those_below() -> None:
    wrong = []
    for name, path in modules().items():
        here = place(name)
        for line, there in _steps(name) if name not in ("", "__main__") else ():
            if there not in ORDER:
                wrong.append(f"{shown(path, line)}: {there} is not in ORDER")
            elif ORDER.index(there) >= ORDER.index(here):
                wrong.append(
                    f"{shown(path, line)}: {here} imports {there}, which stands above it. "
                    f"Move what it needs down into {here} or below, or hand it in as an argument."
                )
    assert not wrong, "\n".join(wrong)


def _cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that reach each other (Tarjan)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for target in graph[name]:
            if target not in number:
                visit(target)
            if target in stack:
                low[name] = min(low[name], low[target])
        if low[name] == number[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1 or name in graph[name]:
                found.append(group)

    for name in graph:
        if name not in number:
            visit(name)
    return found


def test_cycles_of_any_length_are_found() -> None:
    assert _cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert _cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_know_each_other_through_any_number_of_others() -> None:
    graph = {
        name: {target for _, target in inside(path) if target and target != name}
        for name, path in modules().items()
        if name
    }
    cycles = _cycles(graph)
    assert not cycles, (
        f"These modules import each other in a circle: {' -> '.join(sorted(cycles[0]))}. "
        "Move what they share into a module below them."
    )


def test_each_library_is_imported_in_its_one_home() -> None:
    for path in modules().values():
        where = path.relative_to(PACKAGE).as_posix()
        for line, library in libraries(path):
            if library in sys.stdlib_module_names and library not in HOMES:
                continue
            assert library in HOMES, (
                f"{shown(path, line)}: {library} has no home. Name one in HOMES in this file, "
                "and the dependency in pyproject.toml."
            )
            assert where.startswith(HOMES[library]), (
                f"{shown(path, line)}: {library} lives in {', '.join(HOMES[library])}. "
                "Call a function from there."
            )


def test_every_home_is_lived_in() -> None:
    places = [path.relative_to(PACKAGE).as_posix() for path in modules().values()]
    wrong = [
        f"{home}, a home of {library}, does not exist: mend HOMES in this file."
        for library, homes in HOMES.items()
        for home in homes
        if not any(where.startswith(home) for where in places)
    ]
    assert not wrong, "\n".join(wrong)


def _reaching(path: Path) -> Iterator[str]:
    """Yield what in a module reaches out of the process, as a message."""
    for line, module, _ in imports(path):
        if module not in HARMLESS and {module, place(module)} & REACHES_OUT:
            yield (
                f"{shown(path, line)}: {module} reaches files, sockets, the environment or the "
                "clock. Hand the value in as an argument; read it in data, settings, models or "
                "above."
            )
    for node in nodes(path):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in CALLS_OUT:
            yield (
                f"{shown(path, node.lineno)}: {node.func.id}() reaches out of the core. "
                "Return the value and let the caller do that."
            )


def test_up_to_refining_nothing_reaches_out() -> None:
    core = [path for name, path in modules().items() if place(name) in PURE]
    wrong = [message for path in core for message in _reaching(path)]
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is() -> None:
    for path in modules().values():
        assert ast.get_docstring(tree(path)), f"{shown(path)}: begin with a docstring of a line"


def test_to_import_the_package_loads_nothing_from_outside() -> None:
    code = "import sys, refinecli; print(*{name.split('.')[0] for name in sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN, check=True
    )
    loaded = set(result.stdout.split()) & (HOMES.keys() - sys.stdlib_module_names | {"sqlite3"})
    assert not loaded, (
        f"refinecli/__init__.py: `import refinecli` loads {sorted(loaded)}. "
        "Import it in `__getattr__`, when a name is asked for."
    )
    assert not result.stderr

"""Can the unit tests fail? A sample of mutants, each put to the unit tests of its package alone.

    python -m venv build/mutants && build/mutants/bin/pip install cosmic-ray coverage
    .venv/bin/pip install coverage
    build/mutants/bin/python tests/experiments/mutation.py --seed 1 --sample 100

It runs the tests at `nice -n 10` by itself: with another `nice` around it, it would hardly run.
cosmic-ray makes the mutants (it has an environment of its own, for it is not needed otherwise); the
tests run in the project's, of each mutant those that run its line (delete build/mutation after a
change). A mutant is killed if a test of tests/unit/PACKAGE fails, or hangs.
A place in the code counts once, however many ways there are to mutate it.

Of the sample of 100 with seed 3, the tests killed 91. Of the other nine two are equal to the code
(`is` in place of `==` between small numbers; the last of the rows with a unique name, instead of
the first) and one dies of a test that the lines of an older version hid. Six had no unit test and
have one since: an alternative in a report's words and one in a grader's prompts, rows that are not
regraded, a label's likelihood, waiting for a cache's writer, and remedies in a summary.

Of the sample with seed 4, over later code, they killed 88. Four of the twelve are equal to the code
(`|` in place of `+`, a `strict` that always holds, groups of one, URIs that this SQLite takes
anyway). Five had no unit test and have a test since: starts of a limiter that come too late, a
cancelled caller among those who wait for the cache, an instruction of an item's own, the choice of
flips, and the warning before a regrade. Three are left: one start more asked for than there is room
for, and two widths of words on the page.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

if "--serve" not in sys.argv:  # which the project's own environment runs
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from coverage import CoverageData

ROOT = Path(__file__).parents[2]
# What decides a score, a verdict, a figure, a rate or a reply; the rest of the house is wiring,
# which command tests see.
PLACES = (
    "grading",
    "checks",
    "refining",
    "stats",
    "agreement",
    "report",
    "models/pacing",
    "models/cache",
    "models/reply.py",
    "models/failures.py",
    "models/negotiation.py",
    "models/retries.py",
    "models/cached.py",
    "models/request.py",
    "models/spending.py",
    "runs/summary.py",
)
# A decorator is a cache or a dataclass option more often than not; `|` is a type's nearly always.
LEFT_OUT = re.compile(r"core/(RemoveDecorator|Variable\w+|ReplaceBinaryOperator_BitOr_\w+)")
SECONDS = 600  # for one mutant's tests; they take a few, on a machine that has time
LOADED_ONCE = (
    *("pydantic", "regex", "rich.console", "scipy.stats", "aiohttp", "httpx"),
    *("hypothesis.strategies", "_hypothesis_pytestplugin", "anyio.pytest_plugin"),
    *("xdist.plugin", "pytest_timeout"),
)
# Of those, pytest warns that it comes too late to rewrite their asserts.
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    path: str
    line: int
    operator: str
    text: str
    diff: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator}\n{self.diff}"


def places(path: Path) -> dict[tuple[str, int, int], list[tuple[str, int]]]:
    """Return (operator, occurrence) of each way to mutate a file, by kind, line and column."""
    tree = get_ast(path.read_text("utf-8"))
    found: dict[tuple[str, int, int], list[tuple[str, int]]] = defaultdict(list)
    for name in sorted(plugins.operator_names()):
        if LEFT_OUT.fullmatch(name):
            continue
        operator = plugins.get_operator(name)()
        at = (start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node))
        kind = re.sub(r"_.*", "", name.removeprefix("core/"))
        for occurrence, (line, column) in enumerate(at):
            found[kind, line, column].append((name, occurrence))
    return found


def mutant(path: Path, operator: str, occurrence: int, line: int) -> Mutant | None:
    """Return the mutant, or None if it is not Python or equal but for the types it names."""
    before = path.read_text("utf-8")
    after = mutate_code(before, plugins.get_operator(operator)(), occurrence)
    try:
        if after is None or bare(after) == bare(before):
            return None
    except SyntaxError:
        return None
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    diff = "\n".join(f"    {one}" for one in lines if one[:2] not in ("--", "++", "@@"))
    place = path.relative_to(ROOT).as_posix()
    return Mutant(place, line, operator.removeprefix("core/"), after, diff)


def bare(text: str) -> str:
    """Return the code without its annotations, which nothing evaluates."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.unparse(tree)


def sample(chosen: Sequence[str], size: int, seed: int) -> list[Mutant]:
    globs = [place if place.endswith(".py") else f"{place}/**/*.py" for place in chosen]
    paths = [path for glob in globs for path in sorted((ROOT / "refinecli").glob(glob))]
    every = [(path, *key, ways) for path in paths for key, ways in places(path).items()]
    rng = random.Random(seed)
    rng.shuffle(every)
    found: list[Mutant] = []
    for path, _, line, _, ways in every:
        if (one := mutant(path, *rng.choice(ways), line)) is not None:
            found.append(one)
        if len(found) == size:
            break
    return found


def copied(folder: Path) -> Path:
    """Return a copy of what the tests need, so that no mutant ever stands in the sources."""
    for name in ("refinecli", "tests", "configs", "example_data"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def compiled(folder: Path, python: str) -> Path:
    """Return the folder with bytecode in it, which is valid by the text's hash: not for mutants."""
    by_hash = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "refinecli"]
    tests = ["-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "tests/unit"]
    for arguments in (by_hash, tests):
        subprocess.run([python, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


class Runner:
    """Runs tests in a copy: a process that has the libraries loaded, and forks for each mutant."""

    def __init__(self, folder: Path, python: str) -> None:
        self._folder = compiled(copied(folder), python)
        self._process = subprocess.Popen(
            ["nice", "-n", "10", python, "-B", __file__, "--serve"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def survives(self, one: Mutant, tests: Sequence[str]) -> bool:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        path = self._folder / one.path
        before = path.read_text("utf-8")
        path.write_text(one.text, "utf-8")
        try:
            print(*tests, file=self._process.stdin, flush=True)
            if not (answer := self._process.stdout.readline()):
                raise SystemExit(f"no answer about {one}")
            return answer == "0\n"
        finally:
            path.write_text(before, "utf-8")

    def close(self) -> None:
        self._process.communicate()


def serve() -> None:
    """Read what to test, a line each; answer each with pytest's exit code, negative if it hangs."""
    for name in LOADED_ONCE:
        importlib.import_module(name)
    import pytest

    sys.path.insert(0, str(Path.cwd()))
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        if not (pid := os.fork()):
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(null, descriptor)
            signal.alarm(SECONDS)
            os._exit(pytest.main([*OPTIONS, *line.split()]))
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


class Covered:
    """Which tests run a line, and in what time, found once: no other can see a mutant there."""

    def __init__(self, folder: Path, packages: Iterable[str], python: str) -> None:
        self._data = {name: self._measured(folder, name, python) for name in packages}
        self._seconds = {name: seconds((folder / f"{name}.txt").read_text()) for name in packages}

    def _measured(self, folder: Path, package: str, python: str) -> CoverageData:
        """Run the tests of a package, which must pass, and return what each of them ran."""
        kept, settings = folder / package, folder / "coveragerc"
        if not kept.exists():
            settings.write_text("[run]\ndynamic_context = test_function\nsource = refinecli\n")
            command = [python, "-m", "coverage", "run", f"--rcfile={settings}"]
            options = ("-q", "-p", "no:cacheprovider", "--durations=0")
            tests = ["-m", "pytest", *options, f"tests/unit/{package}"]
            done = subprocess.run(
                [*command, f"--data-file={kept}", *tests], cwd=ROOT, capture_output=True, text=True
            )
            if done.returncode:
                kept.unlink(missing_ok=True)
                raise SystemExit(f"tests/unit/{package} fail as they are:\n{done.stdout[-2000:]}")
            (folder / f"{package}.txt").write_text(done.stdout)
        data = CoverageData(str(kept))
        data.read()
        return data

    def tests(self, one: Mutant) -> list[str]:
        """Return the tests to run; all of the package where the line runs outside of tests too.
        First come those of the module by its name, then the fastest files: most mutants die early.
        """
        package = Path(one.path).parts[1]
        by_line = self._data[package].contexts_by_lineno(str(ROOT / one.path))
        lines = statement(ROOT / one.path, one.line)
        names = {name.rpartition(".")[2] for line in lines for name in by_line.get(line, ())}
        places = defined(ROOT / "tests/unit" / package)
        wanted = names if names <= places.keys() else places.keys()
        found = {place for name in wanted for place in places[name]}
        of_module, took = f"/test_{Path(one.path).stem}.py", defaultdict[str, float](float)
        for place, time in self._seconds[package].items():
            took[place.partition("::")[0]] += time

        def order(place: str) -> tuple[bool, float, str]:
            file = place.partition("::")[0]
            return not file.endswith(of_module), took[file], place

        return sorted(found, key=order)


def seconds(printed: str) -> dict[str, float]:
    """Return how long each test took, with its fixtures and all its parameters."""
    found: dict[str, float] = defaultdict(float)
    for took, place in re.findall(r"(?m)^([0-9.]+)s (?:call|setup) +([^\[\s]+)", printed):
        found[place] += float(took)
    return found


def defined(folder: Path) -> dict[str, list[str]]:
    """Return where each test is, and under the name that hypothesis gives to all, its own."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                found[node.name].append(place)
                if any("given" in ast.unparse(one) for one in node.decorator_list):
                    found["test_function"].append(place)
    return found


def statement(path: Path, line: int) -> range:
    """Return the lines of the smallest statement around a line; of a block, those of its head."""
    around = [
        node
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    if not around:  # a decorator
        return range(line, line + 1)
    node = min(around, key=lambda one: (one.end_lineno or 0) - one.lineno)
    body = getattr(node, "body", None)
    return range(node.lineno, body[0].lineno if body else (node.end_lineno or 0) + 1)


def outcomes(
    mutants: list[Mutant], covered: Covered, workers: int, python: str
) -> Iterator[tuple[Mutant, bool]]:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool:
        runners = [Runner(Path(folder, str(number)), python) for number in range(workers)]
        free: SimpleQueue[Runner] = SimpleQueue()
        for runner in runners:
            free.put(runner)

        def put(one: Mutant) -> tuple[Mutant, bool]:
            tests = covered.tests(one)
            runner = free.get()
            try:
                return one, not tests or runner.survives(one, tests)
            finally:
                free.put(runner)

        yield from pool.map(put, mutants)
        for runner in runners:
            runner.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("places", nargs="*", default=PLACES, help="grading, …")
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--python", default=str(ROOT / ".venv/bin/python"), help="to run the tests")
    parser.add_argument(
        "--kept",
        type=Path,
        default=ROOT / "build/mutation",
        help="where it is kept what each test runs",
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
        return 0
    mutants = sample(args.places, args.sample, args.seed)
    killed = 0
    args.kept.mkdir(parents=True, exist_ok=True)
    packages = sorted({Path(one.path).parts[1] for one in mutants})
    covered = Covered(args.kept.resolve(), packages, args.python)
    for one, survived in outcomes(mutants, covered, args.workers, args.python):
        killed += not survived
        print("SURVIVED" if survived else "killed", one if survived else f"{one.path}:{one.line}")
        sys.stdout.flush()
    share = killed / max(1, len(mutants))
    print(f"{killed} of {len(mutants)} killed ({share:.0%}), seed {args.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

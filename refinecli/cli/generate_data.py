"""`refinecli generate-data`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.complaints import as_flags
from refinecli.cli.completion import complete_tasks
from refinecli.cli.ending import program, quoted
from refinecli.cli.file_checks import only_line_limit
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    rubric_of,
    show_note,
    takes,
)
from refinecli.errors import UsageError
from refinecli.generators import TASKS, Task
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.cli.generate_imports import Import
    from refinecli.data.sinks import Sink
    from refinecli.types import JSONObject

DEFAULT_ROWS = 100
DEFAULT_SEED = 42
_TASK_LIST = "\n\n".join(
    f"[bold]{task.name}[/bold]: {as_flags(task.summary)}" for task in TASKS.values()
)
_HELP = f"""Make a JSONL file of datapoints, from a seed or from another project's file.

{_TASK_LIST}

rubrics runs like refine and grade; it alone takes the options of Models and, but for -q, of Run.
With --from, every task takes --keep-going and --max-errors.
The grader writes its rubrics: --grader-model, or --model if that is not given.

\b
refinecli generate-data addition -n 3
refinecli generate-data addition --train 10000 --test 1000 --out-dir data
refinecli generate-data keywords -n 12 -o keywords.jsonl
refinecli generate-data prometheus --from fc.json --with-response
refinecli generate-data chat --from chats.jsonl --rubric my.toml -o in.jsonl
refinecli generate-data rubrics --from in.jsonl -o out.jsonl --model MODEL
refinecli generate-data rubrics --from in.jsonl --contrast chosen,rejected
"""


@dataclass(frozen=True)
class TaskOptions(ModelOptions):
    """Options for the models that the task `rubrics` asks; other tasks use only `--rubric`,
    `--seed`, `-q` and, where they import, `--keep-going` and `--max-errors`."""

    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Equal seeds make equal rows; rubrics: send seeds derived from this one. "
            f"(default: {DEFAULT_SEED}; rubrics: send none)",
        ),
    ] = None


@takes(out=OutputOptions, models=TaskOptions)
def generate_data(
    out: OutputOptions,
    models: TaskOptions,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK", autocompletion=complete_tasks, help=f"One of: {', '.join(TASKS)}."
        ),
    ],
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--limit",
            metavar="N",
            min=0,
            help=f"Rows at most. (default: {DEFAULT_ROWS}, or all of FILE)",
        ),
    ] = None,
    train: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Rows in example_rubric_train.jsonl.")
    ] = None,
    test: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Rows in example_rubric_test.jsonl.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where those two files go. (default: .)")
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option("--from", metavar="FILE", help="The file of a task that imports; - is stdin."),
    ] = None,
    with_response: Annotated[
        bool, typer.Option("--with-response", help="Keep the answers that FILE holds.")
    ] = False,
    contrast: Annotated[
        str | None,
        typer.Option(
            metavar="GOOD,BAD",
            help="rubrics: the fields of a good and of a bad response, such as chosen,rejected. "
            "Both are graded; an item stays only if it scores the good one higher.",
        ),
    ] = None,
) -> int:
    chosen = TASKS.get(task)
    if chosen is None:
        raise UsageError(f"there is no task {task}", f"name one of: {', '.join(TASKS)}")
    if with_response and not from_file:
        raise UsageError("--with-response goes with --from FILE")
    split = train is not None or test is not None
    if chosen.asks:
        if split or out_dir:
            raise UsageError(f"{task} makes one file", "use -o FILE, and -n N for a part of it")
        from refinecli.cli.generate_rubrics import generate_rubrics

        data = InputOptions(from_file, number)
        return generate_rubrics(data, out, models, contrast, with_response)
    _check_asks_nobody(chosen, models, contrast, imports=from_file is not None)
    if split and (number is not None or out.output is not None):
        raise UsageError("--train and --test make two files: -n and -o do not go with them")
    if out_dir and not split:
        raise UsageError("--out-dir goes with --train and --test", "use -o FILE for one file")
    total = (train or 0) + (test or 0) if split else number
    seed = DEFAULT_SEED if models.seed is None else models.seed
    imported = _import(chosen, from_file, with_response, models) if from_file else None
    if imported:
        rows = imported.datapoints(total)
    else:
        rows = chosen.generate(DEFAULT_ROWS if total is None else total, seed)
    if models.rubric is not None:
        from refinecli.generators.criteria import with_rubric

        rows = with_rubric(rows, rubric_of(models), partial(show_note, quiet=models.quiet))
    if split:
        folder = out_dir or Path()
        files = _split_files(folder, train or 0, test or 0)
    else:
        files = [(out.output, None)]
    return _write(files, rows, out.force, imported, quiet=models.quiet)


generate_data.__doc__ = _HELP


_OF_IMPORTS = ("keep_going", "max_errors")


def _check_asks_nobody(
    task: Task, models: TaskOptions, contrast: str | None, *, imports: bool
) -> None:
    """Refuse options about models for a task that asks none."""
    known = ("quiet", "rubric", "seed", *(_OF_IMPORTS if task.imports else ()))
    given = [
        option.name.replace("_", "-")
        for option in fields(models)
        if option.name not in known
        and getattr(models, option.name) != option.default
        and not (option.name == "set" and only_line_limit(models.set))
    ]
    given += [] if contrast is None else ["contrast"]
    if given:
        asking = " and ".join(name for name, other in TASKS.items() if other.asks)
        raise UsageError(f"--{given[0]}: the task {task.name} asks no model", f"only {asking} does")
    for name in _OF_IMPORTS:
        if getattr(models, name) and not imports:
            raise UsageError(f"--{name.replace('_', '-')} goes with --from FILE")


def _import(task: Task, file: str, with_response: bool, models: TaskOptions) -> Import:
    from refinecli.cli.generate_imports import Import
    from refinecli.generators.reading import read_entries

    task.check_imports()
    run = models.settings().run
    entries = read_entries(file, run.line_bytes)
    return Import(task, entries, run, models.keep_going, with_response)


def _split_files(folder: Path, train: int, test: int) -> list[tuple[str | None, int | None]]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out-dir {folder}: {error.strerror}") from None
    files = [("example_rubric_train.jsonl", train), ("example_rubric_test.jsonl", test)]
    return [(str(folder / name), count) for name, count in files]


def _write(
    targets: list[tuple[str | None, int | None]],
    rows: Iterator[JSONObject],
    force: bool,
    imported: Import | None,
    *,
    quiet: bool,
) -> int:
    """Write its number of rows to each target; no file appears before all are complete, nor if an
    imported row cannot be used and may not be an `error` record."""
    from refinecli.data.sinks import Sink
    from refinecli.runs.signals import Interrupted, execute

    sinks = [(Sink(path, force=force), count) for path, count in targets]
    try:
        execute(_fill(sinks, rows))
        if imported:
            imported.check()
        made = [(sink, sink.lines) for sink, _ in sinks]
        for sink, _ in sinks:
            sink.commit()
            if sink.is_remote:
                execute(sink.deliver())
    except BrokenPipeError:
        return 0
    except Interrupted as interrupted:
        return interrupted.code
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}") from None
    finally:
        for sink, _ in sinks:
            sink.discard()
    code = imported.code() if imported else 0
    if not code and not quiet:
        _say_next(made)
    return code


def _say_next(made: Sequence[tuple[Sink, int]]) -> None:
    """Say how many datapoints are in each file, and what to do with them."""
    files = [(sink.name, lines) for sink, lines in made if sink.has_file]
    for name, lines in files:
        print(as_line(f"{plural(lines, 'datapoint')} in {name}"), file=sys.stderr)
    if files and files[0][1]:
        command = f"{program()} refine {quoted(files[0][0])} -o out.jsonl"
        print(as_line(f"next: {command}"), file=sys.stderr)


async def _fill(sinks: list[tuple[Sink, int | None]], rows: Iterator[JSONObject]) -> None:
    from refinecli.data.sources import in_daemon_thread
    from refinecli.text.json_text import dumps

    for sink, count in sinks:
        await sink.open()
        wanted = islice(rows, count)
        # In a thread: standard input may block, and signals must get through.
        while batch := await in_daemon_thread(lambda some: list(islice(some, 256)), wanted):
            for row in batch:
                await sink.write(dumps(row))
        await sink.drain()

"""`--engine ray`: run the shards of a file on several processes or machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.cli.bad_lines import check_lines
from refinecli.cli.closing import after_parts
from refinecli.cli.ending import conclude
from refinecli.cli.engine import is_directory
from refinecli.cli.file_checks import check_files
from refinecli.cli.job import RowCommand, asking, input_of, reporter_of
from refinecli.cli.leaving import at_last
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    SeveralInputs,
    rubric_of,
)
from refinecli.errors import UsageError
from refinecli.text.urls import is_url

if TYPE_CHECKING:
    from refinecli.data.output_lines import Outcome
    from refinecli.data.sinks import Sink
    from refinecli.display.reporter import Reporter
    from refinecli.runs.cluster.folder import Folder
    from refinecli.runs.cluster.shard_run import Whole
    from refinecli.runs.cluster.shard_work import RowWork
    from refinecli.runs.lifecycle import Job
    from refinecli.runs.run import Input


def process_on_ray(
    command: RowCommand,
    work: Callable[[], RowWork],
    data: InputOptions | SeveralInputs,
    out: OutputOptions,
    options: ModelOptions,
    also: Sequence[tuple[str, object]],
) -> int:
    """Check everything that can be wrong, run the command on all rows by Ray, and return the exit
    code. `also` are options of the command that mean nothing here, with their values."""
    _check_options(command, out, options, also)
    rows = input_of(data, rubric_of(options), command.settings)
    if rows.more or rows.source.path is None or not rows.rereadable:
        raise UsageError(
            "--engine ray needs one regular file to divide",
            "name one INPUT that every node can read",
        )
    place = _Place(out, rows)
    try:
        check_files(data, place.out, options, command.files)
        return _run(command, work, rows, place, options)
    finally:
        place.leave()


def _run(
    command: RowCommand,
    work: Callable[[], RowWork],
    rows: Input,
    place: _Place,
    options: ModelOptions,
) -> int:
    from refinecli.models.engine import check_endpoints
    from refinecli.runs.lifecycle import carry_out

    sink = place.sink()
    counted = check_lines(rows, options.keep_going)
    command = asking(command, counted)
    elsewhere = bool(command.settings.ray.address)  # where keys are
    check_endpoints(command.settings, command.roles, offline=elsewhere)
    reporter = reporter_of(command.command, options)
    whole = _whole(command, work, rows, place.folder, counted.rows, options)
    ended = carry_out(_job(command, whole, sink, place, options, reporter), reporter)
    if place.folder.keeps_something:
        ended.kept_in = place.folder.path
    if ended.whole:
        place.folder.note_written(place.file)
    code = conclude(
        ended,
        reporter,
        close=lambda: command.close(ended, reporter),
        end=lambda code, early: command.end(code, early, ended),
        follow=lambda: after_parts(ended) if place.directory else command.follow(ended),
    )
    if ended.whole and not ended.too_many_errors:
        at_last(place.folder.remove)
    return code


def _check_options(
    command: RowCommand,
    out: OutputOptions,
    options: ModelOptions,
    also: Sequence[tuple[str, object]],
) -> None:
    """Raise UsageError for options that mean nothing together with this one."""
    given = (
        ("--shard", command.shard),
        ("--batch, --batch-files or --batch-cancel", command.batch.used),
        ("--cache", options.cache),
        ("--offline", options.offline),
        ("--log-requests", options.log_requests),
        *also,
    )
    for flag, value in given:
        if value:
            raise UsageError(f"{flag} does not go with --engine ray", "leave one of them out")
    if out.output in (None, "-") or is_url(str(out.output)) or _is_odd(Path(str(out.output))):
        raise UsageError(
            "--engine ray needs a file or a directory for its output", "name it: -o FILE or -o DIR/"
        )


def _is_odd(output: Path) -> bool:
    return output.exists() and not output.is_file() and not output.is_dir()


class _Place:
    """The place of the output: a file with the folder of the run next to it, or a directory, whose
    manifest stands for it, with that folder in it. `out` names the file."""

    def __init__(self, out: OutputOptions, rows: Input) -> None:
        from refinecli.runs.cluster.directory import Directory
        from refinecli.runs.cluster.folder import Folder

        given = str(out.output)
        self.directory = Directory(Path(given)) if is_directory(given) else None
        self.out = replace(out, output=str(self.directory.manifest)) if self.directory else out
        self.file = Path(str(self.out.output)).resolve()
        name = "_ray" if self.directory else f"{self.file.name}.ray"
        self.folder = Folder(self.file.with_name(name))
        self._rows = rows
        self._is_new = not self.folder.path.exists()
        self._made = False

    def sink(self) -> Sink:
        """Return where the lines or the manifest go; raise UsageError where that may not be."""
        from refinecli.data.sinks import Sink

        sources = self._rows.sources
        force = self.out.force or self.folder.has_written(self.file)
        continues = not self._is_new
        if self.directory:
            self._made = self.directory.make()
            self.directory.check(sources, replaces=force or continues)
        return Sink(self.out.output, force=force, sources=sources, continues=continues)

    def leave(self) -> None:
        """Leave nothing behind of a run that did nothing."""
        if self._is_new:
            self.folder.remove_if_empty()
        if self._made and self.directory:
            self.directory.remove_if_empty()


def _whole(
    command: RowCommand,
    work: Callable[[], RowWork],
    rows: Input,
    folder: Folder,
    total: int,
    options: ModelOptions,
) -> Whole:
    """Return the run as its shards get it, once it is that of the folder."""
    from refinecli.models.engine import shaping_of
    from refinecli.runs.cluster.shard_run import Whole
    from refinecli.runs.run_cache import flat
    from refinecli.text.json_text import dumps, loads

    settings, source = command.settings, rows.source.path
    assert source is not None
    input_digest = rows.source.digest()
    asked = {role.name: role for role in settings.asked(tuple(command.roles))}
    described = {
        "command": command.command,
        "input": input_digest,
        "limit": rows.limit,
        "shards": settings.ray.shards,
        "rubric": list(rows.rubric),
    }
    described = flat({**described, **shaping_of(settings, asked, command.shapes)})
    described = loads(dumps(described))  # as it will be read
    folder.claim(described, restart=options.restart)
    return Whole(
        settings=settings,
        roles=command.roles,
        shapes=command.shapes,
        command=command.command,
        described=described,
        work=work,
        rubric=rows.rubric,
        source=source.resolve(),
        digest=input_digest,
        rows=total,
        limit=rows.limit,
        folder=folder,
        copies=settings.ray.copy_seconds if settings.ray.address else None,
        restart=options.restart,
    )


def _job(
    command: RowCommand,
    whole: Whole,
    sink: Sink,
    place: _Place,
    options: ModelOptions,
    reporter: Reporter,
) -> Job:
    from refinecli.runs.cluster.driver import OnRay
    from refinecli.runs.lifecycle import Job

    def on_outcome(outcome: Outcome) -> None:
        reporter.advance(outcome)
        command.written(outcome)

    return Job(
        settings=command.settings,
        roles=(),
        place={"command": command.command},
        body=OnRay(
            whole=whole,
            options=command.settings.ray,
            sink=sink,
            directory=place.directory,
            on_outcome=on_outcome,
            on_notice=reporter.notice,
        ),
        sink=sink,
        forced=place.out.force,
        total=whole.rows,
        complete=command.complete,
        summary=options.summary,
    )

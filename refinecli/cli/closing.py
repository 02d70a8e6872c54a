"""Say at the end of a whole run what came of it, where it is, and what to run next."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.cli.ending import quoted

if TYPE_CHECKING:
    from refinecli.display.reporter import Reporter
    from refinecli.runs.lifecycle import Ended


def say_results(ended: Ended, reporter: Reporter) -> None:
    """Report how the answers changed, which items failed most, what failed and why, and where the
    lines are."""
    from refinecli.display.closing import comparison, failures

    highlights = ended.summary.highlights
    if highlights.tried:  # otherwise nothing needs the width, or Rich to measure it
        for line in comparison(highlights, reporter.width):
            reporter.result(line)
    if failed := failures(highlights):
        reporter.notice(failed)
    say_where(ended, reporter)


def say_where(ended: Ended, reporter: Reporter) -> None:
    """Report what failed, where that is allowed, and where the lines are."""
    summary, sink = ended.summary, ended.job.sink
    if ended.bad and not ended.too_many_errors:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.errors.most_common())
        first = f"; the first: {summary.first_failure}" if summary.first_failure else ""
        reporter.notice(f"{ended.bad:,} failed or stayed ungraded: {kinds}{first}")
    if sink and sink.has_file:
        reporter.notice(f"output: {sink.name}")


def after_refine(ended: Ended) -> Sequence[str]:
    """Return the commands that look closer at what `refine` wrote."""
    name = _file(ended)
    if not name:
        return ()
    largest = ended.summary.highlights.largest
    commands = [f"report {name} --html report.html"] if find_spec("scipy") else []
    if ended.bad:
        commands.insert(0, f"show {name} --failed")
    elif largest:
        commands.append(f"show {name} --id {quoted(largest[0].id)}")
    elif not commands:
        commands.append(f"show {name}")
    return commands


def after_grade(ended: Ended) -> Sequence[str]:
    """Return the commands that look closer at what `grade` wrote."""
    name = _file(ended)
    if not name:
        return ()
    failing = ended.summary.highlights.failures.most_common(1)
    if ended.bad or not failing:
        return (f"show {name} --failed",) if ended.bad else (f"show {name}",)
    return (f"show {name} --failed --item {quoted(failing[0][0])}",)


def after_parts(ended: Ended) -> Sequence[str]:
    """Return the command that makes one file of the parts next to a manifest."""
    sink = ended.job.sink
    if sink is None or sink.path is None:
        return ()
    return (f"merge {quoted(str(Path(sink.name).parent))}/part-*.jsonl -o whole.jsonl",)


def after_rubrics(ended: Ended) -> Sequence[str]:
    """Return the command that uses the rubrics that were written."""
    name = _file(ended)
    return (f"refine {name} -o out.jsonl",) if name and ended.summary.done else ()


def _file(ended: Ended) -> str:
    """Return the name of the output, for a shell, "" where it is not a file."""
    sink = ended.job.sink
    return quoted(sink.name) if sink and sink.has_file and ended.summary.datapoints else ""

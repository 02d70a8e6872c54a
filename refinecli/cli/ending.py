"""Report a run's end and return its exit code, the same for every command that asks models."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.cli.complaints import as_flags, complain
from refinecli.cli.leaving import at_last
from refinecli.errors import RefineError, WaveError
from refinecli.models.traffic import traffic_words
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line
from refinecli.text.urls import clean_of_credentials

if TYPE_CHECKING:
    from refinecli.display.reporter import Reporter
    from refinecli.runs.lifecycle import Ended

NAME = "refinecli"


def conclude(
    ended: Ended,
    reporter: Reporter,
    *,
    close: Callable[[], bool] | None = None,
    end: Callable[[int, str], None] | None = None,
    follow: Callable[[], Sequence[str]] | None = None,
    piped: bool = False,
) -> int:
    """Report how the run ended, what is kept, and how to continue; return the exit code.

    `close` reports the results of a whole run, and returns whether a quality gate was missed. `end`
    gets the exit code and, if the run ended early, the reason. `follow` returns the commands to run
    next, for a whole run that need not be run again. `piped`: the input came through a pipe.
    """
    code = ended.code
    if ended.error:
        complain(ended.error)
    elif ended.early and code:
        print(as_line(ended.early), file=sys.stderr)
    if ended.whole:
        code = _closed(ended, close, piped=piped)
    if end:
        code = max(code, _raised(lambda: end(code, _early(ended))))
    if not ended.whole and code not in (0, 2):
        kept = _kept(ended, code, piped=piped)
        print("\n".join(as_line(as_flags(line)) for line in kept), file=sys.stderr)
    for note in ended.notes:
        reporter.notice(note)
    for complaint in ended.complaints:
        complain(complaint)
    if ended.whole and follow and not ended.too_many_errors and not reporter.is_brief:
        _say_next(reporter, follow())
    if ended.job.cache and ended.job.cache.is_over:
        at_last(ended.job.cache.remove)
    return code


def _say_next(reporter: Reporter, commands: Sequence[str]) -> None:
    for number, command in enumerate(commands):
        reporter.notice(f"{'next:' if number == 0 else '     '} {program()} {command}")


def _early(ended: Ended) -> str:
    return as_flags(ended.error.args[0]) if ended.error else ended.early


def _closed(ended: Ended, close: Callable[[], bool] | None, *, piped: bool) -> int:
    """Return the exit code of a whole run, once the command has reported its results."""
    missed = False

    def ask() -> None:
        nonlocal missed
        missed = close is not None and close()

    code = _raised(ask)
    if ended.too_many_errors:
        _say_too_many(ended, piped=piped)
    return max(ended.code, code, int(missed))


def _raised(words: Callable[[], None]) -> int:
    """Report for the command; return the exit code of the error that this raises, or 0."""
    try:
        words()
    except RefineError as error:
        complain(error)
        return max(error.exit_code, 3)  # 2 says that nothing was sent
    return 0


def _say_too_many(ended: Ended, *, piped: bool) -> None:
    summary, cache = ended.summary, ended.job.cache
    kinds = ", ".join(f"{kind} {count}" for kind, count in summary.errors.most_common())
    lines = [
        f"error: {ended.bad} of {plural(summary.datapoints, 'datapoint')} failed or stayed "
        f"ungraded ({kinds}); --max-errors allows {ended.errors_allowed:g}"
    ]
    if summary.first_failure:
        lines.append(f"  the first: {summary.first_failure}")
    if set(summary.errors) == {"input"}:
        lines.append("  hint: fix those lines; none of them was sent")
    elif cache and cache.offline:
        lines.append("  hint: run the same command without --offline to ask for what is missing")
    elif cache or ended.kept_in:
        lines.append(
            "  hint: run the same command to ask again for what failed, and only for that: "
            + continuing(piped=piped)
        )
    print("\n".join(map(as_line, lines)), file=sys.stderr)


def _kept(ended: Ended, code: int, *, piped: bool) -> list[str]:
    """Return the lines to show after an early end: progress so far, and how to continue."""
    if code == WaveError.exit_code:
        return ["then this continues:", f"  {continuing(piped=piped)}"]
    lines = [f"so far: {traffic_words(ended.traffic, ended.summary.seconds)}", _finished(ended)]
    if ended.kept_in:
        how = ", with as much again to spend" if code == 4 else ""
        asked = ended.traffic.sent or ended.traffic.replayed
        what = "every reply" if asked else "what is finished"
        lines += [f"{what} is kept in {ended.kept_in}; this continues{how}:"]
        lines += [f"  {continuing(piped=piped)}"]
    elif not ended.job.cache and ended.job.roles and ended.traffic.sent:  # none: others asked
        lines += ["  hint: add --cache FILE, and the same command can continue next time"]
    return lines


def _finished(ended: Ended) -> str:
    """Say how many datapoints are finished, as the progress bar counts them, and where their lines
    are; a datapoint behind an unfinished one has no line yet."""
    summary, sink = ended.summary, ended.job.sink
    if not summary.finished:
        return "no datapoint was finished"
    if sink is None:
        return f"finished: {summary.counts}"
    if ended.kept_in and ended.kept_in.is_dir():
        return f"finished: {plural(summary.finished, 'datapoint')}, in parts"
    where = ended.partial or sink.name
    if summary.finished == summary.datapoints:
        return f"finished: {summary.counts}; their lines are in {where}"
    done = f"finished: {plural(summary.finished, 'datapoint')}"
    if not summary.datapoints:
        return f"{done}; no line is written yet: an earlier datapoint is unfinished"
    if summary.datapoints == 1:
        return f"{done}; the line of the first is in {where}, the others wait for an earlier one"
    first = summary.counts.replace(" datapoints: ", " (")
    lines = f"the lines of the first {first}) are in {where}"
    return f"{done}; {lines}, the others wait for an earlier one"


def continuing(*, piped: bool) -> str:
    """Return the given command in a form that can be pasted."""
    words = map(_without_credentials, ("", *sys.argv[1:]), sys.argv[1:])
    command = " ".join([program(), *map(quoted, words)])
    return f"… | {command}" if piped else command


# The options of an endpoint's address, which keeps what is after the `?`, without a secret. Of all
# other URLs that is left out.
_ENDPOINTS = ("--base-url", "--grader-base-url")


def _without_credentials(before: str, word: str) -> str:
    """Return a word of a command line without what may be a credential: the line is pasted into
    issues, too."""
    from refinecli.settings.secrets import hidden_in_assignment, hidden_in_url

    option, value = "", word
    if word.startswith("--"):
        before, equals, value = word.partition("=")
        option = before + equals
    if before in _ENDPOINTS:
        return option + hidden_in_url(value)
    if before == "--set":
        return option + hidden_in_assignment(value)
    return clean_of_credentials(word)


def program() -> str:
    """Return how this program is called here: by its name where the shell finds it by that, else by
    the path that was typed, such as .venv/bin/refinecli."""
    typed = sys.argv[0]
    if Path(typed).name != NAME:
        return NAME
    found = shutil.which(NAME)
    return NAME if found and Path(found).resolve() == Path(typed).resolve() else quoted(typed)


def quoted(word: str) -> str:
    """Quote a word for a shell, in one line also where it has several."""
    if word.isprintable():
        return shlex.quote(word)
    spelled = word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"$'{spelled}'"

"""After an early end: how many datapoints are finished, and where their lines are."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.cli.ending import _finished, _kept, continuing, program
from refinecli.data.output_lines import Outcome
from refinecli.data.sinks import Sink
from refinecli.models.traffic import Traffic
from refinecli.runs.lifecycle import Ended, Job, Started
from refinecli.runs.summary import Summary
from refinecli.settings.load import load


async def nothing(started: Started) -> None:
    pass


def ended(finished: int, *statuses: str, sink: Sink | None = None) -> Ended:
    job = Job(
        settings=load({}, environ={}), roles=(), place={}, body=nothing, sink=sink or Sink(None)
    )
    summary = Summary(finished=finished)
    for status in statuses:
        summary.add(Outcome({}, status))  # type: ignore[arg-type]
    return Ended(job, summary, Traffic())


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (ended(0), "no datapoint was finished"),
        (
            ended(2, "done", "failed"),
            "finished: 2 datapoints: 1 done, 1 failed; their lines are in standard output",
        ),
        (
            ended(5, "done", "done"),
            "finished: 5 datapoints; the lines of the first 2 (2 done) are in standard output, "
            "the others wait for an earlier one",
        ),
        (
            ended(5, "done"),
            "finished: 5 datapoints; the line of the first is in standard output, the others wait "
            "for an earlier one",
        ),
        (
            ended(3),
            "finished: 3 datapoints; no line is written yet: an earlier datapoint is unfinished",
        ),
    ],
)
def test_the_count_is_that_of_the_progress_bar(run: Ended, words: str) -> None:
    assert _finished(run) == words


def test_a_command_without_lines_says_how_many(tmp_path: Path) -> None:
    run = ended(1, "done")
    run.job = Job(settings=run.job.settings, roles=(), place={}, body=nothing)
    assert _finished(run) == "finished: 1 datapoint: 1 done"


@pytest.mark.parametrize(("sent", "what"), [(0, "what is finished"), (3, "every reply")])
def test_a_run_that_asked_nobody_is_continued_by_what_it_finished(
    tmp_path: Path, sent: int, what: str
) -> None:
    run = ended(1, "done")
    run.kept_in, run.traffic.sent = tmp_path, sent
    assert f"{what} is kept in {tmp_path}; this continues:" in _kept(run, 130, piped=False)


def test_a_file_that_did_not_appear_is_named_by_its_partial(tmp_path: Path) -> None:
    run = ended(1, "done", sink=Sink(str(tmp_path / "out.jsonl")))
    run.partial = tmp_path / "out.jsonl.partial"
    assert _finished(run).endswith("out.jsonl.partial")


@pytest.mark.parametrize(
    ("typed", "found", "called"),
    [
        (".venv/bin/refinecli", None, ".venv/bin/refinecli"),
        ("my folder/refinecli", "/usr/bin/refinecli", "'my folder/refinecli'"),
        ("/usr/bin/refinecli", "/usr/bin/refinecli", "refinecli"),
        ("/somewhere/refinecli/__main__.py", None, "refinecli"),
    ],
)
def test_the_next_command_is_called_as_this_one_was(
    monkeypatch: pytest.MonkeyPatch, typed: str, found: str | None, called: str
) -> None:
    monkeypatch.setattr("sys.argv", [typed, "refine", "in.jsonl"])
    monkeypatch.setattr("shutil.which", lambda name: found)
    assert program() == called
    assert continuing(piped=False) == f"{called} refine in.jsonl"

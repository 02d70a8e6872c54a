"""Passes in waves: when the latest one is submitted, and when nothing is."""

from __future__ import annotations

from pathlib import Path

from refinecli.cli.batch import BatchOptions
from refinecli.cli.waves import WaveRun
from refinecli.data.sinks import Sink
from refinecli.models.batch.waves import Waves
from refinecli.models.traffic import Traffic
from refinecli.runs.lifecycle import Ended, Job, Started
from refinecli.runs.summary import Summary
from refinecli.settings.load import load

SETTINGS = load({}, environ={})
PLACE = {"command": "refine", "input": "in.jsonl", "output": "out.jsonl", "rubric": []}


async def nothing(started: Started) -> None:
    pass


def test_a_wave_whose_results_are_damaged_is_not_submitted_again(tmp_path: Path) -> None:
    passes = []

    def run_pass(waves: Waves | None, before: Traffic) -> Ended:
        passes.append(waves)  # which counted nothing: it could not read what came
        job = Job(settings=SETTINGS, roles=(), place={}, body=nothing, sink=Sink(None))
        return Ended(job, Summary(), Traffic(), code=5)

    run = WaveRun(BatchOptions(batch=True), tmp_path, SETTINGS, asked=())
    assert run.run(run_pass, PLACE, restart=False).code == 5
    assert len(passes) == 1

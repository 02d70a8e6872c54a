"""`refinecli grade`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from refinecli.cli.options import (
    ModelOptions,
    OutputOptions,
    SeveralInputs,
    note_if_beyond,
    takes,
)
from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.ci.junit import Case, Ending
    from refinecli.cli.dry_run import Plan
    from refinecli.cli.gold_labels import Labels
    from refinecli.data.output_lines import Outcome
    from refinecli.display.reporter import Reporter
    from refinecli.grading.verdict import GradeOptions
    from refinecli.models.traffic import Traffic
    from refinecli.runs.gates import Gate, Verdict
    from refinecli.runs.summary import Summary
    from refinecli.settings.load import Settings
    from refinecli.types import Datapoint


@takes(data=SeveralInputs, out=OutputOptions, models=ModelOptions)
def grade(
    ctx: typer.Context,
    data: SeveralInputs,
    out: OutputOptions,
    models: ModelOptions,
    fail_under: Annotated[
        str | None,
        typer.Option(metavar="X", help="Exit 1 if the mean score is below X, or there is none."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'METRIC>=X'",
            help="Exit 1 unless a figure of --summary, by its path, is so, such as 'ungraded<=0' "
            "or 'errors.timeout<=3'; may be repeated. A figure that is null misses.",
        ),
    ] = None,
    gold_field: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Say how far the grades agree with labels: `gold`, or `rubric_items.gold` for one "
            "of each item. A label is true or false, yes or no, or a number on the item's scale; a "
            "list holds several raters'.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --gold-field, in mode logprobs: write how likely a pass must be to fit the "
            "labels best, for --config; exit 1 if the probabilities are at chance.",
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="R",
            min=1,
            help="Grade each item so many times, each juror of a jury too, and take the median; "
            "each vote is kept.",
        ),
    ] = 1,
    junit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write JUnit XML for CI: a test for each datapoint and each gate.",
        ),
    ] = None,
) -> int:
    """Grade the `response` of each datapoint, item by item, against its rubric.

    \b
    refinecli grade out.jsonl -o graded.jsonl --model gpt-4.1 --summary s.json
    refinecli grade out.jsonl --rubric configs/rubrics/helpfulness.toml
    refinecli refine in.jsonl | refinecli grade --fail-under 0.9 > graded.jsonl
    refinecli grade labelled.jsonl --gold-field gold --require 'kappa>=0.6'
    refinecli grade doctors.jsonl lawyers.jsonl --gold-field gold
    refinecli grade a.jsonl --gold-field gold --config g.toml --calibrate t.toml
    refinecli grade out.jsonl --require 'pass_rate>=0.9' --junit junit.xml
    """
    from refinecli.cli.job import Job, needs_input, process
    from refinecli.runs.work import NO_RESPONSE, grade_row

    labels = _labels(gold_field)
    gates = _gates(fail_under, require or [], labels)
    settings = models.settings()
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, ("grader",))
    needs_input(ctx, data)
    note_if_beyond("--fail-under", gates[0].bound if fail_under else None, quiet=models.quiet)
    _check_repeats(settings, repeats)
    if labels:
        _check_labels(labels, data, models)
    _check_calibration(settings, labels, calibrate, force=out.force)
    listeners = _listeners(data.inputs, junit, quiet=models.quiet)
    target = (calibrate, settings.grading.pass_probability) if calibrate else None
    watch = _Watch(gates, listeners, labels, target, settings.run.errors_allowed)
    job = Job(
        command="grade",
        roles=("grader",),
        settings=settings,
        shapes={"repeats": repeats} if repeats > 1 else {},
        work=lambda engine, reporter: partial(
            grade_row,
            engine=engine,
            settings=settings,
            repeats=repeats,
            on_grades=labels.add if labels else None,
            no_response=f"{NO_RESPONSE}; `refinecli refine --max-iterations 0` makes one",
        ),
        plan=lambda: _plan(settings, repeats),
        close=watch.close,
        written=watch.written if watch.listeners else None,
        end=watch.end,
        files=[("--junit", junit), ("--calibrate", calibrate)],
    )
    return process(job, data, out, models)


def _labels(path: str | None) -> Labels | None:
    if path is None:
        return None
    from refinecli.cli.gold_labels import Labels

    return Labels(path)


def _check_repeats(settings: Settings, repeats: int) -> None:
    """Several grades at temperature 0 would be one grade, paid for several times."""
    cold = next((role.name for role in settings.graders if role.temperature == 0), None)
    if repeats > 1 and cold:
        whose = f" of {cold}" if settings.jury else ""
        raise UsageError(
            f"{repeats} repeats{whose} at temperature 0 would all be the same",
            f"--set {cold}.temperature=0.7, or --repeats 1",
        )
    if repeats > 1 and settings.grading.mode == "logprobs":
        raise UsageError(
            f"{repeats} repeats of the same probabilities would all be the same",
            "--repeats 1, or --set grade.mode=verdict",
        )


def _check_calibration(
    settings: Settings, labels: Labels | None, path: Path | None, *, force: bool
) -> None:
    if path is None:
        return
    if labels is None:
        raise UsageError("--calibrate needs labels", "name them: --gold-field PATH")
    if settings.grading.mode != "logprobs":
        raise UsageError(
            f"--calibrate means nothing in mode {settings.grading.mode}",
            "--set grade.mode=logprobs",
        )
    if settings.jury:
        raise UsageError(
            "--calibrate sets how likely one grader must find a pass, and a jury is several",
            "leave the jury out, or --calibrate",
        )
    if path.exists() and not force:
        raise UsageError(f"--calibrate {path} exists", "--force overwrites it")


def _check_labels(labels: Labels, data: SeveralInputs, models: ModelOptions) -> None:
    from refinecli.cli.job import input_of

    rows = input_of(data, models.rubric)
    labels.files = [source.name for source in rows.sources]
    if rows.rereadable:
        labels.check(rows, models.keep_going)


def _plan(settings: Settings, repeats: int) -> Plan:
    """What `--dry-run` says of grading."""
    from refinecli.cli.dry_run import Plan
    from refinecli.cli.refine import first_prompts

    return Plan(
        lambda dp: [p for p in first_prompts(settings, dp) if p[0] != "policy"],
        lambda dp: repeats * len(settings.graders) * _calls(dp, settings.grading),
    )


def _calls(datapoint: Datapoint, options: GradeOptions) -> int:
    from refinecli.grading.verdict import most_calls

    if datapoint.response is None:
        return 0
    return sum(most_calls(item, options) for item in datapoint.rubric_items)


# ------------------------------------------------------------------ gates, and who is told

_WHY_NULL: Mapping[str, str] = MappingProxyType(
    {
        "score": "nothing was graded",
        "pass_rate": "nothing was graded",
        "initial_score": "only `refine` has one",
        "cost": "not all that was asked has an input_price and an output_price",
    }
)


class _Listener(Protocol):
    """Who is told of the datapoints and of the end: a JUnit file, GitHub."""

    def add(self, case: Case) -> None: ...
    def finish(self, ending: Ending) -> None: ...
    def discard(self) -> None: ...


@dataclass
class _Watch:
    """The gates of one run, each by the flag that set it, and those who are told how it went."""

    gates: Sequence[Gate]
    listeners: Sequence[_Listener]
    labels: Labels | None = None
    calibrate: tuple[Path, float] | None = None  # where to, and what a pass needs now
    errors_allowed: Callable[[int], float] = float
    verdicts: list[Verdict] = field(default_factory=list)

    def written(self, outcome: Outcome) -> None:
        from refinecli.ci.junit import case_of

        case = case_of(outcome)
        for listener in self.listeners:
            listener.add(case)

    def close(self, summary: Summary, traffic: Traffic, reporter: Reporter) -> bool:
        from refinecli.models.traffic import traffic_words

        score, passed = summary.score.value, summary.passed.value
        reporter.notice(f"grade: {summary.counts}; {traffic_words(traffic, summary.seconds)}")
        if score is not None and passed is not None:
            reporter.notice(f"score: {score:.3f} of 1; {passed:.1%} passed")
        for told in summary.notices:
            reporter.notice(told)
        if self.labels:
            summary.agreement = self.labels.figures()
            self.labels.tell(summary.agreement, reporter)
        useless = False
        enough = summary.failed + summary.ungraded <= self.errors_allowed(summary.datapoints)
        if self.labels and self.calibrate and enough:
            useless = self.labels.calibrate(*self.calibrate, reporter)
        elif self.calibrate:  # the same command goes on, and may still write it
            reporter.notice(f"--calibrate: {self.calibrate[0]} is not written: too much failed")
        figures = summary.figures(traffic)
        self.verdicts = [_verdict(gate, figures) for gate in self.gates]
        missed = [verdict for verdict in self.verdicts if not verdict.met]
        for verdict in missed:
            print(f"error: {verdict.gate.text} is missed: {verdict.reason}", file=sys.stderr)
        return bool(missed) or useless

    def end(self, code: int, early: str, summary: Summary, traffic: Traffic) -> None:
        """Whatever a run ends in is told, but not what its reader did not wait for, nor one that
        was refused: nothing was sent."""
        if early and not code and self.gates:
            flags = ", ".join(gate.text for gate in self.gates)
            print(f"{flags}: not judged: {early}", file=sys.stderr)
        if not self.listeners:
            return
        from refinecli.ci.junit import Ending, GateCase

        told = [GateCase(verdict.gate.text, verdict.reason) for verdict in self.verdicts]
        for listener in self.listeners:
            if early and code in (0, 2):
                listener.discard()
            else:
                listener.finish(Ending(summary, traffic, told, early))


def _gates(fail_under: str | None, required: Sequence[str], labels: Labels | None) -> list[Gate]:
    """All gates; one whose figure no summary has is a slip, told before anything is sent."""
    from refinecli.runs.gates import Gate, number, parse

    gates = []
    if fail_under is not None:
        bound = number(fail_under)
        if bound is None:
            raise UsageError(f"--fail-under {fail_under}: not a number", "such as 0.9")
        gates.append(Gate(f"--fail-under {fail_under}", "score", ">=", bound))
    for text in required:
        gates.append(replace(parse(text), text=f"--require '{text}'"))
    if required:
        from refinecli.models.traffic import Traffic
        from refinecli.runs.summary import Summary

        agreement = labels.figures() if labels else None
        figures = Summary(agreement=agreement).figures(Traffic())
        # All that could be asked of a null is null; a number has no figures below it.
        figures |= {name: 0 for name, value in figures.items() if value is None}
        for gate in gates:
            if not _only_known_later(gate):
                try:
                    _check(gate, figures)
                except UsageError as error:
                    if labels or error.hint.endswith("?"):
                        raise
                    hint = f"{error.hint}; those of agreement with labels need --gold-field"
                    raise UsageError(error.message, hint) from None
    return gates


def _only_known_later(gate: Gate) -> bool:
    """Which parts there are, and how often votes agree, the grades have to show."""
    parts = ("tags.", "files.", "jurors.", "coverage.")
    return gate.metric.removeprefix("agreement.").startswith(parts)


def _verdict(gate: Gate, figures: Mapping[str, Any]) -> Verdict:
    from refinecli.runs.gates import Verdict

    try:
        return _check(gate, figures)
    except UsageError as error:
        if not _only_known_later(gate):
            raise
        return Verdict(gate, None, False, f"no such figure; {error.hint}")


def _check(gate: Gate, figures: Mapping[str, Any]) -> Verdict:
    from refinecli.runs import gates

    try:
        verdict = gates.check(gate, figures)
    except UsageError as error:
        raise UsageError(error.message.removeprefix("--gate "), error.hint) from None
    if verdict.met or verdict.value is not None:
        return verdict
    why = verdict.reason.partition(" is null: ")[2] or _WHY_NULL.get(gate.metric)
    return replace(verdict, reason=f"there is no {gate.metric}{f': {why}' if why else ''}")


def _listeners(inputs: Sequence[str], junit: Path | None, *, quiet: bool) -> list[_Listener]:
    listeners: list[_Listener] = []
    name = ", ".join(name for name in inputs if name != "-") or None
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from refinecli.ci.github import GitHub

        listeners.append(GitHub.here(os.environ, "grade", name, quiet=quiet))
    if junit is not None:
        from refinecli.ci.junit import JUnitFile

        listeners.append(JUnitFile(junit, "refinecli grade", name))
    return listeners

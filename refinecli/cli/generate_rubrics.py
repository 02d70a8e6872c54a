"""Run `refinecli generate-data rubrics`, the one task that asks a model; it runs like `grade`.

The grader writes the rubrics, at its temperature of 0, and tries them on the responses of
`--contrast`. Defining a good answer belongs to the role that is trusted with verdicts: in a config
for refining, the policy is the model that is to improve, often a small one, and must not set its
own exam. If only `--model` is given, the grader is that model.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from refinecli.cli.closing import after_rubrics, say_where
from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions, rubric_of
from refinecli.errors import UsageError
from refinecli.generators import TASKS
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.display.reporter import Reporter
    from refinecli.generators.rubric_writer import Writing
    from refinecli.generators.rubrics import PromptReader
    from refinecli.runs.lifecycle import Ended
    from refinecli.runs.summary import Summary
    from refinecli.types import JSONObject


def generate_rubrics(
    data: InputOptions,
    out: OutputOptions,
    models: ModelOptions,
    contrast: str | None,
    with_response: bool,
) -> int:
    from refinecli.cli.job import RowCommand, process
    from refinecli.generators.rubrics import PromptReader
    from refinecli.item_defaults import written_item
    from refinecli.runs.plan import rubric_plan
    from refinecli.runs.rubric_work import write_rubric

    reader = PromptReader(with_response, _two_fields(contrast))
    settings = models.settings().without_jury()  # one writes, and tries what it wrote
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, ("grader",))
    if data.input is None:
        TASKS["rubrics"].missing_file()
    if reader.contrast:
        _check_contrast(data, reader, settings.run.line_bytes)
    given = [written_item(item) for item in rubric_of(models, quiet=True)]
    counts = _Counts(reader.contrast is not None)
    command = RowCommand(
        command="generate-data rubrics",
        roles=("grader",),
        settings=settings,
        shapes={"contrast": list(reader.contrast)} if reader.contrast else {},
        work=lambda engine, reporter: partial(
            write_rubric,
            engine=engine,
            settings=settings,
            given=given,
            contrast=reader.contrast,
            on_writing=counts.add,
        ),
        plan=lambda: rubric_plan(settings, contrast=reader.contrast is not None),
        complete=counts.complete,
        close=counts.close,
        follow=after_rubrics,
        reader=reader,
    )
    return process(command, data, out, models)


def _two_fields(contrast: str | None) -> tuple[str, str] | None:
    if contrast is None:
        return None
    fields = [name.strip() for name in contrast.split(",")]
    if len(fields) != 2 or not all(fields) or fields[0] == fields[1]:
        raise UsageError(
            f"--contrast {contrast}: expected two fields, of a good and of a bad response",
            "name both, such as --contrast chosen,rejected",
        )
    return fields[0], fields[1]


def _check_contrast(data: InputOptions, reader: PromptReader, most: int) -> None:
    """Refuse fields that no row has before anything is sent: they are a slip."""
    from refinecli.data.sources import Source
    from refinecli.generators.rubrics import responses
    from refinecli.runs.run import Input

    assert reader.contrast is not None
    source = Source(data.input, most=most)
    if not source.rereadable:
        return
    datapoints = 0
    for row in Input(source, (), data.limit, reader).all_rows():
        if row.datapoint and responses(row.raw, reader.contrast):
            return
        datapoints += row.datapoint is not None
    if datapoints:
        raise UsageError(
            f"--contrast {','.join(reader.contrast)}: no row has two different responses there",
            "name the field of the good response, a comma, and that of the bad one; "
            "dots lead into objects",
        )


# ------------------------------------------------------------------ the end


@dataclass
class _Counts:
    """The criteria of a run, counted by their fate. With a `contrast` each should be tried."""

    contrast: bool
    already: int = 0  # rows that had a rubric
    prompts: int = 0
    tried: int = 0  # prompts whose criteria were tried on two responses
    untried: int = 0  # prompts without two responses to try criteria on
    written: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def add(self, writing: Writing | None) -> None:
        if writing is None:
            self.already += 1
            return
        self.prompts += 1
        self.tried += writing.tried
        self.untried += self.contrast and not writing.tried
        self.written += len(writing.criteria)
        self.kept += len(writing.kept)
        self.dropped += writing.dropped

    def record(self) -> JSONObject:
        return {
            "prompts": self.prompts,
            "already": self.already,
            "written": self.written,
            "kept": self.kept,
            "dropped": {name: self.dropped[name] for name in _REASONS},
            "contrast": {"tried": self.tried, "missing": self.untried},
        }

    def complete(self, summary: Summary) -> None:
        summary.rubrics = self.record()

    def close(self, ended: Ended, reporter: Reporter) -> bool:
        from refinecli.models.traffic import traffic_words

        words = f"{ended.summary.counts}; {traffic_words(ended.traffic, ended.summary.seconds)}"
        reporter.notice(f"generate-data rubrics: {words}")
        if reporter.is_brief:
            return False
        if self.written:
            mean = self.kept / self.prompts
            line = (
                f"rubric items: {self.written:,} written, {self.kept:,} kept, {mean:.1f} a prompt"
            )
            reporter.notice(line)
        for name, why in _REASONS.items():
            if self.dropped[name]:
                reporter.notice(f"  dropped: {self.dropped[name]:,} {name} ({why})")
        if self.already:
            have = "datapoint already has" if self.already == 1 else "datapoints already have"
            reporter.notice(f"{self.already:,} {have} a rubric, and none was written")
        if self.untried:
            reporter.notice(
                f"--contrast: {self.untried:,} of {plural(self.prompts, 'prompt')} have no two "
                "different responses there, and their criteria were not tried"
            )
        say_where(ended, reporter)
        return False


_REASONS = {
    "vague": "name nothing that the conversation asks for",
    "duplicate": "ask what an earlier one asks",
    "unanswerable": "need another response, or a reference that does not exist",
    "long": "have more words than one criterion needs",
    "no_contrast": "do not score the good response above the bad one",
    "undecided": "the grader gave no verdict on one of the two responses",
}

"""Do the work on one row of prompts: have its rubric written, and make an output line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from refinecli.data import output_lines
from refinecli.data.output_lines import Outcome
from refinecli.data.rows import Row
from refinecli.errors import CompletionError
from refinecli.generators import rubric_writer
from refinecli.generators.rubric_writer import Writing
from refinecli.generators.rubrics import needs_rubric, responses
from refinecli.types import Datapoint, JSONObject

if TYPE_CHECKING:
    from refinecli.models.engine import Engine
    from refinecli.settings.load import Settings

# Gets the criteria of each row, or None for a row that already has a rubric.
OnWriting = Callable[[Writing | None], None]


async def write_rubric(
    row: Row,
    engine: Engine,
    settings: Settings,
    *,
    given: Sequence[JSONObject] = (),
    contrast: tuple[str, str] | None = None,
    on_writing: OnWriting | None = None,
) -> Outcome:
    """Have the grader write the rubric of a row that was read without one, after the items that it
    was `given`. If `contrast` names a good and a bad response, drop items that do not distinguish
    them."""
    datapoint = row.datapoint
    assert datapoint is not None
    writing = None
    if needs_rubric(datapoint):
        try:
            writing = await _written(row, datapoint, engine, settings, contrast)
        except CompletionError as error:
            return output_lines.failed(row.raw, error, "rubric")
    if on_writing:
        on_writing(writing)
    if writing is None:
        return Outcome(row.raw, "done")
    return rubric_writer.outcome(row.raw, given, writing, engine.made_with)


async def _written(
    row: Row,
    datapoint: Datapoint,
    engine: Engine,
    settings: Settings,
    contrast: tuple[str, str] | None,
) -> Writing:
    grader, prompts = engine.roles.grader, settings.prompts
    pair = responses(row.raw, contrast) if contrast else None
    known = [item.rubric_str for item in datapoint.rubric_items[:-1]]
    writing = await rubric_writer.write_rubric(datapoint, known, grader, prompts)
    if pair is None:
        return writing
    return await rubric_writer.tried(writing, datapoint, pair, grader, prompts, settings.grade)

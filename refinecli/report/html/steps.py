"""Build the page's tables of an adaptive loop's steps."""

from __future__ import annotations

from refinecli.report.by_step import KINDS, STEP_NOTES, learned_from
from refinecli.report.html.text import (
    fields,
    number,
    rows,
    share,
    signed,
    table,
    with_interval,
)
from refinecli.types import JSONObject


def steps_section(steps: JSONObject) -> str:
    """Return what drafts and rewrites brought, and the choice over the rows; empty where no step
    was chosen."""
    if not steps:
        return ""
    head = ("Steps", "Taken", "Added", "Tokens", "Added for 1,000 tokens", "Improved")
    body = [
        [
            f"{kind}s",
            number(row.get("count")),
            signed(row.get("gain")),
            number(row.get("tokens")),
            signed(row.get("gain_per_1000_tokens")),
            with_interval(row.get("improved"), share),
        ]
        for kind in KINDS
        if (row := fields(steps.get(kind)))
    ]
    notes = "".join(f'<p class="note">{note[0].upper()}{note[1:]}.</p>' for note in STEP_NOTES)
    return table("Drafts and rewrites", head, body) + _by_place(steps) + notes


def _by_place(steps: JSONObject) -> str:
    head = ("Rows", "Learn from", "Steps", "Share of rewrites")
    body = [
        [
            f"{number(row.get('from'))}–{number(row.get('to'))}",
            learned_from(row),
            number(row.get("count")),
            with_interval(row.get("share"), share),
        ]
        for row in rows(steps.get("by_place"))
    ]
    return table("The choice over the rows", head, body)

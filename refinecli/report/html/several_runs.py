"""Build the parts of the page about several runs: two compared, or a trend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal
from urllib.parse import quote

from refinecli.report.html.chart import BARS, Point, Scale, chart
from refinecli.report.html.rows import datapoint_name, item_name
from refinecli.report.html.text import (
    MOST_ROWS,
    NOTHING,
    as_note,
    count,
    data,
    ends,
    escape,
    fields,
    mean,
    more_rows,
    number,
    rows,
    share,
    sign_test,
    table,
    with_interval,
)
from refinecli.stats.wording import plural
from refinecli.text.word_diff import word_diff
from refinecli.types import JSONObject

_MOST_NAMES = 50  # of datapoints in a sentence


def two_runs(pair: JSONObject) -> str:
    if not pair:
        return ""
    lines = [] if pair.get("refined") is False else list(_in_figures(pair))  # else it stands first
    for name, key in (("✗→✓ Pass now", "now_pass"), ("✓→✗ Fail now", "now_fail")):
        if isinstance(ids := pair.get(key), list) and ids:
            lines.append(f"{name} ({len(ids):,}): {_listed(ids)}.")
    if pair.get("left_out"):
        lines.append(f"{plural(pair['left_out'], 'result')} not scored in both, left out.")
    listed = "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"
    return listed + _rubric(fields(pair.get("rubric"))) + _parts(pair, "item") + _parts(pair, "tag")


def _in_figures(pair: JSONObject) -> Iterator[str]:
    title = f"{data(pair.get('new'))} minus {data(pair.get('old'))}"
    many = f"{plural(pair.get('n') or 0, 'datapoint')} in common"
    again = " regraded" if pair.get("fresh") else ""
    yield f"{title}, {many}: {with_interval(pair.get('gain'))}{again}."
    words = (("Score", "sign_test", "up", "down"), ("Passed", "flip_test", "more", "less"))
    for name, key, up, down in words:
        if test := fields(pair.get(key)):
            yield f"{name}: {sign_test(test, (up, 'equal', down))}."


def _parts(pair: JSONObject, kind: Literal["item", "tag"]) -> str:
    """Build the table of what changed by item, or by tag."""
    found = rows(pair.get(f"{kind}s"))
    if not found:
        return ""
    name = {"item": "name", "tag": "tag"}[kind]
    scale = Scale.over([row.get("gain") for row in found[:MOST_ROWS]])
    body = [
        [
            _picking(kind, row.get(name))
            + (" <small>penalty: better as its score falls</small>" if row.get("penalty") else ""),
            number(row.get("n")),
            *(number(row.get(side)) for side in ("old", "new")),
            with_interval(row.get("gain")),
            scale.bar(row.get("gain")),
            *(number(row.get(key)) for key in ("now_pass", "now_fail")),
        ]
        for row in found[:MOST_ROWS]
    ]
    title = {"item": "Item", "tag": "Tag"}[kind]
    head = (title, "n", *(data(pair.get(side)) for side in ("old", "new")))
    head += ("Gain", BARS, "✗→✓", "✓→✗")
    return table(f"Two runs by {kind}", head, body) + more_rows(found)


def _picking(kind: str, name: object) -> str:
    """Link to the datapoints that fail an item, or have a tag."""
    return f'<a href="#?{kind}={quote(item_name(name), safe="")}">{data(name)}</a>'


def _rubric(effect: JSONObject) -> str:
    """List what was changed in the rubric, word by word."""
    lines = []
    for change in rows(effect.get("changes"))[:MOST_ROWS]:
        kinds = change.get("changes")
        words = ", ".join(map(escape, kinds if isinstance(kinds, list) else []))
        old, new = (*(change.get("text") or ()), None, None)[:2]
        marked = _marked(str(old), str(new)) if old and new and old != new else ""
        many = count(int(change.get("datapoints") or 0), "datapoint")
        lines.append(f"<li>{data(change.get('name'))}: {words} in {many}. {marked}</li>")
    return f"<p>The rubric changed:</p><ul>{''.join(lines)}</ul>" if lines else ""


def _marked(old: str, new: str) -> str:
    tags = {"deleted": "del", "inserted": "ins"}
    pieces = (
        f"<{tags[kind]}>{escape(text)}</{tags[kind]}>" if kind else escape(text)
        for kind, text in word_diff(old, new, full=True)
    )
    return f"<q>{''.join(pieces)}</q>"


def _listed(ids: Sequence[object]) -> str:
    left = len(ids) - _MOST_NAMES
    more = f" and {left:,} more" if left > 0 else ""
    return ", ".join(map(_opening, ids[:_MOST_NAMES])) + more


def _opening(name: object) -> str:
    """Link to a datapoint by its id."""
    return f'<a href="#{quote(datapoint_name(name), safe="")}">{data(name)}</a>'


def trend(runs: Sequence[JSONObject]) -> str:
    if not runs:
        return ""
    head = ("Run", "Date", "Strategy", "Models", "n", "Score", "Passed", "Loop gain", "Change")
    body = [
        [
            data(run.get("label")),
            f'<span class="flag">{data(run.get("date") or NOTHING)}</span>',
            data(run.get("strategy") or NOTHING),
            data(", ".join(dict.fromkeys(map(str, fields(run.get("models")).values())))),
            number(run.get("n")),
            with_interval(run.get("score"), number),
            with_interval(run.get("pass_rate"), share),
            with_interval(run.get("loop_gain")),
            with_interval(run.get("change")),
        ]
        for run in runs
    ]
    points = [
        Point(str(run.get("label")), score, *(ends(run.get("score")) or (score, score)))
        for run in runs
        if (score := mean(run.get("score"))) is not None
    ]
    series = {(str(run.get("strategy")), str(run.get("models"))) for run in runs}
    drawn = chart(points, [], "run", "Mean score by run", joined=len(series) == 1)
    note = as_note("Change: against the run before it with the same strategy and models, paired.")
    if runs[-1].get("fresh"):
        note += as_note("Scores are those of a later grading; the loop gain is the loop's own.")
    return drawn + table("Trend", head, body, words=4) + note + _item_trend(runs)


def _item_trend(runs: Sequence[JSONObject]) -> str:
    scores = [{item.get("name"): item for item in rows(run.get("items"))} for run in runs]
    names = list(dict.fromkeys(name for run in scores for name in run))
    body = [
        [data(name), *(number(fields(run.get(name)).get("score")) for run in scores)]
        for name in names[:MOST_ROWS]
    ]
    head = ["Item", *(data(run.get("label")) for run in runs)]
    return table("Items by run", head, body) + more_rows(names) if body else ""

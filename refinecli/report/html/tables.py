"""Build the page's tables as HTML, one section each; a part that the report lacks has no
section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from refinecli.report.html.chart import BARS, Point, Scale, chart
from refinecli.report.html.rows import item_name
from refinecli.report.html.several_runs import trend, two_runs
from refinecli.report.html.steps import steps_section
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
    signed,
    table,
    with_interval,
)
from refinecli.types import JSONObject


def tables(report: JSONObject, failures: Mapping[str, int]) -> dict[str, str]:
    """Return the sections by title, in order; `failures` counts those of each item."""
    refined = len(rows(report.get("iterations"))) > 1
    pair = fields(report.get("compared"))
    # Where nothing was refined, the comparison says all that there is to say.
    alone = pair.get("refined") is not False
    found = {
        "Two runs": two_runs(pair),
        "Gains": _gains(report) if refined else "",
        _rounds(report): _iterations(report) if refined else "",
        "Drafts and rewrites": steps_section(fields(report.get("steps"))),
        "Baselines": _baselines(report),
        "Rubric items": _items(report, failures) if alone else "",
        "Gates": _gates(report),
        "Who was chosen": _selections(report),
        "Trend": trend(rows(report.get("trend"))) if alone else "",
    }
    return {title: body for title, body in found.items() if body}


def _rounded(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else NOTHING


# ------------------------------------------------------------------ gains

_GAINS = (
    ("loop_gain", "In the loop", "by the grades that chose what to keep"),
    ("regraded_gain", "Regraded", "first against final, blind"),
    ("heldout_gain", "Held-out judge", "took no part in the loop"),
    ("optimism", "Optimism", "in the loop − regraded"),
    ("judge_gap", "Judge gap", "regraded − held-out judge"),
    ("revealed_gain", "Items shown to the policy", "in the loop"),
    ("verdict_gain", "Hidden items", "in the loop; the policy learns only that they are not met"),
)


def _gains(report: JSONObject) -> str:
    apart = mean(report.get("verdict_gain")) is not None
    given = [
        (title, note, report[key])
        for key, title, note in _GAINS
        if mean(report.get(key)) is not None and (key != "revealed_gain" or apart)
    ]
    if not given:
        return ""
    scale = Scale.over([gain for _, _, gain in given])
    body = [
        [f"{title} <small>{note}</small>", signed(mean(gain)), _interval(gain), scale.bar(gain)]
        for title, note, gain in given
    ]
    head = ("Final minus first response", "Mean", "95% interval", BARS)
    notes = "".join(map(as_note, _below_gains(report)))
    return table("Gains and their intervals", head, body) + notes


def _below_gains(report: JSONObject) -> Iterator[str]:
    named = (("In the loop", "sign_test"), ("Regraded", "regradedsign_test"))
    for name, key in named:
        if test := fields(report.get(key)):
            yield f"{name}: {sign_test(test)}."
    if report.get("too_few"):
        yield "Too few datapoints for an interval."
    elif isinstance(least := report.get("detectable"), int | float):
        many = count(int(report.get("n") or 0), "datapoint")
        found = number(float(least))
        yield (
            f"With {many}, a gain of {found} as this grader sees it would be found four times in "
            "five; the true gain behind it may be larger."
        )


def _interval(gain: object) -> str:
    interval = ends(gain)
    return f"{signed(interval[0])} to {signed(interval[1])}" if interval else NOTHING


# ------------------------------------------------------------------ iterations


def _rounds(report: JSONObject) -> str:
    """Name the rounds of a run by what it made in them."""
    return "Drafts" if report.get("only_drafts") is True else "Iterations"


def _iterations(report: JSONObject) -> str:
    found = rows(report.get("iterations"))
    mixed = any("drafts" in row for row in found)  # with rewrites, in one iteration
    head = (
        *(_rounds(report)[:-1], "Datapoints", *(["Drafts"] if mixed else [])),
        *("Mean score", "Accepted", "Items fixed", "Items broken"),
        *("Characters", "Calls", "Prompt tokens", "Completion tokens"),
    )
    body = [
        [
            number(row.get("iteration")),
            number(row.get("active", row.get("n"))),
            *([number(row.get("drafts"))] if mixed else []),
            with_interval(row.get("score"), number),
            with_interval(row.get("accepted"), share),
            number(row.get("fixed")),
            number(row.get("broken")),
            _rounded(row.get("characters")),
            *(number(row.get(key)) for key in ("calls", "prompt_tokens", "completion_tokens")),
        ]
        for row in found
    ]
    before = "the response that was rewritten" if mixed else "the previous response"
    if report.get("only_drafts") is True:
        note = as_note(f"{_BEST_DRAFT} Brackets are 95% intervals. {_UNSHARED}")
        return _curve(report, found) + table("Drafts", head, body) + note
    note = as_note(
        "The mean score is that of the responses that would be returned after the round, over all "
        f"{number(report.get('n'))}: finished datapoints are carried forward. Fixed: an item that "
        f"failed in {before} and passes now; broken: the reverse. First responses and "
        "drafts have no previous one. Brackets are 95% intervals. "
        f"{_UNSHARED}"
    )
    return _curve(report, found) + table("Iterations", head, body) + note


_BEST_DRAFT = (
    "The mean score is that of the best draft up to this one, by the loop's own grades; accepted: "
    "the draft was better than all before."
)


def _curve(report: JSONObject, found: Sequence[JSONObject]) -> str:
    points = [
        Point(number(row.get("iteration")), score, *(ends(row.get("score")) or (score, score)))
        for row in found
        if (score := mean(row.get("score"))) is not None
    ]
    own = {run.get("file") for run in rows(report.get("runs"))[-1:]}  # its own first answer
    lines = [
        (str(row.get("name")), score)
        for row in rows(report.get("baselines"))
        if (score := mean(row.get("score"))) is not None and row.get("file") not in own
    ]
    drafts = report.get("only_drafts") is True
    caption = "Mean score of the best draft so far" if drafts else "Mean score by iteration"
    caption += ", with 95% intervals" if any(point.low < point.high for point in points) else ""
    caption += "; dashed: baselines" if lines else ""
    return chart(points, lines, "draft" if drafts else "iteration", caption)


# ------------------------------------------------------------------ baselines, items


def _baselines(report: JSONObject) -> str:
    found = rows(report.get("baselines"))
    if not found:
        return ""
    head = [
        *("Run", "n", "Score", "Ahead", "Calls", "Tokens", "Tokens, of this run's"),
        "Tokens for 0.01 gained",
    ]
    fresh = any(row.get("regraded_gain_over_it") for row in found)
    head += ["Ahead, regraded"] if fresh else []
    run = fields(report.get("run_cost"))
    both = [{"name": "this run", **run}, *found] if run.get("n") else found
    body = [
        [
            data(row.get("name")),
            number(row.get("n")),
            with_interval(row.get("score"), number),
            with_interval(row.get("gain_over_it")),
            number(row.get("calls")),
            number(row.get("tokens")),
            _times(row.get("tokens_ratio")),
            _rounded(row.get("cost_per_point")),
            *([with_interval(row.get("regraded_gain_over_it"))] if fresh else []),
        ]
        for row in both[:MOST_ROWS]
    ]
    notes = "".join(map(as_note, [*_below_baselines(found), *_left_out(report, run)]))
    return table("Baselines", head, body) + notes


_UNSHARED = "Calls and tokens: counted as if no call had been shared or cached."


def _below_baselines(found: Sequence[JSONObject]) -> Iterator[str]:
    yield "Ahead: how much more this run scores, paired by datapoint."
    if any(row.get("regraded_gain_over_it") for row in found):
        yield "Regraded: the responses of both, blind; the other scores are the loops' own."
    yield _UNSHARED
    yield "Tokens for 0.01 gained: extra tokens for each 0.01 gained over the first answers."
    for row in found:
        name = data(row.get("name"))
        if row.get("fresh"):
            score = number(mean(row.get("run_score")))
            yield f"{name}: by a later grading, which gives this run {score}."
        elif row.get("drafts") and row.get("drafts_drawn"):
            drafts, drawn = number(row["drafts"]), number(row["drafts_drawn"])
            yield f"{name}: the first {drafts} of {drawn} drafts, chosen by their tokens alone."
        if row.get("left_out"):
            yield f"{name}: {number(row['left_out'])} not scored in both are left out."


def _left_out(report: JSONObject, run: JSONObject) -> Iterator[str]:
    """Explain why the run costs less here than above."""
    left = int((rows(report.get("runs")) or [{}])[-1].get("datapoints") or 0) - (run.get("n") or 0)
    if run.get("n") and left > 0:
        yield (
            f"This run: {left:,} without a first and a final score are left out, with their calls "
            "and tokens."
        )


def _times(value: object) -> str:
    return f"{value:.2f} ×" if isinstance(value, int | float) else NOTHING


def _items(report: JSONObject, failures: Mapping[str, int]) -> str:
    found = rows(report.get("items"))
    if not found:
        return ""
    if not any(row.get("gain") for row in found):
        return _scores(found, failures)
    fresh = any(row.get("regraded_gain") for row in found)
    head = ["Item", "n", "Fails", "First", "Final", "Gain", BARS, "Fixed", "Broken"]
    head += ["Ungraded", *(["Regraded"] if fresh else [])]
    scale = Scale.over([row.get("gain") for row in found[:MOST_ROWS]])
    body = []
    for row in found[:MOST_ROWS]:
        cells = [
            *_item(row, failures),
            *(number(mean(row.get(key))) for key in ("first", "final")),
            with_interval(row.get("gain")),
            scale.bar(row.get("gain")),
            *(number(row.get(key)) for key in ("fixed", "broken", "ungraded")),
        ]
        body.append([*cells, with_interval(row.get("regraded_gain"))] if fresh else cells)
    return table("Rubric items", head, body) + more_rows(found)


def _scores(found: Sequence[JSONObject], failures: Mapping[str, int]) -> str:
    """Build the table of items where nothing was refined."""
    body = [
        [
            *_item(row, failures),
            with_interval(row.get("final"), number),
            number(row.get("ungraded")),
        ]
        for row in found[:MOST_ROWS]
    ]
    return table("Rubric items", ("Item", "n", "Fails", "Score", "Ungraded"), body) + more_rows(
        found
    )


def _item(row: JSONObject, failures: Mapping[str, int]) -> list[str]:
    """Return the first cells of an item: its name, how many graded it, how many fail it."""
    name = data(row.get("name")) + _marks(row)
    return [name, number(row.get("n")), _failing(row.get("name"), failures)]


def _failing(name: object, failures: Mapping[str, int]) -> str:
    """Link to the datapoints whose returned response fails the item."""
    shown = item_name(name)
    if shown not in failures:
        return NOTHING if not failures else "0"
    title = f"Show the {count(failures[shown], 'datapoint')} that fail it"
    link = f'<a href="#?item={quote(shown, safe="")}" title="{title}">'
    return f"{link}{failures[shown]:,}</a>"


def _marks(item: JSONObject) -> str:
    marks = ["hidden: the policy learns only that it is not met"]
    marks = marks if item.get("reveal") == "verdict" else []
    marks += ["penalty: better as its score falls"] if item.get("penalty") else []
    return f" <small>{'; '.join(marks)}</small>" if marks else ""


# ------------------------------------------------------------------ gates, selections


def _gates(report: JSONObject) -> str:
    found = rows(report.get("gates"))
    body = [
        [
            f"<code>{escape(row.get('gate'))}</code>",
            number(row.get("value")),
            "✓ met" if row.get("met") else '<b class="bad">✗ missed</b>',
        ]
        for row in found
    ]
    return table("Gates", ("Gate", "Value", "Met"), body) if body else ""


def _selections(report: JSONObject) -> str:
    found = fields(report.get("selections"))
    total = sum(n for n in found.values() if isinstance(n, int))
    body = [
        [data(winner), number(n), share(n / total if total and isinstance(n, int) else None)]
        for winner, n in found.items()
    ]
    return table("Who was chosen", ("Winner", "Times", "Share"), body) if body else ""

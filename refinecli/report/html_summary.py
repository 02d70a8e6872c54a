"""The page's summary: what was run, what may be said of it, and the tables, as HTML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from refinecli.report.html_chart import Scale, curve
from refinecli.report.html_text import (
    NOTHING,
    count,
    data,
    ends,
    escape,
    fields,
    mean,
    number,
    rows,
    share,
    signed,
    table,
    with_interval,
)
from refinecli.types import JSONObject

_MOST_ROWS = 100  # of one table; names of items can be as many as datapoints


def name_of(report: JSONObject) -> str:
    """What the page is about: the first run's label, else its file."""
    run = next(iter(rows(report.get("runs"))), {})
    return str(run.get("label") or run.get("file") or "a run")


def summary(report: JSONObject, *, counted_by_code: bool) -> str:
    """All of the page above the datapoints."""
    sections = {
        "Gains": _gains(report),
        "Iterations": _iterations(report),
        "Baselines": _baselines(report),
        "Rubric items": _items(report),
        "Gates": _gates(report),
        "Who was chosen": _selections(report),
        "Compared with the other run": _told(report.get("compared"), "compared"),
        "Trend": _told(report.get("trend"), "trend"),
    }
    given = {title: body for title, body in sections.items() if body}
    links = "".join(f'<a href="#{_anchor(title)}">{title}</a>' for title in [*given, "Datapoints"])
    parts = [
        _head(report),
        _alarms(report),
        _verdict(report, counted_by_code),
        f'<nav class="contents" aria-label="Contents">{links}</nav>',
        *(_section(title, body) for title, body in given.items()),
    ]
    return "\n".join(part for part in parts if part)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _section(title: str, body: str) -> str:
    name = _anchor(title)
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>{body}</section>'


# ------------------------------------------------------------------ what was run


def _head(report: JSONObject) -> str:
    lists = "".join(_run(run) for run in rows(report.get("runs")))
    title = f"<h1>{data(name_of(report))}</h1>"
    return f'<header><p class="over">refinecli report</p>{title}{lists}</header>'


def _run(run: JSONObject) -> str:
    models = fields(run.get("models"))
    by_model: dict[str, list[str]] = {}
    for role, model in models.items():
        by_model.setdefault(str(model), []).append(str(role))
    named = "; ".join(f"{data(model)} ({escape(', '.join(to))})" for model, to in by_model.items())
    counts = [
        f"{number(run[key])} {key}"
        for key in ("done", "ungraded", "failed")
        if isinstance(run.get(key), int) and (run[key] or key == "done")
    ]
    tokens = [run.get(key) for key in ("prompt_tokens", "completion_tokens")]
    spent = sum(n for n in tokens if isinstance(n, int))
    facts = {
        "file": data(run.get("file")) if run.get("file") else "",
        "date": data(run.get("date")) if run.get("date") else "",
        "strategy": data(run.get("strategy")) if run.get("strategy") else "",
        "models": named,
        "datapoints": f"{number(run.get('datapoints'))} ({', '.join(counts)})" if counts else "",
        "cost": f"{number(run.get('calls'))} calls, {spent:,} tokens" if run.get("calls") else "",
    }
    given = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value
    )
    return f'<dl class="facts">{given}</dl>'


def _alarms(report: JSONObject) -> str:
    alarms = "".join(
        f"<li><strong>{escape(alarm.get('type'))}:</strong> {data(alarm.get('message'))}</li>"
        for alarm in rows(report.get("alarms"))
    )
    if not alarms:
        return ""
    return (
        '<section class="alarms" aria-labelledby="alarms"><h2 id="alarms">⚠ Look at this first</h2>'
        f"<ul>{alarms}</ul></section>"
    )


# ------------------------------------------------------------------ what may be said


def _verdict(report: JSONObject, counted_by_code: bool) -> str:
    kind, title = _headline(report, counted_by_code)
    said = "".join(f"<li>{line}</li>" for line in _sentences(report, counted_by_code))
    mark = {"yes": "✓", "no": "✗", "open": "?"}[kind]
    return (
        f'<section class="verdict {kind}" aria-labelledby="verdict"><h2 id="verdict">'
        f'<span class="mark" aria-hidden="true">{mark}</span> {title}</h2><ul>{said}</ul></section>'
    )


def _headline(report: JSONObject, counted_by_code: bool) -> tuple[str, str]:
    """What the gain that can be trusted says: the regraded one, or one that code counted."""
    gain = report.get("regraded_gain") or (report.get("loop_gain") if counted_by_code else None)
    if mean(report.get("loop_gain")) is None:
        return "open", "There is nothing to compare: no datapoint has two scores"
    if report.get("too_few"):
        return "open", f"Too few datapoints to tell: {number(report.get('n'))}"
    if mean(gain) is None:
        return "open", "Open: the gain was not graded afresh"
    interval = ends(gain)
    if interval is None or interval[0] <= 0 <= interval[1]:
        return "open", "No gain is shown: it may be chance"
    if interval[1] < 0:
        return "no", f"The answers got worse: {signed(mean(gain))}"
    unbeaten = [
        data(row.get("name"))
        for row in rows(report.get("baselines"))
        if (ends(row.get("gain_over_it")) or (0, 0))[0] <= 0
    ]
    title = f"A gain over the first answer: {signed(mean(gain))}"
    if unbeaten:
        return "open", f"{title}; none is shown over {' or '.join(unbeaten)}"
    return "yes", title


def _sentences(report: JSONObject, counted_by_code: bool) -> Iterator[str]:
    scores = [mean(row.get("score")) for row in rows(report.get("iterations"))]
    loop = report.get("loop_gain")
    if mean(loop) is not None:
        way = f"from {number(scores[0])} to {number(scores[-1])}, " if len(scores) > 1 else ""
        trust = (
            "All grades were counted by code, so no grader's noise is in it."
            if counted_by_code
            else "The best of several noisy grades is kept, so this number flatters."
        )
        yield f"In the loop the mean score went {way}{_number_with_interval(loop)}. {trust}"
    yield from _fresh(report)
    yield from _against_chance(report)
    yield from _against_baselines(report)


def _number_with_interval(gain: object) -> str:
    return f"<b>{with_interval(gain)}</b>"


def _fresh(report: JSONObject) -> Iterator[str]:
    regraded, heldout = report.get("regraded_gain"), report.get("heldout_gain")
    if mean(regraded) is not None:
        line = f"Graded afresh, blind to round and origin: {_number_with_interval(regraded)}."
        if mean(report.get("optimism")) is not None:
            line += f" The loop was optimistic by {with_interval(report.get('optimism'))}."
        yield line
    elif mean(report.get("loop_gain")) is not None:
        yield "It was not graded afresh; <code>--regrade</code> does that."
    if mean(heldout) is not None:
        line = f"A judge that took no part in the loop sees {_number_with_interval(heldout)}."
        if mean(report.get("judge_gap")) is not None:
            line += f" The grader sees {with_interval(report.get('judge_gap'))} more than it."
        yield line


def _against_chance(report: JSONObject) -> Iterator[str]:
    regraded = fields(report.get("regraded_sign_test"))
    test = regraded or fields(report.get("sign_test"))
    if test:
        where = ", graded afresh" if regraded else " in the loop"
        yield (
            f"Of {count(int(report.get('n') or 0), 'datapoint')}{where}, "
            f"{number(test.get('wins'))} got better, {number(test.get('losses'))} worse, "
            f"{number(test.get('ties'))} stayed (sign test, p {_p(test.get('p_value'))})."
        )
    if report.get("too_few"):
        yield "Below 20 datapoints no interval is given: take these numbers as examples."
    elif (least := report.get("detectable")) is not None:
        many = count(int(report.get("n") or 0), "datapoint")
        yield f"With {many} a true gain of {number(least)} is found four times in five."


def _p(value: object) -> str:
    if not isinstance(value, int | float):
        return NOTHING
    return "&lt; 0.001" if value < 0.001 else f"= {value:.3f}"


def _against_baselines(report: JSONObject) -> Iterator[str]:
    baselines = rows(report.get("baselines"))
    if not baselines:
        yield (
            "Nothing was run beside it at equal cost, so it is open whether plain resampling "
            "would have done as well; <code>--baseline</code> shows that."
        )
    for row in baselines:
        gain = row.get("gain_over_it")
        interval = ends(gain)
        if mean(gain) is None:
            continue
        ratio = row.get("tokens_ratio")
        cost = f" at {number(ratio)} of its tokens" if isinstance(ratio, int | float) else ""
        verdict = "no difference is shown"
        if interval and interval[0] > 0:
            verdict = "this run is better"
        elif interval and interval[1] < 0:
            verdict = "<b>the baseline is better</b>"
        yield f"Against {data(row.get('name'))}{cost}: {with_interval(gain)}; {verdict}."


# ------------------------------------------------------------------ tables

_GAINS = (
    ("loop_gain", "In the loop", "by the grades that chose what to keep"),
    ("regraded_gain", "Graded afresh", "first against final, blind"),
    ("heldout_gain", "Held-out judge", "took no part in the loop"),
    ("verdict_gain", "Items with the verdict only", "where the policy was not told why"),
    ("optimism", "Optimism", "loop − graded afresh"),
    ("judge_gap", "Judge gap", "graded afresh − held-out judge"),
)


def _gains(report: JSONObject) -> str:
    given = [
        (title, note, report[key])
        for key, title, note in _GAINS
        if mean(report.get(key)) is not None
    ]
    if not given:
        return ""
    scale = Scale.over([gain for _, _, gain in given])
    body = [
        [f"{title} <small>{note}</small>", signed(mean(gain)), _interval(gain), scale.bar(gain)]
        for title, note, gain in given
    ]
    head = ("Gain in mean score", "Mean", "95% interval", "Around 0")
    return table("Gains and their intervals", head, body)


def _interval(gain: object) -> str:
    interval = ends(gain)
    return f"{signed(interval[0])} to {signed(interval[1])}" if interval else NOTHING


def _iterations(report: JSONObject) -> str:
    found = rows(report.get("iterations"))
    if not found:
        return ""
    head = (
        *("Iteration", "n", "Mean score", "Accepted", "Items fixed", "Items broken"),
        *("Characters", "Calls", "Prompt tokens", "Completion tokens"),
    )
    body = [
        [
            number(row.get("iteration")),
            number(row.get("n")),
            with_interval(row.get("score"), number),
            with_interval(row.get("accepted"), share),
            number(row.get("fixed")),
            number(row.get("broken")),
            _rounded(row.get("characters")),
            *(number(row.get(key)) for key in ("calls", "prompt_tokens", "completion_tokens")),
        ]
        for row in found
    ]
    note = (
        "<p class=note>Finished datapoints are carried forward. Fixed: an item that failed before "
        "and passes now; broken: the other way. Brackets are 95% intervals.</p>"
    )
    drawn = f'<figure><div class="scroll">{curve(report)}</div>'
    drawn += "<figcaption>Mean score by iteration"
    drawn += ", with 95% intervals" if any(ends(row.get("score")) for row in found) else ""
    drawn += "; dashed: baselines" if rows(report.get("baselines")) else ""
    return f"{drawn}</figcaption></figure>{table('Iterations', head, body)}{note}"


def _rounded(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, int | float) else NOTHING


def _baselines(report: JSONObject) -> str:
    found = rows(report.get("baselines"))
    if not found:
        return ""
    head = (
        *("Baseline", "n", "Its score", "This run over it", "Its calls", "Its tokens"),
        *("Tokens of it, of ours", "Tokens for a point gained"),
    )
    body = [
        [
            data(row.get("name")),
            number(row.get("n")),
            with_interval(row.get("score"), number),
            with_interval(row.get("gain_over_it")),
            number(row.get("calls")),
            number(row.get("tokens")),
            _ratio(row.get("tokens_ratio")),
            _rounded(row.get("cost_per_point")),
        ]
        for row in found[:_MOST_ROWS]
    ]
    return table("Baselines", head, body)


def _ratio(value: object) -> str:
    return f"{value:.2f} ×" if isinstance(value, int | float) else NOTHING


def _items(report: JSONObject) -> str:
    found = rows(report.get("items"))
    if not found:
        return ""
    fresh = any(row.get("regraded_gain") for row in found)
    head = ["Item", "n", "First", "Final", "Gain", "Around 0", "Fixed", "Broken", "Ungraded"]
    head += ["Graded afresh"] if fresh else []
    scale = Scale.over([row.get("gain") for row in found[:_MOST_ROWS]])
    body = []
    for row in found[:_MOST_ROWS]:
        hidden = " <small>verdict only</small>" if row.get("reveal") == "verdict" else ""
        cells = [
            data(row.get("name")) + hidden,
            number(row.get("n")),
            *(number(mean(row.get(key))) for key in ("first", "final")),
            with_interval(row.get("gain")),
            scale.bar(row.get("gain")),
            *(number(row.get(key)) for key in ("fixed", "broken", "ungraded")),
        ]
        body.append([*cells, with_interval(row.get("regraded_gain"))] if fresh else cells)
    return table("Rubric items", head, body) + _more(found)


def _more(found: Sequence[Any]) -> str:
    left = len(found) - _MOST_ROWS
    return f"<p class=note>… and {left:,} more, in the JSON report.</p>" if left > 0 else ""


def _gates(report: JSONObject) -> str:
    found = rows(report.get("gates"))
    if not found:
        return ""
    body = [
        [
            f"<code>{escape(row.get('gate'))}</code>",
            number(row.get("value")),
            "✓ met" if row.get("met") else "✗ <b>missed</b>",
        ]
        for row in found
    ]
    return table("Gates", ("Gate", "Value", "Met"), body)


def _selections(report: JSONObject) -> str:
    found = fields(report.get("selections"))
    if not found:
        return ""
    total = sum(n for n in found.values() if isinstance(n, int))
    body = [
        [data(winner), number(n), share(n / total if total and isinstance(n, int) else None)]
        for winner, n in found.items()
    ]
    return table("Who was chosen", ("Winner", "Times", "Share"), body)


# ------------------------------------------------------------------ several runs


def _told(value: object, title: str) -> str:
    """Two runs compared, several runs in time: tables of whatever is told of them."""
    if isinstance(value, dict):
        plain = [
            [escape(_spaced(key)), _cell(part)] for key, part in value.items() if not rows(part)
        ]
        made = table(title, ("What", "Value"), plain) if plain else ""
        inner = [(key, part) for key, part in value.items() if rows(part)]
        return made + "".join(
            f"<h3>{escape(_spaced(key))}</h3>{_told(part, key)}" for key, part in inner
        )
    found = rows(value)
    if not found:
        return ""
    keys = list(dict.fromkeys(key for row in found for key in row))
    body = [[_cell(row.get(key)) for key in keys] for row in found[:_MOST_ROWS]]
    head = [escape(_spaced(key)) for key in keys]
    return table(escape(title), head, body) + _more(found)


def _spaced(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _cell(value: object) -> str:
    if isinstance(value, dict):
        if "mean" in value:
            return with_interval(value)
        return "; ".join(f"{escape(_spaced(key))}: {_cell(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(_cell(part) for part in value[:20]) or NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else data(value) if value else NOTHING

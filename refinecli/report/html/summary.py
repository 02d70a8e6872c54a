"""Build the head of the page as HTML: what was run, the alarms, and what may be claimed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from refinecli.report.alarms import graders_differ
from refinecli.report.baselines import ahead, enough_differ
from refinecli.report.gains import LEAST_DIFFERING
from refinecli.report.html.alarm_box import alarm_boxes
from refinecli.report.html.tables import tables
from refinecli.report.html.text import data, ends, escape, fields, mean, number, rows, signed
from refinecli.stats.wording import plural
from refinecli.types import JSONObject


def name_of(report: JSONObject) -> str:
    """Name what the page is about: the label of the run, else its file."""
    run = fields(_run(report))
    return str(run.get("label") or run.get("file") or "a run")


def _run(report: JSONObject) -> JSONObject:
    """Return the run that is reported on: the last of several."""
    return ([{}, *rows(report.get("runs"))])[-1]


def summary(report: JSONObject, failures: Mapping[str, int]) -> str:
    """Build everything on the page above the datapoints; `failures` counts those of each item."""
    sections = tables(report, failures)
    links = {_anchor(title): title for title in [*sections, "Datapoints"]}
    contents = "".join(f'<a href="#{name}">{title}</a>' for name, title in links.items())
    parts = [
        _head(report),
        alarm_boxes(report),
        _verdict(report),
        f'<nav class="contents" aria-label="Contents">{contents}</nav>',
    ]
    for title, body in sections.items():
        name = _anchor(title)
        heading = f'<h2 id="{name}">{title}</h2>'
        parts.append(f'<section aria-labelledby="{name}">{heading}{body}</section>')
    return "\n".join(part for part in parts if part)


def _anchor(title: str) -> str:
    """Return the name of a part of the page, which no datapoint's is likely to be."""
    return f"part-{title.lower().replace(' ', '-')}"


# ------------------------------------------------------------------ what was run


def _head(report: JSONObject) -> str:
    run = _run(report)
    facts = {
        "file": data(run.get("file")) if run.get("file") else "",
        "date": data(run.get("date")) if run.get("date") else "",
        "strategy": data(run.get("strategy")) if run.get("strategy") else "",
        "models": _models(fields(run.get("models"))),
        "datapoints": _counts(run),
        "cost": _cost(run),
    }
    given = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items() if value
    )
    older = fields(report.get("compared")).get("old")
    against = f" <small>against {data(older)}</small>" if older else ""
    title = f"<h1>{data(name_of(report))}{against}</h1>"
    facts_list = f'<dl class="facts">{given}</dl>' if given else ""
    return f'<header><p class="over">refinecli report</p>{title}{facts_list}</header>'


def _models(models: JSONObject) -> str:
    """List each model once, with its roles."""
    roles: dict[str, list[str]] = {}
    for role, model in models.items():
        roles.setdefault(str(model), []).append(str(role))
    return "; ".join(f"{data(model)} ({escape(', '.join(to))})" for model, to in roles.items())


def _counts(run: JSONObject) -> str:
    if not isinstance(run.get("datapoints"), int):
        return ""
    parts = [
        f"{number(run[key])} {key}"
        for key in ("done", "ungraded", "failed", "skipped")
        if isinstance(run.get(key), int) and (run[key] or key == "done")
    ]
    return f"{number(run['datapoints'])} ({', '.join(parts)})" if parts else ""


def _cost(run: JSONObject) -> str:
    tokens = [run.get(key) for key in ("prompt_tokens", "completion_tokens")]
    spent = sum(n for n in tokens if isinstance(n, int))
    return (
        f"{plural(run['calls'], 'call')}, {plural(spent, 'token')}, as if none had been shared"
        if run.get("calls")
        else ""
    )


# ------------------------------------------------------------------ the claim


def _verdict(report: JSONObject) -> str:
    kind, title = _headline(report)
    sentences = report.get("conclusions")
    listed = "".join(
        f"<li>{_with_code(sentence)}</li>"
        for sentence in (sentences if isinstance(sentences, list) else [])
    )
    mark = {"yes": "✓", "no": "✗", "open": "?"}[kind]
    return (
        f'<section class="verdict {kind}" aria-labelledby="verdict"><h2 id="verdict">'
        f'<span class="mark" aria-hidden="true">{mark}</span> {title}</h2>'
        f"{f'<ul>{listed}</ul>' if listed else ''}</section>"
    )


def _with_code(sentence: object) -> str:
    """Mark up the commands in one of our sentences, which stand between backquotes or begin with
    two dashes."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(sentence))
    return re.sub(r"(?<![\w-])--[a-z]+(?![^<]*</code>)", r'<code class="flag">\g<0></code>', text)


# The basis of a claim, and the gain that goes with it.
_BASES = {"code": "loop_gain", "regraded": "regraded_gain", "heldout": "heldout_gain"}


def _headline(report: JSONObject) -> tuple[str, str]:
    """Return the claim in a line; `open` where nothing can be claimed either way."""
    claim = fields(report.get("claim"))
    if mean(report.get("loop_gain")) is None or len(rows(report.get("iterations"))) == 1:
        return _without_a_gain(report)
    if report.get("too_few"):
        return "open", "Too few independent datapoints to say"
    gain = report.get(_BASES.get(str(claim.get("basis")), ""))
    by_code = claim.get("basis") == "code"
    beaten = [
        row for row in rows(report.get("baselines")) if row.get("drafts") and _beats(row, by_code)
    ]
    better = "; resampling beats refining" if beaten else ""
    if mean(gain) is None:
        if (ends(report.get("loop_gain")) or (1, 1))[0] > 0:
            return "open", f"Open: the gain was not regraded{better}"
        return "no", f"No gain is shown{better or ', not even in the loop'}"
    if claim.get("gain") is not True:
        interval = ends(gain)
        if interval and interval[1] < 0:
            return "no", f"The answers got worse: {signed(mean(gain))}{better}"
        chance = (
            ": it may be chance" if any((mean(gain), *(interval or ()))) else ": no score differs"
        )
        return ("no" if better else "open"), f"No gain is shown{better or chance}"
    title = f"A gain over the first answer: {signed(mean(gain))}"
    doubts = []
    if claim.get("basis") == "regraded" and (ends(report.get("heldout_gain")) or (1, 1))[0] <= 0:
        doubts.append("the held-out judge does not find it")
    unbeaten = [
        data(row.get("name"))
        for row in rows(report.get("baselines"))
        if row.get("drafts") and not _is_beaten(row, by_code) and row not in beaten
    ]
    if unbeaten:
        doubts.append(f"none is shown over {' or '.join(unbeaten)}")
    if beaten:
        return "no", f"{title}{better}"
    if doubts:
        return "open", f"{title}; {'; '.join(doubts)}"
    return "yes", title


def _without_a_gain(report: JSONObject) -> tuple[str, str]:
    if pair := fields(report.get("compared")):
        return _between(pair)
    score = mean(report.get("score"))
    return "open", "No score" if score is None else f"Score {number(score)}; nothing to compare"


def _between(pair: JSONObject) -> tuple[str, str]:
    """Return what two runs allow to say of which nothing was refined."""
    change, interval = mean(pair.get("gain")), ends(pair.get("gain"))
    names = f"{data(pair.get('new'))} against {data(pair.get('old'))}"
    if change is None:
        return "open", f"{names}: no score to compare"
    if pair.get("rubric"):
        return "open", f"{names}, with another rubric: {signed(change)}"
    if graders_differ(pair):
        return "open", f"{names}: {signed(change)} by other graders"
    if interval is None:
        return "open", f"{names}: {signed(change)}, too few datapoints to say"
    signs = fields(pair.get("sign_test"))
    if (signs.get("wins") or 0) + (signs.get("losses") or 0) >= LEAST_DIFFERING:
        if interval[0] > 0:
            return "yes", f"{names}: better, {signed(change)}"
        if interval[1] < 0:
            return "no", f"{names}: worse, {signed(change)}"
    return "open", f"{names}: {signed(change)}; no difference is shown"


def _is_beaten(row: JSONObject, by_code: bool) -> bool:
    """Return whether the run beats the baseline, not counting the loops' own grades unless code
    gave them: they favour the run that chose among more."""
    return _is_claimed(row, by_code) and (ends(ahead(row)) or (0, 0))[0] > 0


def _beats(row: JSONObject, by_code: bool) -> bool:
    """Return whether the baseline is better, at no more cost."""
    dear = (row.get("drafts") or 0) > (row.get("drafts_at_equal_cost") or row.get("drafts") or 0)
    return _is_claimed(row, by_code) and not dear and (ends(ahead(row)) or (0, 0))[1] < 0


def _is_claimed(row: JSONObject, by_code: bool) -> bool:
    fresh = row.get("regraded_gain_over_it") or row.get("fresh")
    return enough_differ(row) and bool(by_code or (fresh and not graders_differ(row)))

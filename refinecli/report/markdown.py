"""Write the report as Markdown for a pull request: the claim, the intervals in narrow tables, and
what flipped with the graders' reasons, which are untrusted text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from textwrap import wrap

from refinecli.report import GENERATOR
from refinecli.report.compared_in_words import (
    changed_item,
    edited_text,
    first_flips,
    flip_words,
    longer,
    name_in,
    verdict_words,
)
from refinecli.report.conclusions import between_runs
from refinecli.stats.wording import ends, number, plural
from refinecli.text.markdown import code, fenced, inline
from refinecli.types import JSONObject

MARK = f"<!-- {GENERATOR} -->"  # by which a comment is found that a newer one may replace
_MOST_CHARACTERS = 60_000  # GitHub takes comments of 65,536
_SHOWN, _FOLDED = 6, 34  # flipped datapoints in sight, and behind a click
_MOST_ROWS = 20
_MOST_VERDICTS = 8  # of a datapoint
_REASON = 240  # characters of a grader's reason
_NAME = 40


def markdown(figures: JSONObject) -> str:
    """Return the whole report."""
    pair, runs = figures["compared"], figures["runs"]
    parts = [MARK, _title(figures)]
    parts += _conclusions(figures)
    if figures["alarms"]:
        alarms = [inline(alarm["message"]) for alarm in figures["alarms"]]
        parts.append("\n".join(["> [!WARNING]", *(f"> - {alarm}" for alarm in alarms)]))
    if figures["gates"]:
        parts.append(_bullets(_gate(gate) for gate in figures["gates"]))
    if pair:
        parts += _compared(pair)
    else:
        parts += [_items(figures["items"])]
    if len(runs) > 2:
        parts.append(_trend(figures["trend"]))
    text = "\n\n".join(part for part in parts if part) + "\n"
    return text if not pair else _with_flips(text, pair)


def _title(figures: JSONObject) -> str:
    pair, run = figures["compared"], figures["runs"][-1]
    if pair:
        return f"### {code(pair['new'], _NAME)} against {code(pair['old'], _NAME)}"
    return f"### {GENERATOR}: {code(run['label'], _NAME)}"


def _conclusions(figures: JSONObject) -> Iterator[str]:
    """Yield what is said of two runs first: that is what a pull request is about."""
    said = figures["conclusions"]
    if not figures["compared"] or not figures["compared"]["refined"]:
        yield _bullets(said)
        return
    first = list(between_runs(figures))
    yield _bullets(first)
    if rest := [sentence for sentence in said if sentence not in first]:
        name = code(figures["runs"][-1]["label"], _NAME)
        yield f"Of {name} itself:\n\n{_bullets(rest)}"


def _bullets(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {inline(sentence)}" for sentence in sentences)


def _gate(gate: JSONObject) -> str:
    met = "met" if gate["met"] else "MISSED"
    return f"{met}: {gate['gate']} (it is {number(gate['value'], digits=4)})"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align the columns, so that the table can be read as it stands."""
    widths = [max(3, *map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    lines = (_aligned(row, widths) for row in (header, rule, *rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    yield row[0].ljust(widths[0])
    yield from (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))


# ------------------------------------------------------------------ one run


def _items(items: Sequence[JSONObject]) -> str:
    refined = any(item["first"] for item in items)
    shown = [item for item in items if item["final"]][:_MOST_ROWS]
    if not shown:
        return ""
    if not refined:
        rows = [
            [code(item["name"], _NAME), number(item["final"]["mean"]), ends(item["final"])]
            for item in shown
        ]
        return _table(("item", "score", "95%"), rows)
    rows = [
        [
            code(item["name"], _NAME),
            number(item["first"]["mean"]),
            number(item["final"]["mean"]),
            number(item["gain"]["mean"], signed=True),
            ends(item["gain"], signed=True),
        ]
        for item in shown
        if item["first"] and item["gain"]
    ]
    return _table(("item", "first", "final", "gain", "95%"), rows)


def _trend(runs: Sequence[JSONObject]) -> str:
    rows = [
        [
            code(run["label"], _NAME),
            number(run["score"]["mean"]) if run["score"] else "-",
            ends(run["score"]),
            number(run["change"]["mean"], signed=True) if run["change"] else "-",
        ]
        for run in runs
    ]
    return _table(("run", "score", "95%", "change"), rows)


# ------------------------------------------------------------------ two runs


def _compared(pair: JSONObject) -> Iterator[str]:
    rows = [_row("score", pair["old_score"]["mean"], pair["new_score"]["mean"], pair["gain"])]
    for item in pair["items"][:_MOST_ROWS]:
        if item["n"]:
            rows.append(_row(_item(item), item["old"], item["new"], item["gain"]))
    yield _table(("", "old", "new", "change", "95%"), rows)
    yield _bullets(longer(pair["length"]))
    if pair["rubric"]:
        yield from _rubric(pair["rubric"])
    if tags := pair["tags"][:_MOST_ROWS]:
        rows = [_row(code(tag["name"], _NAME), tag["old"], tag["new"], tag["gain"]) for tag in tags]
        yield _details("By tag", [_table(("tag", "old", "new", "change", "95%"), rows)])


def _item(item: JSONObject) -> str:
    notes = ["edited"] if "edited" in item["changes"] else []
    notes += ["a penalty"] if item["penalty"] else []
    return code(item["name"], _NAME) + (f" ({', '.join(notes)})" if notes else "")


def _row(name: str, old: float | None, new: float | None, gain: JSONObject | None) -> list[str]:
    mean = number(gain["mean"], signed=True) if gain else "-"
    return [name, number(old), number(new), mean, ends(gain, signed=True)]


def _rubric(rubric: JSONObject) -> Iterator[str]:
    changes = rubric["changes"][:_MOST_ROWS]
    yield "**The rubric changed**\n\n" + _bullets(map(changed_item, changes))
    texts = [
        fenced("\n".join([entry["name"], *_folded_lines(edited_text(entry))]))
        for entry in changes
        if edited_text(entry)
    ]
    if texts:
        yield _details("The criteria before and after", texts)


def _folded_lines(texts: Iterable[str]) -> Iterator[str]:
    """Break lines that a reader of the raw text, or of a block of code, would have to scroll."""
    for text in texts:
        yield from wrap(text, 90, subsequent_indent="  ", break_long_words=False)


def _details(summary: str, body: Iterable[str]) -> str:
    inside = "\n\n".join(body)
    return f"<details><summary>{summary}</summary>\n\n{inside}\n\n</details>"


# ------------------------------------------------------------------ flips


def _with_flips(text: str, pair: JSONObject) -> str:
    """Add what flipped, as much of it as fits in a comment."""
    flips = pair["flips"]
    if not flips["datapoints"]:
        return text
    passes, fails = len(pair["now_pass"]), len(pair["now_fail"])
    heading = f"**What flipped:** {passes:,} now pass, {fails:,} now fail"
    entries = first_flips(flips["listed"], _SHOWN + _FOLDED)
    seen = first_flips(entries, _SHOWN)
    shown = [_entry(entry, pair) for entry in seen]
    text += "\n" + "\n\n".join([heading, "\n".join(shown)]) + "\n"
    folded: list[str] = []
    room = _MOST_CHARACTERS - len(text)
    for entry in (entry for entry in entries if entry not in seen):
        said = _entry(entry, pair)
        if (room := room - len(said) - 1) < 0:
            break
        folded.append(said)
    if folded:
        text += "\n" + _details(f"{len(folded):,} more", ["\n".join(folded)]) + "\n"
    if left := flips["datapoints"] - len(shown) - len(folded):
        text += f"\n{plural(left, 'more datapoint')} with a flipped verdict not shown.\n"
    return text


def _entry(entry: JSONObject, pair: JSONObject) -> str:
    lines = [f"- {code(name_in(entry), _NAME)} {inline(flip_words(entry, pair))}"]
    for item in entry["items"][:_MOST_VERDICTS]:
        now, why = verdict_words(item)
        reason = f": {code(why, _REASON)}" if why else ""
        lines.append(f"  - {code(item['item'], _NAME)} {now}{reason}")
    if (more := len(entry["items"]) - _MOST_VERDICTS) > 0:
        lines.append(f"  - and {plural(more, 'more item')}")
    return "\n".join(lines)

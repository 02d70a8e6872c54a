"""Print two runs next to each other: the difference, what changed of the rubric, by item, by tag,
and the verdicts that flipped with the graders' reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from refinecli.errors import option
from refinecli.report.columns import Columns
from refinecli.report.compared_in_words import (
    changed_item,
    edited_text,
    first_flips,
    flip_words,
    longer,
    name_in,
    verdict_words,
)
from refinecli.stats.wording import change, ends, number, plural
from refinecli.types import JSONObject

_MOST_FLIPS = 10
_MOST_IDS = 10
_MOST_VERDICTS = 5  # of a datapoint
_MOST_ROWS = 20


def is_comparison(figures: JSONObject) -> bool:
    """Return True where two runs are all that there is to report: none of them refined anything."""
    pair = figures["compared"]
    return pair is not None and not pair["refined"] and not figures["baselines"]


def two_runs(page: Columns, pair: JSONObject | None) -> dict[str, Iterable[str]]:
    """Return the lines of each section, by its title."""
    if pair is None:
        return {}
    return {
        "Two runs": _difference(page, pair),
        "The rubric": _rubric(page, pair["rubric"]),
        "Rubric items, old and new": _items(page, pair),
        "Tags, old and new": _tags(page, pair["tags"]),
        "What flipped": _flips(page, pair),
    }


def _difference(page: Columns, pair: JSONObject) -> Iterator[str]:
    if pair["refined"]:  # else that stands first
        yield from _in_figures(page, pair)
    for name, key in (("pass now", "now_pass"), ("fail now", "now_fail")):
        yield from page.wrapped(_listed(name, pair[key]))
    if pair["left_out"]:
        yield f"  {plural(pair['left_out'], 'result')} not scored in both, left out"
    for side in ("old", "new"):
        yield from page.wrapped(_listed(f"only in {pair[side]}", pair[f"only_{side}"]))


def _in_figures(page: Columns, pair: JSONObject) -> Iterator[str]:
    yield from page.wrapped(
        [
            f"{pair['new']} minus {pair['old']}, {plural(pair['n'], 'datapoint')} in common: "
            f"{change(pair['gain'])}{', regraded' if pair['fresh'] else ''}"
        ]
    )
    for name, key in (("score", "sign_test"), ("passed", "flip_test")):
        test = pair[key]
        yield (
            f"  {name}: {test['wins']:,} up, {test['ties']:,} equal, {test['losses']:,} down "
            f"(exact p = {test['p_value']:.2g})"
        )


def _listed(name: str, ids: Sequence[Any]) -> list[str]:
    if not ids:
        return []
    more = f", and {len(ids) - _MOST_IDS:,} more" if len(ids) > _MOST_IDS else ""
    return [f"{name}: " + ", ".join(map(str, ids[:_MOST_IDS])) + more]


# ------------------------------------------------------------------ the rubric


def _rubric(page: Columns, rubric: JSONObject | None) -> Iterator[str]:
    if rubric is None:
        return
    for entry in rubric["changes"][:_MOST_ROWS]:
        where = plural(entry["datapoints"], "datapoint")
        yield from page.wrapped([f"{changed_item(entry)} ({where})"])
        yield from page.wrapped(edited_text(entry), "    ")
    yield from _more(rubric["changed"])


# ------------------------------------------------------------------ tables


_HEADER = ("n", "old", "new", "change", "95%", "pass now", "fail now")


def _items(page: Columns, pair: JSONObject) -> Iterator[str]:
    rows = pair["items"]
    if any(row["n"] for row in rows):
        yield from page.table(
            ("", *_HEADER),
            [[_name(row), *_cells(row)] for row in rows[:_MOST_ROWS]],
            cut=True,
        )
        yield from _more(len(rows))
        if any(row["penalty"] for row in rows):
            yield from page.wrapped(["- penalty: better as its score falls; a change is a gain"])
        if any("edited" in row["changes"] for row in rows):
            yield from page.wrapped(["* edited: the two columns are grades of different questions"])
    yield from page.wrapped(longer(pair["length"]))


def _name(row: JSONObject) -> str:
    old = f"{row['old_name']} → " if "old_name" in row else ""
    marks = ("*" if "edited" in row["changes"] else "") + ("-" if row["penalty"] else "")
    return f"{old}{row['name']}" + (f" {marks}" if marks else "")


def _tags(page: Columns, rows: Sequence[JSONObject]) -> Iterator[str]:
    if rows:
        found = [[row["name"], *_cells(row)] for row in rows[:_MOST_ROWS]]
        yield from page.table(("", *_HEADER), found, cut=True)
        yield from _more(len(rows))


def _cells(row: JSONObject) -> list[str]:
    gain = row["gain"]
    return [
        f"{row['n']:,}",
        number(row["old"]),
        number(row["new"]),
        number(gain["mean"], signed=True) if gain else "-",
        ends(gain, signed=True),
        f"{row['now_pass']:,}",
        f"{row['now_fail']:,}",
    ]


def _more(count: int) -> Iterator[str]:
    if count > _MOST_ROWS:
        yield f"  and {count - _MOST_ROWS:,} more; {option('json')} has all"


# ------------------------------------------------------------------ flips


def _flips(page: Columns, pair: JSONObject) -> Iterator[str]:
    flips = pair["flips"]
    listed = first_flips(flips["listed"], _MOST_FLIPS)
    for entry in listed:
        yield page.cut(f"{name_in(entry)} {flip_words(entry, pair)}")
        for item in entry["items"][:_MOST_VERDICTS]:
            now, why = verdict_words(item)
            yield page.cut(f"{item['item']} {now}{f': {why}' if why else ''}", "    ")
        if (more := len(entry["items"]) - _MOST_VERDICTS) > 0:
            yield f"    and {plural(more, 'more item')}"
    if flips["datapoints"] > len(listed):
        hint = f"; {option('json')} lists {len(flips['listed']):,}"
        yield f"  and {flips['datapoints'] - len(listed):,} more{hint}"

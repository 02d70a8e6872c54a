"""Put the comparison of two runs into plain sentences: which is better, what was traded for what,
and what an edited rubric did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refinecli.report.alarms import graders_differ
from refinecli.report.gains import LEAST_DIFFERING
from refinecli.report.trades import Moved, trade
from refinecli.stats.draws import TOO_FEW
from refinecli.stats.wording import change, number, plural
from refinecli.text.clean import one_line
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject


def comparison(pair: JSONObject) -> Iterator[str]:
    """Say how two runs of which nothing was refined compare."""
    yield _verdict(pair)
    signs, flips = pair["sign_test"], pair["flip_test"]
    text = (
        f"{signs['wins']:,} better, {signs['ties']:,} equal, {signs['losses']:,} worse "
        f"(sign test p = {signs['p_value']:.2g})"
    )
    if (old := pair["old_pass_rate"]) and (new := pair["new_pass_rate"]):
        text += f"; {old['mean']:.1%} → {new['mean']:.1%} passed"
    yield f"{text}: {passes_now(flips['wins'])}, {fails_now(flips['losses'])}."
    if pair["same_responses"] == pair["n"]:
        same = "The responses are the same in both"
        yield same + (
            "." if pair["rubric"] else ": all that differs is the grader, or how it was asked."
        )
    if not pair["rubric"] and _shown(pair) is None and pair["detectable"] is not None:
        yield (
            f"With {plural(pair['n'], 'datapoint')}, a difference of "
            f"{number(pair['detectable'])} as graded here would be found four times in five."
        )


def _verdict(pair: JSONObject) -> str:
    old, new = pair["old"], pair["new"]
    scores = f"{number(pair['old_score']['mean'])} → {number(pair['new_score']['mean'])}"
    by = f"{scores}, {change(pair['gain'])}, over {plural(pair['n'], 'datapoint')}"
    if pair["rubric"]:
        return f"{new} against {old}, with another rubric: {by}."
    if graders_differ(pair):
        return f"{new} against {old}: {by}. Other graders: nothing is claimed from it."
    if pair["gain"]["low"] is None:
        few = f"too few independent ones for an interval (it takes {TOO_FEW})"
        return f"{new} against {old}: {by}, {few}."
    shown = _shown(pair)
    if shown is None:
        return f"No difference is shown between {new} and {old}: {by}."
    return f"{new} scores {shown} than {old}: {by}."


def _shown(pair: JSONObject) -> str | None:
    """Return which way the new run differs beyond chance; None where it does not."""
    gain, signs = pair["gain"], pair["sign_test"]
    if gain["low"] is None or signs["wins"] + signs["losses"] < LEAST_DIFFERING:
        return None
    return "higher" if gain["low"] > 0 else "lower" if gain["high"] < 0 else None


def passes_now(count: int) -> str:
    return f"{count:,} pass{'es' * (count == 1)} that failed before"


def fails_now(count: int) -> str:
    return f"{count:,} fail{'s' * (count == 1)} that passed before"


def traded(pair: JSONObject) -> Iterator[str]:
    """Say what was gained at the expense of what, where both are more than chance."""
    alike = [
        Moved(row["name"], row["old"], row["new"], row["gain"], row["penalty"])
        for row in pair["items"]
        if "edited" not in row["changes"] and row["gain"]
    ]
    yield from trade(alike, pair["length"])


def longer(length: JSONObject | None) -> list[str]:
    """Say how long the responses are."""
    if length is None:
        return []
    ratio = length["ratio"]
    within = "" if ratio["low"] is None else f", {ratio['low']:.2f} to {ratio['high']:.2f}"
    return [
        f"words of a response: {length['old']:,.1f} → {length['new']:,.1f} "
        f"({ratio['mean']:.2f} times{within})"
    ]


# ------------------------------------------------------------------ an edited rubric


def rubric_effect(pair: JSONObject) -> Iterator[str]:
    """Say what changed in the rubric, what that cost, and what it did to the scores."""
    rubric = pair["rubric"]
    if rubric is None:
        return
    flips = rubric["flips"]
    parts = [f"{plural(rubric['changed'], 'item')} changed"]
    parts += [] if rubric["calls"] is None else [plural(rubric["calls"], "call")]
    count = flips["now_pass"] + flips["now_fail"]
    parts.append(f"{plural(count, 'verdict')} flipped")
    ways = f" ({flips['now_pass']:,} to pass, {flips['now_fail']:,} to fail)" if count else ""
    listed = [changed_item(entry) for entry in rubric["changes"][:_MOST_CHANGES]]
    more = rubric["changed"] - len(listed)
    named = "; ".join([*listed, *([f"{more:,} more"] if more else [])])
    yield f"{', '.join(parts)}{ways}: {named}."
    yield from _by_the_rubric(rubric["same_response"])
    yield from _by_both(rubric["other_response"])


_MOST_CHANGES = 6


def _by_the_rubric(part: JSONObject | None) -> Iterator[str]:
    if part is None:
        return
    where = f"{plural(part['n'], 'datapoint')} with the same response"
    yield f"By the rubric alone, on {where}: {change(part['rest'])}."
    if part["alike"]["mean"]:
        yield (
            "On the items that both rubrics ask alike, the grader contradicts itself there: "
            f"{change(part['alike'])}."
        )


def _by_both(part: JSONObject | None) -> Iterator[str]:
    if part is None:
        return
    where = f"{plural(part['n'], 'datapoint')} with different responses"
    yield (
        f"By the responses, on {where}: {change(part['alike'])} on the items that both rubrics ask "
        f"alike; the other {change(part['rest'])} is owed to the rubric and the responses together."
    )


def changed_item(entry: JSONObject) -> str:
    """Say what changed of an item, such as `tone edited, weight 1 → 2`."""
    name = one_line(str(entry["name"]), _NAME)
    changes, fields = entry["changes"], entry["fields"]
    said = [kind for kind in changes if kind in ("added", "removed", "edited")]
    if "renamed" in changes:
        said.append(f"renamed from {one_line(str(entry['old_name']), _NAME)}")
    shown = [field for field in _SHOWN if field in fields]
    said += [_field(field, *fields[field]) for field in shown]
    if "edited" in changes and not shown and entry["text"][0] == entry["text"][1]:
        said += fields  # too long to be shown
    if "reweighted" in changes and not any(name in fields for name in _COUNTING):
        said.append("reweighted")
    return f"{name} {', '.join(said)}"


_NAME = 60
_SHOWN = ("weight", "required", "pass_score", "score_range", "choices", "check")
_COUNTING = ("weight", "required", "pass_score")
_DEFAULTS = {"weight": 1, "required": False, "pass_score": 1}


def _field(name: str, old: object, new: object) -> str:
    before, after = (_DEFAULTS.get(name) if value is None else value for value in (old, new))
    if name == "required":
        return "now required" if after else "no longer required"
    words = {"pass_score": "passes at"}.get(name, name)
    return f"{words} {_value(before)} → {_value(after)}"


def _value(value: object) -> str:
    return "none" if value is None else one_line(dumps(value).decode(), 60).removesuffix(".0")


def edited_text(entry: JSONObject) -> list[str]:
    """Show an item's criterion before and after, where that changed."""
    old, new = entry["text"]
    if old == new:
        return []
    shown = [] if old is None else [f"was: {old}"]
    return shown + ([] if new is None else [f"now: {new}"])


# ------------------------------------------------------------------ flips


def first_flips(listed: Sequence[JSONObject], most: int) -> list[JSONObject]:
    """Choose up to `most`: what fails now first, since somebody has to look at that, then what
    passes now; half of each where there is more of both."""
    kinds: tuple[list[JSONObject], ...] = ([], [], [])
    for entry in listed:
        kinds[_order(entry["passed"])].append(entry)
    fails, passes, others = kinds
    room = max(most // 2, most - len(passes))
    found = [*fails[:room], *passes[: most - min(room, len(fails))]]
    return [*found, *others[: most - len(found)]]


def _order(passed: Sequence[bool | None]) -> int:
    old, new = passed
    return 0 if old and new is False else 1 if new and old is False else 2


def name_in(entry: JSONObject) -> str:
    """Name a flipped datapoint: its id, with the number of its row where several have it."""
    return f"{entry['id']} ({entry['occurrence'] + 1})" if entry["occurrence"] else str(entry["id"])


def flip_words(entry: JSONObject, pair: JSONObject) -> str:
    """Say what flipped of a datapoint, such as `fails now, 1.000 → 0.500`."""
    order = _order(entry["passed"])
    now = ("fails now", "passes now", "as before on the whole")[order]
    old, new = entry["scores"]
    scores = "" if old is None or new is None else f", {number(old)} → {number(new)}"
    mixed = 0 < pair["same_responses"] < pair["n"]
    same = "; the same response" if mixed and entry["same_response"] else ""
    counts = "" if entry["items"] else "; no item flipped"
    return f"{now}{scores}{same}{counts}"


def verdict_words(item: JSONObject) -> tuple[str, str]:
    """Say that an item passes or fails now, and why, in the grader's words: what it says now or,
    where it gave no reason, as a check gives none for a pass, what was wrong before."""
    now = "passes" if item["passes"] else "fails"
    now += ", and only the grader changed" if item["because"] == "grader" else ""
    before, why = item["reasons"]
    return (now, why) if why or not before else (f"{now}; before", before)

"""Print the report on a terminal: conclusions first, then a table for each question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from rich.text import Text

from refinecli.errors import option, spelled
from refinecli.report.baselines import ahead
from refinecli.report.by_step import KINDS, STEP_NOTES, learned_from
from refinecli.report.columns import Columns, left
from refinecli.report.two_runs import is_comparison, two_runs
from refinecli.stats.wording import ends, number, plural
from refinecli.text.clean import one_line
from refinecli.types import JSONObject

_MOST_ITEMS = 20
_MOST_RUNS = 4  # next to each other in the trend of items
_ITEM = 26  # columns for an item's name next to them


def renderables(
    figures: JSONObject, spell: Callable[[str], str] = spelled, width: int = 80
) -> Iterator[Text]:
    """Yield the lines of the report, none wider than `width`; print each with `soft_wrap=True`."""
    page, section = Columns(width), partial(_section, spell)
    yield from _about(page, figures)
    yield from section("In short", page.wrapped(figures["conclusions"]))
    yield from section("Alarms", page.wrapped([alarm["message"] for alarm in figures["alarms"]]))
    single = not is_comparison(figures)  # its tables show both runs
    if single:
        yield from section("Gains, final minus first response", _gains(page, figures))
        yield from section("Iterations", _iterations(page, figures))
        yield from section("Drafts and rewrites", _steps(page, figures.get("steps")))
        yield from section("Rubric items", _items(page, figures["items"]))
        yield from section("Baselines", _baselines(page, figures))
    for title, body in two_runs(page, figures["compared"]).items():
        yield from section(title, body)
    if single:
        yield from section("Trend", _trend(page, figures["trend"]))
    yield from section("Gates", _gates(page, figures["gates"]))


def _section(spell: Callable[[str], str], title: str, body: Iterable[str]) -> Iterator[Text]:
    listed = list(body)
    if listed:
        yield Text()
        yield Text(title, "bold")
        yield from (Text(spell(line)) for line in listed)


# ------------------------------------------------------------------ sections


def _about(page: Columns, figures: JSONObject) -> Iterator[Text]:
    if not is_comparison(figures):
        yield from _about_run(page, figures["runs"][-1])
        return
    by_code = figures["claim"]["basis"] == "code"
    for run in figures["runs"]:
        # Nothing was refined: a strategy did nothing, and where code grades, nor did a grader.
        how = "grade" if run["strategy"] == "grade" else "one response"
        asked = {k: v for k, v in run["models"].items() if not (by_code and k == "grader")}
        yield from _about_run(page, {**run, "strategy": how, "models": asked})


def _about_run(page: Columns, run: JSONObject) -> Iterator[Text]:
    title = [f"{run['label']}: {run['strategy']}"]
    title += [f"{role} {model}" for role, model in run["models"].items()]
    yield from (Text(line, "bold") for line in page.lines(", ".join(title), "", "  "))
    counts = [f"{run[name]:,} {name}" for name in ("done", "ungraded", "failed") if run[name]]
    counts += [f"{run['gated']:,} of them gated"] if run.get("gated") else []
    spent = [plural(run["calls"], "call")]
    spent.append(plural(run["prompt_tokens"] + run["completion_tokens"], "token"))
    if run["skipped"]:
        spent.append(f"{plural(run['skipped'], 'line')} without a result")
    text = f"{plural(run['datapoints'], 'datapoint')}: {', '.join(counts)}; {', '.join(spent)}"
    text += " (as if none had been shared)" if run["calls"] else ""
    yield from (Text(line) for line in page.lines(text, "", "  "))


_GAINS = (
    ("in the loop", "loop_gain"),
    ("regraded", "regraded_gain"),
    ("held-out judge", "heldout_gain"),
    ("optimism (loop minus regraded)", "optimism"),
    ("judge gap (regraded minus judge)", "judge_gap"),
    ("items shown to the policy", "revealed_gain"),
    ("hidden items (reveal: verdict)", "verdict_gain"),
)


def _gains(page: Columns, figures: JSONObject) -> Iterator[str]:
    if len(figures["iterations"]) < 2:
        return
    rows = [
        [name, number(gain["mean"], signed=True), ends(gain, signed=True)]
        for name, key in _GAINS
        if (gain := figures[key]) is not None
    ]
    yield from page.table(("", "mean", "95% interval"), rows)
    for name, key in (("in the loop", "sign_test"), ("regraded", "regraded_sign_test")):
        if test := figures[key]:
            yield from page.wrapped(
                [
                    f"{name}: {test['wins']:,} better, {test['ties']:,} equal, "
                    f"{test['losses']:,} worse (sign test p = {test['p_value']:.2g})"
                ]
            )
    if fresh := figures.get("regrade"):
        who = ", ".join(f"the {role} {model}" for role, model in fresh["models"].items())
        times = plural(fresh["repeats"], "time")
        yield from page.wrapped([f"regraded: {times} each by {who or 'code'}"])
    if figures["detectable"] is not None:
        found = number(figures["detectable"])
        yield f"  a gain of {found} as this grader sees it would be found 4 times in 5"


_UNSHARED = "calls, tokens: counted as if no call had been shared or cached"


def _iterations(page: Columns, figures: JSONObject) -> Iterator[str]:
    if len(figures["iterations"]) < 2:
        return
    mixed = "drafts" in figures["iterations"][0]  # with rewrites, in one iteration
    rows = [
        [
            str(row["iteration"]),
            f"{row['active']:,}",
            *([f"{row['drafts']:,}"] if mixed else []),
            number(row["score"]["mean"]) if row["score"] else "-",
            ends(row["score"]),
            f"{row['accepted']['mean']:.0%}" if row["accepted"] else "-",
            _count(row["fixed"]),
            _count(row["broken"]),
            *([] if mixed else [f"{row['characters']:,.0f}"]),
            f"{row['calls']:,}",
            f"{row['prompt_tokens'] + row['completion_tokens']:,}",
        ]
        for row in figures["iterations"]
    ]
    header = ["", "ran", *(["drafts"] if mixed else []), "score", "95%", "kept", "fixed", "broken"]
    header += [*([] if mixed else ["length"]), "calls", "tokens"]
    yield from page.table(header, rows)
    before = "the response that was rewritten" if mixed else "the previous response"
    notes = [
        "score: of what would be returned after that round, finished datapoints included",
        "ran: datapoints; kept: share of them whose new response was accepted",
        f"fixed, broken: items that failed in {before} and pass now, and the reverse; "
        "first responses and drafts have no previous one",
        "drafts: of those that ran; the others rewrote a response"
        if mixed
        else "length: mean characters of what would be returned",
        _UNSHARED,
    ]
    if won := figures["selections"]:
        picks = ", ".join(f"{name} {count:,}" for name, count in sorted(won.items()))
        notes.append(f"picked by the selector: {picks}")
    yield from page.wrapped(notes)


def _steps(page: Columns, steps: JSONObject | None) -> Iterator[str]:
    if not steps:
        return
    yield from page.table(
        ("", "taken", "added", "tokens", "a 1,000", "improved", "95%"),
        [
            [
                f"{kind}s",
                f"{row['count']:,}",
                number(row["gain"], signed=True),
                f"{row['tokens']:,}",
                number(row["gain_per_1000_tokens"], signed=True),
                f"{row['improved']['mean']:.0%}" if row["improved"] else "-",
                ends(row["improved"]),
            ]
            for kind in KINDS
            if (row := steps[kind])
        ],
    )
    yield ""
    yield from page.table(
        ("rows", "learn from", "steps", "rewrites", "95%"),
        [
            [
                f"{row['from']:,}-{row['to']:,}",
                learned_from(row),
                f"{row['count']:,}",
                f"{row['share']['mean']:.0%}",
                ends(row["share"]),
            ]
            for row in steps["by_place"]
        ],
    )
    yield from page.wrapped(STEP_NOTES)


def _items(page: Columns, items: Sequence[JSONObject]) -> Iterator[str]:
    if not items or not any(item["n"] for item in items):
        return
    if not any(item["first"] for item in items):
        yield from page.table(
            ("", "n", "score", "95%", "ungraded"),
            [
                [
                    item["name"],
                    f"{item['n']:,}",
                    number(_mean(item["final"])),
                    ends(item["final"]),
                    f"{item['ungraded']:,}",
                ]
                for item in items[:_MOST_ITEMS]
            ],
        )
        return
    fresh = any(item["regraded_gain"] for item in items)
    header = ["", "n", "first", "final", "gain", "95%", "fixed", "broken"]
    header += ["regraded"] if fresh else ["ungraded"]
    rows = [header, *(_item(item, fresh=fresh) for item in items[:_MOST_ITEMS])]
    if not fresh and not any(item["ungraded"] for item in items[:_MOST_ITEMS]):
        rows = [row[:-1] for row in rows]
    yield from page.table(rows[0], rows[1:], cut=True)
    if len(items) > _MOST_ITEMS:
        yield f"  and {len(items) - _MOST_ITEMS:,} more; {option('json')} has all"
    marked = [name for name in ("hidden", "penalty") if any(_marks(i, name) for i in items)]
    if marked:
        notes = {
            "hidden": "* hidden: the policy learns only that it is not met",
            "penalty": "- penalty: better as its score falls",
        }
        yield from page.wrapped(["; ".join(notes[name] for name in marked)])


def _marks(item: JSONObject, name: str) -> bool:
    return bool(item["penalty"] if name == "penalty" else item["reveal"] == "verdict")


def _item(item: JSONObject, *, fresh: bool) -> list[str]:
    marks = ("*" if _marks(item, "hidden") else "") + ("-" if _marks(item, "penalty") else "")
    last = item["regraded_gain"]
    return [
        item["name"] + (f" {marks}" if marks else ""),
        f"{item['n']:,}",
        number(_mean(item["first"])),
        number(_mean(item["final"])),
        number(_mean(item["gain"]), signed=True),
        ends(item["gain"], signed=True),
        f"{item['fixed']:,}",
        f"{item['broken']:,}",
        number(_mean(last), signed=True) if fresh else f"{item['ungraded']:,}",
    ]


def _mean(interval: Any) -> float | None:
    return interval["mean"] if interval else None


def _baselines(page: Columns, figures: JSONObject) -> Iterator[str]:
    rows = figures["baselines"]
    if not rows:
        return
    run = figures["run_cost"]
    cells = [["this run", run, None]]
    cells += [[row["name"], row, ahead(row)] for row in rows]
    fresh = any(row["regraded_gain_over_it"] for row in rows)
    yield from page.table(
        ("", "n", "score", "ahead*" if fresh else "ahead", "95%", "calls", "tokens", "a point"),
        [
            [
                name,
                _count(row["n"]),
                number(_mean(row["score"])),
                number(_mean(over), signed=True),
                ends(over, signed=True),
                _count(row["calls"]),
                _count(row["tokens"]),
                _count(row["cost_per_point"]),
            ]
            for name, row, over in cells
        ],
    )
    notes = list(_baseline_notes(rows))
    left = figures["runs"][-1]["datapoints"] - (run["n"] or 0)
    if run["n"] and left:
        notes.append(
            f"this run: {left:,} without a first and a final score left out, with their calls and "
            "tokens"
        )
    yield from page.wrapped(notes)


def _baseline_notes(rows: Sequence[JSONObject]) -> Iterator[str]:
    yield "ahead: how much more the run scores, paired by datapoint"
    again = [row for row in rows if row["regraded_gain_over_it"]]
    if again:
        loops = [
            f"{row['name']} {number(_mean(row['gain_over_it']), signed=True)}" for row in again
        ]
        yield f"* responses of both regraded; by the loops' own grades: {', '.join(loops)}"
    yield _UNSHARED
    yield "a point: extra tokens a datapoint for each 0.01 gained over the first answer"
    for row in rows:
        if row.get("fresh"):
            yield f"{row['name']}: by a later `grade`, which gives this run {_score(row)}"
        elif row.get("drafts"):
            yield (
                f"{row['name']}: the first {row['drafts']} of {row['drafts_drawn']} drafts of "
                "each datapoint, a number chosen by tokens alone"
            )
        if row.get("left_out"):
            yield f"{row['name']}: {row['left_out']:,} not scored in both, left out"
    yield _graded_where(rows)


def _score(row: JSONObject) -> str:
    return number(_mean(row["run_score"]))


def _graded_where(rows: Sequence[JSONObject]) -> str:
    if any(row.get("fresh") for row in rows):
        return "scores: of a later `grade` where both files have one, otherwise of the loops"
    return "scores: as graded in the loops, on both sides"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _trend(page: Columns, runs: Sequence[JSONObject] | None) -> Iterator[str]:
    if not runs:
        return
    yield from page.table(
        ("", "n", "score", "95%", "passed", "gain", "change"),
        [
            [
                f"{run['label']} {run['strategy']} {_model(run)}".rstrip(),
                f"{run['n']:,}",
                number(_mean(run["score"])),
                ends(run["score"]),
                f"{run['pass_rate']['mean']:.1%}" if run["pass_rate"] else "-",
                number(_mean(run["loop_gain"]), signed=True),
                number(_mean(run["change"]), signed=True),
            ]
            for run in runs
        ],
    )
    yield "  change: against the run before it with the same strategy and models, paired"
    if runs[-1]["fresh"]:
        yield "  scores: of a later `grade`; gain: as graded in the loop"
    yield ""
    yield from _item_trend(page, runs[-_MOST_RUNS:])


def _model(run: JSONObject) -> str:
    models = run["models"]
    return str(models.get("policy") or next(iter(models.values()), ""))


def _item_trend(page: Columns, runs: Sequence[JSONObject]) -> Iterator[str]:
    scores = [{item["name"]: item["score"] for item in run["items"]} for run in runs]
    names = list(dict.fromkeys(name for run in scores for name in run))
    room = max(12, (page.width - _ITEM) // len(runs) - 2)
    header = ["item", *(left(one_line(run["label"]), room).rstrip() for run in runs)]
    rows = [[name, *(number(run.get(name)) for run in scores)] for name in names[:_MOST_ITEMS]]
    yield from page.table(header, rows)
    if len(names) > _MOST_ITEMS:
        yield f"  and {len(names) - _MOST_ITEMS:,} more; {option('json')} has all"


def _gates(page: Columns, gates: Sequence[JSONObject]) -> Iterator[str]:
    for gate in gates:
        met = "met" if gate["met"] else "MISSED"
        yield from page.wrapped(
            [f"{met}: {gate['gate']} (it is {number(gate['value'], digits=4)})"]
        )

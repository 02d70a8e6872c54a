"""Build the report as one JSON object: what `--json` writes, and all that text and HTML show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from refinecli.errors import spelled
from refinecli.report import KEYS
from refinecli.report.alarms import alarms
from refinecli.report.baselines import baseline, first_answer, run_cost
from refinecli.report.by_item import items
from refinecli.report.by_iteration import iterations, selections
from refinecli.report.by_step import steps
from refinecli.report.cases import UNGRADED_LOOPS, Case, Key
from refinecli.report.compare import compared, pass_rate, trend
from refinecli.report.conclusions import conclusions
from refinecli.report.gains import Regrade, Regrades, differences, gains, record
from refinecli.report.runs import Run
from refinecli.types import JSONObject


def build(
    runs: Sequence[Run],
    baselines: Sequence[Run] = (),
    regraded: Regrades | None = None,
    heldout: Regrades | None = None,
    spell: Callable[[str], str] = spelled,
) -> JSONObject:
    """Build the report on the last of `runs`; two are compared, and the trend covers all. `spell`
    writes out the options that its sentences mention."""
    run = runs[-1]
    final = differences(run.cases, lambda case: case.final)
    decided = [case for case in run.cases if case.final is not None or case.gated]
    later = [case for case in run.cases if case.fresh is not None or case.fresh_gated]
    gained = gains(run.cases, regraded, heldout)
    first = first_answer(run, gained["regraded_gain"])
    others = [
        baseline(run, other, _of(regraded, at), _of(heldout, at))
        for at, other in enumerate(baselines)
    ]
    figures = {
        **gained,
        "scored": len(final.values),
        "score": record(final.interval),
        "fresh_score": record(differences(run.cases, lambda case: case.fresh).interval),
        "regraded_score": _fresh_score(run, regraded),
        "heldout_score": _fresh_score(run, heldout),
        "pass_rate": pass_rate(decided),
        "fresh_pass_rate": pass_rate(later, fresh=True) if later else None,
        "failed": run.failed,
        "ungraded": run.ungraded,
        "runs": [one.record() for one in runs],
        "kept_by_score": run.strategy not in UNGRADED_LOOPS,
        "only_drafts": run.only_drafts,
        "iterations": iterations(run.cases),
        "items": items(run.cases, regraded),
        "baselines": [*([first] if first else ()), *others],
        "run_cost": run_cost(run),
        "selections": selections(run.cases),
        "compared": compared(runs[0], runs[1]) if len(runs) == 2 else None,
        "trend": trend(runs) if len(runs) > 1 else None,
        "gates": [],
        "regrade": None,
        **({"steps": taken} if (taken := steps(run)) else {}),
    }
    found = alarms(run, figures, regraded)
    figures["alarms"] = [alarm | {"message": spell(alarm["message"])} for alarm in found]
    sentences = conclusions(figures, regraded=regraded is not None)
    figures["conclusions"] = [spell(sentence) for sentence in sentences]
    return {key: figures[key] for key in KEYS if key in figures}


def _fresh_score(run: Run, grades: Regrades | None) -> JSONObject | None:
    """Return the mean score of the returned responses, by fresh grades."""

    def final(case: Case) -> float | None:
        return one.final if (one := (grades or {}).get(case.key)) else None

    return record(differences(run.cases, final).interval)


def _of(grades: Regrades | None, place: int) -> dict[Key, Regrade | None] | None:
    """Return the fresh grades of one baseline."""
    found = {
        key: one.others[place] for key, one in (grades or {}).items() if len(one.others) > place
    }
    return found or None

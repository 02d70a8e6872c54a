"""Report what a run gained, at what cost, and how sure that is.

`runs` reads files, most other modules compute one table each, `figures` joins these into the
`--json` object, and `table` and `html` show it.
"""

# The keys of a report, so that a gate's metric is checked before any figure is computed.
KEYS = (
    *(
        "n",
        "scored",
        "score",
        "fresh_score",
        "regraded_score",
        "heldout_score",
        "pass_rate",
        "fresh_pass_rate",
        "failed",
        "ungraded",
        "runs",
        "loop_gain",
        "regraded_gain",
        "heldout_gain",
    ),
    *("optimism", "judge_gap", "verdict_gain", "revealed_gain", "sign_test", "regraded_sign_test"),
    *("detectable", "too_few", "claim", "kept_by_score", "only_drafts", "iterations", "items"),
    *("baselines", "run_cost", "selections", "alarms", "compared", "trend", "conclusions", "gates"),
    *("regrade", "steps"),
)

GENERATOR = "refinecli report"  # marks a page that a newer one may replace

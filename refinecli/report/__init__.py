"""What a run gained, at what cost, and how sure that is: the parts of `refinecli report`.

`runs` reads, `statistics` is the only one that knows scipy, the others settle one table each, and
`build` puts them together as the `--json` object, which `text` prints.
"""

# What a report holds, so that a gate's metric is checked before anything is spent on figures.
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
    "regrade",
)

GENERATOR = "refinecli report"  # in a page's head: what may be replaced by a newer one

"""A run in numbers: what `--summary` writes and the last lines on standard error say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from types import MappingProxyType

from refinecli.data.output_lines import Outcome
from refinecli.models.traffic import Traffic
from refinecli.runs.highlights import Highlights
from refinecli.stats.wording import plural
from refinecli.types import JSONObject

# What `errors` counts by. A gate on any other would always be met: it is a slip.
ERROR_TYPES = (
    *("bad_reply", "bad_request", "connection", "content_filter", "context_length", "failed"),
    *("input", "no_response", "no_rubric", "no_score", "offline", "rate_limit", "refused"),
    *("loading", "no_answer", "server", "timeout", "tool_calls", "unreadable"),
)

# Replies without an answer, by the kind of failure: what they are, and what helps. To give another
# kind its remedy, add a line.
_REMEDIES = MappingProxyType(
    {
        "no_answer": "no answer, only reasoning or nothing, often for lack of tokens: raise "
        "max_tokens of that role, such as policy.max_tokens",
        "refused": "refused by the model, and not scored: reword the prompt, or ask another model",
        "content_filter": "stopped by the provider's content filter, and not scored: "
        "reword the prompt, or ask another provider",
        "tool_calls": "a call of a tool, which nobody runs here: leave tools out of extra_body",
        "bad_reply": "not readable as an answer, and not scored; the error of each line says why",
    }
)


_MANY = 0.1  # of the rows: fewer that ended so are not worth a line


@dataclass(slots=True)
class Mean:
    """A running mean; None while there is nothing to average."""

    count: int = 0
    total: float = 0.0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.count += 1
            self.total += value

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None


@dataclass(slots=True)
class Steps:
    """The steps of one kind that an adaptive loop took: what they added to the best scores, and
    their tokens."""

    count: int = 0
    gain: float = 0.0
    tokens: int = 0

    @property
    def per_1000_tokens(self) -> float | None:
        return 1000 * self.gain / self.tokens if self.tokens else None

    def record(self) -> JSONObject:
        return {"count": self.count, "gain": round(self.gain, 6), "tokens": self.tokens}


@dataclass(slots=True, eq=False)
class Summary:
    """Counts over the datapoints of one run, in constant memory."""

    finished: int = 0  # in whatever order; a line is counted below once those before it are
    done: int = 0
    ungraded: int = 0
    failed: int = 0
    gated: int = 0  # of those done: failed before all items were asked about, so without a score
    errors: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""  # whose, and why
    noisy: bool = False  # whether a model graded anything
    votes_missing: int = 0  # of grades that the others made without them
    fell_back: int = 0  # verdicts in words where probabilities were wanted
    winners: Counter[str] = field(default_factory=Counter)
    score: Mean = field(default_factory=Mean)
    initial_score: Mean = field(default_factory=Mean)
    # Over the datapoints that have both scores: the means above may rest on different ones.
    gain: Mean = field(default_factory=Mean)
    passed: Mean = field(default_factory=Mean)
    steps: dict[str, Steps] = field(default_factory=dict)  # of an adaptive loop, by kind
    declined: int = 0  # ended where no step of an adaptive loop promised enough
    agreement: JSONObject | None = None
    rubrics: JSONObject | None = None  # of `generate-data rubrics`
    highlights: Highlights = field(default_factory=Highlights)
    started: float = field(default_factory=monotonic)

    def add(self, outcome: Outcome) -> None:
        """Count one output line; they come in order."""
        setattr(self, outcome.status, getattr(self, outcome.status) + 1)
        if outcome.failures:  # to count nothing takes as long as the rest of this
            self.errors.update(outcome.failures)
        if outcome.winners:
            self.winners.update(outcome.winners)
        if outcome.why and not self.first_failure:
            name = outcome.record.get("id", f"line {outcome.line}")
            self.first_failure = f"{name}: {outcome.why}"
        self.noisy = self.noisy or outcome.noisy
        self.fell_back += outcome.fell_back
        self.votes_missing += outcome.votes_missing
        for step in outcome.steps:
            steps = self.steps.setdefault(step.kind, Steps())
            steps.count += 1
            steps.gain += step.gain
            steps.tokens += step.tokens
        self.declined += outcome.declined
        self.highlights.add(outcome)
        self.score.add(outcome.score)
        self.initial_score.add(outcome.initial_score)
        if outcome.score is not None and outcome.initial_score is not None:
            self.gain.add(outcome.score - outcome.initial_score)
        self.gated += outcome.gated
        if outcome.score is not None or outcome.gated:
            self.passed.add(float(outcome.passed is True))

    @property
    def datapoints(self) -> int:
        return self.done + self.ungraded + self.failed

    @property
    def counts(self) -> str:
        """The counts, such as `12 datapoints: 11 done, 1 failed`."""
        gated = f" ({self.gated} gated)" if self.gated else ""
        parts = [f"{self.done} done{gated}"]
        parts += [f"{self.ungraded} ungraded"] if self.ungraded else []
        parts += [f"{self.failed} failed"] if self.failed else []
        what = "datapoint" if self.datapoints == 1 else "datapoints"
        return f"{self.datapoints} {what}: {', '.join(parts)}"

    @property
    def notices(self) -> list[str]:
        """The lines about grades made in another way than intended, and replies without an
        answer."""
        lines = []
        if self.fell_back:
            some = "1 verdict was" if self.fell_back == 1 else f"{self.fell_back:,} verdicts were"
            lines.append(
                f"{some} asked for in words: the endpoint gives no probabilities, or the labels "
                "had less than 0.9 of the first token's (then grade.examples help)"
            )
        if self.votes_missing:
            lines.append(
                "1 vote is missing, of a grade that the others made without it; it says why"
                if self.votes_missing == 1
                else f"{self.votes_missing:,} votes are missing, of grades that the others made "
                "without them; each says why"
            )
        for kind, remedy in _REMEDIES.items():
            if count := self.errors[kind]:
                replies = "1 reply" if count == 1 else f"{count:,} replies"
                lines.append(f"{replies}: {remedy}")
        return lines

    @property
    def steps_taken(self) -> str:
        """The steps of an adaptive loop and what they brought, in words; empty for others."""
        parts = []
        for kind, steps in sorted(self.steps.items()):
            what = f"{steps.count:,} more {kind}" if kind == "draft" else f"{steps.count:,} {kind}"
            what += "" if steps.count == 1 else "s"
            rate = steps.per_1000_tokens
            gained = "" if rate is None else f" (+{rate:.3f} for 1,000 tokens)"
            parts.append(what + gained)
        return ", ".join(parts)

    def often_declined(self, min_gain: float) -> str:
        """Say how many rows ended where no step promised `min_gain`; empty where they are few."""
        if self.declined < max(1, _MANY * self.datapoints):
            return ""
        rows = plural(self.declined, "row")
        return f"{rows} ended where no step promised {min_gain:g} (refine.min_gain)"

    @property
    def _steps_record(self) -> JSONObject:
        return {kind: steps.record() for kind, steps in sorted(self.steps.items())}

    @property
    def seconds(self) -> float:
        return monotonic() - self.started

    def record(self, traffic: Traffic) -> JSONObject:
        """Build the object that `--summary` writes; tokens and cost are those of the calls sent."""
        return {
            "datapoints": self.datapoints,
            "done": self.done,
            "ungraded": self.ungraded,
            "failed": self.failed,
            "errors": dict(self.errors.most_common()),
            "score": self.score.value,
            "initial_score": self.initial_score.value,
            "pass_rate": self.passed.value,
            **({"winners": dict(self.winners.most_common())} if self.winners else {}),
            **({"gated": self.gated} if self.gated else {}),
            **({"fell_back": self.fell_back} if self.fell_back else {}),
            **({"votes_missing": self.votes_missing} if self.votes_missing else {}),
            **({"steps": self._steps_record} if self.steps else {}),
            **({"declined": self.declined} if self.declined else {}),
            **({} if self.agreement is None else {"agreement": self.agreement}),
            **({} if self.rubrics is None else {"rubrics": self.rubrics}),
            "calls": traffic.sent,
            "replayed": traffic.replayed,
            "retried": traffic.retried,
            "refused": traffic.refused,
            "prompt_tokens": traffic.prompt_tokens,
            "completion_tokens": traffic.completion_tokens,
            **({} if (cost := traffic.whole_cost) is None else {"cost": round(cost, 6)}),
            "seconds": round(self.seconds, 3),
        }

    def figures(self, traffic: Traffic) -> JSONObject:
        """Build the same for gates: 0 for what did not happen, null for what is unknown, and
        figures of agreement with labels by their own names too."""
        zero = {"gated": 0, "fell_back": 0, "votes_missing": 0, "declined": 0}
        record = {**(self.agreement or {}), "cost": None, **zero, **self.record(traffic)}
        return record | {"errors": dict.fromkeys(ERROR_TYPES, 0) | self.errors}

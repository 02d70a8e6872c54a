"""The traffic to models: counted where requests are sent, shown to the person who waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Traffic:
    """The requests to models so far. Tokens and cost are those of calls sent, not of replayed
    ones."""

    sent: int = 0  # HTTP requests
    replayed: int = 0  # answered from the call cache
    missing: int = 0  # not there, and not sent either
    refused: int = 0  # 429s and the like
    retried: int = 0  # requests that were sent again, refused or failed
    in_flight: int = 0  # sent, and not answered yet
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None  # of the calls whose price is known
    unpriced: int = 0  # calls whose price is not

    def add(self, earlier: Traffic) -> None:
        """Count in what was sent earlier, and what it took."""
        self.sent += earlier.sent
        self.prompt_tokens += earlier.prompt_tokens
        self.completion_tokens += earlier.completion_tokens
        self.unpriced += earlier.unpriced
        if earlier.cost is not None:
            self.cost = (self.cost or 0) + earlier.cost

    @property
    def answered(self) -> int:
        """The requests that did their work, or failed for good, by which pace can be measured."""
        return max(0, self.sent - self.in_flight - self.refused)

    @property
    def whole_cost(self) -> float | None:
        """The total cost; None where part of it is unknown."""
        return None if self.unpriced else self.cost

    @property
    def bill(self) -> str:
        """The bill, such as $1.20, or ≥ $1.20 where some of it has no price; "" where there is
        none."""
        if not self.cost:  # the embedded model costs nothing
            return ""
        return f"≥ {money(self.cost)}" if self.unpriced else money(self.cost)


def traffic_words(traffic: Traffic, seconds: float | None = None) -> str:
    """Put it all into one line, for the end of a run; in full, since bills are compared with it."""
    parts = [f"{traffic.sent:,} {'call' if traffic.sent == 1 else 'calls'}"]
    parts += [f"{traffic.replayed:,} replayed"] if traffic.replayed else []
    parts += [f"{traffic.retried:,} tried again"] if traffic.retried else []
    parts += [f"{traffic.refused:,} refused"] if traffic.refused else []
    if traffic.prompt_tokens or traffic.completion_tokens:
        parts.append(f"{traffic.prompt_tokens:,} tokens in, {traffic.completion_tokens:,} out")
    if traffic.bill:
        some = f" ({traffic.unpriced:,} of the calls have no price)" if traffic.unpriced else ""
        parts.append(traffic.bill + some)
    parts += [f"{seconds:.1f} s"] if seconds is not None else []
    return ", ".join(parts)


def money(cost: float) -> str:
    """Write money with cents from a dollar on, and more digits below, where all would be $0.00."""
    return f"${cost:,.2f}" if cost >= 1 or cost == 0 else f"${cost:.4f}"


def compact(number: int) -> str:
    """Write a number such as 950, 1.2K, 34K or 5.6M."""
    if number < 1000:
        return str(number)
    size, units = number / 1000, "KMBT"
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.1f}{units[0]}" if size < 9.95 else f"{size:.0f}{units[0]}"

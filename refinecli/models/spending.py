"""The tokens and money that one role's requests take: estimated before, counted after."""

from __future__ import annotations

from math import isinf

from refinecli.models.budget import Amount
from refinecli.settings.roles import RoleSettings
from refinecli.types import Completion, JSONObject

# Until a reply has shown it: a rough count for English text and most tokenizers.
_TOKENS_PER_BYTE = 0.25


class Spending:
    """Estimates that learn from each reply how many tokens a prompt has, and how long replies
    get. Of the role's prices a `discount` is the share that is paid."""

    def __init__(self, role: RoleSettings, discount: float = 1.0) -> None:
        prices = role.input_price or 0.0, role.output_price or 0.0
        self._prices = prices[0] * discount, prices[1] * discount
        self._longest: int | None = None  # reply so far, in tokens
        self._tokens_per_byte = _TOKENS_PER_BYTE

    def tokens(self, body: JSONObject, data: bytes) -> int:
        """Return how many tokens a request and its reply may take."""
        return round(self._prompt(data) + (self._reply(body) or 0))

    def estimate(self, body: JSONObject, data: bytes, left: Amount) -> Amount:
        """Return what a request may take. Until a reply has shown how long they get, that is all
        that is left, so that one request goes at a time."""
        prompt, reply = self._prompt(data), self._reply(body)
        tokens, cost = prompt + (reply or 0), self._cost(prompt, reply or 0)
        if reply is None:
            tokens = tokens if isinf(left.tokens) else max(tokens, left.tokens)
            cost = cost if isinf(left.cost) else max(cost, left.cost)
        return Amount(1, tokens, cost)

    def took(self, data: bytes, completion: Completion) -> Amount:
        """Return what a request took, estimated by its length where the reply does not say."""
        prompt, reply = completion.usage.prompt_tokens, completion.usage.completion_tokens
        if prompt or reply:
            self._tokens_per_byte = prompt / len(data)
        else:
            prompt = round(self._prompt(data))
            reply = round(len(completion.reasoning + completion.text) * _TOKENS_PER_BYTE)
        self._longest = max(self._longest or 0, reply)
        return Amount(1, prompt + reply, self._cost(prompt, reply))

    def _prompt(self, data: bytes) -> float:
        return len(data) * self._tokens_per_byte

    def _reply(self, body: JSONObject) -> int | None:
        allowed = body.get("max_tokens") or body.get("max_completion_tokens")
        return allowed if isinstance(allowed, int) else self._longest

    def _cost(self, prompt: float, reply: float) -> float:
        return (prompt * self._prices[0] + reply * self._prices[1]) / 1e6

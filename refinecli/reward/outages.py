"""Decide which failures of every call may pass while a trainer or a server waits."""

from __future__ import annotations

from refinecli.errors import FailureKind, RunError

# Seconds between attempts to find out whether a provider is back. Each costs it no more than the
# requests that are in flight at once.
PROBE_SECONDS = 15.0

# A person has to do something about these.
_LASTING: frozenset[FailureKind] = frozenset(
    {"auth", "bad_request", "local", "model_not_found", "not_found", "quota", "redirect"}
)


def may_pass(error: RunError) -> bool:
    """Return whether time may cure it: an outage, a limit, a server that is being started."""
    return error.type not in _LASTING

"""Find the policy's system prompt in the record of a run, which cuts a long one short."""

from __future__ import annotations

from refinecli.errors import UsageError, option
from refinecli.text.json_text import digest
from refinecli.types import JSONObject


def system_of(result: JSONObject, given: str) -> str:
    """Return the system prompt that a result was made with, empty where there was none. `given` is
    the one of the user's settings: it counts where the record's digest is its own."""
    shaped_by = result.get("shaped_by")
    recorded = shaped_by.get("policy.system") if isinstance(shaped_by, dict) else None
    if recorded is None or isinstance(recorded, str):
        return recorded or ""
    if digest(given) == recorded.get("digest"):
        return given
    raise UsageError(
        f"the run records only how its long policy.system begins: {recorded.get('begins')!r:.60}",
        f"give the settings that it was made with: {option('config', 'FILE')}",
    )

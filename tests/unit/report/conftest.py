"""What tests of reports share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw a tenth of the resamples: the intervals themselves are tested in `unit/stats`."""
    monkeypatch.setattr("refinecli.stats.statistics.RESAMPLES", 1_000)

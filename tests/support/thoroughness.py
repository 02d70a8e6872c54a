"""How much of what is tried at random, or in every combination, a run of the tests tries.

A quarter or so while working: what that misses, the full run of .ci/run finds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
THOROUGH = PROFILE == "thorough"


def some(values: Sequence[T], turn: int = 0) -> Sequence[T]:
    """Return every fourth of the values, from place `turn` on, or all of them in the full run.

    A caller who counts its turns up uses all values before long.
    """
    return values if THOROUGH else values[turn % 4 :: 4]

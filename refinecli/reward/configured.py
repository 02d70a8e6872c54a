"""The reward function of a training that a file of settings describes."""

from __future__ import annotations

import os
from functools import cache

from refinecli.reward.function import RewardFunction, hint_as_note, reward_function

_FILES = "REFINECLI_CONFIG"


@cache
def configured() -> RewardFunction:
    """Return the function with the settings of the files that REFINECLI_CONFIG names, and of the
    other variables; one for all who ask, so that they share its pace, budget and gradings."""
    paths = [path for path in os.environ.get(_FILES, "").split(os.pathsep) if path]
    with hint_as_note():
        function = reward_function(config=paths)
    function.__name__ = "score"
    return function

"""The reward function of a training that a file of settings describes."""

from __future__ import annotations

import os
from functools import cache

from refinecli.reward.function import RewardFunction, hint_as_note, reward_function

_FILES, _RUBRIC = "REFINECLI_CONFIG", "REFINECLI_RUBRIC"


@cache
def configured() -> RewardFunction:
    """Return the function with the settings of the files that REFINECLI_CONFIG names, and of the
    other variables, and with the items of the file that REFINECLI_RUBRIC names for every row. It is
    one for all who ask, so that they share its pace, budget and gradings."""
    paths = [path for path in os.environ.get(_FILES, "").split(os.pathsep) if path]
    with hint_as_note():
        function = reward_function(config=paths, rubric=os.environ.get(_RUBRIC) or None)
    function.__name__ = "score"
    return function

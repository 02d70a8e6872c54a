"""The rubric as a reward: for trainers that call a function, and for those that ask a server.

`refinecli.reward.score` is a reward function that the file named in REFINECLI_CONFIG configures;
`reward_function` makes others. Both are loaded when they are first asked for.
"""

TYPE_CHECKING = False  # type checkers take it for typing's, which takes a while to load
if TYPE_CHECKING:
    from refinecli.reward.function import RewardFunction as RewardFunction
    from refinecli.reward.function import reward_function as reward_function

    score: RewardFunction

__all__ = ["reward_function", "score"]


def __getattr__(name: str) -> object:
    if name == "reward_function":
        from refinecli.reward.function import reward_function

        return reward_function
    if name == "score":
        from refinecli.reward.configured import configured

        return configured()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

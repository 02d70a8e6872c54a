"""Turn a JSONL file of prompts and rubrics into better answers, honest grades and training data.

    import refinecli as rc

    point = rc.Datapoint("What is 2 + 2?", ["Is the answer 4?"])
    async with rc.connect(model="…", grader_model="…") as models:
        grading = await rc.grade(point, "It is 4.", models)

These names are the public face, which `refinecli help python` explains; everything else is private.
Each is loaded when it is first asked for.
"""

TYPE_CHECKING = False  # type checkers take it for typing's, which takes a while to load
if TYPE_CHECKING:
    from refinecli.api import Models as Models
    from refinecli.api import completer as completer
    from refinecli.api import connect as connect
    from refinecli.api import grade as grade
    from refinecli.api import grade_all as grade_all
    from refinecli.api import load_rubric as load_rubric
    from refinecli.api import read_datapoints as read_datapoints
    from refinecli.api import refine as refine
    from refinecli.errors import BudgetError as BudgetError
    from refinecli.errors import CompletionError as CompletionError
    from refinecli.errors import InputError as InputError
    from refinecli.errors import OutputError as OutputError
    from refinecli.errors import RefineError as RefineError
    from refinecli.errors import RunError as RunError
    from refinecli.errors import UsageError as UsageError
    from refinecli.reward import reward_function as reward_function
    from refinecli.types import Completion as Completion
    from refinecli.types import Datapoint as Datapoint
    from refinecli.types import Example as Example
    from refinecli.types import Failure as Failure
    from refinecli.types import Grade as Grade
    from refinecli.types import Grading as Grading
    from refinecli.types import Iteration as Iteration
    from refinecli.types import Message as Message
    from refinecli.types import Refinement as Refinement
    from refinecli.types import RubricItem as RubricItem
    from refinecli.types import Usage as Usage

__version__ = "0.1.0"

_HOMES = {
    "api": (
        *("Models", "completer", "connect", "grade", "grade_all"),
        *("load_rubric", "read_datapoints", "refine"),
    ),
    "errors": (
        *("BudgetError", "CompletionError", "InputError", "OutputError"),
        *("RefineError", "RunError", "UsageError"),
    ),
    "reward": ("reward_function",),
    "types": (
        *("Completion", "Datapoint", "Example", "Failure", "Grade", "Grading"),
        *("Iteration", "Message", "Refinement", "RubricItem", "Usage"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BudgetError",
    "Completion",
    "CompletionError",
    "Datapoint",
    "Example",
    "Failure",
    "Grade",
    "Grading",
    "InputError",
    "Iteration",
    "Message",
    "Models",
    "OutputError",
    "RefineError",
    "Refinement",
    "RubricItem",
    "RunError",
    "Usage",
    "UsageError",
    "completer",
    "connect",
    "grade",
    "grade_all",
    "load_rubric",
    "read_datapoints",
    "refine",
    "reward_function",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

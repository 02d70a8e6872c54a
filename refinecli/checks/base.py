"""Define what every check is, and what it returns."""

from typing import Annotated, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from refinecli.text.patterns import SECONDS

# No bound on integers: a float's own would be looked for in them too, and there is none.
Number: TypeAlias = int | Annotated[float, Field(allow_inf_nan=False)]


class CheckResult(NamedTuple):
    """A score in 0..1 and, unless it is 1, what is wrong."""

    score: float
    feedback: str


class BaseCheck(BaseModel):
    # A misspelt option of a check would silently grade something else, so it is an error. Models
    # are built as part of a rubric item, not each on its own too: that took 6 ms of every command.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)

    def grade(self, response: str) -> CheckResult:
        """Grade the response; raise TimeoutError where that takes too long."""
        return self.grade_within(response, SECONDS)

    def grade_within(self, response: str, seconds: float) -> CheckResult:
        """Grade the response; raise TimeoutError where a pattern takes longer."""
        raise NotImplementedError


def brief(text: str, length: int = 40) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"

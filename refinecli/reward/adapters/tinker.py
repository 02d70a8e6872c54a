"""A grader for the rubric recipe of tinker-cookbook, in the place of its message completer.

RubricGradedEnv(..., grader_llm=Grader(grader_model="…"))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from refinecli.api.models import ConnectArguments, engine_of
from refinecli.completers import ask_readable
from refinecli.errors import CompletionError
from refinecli.grading.scoring import Extraction, extract
from refinecli.prompts.templates import GRADER_RETRY
from refinecli.reward.rewards import NotGradedError
from refinecli.reward.samples import text_of
from refinecli.reward.sessions import Sessions, needs_grader
from refinecli.text.json_text import digest
from refinecli.text.patterns import SECONDS, last_match
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, Draw, Message, RubricItem

# The request, which stands before it, says in which form.
_AGAIN = GRADER_RETRY.partition("\n\n")[0]


class Grader:
    """Answers the recipe's grader prompts by `connect`'s arguments: its pace, budget and cache.

    The recipe scores what it cannot read 0, and takes the first score that stands in a reply. So
    the last one, which is the verdict, comes first in the reply, a reply without one is asked for
    once more, and then NotGradedError is raised. `extraction_regex` and `score_range` are those of
    the rubric.
    """

    def __init__(
        self,
        *,
        extraction_regex: str | None = None,
        score_range: Sequence[float] = (0.0, 1.0),
        **arguments: Unpack[ConnectArguments],
    ) -> None:
        self._arguments = arguments
        self._item = RubricItem(
            "(the recipe's own)", extraction_regex=extraction_regex, score_range=score_range
        )
        self._sessions = Sessions(arguments)
        if not self._sessions.has_grader:
            raise needs_grader(self._item.rubric_str)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle what it was made with: connections belong to a process."""
        return _made, (self._item.extraction_regex, self._item.score_range, self._arguments)

    async def __call__(self, messages: Sequence[Mapping[str, Any]]) -> Message:
        """Return the grader's message, its verdict first."""
        asked: list[Message] = [
            {"role": message["role"], "content": text_of(message)} for message in messages
        ]
        models = (await self._sessions.session()).models
        draw = Draw(digest(asked), 0, "grader", 0)
        try:
            reply, _ = await ask_readable(
                engine_of(models).roles.grader, asked, draw, self._read, _AGAIN
            )
        except CompletionError as error:
            raise NotGradedError(f"the response is not graded: {error.message}") from error
        return {"role": "assistant", "content": reply}

    def _read(self, completion: Completion) -> str:
        """Return the reply with its verdict in front; raise ValueError where it has none."""
        found: Extraction = extract(self._item, completion)
        if found.raw_score is None:
            raise ValueError(found.problem)
        answer = split_reasoning(completion.text)[1]
        match = last_match(self._item.extraction_regex, answer, SECONDS)
        verdict = match[0] if match else ""
        return f"{verdict}\n\n{answer}"


def _made(regex: str, score_range: Sequence[float], arguments: ConnectArguments) -> Grader:
    return Grader(extraction_regex=regex, score_range=score_range, **arguments)

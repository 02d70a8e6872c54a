"""The records that everything here is about.

What a user writes is in `datapoint`, what a model is asked in `completion`, what came of it in
`result`. All of them are values: nothing changes one after it was made.
"""

from refinecli.types.completion import (
    Combine,
    Completer,
    Completion,
    Draw,
    FirstTokens,
    JSONReply,
    Roles,
    Usable,
    Usage,
    Wants,
    juror_in,
    juror_role,
)
from refinecli.types.datapoint import (
    Datapoint,
    DatapointFields,
    Example,
    ExampleFields,
    ItemFields,
    JSONObject,
    Message,
    Role,
    RubricItem,
)
from refinecli.types.result import (
    Failure,
    Grade,
    Iteration,
    Observer,
    Refinement,
    Selection,
    StopReason,
)

__all__ = [
    "Combine",
    "Completer",
    "Completion",
    "Datapoint",
    "DatapointFields",
    "Draw",
    "Example",
    "ExampleFields",
    "Failure",
    "FirstTokens",
    "Grade",
    "ItemFields",
    "Iteration",
    "JSONObject",
    "JSONReply",
    "Message",
    "Observer",
    "Refinement",
    "Role",
    "Roles",
    "RubricItem",
    "Selection",
    "StopReason",
    "Usable",
    "Usage",
    "Wants",
    "juror_in",
    "juror_role",
]

"""Define the records that everything here is about.

`datapoint` has what a user writes, `completion` requests to models and their replies, `roles` who
is asked, `result` grades and refinements. All are values: nothing changes one once it is made.
"""

from refinecli.types.completion import (
    Combine,
    Completer,
    Completion,
    Draw,
    FirstTokens,
    JSONReply,
    Usable,
    Usage,
    Wants,
)
from refinecli.types.datapoint import (
    ByClassifier,
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
    Alternative,
    Choice,
    Failure,
    Grade,
    Grading,
    Iteration,
    Refinement,
    Selection,
    StopReason,
)
from refinecli.types.roles import (
    ROLES,
    Roles,
    RoleTraits,
    classifier_in,
    classifier_role,
    juror_in,
    juror_role,
    role_traits,
)

__all__ = [
    "ROLES",
    "Alternative",
    "ByClassifier",
    "Choice",
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
    "Grading",
    "ItemFields",
    "Iteration",
    "JSONObject",
    "JSONReply",
    "Message",
    "Refinement",
    "Role",
    "RoleTraits",
    "Roles",
    "RubricItem",
    "Selection",
    "StopReason",
    "Usable",
    "Usage",
    "Wants",
    "classifier_in",
    "classifier_role",
    "juror_in",
    "juror_role",
    "role_traits",
]

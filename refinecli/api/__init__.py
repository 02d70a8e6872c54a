"""The functions of `import refinecli`: connect to models, grade and refine datapoints, read files.

Everything here asks models as the commands do, with the same settings, cache, pace and budgets.
"""

from refinecli.api.files import load_rubric, read_datapoints
from refinecli.api.given import completer
from refinecli.api.models import Models, connect, grade, grade_all, refine

__all__ = [
    "Models",
    "completer",
    "connect",
    "grade",
    "grade_all",
    "load_rubric",
    "read_datapoints",
    "refine",
]

r"""Import questions with their own weighted rubrics, from files in Rubrics as Rewards' columns.

Source: Rubrics as Rewards (Gunjal et al. 2025, arxiv.org/abs/2507.17746), the data sets
ScaleAI/RaR-Medicine and ScaleAI/RaR-Science. Each criterion of a row becomes an item named after
its title (`#2` and so on where it repeats). The kind at the beginning of its description
("Essential Criteria: …") goes into `category`, since a grader is asked about the rest. A pitfall
describes a fault, so its weight is made negative where it is not. The reference answer and `id`
stay, the question's source becomes a tag, and `response` is kept on request. Everything else is
dropped. Files that call the columns `prompt` (a text or messages) and `rubrics` are read too.

    {"convo": [{"role": "user", "content": "Why does ice float?"}],
     "reference": "It is less dense than water, because …",
     "tags": ["a textbook"],
     "rubric_items": [
       {"rubric_str": "Says that ice is less dense than water.", …,
        "name": "Density", "weight": 5, "category": "essential"},
       {"rubric_str": "Says that air bubbles keep the ice up.", …,
        "name": "Bubbles", "weight": -2, "category": "pitfall"}]}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from refinecli.generators.criteria import weight, weighted_items
from refinecli.generators.messages import checked_as, messages
from refinecli.generators.reading import Columns, present
from refinecli.generators.shared_items import criterion_item
from refinecli.types import JSONObject

_CATEGORY = re.compile(
    r"\s*(essential|important|optional|pitfall)(?:\s+criteri(?:a|on))?\s*:\s*(?=\S)", re.IGNORECASE
)


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row."""
    for where, row in rows:
        yield checked_as("prompt", where, _datapoint(Columns(where, row), with_response))


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    source = columns.optional_text("question_source")
    if _first(columns, "question", "prompt") == "prompt":
        convo = messages(columns, "prompt")
    else:
        convo = [{"role": "user", "content": columns.text("question")}]
    return present(
        {
            "id": columns.row.get("id"),
            "convo": convo,
            "reference": columns.optional_text("reference_answer") or None,
            "response": columns.optional_text("response") if with_response else None,
            "tags": [source] if source else None,
            "rubric_items": weighted_items(columns, _first(columns, "rubric", "rubrics"), _item),
        }
    )


def _first(columns: Columns, name: str, other: str) -> str:
    """Return the existing one of two columns that a file may have."""
    return other if columns.row.get(name) is None and columns.row.get(other) is not None else name


def _item(columns: Columns) -> JSONObject:
    text = columns.text("description")
    title = columns.optional_text("title") or ""
    points = weight(columns, "weight")
    found = _CATEGORY.match(text)
    category = found[1].lower() if found else None
    if category == "pitfall" or title.strip().lower().startswith("pitfall"):
        points = -abs(points)
    item = criterion_item(
        text[found.end() if found else 0 :].strip(),
        name=title.strip() or category or "criterion",
        weight=points,
    )
    return item | ({"category": category} if category else {})

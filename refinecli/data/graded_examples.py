"""Read `[grade] examples`: graded responses that a grader is shown before it is asked.

    {"prompt": "What is 2 + 2?", "response": "5", "score": 0, "reasons": "It is 4."}

One JSON object a line. `score` is on the scale of the items it is for, or one of their choices;
`rubric_str` is the criterion it was graded by, needed unless any item's own will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
from pydantic import ValidationError

from refinecli.data.whole_files import read_whole
from refinecli.errors import UsageError
from refinecli.field_errors import worded
from refinecli.item_defaults import example_fields
from refinecli.types import Example


def read_examples(path: Path) -> tuple[Example, ...]:
    """Read the examples of a file; raise UsageError naming the line that is not one."""
    try:
        lines = read_whole(path).removeprefix(_BOM).split(b"\n")
    except OSError as error:
        raise UsageError(f"grade.examples: {path}: {error.strerror}") from None
    found = tuple(_read(path, lines))
    if not found:
        raise UsageError(f"grade.examples: {path} holds no examples", _HINT)
    return found


_BOM = b"\xef\xbb\xbf"
_HINT = 'write lines like {"prompt": "…", "response": "…", "score": 1}'


def _read(path: Path, lines: list[bytes]) -> Iterator[Example]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = orjson.loads(line)
            if not isinstance(value, dict):
                raise ValueError("not a JSON object")
            fields = example_fields(value)
            if "convo" not in fields:
                raise ValueError("an example in a file needs its prompt")
            yield Example.model_validate(fields)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{path}:{number}: not JSON: {error}", _HINT) from None
        except ValidationError as error:
            detail = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(map(str, detail["loc"])) or "example"
            raise UsageError(f"{path}:{number}: {place}: {worded(detail['msg'])}", _HINT) from None
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {error}", _HINT) from None

"""Build the smallest parts of the page: safe text, numbers in words and signs, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape as _escape

from refinecli.text.clean import clean
from refinecli.types import JSONObject

NOTHING = "–"


def escape(value: object) -> str:
    """Write any text as HTML, showing what acts or hides in it (controls, bidi marks,
    surrogates)."""
    return _escape(clean(str(value)))


def data(value: object) -> str:
    """Isolate a text from a file inside ours, so that it keeps its own direction of writing."""
    return f"<bdi>{escape(value)}</bdi>"


def number(value: object) -> str:
    """Write a score, or a count with separated thousands."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}".replace("-", "−")


def signed(value: object) -> str:
    """Write a difference, always with its sign, a minus rather than a hyphen."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text.replace("-", "−")


def share(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return NOTHING
    return f"{value:.0%}"


def count(n: int, word: str) -> str:
    return f"{n:,} {word}" + ("" if n == 1 else "s")


def fields(value: object) -> JSONObject:
    """Return the object, or an empty one if it is something else."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[JSONObject]:
    """Return the objects in a list; none if it is something else."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def mean(gain: object) -> float | None:
    """Return the middle of {"mean", "low", "high"}."""
    value = fields(gain).get("mean")
    return float(value) if isinstance(value, int | float) else None


def ends(gain: object) -> tuple[float, float] | None:
    """Return both ends of the interval, if it has one."""
    low, high = fields(gain).get("low"), fields(gain).get("high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return None


def with_interval(gain: object, write: Callable[[object], str] = signed) -> str:
    """Write `+0.062 [+0.021, +0.103]` as HTML."""
    interval = ends(gain)
    text = write(mean(gain))
    if interval is None:
        return text
    low, high = map(write, interval)
    return f'{text} <span class="interval">[{low}, {high}]</span>'


def table(caption: str, head: Sequence[str], body: Sequence[Sequence[str]], words: int = 1) -> str:
    """Build a table whose first `words` columns are words and whose others are numbers; all is
    HTML."""
    kinds = ["" if place < words else ' class="number"' for place in range(len(head))]
    titles = "".join(
        f'<th scope="col"{kind}>{text}</th>' for kind, text in zip(kinds, head, strict=True)
    )
    lines = []
    for row in body:
        first, *others = row
        cells = "".join(
            f"<td{kind}>{text}</td>" for kind, text in zip(kinds[1:], others, strict=True)
        )
        lines.append(f'<tr><th scope="row">{first}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{caption}"><table>'
        f'<caption class="unseen">{caption}</caption><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


MOST_ROWS = 100  # of one table: there can be as many item names as datapoints


def more_rows(found: Sequence[object]) -> str:
    left = len(found) - MOST_ROWS
    return as_note(f"… and {left:,} more, in the JSON report.") if left > 0 else ""


def as_note(text: str) -> str:
    return f'<p class="note">{text}</p>'


def sign_test(test: JSONObject, words: Sequence[str] = ("better", "equal", "worse")) -> str:
    counts = (number(test.get(key)) for key in ("wins", "ties", "losses"))
    result = ", ".join(f"{n} {word}" for n, word in zip(counts, words, strict=True))
    return f"{result} (sign test, p {_p(test.get('p_value'))})"


def _p(value: object) -> str:
    if not isinstance(value, int | float):
        return f"= {NOTHING}"
    return "&lt; 0.001" if value < 0.001 else f"= {value:.3f}"

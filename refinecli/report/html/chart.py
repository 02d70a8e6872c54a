"""Draw the page's figures as SVG: the curve over the iterations, and intervals next to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from refinecli.report.html.text import ends, escape, mean, number, signed

# Pixels from the top of the drawing. Across it is measured in percent, so that it takes the width
# of the page and its text stays as large; names and numbers stand in the margins that CSS leaves.
_HEIGHT, _TOP, _BOTTOM = 240, 16, 44
_LEAST_SPAN = 0.1  # of scores: a flat curve looks flat


@dataclass(frozen=True, slots=True)
class Point:
    """A mean score and its interval; `label` stands below it."""

    label: str
    score: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """Coordinates: points from left to right in percent, scores from `bottom` up to `top`."""

    points: int
    bottom: float
    top: float

    def x(self, place: int) -> float:
        return round(100 * (place + 0.5) / self.points, 2)

    def y(self, score: float) -> float:
        height = _HEIGHT - _TOP - _BOTTOM
        return round(_TOP + height * (self.top - score) / (self.top - self.bottom), 1)


def chart(
    points: Sequence[Point],
    lines: Sequence[tuple[str, float]],
    across: str,
    caption: str,
    *,
    joined: bool = True,
) -> str:
    """Draw scores with their intervals from left to right, and named scores as lines across."""
    if not points:
        return ""
    scores = [point.low for point in points] + [point.high for point in points]
    frame, step = _frame(len(points), scores + [score for _, score in lines])
    spoken = "; ".join(f"{across} {point.label}: {number(point.score)}" for point in points)
    return (
        f'<figure><svg class="curve{" named" if lines else ""}" role="img" '
        f'aria-label="Mean score. {escape(spoken)}">{_axes(frame, step, points, across)}'
        f"{_across(frame, lines)}{_line(frame, points) if joined else ''}{_dots(frame, points)}"
        f"</svg><figcaption>{caption}</figcaption></figure>"
    )


def _frame(points: int, scores: Sequence[float]) -> tuple[_Frame, float]:
    low, high = min(scores), max(scores)
    missing = max(0.0, _LEAST_SPAN - (high - low))
    low, high = low - missing / 2, high + missing / 2
    rough = (high - low) / 4
    unit = 10.0 ** floor(log10(rough))
    step = unit * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough * 0.999)
    return _Frame(points, floor(low / step) * step, ceil(high / step) * step), step


def _axes(frame: _Frame, step: float, points: Sequence[Point], across: str) -> str:
    parts = []
    for tick in range(round((frame.top - frame.bottom) / step) + 1):
        score = frame.bottom + tick * step
        y = frame.y(score)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
        text = f"{score:.3f}".rstrip("0").rstrip(".").replace("-", "−")
        parts.append(f'<text class="axis end" x="-8" y="{y + 4}">{text}</text>')
    every = ceil(len(points) / 12)
    for place, point in enumerate(points):
        if place % every == 0:
            x, y = frame.x(place), _HEIGHT - _BOTTOM + 18
            label = _short(point.label, 60 // min(len(points), 12))
            parts.append(f'<text class="axis middle" x="{x}%" y="{y}">{escape(label)}</text>')
    parts.append(f'<text class="axis middle" x="50%" y="{_HEIGHT - 6}">{across}</text>')
    return "".join(parts)


def _across(frame: _Frame, lines: Sequence[tuple[str, float]]) -> str:
    """Draw the baselines, each named at its right end, keeping the names apart."""
    parts, lowest = [], float("inf")
    for name, score in sorted(lines, key=lambda line: line[1]):
        y = frame.y(score)
        text_y = lowest = min(y + 4, lowest - 15)
        parts.append(
            f'<line class="baseline" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
            f'<text class="axis" x="100%" dx="8" y="{text_y}">{escape(_short(name, 22))} '
            f"{number(score)}<title>{escape(name)}</title></text>"
        )
    return "".join(parts)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _line(frame: _Frame, points: Sequence[Point]) -> str:
    places = [(frame.x(place), point) for place, point in enumerate(points)]
    there = " ".join(f"{x},{frame.y(point.high)}" for x, point in places)
    back = " ".join(f"{x},{frame.y(point.low)}" for x, point in reversed(places))
    path = " ".join(f"{x},{frame.y(point.score)}" for x, point in places)
    # Points cannot be in percent: a drawing within the drawing is stretched.
    return (
        f'<svg width="100%" height="{_HEIGHT}" viewBox="0 0 100 {_HEIGHT}" '
        f'preserveAspectRatio="none"><polygon class="band" points="{there} {back}"/>'
        f'<polyline class="line" points="{path}"/></svg>'
    )


def _dots(frame: _Frame, points: Sequence[Point]) -> str:
    parts = []
    for place, point in enumerate(points):
        x, value = frame.x(place), number(point.score)
        low, y, high = frame.y(point.low), frame.y(point.score), frame.y(point.high)
        parts.append(
            f'<line class="whisker" x1="{x}%" x2="{x}%" y1="{low}" y2="{high}"/>'
            f'<circle class="dot" cx="{x}%" cy="{y}" r="4">'
            f"<title>{escape(point.label)}: {value}</title></circle>"
        )
        if len(points) <= 12:
            above = max(min(high - 6, y - 9), 11)
            parts.append(f'<text class="value middle" x="{x}%" y="{above}">{value}</text>')
    return "".join(parts)


# ------------------------------------------------------------------ intervals next to numbers

BARS = '<span class="bars">Around 0</span>'  # the title of a column of them


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale for several intervals, so that they can be compared; 0 is always on it."""

    low: float
    high: float

    @classmethod
    def over(cls, gains: Sequence[object]) -> Scale:
        found = [0.0]
        for gain in gains:
            found += ends(gain) or ()
            found += [middle] if (middle := mean(gain)) is not None else []
        room = max(max(found) - min(found), 0.01) * 0.05
        return cls(min(found) - room, max(found) + room)

    def bar(self, gain: object) -> str:
        """Draw the interval with its middle, and 0."""
        middle = mean(gain)
        if middle is None:
            return ""
        low, high = ends(gain) or (middle, middle)
        zero, left, right, dot = map(self._x, (0.0, low, high, middle))
        return (
            f'<svg class="bar" role="img" aria-label="{self._words(gain)}">'
            f'<line class="zero" x1="{zero}%" x2="{zero}%" y1="0" y2="100%"/>'
            f'<line class="whisker" x1="{left}%" x2="{right}%" y1="50%" y2="50%"/>'
            f'<circle class="dot" cx="{dot}%" cy="50%" r="3.5"/></svg>'
        )

    def _x(self, value: float) -> float:
        return round(3 + 94 * (value - self.low) / (self.high - self.low), 2)

    @staticmethod
    def _words(gain: object) -> str:
        interval = ends(gain)
        if interval is None:
            return "no interval"
        return f"from {signed(interval[0])} to {signed(interval[1])}"

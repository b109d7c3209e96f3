"""Numbers and foreign text as people read them."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")


def percent(share: float | None, digits: int = 1) -> str:
    """0.731 as "73.1%"; a missing value as a dash."""
    return "–" if share is None or share != share else f"{share * 100:.{digits}f}%"


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of shares: "70.2 to 75.9%"."""
    return "no interval" if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f}%"


def between(low: float, high: float) -> str:
    """Both ends of an interval of memory scores: "0.34 to 0.42"."""
    return f"{low:.2f} to {high:.2f}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: "40 s", "3 min", "2 h 10 min"."""
    if seconds is None or seconds != seconds:
        return "unknown"
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def span(low_s: float | None, high_s: float | None) -> str:
    """A range of seconds: "20 s to 1 min"."""
    low, high = duration(low_s), duration(high_s)
    return low if low == high else f"{low} to {high}"


def moment(iso: str | None) -> str:
    """An ISO time without its seconds and zone: "2026-11-23 14:30"."""
    return (iso or "").replace("T", " ")[:16]


def literal(text: object) -> str:
    """Text of models, data or errors for a place that renders markdown: every sign that could mean something is escaped."""
    return _MARKUP.sub(r"\\\1", str(text)).replace("\n", "  \n")

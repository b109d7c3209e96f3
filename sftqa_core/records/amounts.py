"""Numbers as people read them: shares, intervals, differences with their sign, times; the same on pages, in charts, in findings, in
reports and on the command line."""

from datetime import UTC, datetime, timedelta, tzinfo


def signed(number: float, digits: int = 1) -> str:
    """A difference with its sign: "+3.1", "-0.4". What rounds to nothing has none: "0.0", never "-0.0"."""
    text = f"{number:+z.{digits}f}"
    return text if float(text) else text.removeprefix("+")


def points(share: float) -> str:
    """A difference of two shares in percentage points, without the word: 0.031 as "+3.1"."""
    return signed(share * 100)


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: "40 s", "3 min", "2 h 10 min", "2 days 4 h"."""
    if seconds is None or seconds != seconds:
        return "unknown"
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two(minutes, 60, "h", "min")
    hours = round(minutes / 60)
    days = f"{hours // 24:,} day{'' if hours < 48 else 's'}"
    if hours >= 30 * 24:  # an hour more or less says nothing here
        return f"{round(hours / 24):,} days"
    return f"{days} {hours % 24} h" if hours % 24 else days


def _two(number: int, base: int, large: str, small: str) -> str:
    whole, rest = divmod(number, base)
    return f"{whole} {large} {rest} {small}" if rest else f"{whole} {large}"


def span(low_s: float | None, high_s: float | None) -> str:
    """A range of seconds: "20 s to 1 min"."""
    low, high = duration(low_s), duration(high_s)
    return low if low == high else f"{low} to {high}"


def moment(iso: str | None, zone: tzinfo | None = None) -> str:
    """A time (ISO 8601; UTC where it does not say) without its seconds, in a zone or in this machine's: "2026-11-23 15:30 UTC+1"."""
    if not iso:
        return ""
    try:
        then = datetime.fromisoformat(iso)
        there = (then if then.tzinfo else then.replace(tzinfo=UTC)).astimezone(zone)
    except (ValueError, OverflowError):  # of a damaged file
        return iso
    minutes = round((there.utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours}{f':{rest:02d}' if rest else ''}" if minutes else ""
    return f"{there:%Y-%m-%d %H:%M} UTC{offset}"


def percent(share: float | None, digits: int = 1) -> str:
    """0.731 as "73.1%"; a missing value as a dash."""
    return "–" if share is None or share != share else f"{share * 100:.{digits}f}%"


def counted(number: object) -> str:
    """A whole number in groups of three: "1,920"; a word as it stands."""
    return f"{number:,}" if isinstance(number, int) else str(number)


def p_value(p: float | None) -> str:
    """A p-value with three digits: "0.567", "< 0.001"; empty where there is none."""
    return "" if p is None or p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval of shares: "70.2 to 75.9%"."""
    return "no interval" if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f}%"

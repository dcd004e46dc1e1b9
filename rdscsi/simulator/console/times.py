"""RouterOS durations: `1w2d03:04:05.006`, `1h30m`, `100ms`, `1.256`. Parsing and the three ways of printing.

`clock_text` is what `:tostr` and `:put` show, `unit_text` what `print` shows (`2h55m2s`), `json_text` what
`:serialize to=json` makes of it (a date from one day on; captured on 7.24).
"""

import re
from datetime import UTC, datetime, timedelta

from rdscsi.simulator.console.values import INT_MAX, Time

NANOSECOND = 1
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {"w": WEEK, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": NANOSECOND}
_UNIT = r"(\d+)(ms|us|ns|[wdhms])"
_UNIT_RE = re.compile(_UNIT)
_UNITS_RE = re.compile(rf"(?:{_UNIT})+")
_CLOCK_RE = re.compile(r"((?:\d+[wd])*)(\d{1,9}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,9}))?)?")
_FRACTION_RE = re.compile(r"(\d{1,10})\.(\d{1,9})s?")
_MAX_WORD = 64


def parse_time(word: str) -> Time | None:
    """The duration that `word` spells, or None; too long for 64 bits of nanoseconds is None (it stays a string)."""
    if not word[:1].isdigit() or len(word) > _MAX_WORD:
        return None
    total = _clock(word)
    if total is None:
        total = _units(word)
    if total is None:
        total = _fraction(word)
    return None if total is None or total > INT_MAX else Time(total)


def _units(word: str) -> int | None:
    if not _UNITS_RE.fullmatch(word):
        return None
    return sum(int(count) * _UNITS[unit] for count, unit in _UNIT_RE.findall(word))


def _clock(word: str) -> int | None:
    match = _CLOCK_RE.fullmatch(word)
    if match is None:
        return None
    days, hours, minutes, seconds, fraction = match.groups()
    total = sum(int(count) * _UNITS[unit] for count, unit in _UNIT_RE.findall(days or ""))
    total += int(hours) * HOUR + int(minutes) * MINUTE + int(seconds or 0) * SECOND
    return total + int((fraction or "0").ljust(9, "0"))


def _fraction(word: str) -> int | None:
    match = _FRACTION_RE.fullmatch(word)
    return int(match[1]) * SECOND + int(match[2].ljust(9, "0")) if match else None


def clock_text(time: Time) -> str:
    """`1w1d00:00:00`, `00:00:02.001`; the form of `:tostr`."""
    sign, rest = ("-", -time.nanoseconds) if time.nanoseconds < 0 else ("", time.nanoseconds)
    weeks, rest = divmod(rest, WEEK)
    days, rest = divmod(rest, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds, fraction = divmod(rest, SECOND)
    text = sign + (f"{weeks}w" if weeks else "") + (f"{days}d" if days else "")
    return text + f"{hours:02}:{minutes:02}:{seconds:02}" + _fraction_text(fraction)


def _fraction_text(nanoseconds: int) -> str:
    digits = f"{nanoseconds:09}"
    for kept in (0, 3, 6):
        if not digits[kept:].strip("0"):
            return f".{digits[:kept]}" if kept else ""
    return f".{digits}"


def unit_text(time: Time) -> str:
    """`2h55m2s`, `29s`; the form of `print`."""
    parts, rest = [], abs(time.nanoseconds)
    for unit in ("w", "d", "h", "m", "s", "ms", "us", "ns"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if time.nanoseconds < 0 else "") + ("".join(parts) or "0s")


def json_text(time: Time) -> str:
    """`01:30:15` below a day, a date of 1970 from there on; parts of a second are lost."""
    seconds = max(time.nanoseconds, 0) // SECOND
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return moment.strftime("%H:%M:%S" if seconds < 86400 else "%Y-%m-%d %H:%M:%S")


def of_seconds(seconds: float) -> Time:
    return Time(int(seconds * SECOND))

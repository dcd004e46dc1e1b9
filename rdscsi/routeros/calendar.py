"""When something was made, out of what the appliance tells: its own local time, and how far that is from UTC. Pure."""

import re
from datetime import UTC, datetime

from rdscsi.errors import UnexpectedAnswer

_CLOCK = re.compile(r"(?P<sign>[+-]?)(?P<hours>[0-9]{1,2}):(?P<minutes>[0-9]{2})(?::(?P<seconds>[0-9]{2}))?")
_WRAP = 1 << 32  # a negative number of seconds has been seen as an unsigned one


def seconds_since_epoch(local: str, gmt_offset: str) -> float:
    """Return the time at which the appliance's clock read `local`, in seconds since the epoch.

    Raises UnexpectedAnswer for what is no date, or no offset in one of the forms in which RouterOS shows it: `+02:00`,
    `02:00:00`, or seconds.
    """
    try:
        read = datetime.strptime(local, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise UnexpectedAnswer(f"creation-time={local!r}: expected a date like 2026-01-31 12:34:56") from error
    return read.timestamp() - _offset_seconds(gmt_offset)


def _offset_seconds(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    if match is not None:
        seconds = int(match["hours"]) * 3600 + int(match["minutes"]) * 60 + int(match["seconds"] or 0)
        return -seconds if match["sign"] == "-" else seconds
    try:
        number = int(text)
    except ValueError as error:
        raise UnexpectedAnswer(f"gmt-offset={text!r}: expected an offset like +02:00") from error
    return number - _WRAP if number > _WRAP // 2 else number

"""How figures are shown to people: moments, durations, sizes."""

from datetime import UTC, datetime


def moment(seconds: float) -> str:
    """A moment (seconds since the epoch) as RFC 3339 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """`42s`, `3m07s`, `2h05m`, `4d03h`: a person's precision. A clock that was set back gives `0s`."""
    whole = max(0, int(seconds))
    for unit, lesser, span, part in (("d", "h", 86_400, 3_600), ("h", "m", 3_600, 60), ("m", "s", 60, 1)):
        if whole >= span:
            return f"{whole // span}{unit}{whole % span // part:02d}{lesser}"
    return f"{whole}s"


def size(count: int) -> str:
    """Exact bytes, with the nearest binary unit where it is whole."""
    for unit, power in (("Ti", 40), ("Gi", 30), ("Mi", 20)):
        if count and count % (1 << power) == 0:
            return f"{count >> power}{unit}"
    return str(count)

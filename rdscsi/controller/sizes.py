"""How large a volume becomes: exact bytes, whole mebibytes. Pure."""

from rdscsi.errors import CapacityOutOfRange
from rdscsi.model import MIB, CapacityRange

MINIMUM_BYTES = MIB
MAXIMUM_BYTES = 1 << 62
"""RouterOS numbers are signed 64-bit; sums of sizes have to fit as well."""


def round_up(size: int) -> int:
    """Return the size in whole mebibytes, rounded up."""
    return -(-size // MIB) * MIB


def round_down(size: int) -> int:
    """Return the size in whole mebibytes, rounded down; never negative."""
    return max(0, size // MIB * MIB)


def choose(wanted: CapacityRange, default_capacity: int) -> int:
    """Return the size of a new volume (CSI v1.13.0, CapacityRange: at least required, at most limit; 0 is unset).

    Raises CapacityOutOfRange when no whole number of mebibytes lies in the range.
    """
    limit = wanted.limit_bytes
    if wanted.required_bytes:
        size = round_up(wanted.required_bytes)
    else:
        size = round_up(default_capacity)
        if limit:
            size = min(size, max(round_down(limit), MINIMUM_BYTES))
    return _within(size, limit)


def grown(wanted: CapacityRange, current: int) -> int:
    """Return the size that an expansion leads to; never less than the current one.

    Raises CapacityOutOfRange when that would pass the limit.
    """
    return _within(max(round_up(wanted.required_bytes), current), wanted.limit_bytes)


def fits(size: int, wanted: CapacityRange) -> bool:
    """Tell whether an existing volume of that size satisfies a range."""
    return size >= wanted.required_bytes and (not wanted.limit_bytes or size <= wanted.limit_bytes)


def _within(size: int, limit: int) -> int:
    if limit and size > limit:
        raise CapacityOutOfRange(
            "capacity_range.limit_bytes", limit, f"at least {size}: sizes are whole mebibytes, rounded up"
        )
    if size > MAXIMUM_BYTES:
        raise CapacityOutOfRange("capacity_range.required_bytes", size, f"at most {MAXIMUM_BYTES}")
    return size

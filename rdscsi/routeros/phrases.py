"""The phrases that lines are put together from: conditions, loops, waits, and records that are printed. Pure.

What they are about is in `lines` and `surveys`; `answers` reads the records.
"""

from collections.abc import Iterable

_POLLS = 40  # of 250 ms: how long a line waits for the appliance to show what it was told


def print_disks(where: str) -> str:
    """Print each matching disk item as a record."""
    return for_each(f"/disk/find where {where}", [record("I", "/disk/get $zi")])


def print_pool() -> str:
    """Print the pool's disk item as a record; in a guarded line only."""
    return for_each("/disk/find where slot=$zp", [record("P", "/disk/get $zi")])


def record(letter: str, get: str) -> str:
    """Print what `get` gives as one record: its letter, a blank, a JSON object."""
    return f':put ("{letter} " . [:serialize to=json value=[{get}] options=json.no-string-conversion])'


def wait_until(find: str) -> list[str]:
    """Wait until a look finds something, or patience is over: the print at the line's end tells which."""
    waiting = f"([:len [{find}]]=0) and ($zw<{_POLLS})"
    return [":local zw 0", f":while ({waiting}) do={{:delay 250ms; :set zw ($zw+1)}}"]


def refuse_if(condition: str, reason: str) -> str:
    """End the line with a reason of ours where a condition holds."""
    return f':if ({condition}) do={{:error "{reason}"}}'


def when(condition: str, then: list[str]) -> str:
    """Carry statements out where a condition holds."""
    return f":if ({condition}) do={{{';'.join(then)}}}"


def for_each(find: str, body: list[str]) -> str:
    """Carry statements out for each item that a look finds, in `zi`."""
    return f":foreach zi in=[{find}] do={{{';'.join(body)}}}"


def joined(*parts: Iterable[str]) -> str:
    """Return the statements of all parts as one line."""
    return ";".join(statement for part in parts for statement in part)

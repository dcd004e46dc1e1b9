"""The console's values: how each RouterOS type is held in Python, and what `:typeof` calls it.

Strings are Python strings whose characters are bytes (latin-1), so that columns and lengths count bytes as RouterOS
does. Text forms are in `text`, literals in `literals`, times in `times`, arrays in `arrays`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdscsi.simulator.console.syntax import Expression, Script


class Absent(enum.Enum):
    """The two kinds of no value: never there (`nothing`) and a conversion that failed (`nil`)."""

    NOTHING = "nothing"
    NIL = "nil"


NOTHING = Absent.NOTHING
NIL = Absent.NIL


@dataclass(frozen=True, slots=True, order=True)
class Time:
    """A duration in nanoseconds; signed, 64 bits wide as on the device."""

    nanoseconds: int


@dataclass(frozen=True, slots=True)
class Id:
    """An item's internal number, written `*2B`."""

    number: int

    def __str__(self) -> str:
        return f"*{self.number:X}"


@dataclass(frozen=True, slots=True)
class Function:
    """A block kept by `:local f do={…}`; called as `$f a b c=d`."""

    body: Script
    text: str


@dataclass(frozen=True, slots=True)
class Deferred:
    """An `op` value: `(>[…])`, code that is kept instead of run."""

    expression: Expression
    text: str


class Array:
    """An array: numbered members first, then members with string keys in alphabetical order. Never changed in place."""

    __slots__ = ("items", "keyed")

    def __init__(self, items: Sequence[Value] = (), keyed: Mapping[str, Value] | None = None) -> None:
        self.items = tuple(items)
        self.keyed = {key: keyed[key] for key in sorted(keyed)} if keyed else {}

    def __len__(self) -> int:
        return len(self.items) + len(self.keyed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self.items == other.items and self.keyed == other.keyed

    def __hash__(self) -> int:
        return hash((self.items, tuple(self.keyed)))

    def __repr__(self) -> str:
        return f"Array({self.items!r}, {self.keyed!r})"

    def pairs(self) -> Iterator[tuple[Value, Value]]:
        yield from enumerate(self.items)
        yield from self.keyed.items()

    def values(self) -> Iterator[Value]:
        yield from self.items
        yield from self.keyed.values()

    def member(self, key: Value) -> Value:
        """The member under a number or a string; absent members are NOTHING, never an error."""
        if isinstance(key, int) and not isinstance(key, bool):
            return self.items[key] if 0 <= key < len(self.items) else NOTHING
        if isinstance(key, str):
            return self.keyed.get(key, NOTHING)
        return NOTHING

    def replaced(self, key: Value, value: Value) -> Array:
        """A copy with one member set; a number beyond the end pads with NOTHING, up to a sane size."""
        if isinstance(key, int) and not isinstance(key, bool) and 0 <= key < 65536:
            items = list(self.items) + [NOTHING] * (key + 1 - len(self.items))
            items[key] = value
            return Array(items, self.keyed)
        if isinstance(key, str):
            return Array(self.items, {**self.keyed, key: value})
        return self


Value = (
    str
    | bool
    | int
    | Time
    | Id
    | IPv4Address
    | IPv4Network
    | IPv6Address
    | IPv6Network
    | Array
    | Function
    | Deferred
    | Absent
)

_NAMES: dict[type, str] = {
    str: "str",
    bool: "bool",
    int: "num",
    Time: "time",
    Id: "id",
    IPv4Address: "ip",
    IPv4Network: "ip-prefix",
    IPv6Address: "ip6",
    IPv6Network: "ip6-prefix",
    Array: "array",
    Function: "array",
    Deferred: "op",
}

INT_MAX = 2**63 - 1
INT_MIN = -(2**63)


def type_name(value: Value) -> str:
    """What `:typeof` prints."""
    return value.value if isinstance(value, Absent) else _NAMES[type(value)]


def wrapped(number: int) -> int:
    """Sums wrap at 64 bits (a captured case of RouterOS 7.21+)."""
    return (number - INT_MIN) % 2**64 + INT_MIN


def saturated(number: int) -> int:
    """Literals saturate at the ends of 64 bits (captured on 7.23.3)."""
    return max(INT_MIN, min(INT_MAX, number))


def truth(value: Value) -> bool:
    """What counts as true in a condition; errors for non-booleans are raised by the caller that cares."""
    return value is True

"""How single values look in `print`: groups of digits, sizes with units, percentages, quotes.

`:put` and the raw forms show values as they are; that is `console.text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from rdscsi.simulator.console.text import escaped, text_of
from rdscsi.simulator.console.times import unit_text
from rdscsi.simulator.console.values import Absent, Time, Value

Form = Literal["grouped", "binary", "percent", "megahertz"]
_NEXT_UNIT = 10_000


@dataclass(frozen=True, slots=True)
class Layout:
    """How a menu prints: its columns, its flags in columns of alternatives, and what needs special care."""

    columns: tuple[str, ...]
    flag_columns: tuple[tuple[tuple[str, str], ...], ...] = ()
    forms: Mapping[str, Form] = field(default_factory=lambda: MappingProxyType({}))
    unquoted: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()  # properties that only raw forms show
    widths: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # columns with a width of their own
    expendable: tuple[str, ...] = ()  # columns that go first where the console is too narrow


def grouped(number: int) -> str:
    """`1 099 511 627 776`."""
    return f"{number:,}".replace(",", " ")


def binary_size(number: int) -> str:
    """`50.0GiB`: one decimal, so it loses digits. The unit changes at 10 000: 1 TiB is `1024.0GiB` (captured)."""
    if number < _NEXT_UNIT:
        return f"{number}B"
    value = float(number)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < _NEXT_UNIT or unit == "TiB":
            return f"{value:.1f}{unit}"
    raise AssertionError("the last unit takes everything")


_FORMS = {"grouped": grouped, "binary": binary_size, "percent": "{}%".format, "megahertz": "{}MHz".format}


def shown(name: str, value: Value, layout: Layout | None = None) -> str:
    """A value as `print` writes it, without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        form = layout.forms.get(name) if layout else None
        return _FORMS[form](value) if form else str(value)
    return unit_text(value) if isinstance(value, Time) else text_of(value)


def cell(name: str, value: Value, layout: Layout) -> str:
    """A table's cell; empty for what is not set."""
    return "" if isinstance(value, Absent) else shown(name, value, layout)


def quoted(name: str, value: Value, layout: Layout) -> str:
    """The right side of `name=value` in `print detail`: strings in quotes, words of the system's own without."""
    if isinstance(value, str) and name not in layout.unquoted:
        return '"' + escaped(value) + '"'
    return shown(name, value, layout)

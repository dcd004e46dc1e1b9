"""`print` as a table: a line of column names, headers over values, rows.

Where the console is too narrow, headers shrink to the width of their values, then whole columns go (routeros.md
§13.1.8: both were captured); what is still too long continues in the next line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdscsi.simulator.menus.shown import Layout

_GAP = 2


@dataclass(slots=True)
class Column:
    """One column: its name, its cells, and how wide it is printed."""

    name: str
    cells: list[str]
    width: int
    right: bool

    @property
    def least(self) -> int:
        return max((len(cell) for cell in self.cells), default=0)

    def text(self, row: int) -> str:
        """A cell, or the header for -1, padded or cut to the width."""
        text = self.name.upper()[: self.width] if row < 0 else self.cells[row]
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def columns(names: Sequence[str], cells: Sequence[Sequence[str]], layout: Layout) -> list[Column]:
    """The columns that have something to show, or a width of their own."""
    made = []
    for name, values in zip(names, cells, strict=True):
        if any(values) or name in layout.widths:
            width = max(layout.widths.get(name, 0), len(name), *map(len, values))
            made.append(Column(name, list(values), width, layout.forms.get(name) == "grouped"))
    return made


def render(prefixes: Sequence[str], comments: Sequence[str], found: list[Column], layout: Layout, width: int) -> str:
    """The table: `prefixes` are numbers and flags, the first of them the header's `#`."""
    fitted = _fitted(found, layout, width - len(prefixes[0]))
    lines = ["Columns: " + ", ".join(column.name.upper() for column in fitted)]
    for row, prefix in enumerate(prefixes, start=-1):
        if row >= 0 and comments[row]:
            lines += [";;; " + line for line in comments[row].split("\n")]
        lines.append(prefix + (" " * _GAP).join(column.text(row) for column in fitted))
    return "".join(_broken(line, width) + "\n" for line in lines)


def _total(found: Sequence[Column]) -> int:
    return sum(column.width for column in found) + _GAP * (len(found) - 1)


def _fitted(found: list[Column], layout: Layout, width: int) -> list[Column]:
    for column in found:
        if _total(found) <= width:
            return found
        column.width = min(column.width, column.least)
    kept = [column for column in found if column.width]
    for name in layout.expendable:
        if _total(kept) <= width:
            break
        kept = [column for column in kept if column.name != name]
    return kept


def _broken(line: str, width: int) -> str:
    if len(line) <= width or line.startswith(("Columns: ", ";;; ")):
        return line
    return "\n".join(line[start : start + width] for start in range(0, len(line), width))

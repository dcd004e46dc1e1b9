"""The flags of `print`: the legend above the items and the letters in front of each (routeros.md §1.3).

Only flags in use have a column and stand in the legend; alternatives of one column are apart by `,`, columns by `;`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdscsi.simulator.menus.shown import Layout

_PREFIX = "Flags: "


def legend(layout: Layout, letters: Iterable[str], width: int) -> str:
    """The legend of the letters in use, with its line end; nothing when there are none."""
    used = set("".join(letters))
    return _wrapped(_columns(layout, used), width)


def full_legend(layout: Layout, width: int) -> str:
    """What stands there when nothing matches: the header comes all the same (§1.4)."""
    return _wrapped(_columns(layout, {letter for column in layout.flag_columns for letter, _ in column}), width)


def _columns(layout: Layout, used: set[str]) -> list[str]:
    parts = []
    for column in layout.flag_columns:
        present = [_entry(letter, name) for letter, name in column if letter in used]
        if present:
            parts.append(", ".join(present))
    return parts


def _entry(letter: str, name: str) -> str:
    """`B - BLOCK-DEVICE`; a name that begins with a comma stands as it is (`M, F - FORMATTING` of older versions)."""
    return letter + name if name.startswith(",") else f"{letter} - {name.upper()}"


def _wrapped(parts: Sequence[str], width: int) -> str:
    if not parts:
        return ""
    lines, line = [], _PREFIX + parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 2 > width:
            lines.append(line)
            line = " " * len(_PREFIX) + part
        else:
            line += "; " + part
    return "\n".join([*lines, line]) + "\n"


def flag_texts(layout: Layout, letters: Sequence[str]) -> list[str]:
    """Each item's letters, one character a column, without the columns that no item uses."""
    rows = [[_letter(column, of_item) for column in layout.flag_columns] for of_item in letters]
    used = [index for index in range(len(layout.flag_columns)) if any(row[index] != " " for row in rows)]
    return ["".join(row[index] for index in used) for row in rows]


def _letter(column: Sequence[tuple[str, str]], letters: str) -> str:
    return next((letter for letter, _ in column if letter in letters), " ")

"""What `print` looks like: tables, detail, terse, raw values, counts.

Numbers are grouped by blanks, flags have a legend of those in use, lines wrap at 80 columns without a terminal
(routeros.md §1.3, §1.4, §4.6). `as-value` gives raw values of the summary's columns, with `detail` of everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import unit_text
from rdscsi.simulator.console.values import NOTHING, Absent, Array, Time, Value

if TYPE_CHECKING:
    from rdscsi.simulator.menus.menu import ListMenu

WIDTH = 80


@dataclass(frozen=True, slots=True)
class Layout:
    """How a menu prints: its columns, its flags in columns of alternatives, and what needs special care."""

    columns: tuple[str, ...]
    flag_columns: tuple[tuple[tuple[str, str], ...], ...] = ()
    right: frozenset[str] = frozenset()
    unquoted: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()  # properties that only raw forms show


@dataclass(slots=True)
class _Row:
    number: int
    flags: str
    cells: dict[str, str] = field(default_factory=dict)


def print_items(menu: ListMenu[Any], request: Request) -> Value:
    """`print` of a list: prints, or gives a value inside `[…]`."""
    items = list(menu.selected(request))
    if "count-only" in request.flags:
        if not request.wanted:
            request.interpreter.write(f"{len(items)}\n")
        return len(items)
    names = _proplist(request)
    if "as-value" in request.flags:
        chosen = names or (None if "detail" in request.flags else menu.layout.columns)
        array = Array([menu.record(item, chosen) for item in items])
        return array if request.wanted else write_raw(request, array)
    if "detail" in request.flags:
        request.interpreter.write(_detail(menu, items, names, request))
    elif "terse" in request.flags:
        request.interpreter.write(_terse(menu, items, names))
    else:
        request.interpreter.write(_table(menu, items, names or menu.layout.columns, request))
    return NOTHING


def _proplist(request: Request) -> tuple[str, ...]:
    wanted = request.arguments.get("proplist", "")
    return tuple(name for name in text_of(wanted).replace(";", ",").split(",") if name)


def write_raw(request: Request, array: Array) -> Value:
    """`print as-value` as a statement: everything in one line, neither quoted nor escaped (§4.4)."""
    request.interpreter.write(text_of(array) + "\n")
    return NOTHING


def grouped(number: int) -> str:
    """`1 099 511 627 776`."""
    return f"{number:,}".replace(",", " ")


def binary_size(number: int) -> str:
    """`50.0GiB`; one decimal, so it loses digits, and 1 TiB is `1024.0GiB` (captured)."""
    value = float(number)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{number}B" if unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}GiB"


def shown(value: Value) -> str:
    """A value as `print` writes it, without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    return unit_text(value) if isinstance(value, Time) else text_of(value)


def _legend(menu: ListMenu[Any], items: Iterable[Any]) -> str:
    used = set("".join(menu.flags(item) for item in items))
    parts = []
    for column in menu.layout.flag_columns:
        present = [f"{letter} - {name.upper()}" for letter, name in column if letter in used]
        if present:
            parts.append(", ".join(present))
    return _wrapped_legend(parts)


def _wrapped_legend(parts: Sequence[str]) -> str:
    if not parts:
        return ""
    lines, line = [], "Flags: " + parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 3 > WIDTH:
            lines.append(line)
            line = "       " + part
        else:
            line += "; " + part
    return "\n".join([*lines, line]) + "\n"


def _flag_text(menu: ListMenu[Any], item: Any) -> str:
    """One character a column of alternatives, so that flags stand below each other."""
    letters = menu.flags(item)
    text = ""
    for column in menu.layout.flag_columns:
        text += next((letter for letter, _ in column if letter in letters), " ")
    return text


def _compact_flags(menu: ListMenu[Any], items: Sequence[Any]) -> list[str]:
    texts = [_flag_text(menu, item) for item in items]
    used = [index for index in range(len(menu.layout.flag_columns)) if any(text[index] != " " for text in texts)]
    return ["".join(text[index] for index in used) for text in texts]


def _table(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str], request: Request) -> str:
    cells = {name: [_cell(menu.read(item, name)) for item in items] for name in names}
    kept = [name for name in names if any(cells[name])]
    if not kept:
        return ""
    columns = [_numbering(menu, items, request), *(_column(name, cells[name], menu.layout) for name in kept)]
    text = _legend(menu, items)
    text += "Columns: " + ", ".join(name.upper() for name in kept) + "\n"
    rows = [
        "  ".join(row) if index else "  ".join(row).rstrip() for index, row in enumerate(zip(*columns, strict=True))
    ]
    return text + "".join(row + "\n" for row in rows)


def _numbering(menu: ListMenu[Any], items: Sequence[Any], request: Request) -> list[str]:
    flags = _compact_flags(menu, items)
    ids = "show-ids" in request.flags
    marks = [f"*{menu.number(item):X}" if ids else str(index) for index, item in enumerate(items)]
    width = max([len(mark) for mark in marks] + [1])
    rows = [f"{mark:<{width}} {flag}".rstrip() if not flag else f"{mark:<{width}} {flag}" for mark, flag in
            zip(marks, flags, strict=True)]  # fmt: skip
    full = max([len(row) for row in rows] + [1])
    return ["#".ljust(full), *(row.ljust(full) for row in rows)]


def _cell(value: Value) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return grouped(value)
    return "" if isinstance(value, Absent) else shown(value)


def _column(name: str, cells: Sequence[str], layout: Layout) -> list[str]:
    width = max(len(cell) for cell in (name, *cells))
    if name in layout.right:
        return [cell.rjust(width) for cell in (name.upper(), *cells)]
    return [cell.ljust(width) for cell in (name.upper(), *cells)]


def _detail(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str], request: Request) -> str:
    text = _legend(menu, items) or _empty_legend(menu)
    flags = _compact_flags(menu, items)
    ids = "show-ids" in request.flags
    for index, item in enumerate(items):
        mark = f"*{menu.number(item):X}" if ids else str(index)
        head = f"{mark:>2} {flags[index]} " if flags[index] else f"{mark:>2}   "
        text += _wrap(head, _pairs(menu, item, names)) + "\n\n"
    return text


def _empty_legend(menu: ListMenu[Any]) -> str:
    """The header is there even when nothing matches (§1.4)."""
    columns = menu.layout.flag_columns[:2]
    legend = "; ".join(", ".join(f"{letter} - {name.upper()}" for letter, name in column) for column in columns)
    return f"Flags: {legend}\n" if legend else ""


def _pairs(menu: ListMenu[Any], item: Any, names: Sequence[str]) -> list[str]:
    found = []
    for name in names or menu.property_names(item):
        value = menu.read(item, name)
        if not isinstance(value, Absent) and name not in menu.layout.hidden:
            found.append(f"{name}={_quoted(name, value, menu.layout)}")
    return found


def _quoted(name: str, value: Value, layout: Layout) -> str:
    if isinstance(value, str) and name not in layout.unquoted:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if name == "file-size" and isinstance(value, int):
        return binary_size(value)
    if name == "use" and isinstance(value, int):
        return f"{value}%"
    if name in layout.right and isinstance(value, int) and not isinstance(value, bool):
        return grouped(value)
    return shown(value)


def _wrap(head: str, pairs: Sequence[str]) -> str:
    """Lines of 80 columns; a value too long for one is split in its middle (§4.6)."""
    indent = " " * (len(head) + 6)
    lines, line = [], head
    for index, pair in enumerate(pairs):
        separator = " " if index else ""
        if len(line) + len(separator) + len(pair) > WIDTH and line.strip():
            lines.append(line)
            line, separator = indent, ""
        line += separator + pair
        while len(line) > WIDTH:
            lines.append(line[:WIDTH])
            line = indent + line[WIDTH:]
    return "\n".join([*lines, line])


def _terse(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str]) -> str:
    flags = _compact_flags(menu, items)
    rows = []
    for index, item in enumerate(items):
        pairs = [f"{name}={_cell(menu.read(item, name))}" for name in names or menu.property_names(item)
                 if not isinstance(menu.read(item, name), Absent) and name not in menu.layout.hidden]  # fmt: skip
        rows.append(f"{index} {flags[index]} " + " ".join(pairs) + "\n")
    return "".join(rows)


def single(values: Mapping[str, Value]) -> str:
    """`print` of a menu without items: names right-aligned, lines padded to the widest value."""
    present = {name: shown(value) for name, value in values.items() if not isinstance(value, Absent)}
    if not present:
        return ""
    left, right = max(map(len, present)), max(map(len, present.values()))
    return "".join(f"  {name:>{left}}: {text:<{right}}\n" for name, text in present.items())

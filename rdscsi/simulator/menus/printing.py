"""`print`: which items in which form. Tables are laid out in `tables`, flags in `legend`, single values in `shown`.

`as-value` gives raw values of the summary's columns, with `detail` of everything (§13.1.10). Lines of `detail` wrap at
the console's width, 80 columns without a terminal; a value too long for one line is split in its middle (§4.6).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of, written
from rdscsi.simulator.console.values import NOTHING, Absent, Array, Value
from rdscsi.simulator.menus import tables
from rdscsi.simulator.menus.legend import flag_texts, full_legend, legend
from rdscsi.simulator.menus.shown import Layout, cell, quoted, shown

if TYPE_CHECKING:
    from rdscsi.simulator.menus.menu import ListMenu

_LEFT_OUT = frozenset(
    {"append", "file", "follow", "follow-only", "group-by", "interval", "oid", "on-event", "stats-detail"}
)


def print_items(menu: ListMenu[Any], request: Request) -> Value:
    """`print` of a list: prints, or gives a value inside `[…]`."""
    _refuse_left_out(request)
    items = list(menu.selected(request))
    if "from" in request.arguments:
        numbers = {menu.number(item) for item in menu.resolve(request.arguments["from"])}
        items = [item for item in items if menu.number(item) in numbers]
    if "count-only" in request.flags:
        if not request.wanted:
            request.interpreter.write(f"{len(items)}\n")
        return len(items)
    if "order-by" in request.arguments:
        items = _ordered(menu, items, text_of(request.arguments["order-by"]))
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


def _refuse_left_out(request: Request) -> None:
    """Say what is not simulated instead of leaving it out in silence."""
    asked = _LEFT_OUT & (request.arguments.keys() | request.flags)
    if asked:
        raise ConsoleError(texts.NOT_SIMULATED(path=f"{request.path} {min(asked)}"))


def _ordered(menu: ListMenu[Any], items: list[Any], name: str) -> list[Any]:
    def key(item: Any) -> tuple[bool, int, str]:
        value = menu.read(item, name)
        number = value if isinstance(value, int) else 0
        return isinstance(value, Absent), number, text_of(value)

    return sorted(items, key=key)


def _proplist(request: Request) -> tuple[str, ...]:
    wanted = request.arguments.get("proplist", "")
    return tuple(name for name in text_of(wanted).replace(";", ",").split(",") if name)


def write_raw(request: Request, array: Array) -> Value:
    """`print as-value` as a statement: everything in one line, neither quoted nor escaped (§4.4)."""
    raw = request.interpreter.manners.raw_as_value
    request.interpreter.write((text_of(array) if raw else written(array)) + "\n")
    return NOTHING


def _marks(menu: ListMenu[Any], items: Sequence[Any], request: Request, *, of_all: bool) -> list[str]:
    """Numbers in front of items: in a table of the matches from 0, in `detail` of all items (both captured)."""
    if "show-ids" in request.flags:
        return [f"*{menu.number(item):X}" for item in items]
    if not of_all or request.condition is None:
        return [str(index) for index in range(len(items))]
    position = {menu.number(item): index for index, item in enumerate(menu.items())}
    return [str(position[menu.number(item)]) for item in items]


def _comment(menu: ListMenu[Any], item: Any) -> str:
    return text_of(menu.read(item, "comment")) if menu.shows_comments else ""


def _table(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str], request: Request) -> str:
    layout, width = menu.layout, request.interpreter.manners.width
    cells = [[cell(name, menu.read(item, name), layout) for item in items] for name in names]
    found = tables.columns(names, cells, layout) if items else []
    if not found:
        return ""
    letters = [menu.flags(item) for item in items]
    comments = [_comment(menu, item) for item in items]
    prefixes = _prefixes(_marks(menu, items, request, of_all=False), flag_texts(layout, letters))
    return legend(layout, letters, width) + tables.render(prefixes, comments, found, layout, width)


def _prefixes(marks: Sequence[str], flags: Sequence[str]) -> list[str]:
    widest = max(len(mark) for mark in marks)
    rows = [
        f"{mark:>{widest}} {flag} " if flag else f"{mark:>{widest}} " for mark, flag in zip(marks, flags, strict=True)
    ]
    return ["#".ljust(len(rows[0])), *rows]


def _detail(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str], request: Request) -> str:
    layout, width = menu.layout, request.interpreter.manners.width
    letters = [menu.flags(item) for item in items]
    text = legend(layout, letters, width) if items else full_legend(layout, width)
    marks = _marks(menu, items, request, of_all=True)
    for item, mark, flags in zip(items, marks, flag_texts(layout, letters), strict=True):
        head = f"{mark:>2} {flags} " if flags else f"{mark:>2} "
        comment = _comment(menu, item)
        if comment:
            text += f"{head};;; {comment}\n"
            head = " " * len(head)
        text += _wrapped(head, _pairs(menu, item, names), width) + "\n\n"
    return text


def _pairs(menu: ListMenu[Any], item: Any, names: Sequence[str]) -> list[str]:
    layout = menu.layout
    skipped = {"comment"} if menu.shows_comments and not names else set()
    found = []
    for name in names or menu.property_names(item):
        value = menu.read(item, name)
        if not isinstance(value, Absent) and name not in skipped and (names or name not in layout.hidden):
            found.append(f"{name}={quoted(name, value, layout)}")
    return found


def _wrapped(head: str, pairs: Sequence[str], width: int) -> str:
    indent = " " * len(head)
    lines, line = [], head
    for index, pair in enumerate(pairs):
        separator = " " if index else ""
        if len(line) + len(separator) + len(pair) > width and line.strip():
            lines.append(line)
            line, separator = indent, ""
        line += separator + pair
        while len(line) > width > len(indent):
            lines.append(line[:width])
            line = indent + line[width:]
    return "\n".join([*lines, line])


def _terse(menu: ListMenu[Any], items: Sequence[Any], names: Sequence[str]) -> str:
    layout = menu.layout
    rows = []
    for index, (item, flags) in enumerate(
        zip(items, flag_texts(layout, [menu.flags(each) for each in items]), strict=True)
    ):
        pairs = [
            f"{name}={cell(name, menu.read(item, name), layout)}"
            for name in names or menu.property_names(item)
            if not isinstance(menu.read(item, name), Absent) and (names or name not in layout.hidden)
        ]
        rows.append(" ".join([str(index), *([flags] if flags else []), *pairs]) + "\n")
    return "".join(rows)


def single(values: Mapping[str, Value], layout: Layout | None = None) -> str:
    """`print` of a menu without items: names right-aligned, lines padded to the widest value."""
    present = {name: shown(name, value, layout) for name, value in values.items() if not isinstance(value, Absent)}
    if not present:
        return ""
    left, right = max(map(len, present)), max(map(len, present.values()))
    return "".join(f"  {name:>{left}}: {text:<{right}}\n" for name, text in present.items())


def output_lines(lines: Iterable[str]) -> str:
    """What commands with an OUTPUT column print (`/disk/check`, `/disk/format`)."""
    return "".join(f"{line}\n" for line in ("Columns: OUTPUT", "OUTPUT", *lines))

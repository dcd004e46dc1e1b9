"""`:serialize to=dsv` and `:deserialize from=dsv`: rows and columns apart by a delimiter."""

from rdscsi.simulator.console.literals import literal
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import Array, Value

OPTIONS = frozenset({"dsv.plain", "dsv.array", "dsv.remap", "dsv.wrap-strings"})


def serialized(value: Value, delimiter: str, options: frozenset[str]) -> str:
    """One line a member; members that are arrays are the columns."""
    rows = value.values() if isinstance(value, Array) else iter((value,))
    quote = "dsv.wrap-strings" in options
    return "\n".join(delimiter.join(_cell(cell, quote) for cell in _cells(row)) for row in rows)


def _cells(row: Value) -> list[Value]:
    return list(row.values()) if isinstance(row, Array) else [row]


def _cell(cell: Value, quote: bool) -> str:
    return f'"{text_of(cell)}"' if quote and isinstance(cell, str) else text_of(cell)


def deserialized(text: str, delimiter: str, options: frozenset[str]) -> Value:
    """Rows as arrays; with `dsv.remap` the first row gives the keys."""
    rows = [line.split(delimiter) if delimiter else [line] for line in text.replace("\r\n", "\n").split("\n") if line]
    plain = "dsv.plain" in options
    table = [[cell if plain else literal(cell) for cell in row] for row in rows]
    if "dsv.remap" not in options or not table:
        return Array([Array(row) for row in table])
    keys = [text_of(key) for key in table[0]]
    return Array([Array((), dict(zip(keys, row, strict=False))) for row in table[1:]])

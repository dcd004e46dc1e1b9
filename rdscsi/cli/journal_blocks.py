"""Rows that no terminal is wide enough for: each as a line, and below it in words what a person has to know."""

from collections.abc import Mapping, Sequence
from typing import Any

from rdscsi.observe.lines import one_line

BLOCKS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "operations": (
        ("id", "kind", "subject", "state", "age", "attempts"),
        ("csi_name", "last step", "last error", "next"),
    ),
    "quarantined": (("volume_id", "csi_name", "state", "updated"), ("quarantine",)),
    "unclaimed": (("volume_id", "csi_name", "size", "kept"), ("why",)),
}
"""By table: the columns of the line, and what stands below it."""

COLOURS = {"open": "yellow", "done": "green", "refused": "red", "superseded": "dim", "ready": "green"}


def print_blocks(console: Any, name: str, rows: Sequence[Mapping[str, str]]) -> None:  # Any: a rich Console
    """Print the rows of one of these tables."""
    from rich.text import Text

    columns, below = BLOCKS[name]
    heads = {column: column.replace("_", " ") for column in columns}
    widths = {column: max(len(one_line(row[column])) for row in [heads, *rows]) for column in columns}
    for row in [heads, *rows]:
        style = "bold" if row is heads else ""
        cells = [
            Text(f"{one_line(row[column]):<{widths[column]}}", COLOURS.get(row[column], style)) for column in columns
        ]
        console.print(Text("  ").join(cells), soft_wrap=True)
        for column in below if row is not heads else ():
            if _matters(row, column):
                console.print(f"    {column.replace('_', ' '):<11} {one_line(row[column])}", soft_wrap=True)


def _matters(row: Mapping[str, str], column: str) -> bool:
    """Of what has ended, how far it came and what is next does not matter any more."""
    return row[column] not in ("", "-") and (column not in ("last step", "next") or row["state"] == "open")

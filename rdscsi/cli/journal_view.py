"""What `rdscsi journal` shows: collects it from a reading of the journal, and renders it as tables or as JSON."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rdscsi.cli import figures
from rdscsi.cli.journal_blocks import BLOCKS, COLOURS, print_blocks
from rdscsi.journal import asking
from rdscsi.observe.lines import one_line
from rdscsi.observe.secrets import scrub

if TYPE_CHECKING:
    from rdscsi.journal import OperationRecord
    from rdscsi.journal.reading import Reading, Situation

Row = Mapping[str, object]

UNKNOWN_ID = 1
NEEDS_A_LOOK = 3
"""Exit statuses: nothing has this id; something is open, quarantined, or claimed by nobody."""

_PIPE_WIDTH = 400  # columns where nobody looks at a terminal: one line a row, for grep
_SHOWN_OPERATIONS = 20
_EVENTS = ("opened", "closed", "updated", "deleted", "started", "created")
_TIMES = ("at", "since", "waits_since", *(f"{event}_at" for event in _EVENTS))
_COLUMNS = {
    "operations": ("id", "kind", "subject", "csi_name", "state", "age", "attempts", "last step", "last error", "next"),
    "quarantined": ("volume_id", "csi_name", "state", "updated", "quarantine"),
    "unclaimed": ("volume_id", "csi_name", "size", "kept", "why"),
    "snapshots": ("snapshot_id", "csi_name", "size", "state", "source_volume_id", "updated", "quarantine"),
    "volumes": ("volume_id", "csi_name", "size", "state", "ever_published", "updated", "quarantine"),
    "stages": ("volume_id", "state", "access_type", "fs_type", "size", "formatted", "updated", "staging_target_path"),
    "targets": ("target_path", "volume_id", "access_type", "access_mode", "readonly", "updated"),
    "tombstones": ("volume_id", "backing", "generation", "deleted"),
}
_WHOLE = ("id", "age", "state", "subject", "volume_id", "snapshot_id", "backing")  # never broken: somebody copies them
_FIRST_STEPS, _LATEST_STEPS = 6, 9  # of a long trail, in a table


@dataclass(slots=True)
class View:
    """What is shown: lists of rows by name, as JSON gives them.

    `csi_names` are those of volumes and snapshots by id. `details` asks for each operation in full; `unfinished` says
    that only open operations were asked for; `hint` is what a person may type next.
    """

    situation: "Situation"
    now: float
    csi_names: Mapping[str, str] = field(default_factory=dict)
    tables: dict[str, Sequence[Row]] = field(default_factory=dict)
    details: bool = False
    unfinished: bool = False
    status: int = 0
    hint: str = ""


def collect(reading: "Reading", args: argparse.Namespace, *, now: float) -> View:
    """Read what the command line asks for; `now` in seconds since the epoch."""
    view = View(reading.situation, now, _csi_names(reading))
    if args.verb == "list":
        view.unfinished = args.state == "open"
        found = reading.open_operations() if view.unfinished else reading.operations(limit=args.limit)
        view.tables["operations"] = [_operation(one, view) for one in found]
        view.tables["quarantined"] = _quarantined(reading)
        view.tables["unclaimed"] = [asdict(one) for one in reading.unclaimed()]
        open_now = any(one.state == "open" for one in found)
        view.status = NEEDS_A_LOOK if open_now or view.tables["quarantined"] or view.tables["unclaimed"] else 0
        view.hint = "rdscsi journal explain ID says what is the matter with one of these, and what helps"
    elif args.verb == "show":
        _collect_about(reading, args.what, view)
    else:
        rows: Sequence[Any] = getattr(reading, args.verb)()  # Any: records of three kinds, all dataclasses
        view.tables[args.verb] = [asdict(one) for one in rows]
    return view


def print_json(view: View) -> None:
    """Print one JSON document; times as RFC 3339 in UTC."""
    about = asdict(view.situation) | {"path": str(view.situation.path)}
    document = readable({"journal": about} | view.tables)
    print(json.dumps(document, indent=2, ensure_ascii=True))


def print_tables(view: View, *, width: int | None = None) -> None:
    """Print tables as wide as the terminal, or as told; colours only on a terminal."""
    from rich.console import Console

    wide = width or (None if sys.stdout.isatty() else _PIPE_WIDTH)
    console = Console(width=wide, highlight=False, markup=False, emoji=False)
    console.print(_heading(view), style="dim", soft_wrap=True)
    if view.situation.waits and view.situation.held is not False:
        console.print(one_line(waiting(view.situation, view.now)), style="yellow", soft_wrap=True)
    if view.status == UNKNOWN_ID:
        console.print("nothing has this id: give an operation's id, its subject or a volume id", style="red")
    for name, rows in view.tables.items():
        if view.details and name == "operations":
            for row in rows:
                _print_details(console, row, view)
        elif rows and name in BLOCKS and console.width < _PIPE_WIDTH:
            print_blocks(console, name, [_cells(name, row, view) for row in rows])
        elif rows:
            console.print(_table(name, [_cells(name, row, view) for row in rows]))
        elif name not in ("quarantined", "unclaimed"):
            console.print(f"no {'unfinished ' if view.unfinished else ''}{name}")
    if view.hint and view.status == NEEDS_A_LOOK and console.width < _PIPE_WIDTH:
        console.print(view.hint, style="dim", soft_wrap=True)


def _csi_names(reading: "Reading") -> Mapping[str, str]:
    """What Kubernetes' people know volumes and snapshots by."""
    found = {one.volume_id: one.csi_name for one in reading.volumes()}
    return found | {one.snapshot_id: one.csi_name for one in reading.snapshots()}


def _quarantined(reading: "Reading") -> Sequence[Row]:
    """Volumes and snapshots that a person must look at; the id of each as `volume_id`."""
    snapshots = [asdict(one) | {"volume_id": one.snapshot_id} for one in reading.snapshots() if one.quarantine]
    return [asdict(one) for one in reading.volumes() if one.quarantine] + snapshots


def waiting(situation: "Situation", now: float) -> str:
    """Say what keeps the driver from all work, since when."""
    since = figures.duration(now - (situation.waits_since or now))
    return f"the driver cannot act, since {since}: {situation.waits}"


def _collect_about(reading: "Reading", what: str, view: View) -> None:
    view.details = True
    operations = reading.operations_about(what, limit=_SHOWN_OPERATIONS)
    subject = asking.volume_of(operations[0].subject) if operations else what
    operations += reading.operations_about(asking.subject_about(what), limit=_SHOWN_OPERATIONS)
    for name, record in (
        ("volumes", reading.volume(subject)),
        ("snapshots", reading.snapshot(subject)),
        ("stages", reading.stage(subject)),
    ):
        if record is not None:
            view.tables[name] = [asdict(record)]
    published = [asdict(one) for one in reading.targets(subject)] if subject else []
    if published:
        view.tables["targets"] = published
    buried = [asdict(one) for one in reading.tombstones() if one.volume_id == subject]
    if buried:
        view.tables["tombstones"] = buried
    if operations:
        view.tables["operations"] = [_operation(one, view) for one in operations]
    view.status = 0 if view.tables else UNKNOWN_ID


def _operation(record: "OperationRecord", view: View) -> Row:
    derived = {
        "csi_name": view.csi_names.get(asking.volume_of(record.subject), ""),
        "next": view.situation.next(record),
        "age_seconds": round(view.now - record.opened_at, 3),
    }
    return asdict(record) | derived


def readable(value: object, key: str = "") -> object:
    """Make what is kept fit for JSON: times become text, secrets go, at any depth."""
    if isinstance(value, Mapping):
        return {name: readable(one, name) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [readable(one) for one in value]
    if key in _TIMES and isinstance(value, float):
        return figures.moment(value)
    return scrub(value, key=key)


def _heading(view: View) -> str:
    situation = view.situation
    keeper = {True: "a driver uses it", False: "no driver uses it", None: "whether a driver uses it cannot be seen"}
    start = situation.incarnation
    last = f"; start {start.id} at {figures.moment(start.started_at)}, pid {start.pid} on {start.host}" if start else ""
    full = "" if situation.ballast or not situation.held else "; its disk was found full: nothing new is begun"
    former = f"; made when a journal was put aside, {situation.set_aside}" if situation.set_aside else ""
    return one_line(f"journal {situation.path} ({situation.journal_id}): {keeper[situation.held]}{last}{full}{former}")


def _cells(name: str, row: Row, view: View) -> dict[str, str]:
    """Return a row's columns as text."""
    cells = {key: "" if value is None else str(value) for key, value in row.items()}
    if name == "operations":
        last: Any = row["last_step"]
        cells["age"] = figures.duration(view.now - _number(row["opened_at"]))
        cells["last step"] = f"{last['name']} {last['detail']}".strip() if last else "-"
        cells["last error"] = cells["error"] or "-"
    for moment, column in (("updated_at", "updated"), ("deleted_at", "deleted"), ("since", "kept")):
        if moment in row:
            cells[column] = f"{figures.duration(view.now - _number(row[moment]))} ago"
    for size in ("capacity_bytes", "size_bytes"):
        if size in row:
            cells["size"] = figures.size(int(_number(row[size])))
    for yes_no in ("ever_published", "formatted", "readonly"):
        if yes_no in row:
            cells[yes_no] = "yes" if row[yes_no] else "no"
    return {column: cells[column] for column in _COLUMNS[name]}


def _table(name: str, rows: Sequence[Mapping[str, str]]) -> Any:  # a rich Table; rich is imported when needed
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in _COLUMNS[name]:
        table.add_column(column.replace("_", " "), overflow="fold", no_wrap=column in _WHOLE)
    for row in rows:
        cells = ((column, one_line(value)) for column, value in row.items())
        table.add_row(*(Text(value, style=COLOURS.get(value, "") if of == "state" else "") for of, value in cells))
    return table


def _print_details(console: Any, row: Row, view: View) -> None:  # Any: a rich Console
    console.print()
    console.print(one_line(f"{row['kind']} {row['id']}: {row['state']}"), style="bold", soft_wrap=True)
    cells = _cells("operations", row, view)
    told = {
        "subject": row["subject"],
        "opened": f"{figures.moment(_number(row['opened_at']))} ({cells['age']} ago)",
        "closed": figures.moment(_number(row["closed_at"])) if row["closed_at"] else "-",
        "attempts": f"{row['attempts']}, the last in start {row['incarnation']}",
        "outcome": row["outcome"] or "-",
        "error": cells["last error"],
        "next": row["next"],
        "request": json.dumps(readable(row["request"]), sort_keys=True),
    }
    for name, value in told.items():
        console.print(f"  {name:<9} {one_line(str(value))}", soft_wrap=True)
    steps: Any = row["steps"]
    left_out = len(steps) - _FIRST_STEPS - _LATEST_STEPS
    for number, step in enumerate(steps):
        if _FIRST_STEPS <= number < _FIRST_STEPS + left_out:
            if number == _FIRST_STEPS:
                console.print(f"  … {left_out} steps more; --output json has them", style="dim", soft_wrap=True)
            continue
        line = f"{one_line(step['name']):<12} {one_line(step['detail'])}"
        console.print(f"  {figures.moment(step['at'])}  {line}", soft_wrap=True)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

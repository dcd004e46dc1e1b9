"""What stands at one moment, in words: the volumes on the appliance, and what the journal says of them."""

from collections.abc import Iterable
from pathlib import Path

from rdscsi.drill.results import Standing
from rdscsi.journal import Journal, OperationRecord, VolumeRecord
from rdscsi.journal.reading import read_journal
from rdscsi.tags import parse_tag
from rdscsi.testing.invariants import PREFIX
from rdscsi.testing.machines import Machine, Shown


async def standing(machine: Machine, journal: Journal) -> Standing:
    """Look at a machine and the journal of a living process."""
    return Standing(_appliance(machine), _journal(await journal.volumes(), await journal.open_operations()))


def standing_in_file(machine: Machine, path: Path) -> Standing:
    """The same when the process is dead: its journal is read from its file."""
    if not path.exists():
        return Standing(_appliance(machine), ("no journal",))
    with read_journal(path) as reading:
        return Standing(_appliance(machine), _journal(reading.volumes(), reading.open_operations()))


def _appliance(machine: Machine) -> tuple[str, ...]:
    items = [item for slot, item in sorted(machine.items().items()) if slot.startswith(PREFIX)]
    volumes = [f"disk {item.slot}: {_item(item)}" for item in items]
    files = sorted(leaf for leaf in machine.leaves() if PREFIX in leaf and leaf.endswith(".img"))
    return (*volumes, *(f"file {name}" for name in files)) or ("no disk and no file of this cluster",)


def _item(item: Shown) -> str:
    tag = parse_tag(item.comment)
    state = tag.state.value if tag is not None else f"a stranger's ({item.comment})"
    return f"{state}, {item.size:,} bytes, {f'exported as {item.nqn}' if item.export else 'not exported'}"


def _journal(volumes: Iterable[VolumeRecord], operations: Iterable[OperationRecord]) -> tuple[str, ...]:
    told = [
        f"volume {one.slot}: {one.state}, {one.capacity_bytes:,} bytes"
        + (f", quarantined: {one.quarantine}" if one.quarantine else "")
        for one in volumes
    ]
    told += [f"open: {one.kind}, attempt {one.attempts}, last step {_last(one)}" for one in operations]
    return tuple(told) or ("no volume, nothing open",)


def _last(operation: OperationRecord) -> str:
    return operation.last_step.name if operation.last_step is not None else "none"

"""What a world has for an appliance: the simulated RDS with its console, or the fast model, by the same strings.

`Machine` is what `World` and `invariants` need of either; a contract test holds the two to each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rdscsi.routeros import program
from rdscsi.routeros.console import Console
from rdscsi.routeros.device import Executes
from rdscsi.routeros.program import Program
from rdscsi.simulator import Appliance, ApplianceOptions
from rdscsi.simulator.faults import Faults
from rdscsi.simulator.sessions import Sessions
from rdscsi.testing.clock import TrioClock
from rdscsi.testing.fast.adopting import WholeProgram
from rdscsi.testing.fast.appliance import FastAppliance
from rdscsi.testing.fast.console import FastConsole, FastSessions
from rdscsi.testing.transport import Link, MemoryTransport

Hook = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """A disk item as it is, whatever a console would say. `everything`: all of it, to be compared."""

    slot: str
    comment: str
    size: int
    export: bool
    nqn: str
    mount_filesystem: bool
    attached: bool
    everything: str


@dataclass(frozen=True, slots=True)
class Wires:
    """How a process reaches the machine: its link, the seconds of each way, lines side by side, and who watches."""

    link: Link
    delay: Callable[[], float]
    connections: int
    before: Hook
    after: Hook


class Machine(Protocol):
    """An appliance of either kind."""

    faults: Faults
    program: Program

    @property
    def lines(self) -> int:
        """How many lines have reached it."""
        ...

    def console(self, wires: Wires) -> Executes:
        """Return a way to send lines."""
        ...

    def watch_changes(self, hook: Hook) -> None:
        """Call `hook` before each statement that changes something; it may raise ConsoleError or LineCut."""
        ...

    def next_due(self) -> float | None:
        """Seconds until a line whose session died goes on, or None."""
        ...

    def run_due(self) -> None:
        """Let the lines whose time has come go on."""
        ...

    def reboot(self) -> int:
        """Power cycle; the number of changes that were lost."""
        ...

    def put_stranger(self, slot: str) -> None:
        """Add a disk item that is none of the driver's, with a file of its own."""
        ...

    def set_by_hand(self, slot: str, *, export: bool | None = None, comment: str | None = None) -> None:
        """Change an item as an operator does."""
        ...

    def remove_by_hand(self, slot: str) -> None:
        """Remove an item as an operator does; its file stays."""
        ...

    def persist(self) -> None:
        """Let all that was changed so far survive a power loss."""
        ...

    def items(self) -> Mapping[str, Shown]:
        """Every disk item by slot."""
        ...

    def leaves(self) -> frozenset[str]:
        """Every file and directory of the pool by name."""
        ...

    def origins(self) -> Mapping[str, str]:
        """What each subvolume that is a copy was copied from, both by leaf name, whatever became of that."""
        ...

    def close(self) -> None:
        """Let go of whatever it holds."""
        ...


class SimulatedMachine:
    """The simulated RDS: real console lines, real files."""

    program: Program = program

    def __init__(self, directory: Path, options: ApplianceOptions, clock: TrioClock, *, seed: int) -> None:
        self.faults = Faults(seed=seed)
        self.clock = clock
        self.appliance = Appliance(directory, options, clock=clock)
        self.sessions = Sessions(self.appliance, self.faults)

    @property
    def lines(self) -> int:
        """See `Machine`."""
        return len(self.appliance.history)

    def console(self, wires: Wires) -> Executes:
        """See `Machine`."""
        transport = MemoryTransport(
            self.sessions,
            self.clock,
            link=wires.link,
            delay=wires.delay,
            connections=wires.connections,
            before=wires.before,
            after=wires.after,
        )
        return Console(transport)

    def watch_changes(self, hook: Hook) -> None:
        """See `Machine`."""
        self.appliance.before_mutation = lambda path, arguments: hook()

    def next_due(self) -> float | None:
        """See `Machine`."""
        return self.sessions.next_due()

    def run_due(self) -> None:
        """See `Machine`."""
        self.sessions.run_due()

    def reboot(self) -> int:
        """See `Machine`."""
        return self.appliance.reboot()

    def put_stranger(self, slot: str) -> None:
        """See `Machine`."""
        self._type(f'/disk/add type=file slot={slot} file-path=pool1/{slot}.img file-size=1048576 comment="not yours"')

    def set_by_hand(self, slot: str, *, export: bool | None = None, comment: str | None = None) -> None:
        """See `Machine`."""
        if export is not None:
            self._type(f"/disk/set [find where slot={slot}] nvme-tcp-export={'yes' if export else 'no'}")
        if comment is not None:
            self._type(f'/disk/set [find where slot={slot}] comment="{comment}"')

    def remove_by_hand(self, slot: str) -> None:
        """See `Machine`."""
        self._type(f"/disk/remove [find where slot={slot}]")

    def persist(self) -> None:
        """See `Machine`."""
        self.appliance.storage.undo.flush()

    def _type(self, line: str) -> None:
        answer = self.appliance.run(line)
        assert answer == "", f"{line}: {answer}"

    def items(self) -> Mapping[str, Shown]:
        """See `Machine`."""
        return {
            disk.slot: Shown(
                slot=disk.slot,
                comment=str(disk.setting("comment", "")),
                size=int(disk.setting("file-size", 0)),
                export=disk.exported,
                nqn=str(disk.setting("nvme-tcp-server-nqn", "")),
                mount_filesystem=disk.setting("mount-filesystem", True) is True,
                attached=disk.attached,
                everything=f"{disk.type} {sorted(disk.settings.items())}",
            )
            for disk in self.appliance.storage.disks
        }

    def leaves(self) -> frozenset[str]:
        """See `Machine`."""
        return frozenset(entry.name for entry in self.appliance.storage.files.listing())

    def origins(self) -> Mapping[str, str]:
        """See `Machine`."""
        copies = [one for one in self.appliance.storage.subvolumes if one.snapshot]
        return {one.name: one.parent_name.rpartition("/")[2] for one in copies}

    def close(self) -> None:
        """See `Machine`."""
        self.appliance.close()


class FastMachine:
    """The fast model: the driver's lines as steps, everything in memory."""

    def __init__(self, clock: TrioClock, *, size: int, flush_delay: float, seed: int) -> None:
        self.faults = Faults(seed=seed)
        self.program: Program = WholeProgram()
        self.appliance = FastAppliance(clock, size=size, flush_delay=flush_delay)
        self.sessions = FastSessions(self.appliance, self.faults)

    @property
    def lines(self) -> int:
        """See `Machine`."""
        return self.sessions.lines

    def console(self, wires: Wires) -> Executes:
        """See `Machine`."""
        return FastConsole(
            self.sessions,
            link=wires.link,
            delay=wires.delay,
            connections=wires.connections,
            before=wires.before,
            after=wires.after,
        )

    def watch_changes(self, hook: Hook) -> None:
        """See `Machine`."""
        self.sessions.before_change = hook

    def next_due(self) -> float | None:
        """See `Machine`."""
        return self.sessions.next_due()

    def run_due(self) -> None:
        """See `Machine`."""
        self.sessions.run_due()

    def reboot(self) -> int:
        """See `Machine`."""
        return self.sessions.reboot()

    def put_stranger(self, slot: str) -> None:
        """See `Machine`."""
        path = f"pool1/{slot}.img"
        self.appliance.files[path] = 1 << 20
        self.appliance.add_item(slot, path, None, "not yours")

    def set_by_hand(self, slot: str, *, export: bool | None = None, comment: str | None = None) -> None:
        """See `Machine`."""
        given = {"export": export, "comment": comment}
        self.appliance.change(slot, **{name: value for name, value in given.items() if value is not None})

    def remove_by_hand(self, slot: str) -> None:
        """See `Machine`."""
        self.appliance.remove_item(self.appliance.items[slot])

    def persist(self) -> None:
        """See `Machine`."""
        self.appliance.undo.flush()

    def items(self) -> Mapping[str, Shown]:
        """See `Machine`."""
        return {
            slot: Shown(
                slot=slot,
                comment=item.comment,
                size=item.size,
                export=item.export,
                nqn=item.nqn,
                mount_filesystem=item.mount_filesystem,
                attached=item.file_path in self.appliance.files,
                everything=f"{item.comment} {item.size} {item.export} {item.nqn} {item.port}",
            )
            for slot, item in self.appliance.items.items()
        }

    def leaves(self) -> frozenset[str]:
        """See `Machine`."""
        directories = {f"pool1/rdscsi/{name}" for name in self.appliance.leaves}
        base = {"pool1/rdscsi"} if self.appliance.base_directory else set()
        return frozenset({"pool1", *base, *directories, *self.appliance.files})

    def origins(self) -> Mapping[str, str]:
        """See `Machine`."""
        return {name: leaf.origin for name, leaf in self.appliance.leaves.items() if leaf.origin}

    def close(self) -> None:
        """See `Machine`."""

"""An appliance as a drill's machine: lines go to its real console, what it shows is a survey of a moment ago.

Strikes fall around whole lines: what happens inside of one, at a power loss, or with a line whose session has died, is
the appliance's own affair.
"""

from collections.abc import Mapping

import trio

from rdscsi.errors import DeviceUnavailable, DriverError, OutcomeUnknown
from rdscsi.routeros import program
from rdscsi.routeros.answers import DiskItem, parse_answer
from rdscsi.routeros.console import Reply
from rdscsi.routeros.device import Executes
from rdscsi.routeros.phrases import print_disks
from rdscsi.routeros.program import Program
from rdscsi.routeros.quoting import quote
from rdscsi.sandbox.appliance import look
from rdscsi.simulator.faults import Faults
from rdscsi.testing.machines import Hook, Shown, Wires

_DEADLINE = 60.0


class CannotBeStaged(DriverError):
    """Only the simulated RDS can do this."""


class ApplianceMachine:
    """A `rdscsi.testing.machines.Machine` over a console. `survey` brings up to date what it shows."""

    program: Program = program

    def __init__(self, console: Executes) -> None:
        self.faults = Faults()
        self._console = console
        self._items: dict[str, Shown] = {}
        self._leaves: frozenset[str] = frozenset()
        self.lines = 0

    async def survey(self) -> None:
        """Look at all file disks and files. Raises what the console raises."""
        reply = await self._console.execute(print_disks("type=file"), deadline=_DEADLINE)
        self._items = {item.slot: _shown(item) for item in parse_answer(reply.lines).disks}
        found = await look(self._console)
        self._leaves = found.files

    async def remove(self, slot: str, file_path: str) -> None:
        """Remove one disk and its file by their exact names."""
        lines = (
            f"/disk/remove [/disk/find where slot={quote(slot)}]",
            f"/file/remove [/file/find where name={quote(file_path)}]",
        )
        for line in lines:
            await self._console.execute(line, deadline=_DEADLINE)

    def console(self, wires: Wires) -> Executes:
        """See `Machine`."""
        return _Struck(self, self._console, wires)

    def items(self) -> Mapping[str, Shown]:
        """See `Machine`: as of the last survey."""
        return self._items

    def leaves(self) -> frozenset[str]:
        """See `Machine`: as of the last survey."""
        return self._leaves

    def origins(self) -> Mapping[str, str]:
        """See `Machine`. No drill copies anything, so nobody asks."""
        raise CannotBeStaged("what a copy was made from is not surveyed")

    def watch_changes(self, hook: Hook) -> None:
        """See `Machine`: nobody sees statements here."""

    def next_due(self) -> float | None:
        """See `Machine`: nobody knows."""
        return None

    def run_due(self) -> None:
        """See `Machine`: lines go on by themselves."""

    def persist(self) -> None:
        """See `Machine`: the appliance does it in its own time."""

    def reboot(self) -> int:
        """See `Machine`."""
        raise CannotBeStaged("nobody cuts the power of an appliance from here")

    def put_stranger(self, slot: str) -> None:
        """See `Machine`."""
        raise CannotBeStaged(f"nothing is put into the slot {slot} of an appliance")

    def set_by_hand(self, slot: str, *, export: bool | None = None, comment: str | None = None) -> None:
        """See `Machine`."""
        raise CannotBeStaged(f"the slot {slot} of an appliance is left to the controller")

    def remove_by_hand(self, slot: str) -> None:
        """See `Machine`."""
        raise CannotBeStaged(f"the slot {slot} of an appliance is left to the controller")

    def close(self) -> None:
        """See `Machine`: whoever opened the console closes it."""


class _Struck:
    """The console of one process: watched, and struck before or after a line."""

    def __init__(self, machine: ApplianceMachine, console: Executes, wires: Wires) -> None:
        self._machine = machine
        self._console = console
        self._wires = wires

    async def execute(self, body: str, *, deadline: float) -> Reply:
        """See `Console.execute`."""
        self._wires.before()
        await self._unless_dead()
        struck = [rule.fault.kind for rule in self._machine.faults]
        self._machine.faults.clear()
        if "drop-before" in struck:
            raise DeviceUnavailable("the drill keeps the appliance out of reach")
        self._machine.lines += 1
        try:
            reply = await self._console.execute(body, deadline=deadline)
        except DriverError:
            await self._answered()
            raise
        await self._answered()
        if "drop-after" in struck:
            raise OutcomeUnknown("the drill keeps the answer back")
        return reply

    async def _answered(self) -> None:
        self._wires.after()
        await self._unless_dead()

    async def _unless_dead(self) -> None:
        if self._wires.link.dead:
            await trio.sleep_forever()


def _shown(item: DiskItem) -> Shown:
    return Shown(
        slot=item.slot,
        comment=item.comment,
        size=item.size,
        export=item.nvme_tcp_export,
        nqn=item.nvme_tcp_server_nqn,
        mount_filesystem=item.mount_filesystem,
        attached=item.block_device,
        everything=f"{item.comment} {item.size} {item.nvme_tcp_export} {item.nvme_tcp_server_nqn} {item.file_path}",
    )

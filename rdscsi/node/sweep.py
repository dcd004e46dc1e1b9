"""The sweep: what is staged or connected here, used by nobody and of no use any more is taken off, without being asked.

kubelet that is killed between stage and publish, and whose pod is gone when it is back, never unstages. Meanwhile the
volume is unpublished and its export withdrawn; what stays on the node is a mount, and a connection, for ever.

Taken off is what is proven to be unused (`disuse`), while no operation of its volume is open, when a portal *answers*
that it no longer offers this epoch: at each look of `after` seconds. One look that says otherwise, or that says
nothing, begins the wait anew, so that an appliance that reboots, and an export that is being restored (recovery
restores the NQN, law 8), never count. What is used stays, whatever became of its export.

`after` is longer than the kernel's `ctrl_loss_tmo` of 600 s, and a volume whose class has a longer one waits for as
long: a path that was cut has been given up by the kernel itself then, and its unwritten data with it; nothing is lost
here that was not lost before. Nothing is in a hurry.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import trio

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, DriverError, JournalFailed
from rdscsi.host.ports import Number
from rdscsi.journal import StageRecord
from rdscsi.model import DEFAULT_TUNING
from rdscsi.node import clearing, disuse, unstaging, wishes
from rdscsi.node.machine import Machine
from rdscsi.observe import logs
from rdscsi.operations import Operations

_AT_ONCE = 8
"""How many are looked at side by side: one that does not answer costs the others nothing."""

_log = logs.get_log()


class Sweep:
    """Sweeps one node. `after` is how many seconds an export has to be withdrawn."""

    def __init__(self, *, machine: Machine, operations: Operations, after: float) -> None:
        self._machine = machine
        self._operations = operations
        self._after = after
        self._withdrawn: dict[str, float] = {}
        self._limit = trio.CapacityLimiter(_AT_ONCE)

    async def run(self) -> None:
        """Look again and again until cancelled, at least three times within `after` seconds."""
        while True:
            await trio.sleep(self._after / 2)
            await self.look()

    async def look(self) -> None:
        """Look once at all that is staged or connected, and take off what is due."""
        try:
            connected = await self._machine.host.connected(f"{names.NQN_PREFIX}:")
        except DeviceUnavailable as error:
            self._withdrawn.clear()
            _log.warning("connections unknown", reason=str(error))
            return
        records = {record.subnqn: record for record in await self._machine.journal.stages()}
        orphans = {subnqn: own for subnqn, own in connected.items() if subnqn not in records and self._ours(subnqn)}
        self._withdrawn = {key: since for key, since in self._withdrawn.items() if key in {*records, *orphans}}
        async with trio.open_nursery() as nursery:
            for subnqn, record in records.items():
                nursery.start_soon(self._consider, subnqn, partial(self._stage, record))
            for subnqn, numbers in orphans.items():
                nursery.start_soon(self._consider, subnqn, partial(self._orphan, subnqn, numbers))

    async def _consider(self, subnqn: str, consider: Callable[[], Awaitable[bool]]) -> None:
        """Look at one; the wait goes on only where `consider` has seen that it is unused and withdrawn."""
        waits = False
        try:
            async with self._limit:
                waits = await consider()
        except JournalFailed:
            raise
        except DriverError as error:
            _log.info("not swept", subnqn=subnqn, reason=str(error))
        except Exception as error:  # noqa: BLE001 - nobody asked, and a bug would end the node's process again and again
            _log.error("sweep.bug", subnqn=subnqn, exc_info=error)
        finally:
            if not waits:
                self._withdrawn.pop(subnqn, None)

    async def _stage(self, record: StageRecord) -> bool:
        machine = self._machine
        slot = machine.find_slot(record.volume_id)
        if slot is None or await self._busy(record.volume_id):
            return False
        scene = await clearing.look(machine, slot)
        if set(scene.connected) - {record.subnqn} or await disuse.find_users(machine, record, scene):
            return False
        asking = partial(disuse.is_withdrawn, machine, record.subnqn, record.portals)
        if not await self._operations.run(record.volume_id, ("withdrawn", record.subnqn), asking):
            return False
        if self._due(record.subnqn, _patience(record)):
            work = partial(unstaging.take_off_forgotten, machine, record)
            await self._operations.run(record.volume_id, ("forgotten", record.subnqn), work)
            _log.warning("stage.forgotten", volume=record.volume_id, path=record.staging_target_path, outcome="off")
        return True

    async def _orphan(self, subnqn: str, numbers: Sequence[Number]) -> bool:
        machine = self._machine
        with machine.leaving_of(subnqn):
            if await self._claimed(subnqn) or await disuse.find_users_of(machine, subnqn, numbers):
                return False
            if not await disuse.is_withdrawn(machine, subnqn):
                return False
            if not self._due(subnqn):
                return True
            if await disuse.find_users_of(machine, subnqn, numbers):
                return False
            await machine.host.disconnect(subnqn)
        _log.warning("connection.orphaned", subnqn=subnqn, outcome="disconnected")
        return True

    def _due(self, subnqn: str, patience: float = 0) -> bool:
        now = trio.current_time()
        return now - self._withdrawn.setdefault(subnqn, now) >= max(self._after, patience)

    def _ours(self, subnqn: str) -> bool:
        slot = names.slot_of_subnqn(subnqn) or ""
        return names.slot_of_cluster(slot, names.KIND_VOLUME, self._machine.cluster_id)

    async def _busy(self, volume_id: str) -> bool:
        """Tell whether any operation of a volume is open. Recovery settles it first."""
        return any(
            volume_id in (one.subject, one.request.get("volume_id"))
            for one in await self._machine.journal.open_operations()
        )

    async def _claimed(self, subnqn: str) -> bool:
        """Tell whether somebody stages this epoch by now: the intent or the record comes before the connection."""
        if any(record.subnqn == subnqn for record in await self._machine.journal.stages()):
            return True
        return any(one.request.get("subnqn") == subnqn for one in await self._machine.journal.open_operations())


def _patience(record: StageRecord) -> float:
    """For how long the kernel tries a lost path of this volume, where its class has it try longer than usual."""
    tuned = wishes.of_record(record).tuning.ctrl_loss_tmo
    return tuned if tuned > DEFAULT_TUNING.ctrl_loss_tmo else 0

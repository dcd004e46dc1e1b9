"""Settling what an earlier start, a lost reply or a caller who went away has left open on this node.

At the start: after a reboot nothing is staged and no number is valid, whatever the records say; and device nodes that
outlived their device go before anything is connected.

Then in rounds, each open operation by itself: unstage, unpublish and expand are carried out; stage and publish are
finished when all of it is seen to be there, else they wait for their caller. When nobody comes back within the patience
they are taken off again. What cannot be settled stays open, is told, and stands in the way of its own volume only.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import trio

from rdscsi import names
from rdscsi.errors import Abandoned, Busy, DeviceUnavailable, DriverError, JournalFailed, NotFinal, OperationPending
from rdscsi.journal import Operation, OperationRecord, changes
from rdscsi.node import expansion, nodes, publishing, staging, unstaging
from rdscsi.node.machine import EXPAND, PUBLISH, STAGE, UNPUBLISH, UNSTAGE, Machine
from rdscsi.observe import logs
from rdscsi.operations import Operations

PATIENCE_SECONDS = 600.0
"""How long a half-made stage or publish waits for its caller; kubelet's longest pause between calls is 2 minutes."""

ROUND_SECONDS = 60.0

_BOOT = "node.boot"

_log = logs.get_log()


async def begin(machine: Machine) -> None:
    """Do what must be done before anything is staged here. Quick, local, and safe to repeat."""
    boot = await machine.host.boot_id()
    rebooted = await machine.journal.get_meta(_BOOT) != boot
    await nodes.remove_stale(machine, rebooted=rebooted)
    if rebooted:
        gone = [
            replace(record, state="unstaging", identity="", updated_at=machine.now())
            for record in await machine.journal.stages()
        ]
        await machine.journal.commit(*map(changes.put_stage, gone), changes.put_meta(_BOOT, boot))


class Recovery:
    """Settles the open operations of one node."""

    def __init__(self, *, machine: Machine, operations: Operations) -> None:
        self._machine = machine
        self._operations = operations
        self._started = trio.current_time()
        self._wanted: dict[str, float] = {}

    def wanted(self, volume_id: str) -> None:
        """Take down that a caller asked for something of this volume: the patience begins anew."""
        self._wanted[volume_id] = trio.current_time()

    async def run(self) -> None:
        """Settle in rounds until cancelled, and tell once what is connected and nobody's."""
        await self.settle_all()
        await self._tell_orphans()
        while True:
            await trio.sleep(ROUND_SECONDS)
            await self.settle_all()

    async def settle_all(self) -> int:
        """Try every open operation once; return how many stay open."""
        left = 0
        for operation in await self._machine.journal.open_operations():
            left += not await self._settled(operation)
        return left

    async def _settled(self, operation: OperationRecord) -> bool:
        if operation.kind not in (*_CARRIED_OUT, *_COMPLETE):
            _log.warning("not settled", kind=operation.kind, subject=operation.subject, reason="of another version")
            return False
        volume_id = str(operation.request.get("volume_id", operation.subject))
        work = partial(self._settle, operation, volume_id)
        try:
            await self._operations.run(volume_id, ("settle", operation.id), work)
        except Busy:
            return False  # its caller is at it
        except JournalFailed:
            raise
        except NotFinal as error:
            _log.warning("not settled", kind=operation.kind, subject=operation.subject, reason=str(error))
            return False
        except DriverError as error:  # final: the operation was closed as refused by it
            _log.info("settled", kind=operation.kind, subject=operation.subject, outcome=str(error))
        return True

    async def _settle(self, found: OperationRecord, volume_id: str) -> None:
        """Adopt the operation, unless it was closed since it was found, and do what is left of it."""
        machine = self._machine
        now = await machine.journal.operation_record(found.id)
        if now is None or now.state != "open":
            return
        complete = found.kind in _CARRIED_OUT or await _COMPLETE[found.kind](machine, found)
        waited = trio.current_time() - self._wanted.get(volume_id, self._started)
        if not complete and waited < PATIENCE_SECONDS:
            raise OperationPending(f"{found.subject}: half made; its caller has not come back yet")
        async with machine.journal.operation(found.kind, found.subject, found.request) as operation:
            if complete:
                await (_CARRIED_OUT | _REALISED)[found.kind](machine, operation)
            else:
                error = Abandoned(f"{found.subject}: nobody asked for it again within {PATIENCE_SECONDS:g} s")
                await _UNDONE[found.kind](machine, operation, error)

    async def _tell_orphans(self) -> None:
        """Tell what is connected of this cluster without a record. It is left alone: someone may use it unseen."""
        known = {record.subnqn for record in await self._machine.journal.stages()}
        try:
            connected = await self._machine.host.connected(f"{names.NQN_PREFIX}:")
        except DeviceUnavailable as error:
            _log.warning("connections unknown", reason=str(error))
            return
        for subnqn in connected:
            slot = names.slot_of_subnqn(subnqn) or ""
            if subnqn not in known and names.slot_of_cluster(slot, names.KIND_VOLUME, self._machine.cluster_id):
                _log.warning("connection.orphaned", subnqn=subnqn, remedy="unstage the volume, or nvme disconnect")


_Way = Callable[[Machine, Operation], Awaitable[object]]

_CARRIED_OUT: dict[str, _Way] = {
    UNSTAGE: unstaging.carry_out,
    UNPUBLISH: publishing.carry_out_unpublish,
    EXPAND: expansion.carry_out,
}
_COMPLETE: dict[str, Callable[[Machine, OperationRecord], Awaitable[bool]]] = {
    STAGE: staging.is_complete,
    PUBLISH: publishing.is_complete,
}
_REALISED: dict[str, _Way] = {STAGE: staging.carry_out, PUBLISH: publishing.carry_out_publish}
_UNDONE: dict[str, Callable[[Machine, Operation, DriverError], Awaitable[None]]] = {
    STAGE: staging.undo,
    PUBLISH: publishing.undo_publish,
}

"""The watch: every minute each staged volume is looked at; what changed is told, and a path that was lost is put back.

A path (a connection to one of several portals) that the kernel has given up comes back by nobody else: the volume works
on, and the next failure would stop it. A volume without any path, or with a filesystem that an error has stopped, is
left to the next stage, which takes the stale mount off when its pods have left; meanwhile it is told why it stands.
"""

from functools import partial

import trio

from rdscsi.errors import Busy, DeviceUnavailable, DriverError, JournalFailed, NotFinal, NotFound, ShuttingDown
from rdscsi.journal import OperationRecord, StageRecord
from rdscsi.model import HealthProblem, StorageProblem, VolumeHealth
from rdscsi.node import disuse, health, storage, wishes
from rdscsi.node.health import EXPORT_WITHDRAWN, PORTAL_UNREACHABLE, inaccessible
from rdscsi.node.machine import STAGE, Machine
from rdscsi.observe import logs
from rdscsi.operations import Operations

WATCH_SECONDS = 60.0

_AT_ONCE = 8

_log = logs.get_log()


class Watch:
    """Watches the volumes of one node."""

    def __init__(self, *, machine: Machine, operations: Operations) -> None:
        self._machine = machine
        self._operations = operations
        self._told: dict[str, tuple[HealthProblem, ...]] = {}
        self._answers: dict[str, HealthProblem] = {}
        self._silent: dict[str, str] = {}
        self._limit = trio.CapacityLimiter(_AT_ONCE)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look once at every staged volume."""
        records = [one for one in await self._machine.journal.stages() if one.state == "staged"]
        for gone in self._told.keys() - {one.volume_id for one in records}:
            del self._told[gone]
        self._silent.clear()
        self._answers = {one.volume_id: old for one in records if (old := self._answers.get(one.volume_id))}
        async with trio.open_nursery() as nursery:
            for record in records:
                nursery.start_soon(self._watch, record)

    async def health(self, volume_id: str) -> VolumeHealth:
        """Tell what is wrong with a volume now, and what a portal last said where no path carries I/O.

        Raises NotFound when this node knows nothing of it, and DeviceUnavailable when it cannot be looked at.
        """
        machine = self._machine
        slot = machine.find_slot(volume_id)
        record = await machine.journal.stage(volume_id) if slot else None
        if record is not None and record.state == "staged":
            return VolumeHealth(volume_id, self._with_answer(record, await health.problems_of(machine, record)))
        tried = next((one for one in await machine.journal.open_operations() if _stages(one, volume_id)), None)
        if tried is not None:
            why = (inaccessible(health.NOT_STAGED, tried.error),) if tried.error else ()
            return VolumeHealth(volume_id, why)
        if record is None and (slot is None or not await machine.path_numbers(slot)):
            raise NotFound(f"volume {volume_id} is not on this node")
        return VolumeHealth(volume_id)

    async def storage_health(self) -> tuple[StorageProblem, ...]:
        """Tell which portals cannot be reached, by the volumes that are staged. See `rdscsi.node.storage`."""
        records = [one for one in await self._machine.journal.stages() if one.state == "staged"]
        return await storage.problems(self._machine, records, self._answers)

    async def _watch(self, record: StageRecord) -> None:
        try:
            async with self._limit:
                problems = await health.problems_of(self._machine, record)
                await self._ask(record, problems)
                if any(one.reason == health.PATH_MISSING for one in problems):
                    await self._put_back(record)
        except JournalFailed:
            raise
        except DriverError as error:
            _log.warning("volume.not_watched", volume=record.volume_id, reason=str(error))
            return
        except Exception as error:  # noqa: BLE001 - nobody asked, and a bug would end the node's process again and again
            _log.error("watch.bug", volume=record.volume_id, exc_info=error)
            return
        self._tell(record.volume_id, self._with_answer(record, problems))

    def _with_answer(self, record: StageRecord, problems: tuple[HealthProblem, ...]) -> tuple[HealthProblem, ...]:
        answer = self._answers.get(record.volume_id)
        cut_off = any(one.reason in health.CUT_OFF for one in problems)
        return (*problems, answer) if answer is not None and cut_off else problems

    async def _ask(self, record: StageRecord, problems: tuple[HealthProblem, ...]) -> None:
        """Find out why no path carries I/O: the portals are silent, or say that this epoch is withdrawn."""
        self._answers.pop(record.volume_id, None)
        if not any(one.reason in health.CUT_OFF for one in problems):
            return
        try:
            if silent := self._silent.get(record.portals):  # no answer takes long, and it is the same for all of them
                raise DeviceUnavailable(silent)
            asking = partial(disuse.is_withdrawn, self._machine, record.subnqn, record.portals)
            withdrawn = await self._operations.run(record.volume_id, ("withdrawn", record.subnqn), asking)
        except JournalFailed:
            raise
        except (Busy, ShuttingDown):
            return
        except NotFinal as error:
            self._silent[record.portals] = str(error)
            self._answers[record.volume_id] = inaccessible(PORTAL_UNREACHABLE, str(error))
            return
        if withdrawn:
            message = f"{record.subnqn} is not offered to this node any more"
            self._answers[record.volume_id] = inaccessible(EXPORT_WITHDRAWN, message)

    async def _put_back(self, record: StageRecord) -> None:
        work = partial(self._connect, record)
        try:
            await self._operations.run(record.volume_id, ("paths", record.subnqn), work)
        except Busy:
            return  # whoever is at it looks after the paths, or takes them off
        except DeviceUnavailable as error:
            _log.info("path.not_restored", volume=record.volume_id, reason=str(error))

    async def _connect(self, record: StageRecord) -> None:
        """Connect through the portals that are missing, unless the volume is not what it was when it was looked at."""
        machine = self._machine
        controllers = await machine.host.controllers(record.subnqn)
        if await machine.journal.stage(record.volume_id) != record or not any(one.live for one in controllers):
            return
        wish = wishes.of_record(record)
        await machine.host.connect(machine.connection(record.subnqn, wish.portals, wish.tuning))
        left = await health.find_missing(machine, record, await machine.host.controllers(record.subnqn))
        if not left:
            _log.warning("path.restored", volume=record.volume_id, subnqn=record.subnqn)

    def _tell(self, volume_id: str, problems: tuple[HealthProblem, ...]) -> None:
        """Log what is new and what is over."""
        before = {(one.status, one.reason) for one in self._told.get(volume_id, ())}
        now = {(one.status, one.reason) for one in problems}
        for one in problems:
            if (one.status, one.reason) not in before:
                _log.warning(
                    "volume.unhealthy",
                    volume=volume_id,
                    status=one.status.value,
                    reason=one.reason,
                    detail=one.message,
                )
        for status, reason in sorted(before - now, key=lambda pair: pair[1]):
            _log.info("volume.recovered", volume=volume_id, status=status.value, reason=reason)
        self._told[volume_id] = problems


def _stages(operation: OperationRecord, volume_id: str) -> bool:
    return operation.kind == STAGE and operation.subject == volume_id

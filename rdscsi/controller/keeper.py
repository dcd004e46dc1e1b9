"""The controller's background work: take the token, take inventories, repair what they find, settle what is open.

One task, one loop, in this order each time, because each step rests on the one before (laws 5, 8 and 13). A reboot of
the appliance or the loss of the token starts it anew at once. Only settings that are proven wrong end it (law 9).
"""

from functools import partial
from typing import NoReturn

import trio

from rdscsi.controller import repairs
from rdscsi.controller.backend import Backend, log
from rdscsi.controller.evidence import Claims
from rdscsi.controller.inventory import Inventory, Repair
from rdscsi.controller.leadership import lead
from rdscsi.controller.settling import AT_ONCE, Settling
from rdscsi.controller.unnamed import Unnamed
from rdscsi.errors import DriverError, SettingsInvalid, Superseded
from rdscsi.journal import changes, records
from rdscsi.operations import Operations


class Keeper:
    """Keeps one backend in order."""

    def __init__(
        self, *, backend: Backend, settling: Settling, operations: Operations, claims: Claims | None = None
    ) -> None:
        self._backend = backend
        self._settling = settling
        self._operations = operations
        self._inventory = Inventory(backend)
        self._unnamed = Unnamed(backend, claims)
        self._noted: str | None = None

    async def run(self, *, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Keep order until cancelled. Raises SettingsInvalid, and Superseded when this journal must be put aside."""
        task_status.started()
        told = ""
        while True:
            news = self._backend.fresh_news()
            try:
                pause, told = await self._round(), ""
                await self._note("")
            except (SettingsInvalid, Superseded):
                raise
            except DriverError as error:
                pause = self._backend.options.retry_every
                self._backend.lost_sight(str(error))
                if str(error) != told:
                    told = str(error)
                    log.warning("the appliance cannot be looked through now", reason=told, retry_s=pause)
                await self._note(f"{type(error).__name__}: {told}")
            with trio.move_on_after(pause):
                await news.wait()

    async def _note(self, reason: str) -> None:
        """Keep for people, in the journal, what all work waits for, since when; empty: for nothing."""
        journal = self._backend.journal
        if self._noted is None:
            self._noted = await journal.get_meta(records.WAITS_META) or ""
        since, _, former = self._noted.partition(" ")
        if reason != former:
            since = since if former and reason else f"{self._backend.now():.0f}"
            self._noted = f"{since} {reason}" if reason else ""
            journal.note(changes.put_meta(records.WAITS_META, self._noted))

    async def _round(self) -> float:
        """Do everything once; return the seconds until the next time."""
        backend, options = self._backend, self._backend.options
        backend.require_lease()
        if backend.device.marker is None:
            backend.unlearn("the controller is taking the token")
            await lead(backend)
        boots = backend.reboots
        found = await self._inventory.take()
        if boots != backend.reboots:
            return 0.0
        backend.learned()
        if backend.device.settled_in("") > 0 and (found or await backend.journal.open_operations()):
            # Nothing can be changed before. What was seen until then would be looked at again, slot by slot.
            await backend.device.wait_settled("")
            return 0.0
        if not found:
            await self._inventory.in_order()
        left = await self._repair_all(found)
        left += await self._settling.settle_all()
        await self._unnamed.mark()
        return options.retry_every if left else options.refresh_every

    async def _repair_all(self, found: list[Repair]) -> int:
        """Carry out repairs side by side; return how many have to be tried again."""
        left = 0
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def repair(one: Repair) -> None:
            nonlocal left
            async with limiter:
                left += not await self._repaired(one)

        async with trio.open_nursery() as nursery:
            for one in found:
                nursery.start_soon(repair, one)
        return left

    async def _repaired(self, found: Repair) -> bool:
        work = partial(repairs.repair, self._backend, found)
        try:
            await self._operations.run(self._backend.volume_id(found.slot), ("repair", found), work)
        except DriverError as error:
            log.warning("not repaired", slot=found.slot, finding=found.verdict.value, reason=str(error))
            return False
        log.info("repaired", slot=found.slot, finding=found.verdict.value)
        return True

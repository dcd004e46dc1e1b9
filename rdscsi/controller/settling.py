"""Finishing what an earlier start, a lost reply or a caller who went away has left open in the journal.

Deletes, publishes, unpublishes, expansions and repairs are carried out as their intent says. A create, of a volume or a
snapshot, waits for its caller, whose retry resumes it; when nobody comes back within `abandon_after` s, what is half
made is erased, and what is ready as `abandoning` says.
Whatever cannot be settled now stays open, is seen in the journal, and stands in the way of its own volume only.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from rdscsi.controller import (
    abandoning,
    creation,
    deletion,
    expansion,
    importing,
    overtaken,
    repairs,
    snapshot_creation,
    snapshot_deletion,
)
from rdscsi.controller.backend import Backend, log
from rdscsi.controller.evidence import Claims
from rdscsi.controller.publications import PUBLISH, UNPUBLISH, Publications
from rdscsi.controller.requests import Requests
from rdscsi.errors import Abandoned, DriverError, NotFinal
from rdscsi.journal import NoLongerOpen, Operation, OperationRecord
from rdscsi.operations import Operations

AT_ONCE = 16
"""Operations that are settled side by side: more than the appliance takes connections, so that none of them idles while
others wait for the journal's disk, which takes the commits of all who wait at once.
"""

Carry = Callable[[Operation], Awaitable[object]]


class Settling:
    """Settles the open operations of one backend, in rounds."""

    def __init__(
        self,
        *,
        backend: Backend,
        publications: Publications,
        operations: Operations,
        claims: Claims | None = None,
    ) -> None:
        self._backend = backend
        self._claims = claims
        self._operations = operations
        self._started = trio.current_time()
        self._wanted: dict[str, float] = {}
        self._told: dict[str, str] = {}
        ways: Mapping[str, Carry] = {
            deletion.KIND: partial(deletion.carry_out, backend),
            expansion.KIND: partial(expansion.carry_out, backend),
            importing.KIND: partial(importing.carry_out, backend),
            snapshot_deletion.KIND: partial(snapshot_deletion.carry_out, backend),
            snapshot_deletion.ERASE: partial(snapshot_deletion.carry_out_erase, backend),
            repairs.KIND: partial(repairs.carry_out, backend),
            repairs.ERASE: partial(repairs.carry_out, backend),
            PUBLISH: publications.carry_out_publish,
            UNPUBLISH: publications.carry_out_unpublish,
        }
        wishes = Requests(
            backend=backend,
            published=publications,
            operations=operations,
            settle=self._carry_out,
            ways=ways,
            claims=claims,
        )
        self._ways = {**ways, **wishes.ways}

    def wanted(self, volume_id: str) -> None:
        """Take down that a caller asked for this volume to be created: its patience begins anew."""
        self._wanted[volume_id] = trio.current_time()

    async def settle_all(self) -> int:
        """Try every operation that is open and not worked on; return how many are left that somebody must try again."""
        found = await self._backend.journal.open_operations()
        left = 0
        self._told = {one.id: self._told[one.id] for one in found if one.id in self._told}
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def settle(operation: OperationRecord) -> None:
            nonlocal left
            async with limiter:
                left += not await self._settled(operation)

        async with trio.open_nursery() as nursery:
            for operation in found:
                nursery.start_soon(settle, operation)
        return left

    async def _settled(self, operation: OperationRecord) -> bool:
        way = await self._way(operation)
        if way is None:
            return False
        work = partial(self._carry_out, operation, way)
        try:
            await self._operations.run(operation.subject, ("settle", operation.id), work)
        except NotFinal as error:
            self._tell(operation, str(error))
            return False
        except DriverError as error:  # final: the operation was closed as refused by it
            log.info("settled", kind=operation.kind, subject=operation.subject, outcome=str(error))
            return True
        log.info("settled", kind=operation.kind, subject=operation.subject, outcome="done")
        return True

    def _tell(self, operation: OperationRecord, reason: str) -> None:
        """Log why an operation stays open, once until that changes."""
        if self._told.get(operation.id) != reason:
            self._told[operation.id] = reason
            log.warning("not settled", kind=operation.kind, subject=operation.subject, reason=reason)

    async def _way(self, operation: OperationRecord) -> Carry | None:
        if operation.kind not in (creation.KIND, snapshot_creation.KIND):
            return self._ways.get(operation.kind)
        record = await self._backend.journal.volume(operation.subject)
        if record is not None and record.state == "deleting":
            return self._abandon  # given up before, and its caller is kept waiting until it is gone
        asked_at = max(self._started, self._wanted.get(operation.subject, self._started))
        if trio.current_time() - asked_at < self._backend.options.abandon_after:
            return None
        return self._abandon

    async def _carry_out(self, found: OperationRecord, way: Carry) -> None:
        """Adopt the operation, unless it was closed since it was found, and do what is left of it."""
        self._backend.require_inventory()
        with contextlib.suppress(NoLongerOpen):
            async with self._backend.journal.adoption(found) as operation:
                if not await overtaken.closed(self._backend, operation):
                    await way(operation)

    async def _abandon(self, operation: Operation) -> None:
        patience = self._backend.options.abandon_after
        error = Abandoned(f"{operation.subject}: nobody asked for it again within {patience:g} s")
        try:
            if operation.kind == snapshot_creation.KIND:
                await snapshot_creation.undo(self._backend, operation, error)
            else:
                await abandoning.abandon(self._backend, self._claims, operation, error)
        except abandoning.StillClaimed:
            self.wanted(operation.subject)  # a claim counts as a question, and is looked for again when that is old
            raise
        self._wanted.pop(operation.subject, None)

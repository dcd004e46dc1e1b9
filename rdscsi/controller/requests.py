"""What a person asks for on the command line, carried out by the controller that runs (`rdscsi.journal.asking`).

A wish is an operation of the journal under a subject of its own. What it does to a volume it does as that volume's one
operation, so it waits while another is at it. It ends as done or refused, with the reason; while it cannot be carried
out (the appliance is away) it stays open and is tried again in each round, like everything else that is open.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial

from rdscsi.controller import creation, deletion, importing, publications, snapshot_creation, snapshot_resolving
from rdscsi.controller.backend import Backend
from rdscsi.controller.erasing import buried, own_tag
from rdscsi.controller.evidence import Claims
from rdscsi.controller.publications import Publications
from rdscsi.errors import Abandoned, DriverError, NotFinal, NotFound, NotPermittedNow
from rdscsi.journal import Operation, OperationRecord, SnapshotRecord, VolumeRecord, asking, changes
from rdscsi.journal.records import UNCLAIMED_META
from rdscsi.operations import Operations
from rdscsi.tags import never_let_in, parse_tag

ACCEPT, RESTORE, FORGET = HOW = ("accept", "restore", "forget")
"""How a quarantine is resolved: by what the appliance shows, by what the record says, or by dropping the record."""

Carry = Callable[[Operation], Awaitable[object]]
Settle = Callable[[OperationRecord, Carry], Awaitable[None]]


class Requests:
    """Carries out wishes. `settle` takes up an open operation in the way that `ways` says for its kind."""

    def __init__(
        self,
        *,
        backend: Backend,
        published: Publications,
        operations: Operations,
        settle: Settle,
        ways: Mapping[str, Carry],
        claims: Claims | None = None,
    ) -> None:
        self._claims = claims
        self._backend = backend
        self._published = published
        self._operations = operations
        self._settle = settle
        self._settling_ways: Mapping[str, Carry] = {
            **ways,
            creation.KIND: partial(creation.carry_out, backend),
            snapshot_creation.KIND: partial(snapshot_creation.carry_out, backend),
        }
        wishes = {
            asking.RETRY: self._retry,
            asking.ABANDON: self._abandon,
            asking.RESOLVE: self._resolve,
            asking.REVOKE: self._revoke,
            asking.IMPORT: self._import,
        }
        self.ways: Mapping[str, Carry] = {kind: partial(_ended, way) for kind, way in wishes.items()}

    async def _retry(self, wish: Operation) -> None:
        """Take up what is open for the volume once more, now. A create is finished without its caller."""
        found = await self._open(wish)
        if found is None:
            await wish.finish(outcome="nothing is open for this volume any more")
            return
        try:
            await self._settled(found, self._settling_ways[found.kind])
        except NotFinal as error:
            await wish.finish(outcome=f"tried; {found.kind} {found.id} is still open: {error}")
            return
        await self._told(wish, found)

    async def _abandon(self, wish: Operation) -> None:
        """Erase what an unfinished create has made, without waiting for its caller any longer; or what is unclaimed."""
        found = await self._open(wish)
        if found is None and await self._unclaimed(asking.volume_of(wish.subject)):
            await self._delete(wish)
        elif found is None:
            await wish.finish(outcome="nothing is open for this volume any more")
        elif found.kind not in (creation.KIND, snapshot_creation.KIND):
            raise NotPermittedNow(f"{found.kind} {found.id} is finished, never given up halfway")
        else:
            await self._settled(found, partial(self._undo, wish))
            await self._told(wish, found)

    async def _unclaimed(self, volume_id: str) -> bool:
        """Tell whether a volume was kept though nobody asked for it, and nobody was let in to it since."""
        journal = self._backend.journal
        record = await journal.volume(volume_id)
        if record is None or record.state != "ready" or not never_let_in(record.tag):
            return False
        return await journal.get_meta(UNCLAIMED_META + record.backing) is not None

    async def _delete(self, wish: Operation) -> None:
        """Delete it, as DeleteVolume does. A mark may be of before somebody made a PersistentVolume of it."""
        volume_id = asking.volume_of(wish.subject)
        if self._claims is not None and await self._claims.named([volume_id]):
            raise NotPermittedNow("a PersistentVolume names it: delete that, or its claim")
        await wish.step("delete", volume_id)
        await self._next(volume_id, deletion.KIND, partial(deletion.delete, self._backend, volume_id))
        await wish.finish(outcome="nobody had claimed it; it is deleted")

    async def _undo(self, wish: Operation, create: Operation) -> None:
        undo = snapshot_creation.undo if create.kind == snapshot_creation.KIND else creation.undo
        await undo(self._backend, create, Abandoned(f"{create.subject}: a person gave it up ({wish.id})"))

    async def _revoke(self, wish: Operation) -> None:
        """Cut a node (empty: every node) off, as an unpublish does; the next publish begins a new epoch."""
        volume_id, node_id = asking.volume_of(wish.subject), str(wish.request["node"])
        await wish.step("cut", node_id or "every node")
        work = partial(self._published.unpublish, volume_id, node_id)
        await self._next(volume_id, ("unpublish", node_id), work)
        await wish.finish(outcome=f"{node_id or 'every node'} is cut off; the next publish begins a new epoch")

    async def _import(self, wish: Operation) -> None:
        """Make somebody else's file disk a volume. See `importing.adopt`."""
        from_slot, path = str(wish.request["from"]), str(wish.request["path"])
        await wish.step("import", from_slot)
        work = partial(importing.adopt, self._backend, from_slot, path)
        volume = await self._operations.run(asking.volume_of(wish.subject), (importing.KIND, from_slot, path), work)
        await wish.finish(outcome=f"{volume.volume_id}, {volume.capacity_bytes} bytes")

    async def _resolve(self, wish: Operation) -> None:
        await self._next(asking.volume_of(wish.subject), ("request", wish.id), partial(self._resolved, wish))

    async def _resolved(self, wish: Operation) -> None:
        journal, about, how = self._backend.journal, asking.volume_of(wish.subject), str(wish.request["how"])
        record = await journal.volume(about) or await journal.snapshot(about)
        if record is None:
            raise NotFound("the journal has no record of this volume or snapshot")
        if not record.quarantine:
            await wish.finish(outcome="it is not quarantined any more; nothing was done")
            return
        await wish.step(how, record.quarantine)
        if isinstance(record, SnapshotRecord):
            await snapshot_resolving.resolve(self._backend, wish, record, how)
        elif how == FORGET:
            await self._forget(wish, record)
        else:
            await self._believe(wish, record, restored=how == RESTORE)

    async def _believe(self, wish: Operation, record: VolumeRecord, *, restored: bool) -> None:
        """End the quarantine of a volume that is there: the record follows the appliance, or the other way round."""
        backend = self._backend
        entry = await backend.look_at(record.slot, record.backing)
        if own_tag(record, entry) is None or record.backing not in entry.backings:
            raise NotPermittedNow(f"the slot {record.slot} does not hold this volume's item together with its file")
        if restored:
            if parse_tag(record.tag) is None:
                raise NotPermittedNow("the record holds no tag that could be put back")
            entry = await publications.restore(backend, record)
        seen = backend.seen(record, entry)
        after = replace(backend.described(record, seen.tag, seen.item), quarantine="")
        await wish.finish(changes.put_volume(after), outcome=f"the quarantine is over; {seen.tag.state.value}")

    async def _forget(self, wish: Operation, record: VolumeRecord) -> None:
        """Drop the record of a volume of which nothing is left, and what is open for it.

        What comes back is erased only if that was decided before: the volume was being deleted.
        """
        backend = self._backend
        entry = await backend.look_at(record.slot, record.backing)
        if own_tag(record, entry) is not None or record.backing in entry.backings:
            raise NotPermittedNow(f"something of the volume is still there: its item in {record.slot}, or its file")
        stone = buried(backend, record, parse_tag(record.tag)) if record.state == "deleting" else None
        await wish.finish(
            changes.supersede(record.volume_id, f"{wish.kind} {wish.id}", at=backend.now()),
            changes.drop_volume(record.volume_id, stone),
            outcome="forgotten",
        )
        backend.catalogue.forget(record.slot)

    async def _next(self, volume_id: str, fingerprint: Hashable, work: Callable[[], Awaitable[None]]) -> None:
        """Do this as the volume's next operation: what is stuck is tried so often that no round would find a gap."""
        await self._operations.wait_idle(volume_id)
        await self._operations.run(volume_id, fingerprint, work)

    async def _settled(self, found: OperationRecord, way: Carry) -> None:
        """Take an open operation up, or join the round that is at it now: this round may have begun with it."""
        await self._operations.run(found.subject, ("settle", found.id), partial(self._settle, found, way))

    async def _open(self, wish: Operation) -> OperationRecord | None:
        about = asking.volume_of(wish.subject)
        found = [one for one in await self._backend.journal.open_operations() if one.subject == about]
        return found[0] if found and found[0].kind in self._settling_ways else None

    async def _told(self, wish: Operation, found: OperationRecord) -> None:
        after = await self._backend.journal.operation_record(found.id)
        ended = f"{after.state}: {after.outcome or after.error}" if after is not None else "gone from the history"
        await wish.finish(outcome=f"{found.kind} {found.id} is {ended}")


async def _ended(way: Carry, wish: Operation) -> None:
    """Carry out a wish; a final no closes it as refused."""
    try:
        await way(wish)
    except NotFinal:
        raise
    except DriverError as error:
        await wish.fail(error)

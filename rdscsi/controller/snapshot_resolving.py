"""Ending the quarantine of a snapshot when a person says how (`rdscsi journal resolve`). Only the record changes.

Nothing is sent to the appliance but a look: a snapshot's subvolume is never written to, so there is nothing that could
be put back.
"""

from dataclasses import replace

from rdscsi.controller.backend import Backend
from rdscsi.controller.snapshot_creation import leaf_of, look, tombstone
from rdscsi.errors import NotPermittedNow
from rdscsi.journal import Operation, SnapshotRecord, changes
from rdscsi.routeros.answers import Answer, Leaf
from rdscsi.routeros.calendar import seconds_since_epoch

ACCEPT, FORGET = "accept", "forget"


async def resolve(backend: Backend, wish: Operation, record: SnapshotRecord, how: str) -> None:
    """Accept the subvolume that is there as this snapshot, or forget a snapshot of which nothing is there.

    What is forgotten and comes back is erased only if the snapshot was being deleted.

    Raises NotPermittedNow where what is there speaks against it, or there is no such way for a snapshot.
    """
    if how not in (ACCEPT, FORGET):
        raise NotPermittedNow(f"a snapshot holds nothing that could be put back; {ACCEPT} or {FORGET} it")
    answer = await look(backend, record)
    leaf = leaf_of(record, answer)
    if how == ACCEPT:
        await _accept(backend, wish, record, answer, _fit(record, leaf))
        return
    if leaf is not None:
        raise NotPermittedNow(f"its subvolume {record.leaf} is still there")
    stone = tombstone(backend, record) if record.state == "deleting" else None
    await wish.finish(
        changes.supersede(record.snapshot_id, f"{wish.kind} {wish.id}", at=backend.now()),
        changes.drop_snapshot(record.snapshot_id, stone),
        outcome="forgotten",
    )
    backend.catalogue.snapshots.release(record.slot)


async def _accept(backend: Backend, wish: Operation, record: SnapshotRecord, answer: Answer, leaf: Leaf) -> None:
    after = replace(
        record,
        uuid=leaf.uuid,
        created_at=seconds_since_epoch(leaf.created, answer.facts.get("gmt-offset", "")),
        quarantine="",
        updated_at=backend.now(),
    )
    await wish.finish(changes.put_snapshot(after), outcome=f"the quarantine is over; {record.leaf} is the snapshot")


def _fit(record: SnapshotRecord, leaf: Leaf | None) -> Leaf:
    if leaf is None:
        raise NotPermittedNow(f"its subvolume {record.leaf} is not on the appliance")
    if not leaf.read_only:
        raise NotPermittedNow(
            f"its subvolume {record.leaf} can be written to; if nobody did: "
            f'/disk/btrfs/subvolume/set [find name="{record.leaf}"] read-only=yes, and the quarantine ends by itself'
        )
    return leaf

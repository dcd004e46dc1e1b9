"""Comparing all that is recorded with all that the appliance shows (laws 5, 9 and 13).

One answer tells of every slot. Slots for which a line was sent meanwhile are left out: that line's answer is newer.
What needs a change on the appliance is only put on hold here; `repairs` makes it.
"""

from collections import defaultdict
from dataclasses import dataclass, replace

from rdscsi import names
from rdscsi.controller.backend import Backend, log
from rdscsi.controller.boots import Boots
from rdscsi.controller.judgement import Facts, Judgement, Verdict, judge, shown_import
from rdscsi.controller.snapshot_inventory import SnapshotInventory
from rdscsi.journal import Change, changes
from rdscsi.routeros.answers import Answer
from rdscsi.tags import parse_tag

REPAIRS = frozenset({Verdict.RESTORE, Verdict.ADD_AGAIN, Verdict.ADD_OR_MAKE, Verdict.MAKE_AGAIN, Verdict.ERASE})


@dataclass(frozen=True, slots=True)
class Repair:
    """Work that an inventory has found; `backings` are the backing objects to be erased, for ERASE only.

    For a snapshot's slot they are the whole names of its subvolumes. `reason` says what differs, for people.
    """

    slot: str
    verdict: Verdict
    backings: tuple[str, ...] = ()
    reason: str = ""


class Inventory:
    """Takes inventories of one backend, and knows what the last one left to repair."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._boots = Boots(backend)
        self._snapshots = SnapshotInventory(backend)
        self._told: dict[str, str] = {}

    async def take(self) -> list[Repair]:
        """Look at everything, correct the records, and return what the appliance needs.

        Raises NotFinal when the appliance cannot be seen as a whole.
        """
        backend = self._backend
        before = backend.catalogue.versions()
        snapshots_before = self._snapshots.begin()
        answer = await backend.device.inventory()
        facts = await self._facts_after(answer, rebooted=await self._boots.changed(answer))
        after = backend.catalogue.versions()
        untouched = [one for one in facts if before.get(one.slot, 0) == after.get(one.slot, 0)]
        judged = [(one, judge(one)) for one in untouched]
        corrections = [change for one, judgement in judged for change in self._correct(one, judgement)]
        # Between the judging and here nothing was awaited, so no line can have come between.
        for one, judgement in judged:
            self._keep(one, judgement)
        if corrections:
            await backend.journal.commit(*corrections)
        found = [repair for one, judgement in judged if (repair := _repair(one, judgement)) is not None]
        returned = await self._snapshots.take(answer, snapshots_before)
        return [*found, *(Repair(slot, Verdict.ERASE, leaves) for slot, leaves in returned.items())]

    async def in_order(self) -> None:
        """Take down that the last inventory found nothing to repair: until the next reboot the appliance is right.

        Repairs alone do not tell: the loss of one volume may hide behind what came back in its slot.
        """
        await self._boots.keep()

    async def _facts_after(self, answer: Answer, *, rebooted: bool) -> list[Facts]:
        backend = self._backend
        backend.space.saw(answer.pool)
        journal = backend.journal
        records = {record.slot: record for record in await journal.volumes()}
        busy = {operation.subject for operation in await journal.open_operations()}
        buried: dict[str, set[str]] = defaultdict(set)
        for stone in await journal.tombstones():
            buried[stone.slot].add(stone.backing)
        items = {item.slot: answer.disk(item.slot) for item in answer.disks}
        for tag in (parse_tag(record.tag) for record in records.values()):
            backend.remember_path(tag)
        backings = _backings(answer)
        for item in answer.disks:
            backend.remember_path(parse_tag(item.comment))
            if imported := shown_import(item):
                backings[item.slot] = backings.get(item.slot, frozenset()) | {imported}
        seen_before = {entry.slot for entry in backend.catalogue}
        return [
            Facts(
                slot=slot,
                record=records.get(slot),
                item=items.get(slot),
                backings=backings.get(slot, frozenset()),
                buried=frozenset(buried.get(slot, ())),
                open_operation=backend.volume_id(slot) in busy,
                rebooted=rebooted,
            )
            for slot in sorted({*records, *items, *backings, *seen_before})
        ]

    def _correct(self, facts: Facts, judgement: Judgement) -> list[Change]:
        record, backend = facts.record, self._backend
        quarantine = judgement.reason if judgement.verdict is Verdict.QUARANTINE else ""
        if record is None:
            if facts.item is None or facts.tag is None or judgement.verdict not in (Verdict.LEARN, Verdict.QUARANTINE):
                return []
            return [changes.add_volume(backend.record_of(facts.slot, facts.tag, facts.item, quarantine=quarantine))]
        if judgement.verdict is Verdict.LEARN:
            assert facts.item is not None
            assert facts.tag is not None
            learned = backend.described(record, facts.tag, facts.item)
            if record.backing != facts.tag.operation:
                named = backend.record_of(facts.slot, facts.tag, facts.item)
                learned = replace(named, csi_name=record.csi_name)
            return [changes.amend_volume(record, replace(learned, quarantine=""))]
        if quarantine == record.quarantine or (judgement.verdict is Verdict.UNFINISHED and record.quarantine):
            return []
        return [changes.amend_volume(record, replace(record, quarantine=quarantine, updated_at=backend.now()))]

    def _keep(self, facts: Facts, judgement: Judgement) -> None:
        catalogue = self._backend.catalogue
        entry = catalogue.saw(facts.slot, facts.item)
        catalogue.saw_backings(facts.slot, facts.backings)
        # A line whose outcome nobody knows may still act there: what was seen then is good for judging, not for trust.
        entry.suspect = self._backend.device.settled_in(facts.slot) > 0
        entry.hold = judgement.verdict.value if judgement.verdict in REPAIRS else ""
        if facts.item is None and facts.record is None and not facts.backings:
            catalogue.forget(facts.slot)
        self._tell(facts, judgement)

    def _tell(self, facts: Facts, judgement: Judgement) -> None:
        """Log each finding about a slot once, until it changes or is over."""
        strays = facts.backings - facts.buried - ({facts.record.backing} if facts.record else set())
        if facts.tag is not None:
            strays -= {facts.tag.operation}
        ordinary = judgement.verdict in (Verdict.FINE, Verdict.UNFINISHED) and not strays
        if ordinary or (judgement.verdict is Verdict.NOBODYS and facts.item is None and not strays):
            self._told.pop(facts.slot, None)
            return
        finding = f"{judgement.verdict.name} {judgement.reason} {sorted(strays)}"
        if self._told.get(facts.slot) == finding:
            return
        self._told[facts.slot] = finding
        log.warning(
            "inventory",
            slot=facts.slot,
            finding=judgement.verdict.value,
            reason=judgement.reason,
            unknown_files=sorted(strays),
        )


def _repair(facts: Facts, judgement: Judgement) -> Repair | None:
    if judgement.verdict in REPAIRS:
        backings = (facts.tag.operation,) if judgement.verdict is Verdict.ERASE and facts.tag is not None else ()
        return Repair(facts.slot, judgement.verdict, backings, judgement.reason)
    if returned := _returned_files(facts):
        return Repair(facts.slot, Verdict.ERASE, returned)
    return None


def _returned_files(facts: Facts) -> tuple[str, ...]:
    """Backing objects of deleted volumes that are there again, without an item that uses them."""
    return tuple(sorted(facts.backings & facts.buried)) if facts.tag is None else ()


def _backings(answer: Answer) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for leaf in answer.leaves:
        backing = names.parse_backing(leaf.name)
        if backing is not None:
            found[backing.slot].add(backing.operation)
    return {slot: frozenset(operations) for slot, operations in found.items()}

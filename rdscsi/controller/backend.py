"""What every operation of the controller works with: the appliance, the journal, what was seen, what may be given."""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
import trio

from rdscsi import names
from rdscsi.controller.catalogue import Catalogue, Entry
from rdscsi.controller.options import ControllerOptions
from rdscsi.controller.snapshot_survey import SnapshotSurvey
from rdscsi.controller.space import Space
from rdscsi.errors import (
    Fenced,
    InvalidRequest,
    InventoryIncomplete,
    NotFound,
    OperationPending,
    Quarantined,
    StandingBy,
    UnexpectedAnswer,
)
from rdscsi.journal import Journal, VolumeRecord
from rdscsi.journal.records import VolumeState
from rdscsi.names import Backing, ImportedBacking
from rdscsi.operations import Operations
from rdscsi.routeros.answers import Answer, DiskItem
from rdscsi.routeros.device import Device
from rdscsi.tags import Tag, TagState, render_tag

log = structlog.get_logger()

STATES: dict[TagState, VolumeState] = {
    TagState.CREATING: "creating",
    TagState.READY: "ready",
    TagState.DELETING: "deleting",
}


class Lease(Protocol):
    """Who may lead, where the cluster decides that; `rdscsi.kube.lease.Lease` is one."""

    @property
    def held(self) -> bool:
        """Tell whether this controller may lead in this moment, without asking anybody."""
        ...

    @property
    def told(self) -> str:
        """Say what is known of the Lease, for people."""
        ...

    def watch(self, changed: Callable[[], None]) -> None:
        """Have this called whenever the Lease was won or lost."""
        ...

    async def confirm(self) -> int:
        """Prove that it is held; return the number of the term. Raises StandingBy or ClusterUnavailable."""
        ...


@dataclass(slots=True)
class Seen:
    """A volume's item and tag, both proven to be this record's."""

    item: DiskItem
    tag: Tag


class Backend:
    """One appliance under one journal. Methods raise what `rdscsi.errors` says; nothing here knows CSI's wire."""

    def __init__(
        self,
        *,
        device: Device,
        journal: Journal,
        operations: Operations,
        options: ControllerOptions,
        lease: Lease | None = None,
        now: Callable[[], float] = time.time,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.device = device
        self.lease = lease
        self.journal = journal
        self.operations = operations
        self.options = options
        self.now = now
        self.entropy = entropy
        self.catalogue = Catalogue()
        self.snapshot_survey = SnapshotSurvey(device, options.cluster_id)
        self.space = Space(reserve_bytes=options.reserve_bytes, overcommit=options.overcommit)
        self.imported: dict[str, str] = {}
        """The paths of imported volumes by the operations that imported them; complete whenever the inventory is."""
        self.complete = False
        self.why_incomplete = "the appliance has not been looked through yet"
        self.out_of_sight = ""
        self.reboots = 0
        self._news = trio.Event()
        self._cut_at: dict[str, float] = {}
        self._upheaval_at = trio.current_time()
        device.on_reboot = self._rebooted
        device.on_fenced = self._fenced
        device.may_act = self.require_inventory
        if lease is not None:
            lease.watch(self._lease_changed)

    # --- who and whose

    def slot(self, csi_name: str) -> str:
        """The slot of the volume with that CSI name."""
        return names.slot(names.KIND_VOLUME, self.options.cluster_id, csi_name)

    def volume_id(self, slot: str) -> str:
        """The CSI volume id of a slot on this backend."""
        return names.volume_id(self.options.backend, slot)

    def own_slot(self, volume_id: str) -> str | None:
        """The slot that an id names; None for an id that this driver cannot have handed out.

        Raises InvalidRequest for an id of another backend or cluster: nothing may be told or done about it here.
        """
        parsed = names.parse_volume_id(volume_id)
        if parsed is None:
            return None
        if parsed.backend != self.options.backend:
            raise InvalidRequest("volume_id", volume_id, f"this controller serves the backend {self.options.backend!r}")
        if not names.slot_of_cluster(parsed.slot, names.KIND_VOLUME, self.options.cluster_id):
            raise InvalidRequest("volume_id", volume_id, "the volume of another cluster is never touched")
        return parsed.slot

    def require_inventory(self) -> None:
        """Raise Fenced or InventoryIncomplete unless this controller may act and knows what there is."""
        self.require_lease()
        if self.device.fenced:
            raise Fenced("another controller holds the token on the appliance; this one stands by")
        if not self.complete:
            raise InventoryIncomplete(self.why_incomplete)

    @property
    def leads(self) -> bool:
        """Tell whether this controller may lead as far as the Lease goes; without one it may."""
        return self.lease is None or self.lease.held

    def require_lease(self) -> None:
        """Raise StandingBy unless the Lease, where there is one, is held in this moment."""
        if self.lease is not None and not self.lease.held:
            raise StandingBy(f"{self.lease.told}; this controller stands by")

    def learned(self) -> None:
        """Take in that an inventory is complete."""
        self.complete = True
        self.out_of_sight = ""

    def lost_sight(self, why: str) -> None:
        """Take down that the last round could not look the appliance through: what is remembered grows old."""
        self.why_incomplete = self.out_of_sight = why

    def unlearn(self, why: str) -> None:
        """Act no more before the next inventory (law 13)."""
        self.complete = False
        self.why_incomplete = why

    def cut_off(self, slot: str) -> None:
        """Take down that the export of a slot was switched off now, or was found off after the line that cuts."""
        self._cut_at[slot] = trio.current_time()

    def cuts_hold_at(self, slot: str) -> float:
        """Return when a power loss can no longer bring back whoever was cut off this slot last (law 8).

        What was cut before the last reboot or move of the token counts from there: nobody here has seen it done.
        """
        return max(self._cut_at.get(slot, self._upheaval_at), self._upheaval_at) + self.options.flush_delay

    def upheaval(self) -> None:
        """Take down a reboot of the appliance, or a move of the token."""
        self._upheaval_at = trio.current_time()

    def fresh_news(self) -> trio.Event:
        """Return the event that the next reboot or loss of the token sets."""
        self._news = trio.Event()
        return self._news

    def _rebooted(self) -> None:
        self.reboots += 1
        self.upheaval()
        self.unlearn("the appliance has rebooted and is being looked through again")
        log.warning("the appliance has rebooted", slot=self.device.settings.pool_slot)
        self._news.set()

    def _lease_changed(self) -> None:
        """Stop at once when the Lease is lost; whichever it was, the keeper begins anew."""
        if not self.leads:
            self.device.step_down()
            self.unlearn("the Lease was lost")
        self._news.set()

    def _fenced(self) -> None:
        log.warning("the token is lost", backend=self.options.backend)
        self._news.set()

    # --- looking

    async def look_at(self, slot: str, operation: str = "") -> Entry:
        """Observe one slot afresh, and the backing object of one create in it.

        An absence counts only when no line of the past can still act there.
        """
        backing = self.backing_of(slot, operation) if operation else None
        touched = self.catalogue.entry(slot).touched
        answer = await self.device.observe(slot, backing)
        if answer.disk(slot) is None and self.device.settled_in(slot) > 0:
            await self.device.wait_settled(slot)
            answer = await self.device.observe(slot, backing)
        entry = self.catalogue.entry(slot)
        if entry.touched != touched:
            raise OperationPending(f"{slot}: another operation came between the look and its answer")
        return self._saw(slot, answer, backing)

    async def entry(self, slot: str) -> Entry:
        """Return what is known of a slot, observing it first when that is in doubt."""
        entry = self.catalogue.entry(slot)
        return await self.look_at(slot) if entry.suspect else entry

    async def act(self, slot: str, line: Callable[[], Awaitable[Answer]], backing: Backing | None = None) -> Entry:
        """Send a line for a slot and keep what it shows; the slot is in doubt in between.

        `backing`: the line tells whether this backing object is there.
        """
        self.catalogue.doubt(slot)
        return self._saw(slot, await line(), backing)

    def _saw(self, slot: str, answer: Answer, backing: Backing | None) -> Entry:
        self.space.saw(answer.pool)
        if backing is not None:
            there = any(leaf.name == backing.leaf(btrfs=self.device.place.btrfs) for leaf in answer.leaves)
            self.catalogue.saw_backing(slot, backing.operation, there=there)
        return self.catalogue.saw(slot, answer.disk(slot))

    async def known(self, volume_id: str, slot: str) -> VolumeRecord:
        """Return the record of a volume that may be worked with.

        Raises NotFound when it is proven absent, Quarantined when a person must look first, OperationPending while
        it is being restored after a loss.
        """
        record = await self.journal.volume(volume_id)
        if record is None:
            entry = await self.look_at(slot)
            if entry.item is None and not entry.backings:
                self.catalogue.forget(slot)
                raise NotFound(f"volume {volume_id} does not exist")
            if entry.item is None:
                raise Quarantined(
                    f"{volume_id}: no record knows it, and the appliance holds a file of that name: "
                    f"{slot}.{min(entry.backings)}; the next inventory judges it"
                )
            raise Quarantined(
                f"{volume_id}: the slot {slot} is taken by an item that no record knows; the next inventory judges it"
            )
        self.refuse_held(record)
        return record

    def refuse_held(self, record: VolumeRecord) -> None:
        """Raise Quarantined or OperationPending for a volume that nothing may be done with now."""
        if record.quarantine:
            raise Quarantined(f"{record.volume_id}: {record.quarantine}")
        if hold := self.catalogue.entry(record.slot).hold:
            raise OperationPending(f"{record.volume_id}: {hold}")

    def seen(self, record: VolumeRecord, entry: Entry) -> Seen:
        """Return item and tag as this record's own.

        Raises Quarantined when the slot holds something else, or nothing.
        """
        if entry.item is None:
            raise Quarantined(f"{record.volume_id}: its item is gone from the appliance; the next inventory judges it")
        if entry.tag is None or entry.tag.operation != record.backing:
            raise Quarantined(
                f"{record.volume_id}: the item in slot {record.slot} is not this volume's: {entry.item.comment!r}"
            )
        return Seen(entry.item, entry.tag)

    # --- writing down

    def backing(self, record: VolumeRecord) -> Backing:
        """Where the record's create keeps its file."""
        return self.backing_of(record.slot, record.backing)

    def backing_of(self, slot: str, operation: str) -> Backing:
        """Where the create of that id keeps its file, or the import found it."""
        path = self.imported.get(operation)
        return ImportedBacking(slot, operation, path) if path else Backing(slot, operation)

    def remember_path(self, tag: Tag | None) -> None:
        """Take down where the file of an imported volume is, if the tag is of one."""
        if tag is not None and tag.path:
            self.imported[tag.operation] = tag.path

    def described(self, record: VolumeRecord, tag: Tag, item: DiskItem | None = None) -> VolumeRecord:
        """Return the record as it reads after a tag was proven on the appliance."""
        return replace(
            record,
            tag=render_tag(tag),
            state=STATES[tag.state],
            capacity_bytes=item.size if item is not None else record.capacity_bytes,
            ever_published=record.ever_published or tag.publication is not None,
            updated_at=self.now(),
        )

    def record_of(self, slot: str, tag: Tag, item: DiskItem, *, quarantine: str = "") -> VolumeRecord:
        """Return a record made from the tag alone: what a rebuilt journal knows. The CSI name is not in the tag."""
        return VolumeRecord(
            volume_id=self.volume_id(slot),
            backend=self.options.backend,
            slot=slot,
            csi_name="",
            backing=tag.operation,
            capacity_bytes=item.size,
            state=STATES[tag.state],
            tag=render_tag(tag),
            ever_published=tag.publication is not None or not tag.blank,
            quarantine=quarantine,
            updated_at=self.now(),
        )

    def expect(self, condition: bool, what: str, entry: Entry) -> None:
        """Raise UnexpectedAnswer, with what was seen, unless the line has led where it should."""
        if not condition:
            shown = entry.item if entry.item is not None else "no item"
            raise UnexpectedAnswer(f"slot {entry.slot} is not {what} after the line: {shown}")

"""What a difference between journal and appliance means, and what is to be done about it (laws 5, 9 and 13). Pure."""

import enum
from dataclasses import dataclass

from rdscsi import names
from rdscsi.journal import VolumeRecord
from rdscsi.routeros.answers import DiskItem
from rdscsi.tags import Tag, TagState, parse_tag

NOT_ADDED = "its item cannot be added again: "
"""How a reason goes on, behind LOST: the backing object is there, and the appliance refuses an item for its file."""

LOST = "lost: "
"""How a quarantine begins whose volume has nothing left on the appliance; such a volume may be deleted."""


class Verdict(enum.Enum):
    """What becomes of one slot after an inventory."""

    FINE = "as recorded"
    NOBODYS = "nothing of ours"
    LEARN = "the tag is newer than the record, or has none: the record follows it"
    UNFINISHED = "an open operation will settle it"
    RESTORE = "the appliance forgot a committed change: it is made again"
    ADD_AGAIN = "the item is gone and its file is there: it is added again"
    ADD_OR_MAKE = "the item is gone, and nobody ever had it: it is added again if its file is there, else made again"
    MAKE_AGAIN = "a power loss took all of it, and nobody ever had it: it is made again"
    ERASE = "a deleted volume is there again, or only half deleted: it is erased"
    QUARANTINE = "a person must look"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one slot. `backings` are the operation ids of its backing objects on the appliance.

    `buried` are the operation ids of creates under this slot that were deleted for good. `open_operation`: the journal
    holds an unfinished operation for the volume. `rebooted`: the appliance has, since this journal's last inventory
    that left nothing to repair; only then is a record worth more than what the appliance shows.
    """

    slot: str
    record: VolumeRecord | None
    item: DiskItem | None
    backings: frozenset[str]
    buried: frozenset[str]
    open_operation: bool
    rebooted: bool = False

    @property
    def tag(self) -> Tag | None:
        """The tag of the item, if it has one."""
        return parse_tag(self.item.comment) if self.item is not None else None

    def has_file(self, operation: str) -> bool:
        """Tell whether that create's backing object is there, and the item in the slot, if any, can use it."""
        return operation in self.backings and (self.item is None or self.item.block_device)


def shown_import(item: DiskItem) -> str:
    """Return the id of the import whose file this item shows to be there; empty for every other item.

    An imported file has no name of ours, so that its item is all that tells of it.
    """
    tag = parse_tag(item.comment)
    return tag.operation if tag is not None and tag.path == item.file_path and item.block_device else ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and the reason that a person reads: why a quarantine, or what differs from what was committed."""

    verdict: Verdict
    reason: str = ""

    def told(self, known: str = "") -> str:
        """Return it in words. A reason that is `known` already, of a quarantine, is not repeated."""
        if self.reason and self.reason == known:
            return f"{self.verdict.value}, as the quarantine says"
        return self.verdict.value + (f" ({self.reason})" if self.reason else "")


def judge(facts: Facts) -> Judgement:
    """Decide about one slot."""
    tag = facts.tag
    if tag is not None and _is_deleted(facts, tag):
        return Judgement(Verdict.ERASE)
    if facts.record is None:
        return _unknown(facts, tag)
    if facts.item is None:
        return _without_item(facts, facts.record)
    if tag is None or tag.operation != facts.record.backing:
        return _taken(facts, facts.record, facts.item)
    if facts.record.state == "ready" and facts.item.disabled:
        # What a disabled item shows of its file is no proof of a loss.
        return Judgement(Verdict.QUARANTINE, f"contradiction: its item is disabled; /disk/enable {facts.slot}")
    if facts.record.state == "ready" and not facts.has_file(tag.operation):
        return _without_file(facts, facts.record)
    return _compared(facts, facts.record, facts.item, tag)


def _is_deleted(facts: Facts, tag: Tag) -> bool:
    """A tombstone, or a deleting tag, is a decision that was made; any journal goes on with it."""
    if tag.operation in facts.buried:
        return True
    return tag.state is TagState.DELETING and not facts.open_operation


def _unknown(facts: Facts, tag: Tag | None) -> Judgement:
    if tag is None:
        return Judgement(Verdict.NOBODYS)
    if not facts.has_file(tag.operation):
        return Judgement(Verdict.QUARANTINE, f"{LOST}an item that no record knows, and its file is gone")
    return Judgement(Verdict.LEARN)


def _without_item(facts: Facts, record: VolumeRecord) -> Judgement:
    if record.state != "ready":
        return Judgement(Verdict.UNFINISHED)
    if record.backing in facts.backings and record.quarantine.startswith(LOST + NOT_ADDED):
        return Judgement(Verdict.QUARANTINE, record.quarantine)
    if record.backing in facts.backings:  # a subvolume; whether the file is in it, adding the item tells
        return Judgement(Verdict.ADD_OR_MAKE if _nobodys_yet(facts, record) else Verdict.ADD_AGAIN)
    committed = parse_tag(record.tag)
    if committed is not None and committed.path:
        # Nobody looks for the file of an imported volume but through its item.
        again = f"/disk/add type=file slot={facts.slot} file-path={committed.path} mount-filesystem=no"
        said = f'contradiction: its item is gone; if its file is there: {again} comment="{record.tag}"'
        return Judgement(Verdict.QUARANTINE, said)
    return _gone(facts, record, "neither its item nor its file is on the appliance any more")


def _without_file(facts: Facts, record: VolumeRecord) -> Judgement:
    return _gone(facts, record, "its file is not on the appliance any more")


def _gone(facts: Facts, record: VolumeRecord, what: str) -> Judgement:
    if _nobodys_yet(facts, record):
        return Judgement(Verdict.MAKE_AGAIN)
    return Judgement(Verdict.QUARANTINE, LOST + what)


def _nobodys_yet(facts: Facts, record: VolumeRecord) -> bool:
    """Tell whether what a power loss took of this volume is no loss: it may be made anew, empty as it was."""
    return facts.rebooted and not record.ever_published


def _taken(facts: Facts, record: VolumeRecord, item: DiskItem) -> Judgement:
    if record.state == "creating" and facts.open_operation:
        return Judgement(Verdict.UNFINISHED)
    tag = facts.tag
    if tag is not None and facts.has_file(tag.operation) and record.backing not in facts.backings:
        return Judgement(Verdict.LEARN)  # an old record: its volume was deleted, and one of that name made since
    return Judgement(
        Verdict.QUARANTINE, f"contradiction: the item in slot {facts.slot} bears another comment: {item.comment!r}"
    )


def _compared(facts: Facts, record: VolumeRecord, item: DiskItem, tag: Tag) -> Judgement:
    committed = parse_tag(record.tag)
    if committed is None:
        return Judgement(Verdict.UNFINISHED if facts.open_operation else Verdict.LEARN)
    if tag.generation < committed.generation and record.state == "ready":
        return Judgement(Verdict.RESTORE, f"its tag is of generation {tag.generation}, not {committed.generation}")
    if facts.open_operation:
        return Judgement(Verdict.UNFINISHED)
    if tag.generation > committed.generation:
        return Judgement(Verdict.LEARN)
    if tag != committed:
        return Judgement(Verdict.QUARANTINE, f"contradiction: the tag was changed by hand to {item.comment!r}")
    difference = from_tag(item, tag)
    return Judgement(Verdict.RESTORE, difference) if difference else Judgement(Verdict.FINE)


def from_tag(item: DiskItem, tag: Tag) -> str:
    """Say in what export, NQN or size of an item differ from what its tag says; empty when in nothing."""
    if tag.state is not TagState.READY:
        return ""
    if item.size < tag.size_bytes:
        return f"it has {item.size} bytes, not {tag.size_bytes}"
    if not tag.active_nodes:
        return f"it is exported as {item.nvme_tcp_server_nqn}, and published to nobody" if item.nvme_tcp_export else ""
    assert tag.publication is not None
    nodes = ", ".join(node.node for node in tag.active_nodes)
    subnqn = names.subnqn(item.slot, tag.publication.epoch)
    if not item.nvme_tcp_export:
        return f"its export is off, and it is published to {nodes}"
    if item.nvme_tcp_server_nqn != subnqn:
        return f"it is exported as {item.nvme_tcp_server_nqn}, and published to {nodes} as {subnqn}"
    return ""

"""`rdscsi journal explain`: what is the matter with one volume, in words. Pure: a reading and a look in, sentences out.

The judgement about the appliance is the driver's own (`rdscsi.controller.judgement`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field

from rdscsi import names
from rdscsi.cli import figures, journal_snapshots
from rdscsi.cli.journal_view import NEEDS_A_LOOK, UNKNOWN_ID, waiting
from rdscsi.cli.sight import Sight
from rdscsi.controller.judgement import LOST, Facts, judge
from rdscsi.controller.snapshot_inventory import SnapshotFacts
from rdscsi.journal import OperationRecord, SnapshotRecord, StageRecord, VolumeRecord, asking
from rdscsi.journal.reading import RUNS_NOW, Reading, Situation
from rdscsi.journal.records import Unclaimed
from rdscsi.observe.lines import one_line
from rdscsi.routeros.answers import DiskItem
from rdscsi.tags import Tag, parse_tag

CREATES = ("create", "create-snapshot")
CONTROLLER_KINDS = (
    *CREATES,
    *("delete", "publish", "unpublish", "expand", "restore", "erase", "adopt"),
    *("delete-snapshot", "erase-snapshot"),
)
"""Operations of the controller half, which alone takes up what a person asks for."""

_STATUS = {"nothing known": UNKNOWN_ID, "as it should be": 0, "gone": 0}


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known about one subject. `operation` is what is open for it, `wish` what a person asked for.

    `unclaimed` says why a volume that nobody asked for any more was kept, and since when.
    """

    subject: str
    now: float
    situation: Situation
    record: VolumeRecord | None
    snapshot: SnapshotRecord | None
    stage: StageRecord | None
    operation: OperationRecord | None
    wish: OperationRecord | None
    deleted_at: float | None
    buried: frozenset[str]
    sight: Sight
    abandon_after: float
    unclaimed: Unclaimed | None = None

    @property
    def state(self) -> str:
        """The matter in a word or two."""
        if self.operation is not None:
            return f"{self.operation.kind} is open"
        kept = self.record or self.snapshot
        if kept is not None and kept.quarantine:
            return "quarantined"
        if self.wish is not None:
            return f"{self.wish.kind} is asked for"
        if self.unclaimed is not None:
            return "claimed by nobody"
        if kept is not None or self.stage is not None:
            return "as it should be"
        return "gone" if self.deleted_at is not None else "nothing known"

    @property
    def status(self) -> int:
        """The exit status."""
        return _STATUS.get(self.state, NEEDS_A_LOOK)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a person reads: labelled sentences, then commands that may help, each with what it does."""

    case: Case
    told: list[tuple[str, str]] = field(default_factory=list)
    help: list[tuple[str, str]] = field(default_factory=list)

    def document(self) -> Mapping[str, object]:
        """The same for machines."""
        return {
            "subject": self.case.subject,
            "state": self.case.state,
            "told": [{"about": about, "text": text} for about, text in self.told],
            "commands": [{"command": command, "does": does} for command, does in self.help],
            "volume": asdict(self.case.record) if self.case.record is not None else None,
            "snapshot": asdict(self.case.snapshot) if self.case.snapshot is not None else None,
            "operation": asdict(self.case.operation) if self.case.operation is not None else None,
            "wish": asdict(self.case.wish) if self.case.wish is not None else None,
        }


def collect(reading: Reading, what: str, sight: Sight, *, now: float, abandon_after: float) -> Case:
    """Gather what the journal knows of an operation's id, its subject or a volume id."""
    found = reading.operations_about(what, limit=1)
    subject = asking.volume_of(found[0].subject) if found else what
    wishes = reading.operations_about(asking.subject_about(subject), limit=1)
    about = reading.operations_about(subject, limit=1)
    stones = [stone for stone in reading.tombstones() if stone.volume_id == subject]
    return Case(
        subject=subject,
        now=now,
        situation=reading.situation,
        record=reading.volume(subject),
        snapshot=reading.snapshot(subject),
        stage=reading.stage(subject),
        operation=_open(about),
        wish=_open(wishes),
        deleted_at=stones[-1].deleted_at if stones else None,
        buried=frozenset(stone.backing for stone in stones),
        sight=sight,
        abandon_after=abandon_after,
        unclaimed=next((one for one in reading.unclaimed() if one.volume_id == subject), None),
    )


def explain(case: Case) -> Explanation:
    """Put it into words."""
    made = Explanation(case)
    made.told.extend((about, one_line(text)) for about, text in _told(case))
    made.help.extend(_help(case))
    return made


def _open(found: list[OperationRecord]) -> OperationRecord | None:
    return found[0] if found and found[0].state == "open" else None


def _told(case: Case) -> Iterator[tuple[str, str]]:
    if case.record is not None:
        yield "volume", _volume(case.record)
        if case.record.quarantine:
            yield "quarantine", case.record.quarantine
    elif case.snapshot is not None:
        yield "snapshot", _snapshot(case.snapshot)
        if case.snapshot.quarantine:
            yield "quarantine", case.snapshot.quarantine
    elif case.deleted_at is not None:
        about = "snapshot" if journal_snapshots.is_snapshot(case.subject) else "volume"
        yield about, f"deleted {figures.duration(case.now - case.deleted_at)} ago, and remembered as such"
    if case.unclaimed is not None:
        since = figures.duration(case.now - case.unclaimed.since)
        yield "claim", f"nobody asked for it any more, {since} ago; kept: {case.unclaimed.why}"
    if case.stage is not None:
        yield "stage", f"{case.stage.state}, {case.stage.access_type}, at {case.stage.staging_target_path}"
    for operation in filter(None, (case.operation, case.wish)):
        yield from _operation(case, operation)
    yield "driver", _driver(case)
    if names.parse_volume_id(case.subject) is not None:
        yield "appliance", "; ".join(_appliance(case))
    yield "next", _next(case)


def _volume(record: VolumeRecord) -> str:
    tag = parse_tag(record.tag)
    nodes = ", ".join(node.node for node in tag.active_nodes) if tag is not None else ""
    published = f"published to {nodes}" if nodes else "published to nobody"
    return (
        f"{record.csi_name or '(name not known)'}, {figures.size(record.capacity_bytes)}, {record.state}, {published}"
    )


def _snapshot(record: SnapshotRecord) -> str:
    size = figures.size(record.size_bytes)
    return f"{record.csi_name or '(name not known)'}, {size}, {record.state}, of {record.source_volume_id}"


def _operation(case: Case, operation: OperationRecord) -> Iterator[tuple[str, str]]:
    age, last = figures.duration(case.now - operation.opened_at), _last_attempt(operation)
    times = "once" if operation.attempts == 1 else f"{operation.attempts} times"
    tried = f"begun {times}, last heard of {figures.duration(case.now - last)} ago"
    yield "operation", f"{operation.kind} {operation.id}, asked for {age} ago, {tried}"
    if operation.last_step is not None:
        step = operation.last_step
        since = figures.duration(case.now - step.at)
        yield "command", f"{step.name} {step.detail}".rstrip() + f", {since} ago"
    if operation.error:
        yield "because", operation.error


def _last_attempt(operation: OperationRecord) -> float:
    return max([operation.opened_at, *(step.at for step in operation.steps)])


def _driver(case: Case) -> str:
    situation = case.situation
    if situation.held is False:
        return "no driver runs on this journal"
    if situation.waits:
        return waiting(situation, case.now)
    start = situation.incarnation
    since = f", since {figures.duration(case.now - start.started_at)} (start {start.id})" if start else ""
    return ("runs" if situation.held else "may run (that cannot be seen from here)") + since


def _appliance(case: Case) -> Iterator[str]:
    """Say what one look showed of the volume's slot, and what the driver's next inventory will make of it."""
    parsed = names.parse_volume_id(case.subject)
    assert parsed is not None, "asked for volume ids only"
    sight = case.sight
    if not sight.seen:
        yield sight.why_not
        return
    if journal_snapshots.is_snapshot(case.subject):
        yield from journal_snapshots.appliance(case.subject, case.snapshot, _leaves(case), _snapshot_facts(case))
        yield from _led(case)
        return
    item, backings = sight.items.get(parsed.slot), sight.backings.get(parsed.slot, frozenset())
    yield _item(item) if item is not None else f"no item in slot {parsed.slot}"
    yield f"file of create {', '.join(sorted(backings))}" if backings else "no file"
    facts = Facts(
        slot=parsed.slot,
        record=case.record,
        item=item,
        backings=backings,
        buried=case.buried,
        open_operation=case.operation is not None,
    )
    yield "judged: " + judge(facts).told(case.record.quarantine if case.record is not None else "")
    yield from _led(case)


def _leaves(case: Case) -> journal_snapshots.Leaves:
    return journal_snapshots.leaves(case.sight).get(case.subject.partition("/")[2], {})


def _snapshot_facts(case: Case) -> SnapshotFacts:
    busy = case.operation is not None
    return SnapshotFacts(case.subject.partition("/")[2], case.snapshot, _leaves(case), case.buried, busy)


def _led(case: Case) -> Iterator[str]:
    marker = case.sight.marker
    if marker is not None and marker.journal_id != case.situation.journal_id:
        yield f"led by another journal, {marker.journal_id}"


def _item(item: DiskItem) -> str:
    tag = parse_tag(item.comment)
    shown = _tag(tag) if tag is not None else f"comment {item.comment!r}"
    export = f"exported as {item.nvme_tcp_server_nqn}" if item.nvme_tcp_export else "export off"
    return f"item {shown}, {figures.size(item.size)}, {export}"


def _tag(tag: Tag) -> str:
    nodes = (
        ", ".join(f"{node.node} {node.state.name.lower()}" for node in tag.publication.nodes) if tag.publication else ""
    )
    return f"{tag.state.value}, generation {tag.generation}" + (f", nodes: {nodes}" if nodes else "")


def _next(case: Case) -> str:
    operation = case.operation or case.wish
    if operation is None:
        kept = case.record or case.snapshot
        if kept is not None and kept.quarantine:
            return "the driver leaves it alone and answers ABORTED until the contradiction is gone, or is resolved"
        return "it stays until somebody asks for it, or has it deleted" if case.unclaimed is not None else "nothing"
    said = case.situation.next(operation)
    if case.situation.held is False or case.situation.waits or said.startswith(RUNS_NOW):
        return said
    if operation.kind in CREATES:
        start = case.situation.incarnation
        asked = max(_last_attempt(operation), start.started_at if start is not None else 0.0)
        return f"{said}, at about {figures.moment(asked + case.abandon_after)}"
    return said


def _help(case: Case) -> Iterator[tuple[str, str]]:
    subject, operation = case.subject, case.operation
    if case.situation.held is False:
        yield "start the driver", "it takes up everything that is open"
    elif case.situation.waits.startswith("StandingBy"):
        yield "nothing", "it leads as soon as it has the Lease; kubectl get leases -A shows who has"
    elif case.situation.waits.startswith("Fenced"):
        yield "find the other controller", "two serve one cluster; this one stands by and changes nothing"
    elif case.situation.waits:
        yield "make the appliance reachable", "everything goes on by itself then"
    acts = case.situation.held is not False and not case.situation.waits
    waits = operation is not None and not case.situation.next(operation).startswith(RUNS_NOW)
    if operation is not None and operation.kind in CONTROLLER_KINDS and acts and waits:
        yield f"rdscsi journal retry {subject}", "try at once" + _retry_ends(operation)
        if operation.kind in CREATES:
            yield f"rdscsi journal abandon {subject}", "erase what is half made, now"
        if operation.kind in ("publish", "unpublish"):
            yield f"rdscsi publication revoke {subject}", "cut off whoever has it"
    if case.unclaimed is not None and operation is None:
        yield "kubectl get pv -o custom-columns=:.spec.csi.volumeHandle,:.metadata.name", "see that none names it"
        yield f"rdscsi journal abandon {subject}", "delete it, and what may be in it"
    if case.record is not None and case.record.quarantine:
        yield from _resolutions(case, case.record)
    if case.snapshot is not None and case.snapshot.quarantine:
        yield from journal_snapshots.resolutions(case.snapshot, _leaves(case))


def _retry_ends(operation: OperationRecord) -> str:
    return "; a create is finished without its caller" if operation.kind in CREATES else ""


def _resolutions(case: Case, record: VolumeRecord) -> Iterator[tuple[str, str]]:
    if record.quarantine.startswith(LOST):
        yield "kubectl delete pv/pvc, or", "DeleteVolume is allowed for what is lost"
        yield f"rdscsi journal resolve {record.volume_id} --forget", "drop the record; what comes back is not erased"
        return
    item = case.sight.items.get(record.slot)
    tag = parse_tag(item.comment) if item is not None else None
    if case.sight.seen and item is not None and (tag is None or tag.operation != record.backing):
        yield _put_back(record), "on the appliance: puts the comment back, if the item is this volume's"
        return
    yield f"rdscsi journal resolve {record.volume_id} --accept", "believe the appliance"
    yield f"rdscsi journal resolve {record.volume_id} --restore", "put back what the record says"


def _put_back(record: VolumeRecord) -> str:
    return f'/disk/set [find slot="{record.slot}"] comment="{record.tag}"'

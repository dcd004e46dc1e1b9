"""ControllerPublishVolume and ControllerUnpublishVolume: the only way in which a volume becomes reachable, or stops."""

from collections.abc import Mapping
from functools import partial

import trio

from rdscsi import names
from rdscsi.controller import fencing, overtaken
from rdscsi.controller.backend import Backend, Seen
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.evidence import NODE_META, Evidence, Witness
from rdscsi.errors import AlreadyExists, NotFound, NotPermittedNow, OperationPending, Refused
from rdscsi.journal import Json, Operation, VolumeRecord, changes
from rdscsi.model import AccessMode, AccessType, PublishContext, PublishRequest, VolumeCapability
from rdscsi.tags import NodeState, Tag, TaggedNode, TagState, hashed_node, parse_tag, render_tag

PUBLISH = overtaken.PUBLISH
UNPUBLISH = overtaken.UNPUBLISH
_LOOKS = 3


class Publications:
    """Publishes and unpublishes the volumes of one backend."""

    def __init__(self, backend: Backend, evidence: Evidence | None = None) -> None:
        self._backend = backend
        self._witness = Witness(backend, evidence)

    async def publish(self, request: PublishRequest) -> Mapping[str, str]:
        """Let a node reach a volume; return the publish_context, the same for as long as the node is in.

        Raises NotFound, AlreadyExists, NotPermittedNow or Refused with nothing changed; else NotFinal.
        """
        backend = self._backend
        slot = backend.own_slot(request.volume_id)
        if slot is None:
            raise NotFound(f"volume {request.volume_id} does not exist")
        if names.node_name(request.node_id) is None:
            raise NotFound(f"node {request.node_id} does not exist: NodeGetInfo of this driver hands out no such id")
        backend.require_inventory()
        record = await backend.known(request.volume_id, slot)
        await self._refuse_early(record, request)
        wanted = await overtaken.stamped(backend, record, PUBLISH, _intent(request))
        async with backend.journal.operation(
            PUBLISH, request.volume_id, wanted, supersedes=(UNPUBLISH, PUBLISH)
        ) as operation:
            return await self.carry_out_publish(operation)

    async def carry_out_publish(self, operation: Operation) -> Mapping[str, str]:
        """Let the node of the intent in."""
        backend, request = self._backend, _request(operation)
        record = await self._record(operation)
        seen = self._ready(record, await backend.entry(record.slot))
        try:
            admission = await self._admit(seen, request)
        except (AlreadyExists, NotPermittedNow):
            seen = self._ready(record, await backend.look_at(record.slot))
            admission = await self._admitted_or_closed(operation, record, seen, request)
        if admission.fresh:
            seen = await self._nobody_left(operation, record, seen, request.node_id)
        subnqn = names.subnqn(record.slot, admission.publication.epoch)
        await operation.step("export", f"{subnqn} for {request.node_id}")
        try:
            tag = overtaken.beyond(operation, admission.tag)
            entry = await self._export(record, seen.tag, tag, subnqn)
        except Refused as error:
            backend.catalogue.doubt(record.slot)
            await self._undo(operation, record, request.node_id, error)
            raise
        after = backend.seen(record, entry)
        exported = after.item.nvme_tcp_export and after.item.nvme_tcp_server_nqn == subnqn
        backend.expect(exported and after.tag == tag, f"exported as {subnqn}", entry)
        resolved = [changes.put_meta(NODE_META + hashed_node(request.node_id), request.node_id)]
        await operation.finish(
            changes.put_volume(backend.described(record, after.tag, after.item)), *resolved, outcome=subnqn
        )
        return names.render_publish_context(self._context(record, after.tag))

    async def unpublish(self, volume_id: str, node_id: str) -> None:
        """Cut a node (empty: every node) off. Success means that it is proven not to reach the volume."""
        backend = self._backend
        slot = backend.own_slot(volume_id)
        if slot is None:
            return
        backend.require_inventory()
        try:
            record = await backend.known(volume_id, slot)
        except NotFound:
            return
        wanted = await overtaken.stamped(backend, record, UNPUBLISH, {"node": node_id})
        async with backend.journal.operation(
            UNPUBLISH, volume_id, wanted, supersedes=(PUBLISH, UNPUBLISH), undoing=True
        ) as operation:
            await self.carry_out_unpublish(operation)

    async def carry_out_unpublish(self, operation: Operation) -> None:
        """Cut off the node of the intent, or prove that it is not in."""
        backend, node_id = self._backend, str(operation.request["node"])
        record = await self._record(operation)
        entry = await self._cut(operation, record, node_id)
        after = backend.seen(record, entry)
        await operation.finish(changes.put_volume(backend.described(record, after.tag, after.item)), outcome="cut off")

    async def _cut(self, operation: Operation, record: VolumeRecord, node_id: str) -> Entry:
        entry = await self._backend.entry(record.slot)
        for _ in range(_LOOKS):
            entry, done = await self._try_to_cut(operation, record, node_id, self._backend.seen(record, entry))
            if done:
                return entry
        raise OperationPending(f"{record.volume_id}: the tag in slot {record.slot} changes under the line")

    async def _try_to_cut(
        self, operation: Operation, record: VolumeRecord, node_id: str, seen: Seen
    ) -> tuple[Entry, bool]:
        """Cut a node off; return what is shown then, and whether it is as it was meant. Else the tag is another now."""
        backend = self._backend
        doubts = await self._witness.doubts_at_leaving(fencing.leaving(seen.tag, node_id), record.volume_id)
        tag = fencing.dismiss(seen.tag, node_id, filesystem_seen=bool(seen.item.fs), doubts=doubts)
        tag = overtaken.beyond(operation, tag or seen.tag)
        if tag == seen.tag and tag.active_nodes:
            # Others are in, this node is not. Proven by a look: memory may be of before a loss (law 7).
            entry = await backend.look_at(record.slot)
            return entry, entry.tag == seen.tag
        if tag.active_nodes:
            entry = await self._leave_beside(operation, record, seen.tag, tag)
            return entry, entry.tag == tag
        # Without anybody in, the line proves that nothing is exported, or cuts what is.
        await operation.step("cut", node_id or "every node")
        old, new = render_tag(seen.tag), render_tag(tag)
        line = partial(backend.device.unpublish, record.slot, old_tag=old, new_tag=new)
        entry = await backend.act(record.slot, line)
        after = backend.seen(record, entry)
        if after.tag != tag:
            return entry, False
        backend.expect(not after.item.nvme_tcp_export, "cut off", entry)
        backend.cut_off(record.slot)
        return entry, True

    async def _leave_beside(self, operation: Operation, record: VolumeRecord, old: Tag, new: Tag) -> Entry:
        """Take down that a node left while another one stays: the export stays, and nothing is cut off (law 8)."""
        assert new.publication is not None
        await operation.step("leave", f"exported on for {', '.join(node.node for node in new.active_nodes)}")
        return await self._export(record, old, new, names.subnqn(record.slot, new.publication.epoch))

    async def _export(self, record: VolumeRecord, old: Tag, new: Tag, subnqn: str) -> Entry:
        line = partial(
            self._backend.device.publish,
            record.slot,
            old_tag=render_tag(old),
            new_tag=render_tag(new),
            subnqn=subnqn,
            trsvcid=self._backend.options.portals[0].trsvcid,
        )
        return await self._backend.act(record.slot, line)

    async def _undo(self, operation: Operation, record: VolumeRecord, node_id: str, error: Refused) -> None:
        """The appliance refused a statement: cut off what the ones before it have let in, and close the operation."""
        entry = await self._cut(operation, record, node_id)
        seen = await self._outdated(operation, record, self._backend.seen(record, entry))
        await operation.fail(error, changes.put_volume(self._backend.described(record, seen.tag, seen.item)))

    async def _outdated(self, operation: Operation, record: VolumeRecord, seen: Seen) -> Seen:
        """Move the tag on to where an intent that is told to be refused can be recognised as overtaken (law 5).

        An old copy of the journal may hold it open, and would let the node in of whom nobody knows any more.
        """
        new = overtaken.outdated(operation, seen.tag)
        if new == seen.tag:
            return seen
        await operation.step("outdate", f"generation {new.generation}")
        if new.active_nodes:
            assert new.publication is not None
            subnqn = names.subnqn(record.slot, new.publication.epoch)
            entry = await self._export(record, seen.tag, new, subnqn)
        else:
            old, next_tag = render_tag(seen.tag), render_tag(new)
            line = partial(self._backend.device.unpublish, record.slot, old_tag=old, new_tag=next_tag)
            entry = await self._backend.act(record.slot, line)
        self._backend.expect(entry.tag == new, "tagged as the refused intent's end", entry)
        return self._backend.seen(record, entry)

    async def _refuse_early(self, record: VolumeRecord, request: PublishRequest) -> None:
        """Refuse before an intent is written. A final refusal is told from a fresh look alone (law 7)."""
        backend = self._backend
        try:
            await self._admit(self._ready(record, await backend.entry(record.slot)), request)
        except (AlreadyExists, NotPermittedNow):
            await self._admit(self._ready(record, await backend.look_at(record.slot)), request)

    async def _admitted_or_closed(
        self, operation: Operation, record: VolumeRecord, seen: Seen, request: PublishRequest
    ) -> fencing.Admission:
        """Admit the node, or close the intent: another one came in while nobody looked, and this one never was."""
        try:
            return await self._admit(seen, request)
        except (AlreadyExists, NotPermittedNow) as error:
            seen = await self._outdated(operation, record, seen)
            await operation.fail(error, changes.put_volume(self._backend.described(record, seen.tag, seen.item)))
            raise

    async def _nobody_left(self, operation: Operation, record: VolumeRecord, seen: Seen, node_id: str) -> Seen:
        """Law 8: after the set was empty, a new node waits until a power loss can no longer bring the old one back.

        What is exported to nobody's knowledge (a power loss brought it back, a person did it) is cut off first.
        """
        backend = self._backend
        exported = seen.item.nvme_tcp_export
        if exported:
            seen = backend.seen(record, await self._cut(operation, record, ""))
        if exported or fencing.strangers_left(seen.tag, node_id):
            while (holds_at := backend.cuts_hold_at(record.slot)) > trio.current_time():  # noqa: ASYNC110 - a cut moves it
                await trio.sleep_until(holds_at)
            backend.refuse_held(record)
        return seen

    async def _record(self, operation: Operation) -> VolumeRecord:
        record = await self._backend.journal.volume(operation.subject)
        if record is None:
            error = NotFound(f"volume {operation.subject} does not exist")
            await operation.fail(error)
            raise error
        return record

    def _ready(self, record: VolumeRecord, entry: Entry) -> Seen:
        seen = self._backend.seen(record, entry)
        if seen.tag.state is not TagState.READY or record.state != "ready":
            raise OperationPending(f"{record.volume_id} is {seen.tag.state.value}")
        committed = parse_tag(record.tag)
        if committed is not None and seen.tag.generation < committed.generation:
            raise OperationPending(
                f"{record.volume_id}: the appliance forgot a change of it, which is made again first"
            )
        return seen

    async def _admit(self, seen: Seen, request: PublishRequest) -> fencing.Admission:
        epoch = names.epoch(self._backend.entropy(10))
        publication = seen.tag.publication
        dirty = publication.dirty if publication is not None else ()
        return fencing.admit(
            seen.tag,
            request,
            epoch,
            filesystem_seen=bool(seen.item.fs),
            doubts=await self._witness.doubts(dirty, request.volume_id),
            cut_suffices=self._witness.cut_suffices,
        )

    def _context(self, record: VolumeRecord, tag: Tag) -> PublishContext:
        publication = tag.publication
        assert publication is not None
        return PublishContext(
            subnqn=names.subnqn(record.slot, publication.epoch),
            portals=self._backend.options.portals,
            format_permit=publication.epoch if publication.permit else "",
            readonly=publication.readonly,
        )


async def restore(backend: Backend, record: VolumeRecord, cut: str | None = None) -> Entry:
    """Bring tag and export of a volume back to what the journal committed, after the appliance forgot it (law 13).

    `cut`: the node (empty: every node) that was being cut off meanwhile. It is not let in again, and stays dirty, as
    nobody was asked whether it has stopped to write.
    """
    committed = parse_tag(record.tag)
    assert committed is not None, "only a committed tag is restored"
    seen = backend.seen(record, await backend.look_at(record.slot))
    wanted = committed if cut is None else _without(committed, cut, filesystem_seen=bool(seen.item.fs))
    old, new = render_tag(seen.tag), render_tag(wanted)
    if wanted.publication is not None and wanted.active_nodes:
        subnqn = names.subnqn(record.slot, wanted.publication.epoch)
        port = backend.options.portals[0].trsvcid
        line = partial(backend.device.publish, record.slot, old_tag=old, new_tag=new, subnqn=subnqn, trsvcid=port)
    else:
        line = partial(backend.device.unpublish, record.slot, old_tag=old, new_tag=new)
    entry = await backend.act(record.slot, line)
    backend.cut_off(record.slot)  # the line cuts whatever was exported under another NQN
    backend.expect(entry.tag == wanted, "tagged as the journal committed it", entry)
    return entry


def _without(committed: Tag, node_id: str, *, filesystem_seen: bool) -> Tag:
    doubts = {node.node: "nobody was asked" for node in fencing.leaving(committed, node_id)}
    return fencing.dismiss(committed, node_id, filesystem_seen=filesystem_seen, doubts=doubts) or committed


def active_node_ids(nodes: tuple[TaggedNode, ...], known: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ids of the nodes that a volume is published to; `known` resolves the short forms."""
    return tuple(known.get(node.node, node.node) for node in nodes if node.state is NodeState.PUBLISHED)


def _intent(request: PublishRequest) -> dict[str, Json]:
    return {
        "node": request.node_id,
        "type": request.capability.access_type.value,
        "mode": request.capability.access_mode.value,
        "readonly": request.readonly,
    }


def _request(operation: Operation) -> PublishRequest:
    wanted = operation.request
    capability = VolumeCapability(AccessType(wanted["type"]), AccessMode(wanted["mode"]))
    return PublishRequest(operation.subject, str(wanted["node"]), capability, readonly=bool(wanted["readonly"]))

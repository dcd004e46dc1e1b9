"""ListVolumes and ControllerGetVolume: what is recorded, with what the appliance was last seen to show.

A volume that is in doubt (a line for it is on its way) is told of by its committed tag. Volumes in the making or on
their way out are no volumes yet, or no more, and are not listed.
"""

from collections.abc import Mapping

from rdscsi import names
from rdscsi.controller import publications
from rdscsi.controller.backend import Backend
from rdscsi.controller.evidence import NODE_META
from rdscsi.errors import InvalidToken, NotFound
from rdscsi.journal import VolumeRecord
from rdscsi.model import Volume, VolumePage
from rdscsi.tags import Tag, TaggedNode, parse_tag

LARGEST_PAGE = 200
"""Entries: a longer page would hold up every other call of the process while it is encoded."""


async def page(backend: Backend, max_entries: int, starting_token: str) -> VolumePage:
    """Return one page, by volume id; a token is the last id of the page before.

    Raises InvalidToken, and Fenced or InventoryIncomplete rather than a partial list.
    """
    backend.require_inventory()
    check_token(backend, starting_token)
    size = min(max_entries or LARGEST_PAGE, LARGEST_PAGE)
    records = [
        record
        for record in await backend.journal.volumes()
        if record.state == "ready" and record.volume_id > starting_token
    ]
    shown = records[:size]
    known = await _known_nodes(backend, shown)
    volumes = tuple(_volume(backend, record, known) for record in shown)
    return VolumePage(volumes, shown[-1].volume_id if len(records) > size else "")


async def get(backend: Backend, volume_id: str) -> Volume:
    """Return one volume. Raises NotFound when it is proven absent, else NotFinal."""
    slot = backend.own_slot(volume_id)
    if slot is None:
        raise NotFound(f"volume {volume_id} does not exist")
    backend.require_inventory()
    record = await backend.journal.volume(volume_id)
    if record is None or record.state != "ready":
        record = await backend.known(volume_id, slot)
    return _volume(backend, record, await _known_nodes(backend, [record]))


def check_token(backend: Backend, token: str) -> None:
    """Raise InvalidToken for a token that no page of volumes ended with."""
    parsed = names.parse_volume_id(token)
    ours = parsed is not None and parsed.backend == backend.options.backend
    if token and not ours:
        raise InvalidToken(f"starting_token={token!r}: no token of this driver; list again from the start")


def _volume(backend: Backend, record: VolumeRecord, known: Mapping[str, str]) -> Volume:
    return Volume(
        volume_id=record.volume_id,
        capacity_bytes=record.capacity_bytes,
        published_node_ids=publications.active_node_ids(_nodes(backend, record), known),
        abnormal=record.quarantine or backend.catalogue.entry(record.slot).hold,
    )


def _nodes(backend: Backend, record: VolumeRecord) -> tuple[TaggedNode, ...]:
    tag = _tag(backend, record)
    return tag.publication.nodes if tag is not None and tag.publication is not None else ()


def _tag(backend: Backend, record: VolumeRecord) -> Tag | None:
    entry = backend.catalogue.entry(record.slot)
    if entry.suspect or entry.tag is None or entry.tag.operation != record.backing:
        return parse_tag(record.tag)
    return entry.tag


async def _known_nodes(backend: Backend, records: "list[VolumeRecord]") -> Mapping[str, str]:
    """Resolve the short forms of node ids, as far as this journal has met them."""
    short = {node.node for record in records for node in _nodes(backend, record) if node.node.startswith("#")}
    found = {one: await backend.journal.get_meta(NODE_META + one) for one in short}
    return {one: node_id for one, node_id in found.items() if node_id is not None}

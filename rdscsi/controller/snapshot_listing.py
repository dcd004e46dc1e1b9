"""ListSnapshots and GetSnapshot: what is recorded. A snapshot never changes, so that nothing has to be asked for it.

Snapshots in the making or on their way out are none yet, or no more, and are not told of.
"""

from rdscsi import names
from rdscsi.controller.backend import Backend
from rdscsi.controller.snapshot_creation import shown
from rdscsi.controller.snapshot_deletion import own_slot
from rdscsi.errors import InvalidToken, NotFound, OperationPending
from rdscsi.journal import SnapshotRecord
from rdscsi.model import Snapshot, SnapshotPage, SnapshotQuery

LARGEST_PAGE = 500


async def page(backend: Backend, query: SnapshotQuery) -> SnapshotPage:
    """Return one page, by snapshot id; a token is the last id of the page before.

    Raises InvalidToken, and Fenced or InventoryIncomplete rather than a partial list.
    """
    backend.require_inventory()
    _check_token(backend, query.starting_token)
    size = min(query.max_entries or LARGEST_PAGE, LARGEST_PAGE)
    found = [
        record
        for record in await backend.journal.snapshots()
        if record.snapshot_id > query.starting_token and _wanted(record, query)
    ]
    some = found[:size]
    return SnapshotPage(tuple(map(shown, some)), some[-1].snapshot_id if len(found) > size else "")


def _wanted(record: SnapshotRecord, query: SnapshotQuery) -> bool:
    return (
        record.state == "ready"
        and query.snapshot_id in ("", record.snapshot_id)
        and query.source_volume_id in ("", record.source_volume_id)
    )


def _check_token(backend: Backend, token: str) -> None:
    parsed = names.parse_volume_id(token)
    ours = parsed is not None and parsed.backend == backend.options.backend
    if token and not (ours and parsed is not None and parsed.slot.startswith(names.KIND_SNAPSHOT)):
        raise InvalidToken(f"starting_token={token!r}: no token of this driver; list again from the start")


async def get(backend: Backend, snapshot_id: str) -> Snapshot:
    """Return one snapshot. Raises NotFound when there is none, else NotFinal."""
    backend.require_inventory()
    known = own_slot(backend, snapshot_id) is not None
    record = await backend.journal.snapshot(snapshot_id) if known else None
    if record is None:
        raise NotFound(f"snapshot {snapshot_id} does not exist")
    if record.state != "ready":
        raise OperationPending(f"{snapshot_id} is {record.state}")
    return shown(record)

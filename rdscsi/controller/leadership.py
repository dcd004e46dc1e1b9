"""Who may act on the appliance: the marker and the controller token in it (laws 3, 4, 5 and 8).

The token moves at every start, so that lines of an earlier process fail their next check. Whose journal the marker
names decides the rest:

- no marker and nothing of ours on the appliance: a first start, or a power loss took all of it back; the marker is
  made, unless the journal knows another pool;
- no marker, but objects: made anew only by the journal that knows every one of them;
- this journal, or one whose token is older than ours (a power loss brought its marker back): the token moves on;
- another journal, and ours knows nothing: the other one was lost; a full take-over that assumes a line is still out;
- another journal, and ours knows things: somebody else leads, or did. Alone, this controller stands by and changes
  nothing. With the Lease, which somebody else held in between, this journal is put aside and the next start takes over.

With a Lease (docs/adr/0007) the token moves only after a renewal has proven, directly before, that it is held. The
number of the term is kept with the token: a token that moved although nobody else had the Lease since was moved by
somebody who does not go by this Lease, and taking it back would only begin a quarrel.
"""

from typing import NoReturn

import structlog

from rdscsi import names
from rdscsi.controller.backend import Backend
from rdscsi.controller.sources import snapshot_backing
from rdscsi.errors import DeviceUnavailable, Fenced, SettingsInvalid, Superseded
from rdscsi.journal import Change, changes
from rdscsi.routeros.answers import Answer, DiskItem
from rdscsi.tags import Marker, parse_marker, parse_tag

log = structlog.get_logger()

_COUNTER = "token.counter"
_POOL = "pool.fs-uuid"
_TERM = "lease.term"


async def lead(backend: Backend) -> None:
    """Look the appliance over and take the token.

    Raises SettingsInvalid when the appliance contradicts the settings for good, Fenced when another journal leads,
    Superseded when another one led and this one must be put aside, DeviceUnavailable and ClusterUnavailable when it
    cannot be told now.
    """
    seen = await backend.device.look()
    counter = int(await backend.journal.get_meta(_COUNTER) or 0)
    if seen.marker is None:
        marker, term = await _first(backend, counter)
    else:
        marker, term = await _next(backend, seen.marker, counter)
    await backend.journal.commit(
        changes.put_meta(_COUNTER, str(marker.token_counter)), changes.put_meta(_POOL, marker.fs_uuid), *_kept(term)
    )
    backend.upheaval()
    log.info("token taken", counter=marker.token_counter, backend=backend.options.backend)


async def _term(backend: Backend) -> int | None:
    """Prove by a renewal that the Lease is held; return the number of its term, None where there is no Lease."""
    return None if backend.lease is None else await backend.lease.confirm()


def _kept(term: int | None) -> list[Change]:
    return [] if term is None else [changes.put_meta(_TERM, str(term))]


async def _first(backend: Backend, counter: int) -> tuple[Marker, int | None]:
    answer = await backend.device.first_inventory()
    strangers = await _unknown(backend, answer)
    if strangers or (_objects(answer) and not counter):
        raise DeviceUnavailable(
            "the appliance holds volumes or snapshots of this cluster but not the marker that goes with them, and this "
            f"journal does not know all of them ({', '.join((strangers or _objects(answer))[:3])}, …): nothing is "
            "changed"
        )
    place = backend.device.place
    if not _objects(answer) and await backend.journal.get_meta(_POOL) not in (None, place.fs_uuid):
        raise DeviceUnavailable(
            "the appliance shows neither the marker nor a volume of this cluster, and its pool is not the one that the "
            "journal knows: is this the right appliance and pool? Nothing is changed"
        )
    marker = Marker(
        cluster_id=backend.options.cluster_id,
        base_path=place.base_path,
        fs_uuid=place.fs_uuid,
        journal_id=backend.journal.id,
        token_counter=_above(counter, answer),
        token_random=_random(backend),
    )
    term = await _term(backend)
    await backend.device.make_marker(marker, first=not _objects(answer))
    return marker, term


async def _next(backend: Backend, item: DiskItem, counter: int) -> tuple[Marker, int | None]:
    old = parse_marker(item.comment)
    if old is None:
        raise DeviceUnavailable(f"the marker in slot {item.slot} is not readable: {item.comment!r}; nothing is changed")
    _refuse_contradictions(backend, old)
    journal = backend.journal
    term = await _term(backend)
    if old.journal_id != journal.id and old.token_counter > counter:
        if counter or await journal.volumes():
            await _yield(backend, old, counter, term)
        log.warning("taking over from a journal that is not here", journal=old.journal_id, token=old.token_counter)
        backend.device.unsettle_all()
    new = old.taken_by(journal.id, _random(backend), above=counter)
    await backend.device.move_token(old, new)
    return new, term


async def _yield(backend: Backend, old: Marker, counter: int, term: int | None) -> NoReturn:
    """Give way to the other journal: by standing by, or by putting this one aside where the Lease says so."""
    journal, before = backend.journal, await backend.journal.get_meta(_TERM)
    told = (
        f"the appliance names another journal ({old.journal_id}, token {old.token_counter}; this one is {journal.id}, "
        f"token {counter})"
    )
    backend.device.fenced = True
    if term is not None and (before is None or term > int(before) + 1):
        await journal.put_aside_next(told)
        raise Superseded(f"{told}; this one is put aside, and the next start takes over with a fresh one")
    await journal.commit(*_kept(term))
    why = "" if term is None else ", and nobody else has held the Lease since: whoever took the token does not go by it"
    raise Fenced(
        f"{told}{why}; this controller stands by. Where it is the one that should lead, `rdscsi journal rebuild` puts "
        "its journal aside, and its next start takes over"
    )


def _refuse_contradictions(backend: Backend, marker: Marker) -> None:
    place = backend.device.place
    mistakes = []
    if marker.cluster_id != backend.options.cluster_id:
        mistakes.append(
            f"cluster-id: {backend.options.cluster_id!r}; the marker on the appliance says {marker.cluster_id!r}"
        )
    if marker.base_path != place.base_path:
        mistakes.append(f"base-path: {place.base_path!r}; the marker on the appliance says {marker.base_path!r}")
    if marker.fs_uuid != place.fs_uuid:
        mistakes.append(
            f"pool-slot: {place.pool_slot!r} holds the filesystem {place.fs_uuid}; the marker on the appliance says "
            f"{marker.fs_uuid}"
        )
    if mistakes:
        raise SettingsInvalid(mistakes)


async def _unknown(backend: Backend, answer: Answer) -> list[str]:
    """Objects of this cluster that the journal has no record of."""
    known = {(record.slot, record.backing) for record in await backend.journal.volumes()}
    known |= {(record.slot, snapshot_backing(record).operation) for record in await backend.journal.snapshots()}
    buried = {(stone.slot, stone.backing) for stone in await backend.journal.tombstones()}
    return [name for name, key in _keys(answer).items() if key not in known | buried]


def _objects(answer: Answer) -> list[str]:
    return list(_keys(answer))


def _keys(answer: Answer) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for item in answer.disks:
        tag = parse_tag(item.comment)
        found[item.slot] = (item.slot, tag.operation if tag else "")
    for leaf in answer.leaves:
        backing = names.parse_backing(leaf.name) or names.parse_snapshot_backing(leaf.name)
        found |= {leaf.name: (backing.slot, backing.operation)} if backing is not None else {}
    return found


def _above(counter: int, answer: Answer) -> int:
    generations = [tag.generation for item in answer.disks if (tag := parse_tag(item.comment))]
    return max([counter, *generations]) + 1


def _random(backend: Backend) -> str:
    return names.epoch(backend.entropy(10))

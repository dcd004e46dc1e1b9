"""Intents that time has overtaken: an old copy of the journal holds one that was carried out long ago (law 5).

A publish, unpublish or expansion takes down the generation of the tag that it was made for, and the create that made
the volume. Its own change raises the generation by one, or not at all where all was as it wished. A tag that is further
ahead, or says otherwise than the intent wished, was changed by what came after, which must not be turned back. A volume
that another create made since is another one.

So an intent that ends otherwise than by its own change, refused or superseded, leaves a tag that is past it.
"""

from collections.abc import Mapping

from rdscsi.controller.backend import Backend
from rdscsi.controller.erasing import own_tag
from rdscsi.errors import Abandoned
from rdscsi.journal import Json, Operation, VolumeRecord, changes
from rdscsi.journal.records import TOLD
from rdscsi.tags import Tag, parse_tag

PUBLISH = "publish"
UNPUBLISH = "unpublish"
EXPAND = "expand"
GENERATION = "generation"
BACKING = "backing"
PASSED = "passed"


async def stamped(backend: Backend, record: VolumeRecord, kind: str, wanted: Mapping[str, Json]) -> dict[str, Json]:
    """Return the request of an intent with what is taken down of its tag, and of the intent that it supersedes.

    Whoever wishes the same as an intent that is open gets that one's request: it is taken up, as it was meant.
    """
    found = await backend.journal.open_operation(record.volume_id)
    request = {**wanted, **stamp(backend, record)}
    generation = found.request.get(GENERATION) if found is not None else None
    if found is None or not isinstance(generation, int):
        return request
    if found.kind == kind and {**found.request, **wanted, BACKING: record.backing} == found.request:
        return dict(found.request)
    return {**request, TOLD: {PASSED: max(_passed(found.request), generation)}}


def stamp(backend: Backend, record: VolumeRecord) -> dict[str, Json]:
    """Return what an intent keeps of the tag it is made for: the newest generation that is known without a look."""
    entry = backend.catalogue.entry(record.slot)
    known = [parse_tag(record.tag), None if entry.suspect else own_tag(record, entry)]
    generation = max((tag.generation for tag in known if tag is not None), default=0)
    return {GENERATION: generation, BACKING: record.backing}


def is_past(operation: Operation, tag: Tag) -> bool:
    """Tell whether a tag says that more has happened since an intent than what the intent itself does."""
    generation = operation.request.get(GENERATION)
    if not isinstance(generation, int):
        return True  # an intent of before intents said this
    passed = _passed(operation.request)
    if tag.operation != operation.request.get(BACKING) or tag.generation > max(generation + 1, passed + 2):
        return True
    return tag.generation > generation and not _fulfils(operation, tag)


def _passed(request: Mapping[str, Json]) -> int:
    """Return the newest generation that a superseded intent was made for; 0 when there was none."""
    told = request.get(TOLD)
    passed = told.get(PASSED) if isinstance(told, dict) else None
    return passed if isinstance(passed, int) else 0


def _fulfils(operation: Operation, tag: Tag) -> bool:
    """Tell whether a tag says what the intent wished. Where it does not, another change than the intent's made it."""
    wanted = operation.request
    if operation.kind == EXPAND:
        size = wanted["size_bytes"]
        assert isinstance(size, int)
        return tag.size_bytes >= size
    node_id = str(wanted["node"])
    within = any(node.names(node_id) for node in tag.active_nodes) if node_id else bool(tag.active_nodes)
    assert operation.kind in (PUBLISH, UNPUBLISH), "no other intents are stamped"
    return within == (operation.kind == PUBLISH)


def outdated(operation: Operation, tag: Tag) -> Tag:
    """Return the tag, moved on to where it tells of an intent that it is past: for one that is told to be refused."""
    while not is_past(operation, tag):
        tag = tag.evolve()
    return beyond(operation, tag)


def beyond(operation: Operation, tag: Tag) -> Tag:
    """Return the tag, moved on to where it is past every intent that this one superseded.

    An old copy of the journal may hold such an intent open, whose caller has been told of the opposite since.
    """
    passed = _passed(operation.request)
    while passed and tag.generation < passed + 2:
        tag = tag.evolve()
    return tag


async def closed(backend: Backend, operation: Operation) -> bool:
    """Close an intent that was overtaken, and let the record follow the appliance; tell whether it was."""
    if GENERATION not in operation.request or (record := await backend.journal.volume(operation.subject)) is None:
        return False
    entry = await backend.entry(record.slot)
    tag = own_tag(record, entry)
    if tag is None or not is_past(operation, tag):
        return False
    meant = operation.request[GENERATION]
    error = Abandoned(f"{operation.subject}: {operation.kind} was meant for generation {meant}; it is {tag.generation}")
    await operation.fail(error, changes.put_volume(backend.described(record, tag, entry.item)))
    return True

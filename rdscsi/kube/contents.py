"""Annotations of VolumeSnapshotContents: of which volume a snapshot is, how large and from when.

csi-snapshotter writes size, time and handle into the status of a VolumeSnapshotContent. The source stands in `spec`
only where the snapshot was taken through that object, and nowhere when a retained snapshot is taken in by its handle.
So all three are told again where backup tools and people look. Nothing waits for that, and the driver never reads it.

What is to be told is compared with what stands there, not taken from an event: a crash in between leaves nothing to be
remembered, and twice is as good as once.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import trio

from rdscsi import names
from rdscsi.errors import ClusterUnavailable, DriverError, JournalFailed
from rdscsi.kube.api import Refused
from rdscsi.kube.api import Conflict
from rdscsi.kube.lists import Lists, at, find
from rdscsi.model import Snapshot, SnapshotPage, SnapshotQuery
from rdscsi.observe import logs

SOURCE, SIZE, CREATED = (f"{names.DRIVER_NAME}/{key}" for key in ("source-volume", "size-bytes", "created-at"))
CONTENTS = ("apis", "snapshot.storage.k8s.io", "v1", "volumesnapshotcontents")
LOOK_SECONDS = 10.0
LONGEST_PAUSE = 600.0
AFRESH_SECONDS = 3600.0

_log = logs.get_log()


class Objects(Lists, Protocol):
    """Where objects are read and changed; `rdscsi.kube.api.ApiServer` says how."""

    async def patch(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object] | None: ...


class Contents:
    """Keeps the annotations of one backend's snapshots. `snapshots` lists them, as ListSnapshots does."""

    def __init__(self, api: Objects, snapshots: Callable[[SnapshotQuery], Awaitable[SnapshotPage]]) -> None:
        self._api = api
        self._snapshots = snapshots
        self._settled: set[str] = set()
        self._left: set[str] = set()
        self._pause = LOOK_SECONDS
        self._try_at = self._afresh_at = trio.current_time()
        self._told = ""

    async def keep(self) -> NoReturn:
        """Write what is missing, until cancelled. Whatever fails is tried again; nothing else of the driver notices."""
        while True:
            try:
                await self.look()
            except JournalFailed:
                raise
            except DriverError as error:  # standing by, or not through with the appliance yet: nothing is proven now
                _log.debug("snapshots are not annotated now", reason=str(error))
            except Exception as error:  # noqa: BLE001 - nobody asked, and a bug would end the driver again and again
                _log.error("annotations.bug", exc_info=error)
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Do what there is to do now; the API server is asked only where a snapshot is not known to be told of.

        Raises what listing raises, then nothing is asked or written: only who leads, and knows what there is, writes.
        """
        known = {one.snapshot_id: one for one in await self._listed() if one.ready}
        if trio.current_time() >= self._afresh_at:
            self._afresh_at = trio.current_time() + AFRESH_SECONDS
            self._settled.clear()  # somebody may have made another object for it, or changed this one
        self._settled &= known.keys()
        missing = {key: one for key, one in known.items() if key not in self._settled}
        news = not missing.keys() <= self._left
        if missing and (news or trio.current_time() >= self._try_at):
            self._pause = LOOK_SECONDS if news else min(2 * self._pause, LONGEST_PAUSE)
            try:
                await self._try(missing)
            finally:
                self._left = missing.keys() - self._settled
                self._try_at = trio.current_time() + self._pause

    async def _listed(self) -> list[Snapshot]:
        found, token = list[Snapshot](), ""
        while True:
            page = await self._snapshots(SnapshotQuery(starting_token=token))
            found += page.snapshots
            if not (token := page.next_token):
                return found

    async def _try(self, missing: Mapping[str, Snapshot]) -> None:
        """Annotate what can be; the log says once why it cannot."""
        try:
            await self._annotate(missing)
            self._told = ""
        except ClusterUnavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.warning("VolumeSnapshotContents are not annotated now", reason=self._told)

    async def _annotate(self, missing: Mapping[str, Snapshot]) -> None:
        """Raises ClusterUnavailable; what was annotated until then is. One that is refused holds up no other."""
        ours: list[tuple[str, Mapping[str, object]]] = []

        def note(content: object) -> None:
            if (handle := _handle(content)) in missing:
                ours.append((handle, at(content, "metadata")))

        await find(self._api, *CONTENTS, kind="VolumeSnapshotContentList", query={}, wanted=note)
        refused: dict[str, Refused] = {}
        for handle, metadata in ours:
            try:
                if await self._told_of(missing[handle], metadata):
                    self._settled.add(handle)
            except Refused as error:
                refused[handle] = error
        self._settled -= refused.keys()  # several objects may name one snapshot
        for error in refused.values():
            raise error

    async def _told_of(self, snapshot: Snapshot, metadata: Mapping[str, object]) -> bool:
        """Write what differs into one object; False when it was deleted meanwhile. Raises ClusterUnavailable."""
        wanted, there = annotations(snapshot), metadata.get("annotations")
        if isinstance(there, dict) and wanted.items() <= there.items():
            return True
        # By its uid: an object of that name that was made since is another one (409).
        changed = {"metadata": {"uid": metadata.get("uid"), "annotations": wanted}}
        if await self._api.patch(*CONTENTS, str(metadata.get("name")), body=changed) is None:
            return False
        _log.info("VolumeSnapshotContent annotated", name=metadata.get("name"), snapshot_id=snapshot.snapshot_id)
        return True


def annotations(snapshot: Snapshot) -> dict[str, str]:
    """Return what is told of a snapshot; times by the appliance's clock, as RFC 3339."""
    created = datetime.fromtimestamp(int(snapshot.created_at), UTC)
    return {
        SOURCE: snapshot.source_volume_id,
        SIZE: str(snapshot.size_bytes),
        CREATED: created.isoformat().replace("+00:00", "Z"),
    }


def _handle(content: object) -> str:
    """Return the snapshot id that a content of this driver names; empty when there is none, or none yet."""
    spec = at(content, "spec")
    if spec.get("driver") != names.DRIVER_NAME:
        return ""
    status = content.get("status") if isinstance(content, dict) else None
    for part in (status, spec.get("source")):
        if isinstance(part, dict) and isinstance(handle := part.get("snapshotHandle"), str):
            return handle
    return ""

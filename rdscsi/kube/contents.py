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

import structlog
import trio

from rdscsi import names
from rdscsi.errors import ClusterUnavailable, DriverError, JournalFailed
from rdscsi.kube.api import Conflict, Refused
from rdscsi.kube.lists import Lists, at, find
from rdscsi.model import Snapshot, SnapshotPage, SnapshotQuery

SOURCE, SIZE, CREATED = (f"{names.DRIVER_NAME}/{key}" for key in ("source-volume", "size-bytes", "created-at"))
CONTENTS = ("apis", "snapshot.storage.k8s.io", "v1", "volumesnapshotcontents")
LOOK_SECONDS = 10.0
LONGEST_PAUSE = 600.0
AFRESH_SECONDS = 3600.0

_log = structlog.get_logger(__name__)


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
            except DriverError as error:  # standing by, or looking through the appliance first: nothing is proven now
                _log.debug("snapshots are not annotated now", reason=str(error))
            except Exception:  # noqa: BLE001 - a bug here must not end the process that serves everybody
                _log.exception("VolumeSnapshotContents are not annotated: this is a bug of the driver")
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Do what there is to do now; the API server is asked only where a snapshot is not known to be told of.

        Raises what listing raises; then nothing is asked or written. So only who leads writes.
        """
        known = {one.snapshot_id: one for one in await self._listed() if one.ready}
        if trio.current_time() >= self._afresh_at:
            self._afresh_at = trio.current_time() + AFRESH_SECONDS
            self._settled.clear()  # somebody may have made another object for it, or changed this one
        self._settled &= known.keys()
        missing = {key: one for key, one in known.items() if key not in self._settled}
        news = not missing.keys() <= self._left
        if not missing or not (news or trio.current_time() >= self._try_at):
            return
        self._pause = LOOK_SECONDS if news else min(2 * self._pause, LONGEST_PAUSE)
        try:
            await self._tried(missing)
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

    async def _tried(self, missing: Mapping[str, Snapshot]) -> None:
        """Annotate what can be; the log says once why the rest cannot."""
        try:
            await self._annotate(missing)
            self._told = ""
        except ClusterUnavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.warning("VolumeSnapshotContents are not annotated now", reason=self._told)

    async def _annotate(self, missing: Mapping[str, Snapshot]) -> None:
        """Raises ClusterUnavailable; what was annotated until then is. An object that is refused holds up no other."""
        ours: list[tuple[str, Mapping[str, object]]] = []

        def note(content: object) -> None:
            if (handle := _handle(content)) in missing:
                ours.append((handle, at(content, "metadata")))

        await find(self._api, *CONTENTS, kind="VolumeSnapshotContentList", query={}, wanted=note)
        refused: dict[str, Refused] = {}  # by handle, which several objects may name
        for handle, metadata in ours:
            try:
                if await self._written(missing[handle], metadata):
                    self._settled.add(handle)
            except Refused as error:
                refused[handle] = error
        self._settled -= refused.keys()
        for why in refused.values():
            if not isinstance(why, Conflict):  # those are looked at again, and soon
                raise why

    async def _written(self, snapshot: Snapshot, metadata: Mapping[str, object]) -> bool:
        """Bring one object up to date; False when it was deleted meanwhile. Raises ClusterUnavailable.

        It is the very object that was seen: Conflict when it was changed or made anew since.
        """
        wanted, there = annotations(snapshot), metadata.get("annotations")
        if isinstance(there, dict) and wanted.items() <= there.items():
            return True
        changed = {"metadata": {"resourceVersion": metadata.get("resourceVersion"), "annotations": wanted}}
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

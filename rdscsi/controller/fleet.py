"""Several appliances behind one port: each call goes to the backend that its volume or its StorageClass names.

Each backend has a journal, a way to its appliance, a token and limits of its own, and nothing here is durable: which
one is meant follows from the request alone, so that a repeated call comes to the same one. An appliance that is away,
or whose settings turn out wrong, leaves the others as they are.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog
import trio

from rdscsi import names
from rdscsi.controller import listing, snapshot_listing
from rdscsi.controller.controller import Controller
from rdscsi.errors import InvalidRequest, InvalidToken, NotReachable, SettingsInvalid
from rdscsi.model import (
    Capacity,
    CapacityRange,
    Expansion,
    PublishRequest,
    Snapshot,
    SnapshotPage,
    SnapshotQuery,
    SnapshotRequest,
    Volume,
    VolumeCapability,
    VolumeHealth,
    VolumeHealthPage,
    VolumePage,
    VolumeRequest,
)

T = TypeVar("T")

log = structlog.get_logger()

_PARAMETER = "backend"


class Fleet:
    """Serves one or more backends. The first is meant where a request names none."""

    def __init__(self, controllers: Sequence[Controller]) -> None:
        self._controllers = {one.backend.options.backend: one for one in controllers}
        self._default = controllers[0].backend.options.backend

    async def keep(self) -> None:
        """Keep every backend in order until cancelled.

        Raises SettingsInvalid when that is so for the only one there is; with several the log says it, and the others
        go on (law 9).
        """
        async with trio.open_nursery() as nursery:
            for one in self._controllers.values():
                nursery.start_soon(self._keep, one)

    async def _keep(self, controller: Controller) -> None:
        try:
            await controller.keep()
        except SettingsInvalid as error:
            if len(self._controllers) == 1:
                raise
            log.error("backend not served", backend=controller.backend.options.backend, reason=str(error))
            controller.backend.unlearn(f"its settings are wrong: {error}")

    def ready(self) -> bool:
        """Tell whether any backend may be led from here."""
        return any(one.ready() for one in self._controllers.values())

    # --- by the StorageClass

    async def create_volume(self, request: VolumeRequest) -> Volume:
        """Make the volume where its class says, else where its source is, else on the default backend.

        Raises NotReachable when the nodes it is for do not reach that one; see `Controller.create_volume`.
        """
        source = request.source.source_id if request.source is not None else ""
        controller = self._chosen(request.parameters, source)
        allowed = request.reachable
        if allowed is not None and controller.backend.options.backend not in allowed:
            await self._refuse_new(controller, request)
        return await controller.create_volume(request)

    async def _refuse_new(self, controller: Controller, request: VolumeRequest) -> None:
        """Refuse a volume in the wrong place, unless it was begun: a final answer would hide what is half made."""
        backend = controller.backend
        backend.require_inventory()
        volume_id = backend.volume_id(backend.slot(request.name))
        open_ones = await backend.journal.open_operations()
        if await backend.journal.volume(volume_id) or any(one.subject == volume_id for one in open_ones):
            return
        raise NotReachable(
            f"accessibility_requirements: none of the nodes asked for reaches the backend {backend.options.backend!r} "
            f"of this StorageClass; those that they reach are {', '.join(sorted(request.reachable or ())) or 'none'}"
        )

    async def create_snapshot(self, request: SnapshotRequest) -> Snapshot:
        """Take the snapshot where its source is. See `Controller.create_snapshot`."""
        return await self._chosen(request.parameters, request.source_volume_id).create_snapshot(request)

    async def get_capacity(
        self,
        parameters: Mapping[str, str],
        capabilities: Sequence[VolumeCapability],
        reachable: frozenset[str] | None = None,
    ) -> Capacity:
        """Return what the class's backend has room for: nothing for nodes that do not reach it."""
        controller = self._chosen(parameters, "")
        if reachable is not None and controller.backend.options.backend not in reachable:
            return Capacity(0, 0, 0)
        return await controller.get_capacity(parameters, capabilities)

    def _chosen(self, parameters: Mapping[str, str], source_id: str) -> Controller:
        wanted, parsed = parameters.get(_PARAMETER), names.parse_volume_id(source_id)
        if wanted is not None and parsed is not None and wanted != parsed.backend:
            expected = f"{parsed.backend!r}, where {source_id} is: nothing is copied from one appliance to another"
            raise InvalidRequest(f"parameters[{_PARAMETER}]", wanted, expected)
        if wanted is not None:
            return self._named(f"parameters[{_PARAMETER}]", wanted, wanted)
        return self._named("source", source_id, parsed.backend) if parsed else self._controllers[self._default]

    # --- by the volume or snapshot

    async def delete_volume(self, volume_id: str) -> None:
        """See `Controller.delete_volume`."""
        await self._of("volume_id", volume_id).delete_volume(volume_id)

    async def publish_volume(self, request: PublishRequest) -> Mapping[str, str]:
        """See `Controller.publish_volume`."""
        return await self._of("volume_id", request.volume_id).publish_volume(request)

    async def unpublish_volume(self, volume_id: str, node_id: str) -> None:
        """See `Controller.unpublish_volume`."""
        await self._of("volume_id", volume_id).unpublish_volume(volume_id, node_id)

    async def expand_volume(
        self, volume_id: str, capacity_range: CapacityRange, capability: VolumeCapability | None
    ) -> Expansion:
        """See `Controller.expand_volume`."""
        return await self._of("volume_id", volume_id).expand_volume(volume_id, capacity_range, capability)

    async def validate_capabilities(
        self, volume_id: str, capabilities: Sequence[VolumeCapability], parameters: Mapping[str, str]
    ) -> str:
        """See `Controller.validate_capabilities`."""
        return await self._of("volume_id", volume_id).validate_capabilities(volume_id, capabilities, parameters)

    async def get_volume(self, volume_id: str) -> Volume:
        """See `Controller.get_volume`."""
        return await self._of("volume_id", volume_id).get_volume(volume_id)

    async def get_volume_health(self, volume_id: str) -> VolumeHealth:
        """See `Controller.get_volume_health`."""
        return await self._of("volume_id", volume_id).get_volume_health(volume_id)

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """See `Controller.delete_snapshot`."""
        await self._of("snapshot_id", snapshot_id).delete_snapshot(snapshot_id)

    async def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """See `Controller.get_snapshot`."""
        return await self._of("snapshot_id", snapshot_id).get_snapshot(snapshot_id)

    def _of(self, field: str, object_id: str) -> Controller:
        """The backend that an id names. What is no id of ours goes to the default one, which says what that means."""
        parsed = names.parse_volume_id(object_id)
        return self._named(field, object_id, parsed.backend) if parsed else self._controllers[self._default]

    def _named(self, field: str, value: str, backend: str) -> Controller:
        try:
            return self._controllers[backend]
        except KeyError:
            served = ", ".join(sorted(self._controllers))
            raise InvalidRequest(field, value, f"a volume of a backend that this controller serves: {served}") from None

    # --- of all backends, one after the other

    async def list_volumes(self, max_entries: int, starting_token: str) -> VolumePage:
        """Return one page, in the order of the ids, which begin with the backend's name.

        Raises as `Controller.list_volumes` does for any of the backends: a list without one of them would say that its
        volumes are gone.
        """

        async def some(one: Controller, most: int, token: str) -> tuple[tuple[Volume, ...], str]:
            page = await one.list_volumes(most, token)
            return page.volumes, page.next_token

        size = min(max_entries or listing.LARGEST_PAGE, listing.LARGEST_PAGE)
        found, token = await self._paged(size, starting_token, some, lambda volume: volume.volume_id)
        return VolumePage(tuple(found), token)

    async def list_volume_health(self, max_entries: int, starting_token: str) -> VolumeHealthPage:
        """Return one page, as `list_volumes`: without one of the backends it would say that all is well there."""

        async def some(one: Controller, most: int, token: str) -> tuple[tuple[VolumeHealth, ...], str]:
            page = await one.list_volume_health(most, token)
            return page.entries, page.next_token

        size = min(max_entries or listing.LARGEST_PAGE, listing.LARGEST_PAGE)
        found, token = await self._paged(size, starting_token, some, lambda health: health.volume_id)
        return VolumeHealthPage(tuple(found), token)

    async def list_snapshots(self, query: SnapshotQuery) -> SnapshotPage:
        """Return one page, in the order of the ids. What is asked about one volume or snapshot, its backend answers."""
        for field, value in (("snapshot_id", query.snapshot_id), ("source_volume_id", query.source_volume_id)):
            if value:
                return await self._of(field, value).list_snapshots(query)

        async def some(one: Controller, most: int, token: str) -> tuple[tuple[Snapshot, ...], str]:
            page = await one.list_snapshots(replace(query, max_entries=most, starting_token=token))
            return page.snapshots, page.next_token

        size = min(query.max_entries or snapshot_listing.LARGEST_PAGE, snapshot_listing.LARGEST_PAGE)
        found, token = await self._paged(size, query.starting_token, some, lambda snapshot: snapshot.snapshot_id)
        return SnapshotPage(tuple(found), token)

    async def _paged(
        self,
        size: int,
        token: str,
        some: Callable[[Controller, int, str], Awaitable[tuple[Sequence[T], str]]],
        id_of: Callable[[T], str],
    ) -> tuple[list[T], str]:
        """Fill a page from one backend after the other; a token is the last id of the page before."""
        found: list[T] = []
        names_left = self._from(token)
        while names_left:
            entries, token = await some(self._controllers[names_left.pop(0)], size - len(found), token)
            found += entries
            if token:
                return found, token
            if len(found) == size and names_left:
                return found, id_of(found[-1])
        return found, ""

    def _from(self, token: str) -> list[str]:
        """The backends that come with a token or after it."""
        every = sorted(self._controllers)
        if not token:
            return every
        parsed = names.parse_volume_id(token)
        if parsed is None or parsed.backend not in self._controllers:
            raise InvalidToken(f"starting_token={token!r}: no token of this driver; list again from the start")
        return every[every.index(parsed.backend) :]

"""The controller half behind its port (`rdscsi.csi.ports.ControllerPort`): each call is an operation of its subject.

A call waits for the operation or joins the one that runs; its deadline ends the wait only (law 1). What an operation
does is in the modules beside this one; calls that change nothing are answered from what is known.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rdscsi import names
from rdscsi.controller import (
    creation,
    deletion,
    expansion,
    health,
    listing,
    sizes,
    snapshot_creation,
    snapshot_deletion,
    snapshot_listing,
)
from rdscsi.controller.backend import Backend, Lease
from rdscsi.controller.creation import request_hash
from rdscsi.controller.evidence import Claims, Evidence
from rdscsi.controller.keeper import Keeper
from rdscsi.controller.options import ControllerOptions
from rdscsi.controller.publications import Publications
from rdscsi.controller.settling import Settling
from rdscsi.errors import InvalidRequest, NotFound
from rdscsi.journal import Journal
from rdscsi.model import (
    AccessType,
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
from rdscsi.operations import Operations
from rdscsi.routeros import program
from rdscsi.routeros.device import Device, DeviceSettings, Executes
from rdscsi.routeros.program import Program
from rdscsi.tags import parse_tag


class Controller:
    """Serves one backend. Made by `make_controller`."""

    def __init__(
        self,
        *,
        backend: Backend,
        publications: Publications,
        settling: Settling,
        keeper: Keeper,
        operations: Operations,
    ) -> None:
        self.backend = backend
        self.keep = keeper.run
        self._publications = publications
        self._settling = settling
        self._operations = operations

    def ready(self) -> bool:
        """Tell whether this controller may lead; an appliance out of reach does not unready it (law 9)."""
        return self.backend.leads and not self.backend.device.fenced

    async def create_volume(self, request: VolumeRequest) -> Volume:
        """See `creation.create`."""
        self._same_backend("parameters", request.parameters)
        volume_id = self.backend.volume_id(self.backend.slot(request.name))
        self._settling.wanted(volume_id)
        wish = (
            creation.KIND,
            request.name,
            request.capacity_range,
            request.capabilities,
            tuple(sorted(request.parameters.items())),
            request.source,
        )
        return await self._operations.run(volume_id, wish, partial(creation.create, self.backend, request))

    async def delete_volume(self, volume_id: str) -> None:
        """See `deletion.delete`."""
        await self._operations.run(volume_id, deletion.KIND, partial(deletion.delete, self.backend, volume_id))

    async def publish_volume(self, request: PublishRequest) -> Mapping[str, str]:
        """See `Publications.publish`."""
        wish = ("publish", request.node_id, request.capability, request.readonly)
        return await self._operations.run(request.volume_id, wish, partial(self._publications.publish, request))

    async def unpublish_volume(self, volume_id: str, node_id: str) -> None:
        """See `Publications.unpublish`."""
        work = partial(self._publications.unpublish, volume_id, node_id)
        await self._operations.run(volume_id, ("unpublish", node_id), work)

    async def expand_volume(
        self, volume_id: str, capacity_range: CapacityRange, capability: VolumeCapability | None
    ) -> Expansion:
        """See `expansion.expand`. The capability makes no difference: block devices have to be looked at anew too."""
        work = partial(expansion.expand, self.backend, volume_id, capacity_range)
        return await self._operations.run(volume_id, (expansion.KIND, capacity_range), work)

    async def validate_capabilities(
        self, volume_id: str, capabilities: Sequence[VolumeCapability], parameters: Mapping[str, str]
    ) -> str:
        """Say what a volume does not serve: every volume serves what the edge lets pass, under its own parameters."""
        slot = self.backend.own_slot(volume_id)
        if slot is None:
            raise NotFound(f"volume {volume_id} does not exist")
        self.backend.require_inventory()
        record = await self.backend.known(volume_id, slot)
        tag = parse_tag(record.tag)
        if parameters and tag is not None and tag.request_hash != request_hash(parameters):
            return "the volume was made with other parameters"
        multi = any(one.access_mode.multi_node and one.access_type is AccessType.MOUNT for one in capabilities)
        return "a filesystem serves one node at a time" if multi else ""

    async def list_volumes(self, max_entries: int, starting_token: str) -> VolumePage:
        """See `listing.page`."""
        return await listing.page(self.backend, max_entries, starting_token)

    async def get_volume(self, volume_id: str) -> Volume:
        """See `listing.get`."""
        return await listing.get(self.backend, volume_id)

    async def get_volume_health(self, volume_id: str) -> VolumeHealth:
        """See `health.get`."""
        return await health.get(self.backend, volume_id)

    async def list_volume_health(self, max_entries: int, starting_token: str) -> VolumeHealthPage:
        """See `health.page`."""
        return await health.page(self.backend, max_entries, starting_token)

    async def create_snapshot(self, request: SnapshotRequest) -> Snapshot:
        """See `snapshot_creation.create`."""
        self._same_backend("parameters", request.parameters)
        slot = names.slot(names.KIND_SNAPSHOT, self.backend.options.cluster_id, request.name)
        snapshot_id = self.backend.volume_id(slot)
        self._settling.wanted(snapshot_id)
        wish = (snapshot_creation.KIND, request.name, request.source_volume_id)
        work = partial(snapshot_creation.create, self.backend, request)
        return await self._operations.run(snapshot_id, wish, work)

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """See `snapshot_deletion.delete`."""
        work = partial(snapshot_deletion.delete, self.backend, snapshot_id)
        await self._operations.run(snapshot_id, snapshot_deletion.KIND, work)

    async def list_snapshots(self, query: SnapshotQuery) -> SnapshotPage:
        """See `snapshot_listing.page`."""
        return await snapshot_listing.page(self.backend, query)

    async def get_snapshot(self, snapshot_id: str) -> Snapshot:
        """See `snapshot_listing.get`."""
        return await snapshot_listing.get(self.backend, snapshot_id)

    async def get_capacity(
        self,
        parameters: Mapping[str, str],
        capabilities: Sequence[VolumeCapability],
        reachable: frozenset[str] | None = None,
    ) -> Capacity:
        """Return what a new volume could get, from the figures that the appliance told last."""
        self._same_backend("parameters", parameters)
        self.backend.require_inventory()
        available = max(0, self.backend.space.available(self.backend.catalogue.declared_bytes()))
        return Capacity(available, min(available, sizes.MAXIMUM_BYTES), sizes.MINIMUM_BYTES)

    def _same_backend(self, field: str, parameters: Mapping[str, str]) -> None:
        wanted, own = parameters.get("backend"), self.backend.options.backend
        if wanted not in (None, own):
            raise InvalidRequest(f"{field}[backend]", wanted, f"this controller serves the backend {own!r}")


def make_controller(
    *,
    console: Executes,
    journal: Journal,
    operations: Operations,
    options: ControllerOptions,
    settings: DeviceSettings,
    program: Program = program,
    evidence: Evidence | None = None,
    claims: Claims | None = None,
    lease: Lease | None = None,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = secrets.token_bytes,
) -> Controller:
    """Put a controller together; nothing is sent before its `keep` runs.

    `evidence` is asked about nodes and `claims` about claims, if given; with a `lease` it
    leads only while that is held. `now` gives seconds since the epoch.
    """
    device = Device(console=console, settings=settings, program=program)
    backend = Backend(
        device=device,
        journal=journal,
        operations=operations,
        options=options,
        lease=lease,
        now=now,
        entropy=entropy,
    )
    publications = Publications(backend, evidence)
    settling = Settling(backend=backend, publications=publications, operations=operations, claims=claims)
    keeper = Keeper(backend=backend, settling=settling, operations=operations, claims=claims)
    return Controller(
        backend=backend,
        publications=publications,
        settling=settling,
        keeper=keeper,
        operations=operations,
    )

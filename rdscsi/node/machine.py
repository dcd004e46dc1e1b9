"""What every operation of a node works with: the machine, the journal, and who this node is."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, InvalidRequest
from rdscsi.host.ports import Connection, Host, Mount, Number
from rdscsi.journal import Journal
from rdscsi.model import DEFAULT_TUNING, Portal, Tuning

STAGE, UNSTAGE, EXPAND = "stage", "unstage", "node-expand"
"""Kinds of operations whose subject is the volume id."""

PUBLISH, UNPUBLISH = "node-publish", "node-unpublish"
"""Kinds of operations whose subject is the target path; the volume id is in the request."""


@dataclass(frozen=True, slots=True)
class Target:
    """How a volume is published at a path, or is about to be."""

    access_type: str
    access_mode: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """`now` gives seconds since the epoch. `host_traddr` and `host_iface` say from where it connects; see
    `rdscsi.host.ports.Connection`. `nodes` is held while device nodes at targets are looked at and changed.

    `leaving`: the NQNs of nobody's connections that are looked into now, and may be cut.
    """

    host: Host
    journal: Journal
    cluster_id: str
    node_id: str
    now: Callable[[], float] = time.time
    host_traddr: str = ""
    host_iface: str = ""
    nodes: trio.Lock = field(default_factory=trio.Lock)
    leaving: set[str] = field(default_factory=set)

    def find_slot(self, volume_id: str) -> str | None:
        """Return the slot that a volume id names; None for an id that this driver cannot have handed out.

        Raises InvalidRequest for a volume of another cluster.
        """
        parsed = names.parse_volume_id(volume_id)
        if parsed is None:
            return None
        if not names.slot_of_cluster(parsed.slot, names.KIND_VOLUME, self.cluster_id):
            raise InvalidRequest("volume_id", volume_id, "the volume of another cluster is never touched")
        return parsed.slot

    def connection(self, subnqn: str, portals: Sequence[Portal], tuning: Tuning = DEFAULT_TUNING) -> Connection:
        """Return how this node connects to a subsystem."""
        return Connection(
            subnqn,
            tuple(portals),
            hostnqn=names.hostnqn(self.cluster_id, self.node_id),
            host_id=names.host_id(self.cluster_id, self.node_id),
            tuning=tuning,
            host_traddr=self.host_traddr,
            host_iface=self.host_iface,
        )

    @contextmanager
    def leaving_of(self, subnqn: str) -> Iterator[None]:
        """Keep everybody off a connection of nobody's while the body looks into it, and may cut it.

        The body looks for claims in the journal after this began, and whoever claims looks here after the commit: one
        of the two sees the other.
        """
        self.leaving.add(subnqn)
        try:
            yield
        finally:
            self.leaving.discard(subnqn)

    def refuse_leaving(self, subnqn: str) -> None:
        """Raise DeviceUnavailable while a connection may be cut. Call it after the claim on it was committed."""
        if subnqn in self.leaving:
            raise DeviceUnavailable(f"{subnqn}: a connection that was nobody's is looked into, or cut; ask again")

    async def path_numbers(self, slot: str) -> dict[str, tuple[Number, ...]]:
        """Return what is connected of a volume, in whatever epoch: NQNs, with the numbers of their devices."""
        return dict(await self.host.connected(f"{names.NQN_PREFIX}:{slot}:"))

    async def published(self, volume_id: str) -> dict[str, Target]:
        """Return the target paths of a volume, those included whose publishing was begun and not finished."""
        targets = {
            one.subject: Target(
                str(one.request.get("access_type")), str(one.request.get("access_mode")), finished=False
            )
            for one in await self.journal.open_operations()
            if one.kind == PUBLISH and one.request.get("volume_id") == volume_id
        }
        for record in await self.journal.targets(volume_id):
            targets[record.target_path] = Target(record.access_type, record.access_mode, finished=True)
        return targets


def parse_portals(text: str) -> tuple[Portal, ...]:
    """Read the portals of a stage record."""
    return tuple(portal for one in text.split(",") if (portal := names.parse_portal(one)) is not None)


def mounted_at(mounts: Sequence[Mount], path: str) -> list[Mount]:
    """Return the mounts of a path, the topmost last."""
    return [mount for mount in mounts if mount.mount_point == path]


def mounted_from(mounts: Sequence[Mount], numbers: Sequence[Number]) -> list[Mount]:
    """Return the mounts of the filesystems on these devices, wherever they are."""
    return [mount for mount in mounts if mount.number in numbers]

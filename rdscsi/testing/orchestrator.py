"""A small container orchestrator: calls a controller as external-provisioner and external-attacher do.

It calls again while the answer is a maybe (`NotFinal`), and takes every other error for final.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Container, Mapping
from typing import TypeVar

import trio

from rdscsi import names
from rdscsi.errors import ClusterUnavailable, NotFinal
from rdscsi.model import (
    MIB,
    AccessMode,
    AccessType,
    CapacityRange,
    Claim,
    PublishRequest,
    Standing,
    Volume,
    VolumeCapability,
    VolumeRequest,
)

T = TypeVar("T")

FILESYSTEM = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "ext4")
BLOCK = VolumeCapability(AccessType.BLOCK, AccessMode.SINGLE_NODE_WRITER)
SHARED = VolumeCapability(AccessType.BLOCK, AccessMode.MULTI_NODE_MULTI_WRITER)
NODE_A, NODE_B, NODE_C = (names.node_id(name) for name in ("node-a", "node-b", "node-c"))

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


def wish(
    name: str,
    size_bytes: int = 64 * MIB,
    *,
    parameters: Mapping[str, str] | None = None,
    limit_bytes: int = 0,
    claim: Claim | None = None,
) -> VolumeRequest:
    """A CreateVolume request."""
    return VolumeRequest(name, CapacityRange(size_bytes, limit_bytes), (FILESYSTEM,), parameters or {}, claim=claim)


class Cluster:
    """What Kubernetes knows: `volumes` that were handed out, `claims` that are asked for, both by volume id.

    It does not answer every time; `unclaimed` counts how often it said that nobody has to do with a volume.
    """

    def __init__(self, *, dice: random.Random, away: float = 0.25) -> None:
        self.volumes: Container[str] = ()
        self.claims: set[str] = set()
        self.unclaimed = 0
        self._dice = dice
        self._away = away

    async def standing(self, volume_id: str, csi_name: str, claim: Claim) -> Standing:
        """Tell who has to do with a volume."""
        await trio.sleep(self._dice.uniform(0.0, 2.0))
        if self._dice.random() < self._away:
            raise ClusterUnavailable("the API server is away")
        if volume_id in self.claims:
            return Standing.CLAIM
        if volume_id in self.volumes:
            return Standing.VOLUME
        self.unclaimed += 1
        return Standing.NOBODY

    async def named(self, volume_ids: Collection[str]) -> Collection[str]:
        """Return those of the volumes that were handed out."""
        await trio.lowlevel.checkpoint()
        return {one for one in volume_ids if one in self.volumes}


def attach(
    volume: Volume | str, node_id: str = NODE_A, capability: VolumeCapability = FILESYSTEM, *, readonly: bool = False
) -> PublishRequest:
    """A ControllerPublishVolume request."""
    volume_id = volume if isinstance(volume, str) else volume.volume_id
    return PublishRequest(volume_id, node_id, capability, readonly)


async def settle(call: Callable[[], Awaitable[T]], *, patience: float = 3600.0) -> T:
    """Call until the answer is final, with growing pauses, as the sidecars do; return it or raise it.

    Raises trio.TooSlowError when that takes longer than `patience` seconds.
    """
    pause = FIRST_PAUSE
    with trio.fail_after(patience):
        while True:
            try:
                return await call()
            except NotFinal:
                await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

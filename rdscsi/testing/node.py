"""A world for the node half: exports and a simulated kernel that survive, and lives of the driver over them.

Time is Trio's (give it a mock clock), the journal is a real file, SQL runs in place. A life that dies does so as by
SIGKILL: nothing that it still does reaches the machine or the journal.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from rdscsi import names
from rdscsi.config import NodeSettings
from rdscsi.errors import DriverError
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Device, Host
from rdscsi.host.simulated import SimulatedHost, open_kernel
from rdscsi.host.simulated.disk import Filesystem, write_filesystem
from rdscsi.journal import Journal, Precautions, open_journal
from rdscsi.journal.writer import Moment
from rdscsi.model import (
    MIB,
    AccessMode,
    AccessType,
    CapacityRange,
    NodeExpandRequest,
    NodePublishRequest,
    Portal,
    PublishContext,
    StageRequest,
    VolumeCapability,
)
from rdscsi.node.node import Node, make_node
from rdscsi.operations import Operations
from rdscsi.testing.clock import wall_clock
from rdscsi.testing.host import Exporter, Life, failing
from rdscsi.testing.orchestrator import settle

CLUSTER = "11111111-2222-3333-4444-555555555555"
PORTALS = (Portal("192.0.2.10", 4420),)
OPERATION_SECONDS = 600.0
PRECAUTIONS = Precautions(backups=0, ballast_bytes=0)


@dataclass(slots=True)
class NodeVolume:
    """A volume on the appliance, exported under its present epoch."""

    name: str
    size_bytes: int
    file: Path
    capability: VolumeCapability
    permit: bool
    epoch: str

    @property
    def volume_id(self) -> str:
        """Its CSI volume id."""
        return names.volume_id("rds", self.slot)

    @property
    def slot(self) -> str:
        """Its slot."""
        return names.slot(names.KIND_VOLUME, CLUSTER, self.name)

    @property
    def subnqn(self) -> str:
        """The NQN of its present epoch."""
        return names.subnqn(self.slot, self.epoch)


@dataclass(slots=True)
class NodeProcess:
    """One life of the node half."""

    node: Node
    journal: Journal
    host: SimulatedHost
    life: Life


class NodeWorld:
    """What outlives processes. With `nodev` no device node can be made at targets."""

    def __init__(self, directory: Path, settings: NodeSettings | None = None) -> None:
        self.directory = directory
        self.exporter = Exporter(directory)
        self.settings = settings or NodeSettings(node_name="node-a")
        self.nodev = False
        self.deaths = 0
        self._epochs = 0

    def volume(
        self,
        name: str = "pvc-1",
        *,
        size_bytes: int = 64 * MIB,
        access_type: AccessType = AccessType.MOUNT,
        access_mode: AccessMode = AccessMode.SINGLE_NODE_WRITER,
        fs_type: str = "",
        flags: tuple[str, ...] = (),
        permit: bool = True,
    ) -> NodeVolume:
        """Make a blank volume and export it."""
        capability = VolumeCapability(access_type, access_mode, fs_type, flags)
        file = self.exporter.file(name, size_bytes)
        volume = NodeVolume(name, size_bytes, file, capability, permit, "")
        self.publish(volume)
        return volume

    def publish(self, volume: NodeVolume) -> None:
        """Export a volume under a fresh epoch, and no longer under the one before."""
        if volume.epoch:
            self.exporter.withdraw(volume.subnqn)
        self._epochs += 1
        volume.epoch = names.epoch(self._epochs.to_bytes(10, "big"))
        self.exporter.export(volume.subnqn, volume.file)

    def grow(self, volume: NodeVolume, size_bytes: int) -> None:
        """Let a volume grow on the appliance."""
        volume.size_bytes = size_bytes
        self.exporter.file(volume.name, size_bytes)

    def path(self, name: str) -> str:
        """A path below kubelet's directory."""
        kubelet = self.directory / "kubelet"
        kubelet.mkdir(exist_ok=True)
        return str(kubelet / name)

    # --- requests

    def stage_request(self, volume: NodeVolume, *, readonly: bool = False) -> StageRequest:
        """What kubelet sends to stage a volume."""
        permit = volume.epoch if volume.permit and volume.capability.access_type is AccessType.MOUNT else ""
        context = PublishContext(volume.subnqn, PORTALS, permit, readonly)
        return StageRequest(volume.volume_id, self.path(f"{volume.name}-staged"), volume.capability, context)

    def publish_request(self, volume: NodeVolume, target: str = "pod", *, readonly: bool = False) -> NodePublishRequest:
        """What kubelet sends to publish a volume."""
        staging = self.path(f"{volume.name}-staged")
        return NodePublishRequest(volume.volume_id, staging, self.path(target), volume.capability, readonly)

    def expand_request(self, volume: NodeVolume, path: str, size_bytes: int) -> NodeExpandRequest:
        """What kubelet sends to expand a volume."""
        staging = self.path(f"{volume.name}-staged")
        return NodeExpandRequest(volume.volume_id, path, CapacityRange(size_bytes), staging, volume.capability)

    # --- lives

    @property
    def journal_path(self) -> Path:
        """The journal's file, as the last death left it."""
        return self.directory / f"node-{self.deaths}.db"

    @asynccontextmanager
    async def process(self, life: Life | None = None) -> AsyncIterator[NodeProcess]:
        """Run one life of the node half around the body. A death inside ends the body too, without an error."""
        life = life or Life()
        machine = SimulatedHost(
            self.exporter.exports, open_kernel(self.directory / "kernel"), deadlines=Deadlines(connect=5, mount=5)
        )
        if self.nodev:
            machine.trouble.nodev.add(str(self.directory))
        host: Host = failing(machine, life, _half_make)
        if not self.journal_path.exists():
            self.journal_path.write_bytes(await _new_journal())
        opened = open_journal(
            self.journal_path, now=wall_clock, inline=True, watch=_watching(life), precautions=PRECAUTIONS
        )
        with trio.CancelScope() as scope:
            life.on_death = partial(self._outlive, scope)
            async with opened as journal, trio.open_nursery() as nursery:
                operations = Operations(nursery, deadline=OPERATION_SECONDS)
                node = await make_node(
                    self.settings, host=host, cluster_id=CLUSTER, journal=journal, operations=operations, now=wall_clock
                )
                yield NodeProcess(node, journal, machine, life)
                nursery.cancel_scope.cancel()

    def _outlive(self, scope: trio.CancelScope) -> None:
        """Keep the journal as its files stand in this moment, and end the process."""
        former = self.journal_path
        self.deaths += 1
        for suffix in ("", "-wal"):
            source = former.with_name(former.name + suffix)
            if source.exists():
                shutil.copyfile(source, self.journal_path.with_name(self.journal_path.name + suffix))
        scope.cancel()


def _half_make(device: Device, fs_type: str) -> None:
    write_filesystem(Path(device.identity), Filesystem(fs_type, device.size_bytes, whole=False))


def _watching(life: Life) -> Callable[[Moment], None]:
    """Count what the journal makes durable as effects of the life, so that a crash falls beside each commit."""
    due = False

    def watch(moment: Moment) -> None:
        nonlocal due
        if moment is Moment.BEFORE:
            due = life.due("commit") and life.fault.startswith("die")
            if due:
                life.before()
        elif due:
            life.after()

    return watch


_template: list[bytes] = []


async def _new_journal() -> bytes:
    """Return the file of a new journal. It is made once, and each world begins with a copy."""
    if not _template:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "node.db"
            async with open_journal(path, now=wall_clock, inline=True, precautions=PRECAUTIONS):
                pass
            _template.append(path.read_bytes())
    return _template[0]


Call = Callable[[Node], Awaitable[object]]


@dataclass(slots=True)
class Kubelet:
    """Makes calls in order, each again until its answer is final, in as many lives of the driver as that takes.

    One that gives up makes each call once, and takes no answer or any error for the end of it.
    """

    calls: Sequence[Call]
    gives_up: bool = False
    done: int = 0

    async def go_on(self, node: Node) -> None:
        """Make the calls that are left. Raises the first final error."""
        while self.done < len(self.calls):
            call = partial(self.calls[self.done], node)
            if self.gives_up:
                self.done += 1
                with suppress(DriverError):
                    await call()
            else:
                await settle(call)
                self.done += 1

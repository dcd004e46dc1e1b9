"""Taking everything of a volume off this node, or refusing with the names of those who use it. The inverse of staging.

Users are looked for first: as long as there is one, nothing is changed. Afterwards no error is final, because what was
taken off stays off: mounts, then the connection, each seen to be gone.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from rdscsi.errors import DeviceUnavailable, NotPermittedNow, OperationPending, OutcomeUnknown
from rdscsi.host.ports import Mount, Number, PathKind
from rdscsi.journal import Operation, StageRecord
from rdscsi.node.machine import Machine, mounted_at, mounted_from, parse_portals
from rdscsi.node.mounting import unmount_all
from rdscsi.observe import logs

_log = logs.get_log()


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is of a volume on this node: connections in whatever epoch, and all mounts of the machine."""

    connected: Mapping[str, tuple[Number, ...]]
    mounts: Sequence[Mount]

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The numbers of the volume's devices."""
        return tuple(number for numbers in self.connected.values() for number in numbers)

    def at(self, path: str) -> list[Mount]:
        """The mounts of a path."""
        return mounted_at(self.mounts, path)

    def without(self, path: str) -> "Scene":
        """The scene as if nothing were mounted at a path."""
        return Scene(self.connected, [mount for mount in self.mounts if mount.mount_point != path])


async def look(machine: Machine, slot: str) -> Scene:
    """Look at what there is of a volume."""
    return Scene(await machine.path_numbers(slot), await machine.host.mounts())


async def is_own(machine: Machine, mount: Mount, numbers: Sequence[Number]) -> bool:
    """Tell whether a mount found at one of a volume's paths is the volume's: of its devices, or of one that is gone.

    A filesystem without a block device (major number 0) is somebody else's.
    """
    if mount.number in numbers:
        return True
    return mount.number[0] != 0 and not await machine.host.is_present(mount.number)


async def any_own(machine: Machine, scene: Scene, path: str) -> bool:
    """Tell whether anything that is mounted at a path is the volume's."""
    return any([await is_own(machine, mount, scene.numbers) for mount in scene.at(path)])


async def refuse_foreign(machine: Machine, volume_id: str, scene: Scene, path: str) -> None:
    """Raise NotPermittedNow when what is mounted at a path is not the volume."""
    for mount in scene.at(path):
        if not await is_own(machine, mount, scene.numbers):
            raise NotPermittedNow(f"{volume_id}: what is mounted at {path} is not this volume: {mount.source}")


async def refuse_users(machine: Machine, volume_id: str, scene: Scene, staging_target_path: str) -> None:
    """Raise NotPermittedNow when anybody uses the volume, or when what is mounted at its path is not the volume."""
    await refuse_foreign(machine, volume_id, scene, staging_target_path)
    elsewhere = [one for one in mounted_from(scene.mounts, scene.numbers) if one.mount_point != staging_target_path]
    users = [f"mounted at {one.mount_point}" for one in elsewhere]
    users += [f"published at {path}" for path in await _published(machine, volume_id, scene)]
    for subnqn in scene.connected:
        users += await find_holders(machine, subnqn)
    if users:
        raise NotPermittedNow(f"{volume_id} is in use: {'; '.join(dict.fromkeys(users))}")


async def _published(machine: Machine, volume_id: str, scene: Scene) -> list[str]:
    """The targets that can be used still: mounts, nodes with the volume's number, publishing that is unfinished."""
    paths = []
    for path, target in (await machine.published(volume_id)).items():
        if not target.finished:
            paths.append(f"{path} (begun, not finished)")
        elif scene.at(path):
            paths.append(path)
        elif target.access_type == "block":
            state = await machine.host.path_state(path)
            if state.kind is PathKind.BLOCK_DEVICE and state.number in scene.numbers:
                paths.append(path)
    return paths


async def find_holders(machine: Machine, subnqn: str) -> list[str]:
    """Say who else than a mount uses a volume's device; nobody when it cannot be looked at."""
    try:
        device = await machine.host.find_device(subnqn)
    except DeviceUnavailable:
        return []  # mounts and nodes were looked at by its number; who else would hold it cannot be told now
    return [] if device is None else list(await machine.host.holders(device))


async def clear(
    machine: Machine,
    operation: Operation,
    scene: Scene,
    staging_target_path: str,
    record: StageRecord | None,
    *,
    withdrawn: bool = False,
) -> None:
    """Unmount the staging path, disconnect every epoch of the volume, and prove both. Users were refused before.

    `withdrawn`: the export is proven to be gone. Then the connection is cut first: the disk may be another node's by
    now, and an unmount writes.
    """
    if scene.at(staging_target_path):
        if withdrawn and record is not None and scene.connected:
            await _cut(machine, operation, scene, record)
        await operation.step("unmount", staging_target_path)
        await _unmount(machine, operation, scene, staging_target_path, record)
    for subnqn in scene.connected:
        # Only now can be seen who has it mounted where we cannot look.
        if users := await find_holders(machine, subnqn):
            raise OperationPending(f"{subnqn} is not disconnected, for it is in use: {'; '.join(users)}")
        await operation.step("disconnect", subnqn)
        await machine.host.disconnect(subnqn)


async def _unmount(machine: Machine, operation: Operation, scene: Scene, path: str, record: StageRecord | None) -> None:
    try:
        await unmount_all(machine, path)
    except OutcomeUnknown:
        if record is None or not await _is_fenced(machine, record):
            raise
        # The unmount waits for I/O that no target will ever answer. Without the connection that I/O fails.
        await _cut(machine, operation, scene, record)
        await unmount_all(machine, path)


async def _cut(machine: Machine, operation: Operation, scene: Scene, record: StageRecord) -> None:
    await operation.step("fenced", f"{record.subnqn} is offered no more; unwritten data may be lost")
    _log.warning("volume.fenced", volume=record.volume_id, subnqn=record.subnqn, lost="unwritten data, if any")
    for subnqn in scene.connected:
        with suppress(OutcomeUnknown):  # its last user is the mount; it is proven gone after the unmount
            await machine.host.disconnect(subnqn)


async def _is_fenced(machine: Machine, record: StageRecord) -> bool:
    """Tell whether a portal that can be reached no longer offers the epoch of this record to this node."""
    try:
        return not await machine.host.offers(machine.connection(record.subnqn, parse_portals(record.portals)))
    except DeviceUnavailable:
        return False

"""NodeGetVolumeStats: bytes and inodes of a filesystem, bytes of a block device. Changes nothing."""

from rdscsi.errors import NotFound
from rdscsi.model import AccessType, Usage, VolumeStats
from rdscsi.node import options, staged
from rdscsi.node.expansion import get_record_at
from rdscsi.node.machine import Machine, mounted_at


async def stats(machine: Machine, volume_id: str, volume_path: str, staging_target_path: str) -> VolumeStats:
    """Measure a volume at a path.

    Raises NotFound when it is not there, DeviceUnavailable when it does not answer. What is wrong with it is in
    `abnormal`: then figures may be missing.
    """
    record = await get_record_at(machine, volume_id, volume_path, staging_target_path)
    path = await machine.host.canonical(volume_path)
    device = await machine.host.find_device(record.subnqn)
    if device is None:
        return VolumeStats((), f"its device is gone: {record.subnqn} is not connected any more")
    if record.access_type == AccessType.BLOCK.value:
        state = await machine.host.path_state(path)
        if path != record.staging_target_path and state.number != device.number:
            raise NotFound(f"{volume_id} is not at {volume_path}: a {state.kind.value}")
        return VolumeStats((Usage("bytes", device.size_bytes),))
    at = mounted_at(await machine.host.mounts(), path)
    if not at:
        raise NotFound(f"{volume_id} is not at {volume_path}: nothing is mounted there")
    if at[-1].number != device.number:
        return VolumeStats((), "what is mounted is the filesystem of a device that is gone")
    stopped = options.READONLY in at[-1].super_options and options.READONLY not in staged.options_of(record)
    return VolumeStats(await machine.host.usage(path), "its filesystem is read-only after an error" if stopped else "")

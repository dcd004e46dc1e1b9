"""NodeExpandVolume: the device has the size that is asked for, and its filesystem fills it. Never shrinks anything.

1. The intent · 2. wait until the device is seen to be large enough · 3. the filesystem grows, online · 4. `finish` with
the observed size. A crash anywhere leaves a larger device or filesystem, which the next attempt finds.
"""

from dataclasses import replace

from rdscsi.errors import CapacityOutOfRange, CommandFailed, NotFound, NotPermittedNow
from rdscsi.host.ports import Device, PathKind
from rdscsi.journal import Json, Operation, StageRecord, changes
from rdscsi.model import AccessType, NodeExpandRequest
from rdscsi.node import identity, options, staged
from rdscsi.node.machine import EXPAND, Machine, mounted_at


async def expand(machine: Machine, request: NodeExpandRequest) -> int:
    """Let device and filesystem fill the volume's present size; return the device's size in bytes.

    The path may be the staging path, a target path or a block device. Raises NotFound, CapacityOutOfRange,
    NotPermittedNow or CommandFailed with nothing half made; else NotFinal.
    """
    record = await get_record_at(machine, request.volume_id, request.volume_path, request.staging_target_path)
    wanted: dict[str, Json] = {
        "required_bytes": request.capacity_range.required_bytes,
        "limit_bytes": request.capacity_range.limit_bytes,
    }
    async with machine.journal.operation(EXPAND, record.volume_id, wanted, supersedes=(EXPAND,)) as operation:
        return await carry_out(machine, operation)


async def carry_out(machine: Machine, operation: Operation) -> int:
    """Grow as the intent says; return the size in bytes."""
    required, limit = (int(str(operation.request[name])) for name in ("required_bytes", "limit_bytes"))
    try:
        record, device = await staged.get_device(machine, operation.subject)
        await operation.step("wait for the size", f"{device.size_bytes} of {required} bytes")
        device = await machine.host.wait_size(device, max(required, record.size_bytes))
        identity.prove(record, device, same_connection=True)
        if limit and device.size_bytes > limit:
            raise CapacityOutOfRange("capacity_range.limit_bytes", limit, f"the volume has {device.size_bytes} already")
        await _grow(machine, record, device)
    except (NotPermittedNow, CapacityOutOfRange, CommandFailed) as error:
        await operation.fail(error)  # whatever has grown stays grown, and is the volume's true size
        raise
    grown = replace(record, size_bytes=device.size_bytes, updated_at=machine.now())
    await operation.finish(changes.put_stage(grown), outcome=f"{device.size_bytes} bytes")
    return device.size_bytes


async def _grow(machine: Machine, record: StageRecord, device: Device) -> None:
    if record.access_type == AccessType.BLOCK.value or options.READONLY in staged.options_of(record):
        return
    path = record.staging_target_path
    at = mounted_at(await machine.host.mounts(), path)
    if not at or at[-1].number != device.number:
        raise NotPermittedNow(f"{record.volume_id} is not mounted at {path}; it must be staged again")
    await machine.host.grow_filesystem(device, at[-1].fs_type, path)


async def get_record_at(machine: Machine, volume_id: str, volume_path: str, staging_target_path: str) -> StageRecord:
    """Return the record of the volume that is at a path: staged or published there, or its device.

    Raises NotFound when it is not.
    """
    host = machine.host
    path = await host.canonical(volume_path)
    staging = await host.canonical(staging_target_path) if staging_target_path else ""
    access_type = None
    if staging_target_path:  # without it a lost record is not made anew: nothing tells where the volume is staged
        block = (await host.path_state(path)).kind is PathKind.BLOCK_DEVICE
        access_type = AccessType.BLOCK if block else AccessType.MOUNT
    try:
        record = await staged.get_record(machine, volume_id, staging, access_type)
    except NotPermittedNow as error:
        raise NotFound(f"{volume_id} is not at {volume_path}: {error}") from error
    if path == record.staging_target_path or path in await machine.published(volume_id):
        return record
    device = await host.find_device(record.subnqn)
    number = (await host.path_state(path)).number
    mounts = mounted_at(await host.mounts(), path)
    if device is not None and (number == device.number or any(one.number == device.number for one in mounts)):
        return record
    raise NotFound(f"{volume_id} is not at {volume_path}")

"""What is staged: the record of a volume, rebuilt from the machine when the journal lost it, and its proven device."""

import json

from rdscsi.errors import NotPermittedNow
from rdscsi.host.ports import Device
from rdscsi.journal import StageRecord, changes
from rdscsi.model import AccessType
from rdscsi.node import identity, options
from rdscsi.node.formatting import MOUNTED_TYPES
from rdscsi.node.machine import Machine, mounted_at
from rdscsi.observe import logs

_log = logs.get_log()


def options_of(record: StageRecord) -> tuple[str, ...]:
    """Return the mount options that a volume was staged with."""
    return tuple(json.loads(record.mount_flags))


async def get_record(
    machine: Machine, volume_id: str, staging_target_path: str, access_type: AccessType | None
) -> StageRecord:
    """Return the record of a staged volume, rebuilt when the journal has none and its way of access is known.

    Raises NotPermittedNow when it is not staged here.
    """
    record = await machine.journal.stage(volume_id)
    if record is None and access_type is not None:
        record = await _rebuild(machine, volume_id, staging_target_path, access_type)
    if record is None or record.state != "staged":
        raise NotPermittedNow(f"{volume_id} is not staged on this node" + (f": {record.state}" if record else ""))
    return record


async def get_device(machine: Machine, volume_id: str) -> tuple[StageRecord, Device]:
    """Return the record of a staged volume and its device, proven to be the one that was staged.

    Raises NotPermittedNow when it is not staged or its device is gone, Quarantined when it is another one, and
    DeviceUnavailable while it cannot be used.
    """
    record = await get_record(machine, volume_id, "", None)
    machine.refuse_leaving(record.subnqn)
    device = await machine.host.find_device(record.subnqn)
    if device is None:
        raise NotPermittedNow(f"{volume_id}: {record.subnqn} is not connected any more; it must be staged again")
    identity.prove(record, device, same_connection=True)
    return record, device


async def _rebuild(machine: Machine, volume_id: str, path: str, access_type: AccessType) -> StageRecord | None:
    """Make a record from what is seen, where that is enough: one epoch connected and, for a filesystem, mounted.

    It does not know access mode and portals; a stage that comes later puts them in.
    """
    slot = machine.find_slot(volume_id)
    connected = await machine.path_numbers(slot) if slot else {}
    if len(connected) != 1:
        return None
    subnqn = next(iter(connected))
    device = await machine.host.find_device(subnqn)
    if device is None:
        return None
    at = mounted_at(await machine.host.mounts(), path)
    block = access_type is AccessType.BLOCK
    mounted = at[-1] if at and at[-1].number == device.number and at[-1].root == "/" else None
    if block == (mounted is not None) or (mounted is not None and mounted.fs_type not in MOUNTED_TYPES):
        return None
    record = StageRecord(
        volume_id=volume_id,
        staging_target_path=path,
        subnqn=subnqn,
        portals="",
        access_type=access_type.value,
        access_mode="",
        fs_type=mounted.fs_type if mounted else "",
        mount_flags=json.dumps([options.READONLY] if mounted and mounted.readonly else []),
        state="staged",
        size_bytes=0,
        identity="",
        format_permit="",
        formatted=False,
        updated_at=machine.now(),
    )
    record = identity.seen(record, device, machine.now())
    await machine.journal.commit(changes.put_stage(record))
    _log.warning("stage.rebuilt", volume=volume_id, subnqn=subnqn, path=path, reason="the journal had no record")
    return record

"""Proof that a device is this volume's, given again before each mount, mkfs, resize and publish. Pure.

Across publications: the volume's slot is in the NQN, and the device is not smaller than it ever was. Within one
connection also the namespace's own identity, which an export may draw anew.
"""

from dataclasses import replace

from rdscsi import names
from rdscsi.errors import Quarantined
from rdscsi.host.ports import Device
from rdscsi.journal import StageRecord


def prove(record: StageRecord, device: Device, *, same_connection: bool) -> None:
    """Raise Quarantined unless the device is the one of the record.

    `same_connection`: somebody uses the device since the record was written, so it must be the very same namespace.
    """
    parsed = names.parse_volume_id(record.volume_id)
    if parsed is None or names.slot_of_subnqn(device.subnqn) != parsed.slot:
        raise Quarantined(f"{record.volume_id}: {device.subnqn} names another volume")
    if device.size_bytes < record.size_bytes:
        raise Quarantined(
            f"{record.volume_id}: {device.path} has {device.size_bytes} bytes, and it had {record.size_bytes}: not used"
        )
    if same_connection and record.identity and record.subnqn == device.subnqn and record.identity != device.identity:
        raise Quarantined(
            f"{record.volume_id}: {device.path} is {device.identity!r}, and {record.identity!r} was staged: not used"
        )


def seen(record: StageRecord, device: Device, now: float) -> StageRecord:
    """Return the record with what was just proven about its device."""
    return replace(record, identity=device.identity, size_bytes=device.size_bytes, updated_at=now)

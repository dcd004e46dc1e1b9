"""Whether a filesystem may be made on a device (law 6), and making it. The only caller of mkfs.

The order, and what a crash leaves (the permit is in the publish_context, the stamp on the device):

1. The probe proves the device blank, every byte of it read without an error.
2. The stamp is written.                 Before 3, a crash leaves a stamped device: STAMPED, so mkfs is begun again.
3. mkfs runs.                            A crash inside leaves half a filesystem under the stamp: made again, forced.
4. The stamp is cleared.                 Before this, a crash leaves a whole filesystem under the stamp: made again,
                                         which loses nothing, because nobody has mounted it yet.
5. The stage's own commit records that the permit was used. A crash before leaves a filesystem, which needs no permit.

The stamp names the volume, not the permit: another epoch's permit finishes what an earlier one began. A permit that was
used is refused on a device that is blank again: then data was lost, and an empty filesystem must not hide that.
"""

from collections.abc import Mapping
from types import MappingProxyType

from rdscsi import names, tuning
from rdscsi.errors import FormatRefused
from rdscsi.host.ports import Content, ContentKind, Device
from rdscsi.journal import Change, Operation, changes
from rdscsi.node.machine import Machine
from rdscsi.node.wishes import Wish
from rdscsi.tuning import DEFAULT_FS_TYPE

MOUNTED_TYPES = ("ext4", "xfs")

_USED_PERMIT = "node.permit."
"""Meta keys that tell used permits; the value is the volume id."""


def stamp_of(volume_id: str) -> str:
    """Return the text that marks a device on which mkfs was begun for this volume."""
    return f"rdscsi mkfs begun 1 {names.checksum('stamp', volume_id, length=32)}"


def permit_used(wish: Wish) -> list[Change]:
    """Return what records that a volume has a filesystem now, so that its permit makes no other."""
    return [changes.put_meta(_USED_PERMIT + wish.format_permit, wish.volume_id)] if wish.format_permit else []


async def ensure_filesystem(machine: Machine, operation: Operation, device: Device, wish: Wish) -> tuple[str, bool]:
    """Return the type of the device's filesystem, and whether it was made here and now.

    Raises FormatRefused when there is none that fits and none may be made, with the device as it was; and
    DeviceUnavailable when what it holds cannot be told.
    """
    host, stamp = machine.host, stamp_of(wish.volume_id)
    content = await host.probe(device, stamp)
    if content.kind is ContentKind.FILESYSTEM:
        return _accepted(content, device, wish, machine), False
    used = wish.format_permit and await machine.journal.get_meta(_USED_PERMIT + wish.format_permit) is not None
    refusal = _refusal(content, wish, used=bool(used))
    if refusal:
        raise FormatRefused(f"{wish.volume_id}: {device.path} {refusal}. {_by_hand(machine, wish)}")
    fs_type = wish.fs_type or DEFAULT_FS_TYPE
    options = tuning.arguments("volume_context", wish.tuning, fs_type)  # before anything is written
    await operation.step("format", f"{fs_type} under permit {wish.format_permit}, found {content.kind.value}")
    if content.kind is ContentKind.BLANK:
        await host.write_stamp(device, stamp)
    unfinished = content.kind is ContentKind.STAMPED
    await host.make_filesystem(device, fs_type, erase_unfinished=unfinished, options=options)
    await host.clear_stamp(device, stamp)
    return fs_type, True


def _accepted(content: Content, device: Device, wish: Wish, machine: Machine) -> str:
    wanted = (wish.fs_type,) if wish.fs_type else MOUNTED_TYPES
    if content.fs_type not in wanted:
        raise FormatRefused(
            f"{wish.volume_id}: {device.path} holds {content.fs_type}, and {' or '.join(wanted)} was asked for."
            f" {_by_hand(machine, wish)}"
        )
    return content.fs_type


_WHEN_REFUSED: Mapping[ContentKind, str] = MappingProxyType(
    {
        ContentKind.BLANK: "is blank",
        ContentKind.STAMPED: "holds a filesystem that was begun and not finished",
        ContentKind.OTHER: "holds something else than a filesystem",
    }
)


def _refusal(content: Content, wish: Wish, *, used: bool) -> str:
    """Say why no filesystem may be made; empty when it may."""
    found = _WHEN_REFUSED[content.kind] + (f" ({content.detail})" if content.detail else "")
    if content.kind is ContentKind.OTHER:
        return f"{found}, and that is not overwritten"
    if wish.readonly:
        return f"{found}, and is to be used read-only"
    if not wish.format_permit:
        return f"{found}, and the publication does not permit to format it"
    if used:
        return f"{found}, although a filesystem was made under permit {wish.format_permit}: its data is lost"
    return ""


def _by_hand(machine: Machine, wish: Wish) -> str:
    """Name the command by which a person allows it after all."""
    connection = machine.connection(wish.subnqn, wish.portals)
    portal = wish.portals[0]
    fs_type = wish.fs_type or DEFAULT_FS_TYPE
    mkfs = " ".join((f"mkfs.{fs_type}", *(tuning.mkfs_words(wish.tuning.mkfs_options, fs_type) or ())))
    return (
        "If nothing on it is worth keeping, make the filesystem by hand on this node, and it will be mounted as it is: "
        f"nvme connect -t tcp -a {portal.traddr} -s {portal.trsvcid} -n {connection.subnqn} -q {connection.hostnqn} "
        f"-I {connection.host_id}; blkdiscard --force --zeroout DEVICE; {mkfs} DEVICE; "
        f"nvme disconnect -n {connection.subnqn}"
    )

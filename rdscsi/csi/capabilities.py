"""Volume capabilities: from the wire to `model.VolumeCapability`, and which of them this driver serves. Pure."""

import re
from collections.abc import Sequence

from rdscsi.csi import checks
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.errors import InvalidRequest
from rdscsi.model import AccessMode, AccessType, VolumeCapability

FILESYSTEMS = ("ext4", "xfs")

_HIDDEN = "(not shown)"  # mount flags may be sensitive, says the specification
_FLAG = re.compile(r"[!-~]([ -~]*[!-~])?")


def parse(field: str, message: pb.VolumeCapability | None) -> VolumeCapability:
    """Read one capability: present, complete, of known values. Raises InvalidRequest."""
    if message is None:
        raise InvalidRequest(field, "", "required")
    mode = _access_mode(f"{field}.access_mode", message.access_mode)
    if message.block is not None:
        return VolumeCapability(AccessType.BLOCK, mode)
    if message.mount is None:
        raise InvalidRequest(f"{field}.access_type", "", "required: mount or block")
    return _mount(f"{field}.mount", message.mount, mode)


def unserved(capability: VolumeCapability) -> str:
    """Return why no volume of this driver can be used this way; empty when it can."""
    if capability.access_type is AccessType.MOUNT and capability.access_mode.multi_node:
        return f"{capability.access_mode.value} needs access type block: a filesystem here serves one node at a time"
    return ""


def served(field: str, message: pb.VolumeCapability | None) -> VolumeCapability:
    """Read one capability that this driver must serve. Raises InvalidRequest."""
    capability = parse(field, message)
    reason = unserved(capability)
    if reason:
        raise InvalidRequest(f"{field}.access_mode", capability.access_mode.value, reason)
    return capability


def parse_all(field: str, messages: Sequence[pb.VolumeCapability]) -> tuple[VolumeCapability, ...]:
    """Read at least one capability. Raises InvalidRequest."""
    if not messages:
        raise InvalidRequest(field, "", "required: at least one capability")
    return tuple(parse(f"{field}[{number}]", one) for number, one in enumerate(messages))


def served_all(field: str, messages: Sequence[pb.VolumeCapability]) -> tuple[VolumeCapability, ...]:
    """Read capabilities that this driver must serve; none is an empty answer. Raises InvalidRequest."""
    return tuple(served(f"{field}[{number}]", one) for number, one in enumerate(messages))


def _access_mode(field: str, message: pb.VolumeCapabilityAccessMode | None) -> AccessMode:
    if message is None:
        raise InvalidRequest(field, "", "required")
    try:
        return AccessMode[message.mode.name or ""]
    except KeyError:
        known = ", ".join(mode.value for mode in AccessMode)
        raise InvalidRequest(f"{field}.mode", str(message.mode), f"one of {known}") from None


def _mount(field: str, message: pb.VolumeCapabilityMountVolume, mode: AccessMode) -> VolumeCapability:
    if message.fs_type and message.fs_type not in FILESYSTEMS:
        expected = f"one of {', '.join(FILESYSTEMS)}, or nothing"
        raise InvalidRequest(f"{field}.fs_type", checks.shortened(message.fs_type), expected)
    if message.volume_mount_group:
        raise InvalidRequest(f"{field}.volume_mount_group", _HIDDEN, "nothing: VOLUME_MOUNT_GROUP is not served")
    return VolumeCapability(
        AccessType.MOUNT, mode, message.fs_type, _flags(f"{field}.mount_flags", message.mount_flags)
    )


def _flags(field: str, flags: Sequence[str]) -> tuple[str, ...]:
    for number, flag in enumerate(flags):
        if not _FLAG.fullmatch(flag):
            raise InvalidRequest(f"{field}[{number}]", _HIDDEN, "a mount option of printable ASCII characters")
    if sum(map(len, flags)) > checks.LARGEST_MAP:
        raise InvalidRequest(field, f"{len(flags)} flags", f"at most {checks.LARGEST_MAP} bytes in all")
    return tuple(flags)

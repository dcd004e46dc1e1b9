"""Mounting a staged filesystem: mount first, so that its journal is replayed; repair only what would not mount."""

from rdscsi.errors import CommandFailed, DeviceUnavailable, OperationPending, OutcomeUnknown
from rdscsi.host.ports import Device, Mount
from rdscsi.journal import Operation
from rdscsi.node import options
from rdscsi.node.machine import Machine, mounted_at
from rdscsi.node.wishes import Wish
from rdscsi.observe import logs

_MOST_MOUNTS = 100
"""More mounts than this on one path, and somebody is mounting faster than we unmount."""

_log = logs.get_log()


async def mount(machine: Machine, operation: Operation, device: Device, wish: Wish, fs_type: str) -> None:
    """Mount the device at the staging path, making the directory where it is missing."""
    host, path = machine.host, wish.staging_target_path
    chosen = options.for_mount(wish.options, fs_type)
    await host.make_directory(path)
    await operation.step("mount", f"{fs_type} at {path}")
    try:
        await host.mount(device, path, fs_type, chosen)
    except CommandFailed as error:
        if wish.readonly:
            raise
        await operation.step("check", str(error))
        await _repair(machine, device, fs_type, error)
        await host.mount(device, path, fs_type, chosen)


async def _repair(machine: Machine, device: Device, fs_type: str, why: CommandFailed) -> None:
    try:
        await machine.host.check_filesystem(device, fs_type)
    except CommandFailed as error:
        raise CommandFailed(why.argv, why.status, f"{why.output.strip()}; then {error}") from error


async def grow_to_fill(machine: Machine, operation: Operation, device: Device, mounted: Mount) -> None:
    """Let a filesystem that was made on a smaller device fill this one, as after a restore to a larger size.

    A refusal is told and does not keep the volume from being used: NodeExpandVolume reports it as an error.
    """
    if mounted.readonly or options.READONLY in mounted.super_options:
        return
    try:
        await machine.host.grow_filesystem(device, mounted.fs_type, mounted.mount_point)
    except CommandFailed as error:
        await operation.step("not grown", str(error))
        _log.warning("filesystem.not_grown", device=device.path, reason=str(error))


def usable(mounted: Mount, *, readonly: bool) -> bool:
    """Tell whether a mount has the access that it is to have; an error makes the filesystem itself read-only."""
    return not stopped(mounted, readonly=readonly) and readonly == (
        mounted.readonly or options.READONLY in mounted.super_options
    )


def stopped(mounted: Mount, *, readonly: bool) -> bool:
    """Tell whether an error has stopped a filesystem: it is read-only though nobody asked for that, or shut down."""
    own = mounted.super_options
    return (options.READONLY in own and not readonly) or any(one in own for one in options.STOPPED)


async def is_failed(machine: Machine, path: str) -> bool:
    """Tell whether the filesystem mounted at a path answers with an error, as an XFS does that was shut down.

    Its options do not show it. Raises DeviceUnavailable when it does not answer at all.
    """
    try:
        await machine.host.path_state(path)
    except DeviceUnavailable as error:
        if isinstance(error.__cause__, OutcomeUnknown):
            raise
        return True
    return False


async def unmount_all(machine: Machine, path: str) -> None:
    """Take off mounts until mountinfo shows none at the path.

    Raises OperationPending while one is busy, OutcomeUnknown when an unmount does not end.
    """
    for _ in range(_MOST_MOUNTS):
        if not mounted_at(await machine.host.mounts(), path):
            return
        try:
            await machine.host.unmount(path)
        except CommandFailed as error:
            raise OperationPending(f"{path} cannot be unmounted now: {error}") from error
    raise OperationPending(f"{path}: still mounted after {_MOST_MOUNTS} unmounts")

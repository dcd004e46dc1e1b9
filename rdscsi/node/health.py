"""What is wrong with a staged volume, seen from this node: its paths, its device, its mounts. Changes nothing.

Each look has a deadline, so that a device that hangs costs its own volume alone. What cannot be told is an error, not
health. The reasons are listed in docs/node.md, and are for machines: none may change its meaning.
"""

from collections.abc import Iterable, Iterator

import trio

from rdscsi.errors import DeviceUnavailable, NotFinal, OutcomeUnknown
from rdscsi.host.ports import Controller, Device, Mount
from rdscsi.journal import StageRecord
from rdscsi.model import AccessType, HealthProblem, HealthStatus, Portal
from rdscsi.node import mounting, options, staged
from rdscsi.node.machine import Machine, mounted_at, parse_portals

LOOK_SECONDS = 30.0

NOT_CONNECTED, PATHS_DOWN, PATH_DOWN, PATH_MISSING = "NotConnected", "PathsDown", "PathDown", "PathMissing"
NAMESPACE_MISSING, DEVICE_CHANGED, SIZE_MISMATCH = "NamespaceMissing", "DeviceChanged", "SizeMismatch"
NOT_MOUNTED, NOT_PUBLISHED, STALE = "NotMounted", "NotPublished", "DeviceGone"
FILESYSTEM_STOPPED, FILESYSTEM_FAILED = "FilesystemReadOnly", "FilesystemFailed"
UNRESPONSIVE, NOT_STAGED = "Unresponsive", "NotStaged"
PORTAL_UNREACHABLE, EXPORT_WITHDRAWN = "PortalUnreachable", "ExportWithdrawn"

CUT_OFF = frozenset({NOT_CONNECTED, PATHS_DOWN})
"""With one of these no path carries I/O."""


def inaccessible(reason: str, message: str) -> HealthProblem:
    """Return a problem with which the volume cannot be used here as it is meant to be."""
    return HealthProblem(HealthStatus.INACCESSIBLE, reason, message)


async def problems_of(machine: Machine, record: StageRecord) -> tuple[HealthProblem, ...]:
    """Return what is wrong with a volume that is staged, each reason once.

    Raises DeviceUnavailable when the machine cannot be looked at.
    """
    try:
        with trio.fail_after(LOOK_SECONDS):
            found = [*await _paths(machine, record)]
            device, why_none = await _device(machine, record, found)
            found += [why_none] if why_none else []
            found += _compare(record, device) if device else []
            found += await _uses(machine, record, device)
    except trio.TooSlowError:
        found = [inaccessible(UNRESPONSIVE, f"it could not be looked at within {LOOK_SECONDS:g} s")]
    return tuple(merged(found))


def merged(problems: Iterable[HealthProblem]) -> Iterator[HealthProblem]:
    """Yield each (status, reason) once, as the specification demands, with all its messages."""
    messages: dict[tuple[HealthStatus, str], list[str]] = {}
    for one in problems:
        messages.setdefault((one.status, one.reason), []).append(one.message)
    for (status, reason), own in messages.items():
        yield HealthProblem(status, reason, "; ".join(dict.fromkeys(own)))


async def _paths(machine: Machine, record: StageRecord) -> list[HealthProblem]:
    controllers = await machine.host.controllers(record.subnqn)
    if not controllers:
        return [inaccessible(NOT_CONNECTED, f"{record.subnqn} is not connected any more; it must be staged again")]
    if not any(one.live for one in controllers):
        return [inaccessible(PATHS_DOWN, f"no path carries I/O: {_shown(controllers)}")]
    down = [one for one in controllers if not one.live]
    found = [HealthProblem(HealthStatus.DEGRADED, PATH_DOWN, _shown(down))] if down else []
    missing = await find_missing(machine, record, controllers)
    if missing:
        message = f"not connected through {', '.join(map(str, missing))}"
        found.append(HealthProblem(HealthStatus.DEGRADED, PATH_MISSING, message))
    return found


async def find_missing(machine: Machine, record: StageRecord, controllers: Iterable[Controller]) -> tuple[Portal, ...]:
    """Return the portals of a record through which a volume that is connected should be connected and is not."""
    there = {one.portal for one in controllers}
    missing = tuple(one for one in parse_portals(record.portals) if one not in there)
    return missing if there and missing and None not in there and await machine.host.multipath() else ()


async def _device(
    machine: Machine, record: StageRecord, paths: Iterable[HealthProblem]
) -> tuple[Device | None, HealthProblem | None]:
    """Return the device, or why there is none unless that was told already."""
    try:
        return await machine.host.find_device(record.subnqn), None
    except OutcomeUnknown as error:  # there is something, and it is nothing that this driver exports
        return None, inaccessible(DEVICE_CHANGED, str(error))
    except DeviceUnavailable as error:
        told = any(one.reason in CUT_OFF for one in paths)
        return None, None if told else inaccessible(NAMESPACE_MISSING, str(error))


def _compare(record: StageRecord, device: Device) -> Iterator[HealthProblem]:
    if device.size_bytes < record.size_bytes:
        message = f"{device.path} has {device.size_bytes} bytes, and it had {record.size_bytes}"
        yield HealthProblem(HealthStatus.DATA_LOSS, SIZE_MISMATCH, message)
    if record.identity and record.identity != device.identity:
        yield inaccessible(DEVICE_CHANGED, f"{device.path} is {device.identity!r}, and {record.identity!r} was staged")


async def _uses(machine: Machine, record: StageRecord, device: Device | None) -> list[HealthProblem]:
    """Look at the staging path and at every target path; without a device, at nothing that needs one."""
    mounts = await machine.host.mounts()
    targets = [one.target_path for one in await machine.journal.targets(record.volume_id)]
    if record.access_type == AccessType.BLOCK.value:
        return [wrong for path in targets if device and (wrong := await _node(machine, path, device))]
    readonly = options.READONLY in staged.options_of(record)
    found = list(_mount(mounts, record.staging_target_path, device, NOT_MOUNTED, readonly=readonly))
    for path in targets:
        found += _mount(mounts, path, device, NOT_PUBLISHED, readonly=readonly)
    if device is not None and not found:  # on a dead path nothing more would be learnt, at the price of a hung call
        try:
            if await mounting.is_failed(machine, record.staging_target_path):
                message = f"{record.staging_target_path}: its filesystem answers with errors"
                found.append(inaccessible(FILESYSTEM_FAILED, message))
        except DeviceUnavailable as error:
            found.append(inaccessible(UNRESPONSIVE, str(error)))
    return found


def _mount(
    mounts: Iterable[Mount], path: str, device: Device | None, if_none: str, *, readonly: bool
) -> Iterator[HealthProblem]:
    at = mounted_at(list(mounts), path)
    if not at:
        yield inaccessible(if_none, f"nothing is mounted at {path}")
    elif device is not None and at[-1].number != device.number:
        yield inaccessible(STALE, f"what is mounted at {path} is the filesystem of a device that is gone")
    elif mounting.stopped(at[-1], readonly=readonly):
        yield inaccessible(FILESYSTEM_STOPPED, f"{path} takes no writes any more after an error")


async def _node(machine: Machine, path: str, device: Device) -> HealthProblem | None:
    try:
        state = await machine.host.path_state(path)
    except NotFinal as error:
        return inaccessible(UNRESPONSIVE, str(error))
    if state.number == device.number:
        return None
    reason = NOT_PUBLISHED if state.number is None else STALE
    return inaccessible(reason, f"{path}: a {state.kind.value}, and not the volume's device")


def _shown(controllers: Iterable[Controller]) -> str:
    return ", ".join(f"{one.portal or 'its device'} {one.state}" for one in controllers)

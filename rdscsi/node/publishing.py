"""NodePublishVolume and NodeUnpublishVolume: the volume at a target path, and nothing of it left there.

The write order of publish: 1. the intent · 2. the directory or file · 3. the bind mount or device node · 4. `finish`,
with the target's record. A crash leaves an empty directory or a mount, which the next publish puts right, and the
unpublish that follows (the orchestrator's, or recovery's) removes by what mountinfo shows. A target that has a record
was published before: an error then takes nothing off. Of unpublish: 1. the intent · 2. mounts off until there is none ·
3. the path removed, never recursively · 4. `finish`, which drops the record.
"""

from contextlib import nullcontext, suppress

from rdscsi.errors import (
    AlreadyExists,
    DriverError,
    NotFinal,
    NotFound,
    NotPermittedNow,
    OperationPending,
    UnexpectedAnswer,
)
from rdscsi.host.ports import Device, Mount, PathKind
from rdscsi.journal import Json, Operation, OperationRecord, StageRecord, TargetRecord, changes
from rdscsi.model import AccessMode, AccessType, NodePublishRequest
from rdscsi.node import nodes, options, staged, staging
from rdscsi.node.clearing import is_own
from rdscsi.node.machine import PUBLISH, UNPUBLISH, Machine, mounted_at
from rdscsi.node.mounting import unmount_all, usable

_NODE_FILESYSTEMS = ("devtmpfs", "tmpfs")
"""Where device nodes are: what is mounted when one is bound to a target."""


async def publish(machine: Machine, request: NodePublishRequest) -> None:
    """Make a staged volume appear at a target path; published there already is proven and is a success.

    Raises NotFound, AlreadyExists or NotPermittedNow with nothing left behind; else NotFinal.
    """
    if machine.find_slot(request.volume_id) is None:
        raise NotFound(f"volume {request.volume_id} does not exist")
    path = await machine.host.canonical(request.target_path)
    staging_path = await machine.host.canonical(request.staging_target_path)
    record = await staged.get_record(machine, request.volume_id, staging_path, request.capability.access_type)
    record = await _ensure_staged(machine, record)
    wanted = TargetRecord(
        target_path=path,
        volume_id=request.volume_id,
        access_type=request.capability.access_type.value,
        access_mode=request.capability.access_mode.value,
        readonly=request.readonly or options.READONLY in staged.options_of(record),
        updated_at=machine.now(),
    )
    _refuse_other_staging(record, wanted, staging_path, request.capability.fs_type)
    await _refuse_other_target(machine, wanted)
    await _refuse_second(machine, wanted)
    async with machine.journal.operation(PUBLISH, path, _intent(wanted), supersedes=(PUBLISH, UNPUBLISH)) as operation:
        await carry_out_publish(machine, operation)


async def is_complete(machine: Machine, found: OperationRecord) -> bool:
    """Tell whether all that a publish intent asks for is there, so that only its commit is missing."""
    wanted = _wanted(found, machine.now())
    try:
        _, device = await staged.get_device(machine, wanted.volume_id)
    except NotPermittedNow:
        return False
    if wanted.access_type == AccessType.BLOCK.value:
        return (await machine.host.path_state(wanted.target_path)).number == device.number
    there = mounted_at(await machine.host.mounts(), wanted.target_path)
    return [(one.number, one.readonly) for one in there] == [(device.number, wanted.readonly)]


async def carry_out_publish(machine: Machine, operation: Operation) -> None:
    """Publish as the intent says, or take off what was put on and refuse."""
    wanted = _wanted(operation, machine.now())
    try:
        record, device = await staged.get_device(machine, wanted.volume_id)
        if wanted.access_type == AccessType.BLOCK.value:
            await nodes.ensure_node(machine, device, wanted.target_path, readonly=wanted.readonly)
        else:
            await _ensure_bound(machine, record, device, wanted)
    except NotFinal:
        raise
    except DriverError as error:
        await undo_publish(machine, operation, error)
        raise
    await operation.finish(changes.put_target(wanted), outcome=f"{device.path} at {wanted.target_path}")


async def undo_publish(machine: Machine, operation: Operation, error: DriverError) -> None:
    """Take off what this operation put on, then close it as refused; what was published before stays."""
    wanted = _wanted(operation, machine.now())
    if await _find_target(machine, wanted.target_path) is None:
        await operation.step("undo", str(error))
        with suppress(NotPermittedNow):  # what is left there is not ours
            await _take_off(machine, wanted.volume_id, wanted.target_path)
    await operation.fail(error)


async def unpublish(machine: Machine, volume_id: str, target_path: str) -> None:
    """Take a volume off a target path and remove the path. Nothing there is a success.

    Raises NotPermittedNow for what is not this volume's; else NotFinal.
    """
    path = await machine.host.canonical(target_path)
    record = await _find_target(machine, path)
    if record is not None and record.volume_id != volume_id:
        raise NotPermittedNow(f"{path}: the volume {record.volume_id} is published there, not {volume_id}")
    unfinished = any(one.subject == path for one in await machine.journal.open_operations())
    if record is None and not unfinished and (await machine.host.path_state(path)).kind is PathKind.ABSENT:
        return
    await _refuse_foreign(machine, volume_id, path)
    async with machine.journal.operation(
        UNPUBLISH, path, {"volume_id": volume_id}, supersedes=(PUBLISH, UNPUBLISH), undoing=True
    ) as operation:
        await carry_out_unpublish(machine, operation)


async def carry_out_unpublish(machine: Machine, operation: Operation) -> None:
    """Take the volume off the path of the intent, or prove that nothing is there."""
    try:
        await _take_off(machine, str(operation.request["volume_id"]), operation.subject)
    except NotPermittedNow as error:
        await operation.fail(error)
        raise
    await operation.finish(changes.drop_target(operation.subject), outcome="nothing is there")


# --- looking first


def _refuse_other_staging(record: StageRecord, wanted: TargetRecord, path: str, fs_type: str) -> None:
    if record.staging_target_path != path:
        raise NotPermittedNow(f"{record.volume_id} is staged at {record.staging_target_path}, not at {path}")
    if record.access_type != wanted.access_type:
        raise NotPermittedNow(f"{record.volume_id} is staged as {record.access_type}, not as {wanted.access_type}")
    if fs_type and record.fs_type != fs_type:
        raise NotPermittedNow(f"{record.volume_id} is staged with {record.fs_type}, not with {fs_type}")


async def _refuse_other_target(machine: Machine, wanted: TargetRecord) -> None:
    former = await _find_target(machine, wanted.target_path)
    if former is None:
        return
    if former.volume_id != wanted.volume_id:
        raise NotPermittedNow(f"{wanted.target_path}: the volume {former.volume_id} is published there")
    ours, theirs = (former.access_type, former.access_mode, former.readonly), _way(wanted)
    if ours != theirs:
        raise AlreadyExists(f"{wanted.volume_id} is published at {wanted.target_path} as {ours}, not as {theirs}")


def _way(target: TargetRecord) -> tuple[str, str, bool]:
    return (target.access_type, target.access_mode, target.readonly)


async def _refuse_second(machine: Machine, wanted: TargetRecord) -> None:
    """Refuse a second target path where one workload alone may have the volume; a path that is dead does not count."""
    single = AccessMode.SINGLE_NODE_SINGLE_WRITER.value
    published = await machine.published(wanted.volume_id)
    others = [path for path, one in published.items() if single in (wanted.access_mode, one.access_mode)]
    for path in others:
        if path != wanted.target_path and (
            not published[path].finished or await _shows(machine, wanted.volume_id, path)
        ):
            raise NotPermittedNow(f"{wanted.volume_id} is published at {path}, and {single} allows one path")


async def _shows(machine: Machine, volume_id: str, path: str) -> bool:
    """Tell whether a volume can be reached at a target path now."""
    _, device = await staged.get_device(machine, volume_id)
    state = await machine.host.path_state(path)
    mounts = mounted_at(await machine.host.mounts(), path)
    return state.number == device.number or any(mount.number == device.number for mount in mounts)


async def _refuse_foreign(machine: Machine, volume_id: str, path: str) -> None:
    for mount in mounted_at(await machine.host.mounts(), path):
        if not await _is_ours(machine, volume_id, path, mount):
            raise NotPermittedNow(f"{path}: what is mounted there is not this volume: {mount.source} ({mount.fs_type})")


async def _is_ours(machine: Machine, volume_id: str, path: str, mount: Mount) -> bool:
    """Tell whether a mount at a target may be taken off: of the volume, of a device that is gone, or a device node."""
    if mount.fs_type in _NODE_FILESYSTEMS and (await machine.host.path_state(path)).kind is PathKind.BLOCK_DEVICE:
        return True
    slot = machine.find_slot(volume_id)
    connected = await machine.path_numbers(slot) if slot else {}
    return await is_own(machine, mount, [number for own in connected.values() for number in own])


# --- acting


async def _ensure_staged(machine: Machine, record: StageRecord) -> StageRecord:
    """Stage a volume again whose device or mount was lost while it was staged: kubelet would not ask for it."""
    if record.portals and not await staging.is_intact(machine, record):
        await staging.stage_again(machine, record)
        return await staged.get_record(machine, record.volume_id, "", None)
    return record


async def _ensure_bound(machine: Machine, record: StageRecord, device: Device, wanted: TargetRecord) -> None:
    """Have exactly one bind mount of the staged filesystem at the target, with the access that is wanted."""
    host, path = machine.host, wanted.target_path
    mounts = await host.mounts()
    source = mounted_at(mounts, record.staging_target_path)
    if not source or source[-1].number != device.number:
        raise NotPermittedNow(f"{record.volume_id} is not mounted at {record.staging_target_path}; stage it again")
    if not usable(source[-1], readonly=options.READONLY in staged.options_of(record)):
        raise NotPermittedNow(f"{record.volume_id}: its filesystem went read-only after an error; stage it again")
    there = mounted_at(mounts, path)
    if [(one.number, one.readonly) for one in there] == [(device.number, wanted.readonly)]:
        return
    await _refuse_foreign(machine, record.volume_id, path)
    await unmount_all(machine, path)
    state = await host.path_state(path)
    if state.kind is not PathKind.DIRECTORY:
        if state.kind is not PathKind.ABSENT:
            raise NotPermittedNow(f"{path}: a {state.kind.value} is in the way of a directory")
        await host.make_directory(path)
    await host.bind(record.staging_target_path, path, readonly=wanted.readonly)
    after = [(one.number, one.readonly) for one in mounted_at(await host.mounts(), path)]
    if after != [(device.number, wanted.readonly)]:
        raise OperationPending(f"{path}: bound, and {after or 'nothing'} is to be seen there")


async def _take_off(machine: Machine, volume_id: str, path: str) -> None:
    """Unmount until nothing is mounted at a target, remove it, and see it gone.

    Raises NotPermittedNow when what is left there is not ours; then nothing of ours is.
    """
    block = await _shows_node(machine, path)
    async with (
        machine.nodes if block else nullcontext()
    ):  # a filesystem's unmount may hang, and must not hold others up
        await _refuse_foreign(machine, volume_id, path)
        await unmount_all(machine, path)
        await machine.host.remove(path)
        state = await machine.host.path_state(path)
    if state.kind is not PathKind.ABSENT:
        raise OperationPending(f"{path}: removed, and a {state.kind.value} is there")


async def _shows_node(machine: Machine, path: str) -> bool:
    """Tell whether a block device node is at a path.

    A filesystem that is mounted there is not touched to find out: one that an error has shut down answers nothing, and
    has to be taken off all the same.
    """
    at = mounted_at(await machine.host.mounts(), path)
    if at and at[-1].fs_type not in _NODE_FILESYSTEMS:
        return False
    return (await machine.host.path_state(path)).kind is PathKind.BLOCK_DEVICE


async def _find_target(machine: Machine, path: str) -> TargetRecord | None:
    return next((one for one in await machine.journal.targets() if one.target_path == path), None)


def _intent(wanted: TargetRecord) -> dict[str, Json]:
    return {
        "volume_id": wanted.volume_id,
        "access_type": wanted.access_type,
        "access_mode": wanted.access_mode,
        "readonly": wanted.readonly,
    }


def _wanted(operation: Operation | OperationRecord, now: float) -> TargetRecord:
    """Read an intent. Raises UnexpectedAnswer for one that this version did not write."""
    asked = operation.request
    try:
        return TargetRecord(
            target_path=operation.subject,
            volume_id=str(asked["volume_id"]),
            access_type=str(asked["access_type"]),
            access_mode=str(asked["access_mode"]),
            readonly=bool(asked["readonly"]),
            updated_at=now,
        )
    except KeyError as error:
        raise UnexpectedAnswer(f"{operation.subject}: its intent to publish cannot be read: {error!r}") from error

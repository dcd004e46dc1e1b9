"""NodeStageVolume: connect the device, prove it, mount its filesystem. What is staged already is verified, not redone.

The write order, and for each gap what a crash leaves and who removes it:

1. The intent, with a stage record in state `staging`.      Before 2: nothing on the machine. An unstage, or recovery
   after its patience, drops the record.
2. Stale device nodes at targets are removed, before a new device can be given one of their numbers.
3. The connection.                                          A connected device that nobody uses. The next stage finds
   it connected; an unstage or recovery disconnects it, found by the volume's slot in the NQN, record or not.
4. For a blank device with a permit: stamp, mkfs, stamp cleared (the gaps are in `rdscsi.node.formatting`).
5. The mount at the staging path.                           A mounted filesystem. The next stage verifies it and goes
   on; an unstage unmounts what mountinfo shows.
6. `finish`: the record in state `staged` with identity, size and type, and the permit as used, in one transaction with
   the end of the operation. The sole commit point; before it no answer is final.

Every step looks first, so running the body twice, or finishing what a dead process began, is the same as running it
once. When the volume is refused, `_undo` takes off what this operation put on, by the same function that unstages;
a device that is in use is never disconnected. A record in state `staged` is the proof that the device was in use
before: then nothing is undone. A record of an older epoch is kept until that epoch is cleared away, so that its staging
path is not forgotten.
"""

from dataclasses import replace

from rdscsi.errors import (
    DeviceUnavailable,
    DriverError,
    NotFinal,
    NotFound,
    NotPermittedNow,
    OperationPending,
)
from rdscsi.host.ports import Device, Mount
from rdscsi.journal import Operation, OperationRecord, StageRecord, changes
from rdscsi.model import AccessType, StageRequest
from rdscsi.node import clearing, formatting, identity, mounting, nodes, wishes
from rdscsi.node.clearing import Scene
from rdscsi.node.machine import EXPAND, STAGE, UNSTAGE, Machine, mounted_at, mounted_from
from rdscsi.node.wishes import Wish


async def stage(machine: Machine, request: StageRequest) -> None:
    """Stage a volume, or prove that it is staged.

    Raises InvalidRequest, AlreadyExists, FormatRefused, NotPermittedNow or CommandFailed with nothing left behind; else
    NotFinal.
    """
    slot = machine.find_slot(request.volume_id)
    if slot is None:
        raise NotFound(f"volume {request.volume_id} does not exist")
    path = await machine.host.canonical(request.staging_target_path)
    wish = wishes.of_request(request, path, slot)
    record = await machine.journal.stage(request.volume_id)
    wishes.refuse_other(record, wish)
    begun = []
    if record is None or (wish.continues(record) and record.state != "staged"):
        begun.append(changes.put_stage(wish.record(record, state="staging", now=machine.now())))
    async with machine.journal.operation(
        STAGE, request.volume_id, wish.as_json(), supersedes=(STAGE, UNSTAGE, EXPAND), changes=begun
    ) as operation:
        await carry_out(machine, operation)


async def stage_again(machine: Machine, record: StageRecord) -> None:
    """Stage a volume as its record says. Raises as `stage`."""
    wish = wishes.of_record(record)
    async with machine.journal.operation(
        STAGE, record.volume_id, wish.as_json(), supersedes=(STAGE, EXPAND)
    ) as operation:
        await carry_out(machine, operation)


async def is_intact(machine: Machine, record: StageRecord) -> bool:
    """Tell whether a staged volume is connected and usable now and, for a filesystem, still mounted as it was."""
    try:
        device = await machine.host.find_device(record.subnqn)
    except DeviceUnavailable:
        return False
    if device is None or record.access_type == AccessType.BLOCK.value:
        return device is not None
    at = mounted_at(await machine.host.mounts(), record.staging_target_path)
    readonly = wishes.of_record(record).readonly
    if not at or at[-1].number != device.number or not mounting.usable(at[-1], readonly=readonly):
        return False
    return not await mounting.is_failed(machine, record.staging_target_path)


async def is_complete(machine: Machine, found: OperationRecord) -> bool:
    """Tell whether all that an intent asks for is there, so that only its commit is missing."""
    wish = wishes.of_intent(found.subject, found.request)
    record = await machine.journal.stage(wish.volume_id)
    if record is None or not wish.continues(record):
        return False
    return await is_intact(machine, wish.record(record, state="staging", now=machine.now()))


async def carry_out(machine: Machine, operation: Operation) -> None:
    """Stage the volume as the intent says, or take off again what was put on and refuse."""
    wish = wishes.of_intent(operation.subject, operation.request)
    slot = machine.find_slot(wish.volume_id)
    assert slot is not None, "only volumes of ours are staged"
    try:
        record = await _clear_older(machine, operation, wish, slot)
        device = await _connect(machine, operation, wish, record)
        staged = await _realise(machine, operation, wish, record, device)
    except NotFinal:
        raise
    except DriverError as error:
        await undo(machine, operation, error)
        raise
    used = formatting.permit_used(wish) if wish.access_type is AccessType.MOUNT else []
    await operation.finish(changes.put_stage(staged), *used, outcome=f"{staged.identity}, {staged.size_bytes} bytes")


async def _clear_older(machine: Machine, operation: Operation, wish: Wish, slot: str) -> StageRecord:
    """Clear away what is staged of other epochs or elsewhere; return this wish's record, which the journal has then.

    Raises NotPermittedNow, with nothing changed, while somebody uses it.
    """
    record = await machine.journal.stage(wish.volume_id)
    scene = await clearing.look(machine, slot)
    moved = record is not None and not wish.continues(record)
    others = {subnqn: own for subnqn, own in scene.connected.items() if moved or subnqn != wish.subnqn}
    if others or moved:
        path = record.staging_target_path if record is not None else wish.staging_target_path
        left = Scene(others, scene.mounts)
        await clearing.refuse_users(machine, wish.volume_id, left, path)
        await clearing.clear(machine, operation, left, path, record)
    if record is None or moved:
        record = wish.record(record, state="staging", now=machine.now())
        await operation.record(changes.put_stage(record))
    return record


async def _connect(machine: Machine, operation: Operation, wish: Wish, record: StageRecord) -> Device:
    """Return the connected device, proven to be this volume's."""
    machine.refuse_leaving(wish.subnqn)
    stuck = await nodes.remove_stale(machine)
    await operation.step("connect", wish.subnqn)
    device = await machine.host.connect(machine.connection(wish.subnqn, wish.portals, wish.tuning))
    # Who never staged it has no identity to compare, and the journal is not asked in vain.
    used = bool(record.identity or device.number in stuck) and await _is_used(machine, device, wish)
    if device.number in stuck and not used:
        # Whoever opens that path would open this volume. It gets another number once the path is gone.
        await machine.host.disconnect(wish.subnqn)
        raise DeviceUnavailable(f"{wish.volume_id}: {device.path} can be opened through {stuck[device.number]}")
    identity.prove(record, device, same_connection=used)
    return device


async def _is_used(machine: Machine, device: Device, wish: Wish) -> bool:
    """Tell whether the volume is mounted, or published as a block device, through this very device."""
    if mounted_from(await machine.host.mounts(), (device.number,)):
        return True
    for path in await machine.published(wish.volume_id):
        if (await machine.host.path_state(path)).number == device.number:
            return True
    return False


async def _realise(
    machine: Machine, operation: Operation, wish: Wish, record: StageRecord, device: Device
) -> StageRecord:
    """Mount the filesystem, where one is wanted; return the record of what is there."""
    staged = identity.seen(wish.record(record, state="staged", now=machine.now()), device, machine.now())
    if wish.access_type is AccessType.MOUNT:
        mounted, made = await _ensure_mounted(machine, operation, device, wish)
        return replace(staged, fs_type=mounted.fs_type, formatted=staged.formatted or made)
    if strangers := mounted_from(await machine.host.mounts(), (device.number,)):
        raise NotPermittedNow(f"{wish.volume_id}: a block device here, and mounted at {strangers[0].mount_point}")
    return staged


async def _ensure_mounted(machine: Machine, operation: Operation, device: Device, wish: Wish) -> tuple[Mount, bool]:
    """Return the mount at the staging path, and whether its filesystem was made here and now."""
    found = await _find_mounted(machine, operation, device, wish)
    if found is not None:
        await mounting.grow_to_fill(machine, operation, device, found)
        return found, False
    used = mounted_from(await machine.host.mounts(), (device.number,))
    async with machine.host.holding(device):
        if used:  # through our own targets only; what is mounted is not probed, and certainly not formatted
            fs_type, made = used[0].fs_type, False
        else:
            fs_type, made = await formatting.ensure_filesystem(machine, operation, device, wish)
        await mounting.mount(machine, operation, device, wish, fs_type)
    found = await _find_mounted(machine, operation, device, wish)
    if found is None:
        raise OperationPending(f"{wish.volume_id}: mounted at {wish.staging_target_path}, and not to be seen there")
    if not made:
        await mounting.grow_to_fill(machine, operation, device, found)
    return found, made


async def _find_mounted(machine: Machine, operation: Operation, device: Device, wish: Wish) -> Mount | None:
    """Return the device's mount at the staging path when it can be used; take off one that cannot and may go.

    Raises NotPermittedNow for what is in the way.
    """
    path = wish.staging_target_path
    scene = Scene({wish.subnqn: (device.number,)}, await machine.host.mounts())
    at = scene.at(path)
    failed = False
    if at and at[-1].number == device.number and at[-1].root == "/" and mounting.usable(at[-1], readonly=wish.readonly):
        failed = await mounting.is_failed(machine, path)
        if not failed:
            return at[-1]
    await clearing.refuse_foreign(machine, wish.volume_id, scene, path)
    mounted = mounted_from(scene.mounts, scene.numbers)
    targets = await machine.published(wish.volume_id) if mounted else {}
    for mount in mounted:
        stopped = failed or mounting.stopped(mount, readonly=wish.readonly)
        if mount.mount_point != path and (stopped or mount.mount_point not in targets):
            state = ", read-only after an error" if stopped else ""
            raise NotPermittedNow(
                f"{wish.volume_id}: mounted at {mount.mount_point}{state}; it must go from there first"
            )
    if at:  # of a device that is gone, or stopped by an error: of no use to anybody
        await operation.step("unmount stale", f"{at[-1].source} at {path}")
        await mounting.unmount_all(machine, path)
    return None


async def undo(machine: Machine, operation: Operation, error: DriverError) -> None:
    """Take off what this operation put on, then close it as refused.

    Raises OperationPending when somebody uses it meanwhile: then it stays open.
    """
    wish = wishes.of_intent(operation.subject, operation.request)
    record = await machine.journal.stage(wish.volume_id)
    slot = machine.find_slot(wish.volume_id)
    if slot is None or record is None or record.state == "staged" or not wish.continues(record):
        await operation.fail(error)
        return
    await operation.step("undo", str(error))
    scene = await clearing.look(machine, slot)
    if not await clearing.any_own(machine, scene, wish.staging_target_path):
        scene = scene.without(wish.staging_target_path)  # what is mounted there was never ours to take off
    try:
        await clearing.refuse_users(machine, wish.volume_id, scene, wish.staging_target_path)
    except NotPermittedNow as users:
        raise OperationPending(f"{error}; and it cannot be taken off: {users}") from error
    await clearing.clear(machine, operation, scene, wish.staging_target_path, record)
    await operation.fail(error, changes.drop_stage(wish.volume_id))

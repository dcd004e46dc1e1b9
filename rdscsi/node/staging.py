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

from rdscsi.errors import DriverError, NotFinal, NotFound, NotPermittedNow, OperationPending
from rdscsi.host.ports import Device, Mount
from rdscsi.journal import Operation, StageRecord, changes
from rdscsi.model import AccessType, StageRequest
from rdscsi.node import clearing, formatting, identity, mounting, nodes, options, wishes
from rdscsi.node.clearing import Scene
from rdscsi.node.machine import EXPAND, STAGE, UNSTAGE, Machine, mounted_from
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
    if record is None or (record.subnqn == wish.subnqn and record.state != "staged"):
        begun.append(changes.put_stage(wish.record(record, state="staging", now=machine.now())))
    async with machine.journal.operation(
        STAGE, request.volume_id, wish.as_json(), supersedes=(STAGE, UNSTAGE, EXPAND), changes=begun
    ) as operation:
        await carry_out(machine, operation)


async def carry_out(machine: Machine, operation: Operation) -> None:
    """Stage the volume as the intent says, or take off again what was put on and refuse."""
    wish = wishes.of_intent(operation.subject, operation.request)
    slot = machine.find_slot(wish.volume_id)
    assert slot is not None, "only volumes of ours are staged"
    try:
        record = await _clear_older(machine, operation, wish, slot)
        staged, made = await _realise(machine, operation, wish, record)
    except NotFinal:
        raise
    except DriverError as error:
        await _undo(machine, operation, wish, slot, error)
        raise
    used = formatting.permit_used(wish) if staged.access_type == AccessType.MOUNT.value else []
    staged = replace(staged, formatted=staged.formatted or made)
    await operation.finish(changes.put_stage(staged), *used, outcome=f"{staged.identity}, {staged.size_bytes} bytes")


async def _clear_older(machine: Machine, operation: Operation, wish: Wish, slot: str) -> StageRecord:
    """Clear away what is staged of other epochs; return the record of this one, in the journal.

    Raises NotPermittedNow, with nothing changed, while somebody uses an older one.
    """
    record = await machine.journal.stage(wish.volume_id)
    scene = await clearing.look(machine, slot)
    older = {subnqn: numbers for subnqn, numbers in scene.connected.items() if subnqn != wish.subnqn}
    if older or (record is not None and record.subnqn != wish.subnqn):
        path = record.staging_target_path if record is not None else wish.staging_target_path
        left = Scene(older, scene.mounts)
        await clearing.refuse_users(machine, wish.volume_id, left, path)
        await clearing.clear(machine, operation, left, path, record)
    if record is None or record.subnqn != wish.subnqn:
        record = wish.record(record, state="staging", now=machine.now())
        await operation.record(changes.put_stage(record))
    return record


async def _realise(machine: Machine, operation: Operation, wish: Wish, record: StageRecord) -> tuple[StageRecord, bool]:
    """Connect, prove, and for a filesystem mount; return the record of what is there, and whether mkfs ran."""
    await nodes.remove_stale(machine)
    await operation.step("connect", wish.subnqn)
    device = await machine.host.connect(machine.connection(wish.subnqn, wish.portals))
    mounts = await machine.host.mounts()
    in_use = mounted_from(mounts, (device.number,))
    identity.prove(record, device, same_connection=bool(in_use) or record.state == "staged")
    fs_type, made = "", False
    if wish.access_type is AccessType.MOUNT:
        fs_type, made = await _ensure_mounted(machine, operation, device, wish)
    elif in_use:
        raise NotPermittedNow(f"{wish.volume_id}: staged as a block device, and mounted at {in_use[0].mount_point}")
    staged = wish.record(record, state="staged", now=machine.now())
    return identity.seen(replace(staged, fs_type=fs_type), device, machine.now()), made


async def _ensure_mounted(machine: Machine, operation: Operation, device: Device, wish: Wish) -> tuple[str, bool]:
    mounted = await _find_mounted(machine, operation, device, wish)
    made = False
    if mounted is None:
        fs_type, made = await formatting.ensure_filesystem(machine, operation, device, wish)
        await mounting.mount(machine, operation, device, wish, fs_type)
        mounted = await _find_mounted(machine, operation, device, wish)
        if mounted is None:
            raise OperationPending(f"{wish.volume_id}: mounted at {wish.staging_target_path}, and not seen there")
    if not made:
        await mounting.grow_to_fill(machine, operation, device, mounted)
    return mounted.fs_type, made


async def _find_mounted(machine: Machine, operation: Operation, device: Device, wish: Wish) -> Mount | None:
    """Return the device's mount at the staging path when it can be used; take off one that cannot and may go.

    Raises NotPermittedNow for what is in the way.
    """
    path, mounts = wish.staging_target_path, await machine.host.mounts()
    scene = Scene({wish.subnqn: (device.number,)}, mounts)
    at = scene.at(path)
    if at and at[-1].number == device.number and at[-1].root == "/" and usable(at[-1], readonly=wish.readonly):
        return at[-1]
    # Whatever is here is of no use: of a device that is gone, or stopped by an error. It goes if nobody needs it.
    await clearing.refuse_users(machine, wish.volume_id, scene, path)
    if at:
        await operation.step("unmount stale", f"{at[-1].source} at {path}")
        await mounting.unmount_all(machine, path)
    return None


def usable(mounted: Mount, *, readonly: bool) -> bool:
    """Tell whether a mount has the access that it is to have; an error makes the filesystem itself read-only."""
    if readonly:
        return mounted.readonly or options.READONLY in mounted.super_options
    return not mounted.readonly and options.READONLY not in mounted.super_options


async def _undo(machine: Machine, operation: Operation, wish: Wish, slot: str, error: DriverError) -> None:
    """Take off what this operation put on, then close it as refused.

    Raises OperationPending when somebody uses it meanwhile: then it stays open.
    """
    record = await machine.journal.stage(wish.volume_id)
    if record is None or record.state == "staged" or record.subnqn != wish.subnqn:
        await operation.fail(error)
        return
    await operation.step("undo", str(error))
    scene = await clearing.look(machine, slot)
    try:
        await clearing.refuse_users(machine, wish.volume_id, scene, wish.staging_target_path)
    except NotPermittedNow as users:
        raise OperationPending(f"{error}; and it cannot be taken off: {users}") from error
    await clearing.clear(machine, operation, scene, wish.staging_target_path, record)
    await operation.fail(error, changes.drop_stage(wish.volume_id))

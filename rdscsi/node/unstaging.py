"""NodeUnstageVolume: succeeds when nothing of the volume is mounted at the path or connected, and that is proven.

The write order: 1. the intent · 2. the record in state `unstaging`, once nobody was found to use the volume · 3. the
unmount · 4. the disconnection, of every epoch · 5. `finish`, which drops the record and those of its targets. A crash
before 2 leaves the volume staged; after it, an unstage (the orchestrator's, or recovery's) goes on from what it sees.
The record is not needed for any of it: mountinfo and the slot in the NQN tell what there is.

What the sweep takes off is unstaged in the same way, under an intent that says so (`forgotten`, with the epoch): until
write 2 whoever carries it out proves anew that it may go, and then the connection is cut before the unmount.
"""

from dataclasses import replace

from rdscsi.errors import JournalFailed, NotFinal, NotPermittedNow, OperationPending
from rdscsi.journal import Operation, StageRecord, changes
from rdscsi.node import clearing, disuse
from rdscsi.node.clearing import Scene
from rdscsi.node.machine import EXPAND, STAGE, UNSTAGE, Machine, mounted_at


async def unstage(machine: Machine, volume_id: str, staging_target_path: str) -> None:
    """Take a volume off this node. Nothing there, and an id that is unknown, are successes.

    Raises NotPermittedNow, with nothing changed, while somebody uses it; else NotFinal.
    """
    path = await machine.host.canonical(staging_target_path)
    slot = machine.find_slot(volume_id)
    if slot is None:
        if stranger := mounted_at(await machine.host.mounts(), path):
            raise NotPermittedNow(f"{volume_id}: no volume of this driver; {stranger[-1].source} is mounted at {path}")
        return
    record = await machine.journal.stage(volume_id)
    scene = await clearing.look(machine, slot)
    if record is None and not scene.connected and not scene.at(path):
        return
    _refuse_elsewhere(record, scene, path)
    await clearing.refuse_users(machine, volume_id, scene, path)
    async with machine.journal.operation(
        UNSTAGE, volume_id, {"staging_target_path": path}, supersedes=(STAGE, UNSTAGE, EXPAND), undoing=True
    ) as operation:
        await carry_out(machine, operation)


async def take_off_forgotten(machine: Machine, record: StageRecord) -> None:
    """Take off what nobody uses and whose export is withdrawn, though nobody asks for it; see `rdscsi.node.sweep`.

    Raises NotPermittedNow, with nothing changed, when it is not proven that it may go; else NotFinal.
    """
    request = {"staging_target_path": record.staging_target_path, "forgotten": record.subnqn}
    async with machine.journal.operation(UNSTAGE, record.volume_id, request, supersedes=(), undoing=True) as operation:
        await carry_out(machine, operation)


async def carry_out(machine: Machine, operation: Operation) -> None:
    """Take the volume off, or prove that it is off."""
    volume_id, path = operation.subject, str(operation.request["staging_target_path"])
    slot = machine.find_slot(volume_id)
    assert slot is not None, "only volumes of ours are unstaged"
    record = await machine.journal.stage(volume_id)
    scene = await clearing.look(machine, slot)
    forgotten = operation.request.get("forgotten")
    try:
        if forgotten and (record is None or record.state != "unstaging"):
            await _prove_forgotten(machine, record, str(forgotten), scene)
        await clearing.refuse_users(machine, volume_id, scene, path)
    except NotPermittedNow as error:
        if record is not None and record.state == "unstaging":
            raise OperationPending(str(error)) from error
        await operation.fail(error)
        raise
    if record is not None and record.state != "unstaging":
        await operation.record(changes.put_stage(replace(record, state="unstaging", updated_at=machine.now())))
    await clearing.clear(machine, operation, scene, path, record, withdrawn=bool(forgotten))
    targets = await machine.journal.targets(volume_id)
    await operation.finish(
        changes.drop_stage(volume_id),
        *(changes.drop_target(one.target_path) for one in targets),
        outcome="nothing mounted, nothing connected",
    )


async def _prove_forgotten(machine: Machine, record: StageRecord | None, subnqn: str, scene: Scene) -> None:
    """Raise NotPermittedNow unless nobody uses the volume and this epoch is offered no more, here and now."""
    if record is None or record.subnqn != subnqn:
        raise NotPermittedNow(f"{subnqn} is not what is staged any more")
    try:
        if users := await disuse.find_users(machine, record, scene):
            raise NotPermittedNow(f"{record.volume_id} is in use: {'; '.join(users)}")
        if not await disuse.is_withdrawn(machine, subnqn, record.portals):
            raise NotPermittedNow(f"{record.volume_id}: {subnqn} is offered again")
    except JournalFailed:
        raise
    except NotFinal as error:
        raise NotPermittedNow(f"{record.volume_id} may be used, or offered; it cannot be told now: {error}") from error


def _refuse_elsewhere(record: StageRecord | None, scene: Scene, path: str) -> None:
    """Refuse to call a volume unstaged from one path while it is staged at another."""
    if record is None or record.staging_target_path == path:
        return
    if scene.connected or scene.at(record.staging_target_path):
        raise NotPermittedNow(f"{record.volume_id} is staged at {record.staging_target_path}, not at {path}")

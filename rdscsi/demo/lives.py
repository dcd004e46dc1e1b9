"""The life of one volume, step by step: made, attached, mounted, written, grown, read again, and removed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rdscsi.csi.pb.csi.v1 import (
    CapacityRange,
    ControllerExpandVolumeRequest,
    ControllerPublishVolumeRequest,
    ControllerUnpublishVolumeRequest,
    CreateVolumeRequest,
    DeleteVolumeRequest,
    NodeExpandVolumeRequest,
    NodePublishVolumeRequest,
    NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest,
    NodeUnstageVolumeRequest,
    VolumeCapability,
)
from rdscsi.demo import data
from rdscsi.demo.telling import Step, StepFailed
from rdscsi.demo.world import MIB, World, mib


@dataclass(frozen=True, slots=True)
class Plan:
    """A volume to be: its name, its use, its size before and after it grew."""

    name: str
    capability: VolumeCapability
    size_bytes: int
    grown_bytes: int

    @property
    def block(self) -> bool:
        return self.capability.block is not None


@dataclass(slots=True)
class _Life:
    """What is known of a volume so far."""

    world: World
    plan: Plan
    staging: Path
    target: Path
    volume_id: str = ""
    publish_context: dict[str, str] | None = None
    checksum: str = ""


async def live(world: World, plan: Plan) -> None:
    """Lead one volume through its whole life. Raises StepFailed or CallFailed when something is not as promised."""
    directory = world.directory / plan.name
    directory.mkdir()
    life = _Life(world, plan, directory / "staging", directory / "target")
    life.staging.mkdir()
    if not plan.block:
        life.target.mkdir()  # a kubelet leaves the last directory to the driver; either is allowed
    stages: list[tuple[str, Callable[[_Life, Step], Awaitable[None]]]] = [
        ("CreateVolume", _create),
        ("ControllerPublishVolume", _attach),
        ("NodeStageVolume", _stage),
        ("NodePublishVolume", _publish),
        *([(f"write {mib(_DATA)} and sync", _write)] if world.real else []),
        (f"ControllerExpandVolume to {mib(plan.grown_bytes)}", _grow),
        ("NodeExpandVolume, online", _grow_on_node),
        *([("read back from the device", _read)] if world.real else []),
        ("NodeUnpublishVolume", _unpublish),
        ("NodeUnstageVolume", _unstage),
        ("ControllerUnpublishVolume", _detach),
        ("DeleteVolume", _delete),
    ]
    for title, act in stages:
        with world.telling.step(title) as step:
            await act(life, step)


_DATA = 32 * MIB


async def _create(life: _Life, step: Step) -> None:
    plan, client = life.plan, life.world.controller
    made = await client.settle(
        client.controller.create_volume,
        CreateVolumeRequest(
            name=plan.name,
            capacity_range=CapacityRange(required_bytes=plan.size_bytes),
            volume_capabilities=[plan.capability],
        ),
    )
    if made.volume is None or made.volume.capacity_bytes < plan.size_bytes:
        raise StepFailed(f"the answer promises less than was asked for: {made}")
    life.volume_id = made.volume.volume_id
    step.remark(f"{life.volume_id}, {mib(made.volume.capacity_bytes)}, not exported")


async def _attach(life: _Life, step: Step) -> None:
    client = life.world.controller
    published = await client.settle(
        client.controller.controller_publish_volume,
        ControllerPublishVolumeRequest(
            volume_id=life.volume_id, node_id=life.world.node_id, volume_capability=life.plan.capability
        ),
    )
    life.publish_context = dict(published.publish_context)
    step.remark(f"exported as {life.publish_context.get('subnqn')} on {life.publish_context.get('portals')}")


async def _stage(life: _Life, step: Step) -> None:
    client = life.world.node
    await client.settle(
        client.node.node_stage_volume,
        NodeStageVolumeRequest(
            volume_id=life.volume_id,
            publish_context=life.publish_context or {},
            staging_target_path=str(life.staging),
            volume_capability=life.plan.capability,
        ),
    )
    mount = life.plan.capability.mount
    step.remark(f"proven blank, formatted with {mount.fs_type}, mounted" if mount else "device attached")


async def _publish(life: _Life, step: Step) -> None:
    client = life.world.node
    await client.settle(
        client.node.node_publish_volume,
        NodePublishVolumeRequest(
            volume_id=life.volume_id,
            publish_context=life.publish_context or {},
            staging_target_path=str(life.staging),
            target_path=str(life.target),
            volume_capability=life.plan.capability,
        ),
    )
    if life.world.real:
        step.remark(f"{await _size_on_node(life):,} bytes to be used at {life.target}")


async def _write(life: _Life, step: Step) -> None:
    if life.plan.block:
        life.checksum = await data.write_device(life.target, _DATA // 2, _areas(life.plan))
    else:
        life.checksum = await data.write_file(life.target, _DATA)
    step.remark(f"SHA-256 {life.checksum}")


async def _grow(life: _Life, step: Step) -> None:
    client = life.world.controller
    grown = await client.settle(
        client.controller.controller_expand_volume,
        ControllerExpandVolumeRequest(
            volume_id=life.volume_id,
            capacity_range=CapacityRange(required_bytes=life.plan.grown_bytes),
            volume_capability=life.plan.capability,
        ),
    )
    if grown.capacity_bytes < life.plan.grown_bytes:
        raise StepFailed(f"grown to {grown.capacity_bytes} bytes only")
    step.remark(f"{mib(grown.capacity_bytes)} on the appliance")


async def _grow_on_node(life: _Life, step: Step) -> None:
    client = life.world.node
    before = await _size_on_node(life) if life.world.real else 0
    await client.settle(
        client.node.node_expand_volume,
        NodeExpandVolumeRequest(
            volume_id=life.volume_id,
            volume_path=str(life.target),
            staging_target_path=str(life.staging),
            capacity_range=CapacityRange(required_bytes=life.plan.grown_bytes),
            volume_capability=life.plan.capability,
        ),
    )
    if life.world.real:
        after = await _size_on_node(life)
        if after <= before:
            raise StepFailed(f"the workload still sees {after:,} bytes")
        step.remark(f"the workload sees {after:,} bytes, before {before:,}")


async def _read(life: _Life, step: Step) -> None:
    if life.plan.block:
        checksum = await data.read_device(life.target, _DATA // 2, _areas(life.plan))
    else:
        checksum = await data.read_file(life.target, _DATA)
    if checksum != life.checksum:
        raise StepFailed(f"SHA-256 {checksum}: not what was written")
    step.remark(f"SHA-256 {checksum}, the same")


async def _unpublish(life: _Life, step: Step) -> None:
    client = life.world.node
    await client.settle(
        client.node.node_unpublish_volume,
        NodeUnpublishVolumeRequest(volume_id=life.volume_id, target_path=str(life.target)),
    )
    if life.target.exists():
        raise StepFailed(f"{life.target} is still there")
    step.remark("unmounted")


async def _unstage(life: _Life, step: Step) -> None:
    client = life.world.node
    await client.settle(
        client.node.node_unstage_volume,
        NodeUnstageVolumeRequest(volume_id=life.volume_id, staging_target_path=str(life.staging)),
    )
    step.remark("device detached")


async def _detach(life: _Life, step: Step) -> None:
    client = life.world.controller
    await client.settle(
        client.controller.controller_unpublish_volume,
        ControllerUnpublishVolumeRequest(volume_id=life.volume_id, node_id=life.world.node_id),
    )
    step.remark("export off, read back")


async def _delete(life: _Life, step: Step) -> None:
    client = life.world.controller
    await client.settle(client.controller.delete_volume, DeleteVolumeRequest(volume_id=life.volume_id))
    step.remark("disk and file proven gone")


def _areas(plan: Plan) -> list[int]:
    """Where on a block device: at its beginning and at its old end."""
    return [0, plan.size_bytes - _DATA // 2]


async def _size_on_node(life: _Life) -> int:
    return await (data.device_size if life.plan.block else data.filesystem_size)(life.target)

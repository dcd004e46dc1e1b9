"""Proof that nobody uses a volume on this node, and that its export is withdrawn. Changes nothing.

What is taken off without anybody asking rests on it, so it is stricter than what unstaging asks: whatever cannot be
told is an error here, and a target path counts as a user for as long as anything is there.
"""

from collections.abc import Collection, Sequence

from rdscsi import names
from rdscsi.errors import DeviceUnavailable
from rdscsi.host.ports import Mount, Number, PathKind
from rdscsi.journal import StageRecord
from rdscsi.model import Portal
from rdscsi.node import clearing, nodes
from rdscsi.node.clearing import Scene
from rdscsi.node.machine import Machine, mounted_from, parse_portals


async def find_users(machine: Machine, record: StageRecord, scene: Scene) -> list[str]:
    """Say who uses a volume, or might; empty when it is proven that nobody does.

    Raises NotPermittedNow when what is mounted at its staging path is something else, NotFinal when it cannot be told.
    """
    path = record.staging_target_path
    await clearing.refuse_foreign(machine, record.volume_id, scene, path)
    # The device may be gone and its filesystem still be mounted, at the staging path and elsewhere.
    numbers = {*scene.numbers, *(mount.number for mount in scene.at(path))}
    users = _mounted(scene.mounts, numbers, path)
    for target, published in (await machine.published(record.volume_id)).items():
        if not published.finished:
            users.append(f"published at {target} (begun, not finished)")
        elif scene.at(target) or (await machine.host.path_state(target)).kind is not PathKind.ABSENT:
            users.append(f"published at {target}")
    for subnqn, own in scene.connected.items():
        users += await _holders(machine, subnqn, own)
    return users


async def find_users_of(machine: Machine, subnqn: str, numbers: Sequence[Number]) -> list[str]:
    """Say who uses what is connected under an NQN, as far as can be told without a record; raises as `find_users`."""
    users = _mounted(await machine.host.mounts(), numbers, "")
    slot = names.slot_of_subnqn(subnqn)
    for target in await machine.journal.targets():
        parsed = names.parse_volume_id(target.volume_id)
        if parsed is not None and parsed.slot == slot:
            state = await machine.host.path_state(target.target_path)
            users += [f"published at {target.target_path}"] if state.kind is not PathKind.ABSENT else []
    return users + await _holders(machine, subnqn, numbers)


async def is_withdrawn(machine: Machine, subnqn: str, portals: str = "") -> bool:
    """Tell whether a portal that answers no longer offers a subsystem to this node.

    `portals`: as a stage record has them; without them those are asked that this host is connected through. Nobody else
    may look for the volume's device meanwhile, for to ask is to connect for a moment. Raises NotFinal when nothing is
    known.
    """
    host, ours = machine.host, machine.connection(subnqn, ()).hostnqn
    controllers = await host.controllers(subnqn)
    # A device may show for that moment, under a number that a stale node has.
    if not controllers and (stuck := await nodes.remove_stale(machine)):
        raise DeviceUnavailable(f"{subnqn}: not asked for while a device node is stuck: {', '.join(stuck.values())}")
    asked: Sequence[Portal] = parse_portals(portals)
    if not asked:
        asked = [one.portal for one in controllers if one.portal is not None and one.hostnqn == ours]
    return not await host.offers(machine.connection(subnqn, asked))


def _mounted(mounts: Sequence[Mount], numbers: Collection[Number], but_for: str) -> list[str]:
    found = mounted_from(mounts, tuple(numbers))
    return [f"mounted at {one.mount_point}" for one in found if one.mount_point != but_for]


async def _holders(machine: Machine, subnqn: str, numbers: Sequence[Number]) -> list[str]:
    """Who holds the device besides mounts. Raises DeviceUnavailable where there is one that cannot be looked at."""
    try:
        device = await machine.host.find_device(subnqn)
    except DeviceUnavailable:
        if numbers:
            raise
        return []  # connected, and without a device that anybody could hold
    return [] if device is None else list(await machine.host.holders(device))

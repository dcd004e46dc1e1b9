"""Device nodes at the targets of block volumes. A node is a number, and the kernel hands numbers out anew.

A node that outlived its device would open whatever volume is given its number next. So it is removed before anything
is connected, all of them after a reboot; `Machine.nodes` keeps two operations from looking and acting in turns.
"""

from collections.abc import Collection, Mapping

from rdscsi import names
from rdscsi.errors import NotFinal, NotPermittedNow, NotSupported, OperationPending
from rdscsi.host.ports import Device, Number, PathKind
from rdscsi.journal import TargetRecord
from rdscsi.node.machine import PUBLISH, Machine
from rdscsi.node.mounting import unmount_all
from rdscsi.observe import logs

_log = logs.get_log()


async def ensure_node(machine: Machine, device: Device, path: str, *, readonly: bool) -> None:
    """Have a block device node of this device at a path; one of another device is replaced.

    Where the filesystem there does not let nodes be opened (nodev), the device's own node is mounted on a file instead.
    Raises NotPermittedNow when something else is in the way.
    """
    async with machine.nodes:
        host = machine.host
        state = await host.path_state(path)
        if state.number == device.number:
            return
        if state.kind in (PathKind.DIRECTORY, PathKind.OTHER):
            raise NotPermittedNow(f"{path}: a {state.kind.value} is in the way of a block device")
        if state.kind is not PathKind.ABSENT:
            await unmount_all(machine, path)
            await host.remove(path)
        try:
            await host.make_device_node(path, device, readonly=readonly)
        except NotSupported:
            await host.make_file(path)
            await host.bind(device.path, path, readonly=readonly)
        state = await host.path_state(path)
        if state.number != device.number:
            raise OperationPending(f"{path}: {state.kind.value} {state.number}, and not {device.path} {device.number}")


async def remove_stale(machine: Machine, *, rebooted: bool = False) -> dict[Number, str]:
    """Remove the nodes at block targets whose volume's device does not have their number now.

    `rebooted`: none of them is valid. The records stay: the volume is published there as far as the orchestrator knows.
    Returns the numbers that are still reachable, with the path at which: no device may be used that is given one.
    """
    left: dict[Number, str] = {}
    async with machine.nodes:
        candidates = await _block_targets(machine)
        connected = await machine.host.connected(f"{names.NQN_PREFIX}:") if candidates else {}
        for path, volume_id in candidates.items():
            valid = [] if rebooted else _numbers(connected, volume_id)
            try:
                await _remove_unless(machine, path, valid, left)
            except (NotFinal, NotPermittedNow) as error:  # one bad path must not stop every volume (law 9)
                _log.warning("node.stuck", path=path, volume=volume_id, reason=str(error))
    return left


async def _remove_unless(machine: Machine, path: str, valid: Collection[Number], left: dict[Number, str]) -> None:
    state = await machine.host.path_state(path)
    if state.number is None or state.number in valid:
        return
    _log.warning("node.stale", path=path, number=state.number)
    left[state.number] = path
    await unmount_all(machine, path)
    if (await machine.host.path_state(path)).kind is PathKind.BLOCK_DEVICE:
        await machine.host.remove(path)
    del left[state.number]


async def _block_targets(machine: Machine) -> dict[str, str]:
    """The targets of all block volumes, those included whose publishing is not finished, with their volume ids."""
    targets: list[TargetRecord] = await machine.journal.targets()
    unfinished = {
        one.subject: str(one.request.get("volume_id"))
        for one in await machine.journal.open_operations()
        if one.kind == PUBLISH and one.request.get("access_type") == "block"
    }
    return unfinished | {one.target_path: one.volume_id for one in targets if one.access_type == "block"}


def _numbers(connected: Mapping[str, tuple[Number, ...]], volume_id: str) -> list[Number]:
    parsed = names.parse_volume_id(volume_id)
    slot = parsed.slot if parsed else None
    return [number for subnqn, own in connected.items() if names.slot_of_subnqn(subnqn) == slot for number in own]

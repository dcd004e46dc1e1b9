"""What the node tells of a volume's health, and of the storage's; each thing that can be wrong, by itself."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from staging_rig import set_paths, staged, staging, two_portals
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable, InvalidRequest, NotFound, OutcomeUnknown, UnexpectedAnswer
from rdscsi.host.ports import PathState
from rdscsi.journal import changes
from rdscsi.model import AccessType, HealthStatus, StorageStatus
from rdscsi.node import health, storage
from rdscsi.node.health import LOOK_SECONDS
from rdscsi.testing.node import NodeProcess, NodeVolume, NodeWorld

BAD, WORSE = HealthStatus.INACCESSIBLE, HealthStatus.DATA_LOSS


async def published(world: NodeWorld, process: NodeProcess, name: str = "pvc-1", **wishes: object) -> NodeVolume:
    volume = await staged(world, process, name, **wishes)
    await process.node.publish(world.publish_request(volume, f"{name}-pod"))
    return volume


async def seen(process: NodeProcess, volume: NodeVolume) -> set[tuple[HealthStatus, str]]:
    found = await process.node.volume_health(volume.volume_id)
    assert found.volume_id == volume.volume_id
    pairs = [(one.status, one.reason) for one in found.problems]
    assert len(pairs) == len(set(pairs))
    assert all(one.message for one in found.problems)
    return set(pairs)


@pytest.mark.parametrize("access_type", AccessType)
async def test_a_volume_in_use_is_healthy(
    world: NodeWorld, process: NodeProcess, access_type: AccessType, autojump_clock: MockClock
) -> None:
    volume = await published(world, process, access_type=access_type)
    before = list(process.life.effects)
    assert await seen(process, volume) == set()
    assert process.life.effects == before
    assert await process.node.storage_health() == ()


def _lose_device(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.attached.clear()


def _connecting(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.trouble.connecting.add(volume.subnqn)


def _lose_namespace(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    async def none(subnqn: str) -> None:
        raise DeviceUnavailable(f"{subnqn}: connected, and its namespace is not there")

    process.host.find_device = none  # type: ignore[method-assign]


def _several_namespaces(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    async def several(subnqn: str) -> None:
        raise UnexpectedAnswer("several namespaces")

    process.host.find_device = several  # type: ignore[method-assign]


def _shrink(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.attached[volume.subnqn].size_bytes -= 1


def _exchange(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.attached[volume.subnqn].file += "-other"


def _renumber(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.attached[volume.subnqn].minor = 77


def _unmount_staging(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    del process.host.kernel.mounts[0]


def _unmount_target(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.mounts.pop()


def _with_options(*own: str) -> "Change":
    def change(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
        mounts = process.host.kernel.mounts
        mounts[:] = [replace(mount, super_options=own) for mount in mounts]

    return change


def _fails(error: Exception | None) -> "Change":
    def change(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
        async def state(path: str) -> PathState:
            raise DeviceUnavailable(f"{path}: Input/output error") from error

        process.host.path_state = state  # type: ignore[method-assign]

    return change


def _lose_node(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    process.host.kernel.nodes.clear()


Change = Callable[[NodeWorld, NodeProcess, NodeVolume], None]
FILESYSTEM: list[tuple[Change, set[tuple[HealthStatus, str]]]] = [
    (_lose_device, {(BAD, "NotConnected")}),
    (_connecting, {(BAD, "PathsDown")}),
    (_lose_namespace, {(BAD, "NamespaceMissing")}),
    (_several_namespaces, {(BAD, "DeviceChanged")}),
    (_shrink, {(WORSE, "SizeMismatch")}),
    (_exchange, {(BAD, "DeviceChanged")}),
    (_renumber, {(BAD, "DeviceGone")}),
    (_unmount_staging, {(BAD, "NotMounted")}),
    (_unmount_target, {(BAD, "NotPublished")}),
    (_with_options("ro"), {(BAD, "FilesystemReadOnly")}),
    (_with_options("rw", "emergency_ro"), {(BAD, "FilesystemReadOnly")}),
    (_with_options("rw", "shutdown"), {(BAD, "FilesystemReadOnly")}),
    (_fails(None), {(BAD, "FilesystemFailed")}),
    (_fails(OutcomeUnknown("no answer within 10 s")), {(BAD, "Unresponsive")}),
]
BLOCK: list[tuple[Change, set[tuple[HealthStatus, str]]]] = [
    (_lose_device, {(BAD, "NotConnected")}),
    (_connecting, {(BAD, "PathsDown")}),
    (_shrink, {(WORSE, "SizeMismatch")}),
    (_renumber, {(BAD, "DeviceGone")}),
    (_lose_node, {(BAD, "NotPublished")}),
    (_fails(None), {(BAD, "Unresponsive")}),
]


@pytest.mark.parametrize(("change", "problems"), FILESYSTEM)
async def test_what_is_wrong_with_a_filesystem_is_told_by_its_reason(
    world: NodeWorld,
    process: NodeProcess,
    change: Change,
    problems: set[tuple[HealthStatus, str]],
    autojump_clock: MockClock,
) -> None:
    volume = await published(world, process)
    change(world, process, volume)
    assert await seen(process, volume) == problems


@pytest.mark.parametrize(("change", "problems"), BLOCK)
async def test_what_is_wrong_with_a_block_volume_is_told_by_its_reason(
    world: NodeWorld,
    process: NodeProcess,
    change: Change,
    problems: set[tuple[HealthStatus, str]],
    autojump_clock: MockClock,
) -> None:
    volume = await published(world, process, access_type=AccessType.BLOCK)
    change(world, process, volume)
    assert await seen(process, volume) == problems


async def test_what_was_staged_read_only_is_healthy(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    await process.node.unstage(volume.volume_id, staging(world, volume))
    await process.node.stage(world.stage_request(volume, readonly=True))
    assert await seen(process, volume) == set()
    _with_options("ro", "shutdown")(world, process, volume)
    assert await seen(process, volume) == {(BAD, "FilesystemReadOnly")}


async def test_one_reason_is_told_once_with_every_place(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)
    _with_options("ro")(world, process, volume)
    (problem,) = (await process.node.volume_health(volume.volume_id)).problems
    assert all(path in problem.message for path in (staging(world, volume), world.path("pvc-1-pod")))


async def test_a_look_that_hangs_ends_and_says_so(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await published(world, process)

    async def hangs(subnqn: str) -> None:
        await trio.sleep_forever()

    process.host.find_device = hangs  # type: ignore[method-assign]
    with trio.fail_after(LOOK_SECONDS + 1):
        assert await seen(process, volume) == {(BAD, "Unresponsive")}


# --- paths


async def test_the_state_of_each_path_is_told(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    assert await seen(process, volume) == set()
    set_paths(process, volume, first="live", second="connecting")
    (problem,) = (await process.node.volume_health(volume.volume_id)).problems
    assert (problem.status, problem.reason) == (HealthStatus.DEGRADED, "PathDown")
    assert "192.0.2.11:4420 connecting" in problem.message
    set_paths(process, volume, first="live")
    assert await seen(process, volume) == {(HealthStatus.DEGRADED, "PathMissing")}
    process.host.trouble.multipath = False  # then one is all there can be
    assert await seen(process, volume) == set()


# --- what is not staged


async def test_a_volume_that_could_not_be_staged_tells_why(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    world.exporter.withdraw(volume.subnqn)
    with pytest.raises(DeviceUnavailable):
        await process.node.stage(world.stage_request(volume))
    await trio.sleep(1)  # the words ride with the journal's next transaction
    (problem,) = (await process.node.volume_health(volume.volume_id)).problems
    assert (problem.status, problem.reason) == (BAD, "NotStaged")
    assert "no portal offers it" in problem.message


async def test_what_this_node_knows_nothing_of_is_not_found(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = world.volume()
    for volume_id in (volume.volume_id, "rds/other", "whatever"):
        with pytest.raises((NotFound, InvalidRequest)):
            await process.node.volume_health(volume_id)
    await process.node.stage(world.stage_request(volume))
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    assert await seen(process, volume) == set()  # connected: a publish makes its record anew


async def test_what_cannot_be_told_is_an_error_and_not_health(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)

    async def unknown(subnqn: str) -> None:
        raise DeviceUnavailable("no sysfs")

    process.host.controllers = unknown  # type: ignore[method-assign, assignment]
    with pytest.raises(DeviceUnavailable):
        await process.node.volume_health(volume.volume_id)
    with pytest.raises(DeviceUnavailable):
        await process.node.storage_health()


# --- the storage


async def test_a_portal_without_a_live_path_is_told_and_none_left_is_worse(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    first, second = await two_portals(world, process), await two_portals(world, process, "pvc-2")
    assert await process.node.storage_health() == ()
    set_paths(process, first, first="live", second="connecting")
    assert await process.node.storage_health() == ()  # the other volume's path through it is live
    set_paths(process, second, first="live", second="dead")
    (problem,) = await process.node.storage_health()
    assert (problem.status, problem.reason) == (StorageStatus.DEGRADED, "PortalUnreachable")
    assert "rds: 192.0.2.11:4420" in problem.message
    for volume in (first, second):
        set_paths(process, volume, first="connecting", second="connecting")
    (problem,) = await process.node.storage_health()
    assert (problem.status, problem.reason) == (StorageStatus.UNREACHABLE, "PortalsUnreachable")
    assert "192.0.2.10:4420, 192.0.2.11:4420" in problem.message


async def test_a_path_that_the_kernel_has_given_up_counts_too(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    set_paths(process, volume, first="live")
    assert [one.reason for one in await process.node.storage_health()] == ["PortalUnreachable"]
    process.host.trouble.multipath = False
    assert await process.node.storage_health() == ()


async def test_a_portal_that_answered_is_reached_whatever_it_said(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    assert [one.status for one in await process.node.storage_health()] == [StorageStatus.UNREACHABLE]
    world.exporter.withdraw(volume.subnqn)
    await process.node._watch.look()
    assert await process.node.storage_health() == ()
    assert await seen(process, volume) == {(BAD, "PathsDown"), (BAD, "ExportWithdrawn")}
    process.host.trouble.unreachable = True
    await process.node._watch.look()
    assert [one.status for one in await process.node.storage_health()] == [StorageStatus.UNREACHABLE]
    assert await seen(process, volume) == {(BAD, "PathsDown"), (BAD, "PortalUnreachable")}


async def test_an_answer_is_not_held_against_a_path_that_is_live_again(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    set_paths(process, volume, first="connecting", second="connecting")
    world.exporter.withdraw(volume.subnqn)
    await process.node._watch.look()
    assert await process.node.storage_health() == ()
    set_paths(process, volume, first="live", second="connecting")
    assert [one.reason for one in await process.node.storage_health()] == ["PortalUnreachable"]


async def test_a_volume_that_is_not_connected_any_more_tells_by_what_its_portal_said(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.multipath = True
    assert await seen(process, volume) == set()  # it has no portals to be connected through
    process.host.kernel.attached.clear()
    assert await process.node.storage_health() == ()  # nobody was asked yet
    process.host.trouble.unreachable = True
    await process.node._watch.look()
    assert [one.status for one in await process.node.storage_health()] == [StorageStatus.UNREACHABLE]


def test_every_reason_is_in_the_manual_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "node.md").read_text().split("## Health", 1)[1].split("\n## ", 1)[0]
    told = re.findall(r"^\| [A-Z_]+ \| `(\w+)` \|", page, re.MULTILINE)
    reasons = [value for name, value in vars(health).items() if name.isupper() and isinstance(value, str)]
    assert sorted(told) == sorted({*reasons, storage.PORTALS_UNREACHABLE})
    assert all(value.isalnum() and value[0].isupper() for value in told)

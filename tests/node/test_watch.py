"""The watch: what goes wrong is told once, and its end too; a lost path is put back; one that hangs costs no other."""

import pytest
import trio
from csi_logs import Logged, captured
from staging_rig import OTHER_PORTAL, set_paths, staged, staging, two_portals
from trio.testing import MockClock

from rdscsi.errors import Busy, DeviceUnavailable, JournalFailed
from rdscsi.host.ports import Connection, Device
from rdscsi.journal import changes
from rdscsi.node.health import LOOK_SECONDS
from rdscsi.node.watch import WATCH_SECONDS
from rdscsi.testing.node import PORTALS, NodeProcess, NodeVolume, NodeWorld


async def watch(process: NodeProcess, rounds: int = 1) -> None:
    with trio.move_on_after((rounds + 0.5) * WATCH_SECONDS):
        await process.node._watch.run()


def raising(process: NodeProcess, name: str, bad: NodeVolume, error: Exception) -> None:
    """Let one method of the host fail for one volume."""
    method = getattr(process.host, name)

    async def called(subnqn: str) -> object:
        if subnqn == bad.subnqn:
            raise error
        return await method(subnqn)

    setattr(process.host, name, called)


def volumes(logged: Logged, event: str) -> list[object]:
    return [one["volume"] for one in logged.records(event)]


async def test_what_goes_wrong_is_told_once_and_when_it_is_over(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    with captured() as logged:
        await watch(process, 2)
        assert logged.records("volume.unhealthy") == []
        process.host.trouble.connecting.add(volume.subnqn)
        await watch(process, 3)
        process.host.trouble.connecting.clear()
        await watch(process, 2)
    (line,) = logged.records("volume.unhealthy")
    assert (line["volume"], line["status"], line["reason"]) == (volume.volume_id, "INACCESSIBLE", "PathsDown")
    assert "connecting" in line["detail"]
    (line,) = logged.records("volume.recovered")
    assert (line["volume"], line["status"], line["reason"]) == (volume.volume_id, "INACCESSIBLE", "PathsDown")


async def test_why_no_path_works_is_found_out(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    world.exporter.withdraw(volume.subnqn)
    process.host.trouble.unreachable = True
    with captured() as logged:
        await watch(process)
        process.host.trouble.unreachable = False
        await watch(process)
        world.exporter.export(volume.subnqn, volume.file)
        process.host.trouble.connecting.clear()
        await watch(process)
    assert [one["reason"] for one in logged.records("volume.unhealthy")] == [
        "PathsDown",
        "PortalUnreachable",
        "ExportWithdrawn",
    ]
    assert {one["reason"] for one in logged.records("volume.recovered")} == {
        "PathsDown",
        "PortalUnreachable",
        "ExportWithdrawn",
    }


async def test_an_answer_does_not_outlive_its_question(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)

    async def reasons() -> list[str]:
        return [one.reason for one in (await process.node.volume_health(volume.volume_id)).problems]

    process.host.trouble.connecting.add(volume.subnqn)
    world.exporter.withdraw(volume.subnqn)
    await process.node._watch.look()
    assert await reasons() == ["PathsDown", "ExportWithdrawn"]
    process.host.trouble.connecting.clear()
    assert await reasons() == []  # a path is live again, and the next look is a while away
    process.host.trouble.connecting.add(volume.subnqn)
    world.exporter.export(volume.subnqn, volume.file)
    await process.node._watch.look()
    assert await reasons() == ["PathsDown"]  # offered, and the kernel has not got there yet


async def test_what_is_not_staged_is_not_watched(world: NodeWorld, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        await staged(world, process)
        process.host.kernel.reboot()
    async with world.process() as process:
        assert [one.state for one in await process.journal.stages()] == ["unstaging"]
        with captured() as logged:
            await watch(process, 2)
        assert logged.records("volume.unhealthy") == []


async def test_a_silent_portal_is_asked_for_a_few_and_not_for_every_volume(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volumes = [await staged(world, process, f"pvc-{number}") for number in range(20)]
    process.host.trouble.connecting |= {one.subnqn for one in volumes}
    asked: list[str] = []

    async def silent(connection: Connection) -> bool:
        asked.append(connection.subnqn)
        await trio.sleep(30)
        raise DeviceUnavailable("nothing answers")

    process.host.offers = silent  # type: ignore[method-assign]
    with trio.fail_after(31):
        await process.node._watch.look()
    assert len(asked) < 10
    for one in volumes:
        reasons = [problem.reason for problem in (await process.node.volume_health(one.volume_id)).problems]
        assert reasons == ["PathsDown", "PortalUnreachable"]
    await process.node._watch.look()
    assert len(asked) < 20  # asked anew in each round


async def test_a_portal_is_not_asked_while_a_path_is_live(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await staged(world, process)

    async def asked(connection: Connection) -> bool:
        raise AssertionError("nobody needs to know")

    process.host.offers = asked  # type: ignore[method-assign]
    await watch(process, 3)


async def test_nobody_gets_a_device_that_shows_only_while_a_portal_is_asked(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    refused: list[str] = []

    async def and_publish(connection: Connection) -> bool:
        with pytest.raises(Busy):
            await process.node.publish(world.publish_request(volume))
        refused.append(connection.subnqn)
        return True

    process.host.offers = and_publish  # type: ignore[method-assign]
    await process.node._watch.look()
    assert refused == [volume.subnqn]


async def test_a_volume_that_somebody_works_at_is_not_asked_for(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.hung.add(staging(world, volume))
    process.host.trouble.connecting.add(volume.subnqn)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_unstage, world, process, volume)
        await trio.sleep(0)
        await process.node._watch.look()
        reasons = [one.reason for one in (await process.node.volume_health(volume.volume_id)).problems]
        nursery.cancel_scope.cancel()
    assert "PortalUnreachable" not in reasons


async def test_a_bug_costs_one_volume_and_is_told(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    bad, other = await staged(world, process), await staged(world, process, "pvc-2")
    raising(process, "find_device", bad, RuntimeError("made a bug of"))
    process.host.trouble.connecting.add(other.subnqn)
    with captured() as logged:
        await watch(process)
    assert volumes(logged, "watch.bug") == [bad.volume_id]
    assert volumes(logged, "volume.unhealthy") == [other.volume_id]


async def test_what_was_unstaged_is_forgotten(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await staged(world, process)
    process.host.trouble.connecting.add(volume.subnqn)
    with captured() as logged:
        await watch(process)
        await process.node.unstage(volume.volume_id, staging(world, volume))
        await watch(process)
        assert logged.records("volume.recovered") == []
        await process.node.stage(world.stage_request(volume))
        process.host.trouble.connecting.add(volume.subnqn)
        await watch(process)
    assert len(logged.records("volume.unhealthy")) == 2


async def test_one_that_hangs_costs_no_other(world: NodeWorld, process: NodeProcess, autojump_clock: MockClock) -> None:
    hung, other = await staged(world, process), await staged(world, process, "pvc-2")
    find_device = process.host.find_device

    async def hangs(subnqn: str) -> Device | None:
        if subnqn == hung.subnqn:
            await trio.sleep_forever()
        return await find_device(subnqn)

    process.host.find_device = hangs  # type: ignore[method-assign]
    process.host.trouble.connecting.add(other.subnqn)
    with captured() as logged:
        with trio.move_on_after(WATCH_SECONDS + 1):
            await process.node._watch.run()
        assert [one["volume"] for one in logged.records("volume.unhealthy")] == [other.volume_id]
        await watch(process, 2)
    found = {(one["volume"], one["reason"]) for one in logged.records("volume.unhealthy")}
    assert (hung.volume_id, "Unresponsive") in found


async def test_many_that_hang_are_looked_at_side_by_side(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    for number in range(4):
        await staged(world, process, f"pvc-{number}")

    async def hangs(subnqn: str) -> Device | None:
        await trio.sleep_forever()

    process.host.find_device = hangs  # type: ignore[method-assign]
    with captured() as logged, trio.fail_after(LOOK_SECONDS + 1):
        await process.node._watch.look()
    assert len(logged.records("volume.unhealthy", reason="Unresponsive")) == 4


async def test_what_cannot_be_looked_at_is_told_and_the_others_are_watched(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    bad, other = await staged(world, process), await staged(world, process, "pvc-2")
    raising(process, "controllers", bad, DeviceUnavailable("no sysfs"))
    process.host.trouble.connecting.add(other.subnqn)
    with captured() as logged:
        await watch(process)
    assert volumes(logged, "volume.not_watched") == [bad.volume_id]
    assert volumes(logged, "volume.unhealthy") == [other.volume_id]


async def test_the_watch_ends_with_the_journal(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    await staged(world, process)

    async def fail(*_: object) -> None:
        raise JournalFailed("the disk is gone")

    process.host.controllers = fail  # type: ignore[method-assign, assignment]
    with pytest.RaisesGroup(JournalFailed, flatten_subgroups=True):
        await process.node._watch.look()


# --- paths


class Paths:
    """Stands in for connecting: a call puts the missing path back, or fails."""

    def __init__(self, process: NodeProcess, volume: NodeVolume) -> None:
        self.asked: list[Connection] = []
        self.fails = False
        self._process, self._volume = process, volume
        process.host.connect = self  # type: ignore[method-assign]

    async def __call__(self, connection: Connection) -> Device:
        self.asked.append(connection)
        await trio.sleep(1)
        if self.fails:
            raise DeviceUnavailable("nothing listens there")
        set_paths(self._process, self._volume, first="live", second="live")
        return self._process.host.kernel.attached[self._volume.subnqn].device


async def test_a_path_that_was_lost_is_put_back(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    paths = Paths(process, volume)
    await watch(process, 2)
    assert paths.asked == []
    set_paths(process, volume, first="live")
    with captured() as logged:
        await watch(process, 3)
    (asked,) = paths.asked
    assert (asked.subnqn, asked.portals) == (volume.subnqn, (PORTALS[0], OTHER_PORTAL))
    assert [one["volume"] for one in logged.records("path.restored")] == [volume.volume_id]
    assert [one["reason"] for one in logged.records("volume.recovered")] == ["PathMissing"]


async def test_a_portal_that_stays_away_is_tried_again_and_the_volume_works_on(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    paths = Paths(process, volume)
    paths.fails = True
    set_paths(process, volume, first="live")
    with captured() as logged:
        await watch(process, 3)
    assert len(paths.asked) == 3
    assert len(logged.records("path.not_restored")) == 3
    assert len(logged.records("volume.unhealthy")) == 1


async def test_no_path_is_made_for_what_is_tried_by_the_kernel_or_has_none(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    paths = Paths(process, volume)
    for states in ({"first": "live", "second": "connecting"}, {"first": "connecting"}, {"second": "dead"}):
        set_paths(process, volume, **states)
        await watch(process)
    assert paths.asked == []


async def test_no_path_is_made_for_what_changed_since_the_look(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    paths = Paths(process, volume)
    (record,) = await process.journal.stages()
    set_paths(process, volume, first="live")
    set_paths(process, volume, first="connecting")  # to connect now would be to wait for it
    await process.node._watch._put_back(record)
    set_paths(process, volume, first="live")
    await process.journal.commit(changes.drop_stage(volume.volume_id))
    await process.node._watch._put_back(record)
    assert paths.asked == []


async def test_whoever_is_at_the_volume_is_left_alone(
    world: NodeWorld, process: NodeProcess, autojump_clock: MockClock
) -> None:
    volume = await two_portals(world, process)
    paths = Paths(process, volume)
    (record,) = await process.journal.stages()
    set_paths(process, volume, first="live")
    process.host.trouble.hung.add(staging(world, volume))
    with captured() as logged:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_unstage, world, process, volume)
            await trio.sleep(1)
            await process.node._watch._put_back(record)
            nursery.cancel_scope.cancel()
    assert paths.asked == []
    assert logged.records("path.not_restored") == []


async def _unstage(world: NodeWorld, process: NodeProcess, volume: NodeVolume) -> None:
    with pytest.raises(Busy):
        await process.node.unstage(volume.volume_id, staging(world, volume))

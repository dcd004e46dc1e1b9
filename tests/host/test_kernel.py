"""The kernel backend over a sysfs that answers as Linux does: connecting, states, disconnecting, sizes.

Time is virtual, and what would look at sysfs in a thread looks at once: so no deadline here depends on the machine.
"""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from kernel_bench import CONNECTION, PORTALS, SUBNQN, Bench
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host.fabrics import Fabrics

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_each_portal_is_a_path_to_one_disk(bench: Bench, autojump_clock: MockClock) -> None:
    device = await bench.host.connect(CONNECTION)
    assert (device.path, device.number, device.size_bytes) == ("/dev/nvme0n1", (259, 0), 64 << 20)
    assert bench.connects == 2
    assert await bench.host.connect(CONNECTION) == device
    assert bench.connects == 2
    assert await bench.host.connected(f"{names.NQN_PREFIX}:") == {SUBNQN: ((259, 0),)}
    assert await bench.host.connected("nqn.2014") == {}


async def test_without_multipath_one_portal_alone_is_connected(tmp_path: Path, autojump_clock: MockClock) -> None:
    bench = Bench(tmp_path, multipath=False)
    device = await bench.host.connect(CONNECTION)
    assert bench.connects == 1
    assert await bench.host.connect(CONNECTION) == device
    assert bench.connects == 1


async def test_one_portal_that_answers_is_enough(bench: Bench, autojump_clock: MockClock) -> None:
    bench.tree.refused[str(PORTALS[0])] = errno.ECONNREFUSED
    assert (await bench.host.connect(CONNECTION)).path == "/dev/nvme0n1"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ECONNREFUSED, "nothing listens there (ECONNREFUSED)"),
        (errno.EHOSTUNREACH, "there is no route (EHOSTUNREACH)"),
        (errno.ETIMEDOUT, "nothing answers (ETIMEDOUT)"),
        (errno.EIO, "does not offer this subsystem to this host (EIO)"),
        (errno.EINVAL, "Invalid argument (EINVAL)"),
    ],
)
async def test_no_portal_says_why_for_each(bench: Bench, number: int, words: str, autojump_clock: MockClock) -> None:
    bench.tree.refused = {str(portal): number for portal in PORTALS}
    with pytest.raises(DeviceUnavailable) as failed:
        await bench.host.connect(CONNECTION)
    assert str(failed.value).count(words) == 2
    assert await bench.host.find_device(SUBNQN) is None


async def test_no_portal_at_all_is_said(bench: Bench, autojump_clock: MockClock) -> None:
    for ask in (bench.host.connect, bench.host.offers):
        with pytest.raises(DeviceUnavailable, match="no portal is known"):
            await ask(replace(CONNECTION, portals=()))


async def test_what_this_call_connected_goes_when_it_does_not_get_usable(
    bench: Bench, autojump_clock: MockClock
) -> None:
    bench.tree.namespaces = False
    with pytest.raises(DeviceUnavailable, match="namespace is not there"):
        await bench.host.connect(CONNECTION)
    assert bench.deleted == ["nvme0", "nvme1"]
    assert await bench.host.connected(names.NQN_PREFIX) == {}


async def test_a_namespace_that_went_under_a_live_controller_is_looked_for_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    bench = Bench(tmp_path, connect=5)
    await bench.host.connect(CONNECTION)
    disk = bench.tree.subsystem(SUBNQN) / "nvme0n1"
    disk.rename(tmp_path / "gone")

    def come_back(about: str) -> None:
        if about.startswith("rescan"):
            (tmp_path / "gone").rename(disk.with_name("nvme0n2"))
            (disk.with_name("nvme0n2") / "dev").write_text("259:9\n")
            bench.calls.before = lambda _: None

    bench.calls.before = come_back
    assert (await bench.host.connect(CONNECTION)).number == (259, 9)
    assert bench.deleted == []


async def test_what_was_connected_before_stays_when_it_is_not_usable(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.host.connect(CONNECTION)
    for name in ("nvme0", "nvme1"):
        bench.tree.state(name, "connecting")
    with pytest.raises(DeviceUnavailable, match="nvme0 connecting, nvme1 connecting"):
        await bench.host.connect(CONNECTION)
    assert bench.deleted == []
    with pytest.raises(DeviceUnavailable):
        await bench.host.find_device(SUBNQN)


async def test_a_connecting_controller_is_waited_for_and_not_connected_again(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.host.connect(CONNECTION)
    for name in ("nvme0", "nvme1"):
        bench.tree.state(name, "connecting")

    async def come_back() -> None:
        await trio.sleep(0.1)
        bench.tree.state("nvme1", "live")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(come_back)
        assert (await bench.host.connect(CONNECTION)).path == "/dev/nvme0n1"
    assert bench.connects == 2


async def test_a_dead_controller_is_deleted_and_connected_anew(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.host.connect(CONNECTION)
    bench.tree.state("nvme0", "dead")
    await bench.host.connect(CONNECTION)
    assert bench.deleted == ["nvme0"]
    assert bench.connects == 3


async def test_a_controller_that_is_being_deleted_is_waited_for(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.host.connect(CONNECTION)
    bench.tree.state("nvme0", "deleting")

    async def end() -> None:
        await trio.sleep(0.1)
        bench.tree.delete("nvme0")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        await bench.host.connect(CONNECTION)
    assert bench.deleted == []
    assert bench.connects == 3


def silent(*addresses: str) -> Callable[[str], None]:
    """Portals that swallow everything."""

    def hang(about: str) -> None:
        if any(f"traddr={one}," in about for one in addresses):
            raise OutcomeUnknown("exchange: no answer")

    return hang


@pytest.mark.parametrize("multipath", [True, False])
async def test_a_connect_that_hangs_leaves_no_controller(
    tmp_path: Path, autojump_clock: MockClock, multipath: bool
) -> None:
    bench = Bench(tmp_path, multipath=multipath)
    bench.calls.before = silent("192.0.2.1", "192.0.2.2")
    with pytest.raises(OutcomeUnknown):
        await bench.host.connect(CONNECTION)
    assert await bench.host.connected(names.NQN_PREFIX) == {}
    assert bench.connects == (2 if multipath else 1)


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.2"])
async def test_a_portal_that_swallows_everything_does_not_keep_a_volume_from_its_other_path(
    bench: Bench, autojump_clock: MockClock, address: str
) -> None:
    bench.calls.before = silent(address)
    assert (await bench.host.connect(CONNECTION)).path.startswith("/dev/nvme")
    assert len(await bench.host.controllers(SUBNQN)) == 1
    assert bench.deleted == []


async def test_without_multipath_nothing_is_connected_beside_what_may_yet_come(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    bench = Bench(tmp_path, multipath=False)
    bench.calls.before = silent("192.0.2.1")
    with pytest.raises(OutcomeUnknown):
        await bench.host.connect(CONNECTION)
    assert bench.connects == 1


async def test_the_time_for_connecting_is_shared_by_the_portals(
    bench: Bench, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    connect = Fabrics.connect

    async def noted(self: Fabrics, *args: Any, deadline: float, **kwargs: Any) -> str:  # Any: whatever it takes
        given.append(deadline)
        return await connect(self, *args, deadline=deadline, **kwargs)

    monkeypatch.setattr(Fabrics, "connect", noted)
    await bench.host.connect(CONNECTION)
    assert given == [pytest.approx(0.2)] * 2  # of 0.6 s, so that some is left to see the disk


async def test_a_size_is_asked_for_and_waited_for(bench: Bench, autojump_clock: MockClock) -> None:
    device = await bench.host.connect(CONNECTION)
    bench.tree.size_bytes *= 2
    assert (await bench.host.wait_size(device, 1)).size_bytes == bench.tree.size_bytes
    assert sum("rescan_controller" in one for one in bench.calls.made) == 2
    with pytest.raises(DeviceUnavailable, match="not yet"):
        await bench.host.wait_size(device, bench.tree.size_bytes + 1)
    await bench.host.disconnect(SUBNQN)
    with pytest.raises(DeviceUnavailable, match="no longer connected"):
        await bench.host.wait_size(device, 1)


async def test_what_grew_while_its_controller_was_away_is_seen_when_it_is_back(
    bench: Bench, autojump_clock: MockClock
) -> None:
    """No event tells of it: it came while nobody was connected."""
    device = await bench.host.connect(CONNECTION)
    for name in ("nvme0", "nvme1"):
        bench.tree.state(name, "connecting")
    bench.tree.size_bytes *= 2
    with pytest.raises(DeviceUnavailable, match="connecting"):
        await bench.host.wait_size(device, bench.tree.size_bytes)
    assert not any("rescan" in one for one in bench.calls.made)
    bench.tree.state("nvme1", "live")
    assert (await bench.host.wait_size(device, bench.tree.size_bytes)).size_bytes == bench.tree.size_bytes
    assert [one for one in bench.calls.made if "rescan" in one] == ["rescan_controller nvme1"]


async def test_a_size_that_does_not_come_is_asked_for_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    bench = Bench(tmp_path, connect=3)
    device = await bench.host.connect(CONNECTION)
    with pytest.raises(DeviceUnavailable):
        await bench.host.wait_size(device, 1 << 40)
    assert sum("rescan_controller" in one for one in bench.calls.made) == 4


async def test_what_a_target_offers_is_found_out_beside_the_connection_that_hangs(
    bench: Bench, autojump_clock: MockClock
) -> None:
    await bench.host.connect(CONNECTION)
    bench.tree.state("nvme0", "connecting")
    assert await bench.host.offers(CONNECTION)
    assert bench.deleted == ["nvme2"]
    bench.tree.offer(SUBNQN)
    assert not await bench.host.offers(CONNECTION)
    bench.tree.refused = {str(portal): errno.ETIMEDOUT for portal in PORTALS}
    with pytest.raises(DeviceUnavailable, match="nothing answers"):
        await bench.host.offers(CONNECTION)
    del bench.tree.refused[str(PORTALS[1])]
    assert not await bench.host.offers(CONNECTION)

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
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host import kernel as kernel_module
from rdscsi.host.fabrics import Fabrics
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Connection
from rdscsi.host.process import Processes
from rdscsi.model import Portal
from rdscsi.testing.sysfs import KernelCalls, NvmeTree

SUBNQN = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-1"), "a" * 16)
PORTALS = (Portal("192.0.2.1", 4420), Portal("192.0.2.2", 4420))
CONNECTION = Connection(SUBNQN, PORTALS, "nqn.2014-08.org.nvmexpress:uuid:h", "h")


class Bench:
    """A kernel host over a tree."""

    def __init__(self, directory: Path, *, multipath: bool = True, connect: float = 0.6) -> None:
        self.tree = NvmeTree(directory / "sys", multipath=multipath)
        self.calls = KernelCalls(self.tree)
        deadlines = Deadlines(connect=connect, mount=1, mkfs=1)
        self.host = KernelHost(
            processes=Processes(),
            calls=self.calls,
            deadlines=deadlines,
            sys_root=self.tree.sys,
            fabrics=Path("/fabrics"),
        )
        self.tree.offer(SUBNQN, *map(str, PORTALS))

    @property
    def connects(self) -> int:
        return sum("transport=tcp" in one for one in self.calls.made)

    @property
    def deleted(self) -> list[str]:
        return [one.removeprefix("delete_controller ") for one in self.calls.made if one.startswith("delete")]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(work: Callable[[], object]) -> object:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(kernel_module, "in_thread", at_once)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


async def test_disconnecting_is_proven_by_sysfs(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.host.connect(CONNECTION)
    await bench.host.disconnect(SUBNQN)
    assert bench.deleted == ["nvme0", "nvme1"]
    assert await bench.host.find_device(SUBNQN) is None
    await bench.host.disconnect(SUBNQN)
    assert len(bench.deleted) == 2


async def test_a_subsystem_that_stays_is_no_success(bench: Bench, autojump_clock: MockClock) -> None:
    """As while a filesystem on it is mounted, after its last controller went."""
    await bench.host.connect(CONNECTION)
    remove, bench.tree._remove_subsystem = bench.tree._remove_subsystem, lambda subnqn: None  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknown, match="no controller"):
        await bench.host.disconnect(SUBNQN)
    assert await bench.host.find_device(SUBNQN) is None
    assert SUBNQN in await bench.host.connected(names.NQN_PREFIX)
    remove(SUBNQN)
    await bench.host.disconnect(SUBNQN)


async def test_a_controller_that_cannot_be_deleted_is_no_success(bench: Bench, autojump_clock: MockClock) -> None:
    await bench.host.connect(CONNECTION)

    def refuse(about: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    bench.calls.before = refuse
    with pytest.raises(OutcomeUnknown, match="Permission denied"):
        await bench.host.disconnect(SUBNQN)
    with pytest.raises(DeviceUnavailable, match="Permission denied"):
        device = await bench.host.find_device(SUBNQN)
        assert device is not None
        await bench.host.wait_size(device, 1)


async def test_no_controller_is_ever_reset(bench: Bench, autojump_clock: MockClock) -> None:
    device = await bench.host.connect(CONNECTION)
    bench.tree.state("nvme0", "dead")
    await bench.host.connect(CONNECTION)
    await bench.host.wait_size(device, 1)
    await bench.host.offers(CONNECTION)
    await bench.host.disconnect(SUBNQN)
    assert not any("reset" in one for one in bench.calls.made)


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


async def test_presence_is_by_number(bench: Bench, autojump_clock: MockClock) -> None:
    (bench.tree.sys / "dev/block/259:0").mkdir()
    assert await bench.host.is_present((259, 0))
    assert not await bench.host.is_present((259, 1))
    assert bench.host.backend == "kernel"


async def test_those_who_ask_at_once_share_a_reading_that_began_after_they_asked(
    bench: Bench, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.host.connect(CONNECTION)
    begun: list[int] = []
    seen: list[bool] = []

    async def slowly(work: Callable[[], object]) -> object:
        begun.append(bench.connects)
        found = work()
        await trio.sleep(1)
        return found

    async def ask(after: float) -> None:
        await trio.sleep(after)
        seen.append(await bench.host.find_device(SUBNQN) is not None)

    monkeypatch.setattr(kernel_module, "in_thread", slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 0)
        for _ in range(5):
            nursery.start_soon(ask, 0.5)
        await trio.sleep(0.4)
        bench.tree.delete("nvme0")
        bench.tree.delete("nvme1")
    assert seen == [True, *[False] * 5]  # nobody is told what was read before they asked
    assert len(begun) == 2


async def test_a_reading_that_fails_fails_for_all_who_share_it_and_one_that_is_cancelled_for_nobody_else(
    bench: Bench, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = 0

    async def hang_then_fail(work: Callable[[], object]) -> object:
        nonlocal readings
        readings += 1
        await trio.sleep(10)
        raise DeviceUnavailable("the kernel did not answer")

    async def ask_in_vain() -> None:
        with pytest.raises(DeviceUnavailable, match="did not answer"):
            await bench.host.find_device(SUBNQN)

    monkeypatch.setattr(kernel_module, "in_thread", hang_then_fail)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as first:
            await bench.host.find_device(SUBNQN)
        assert first.cancelled_caught
        for _ in range(3):
            nursery.start_soon(ask_in_vain)
    assert readings <= 3
    assert trio.current_time() < 30

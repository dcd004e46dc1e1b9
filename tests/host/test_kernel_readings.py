"""The kernel backend over a sysfs that answers as Linux does: readings, which those who ask at once share."""

from collections.abc import Callable

import pytest
import trio
from kernel_bench import CONNECTION, SUBNQN, Bench
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable
from rdscsi.host import kernel as kernel_module

pytestmark = pytest.mark.usefixtures("no_threads")


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

"""The kernel backend over a sysfs that answers as Linux does: disconnecting, and what is never done."""

import errno

import pytest
from kernel_bench import CONNECTION, SUBNQN, Bench
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown

pytestmark = pytest.mark.usefixtures("no_threads")


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

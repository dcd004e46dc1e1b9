"""What the kernel backend tells of portals: through which it is connected, and which answers say "not offered"."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host.calls import Plain, Reply
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Connection, Controller
from rdscsi.host.process import Processes
from rdscsi.model import Portal
from rdscsi.testing.sysfs import KernelCalls, NvmeTree

SUBNQN = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-1"), "a" * 16)
HOSTNQN = "nqn.2014-08.org.nvmexpress:uuid:h"
PORTALS = (Portal("192.0.2.1", 4420), Portal("2001:db8::1", 4421))
CONNECTION = Connection(SUBNQN, PORTALS, HOSTNQN, "h")


@pytest.fixture
def tree(tmp_path: Path) -> NvmeTree:
    tree = NvmeTree(tmp_path / "sys")
    tree.offer(SUBNQN, *(f"{one.traddr}:{one.trsvcid}" for one in PORTALS))
    return tree


@pytest.fixture
def host(tree: NvmeTree, no_threads: None) -> KernelHost:
    deadlines = Deadlines(connect=0.6, mount=1, mkfs=1)
    return KernelHost(
        processes=Processes(),
        calls=KernelCalls(tree),
        deadlines=deadlines,
        sys_root=tree.sys,
        fabrics=Path("/fabrics"),
    )


async def test_each_connection_tells_its_portal_its_host_and_its_state(
    host: KernelHost, tree: NvmeTree, autojump_clock: MockClock
) -> None:
    assert await host.controllers(SUBNQN) == ()
    await host.connect(CONNECTION)
    assert await host.controllers(SUBNQN) == tuple(Controller(one, HOSTNQN, "live") for one in PORTALS)
    tree.state("nvme0", "connecting")
    found = await host.controllers(SUBNQN)
    assert [(one.portal, one.live) for one in found] == [(PORTALS[0], False), (PORTALS[1], True)]
    assert await host.multipath()


@pytest.mark.parametrize(
    "number", [errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOENT, errno.EINVAL, errno.ENOMEM, errno.EPERM]
)
async def test_only_the_targets_own_answer_says_that_something_is_not_offered(
    host: KernelHost, tree: NvmeTree, number: int, autojump_clock: MockClock
) -> None:
    one = replace(CONNECTION, portals=PORTALS[:1])
    tree.offer(SUBNQN)
    assert not await host.offers(one)  # EIO
    tree.refused["192.0.2.1:4420"] = number
    with pytest.raises(DeviceUnavailable, match=errno.errorcode[number]):
        await host.offers(one)


class Slow(KernelCalls):
    """Portals that take their time; those named never answer, and after 60 s the kernel says EIO."""

    def __init__(self, tree: NvmeTree, *silent: str) -> None:
        super().__init__(tree)
        self.silent = silent

    async def make(self, name: str, *arguments: Plain, deadline: float = 0.0) -> Reply:
        """Answer one call, as `Calls` does."""
        if name == "exchange" and any(f"traddr={one}," in str(arguments[1]) for one in self.silent):
            if deadline < 60:
                await trio.sleep(deadline)
                raise OutcomeUnknown(f"no answer within {deadline:g} s")
            await trio.sleep(60)
            raise OSError(errno.EIO, "Input/output error")
        return await super().make(name, *arguments, deadline=deadline)


async def test_silence_is_never_taken_for_a_refusal_and_one_that_answers_is_heard(
    host: KernelHost, tree: NvmeTree, autojump_clock: MockClock
) -> None:
    patient = Deadlines(connect=600, mount=1, mkfs=1)
    tree.offer(SUBNQN)
    for silent, known in ((("192.0.2.1", "2001:db8::1"), False), (("192.0.2.1",), True)):
        calls = Slow(tree, *silent)
        asking = KernelHost(
            processes=Processes(), calls=calls, deadlines=patient, sys_root=tree.sys, fabrics=Path("/fabrics")
        )
        if known:
            assert not await asking.offers(CONNECTION)
        else:
            with pytest.raises(DeviceUnavailable, match="no answer within 30 s"):
                await asking.offers(CONNECTION)

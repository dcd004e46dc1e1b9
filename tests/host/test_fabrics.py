"""What is written to /dev/nvme-fabrics, and what its answers mean."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rdscsi import names
from rdscsi.host.calls import Plain, Reply
from rdscsi.host.fabrics import AT_ONCE, Fabrics, meaning, render_options
from rdscsi.host.ports import Connection
from rdscsi.model import Portal, Tuning
from rdscsi.testing.sysfs import KernelCalls, NvmeTree

SUBNQN = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-1"), "a" * 16)
PORTALS = (Portal("192.0.2.1", 4420),)
CONNECTION = Connection(SUBNQN, PORTALS, "nqn.2014-08.org.nvmexpress:uuid:h", "h")


def test_options_are_the_kernels_own_and_the_time_outs_finite() -> None:
    line = render_options(CONNECTION, PORTALS[0])
    assert line == (
        f"transport=tcp,traddr=192.0.2.1,trsvcid=4420,nqn={SUBNQN},hostnqn=nqn.2014-08.org.nvmexpress:uuid:h,hostid=h,"
        "ctrl_loss_tmo=600,reconnect_delay=5,keep_alive_tmo=5"
    )
    tuned = replace(CONNECTION, tuning=Tuning(60, 2, 7, nr_io_queues=3), host_traddr="2001:db8::9", host_iface="eth1")
    line = render_options(tuned, Portal("2001:db8::1", 4421), duplicate=True)
    assert "traddr=2001:db8::1,trsvcid=4421" in line
    assert line.endswith(
        "ctrl_loss_tmo=60,reconnect_delay=2,keep_alive_tmo=7,nr_io_queues=3,host_traddr=2001:db8::9,host_iface=eth1"
        ",duplicate_connect"
    )


def test_an_address_of_ours_is_used_for_portals_of_its_family_only() -> None:
    tuned = replace(CONNECTION, host_traddr="192.0.2.9")
    assert render_options(tuned, PORTALS[0]).endswith(",host_traddr=192.0.2.9")
    assert "host_traddr" not in render_options(tuned, Portal("2001:db8::1", 4421))


@pytest.mark.parametrize(("number", "setting"), [(errno.EADDRNOTAVAIL, "host-traddr"), (errno.ENODEV, "host-iface")])
def test_a_connection_that_this_node_cannot_begin_names_the_setting(number: int, setting: str) -> None:
    assert setting in meaning(OSError(number, "words of the system"))


@pytest.mark.parametrize("value", ["a,hostid=x", "a b", "", "a\n", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_value_that_reads_as_several_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="hostnqn"):
        render_options(replace(CONNECTION, hostnqn=value), PORTALS[0])


async def test_an_answer_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    tree = NvmeTree(tmp_path / "sys")
    tree.connect = lambda options: "odd"  # type: ignore[method-assign]
    fabrics = Fabrics(KernelCalls(tree))
    with pytest.raises(OSError, match="odd"):
        await fabrics.connect(CONNECTION, PORTALS[0], deadline=1)


def test_a_number_without_a_meaning_keeps_the_systems_words() -> None:
    assert meaning(OSError(errno.EPERM, "Operation not permitted")) == "Operation not permitted (EPERM)"
    assert "modprobe nvme-tcp" in meaning(OSError(errno.ENOENT, "No such file or directory"))


async def test_many_connect_to_one_portal_in_turn_and_hold_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that waits in the kernel is a process; a portal that swallows everything delays its own volumes alone."""
    calls = KernelCalls(NvmeTree(tmp_path / "sys"))
    fabrics = Fabrics(calls)
    answer, answered = trio.Event(), list[str]()
    waiting = most = 0

    async def make(name: str, *arguments: Plain, deadline: float = 0.0) -> Reply:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        if "traddr=192.0.2.1," in str(arguments[1]):
            await answer.wait()
        waiting -= 1
        return f"instance={len(answered)},cntlid=1"

    monkeypatch.setattr(calls, "make", make)

    async def connect(portal: Portal) -> None:
        answered.append(await fabrics.connect(CONNECTION, portal, deadline=1))

    async with trio.open_nursery() as nursery:
        for _ in range(3 * AT_ONCE):
            nursery.start_soon(connect, PORTALS[0])
        await wait_all_tasks_blocked()
        assert (waiting, answered) == (AT_ONCE, [])
        await connect(Portal("192.0.2.2", 4420))
        assert len(answered) == 1
        answer.set()
    assert len(answered) == 3 * AT_ONCE + 1
    assert most == AT_ONCE + 1

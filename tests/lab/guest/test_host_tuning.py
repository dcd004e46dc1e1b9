"""What a StorageClass and a node's settings say about a connection is what Linux makes of it, by sysfs."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.guest.initiator import CONTROLLERS, HOST, HOST_ID, controllers, read
from lab.guest.target import Target, sh
from rdscsi import tuning
from rdscsi.errors import DeviceUnavailable
from rdscsi.host.calls import open_calls
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Connection
from rdscsi.model import Portal
from rdscsi.testing.host import open_processes

PORTAL = Portal("127.0.0.1", 4420)


@pytest.fixture
async def host() -> AsyncIterator[KernelHost]:
    async with open_processes() as processes, open_calls(processes) as calls:
        yield KernelHost(processes=processes, calls=calls, deadlines=Deadlines(connect=10))


def seen(nqn: str) -> dict[str, str]:
    """What the kernel says of its only controller."""
    (path,) = controllers(nqn)
    names = ("ctrl_loss_tmo", "reconnect_delay", "kato", "queue_count", "address")
    return {name: read(path / name) for name in names}


def connection(nqn: str, **context: str) -> Connection:
    return Connection(nqn, (PORTAL,), HOST, HOST_ID, tuning.parse("volume_context", context))


async def test_the_defaults_are_ours_and_finite(target: Target, host: KernelHost) -> None:
    volume = target.volume()
    await host.connect(connection(volume.nqn))
    found = seen(volume.nqn)
    assert (found["ctrl_loss_tmo"], found["reconnect_delay"], found["kato"]) == ("600", "5", "5")
    assert "host_traddr" not in found["address"]


async def test_the_kernel_takes_what_a_class_says(target: Target, host: KernelHost) -> None:
    volume = target.volume()
    await host.connect(connection(volume.nqn, ctrlLossTmo="91", reconnectDelay="2", keepAliveTmo="7", nrIoQueues="1"))
    found = seen(volume.nqn)
    # It counts attempts: 46 of them, 2 s apart.
    assert (found["ctrl_loss_tmo"], found["reconnect_delay"], found["kato"]) == ("92", "2", "7")
    assert found["queue_count"] == "2"  # one for I/O and the admin queue


@pytest.mark.parametrize("key", ["ctrlLossTmo", "reconnectDelay", "keepAliveTmo", "nrIoQueues"])
async def test_the_kernel_takes_the_ends_of_each_range(target: Target, host: KernelHost, key: str) -> None:
    highest = {"ctrlLossTmo": "86400", "reconnectDelay": "3600", "keepAliveTmo": "600", "nrIoQueues": "1024"}
    for value in ("1", highest[key]):
        volume = target.volume()
        await host.connect(connection(volume.nqn, **{"ctrlLossTmo": "86400", "reconnectDelay": "1", key: value}))
        assert seen(volume.nqn)["ctrl_loss_tmo"] not in ("", "off", "-1")
        await host.disconnect(volume.nqn)


async def test_a_node_connects_from_where_its_settings_say(target: Target, host: KernelHost) -> None:
    sh("ip", "address", "replace", "127.0.0.77/8", "dev", "lo")
    volume = target.volume()
    await host.connect(replace(connection(volume.nqn), host_traddr="127.0.0.77", host_iface="lo"))
    address = seen(volume.nqn)["address"].split(",")
    assert "host_traddr=127.0.0.77" in address
    assert "host_iface=lo" in address


@pytest.mark.parametrize(
    ("wrong", "setting"), [({"host_traddr": "192.0.2.77"}, "host-traddr"), ({"host_iface": "none0"}, "host-iface")]
)
async def test_a_setting_that_this_node_cannot_follow_is_named_and_says_nothing_of_the_target(
    target: Target, host: KernelHost, wrong: dict[str, str], setting: str
) -> None:
    volume = target.volume()
    given = replace(connection(volume.nqn), **wrong)  # type: ignore[arg-type]
    for ask in (host.connect, host.offers):
        with pytest.raises(DeviceUnavailable, match=setting):
            await ask(given)
    assert not list(Path(CONTROLLERS).iterdir())

"""Connecting and disconnecting NVMe/TCP controllers through the kernel's own interfaces.

Writing /dev/nvme-fabrics gives true error numbers, where nvme-cli exits with 1 for everything (measured with Linux 6.1
and nvme-cli 2.3). A controller is never reset: with I/O waiting and the host refused, that hangs it for good in the
kernel. Both calls may block there, so they are made by `rdscsi.host.calls`.
"""

import errno
import re
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import trio

from rdscsi.host.calls import Calls
from rdscsi.host.ports import Connection
from rdscsi.model import Portal

FABRICS = Path("/dev/nvme-fabrics")

AT_ONCE = 8
"""Connections that are begun at once to one address: each waits in the kernel, in a process of 9 MiB."""

_INSTANCE = re.compile(r"instance=([0-9]+)", re.ASCII)
_VALUE = re.compile(r"[!-+\--~]+", re.ASCII)  # printable, without blanks and the comma that ends a value

_MEANINGS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.EHOSTUNREACH: "there is no route",
    errno.ENETUNREACH: "there is no route",
    errno.ETIMEDOUT: "nothing answers",
    errno.EIO: "the target does not offer this subsystem to this host",
    errno.ENOENT: "this kernel has no NVMe/TCP: modprobe nvme-tcp",
    errno.EALREADY: "connected already",
    errno.EADDRNOTAVAIL: "this node does not have the address of the setting host-traddr",
    errno.ENODEV: "this node does not have the interface of the setting host-iface",
}
REFUSED = errno.EIO
"""The target's own answer to a connection; every other error says nothing about what it offers."""


def render_options(connection: Connection, portal: Portal, *, duplicate: bool = False) -> str:
    """Return the line that /dev/nvme-fabrics takes. Raises ValueError for a value that would read as several."""
    tuning = connection.tuning
    fields: dict[str, object] = {
        "transport": "tcp",
        "traddr": portal.traddr,
        "trsvcid": portal.trsvcid,
        "nqn": connection.subnqn,
        "hostnqn": connection.hostnqn,
        "hostid": connection.host_id,
        "ctrl_loss_tmo": tuning.ctrl_loss_tmo,
        "reconnect_delay": tuning.reconnect_delay,
        "keep_alive_tmo": tuning.keep_alive_tmo,
    }
    if tuning.nr_io_queues:
        fields["nr_io_queues"] = tuning.nr_io_queues
    if connection.host_traddr and _same_family(connection.host_traddr, portal.traddr):
        fields["host_traddr"] = connection.host_traddr
    if connection.host_iface:
        fields["host_iface"] = connection.host_iface
    for name, value in fields.items():
        if not _VALUE.fullmatch(str(value)):
            raise ValueError(f"{name}={value!r} cannot be passed to the kernel")
    line = ",".join(f"{name}={value}" for name, value in fields.items())
    return f"{line},duplicate_connect" if duplicate else line


def _same_family(one: str, other: str) -> bool:
    """A portal of the other family cannot be reached from the address; for it the kernel's routes choose."""
    return ip_address(one).version == ip_address(other).version


def meaning(error: OSError) -> str:
    """Say what a failed connect means."""
    name = errno.errorcode.get(error.errno or 0, "?")
    return f"{_MEANINGS.get(error.errno or 0, error.strerror)} ({name})"


class Fabrics:
    """The kernel's NVMe/TCP initiator."""

    def __init__(self, calls: Calls, *, sys_root: Path = Path("/sys"), fabrics: Path = FABRICS) -> None:
        self._calls = calls
        self._sys_root = sys_root
        self._fabrics = fabrics
        self._turns: dict[str, trio.CapacityLimiter] = {}

    async def connect(self, connection: Connection, portal: Portal, *, deadline: float, duplicate: bool = False) -> str:
        """Connect to one portal; return the new controller's name.

        Only AT_ONCE at a time to one address; the deadline begins when it is its turn. Raises OSError with the kernel's
        own number, and OutcomeUnknown when it does not answer within the deadline.
        """
        options = render_options(connection, portal, duplicate=duplicate)
        async with self._turns.setdefault(portal.traddr, trio.CapacityLimiter(AT_ONCE)):
            answer = cast("str", await self._calls.make("exchange", str(self._fabrics), options, deadline=deadline))
        instance = _INSTANCE.search(answer)
        if instance is None:
            raise OSError(errno.EPROTO, f"the kernel answered {answer!r}")
        return f"nvme{instance[1]}"

    async def delete(self, controller: str, *, deadline: float) -> None:
        """Disconnect one controller; I/O that waits for it fails. One that is gone is a success.

        Raises OSError, and OutcomeUnknown when it is not done within the deadline.
        """
        await self._write(controller, "delete_controller", deadline)

    async def rescan(self, controller: str, *, deadline: float) -> None:
        """Let a controller look at its namespaces anew."""
        await self._write(controller, "rescan_controller", deadline)

    async def _write(self, controller: str, attribute: str, deadline: float) -> None:
        path = self._sys_root / "class" / "nvme" / controller / attribute
        try:
            await self._calls.make("write", str(path), "1", deadline=deadline)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise

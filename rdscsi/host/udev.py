"""Wake-ups from the kernel's device events. One says only "look now": sysfs is the truth, and looking is polled too.

The kernel's own events, not udevd's: they come without udevd and before its rules. Where libudev or netlink is missing,
a wait is simply a pause.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import trio

from rdscsi.observe import logs

try:
    import pyudev
except ImportError:  # libudev is not installed
    pyudev = None

_SUBSYSTEMS = ("block", "nvme", "nvme-subsystem")
_BUFFER_BYTES = 1 << 20
_PAUSE_SECONDS = 0.005  # events come in bursts; one look for all of them

_log = logs.get_log()


class Watch:
    """Waits for events, from the moment at which it was made."""

    def __init__(self, monitor: "pyudev.Monitor | None") -> None:
        self._monitor = monitor

    async def wait(self, seconds: float) -> None:
        """Return after the next event, or after `seconds`."""
        if self._monitor is None:
            await trio.sleep(seconds)
            return
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._monitor.fileno())
            await trio.sleep(_PAUSE_SECONDS)
        _drain(self._monitor.fileno())


def _drain(descriptor: int) -> None:
    """Take what has come, unread: to make an object of each event costs more than to look at sysfs anew.

    The library has made the socket non-blocking. An event of another subsystem is a wake-up too many, and no more.
    """
    try:
        while os.read(descriptor, 1):  # the rest of a datagram goes with its first byte
            continue
    except OSError:
        return  # none is left; or some were lost, which is a wake-up like any other


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch block devices and NVMe while the body runs. Begin before the change that is waited for."""
    yield Watch(_monitor())


@cache
def _context() -> "pyudev.Context":
    """The library, declared once: that takes far longer than opening a monitor."""
    return pyudev.Context()


def _monitor() -> "pyudev.Monitor | None":
    if pyudev is None:
        return None
    try:
        monitor = pyudev.Monitor.from_netlink(_context(), source="kernel")
        for subsystem in _SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.set_receive_buffer_size(_BUFFER_BYTES)
        monitor.start()
    except (OSError, ImportError) as error:  # pyudev looks for libudev only now
        _log.warning("udev.unavailable", error=str(error))
        return None
    return monitor

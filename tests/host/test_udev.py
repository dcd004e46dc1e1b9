"""Wake-ups: an event ends a wait early, and without events a wait is a pause."""

import errno
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from rdscsi.host import udev
from rdscsi.testing.logbook import open_logbook

PYUDEV: Any = vars(udev)["pyudev"]  # Any: None where libudev is missing


class Monitor:
    """A monitor with a socket for its events."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reading.setblocking(False)

    def fileno(self) -> int:
        return self._reading.fileno()

    def event(self) -> None:
        self._writing.send(b"change@/devices/virtual/block/loop0\0ACTION=change\0")

    def close(self) -> None:
        self._reading.close()
        self._writing.close()


def watch_of(monitor: Monitor | None) -> udev.Watch:
    return udev.Watch(cast("Any", monitor))  # Any: whatever has fileno


async def test_an_event_ends_the_wait_and_all_that_came_with_it_are_taken() -> None:
    monitor = Monitor()
    try:
        for _ in range(3):
            monitor.event()
        with trio.fail_after(5):
            await watch_of(monitor).wait(60)
        with trio.move_on_after(0.05) as scope:
            await watch_of(monitor).wait(60)
        assert scope.cancelled_caught
    finally:
        monitor.close()


async def test_events_that_were_lost_end_the_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def overflown(descriptor: int, length: int) -> bytes:
        raise OSError(errno.ENOBUFS, "no buffer space")

    monitor = Monitor()
    monkeypatch.setattr(udev, "os", SimpleNamespace(read=overflown))
    try:
        monitor.event()
        with trio.fail_after(5):
            await watch_of(monitor).wait(60)
    finally:
        monitor.close()


async def test_without_events_a_wait_is_a_pause(autojump_clock: MockClock) -> None:
    began = trio.current_time()
    await watch_of(None).wait(7)
    assert trio.current_time() == began + 7


async def test_a_silent_monitor_is_a_pause_too(autojump_clock: MockClock) -> None:
    monitor = Monitor()
    try:
        await watch_of(monitor).wait(7)
        assert trio.current_time() >= 7
    finally:
        monitor.close()


@pytest.mark.parametrize("error", [OSError("netlink is forbidden"), ImportError("No library named udev")])
async def test_a_machine_without_libudev_or_netlink_is_polled(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, error: Exception
) -> None:
    class Broken:
        @staticmethod
        def from_netlink(*_: object, **__: object) -> None:
            raise error

    if PYUDEV is not None:
        monkeypatch.setattr(PYUDEV, "Monitor", Broken)
        with open_logbook() as told, udev.watching() as watch:
            await watch.wait(3)
            assert len(told.events("udev.unavailable")) == 1
    monkeypatch.setattr(udev, "pyudev", None)
    with udev.watching() as watch:
        await watch.wait(3)
    assert trio.current_time() >= 3


@pytest.mark.root
async def test_the_kernels_own_events_come_without_udevd() -> None:
    event = Path("/sys/block/loop0/uevent")
    if PYUDEV is None or not os.access(event, os.W_OK):
        pytest.skip("needs libudev, and a loop device whose events may be asked for")
    with udev.watching() as watch, trio.fail_after(10):
        event.write_text("change")
        await watch.wait(60)

"""What the kernel and loop backends make of errors: nothing done, unknown, or refused; never an answer."""

import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rdscsi import names
from rdscsi.errors import CommandFailed, DeviceUnavailable, NotPermittedNow, NotSupported, OutcomeUnknown
from rdscsi.host import callee, local
from rdscsi.host.calls import Calls, Make, Plain, Reply, open_calls
from rdscsi.host.content import stamp_places
from rdscsi.host.devices import loops
from rdscsi.host.exports import find_export
from rdscsi.host.local import Deadlines, LocalHost, in_thread
from rdscsi.host.loop import LoopHost
from rdscsi.host.mounts import Mounts
from rdscsi.host.ports import Connection, Device
from rdscsi.host.process import Processes
from rdscsi.model import MIB
from rdscsi.testing.host import Exporter, open_processes, require_loop_devices

SUBNQN = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-1"), "a" * 16)
DEVICE = Device(SUBNQN, "/dev/nvme0n1", (259, 0), 64 * MIB, "nsid 1 uuid.x")


class FailingCalls(Calls):
    """Calls that fail as they are told."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(Processes())
        self.error = error
        self.held: list[tuple[int, int] | None] = []

    async def make(self, name: str, *arguments: Plain, deadline: float = 0.0) -> Reply:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return None

    @asynccontextmanager
    async def holding(self, path: str, number: tuple[int, int], *, deadline: float) -> AsyncIterator[Make]:
        self.held.append(number)
        yield self.make
        self.held.append(None)


class OneDevice(LocalHost):
    """A host with the device that it is told to have."""

    backend = "test"

    def __init__(self, calls: Calls, device: Device | None) -> None:
        super().__init__(processes=Processes(), calls=calls, deadlines=Deadlines())
        self.device = device

    async def find_device(self, subnqn: str) -> Device | None:
        return self.device


def failed(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.EBUSY])
async def test_what_cannot_be_read_is_unavailable_and_never_blank(number: int) -> None:
    host = OneDevice(FailingCalls(failed(number)), DEVICE)
    with pytest.raises(DeviceUnavailable):
        await host.probe(DEVICE, "stamp")


async def test_a_read_that_hangs_is_unavailable(tmp_path: Path) -> None:
    host = OneDevice(FailingCalls(OutcomeUnknown("no answer within 30 s")), DEVICE)
    for look in (host.probe(DEVICE, "stamp"), host.usage("/"), host.path_state("/"), host.canonical("/")):
        with pytest.raises(DeviceUnavailable, match="no answer"):
            await look


async def test_a_write_that_failed_on_the_way_has_no_known_outcome() -> None:
    host = OneDevice(FailingCalls(failed(errno.EIO)), DEVICE)
    for write in (host.write_stamp, host.clear_stamp):
        with pytest.raises(OutcomeUnknown):
            await write(DEVICE, "stamp")
    host = OneDevice(FailingCalls(failed(errno.EBUSY)), DEVICE)
    with pytest.raises(DeviceUnavailable, match="claimed"):
        await host.write_stamp(DEVICE, "stamp")


@pytest.mark.parametrize(
    "now",
    [
        None,
        replace(DEVICE, identity="nsid 1 uuid.y"),
        replace(DEVICE, number=(259, 1)),
        replace(DEVICE, path="/dev/nvme1n1"),
        replace(DEVICE, size_bytes=MIB),
    ],
)
async def test_nothing_is_done_to_a_device_that_is_not_the_one_it_was(now: Device | None) -> None:
    host = OneDevice(FailingCalls(), now)
    effects = (
        host.probe(DEVICE, "stamp"),
        host.write_stamp(DEVICE, "stamp"),
        host.clear_stamp(DEVICE, "stamp"),
        host.make_filesystem(DEVICE, "ext4", erase_unfinished=True),
        host.check_filesystem(DEVICE, "ext4"),
        host.grow_filesystem(DEVICE, "ext4", "/mnt"),
        host.mount(DEVICE, "/mnt", "ext4", ()),
        host.holding(DEVICE).__aenter__(),
    )
    for effect in effects:
        with pytest.raises(DeviceUnavailable, match="no longer the device"):
            await effect


async def test_a_device_that_is_held_already_is_not_held_again_and_another_is() -> None:
    calls = FailingCalls()
    host, other = OneDevice(calls, DEVICE), replace(DEVICE, number=(259, 1), path="/dev/nvme1n1")
    async with host.holding(DEVICE):
        for _ in range(2):
            await host.write_stamp(DEVICE, "stamp")
        assert calls.held == [DEVICE.number]
        with pytest.raises(DeviceUnavailable, match="no longer the device"):
            await host.write_stamp(other, "stamp")
        assert calls.held == [DEVICE.number, other.number]
    assert calls.held == [DEVICE.number, other.number, None]
    await host.write_stamp(DEVICE, "stamp")
    assert calls.held[3:] == [DEVICE.number, None]


async def test_a_device_is_held_by_the_task_that_says_so_and_no_other() -> None:
    calls = FailingCalls()
    host, held, done = OneDevice(calls, DEVICE), trio.Event(), trio.Event()

    async def hold() -> None:
        async with host.holding(DEVICE):
            held.set()
            await done.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await held.wait()
        await host.write_stamp(DEVICE, "stamp")
        done.set()
    assert calls.held == [DEVICE.number, DEVICE.number, None, None]


async def test_filesystems_that_this_driver_does_not_know_are_left_alone() -> None:
    host = OneDevice(FailingCalls(), DEVICE)
    for effect in (
        host.make_filesystem(DEVICE, "btrfs", erase_unfinished=True),
        host.check_filesystem(DEVICE, "btrfs"),
        host.grow_filesystem(DEVICE, "btrfs", "/mnt"),
    ):
        with pytest.raises(NotSupported):
            await effect


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.EOPNOTSUPP, NotSupported),
        (errno.ENOTEMPTY, NotPermittedNow),
        (errno.EBUSY, NotPermittedNow),
        (errno.EIO, DeviceUnavailable),
        (errno.EROFS, DeviceUnavailable),
    ],
)
async def test_a_refused_change_of_a_path_says_which_kind_it_is(number: int, meaning: type[Exception]) -> None:
    host = OneDevice(FailingCalls(failed(number)), DEVICE)
    with pytest.raises(meaning):
        await host.remove("/path")
    with pytest.raises(DeviceUnavailable):
        await host.path_state("/path")


async def test_the_kernel_has_a_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CALL_SECONDS", 0.05)
    release = threading.Event()
    try:
        with pytest.raises(DeviceUnavailable, match="did not answer"):
            await in_thread(release.wait)
    finally:
        release.set()
    with pytest.raises(DeviceUnavailable, match="directory"):
        await in_thread(lambda: os.listdir("/no/such/path"))


async def test_an_unmount_that_is_refused_is_told_only_while_it_is_mounted(tmp_path: Path) -> None:
    class Refusing(Processes):
        async def check(self, *_: object, **__: object) -> str:
            raise CommandFailed(("umount",), 32, "target is busy")

    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text("1 2 259:1 / /mnt rw - ext4 x rw\n")
    mounts = Mounts(Refusing(), deadline=1, mountinfo=mountinfo)
    with pytest.raises(CommandFailed):
        await mounts.unmount("/mnt")
    await mounts.unmount("/elsewhere")


def test_an_export_that_cannot_be_looked_up_is_no_absence(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path)
    assert find_export(exporter.exports, SUBNQN) is None
    assert find_export(tmp_path / "missing", SUBNQN) is None
    exporter.export(SUBNQN, exporter.file("disk", MIB))
    assert find_export(exporter.exports, SUBNQN) is not None
    exporter.file("disk", MIB).unlink()
    assert find_export(exporter.exports, SUBNQN) is None
    exporter.withdraw(SUBNQN)
    Path(exporter.exports, SUBNQN.replace(":", "%3A")).write_text("no link")
    with pytest.raises(OSError, match="Invalid argument"):
        find_export(exporter.exports, SUBNQN)


# --- on real devices


@pytest.mark.root
async def test_a_loop_device_that_somebody_has_open_is_not_gone(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path)
    exporter.export(SUBNQN, exporter.file("disk", MIB))
    async with open_processes() as processes, open_calls(processes) as calls:
        deadlines = Deadlines(connect=0.5)
        host = LoopHost(exporter.exports, processes=processes, calls=calls, deadlines=deadlines)
        device = await host.connect(Connection(SUBNQN, (), "", ""))
        descriptor = os.open(device.path, os.O_RDONLY)
        try:
            with pytest.raises(OutcomeUnknown, match="last user"):
                await host.disconnect(SUBNQN)
        finally:
            os.close(descriptor)
        await host.disconnect(SUBNQN)
        with pytest.raises(DeviceUnavailable, match="no longer connected"):
            await host.wait_size(device, MIB)


@pytest.mark.root
async def test_a_call_that_hangs_while_a_device_is_held_confuses_no_other(tmp_path: Path) -> None:
    file, pipe = tmp_path / "disk", tmp_path / "pipe"
    with file.open("wb") as opened:
        opened.truncate(MIB)
    os.mkfifo(pipe)
    loop = loops.attach(file, "rdscsi-test-of-calls")
    try:
        async with open_processes() as processes, open_calls(processes) as calls:
            with pytest.raises(OutcomeUnknown):
                async with calls.holding(loop.path, loop.number, deadline=10) as make:
                    await make("write", str(pipe), "x", deadline=0.3)
            assert await calls.make("canonical", "/x") == "/x"
            async with calls.holding(loop.path, loop.number, deadline=10) as make:
                assert await make("canonical", "/y") == "/y"
            assert len(calls._idle) == 1
            with trio.move_on_after(0.2):
                async with calls.holding(loop.path, loop.number, deadline=10):
                    await trio.sleep_forever()
            assert calls._idle == []
            assert await calls.make("canonical", "/z") == "/z"
    finally:
        loops.detach(loop)


@pytest.mark.root
async def test_who_holds_a_device_makes_calls_by_the_process_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, pipe = tmp_path / "disk", tmp_path / "pipe"
    with file.open("wb") as opened:
        opened.truncate(MIB)
    os.mkfifo(pipe)
    loop = loops.attach(file, "rdscsi-test-of-calls")
    started: list[object] = []
    start = Calls._start

    async def counted(self: Calls) -> Any:
        started.append(self)
        return await start(self)

    monkeypatch.setattr(Calls, "_start", counted)
    try:
        async with (
            open_processes() as processes,
            open_calls(processes) as calls,
            calls.holding(loop.path, loop.number, deadline=10) as make,
        ):
            assert await calls.make("canonical", "/x") == "/x"
            assert len(started) == 1
            async with trio.open_nursery() as nursery:

                async def hang() -> None:
                    with pytest.raises(OutcomeUnknown):
                        await calls.make("write", str(pipe), "x", deadline=0.3)

                nursery.start_soon(hang)
                await trio.testing.wait_all_tasks_blocked()
                assert await calls.make("canonical", "/y") == "/y"  # beside it, by another process
            assert len(started) == 2
            with pytest.raises(OutcomeUnknown, match="hangs in another call"):
                await make("canonical", "/z")
            assert await calls.make("canonical", "/z") == "/z"
    finally:
        loops.detach(loop)


@pytest.mark.root
def test_the_calls_on_devices_read_and_write_where_they_should(tmp_path: Path) -> None:
    """In this process, where the contract's tests make them in another."""
    file = tmp_path / "disk"
    with file.open("wb") as opened:
        opened.truncate(4 * MIB)
    loop = loops.attach(file, "rdscsi-test-of-calls")
    places = stamp_places(4 * MIB)
    try:
        at, size = (loop.path, *loop.number), 4 * MIB
        nothing = {"found": False, "ambivalent": False, "tags": {}}
        assert callee.probe(*at, size, places, "s") == {"blank": True, "stamped": False, **nothing}
        callee.write_stamp(*at, places, "s")
        assert callee.probe(*at, size, places, "s") == {"blank": False, "stamped": True, **nothing}
        callee.clear_stamp(*at, places, "other")
        assert callee.probe(*at, size, places, "s")["stamped"]
        callee.clear_stamp(*at, places, "s")
        assert callee.probe(*at, size, places, "s")["blank"]
        assert callee.free(*at)
        with pytest.raises(OSError, match="another size"):
            callee.probe(*at, size - 4096, places, "s")
        with pytest.raises(OSError, match="not the block device"):
            callee.hold(loop.path, loop.number[0], loop.number[1] + 1)
        claimed = os.open(loop.path, os.O_RDONLY | os.O_EXCL)
        assert not callee.free(*at)
        os.close(claimed)
        with pytest.raises(OSError, match="No such file"):
            callee.free("/dev/gone", *loop.number)
        callee.hold(*at)
        callee.release()
        callee.make_node(str(tmp_path / "nodes" / "node"), *loop.number, 0o440)
        assert callee.lstat(str(tmp_path / "nodes" / "node")) == ["block device", *loop.number]
        callee.remove(str(tmp_path / "nodes" / "node"))
    finally:
        loops.detach(loop)


@pytest.fixture(autouse=True)
def _need_loop_devices(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        require_loop_devices()

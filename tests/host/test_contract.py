"""What every Host promises, asked of the simulated one and of real loop devices.

One module, though a long one: the laboratory loads it whole to ask the same of the kernel's NVMe/TCP.
"""

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rdscsi import names
from rdscsi.errors import CommandFailed, DeviceUnavailable, NotPermittedNow, NotSupported
from rdscsi.host.calls import open_calls
from rdscsi.host.content import stamp_places
from rdscsi.host.local import Deadlines
from rdscsi.host.loop import LoopHost
from rdscsi.host.ports import Connection, ContentKind, Device, Host, PathKind
from rdscsi.host.simulated import SimulatedHost, open_kernel
from rdscsi.model import MIB, Portal
from rdscsi.testing.host import Exporter, clear_machine, open_processes, require_loop_devices

DEADLINES = Deadlines(connect=2, mount=10, mkfs=60)
STAMP = "stamp of a test"
SLOT = names.slot(names.KIND_VOLUME, "cluster", "pvc-1")
SUBNQN = names.subnqn(SLOT, "a" * 16)
OTHER = names.subnqn(SLOT, "b" * 16)
SIZE = 320 * MIB


@dataclass
class Bench:
    """A host, its exports, and a directory for mount points."""

    host: Host
    exporter: Exporter
    directory: Path

    def connection(self, subnqn: str = SUBNQN) -> Connection:
        return Connection(subnqn, (Portal("192.0.2.1", 4420),), "nqn.2014-08.org.nvmexpress:uuid:x", "x")

    async def connect(self, subnqn: str = SUBNQN, name: str = "disk", size_bytes: int = SIZE) -> Device:
        self.exporter.export(subnqn, self.exporter.file(name, size_bytes))
        return await self.host.connect(self.connection(subnqn))

    def path(self, name: str) -> str:
        return str(self.directory / name)

    async def mounted(self, device: Device, name: str = "mounted", fs_type: str = "ext4") -> str:
        await self.host.make_filesystem(device, fs_type, erase_unfinished=False)
        await self.host.make_directory(self.path(name))
        await self.host.mount(device, self.path(name), fs_type, ())
        return self.path(name)

    async def at(self, path: str) -> list[tuple[tuple[int, int], bool]]:
        return [(one.number, one.readonly) for one in await self.host.mounts() if one.mount_point == path]


@pytest.fixture(params=["simulated", pytest.param("loop", marks=pytest.mark.root)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "loop":
        require_loop_devices()
    return str(request.param)


@pytest.fixture
async def bench(backend: str, tmp_path: Path) -> AsyncIterator[Bench]:
    exporter = Exporter(tmp_path / "rds")
    directory = Path(os.path.realpath(tmp_path)) / "paths"
    directory.mkdir()
    if backend == "simulated":
        simulated = SimulatedHost(exporter.exports, open_kernel(None), deadlines=DEADLINES)
        yield Bench(simulated, exporter, directory)
        return
    async with open_processes() as processes, open_calls(processes) as calls:
        host = LoopHost(exporter.exports, processes=processes, calls=calls, deadlines=DEADLINES)
        try:
            yield Bench(host, exporter, directory)
        finally:
            await clear_machine(host, tmp_path)


# --- devices


async def test_connecting_gives_the_device_and_again_the_same(bench: Bench) -> None:
    device = await bench.connect()
    assert device.subnqn == SUBNQN
    assert device.size_bytes == SIZE
    assert device.identity
    assert await bench.host.connect(bench.connection()) == device
    assert await bench.host.find_device(SUBNQN) == device
    assert await bench.host.connected(f"{names.NQN_PREFIX}:{SLOT}:") == {SUBNQN: (device.number,)}
    assert await bench.host.is_present(device.number)


async def test_each_connection_shows_and_carries_io(bench: Bench) -> None:
    assert await bench.host.controllers(SUBNQN) == ()
    await bench.connect()
    found = await bench.host.controllers(SUBNQN)
    assert [one.live for one in found] == [True]
    await bench.host.disconnect(SUBNQN)
    assert await bench.host.controllers(SUBNQN) == ()


async def test_what_no_target_offers_is_unavailable_and_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(DeviceUnavailable):
        await bench.host.connect(bench.connection())
    assert await bench.host.find_device(SUBNQN) is None
    assert await bench.host.connected(names.NQN_PREFIX) == {}
    assert not await bench.host.offers(bench.connection())


async def test_another_prefix_shows_nothing_of_ours(bench: Bench) -> None:
    await bench.connect()
    assert await bench.host.connected("nqn.2014-08.org.nvmexpress") == {}


async def test_two_epochs_of_one_volume_are_two_connections(bench: Bench) -> None:
    first = await bench.connect()
    second = await bench.connect(OTHER)
    assert first.number != second.number
    found = await bench.host.connected(f"{names.NQN_PREFIX}:{SLOT}:")
    assert found == {SUBNQN: (first.number,), OTHER: (second.number,)}


async def test_a_disconnected_device_is_gone_and_its_number_is_given_to_the_next(bench: Bench) -> None:
    first = await bench.connect()
    await bench.host.disconnect(SUBNQN)
    assert await bench.host.find_device(SUBNQN) is None
    await bench.host.disconnect(SUBNQN)  # again: nothing there is a success
    second = await bench.connect(OTHER, "another")
    assert second.identity != first.identity
    if second.number == first.number:
        with pytest.raises(DeviceUnavailable):
            await bench.host.make_filesystem(first, "ext4", erase_unfinished=False)
        assert (await bench.host.probe(second, STAMP)).kind is ContentKind.BLANK


async def test_an_export_that_is_withdrawn_is_offered_no_more(bench: Bench) -> None:
    await bench.connect()
    assert await bench.host.offers(bench.connection())
    bench.exporter.withdraw(SUBNQN)
    assert not await bench.host.offers(bench.connection())


async def test_a_size_is_waited_for_and_returned_as_it_is(bench: Bench) -> None:
    device = await bench.connect()
    assert (await bench.host.wait_size(device, SIZE)).size_bytes == SIZE
    bench.exporter.file("disk", 2 * SIZE)
    assert (await bench.host.wait_size(device, SIZE + 1)).size_bytes == 2 * SIZE
    with pytest.raises(DeviceUnavailable, match="not yet"):
        await bench.host.wait_size(device, 3 * SIZE)


async def test_nobody_holds_a_device_that_nobody_uses(bench: Bench) -> None:
    assert await bench.host.holders(await bench.connect()) == ()


# --- content


async def test_a_new_device_is_blank_and_a_stamped_one_stamped_until_it_is_cleared(bench: Bench) -> None:
    device = await bench.connect()
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.BLANK
    await bench.host.write_stamp(device, STAMP)
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.STAMPED
    assert (await bench.host.probe(device, "stamp of another")).kind is ContentKind.OTHER
    await bench.host.clear_stamp(device, "stamp of another")
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.STAMPED
    await bench.host.clear_stamp(device, STAMP)
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.BLANK


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_the_stamp_outlives_mkfs_and_its_clearing_spares_the_filesystem(bench: Bench, fs_type: str) -> None:
    device = await bench.connect()
    await bench.host.write_stamp(device, STAMP)
    await bench.host.make_filesystem(device, fs_type, erase_unfinished=False)
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.STAMPED
    await bench.host.clear_stamp(device, STAMP)
    content = await bench.host.probe(device, STAMP)
    assert (content.kind, content.fs_type) == (ContentKind.FILESYSTEM, fs_type)


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_an_unfinished_filesystem_is_made_again(bench: Bench, fs_type: str) -> None:
    device = await bench.connect()
    await bench.host.make_filesystem(device, "xfs", erase_unfinished=False)
    await bench.host.make_filesystem(device, fs_type, erase_unfinished=True)
    assert (await bench.host.probe(device, STAMP)).fs_type == fs_type


@pytest.mark.parametrize("where", [0, MIB - 512, SIZE - MIB, SIZE - 512, stamp_places(SIZE)[0]])
async def test_a_device_with_any_byte_set_at_its_ends_is_not_blank(bench: Bench, where: int) -> None:
    file = bench.exporter.file("disk", SIZE)
    with file.open("r+b") as opened:
        opened.seek(where)
        opened.write(b"x")
    device = await bench.connect()
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.OTHER


async def test_a_filesystem_that_this_driver_does_not_make_is_refused(bench: Bench) -> None:
    with pytest.raises(NotSupported):
        await bench.host.make_filesystem(await bench.connect(), "btrfs", erase_unfinished=False)


async def test_a_mounted_device_is_not_formatted(bench: Bench) -> None:
    device = await bench.connect()
    await bench.mounted(device)
    with pytest.raises((CommandFailed, DeviceUnavailable)):
        await bench.host.make_filesystem(device, "xfs", erase_unfinished=True)


async def test_a_device_that_is_in_use_is_neither_probed_nor_stamped(bench: Bench) -> None:
    device = await bench.connect()
    path = await bench.mounted(device)
    for effect in (bench.host.probe, bench.host.write_stamp, bench.host.clear_stamp):
        with pytest.raises(DeviceUnavailable, match="claimed"):
            await effect(device, STAMP)
    await bench.host.unmount(path)
    assert (await bench.host.probe(device, STAMP)).kind is ContentKind.FILESYSTEM


# --- mounts


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
async def test_a_mount_is_seen_with_its_device_and_taken_off(bench: Bench, fs_type: str) -> None:
    device = await bench.connect()
    path = await bench.mounted(device, fs_type=fs_type)
    (mount,) = [one for one in await bench.host.mounts() if one.mount_point == path]
    assert (mount.number, mount.root, mount.fs_type, mount.readonly) == (device.number, "/", fs_type, False)
    await bench.host.unmount(path)
    assert await bench.at(path) == []
    await bench.host.unmount(path)  # again: nothing there is a success


async def test_a_read_only_mount_refuses_writes(bench: Bench) -> None:
    device = await bench.connect()
    path = await bench.mounted(device)
    await bench.host.unmount(path)
    await bench.host.mount(device, path, "ext4", ("ro", "noatime"))
    (mount,) = [one for one in await bench.host.mounts() if one.mount_point == path]
    assert mount.readonly
    assert "ro" in mount.super_options
    assert "noatime" in mount.options


async def test_what_does_not_mount_says_why(bench: Bench) -> None:
    device = await bench.connect()
    await bench.host.make_directory(bench.path("mounted"))
    with pytest.raises(CommandFailed, match="mount"):
        await bench.host.mount(device, bench.path("mounted"), "ext4", ())
    assert await bench.at(bench.path("mounted")) == []


async def test_binds_stack_and_come_off_one_by_one(bench: Bench) -> None:
    device = await bench.connect()
    source = await bench.mounted(device)
    target = bench.path("target")
    await bench.host.make_directory(target)
    await bench.host.bind(source, target, readonly=False)
    await bench.host.bind(source, target, readonly=True)
    assert await bench.at(target) == [(device.number, False), (device.number, True)]
    await bench.host.unmount(target)
    assert await bench.at(target) == [(device.number, False)]
    assert await bench.at(source) == [(device.number, False)]


async def test_a_read_only_bind_keeps_the_other_options_of_its_source(bench: Bench) -> None:
    device = await bench.connect()
    path = await bench.mounted(device)
    await bench.host.unmount(path)
    await bench.host.mount(device, path, "ext4", ("nosuid", "noexec"))
    target = bench.path("target")
    await bench.host.make_directory(target)
    await bench.host.bind(path, target, readonly=True)
    (mount,) = [one for one in await bench.host.mounts() if one.mount_point == target]
    if bench.host.backend != "simulated":
        assert {"ro", "nosuid", "noexec"} <= set(mount.options)
    assert mount.readonly


async def test_a_mounted_filesystem_fills_its_grown_device(bench: Bench) -> None:
    device = await bench.connect()
    path = await bench.mounted(device, fs_type="xfs")
    before = (await bench.host.usage(path))[0].total
    bench.exporter.file("disk", 2 * SIZE)
    device = await bench.host.wait_size(device, 2 * SIZE)
    await bench.host.grow_filesystem(device, "xfs", path)
    after = (await bench.host.usage(path))[0].total
    assert after > 1.5 * before
    await bench.host.grow_filesystem(device, "xfs", path)  # again: nothing to do is a success
    assert (await bench.host.usage(path))[0].total == after


async def test_an_ext4_that_fills_its_device_already_needs_no_capability(bench: Bench) -> None:
    device = await bench.connect()
    await bench.host.grow_filesystem(device, "ext4", await bench.mounted(device))


async def test_usage_counts_bytes_and_inodes(bench: Bench) -> None:
    device = await bench.connect()
    usage = {one.unit: one for one in await bench.host.usage(await bench.mounted(device))}
    assert set(usage) == {"bytes", "inodes"}
    assert 0.8 * SIZE < usage["bytes"].total <= SIZE
    assert 0 < usage["bytes"].available <= usage["bytes"].total - usage["bytes"].used
    assert usage["inodes"].total == usage["inodes"].available + usage["inodes"].used


# --- paths


async def test_paths_are_told_apart(bench: Bench) -> None:
    directory, file = bench.path("a/b/directory"), bench.path("c/file")
    await bench.host.make_directory(directory)
    await bench.host.make_directory(directory)
    await bench.host.make_file(file)
    await bench.host.make_file(file)
    os.symlink(file, bench.path("link"))
    kinds = [
        (await bench.host.path_state(path)).kind for path in (directory, file, bench.path("link"), bench.path("-"))
    ]
    assert kinds == [PathKind.DIRECTORY, PathKind.FILE, PathKind.OTHER, PathKind.ABSENT]


async def test_a_device_node_shows_its_number_until_it_is_removed(bench: Bench) -> None:
    device = await bench.connect()
    path = bench.path("new/node")
    await bench.host.make_device_node(path, device, readonly=False)
    state = await bench.host.path_state(path)
    assert (state.kind, state.number) == (PathKind.BLOCK_DEVICE, device.number)
    with pytest.raises(NotPermittedNow):
        await bench.host.make_device_node(path, device, readonly=False)
    await bench.host.remove(path)
    assert (await bench.host.path_state(path)).kind is PathKind.ABSENT


async def test_a_device_bound_to_a_file_shows_its_number_too(bench: Bench) -> None:
    device = await bench.connect()
    path = bench.path("bound")
    await bench.host.make_file(path)
    await bench.host.bind(device.path, path, readonly=False)
    assert (await bench.host.path_state(path)).number == device.number
    assert len(await bench.at(path)) == 1
    with pytest.raises(NotPermittedNow):
        await bench.host.remove(path)
    await bench.host.unmount(path)
    assert (await bench.host.path_state(path)).kind is PathKind.FILE


async def test_removal_is_never_recursive(bench: Bench) -> None:
    await bench.host.make_file(bench.path("full/inner"))
    with pytest.raises(NotPermittedNow):
        await bench.host.remove(bench.path("full"))
    Path(bench.path("full/inner")).write_text("data")
    with pytest.raises(NotPermittedNow):
        await bench.host.remove(bench.path("full/inner"))
    os.symlink("/", bench.path("link"))
    with pytest.raises(NotPermittedNow):
        await bench.host.remove(bench.path("link"))
    assert Path(bench.path("full/inner")).read_text() == "data"
    Path(bench.path("full/inner")).write_text("")
    await bench.host.remove(bench.path("full/inner"))
    await bench.host.remove(bench.path("full"))
    await bench.host.remove(bench.path("full"))  # again: nothing there is a success


async def test_a_mount_point_is_not_removed(bench: Bench) -> None:
    path = await bench.mounted(await bench.connect())
    with pytest.raises(NotPermittedNow):
        await bench.host.remove(path)
    assert len(await bench.at(path)) == 1


async def test_what_is_in_the_way_is_left_as_it_is(bench: Bench) -> None:
    await bench.host.make_file(bench.path("file"))
    await bench.host.make_directory(bench.path("directory"))
    with pytest.raises(NotPermittedNow):
        await bench.host.make_directory(bench.path("file"))
    with pytest.raises(NotPermittedNow):
        await bench.host.make_file(bench.path("directory"))


async def test_a_canonical_path_is_the_one_that_mountinfo_shows(bench: Bench) -> None:
    os.symlink(bench.directory, bench.path("link"))
    device = await bench.connect()
    await bench.mounted(device)
    spelled = f"{bench.path('link')}/./mounted/"
    assert await bench.host.canonical(spelled) == bench.path("mounted")
    assert len(await bench.at(await bench.host.canonical(spelled))) == 1
    assert await bench.host.canonical(bench.path("link")) == bench.path("link")
    assert await bench.host.canonical(bench.path("not/there")) == bench.path("not/there")


async def test_the_boot_has_a_name(bench: Bench) -> None:
    assert await bench.host.boot_id() == await bench.host.boot_id() != ""


# --- what the simulated one alone can be asked


async def test_the_simulated_kernel_refuses_what_a_kernel_refuses(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path / "rds")
    host = SimulatedHost(exporter.exports, open_kernel(None), deadlines=DEADLINES)
    bench = Bench(host, exporter, tmp_path)
    device = await bench.connect()
    path = await bench.mounted(device)
    with pytest.raises(CommandFailed, match="already mounted"):
        await host.mount(device, path, "ext4", ())
    with pytest.raises(CommandFailed, match="does not exist"):
        await host.mount(device, bench.path("nowhere"), "ext4", ())
    with pytest.raises(CommandFailed, match="not what can be mounted on"):
        await host.bind(path, bench.path("nowhere"), readonly=False)
    with pytest.raises(CommandFailed, match="not mounted there"):
        await host.grow_filesystem(device, "ext4", bench.path("nowhere"))
    with pytest.raises(CommandFailed, match="mounted"):
        await host.make_filesystem(device, "ext4", erase_unfinished=True)
    await host.unmount(path)
    with pytest.raises(CommandFailed, match="appears to contain"):
        await host.make_filesystem(device, "ext4", erase_unfinished=False)
    with pytest.raises(DeviceUnavailable):
        await host.usage(path)
    await host.disconnect(SUBNQN)
    with pytest.raises(DeviceUnavailable, match="no longer the device"):
        await host.probe(device, STAMP)
    without = SimulatedHost(None, open_kernel(None), deadlines=DEADLINES)
    with pytest.raises(DeviceUnavailable, match="no exports"):
        await without.connect(bench.connection())

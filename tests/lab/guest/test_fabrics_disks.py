"""Sizes, sectors and content: what the disk of an exported file looks like from the initiator."""

import os
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.initiator import connected, read, size, wait_for
from lab.guest.target import MIB, Target, sh
from rdscsi.simulator.nvmet import Backing, Growth

pytestmark = pytest.mark.slow  # of the kernel, not of this driver: looked at when the kernel changes


def sectors(node: Path) -> int:
    return int(read(Path("/sys/block") / node.name / "queue" / "logical_block_size"))


@pytest.mark.parametrize(("backing", "expected"), [(Backing.FILE, 4096), (Backing.LOOP, 512)])
def test_sector_size_follows_the_kind_of_backing(target: Target, backing: Backing, expected: int) -> None:
    volume = target.file()
    target.exporter(backing).offer(volume.export)
    assert sectors(connected(volume.nqn)) == expected


def test_growth_is_seen_when_the_initiator_looks_again(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    os.truncate(volume.file, 512 * MIB)
    target.nvmet.offer(volume.export)
    sh("udevadm", "settle")
    assert size(node) == 384 * MIB
    (controller,) = initiator.controllers(volume.nqn)
    (controller / "rescan_controller").write_text("1")
    wait_for(lambda: size(node) == 512 * MIB)


@pytest.mark.parametrize("backing", list(Backing))
def test_growth_is_seen_at_once_where_the_target_tells(target: Target, backing: Backing) -> None:
    volume = target.file()
    exporter = target.exporter(backing, Growth.EVENT)
    exporter.offer(volume.export)
    node = connected(volume.nqn)
    os.truncate(volume.file, 512 * MIB)
    exporter.offer(volume.export)
    wait_for(lambda: size(node) == 512 * MIB)


def test_a_mounted_filesystem_grows_online(target: Target, mount_point: Path) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    sh("mkfs.ext4", "-q", "-F", str(node))
    sh("mount", str(node), str(mount_point))
    before = os.statvfs(mount_point).f_blocks
    os.truncate(volume.file, 512 * MIB)
    (initiator.controllers(volume.nqn)[0] / "rescan_controller").write_text("1")
    wait_for(lambda: size(node) == 512 * MIB)
    sh("resize2fs", str(node))
    assert os.statvfs(mount_point).f_blocks > before


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
def test_a_file_system_is_back_after_a_new_connection(target: Target, mount_point: Path, fs_type: str) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    sh(f"mkfs.{fs_type}", "-q", str(node))
    sh("mount", str(node), str(mount_point))
    (mount_point / "file").write_bytes(b"x" * 4_000_000)
    sh("umount", str(mount_point))
    initiator.disconnect(volume.nqn)
    sh("mount", str(connected(volume.nqn)), str(mount_point))
    assert (mount_point / "file").read_bytes() == b"x" * 4_000_000


def test_a_copy_of_an_xfs_volume_mounts_only_with_nouuid(
    target: Target, mount_point: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    sh("mkfs.xfs", "-q", str(node))
    sh("mount", str(node), str(mount_point))
    (mount_point / "file").write_text("here")
    sh("fsfreeze", "-f", str(mount_point))
    copy = target.file()
    sh("cp", "--reflink=always", str(volume.file), str(copy.file))
    sh("fsfreeze", "-u", str(mount_point))
    target.nvmet.offer(copy.export)
    other = tmp_path_factory.mktemp("copy")
    node = connected(copy.nqn)
    assert sh("mount", str(node), str(other), check=False).returncode == 32
    sh("mount", "-o", "nouuid", str(node), str(other))
    try:
        assert (other / "file").read_text() == "here"
    finally:
        sh("umount", str(other))


def test_discarding_gives_the_pool_its_space_back(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    with node.open("wb") as disk:
        disk.write(b"x" * 8 * MIB)
        os.fsync(disk)
    assert volume.file.stat().st_blocks * 512 >= 8 * MIB
    sh("blkdiscard", "-f", str(node))
    os.sync()
    assert volume.file.stat().st_blocks * 512 < 1 * MIB

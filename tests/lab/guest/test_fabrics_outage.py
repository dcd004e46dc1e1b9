"""What an initiator goes through when its target is away for a while, or for good."""

import errno
import os
import time
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.initiator import connected, wait_for
from lab.guest.target import Target, sh
from lab.guest.writing import Writing
from rdscsi.simulator.nvmet import Uuids

pytestmark = pytest.mark.slow  # of the kernel, not of this driver: looked at when the kernel changes

UNUSABLE = "Input/output error|Structure needs cleaning|Read-only file system"
"""What a filesystem answers whose device is gone; which of them depends on what it had in memory."""


def test_a_write_during_an_outage_waits_and_succeeds(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    target.cut(volume)
    wait_for(lambda: initiator.state(volume.nqn) == "connecting")
    writing = Writing(node, 7)
    time.sleep(1.5)
    assert writing.is_alive()
    target.restore(volume)
    writing.join(20)
    assert writing.error is None
    assert writing.seconds > 1.4
    assert initiator.state(volume.nqn) == "live"
    assert volume.head() == bytes([7]) * 4096


def test_a_subsystem_gone_from_a_port_that_serves_others_is_tried_again_too(target: Target) -> None:
    volume, other = target.volume(), target.volume()
    connected(volume.nqn)
    target.cut(volume)
    wait_for(lambda: initiator.state(volume.nqn) == "connecting")
    time.sleep(2.5)  # more than one attempt, each answered with "invalid subsystem, do not retry"
    assert initiator.state(volume.nqn) == "connecting"
    target.restore(volume)
    wait_for(lambda: initiator.state(volume.nqn) == "live")
    assert other.file.exists()


@pytest.mark.parametrize("uuids", list(Uuids))
def test_a_reboot_of_the_target_is_survived_where_it_keeps_its_uuids(
    target: Target, mount_point: Path, uuids: Uuids
) -> None:
    volume = target.file()
    exporter = target.exporter(uuids=uuids)
    exporter.offer(volume.export)
    node = connected(volume.nqn)
    sh("mkfs.ext4", "-q", "-F", str(node))
    sh("mount", str(node), str(mount_point))
    before = diskseq(node)
    exporter.power_off()
    wait_for(lambda: initiator.state(volume.nqn) == "connecting")
    exporter.reset([volume.export])
    wait_for(lambda: initiator.state(volume.nqn) == "live")
    if uuids is Uuids.KEPT:
        write_durably(mount_point / "file")
        assert diskseq(node) == before
    else:  # "identifiers changed for nsid 1": it is dropped, and the other one is seen only by looking again
        wait_for(lambda: not node.exists())
        with pytest.raises(OSError, match=UNUSABLE):
            write_durably(mount_point / "file")
        assert initiator.find_node(volume.nqn) is None
        (initiator.controllers(volume.nqn)[0] / "rescan_controller").write_text("1")
        assert diskseq(wait_for(lambda: initiator.find_node(volume.nqn))) != before


def diskseq(node: Path) -> str:
    """The number that no two disks of one boot share."""
    return initiator.read(Path("/sys/block") / node.name / "diskseq")


def write_durably(path: Path) -> None:
    """Write and sync. A write alone may succeed for seconds on a filesystem whose disk is gone."""
    with path.open("w") as file:
        file.write("here")
        file.flush()
        os.fsync(file)


def test_after_ctrl_loss_tmo_io_fails_and_the_mount_outlives_its_device(target: Target, mount_point: Path) -> None:
    volume = target.volume()
    node = connected(volume.nqn, ctrl_loss_tmo=3)
    sh("mkfs.ext4", "-q", "-F", str(node))
    sh("mount", str(node), str(mount_point))
    target.cut(volume)
    wait_for(lambda: initiator.state(volume.nqn) == "connecting")
    writing = Writing(node)
    wait_for(lambda: not initiator.controllers(volume.nqn))
    writing.join(10)
    assert writing.error == errno.EIO
    assert not node.exists()
    assert mount_point.is_mount()
    with pytest.raises(OSError, match=UNUSABLE):
        (mount_point / "file").touch()
    # An empty subsystem stays until the unmount: to find its NQN in sysfs does not mean to be connected.
    assert initiator.subsystem(volume.nqn) is not None
    sh("umount", str(mount_point))
    wait_for(lambda: initiator.subsystem(volume.nqn) is None)


def test_ctrl_loss_tmo_is_off_where_it_was_minus_one(target: Target) -> None:
    volume = target.volume()
    connected(volume.nqn, ctrl_loss_tmo=-1)
    (controller,) = initiator.controllers(volume.nqn)
    assert initiator.read(controller / "ctrl_loss_tmo") == "off"


def test_disconnecting_a_mounted_disk_succeeds_and_fails_its_io(target: Target, mount_point: Path) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    sh("mkfs.ext4", "-q", "-F", str(node))
    sh("mount", str(node), str(mount_point))
    initiator.disconnect(volume.nqn)
    wait_for(lambda: not node.exists())
    assert mount_point.is_mount()
    with pytest.raises(OSError, match=UNUSABLE):
        (mount_point / "file").touch()


def test_one_of_two_paths_is_enough(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    initiator.connect(volume.nqn, traddr="127.0.0.2")
    first, _ = initiator.controllers(volume.nqn)
    (first / "delete_controller").write_text("1")
    writing = Writing(node)
    writing.join(10)
    assert writing.error is None
    assert not writing.is_alive()

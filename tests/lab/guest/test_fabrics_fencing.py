"""What cuts a host off that is connected, and what does not."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.initiator import HOST, connect, connected, wait_for
from lab.guest.target import Target, sh
from lab.guest.writing import Writing


def write(node: Path) -> None:
    """Write a block past every cache. Raises OSError."""
    descriptor = os.open(node, os.O_WRONLY | os.O_SYNC | os.O_EXCL)
    try:
        os.pwrite(descriptor, b"x" * 4096, 0)
    finally:
        os.close(descriptor)


def test_a_host_that_is_not_allowed_any_more_keeps_its_connection(target: Target) -> None:
    volume = target.file()
    export = replace(volume.export, allowed_host=HOST)
    target.nvmet.offer(export)
    node = connected(volume.nqn)
    target.nvmet.offer(replace(export, allowed_host="nqn.2026-01.io.example:another"))
    write(node)
    assert initiator.state(volume.nqn) == "live"
    initiator.disconnect(volume.nqn)
    with pytest.raises(OSError, match="Input/output") as refused:
        connect(volume.nqn)
    assert refused.value.errno == errno.EIO


def test_disabling_the_namespace_takes_the_disk_and_leaves_the_controller(target: Target, mount_point: Path) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    sh("mkfs.ext4", "-q", "-F", str(node))
    sh("mount", str(node), str(mount_point))
    (target.namespace(volume) / "enable").write_text("0")
    wait_for(lambda: not node.exists())
    assert initiator.state(volume.nqn) == "live"
    with pytest.raises(OSError, match="Input/output error"):
        (mount_point / "file").touch()
    sh("umount", str(mount_point))
    (target.namespace(volume) / "enable").write_text("1")
    assert wait_for(lambda: initiator.find_node(volume.nqn)).is_block_device()


def test_export_off_stops_writes_at_once_and_a_new_name_lets_nobody_back(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn, ctrl_loss_tmo=4)
    write(node)
    disk = os.open(node, os.O_WRONLY | os.O_SYNC)
    target.nvmet.withdraw(volume.nqn)
    before = volume.head()
    target.nvmet.offer(replace(volume.export, nqn=f"{volume.nqn}-epoch-2"))
    # It waits for as long as the kernel tries to connect, or finds a disk without sectors where the kernel heard of the
    # namespace's end.
    writing = Writing(disk)
    writing.join(30)
    os.close(disk)
    assert writing.error in (errno.EIO, errno.ENOSPC)
    wait_for(lambda: not initiator.controllers(volume.nqn))
    assert volume.head() == before
    with pytest.raises(OSError, match="Input/output") as refused:
        connect(volume.nqn)
    assert refused.value.errno == errno.EIO

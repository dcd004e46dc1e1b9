"""A Btrfs pool on the machine's disk, a target over it, and nothing left of either after each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.target import Target, sh

collect_ignore_glob = [] if os.environ.get("LAB_MACHINE") else ["*"]

POOL = Path("/srv/rds")


@pytest.fixture(scope="session")
def pool() -> Path:
    """The pool, mounted; made at the first use."""
    sh("modprobe", "-a", "btrfs", "loop", "nvmet-tcp", "nvme-tcp")
    if not POOL.is_mount():
        sh("mkfs.btrfs", "-q", "-f", "/dev/vda")
        POOL.mkdir(parents=True, exist_ok=True)
        sh("mount", "/dev/vda", str(POOL))
    return POOL


@pytest.fixture
def target(pool: Path) -> Iterator[Target]:
    """A target without volumes."""
    target = Target(pool)
    yield target
    initiator.disconnect_all()
    target.nvmet.power_off()
    for file in pool.glob("*.img"):
        file.unlink()


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """A directory to mount on, not mounted any more afterwards."""
    yield tmp_path
    while tmp_path.is_mount():
        sh("umount", str(tmp_path))

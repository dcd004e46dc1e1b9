"""Real mkfs over many sizes leaves the stamp alone, so that a mkfs that was begun is always known.

On sparse files, so no device and no rights are needed; the tools write to the same offsets there.
"""

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from programs import require

from rdscsi.host.callee import stamp_block
from rdscsi.host.content import stamp_places
from rdscsi.host.filesystems import make_argv
from rdscsi.model import GIB, MIB
from rdscsi.tuning import mkfs_words

STAMP = stamp_block("stamp of a test")
GROUP = 128 * MIB
"""An ext4 block group with blocks of 4 KiB: its metadata stands at the beginning, and backups in some of them."""

random_sizes = random.Random(20261125)


def some(count: int, least: int, most: int) -> list[int]:
    """Sizes in between, in blocks of 4 KiB; the same ones each time."""
    return [random_sizes.randrange(least, most) // 4096 * 4096 for _ in range(count)]


SIZES = {
    "each mebibyte": [MIB * n for n in range(1, 100)],
    "small": some(60, MIB, 256 * MIB),
    "round": [MIB << n for n in range(5, 17)] + [GIB * n for n in range(1, 65)],
    "decimal": [10_000_000_000 // 4096 * 4096, 5_000_000_000 // 4096 * 4096, 10**9 // 4096 * 4096],
    "around block groups": [GROUP * n + d for n in range(3, 80, 3) for d in (-MIB, MIB, 40 * MIB)],
    "random": some(40, 256 * MIB, 4 * GIB) + some(40, 4 * GIB, 64 * GIB),
    "large": [GIB * n for n in (1000, 1024, 4096 + 1, 15 * 1024)],
}

SIZES_WITH_OPTIONS = [320 * MIB, 511 * MIB, GIB, 2 * GIB + 77 * MIB, *some(4, 320 * MIB, 4 * GIB), 5 * GIB, 20 * GIB]
OPTIONS = {
    "ext4": [
        *("-b 1024", "-b 2048", "-b 1024 -i 1024", "-b 1024 -i 2048 -I 1024", "-b 4096 -i 4096 -I 1024", "-i 67108864"),
        *("-m 50", "-I 512", "-E stride=16,stripe_width=64", "-b 1024 -E stride=8192", "-E stride=32768"),
    ],
    "xfs": [
        *("-b size=1024", "-b size=2048", "-i size=2048,maxpct=100", "-n size=65536", "-d su=64k,sw=4"),
        *("-d su=1m,sw=16", "-d sunit=8,swidth=64", "-m reflink=0,rmapbt=0", "-m bigtime=0,finobt=0,inobtcount=0"),
        "-b size=1024 -i size=512,maxpct=1 -m rmapbt=1",
    ],
}
"""The ends of what `rdscsi.tuning` lets through: what makes block groups small, tables large, or spreads them."""


@pytest.mark.parametrize("fs_type", ["ext4", "xfs"])
@pytest.mark.parametrize("sizes", SIZES)
def test_the_stamp_survives_mkfs(fs_type: str, sizes: str, tmp_path: Path) -> None:
    require(f"mkfs.{fs_type}")
    least, most = (300 * MIB, 1 << 60) if fs_type == "xfs" else (MIB, 64 * GIB)  # xfs refuses less, ext4 writes more
    for size in (one for one in SIZES[sizes] if least <= one <= most):
        survived = [block == STAMP for block in _made(tmp_path / "disk", fs_type, size)]
        assert sum(survived) >= (3 if size >= 256 * MIB else 2), f"{fs_type} on {size} bytes: {survived}"


@pytest.mark.parametrize(("fs_type", "options"), [(fs_type, one) for fs_type in OPTIONS for one in OPTIONS[fs_type]])
def test_the_stamp_survives_mkfs_with_every_option_that_a_class_may_give(
    fs_type: str, options: str, tmp_path: Path
) -> None:
    require(f"mkfs.{fs_type}")
    words = mkfs_words(options, fs_type)
    assert words is not None
    least = GIB if fs_type == "xfs" else MIB  # a stripe may leave XFS too little of a smaller one
    for size in (one for one in SIZES_WITH_OPTIONS if one >= least):
        survived = [block == STAMP for block in _made(tmp_path / "disk", fs_type, size, words)]
        assert any(survived), f"{fs_type} {options} on {size} bytes: {survived}"


def _made(file: Path, fs_type: str, size: int, options: Sequence[str] = ()) -> list[bytes]:
    """Stamp a new file, make a filesystem on it, and return what stands at the stamp's places then."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.ftruncate(descriptor, size)
        for place in stamp_places(size):
            os.pwrite(descriptor, STAMP, place)
        on_a_file = ("-F",) if fs_type == "ext4" else ()  # it asks before it formats what is no device
        made = subprocess.run(
            [*make_argv(fs_type, options, force=False), *on_a_file, str(file)], capture_output=True, check=False
        )
        assert made.returncode == 0, (options, size, made.stderr)
        return [os.pread(descriptor, len(STAMP), place) for place in stamp_places(size)]
    finally:
        os.close(descriptor)
        file.unlink()

"""What libblkid says of a device is what `blkid -p` says, and an error where that cannot tell it from nothing."""

import ctypes
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import require

from rdscsi.host import callee

SIZE = 512 << 20  # sparse; mkfs.xfs makes none below 300 MiB


def made_by(*argv: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        require(argv[0])
        subprocess.run([*argv, str(path)], check=True, capture_output=True, timeout=60)

    return make


def bytes_at(*parts: tuple[int, bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as opened:
            for offset, content in parts:
                opened.seek(offset)
                opened.write(content)

    return write


def both(*makers: Callable[[Path], None]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        for one in makers:
            one(path)

    return make


EXT4, XFS = made_by("mkfs.ext4", "-q"), made_by("mkfs.xfs", "-q")
XFS_MAGIC = bytes_at((0, b"XFSB"))
SWAP = made_by("mkswap", "-q")
DOS = bytes_at((510, b"\x55\xaa"), (446, bytes([0, 1, 1, 0, 0x83, 254, 255, 255, 0, 8, 0, 0, 0, 16, 0, 0])))
LUKS = bytes_at((0, b"LUKS\xba\xbe\x00\x01"), (168, b"0" * 36))
MAKERS = {
    "nothing": both(),
    "noise": bytes_at((4096, b"noise")),
    "ext4": EXT4,
    "ext4 without a journal": made_by("mkfs.ext4", "-q", "-O", "^has_journal"),
    "ext4 whose superblock is half there": both(EXT4, bytes_at((1024, bytes(512)))),
    "XFS": XFS,
    "XFS and ext4": both(XFS, EXT4),
    "ext4 and the beginning of XFS": both(EXT4, XFS_MAGIC),
    "swap": SWAP,
    "a partition table": DOS,
    "ext4 and a partition table": both(EXT4, DOS),
    "LUKS": LUKS,
}


def said_by_the_program(path: Path) -> dict[str, object]:
    require("blkid")
    argv = ["blkid", "-p", "-o", "export", str(path)]
    ended = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=30)
    tags = dict(line.split("=", 1) for line in ended.stdout.splitlines() if "=" in line)
    shown = {name: value for name, value in tags.items() if name in ("TYPE", "USAGE", "PTTYPE")}
    return {"found": ended.returncode != 2, "ambivalent": ended.returncode == 8, "tags": shown}


def said_by_us(path: Path) -> dict[str, object]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return callee.signatures(descriptor)
    finally:
        os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    with path.open("wb") as opened:
        opened.truncate(SIZE)
    yield path
    path.unlink()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_library_says_what_the_program_says(disk: Path, make: Callable[[Path], None]) -> None:
    make(disk)
    assert said_by_us(disk) == said_by_the_program(disk)


def test_the_kinds_that_matter_are_told_apart(disk: Path) -> None:
    assert said_by_us(disk) == {"found": False, "ambivalent": False, "tags": {}}
    EXT4(disk)
    assert said_by_us(disk)["tags"] == {"TYPE": "ext4", "USAGE": "filesystem"}
    XFS_MAGIC(disk)
    assert said_by_us(disk)["found"]
    DOS(disk)
    assert said_by_us(disk)["found"]


@settings(max_examples=40, deadline=None)
@given(content=st.binary(min_size=1, max_size=4096), offset=st.integers(0, (1 << 20) - 4096))
def test_noise_is_what_the_program_says_too(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, offset: int
) -> None:
    path = tmp_path_factory.mktemp("noise") / "disk"
    path.write_bytes(bytes(1 << 20))
    bytes_at((offset, content))(path)
    assert said_by_us(path) == said_by_the_program(path)


def test_what_cannot_be_read_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    with (tmp_path / "disk").open("wb") as opened:
        opened.truncate(SIZE)
        with pytest.raises(OSError, match="libblkid") as caught:  # open for writing only
            callee.signatures(opened.fileno())
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize(
    ("call", "returns", "number"),
    [
        ("blkid_new_probe", None, errno.ENOMEM),
        ("blkid_probe_set_device", -1, errno.EIO),
        ("blkid_do_safeprobe", -1, errno.EIO),
        ("blkid_do_safeprobe", -5, errno.EIO),
    ],
)
def test_an_error_of_the_library_is_ours(
    disk: Path, monkeypatch: pytest.MonkeyPatch, call: str, returns: int | None, number: int
) -> None:
    def answer(*_arguments: object) -> int | None:
        ctypes.set_errno(0)
        return returns

    monkeypatch.setattr(callee._libblkid(), call, answer)
    with pytest.raises(OSError, match="libblkid") as caught:
        said_by_us(disk)
    assert caught.value.errno == number

"""Real data in a volume: written through a file or a block device, synced, and read back from the device itself."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from rdscsi.demo.telling import StepFailed

T = TypeVar("T")

_CHUNK = 1 << 20
_IO_SECONDS = 60.0


async def write_file(directory: Path, size_bytes: int) -> str:
    """Fill a new file with random bytes, synced to the device; its SHA-256."""
    return await _in_thread(partial(_write, directory / "data.bin", os.O_CREAT | os.O_EXCL, [(0, size_bytes)]))


async def read_file(directory: Path, size_bytes: int) -> str:
    """The SHA-256 of that file, read from the device."""
    return await _in_thread(partial(_read, directory / "data.bin", [(0, size_bytes)]))


async def write_device(device: Path, size_bytes: int, at: list[int]) -> str:
    """Write random bytes at these offsets of a block device, synced; their SHA-256."""
    return await _in_thread(partial(_write, device, 0, [(offset, size_bytes) for offset in at]))


async def read_device(device: Path, size_bytes: int, at: list[int]) -> str:
    """The SHA-256 of the bytes at these offsets, read from the device."""
    return await _in_thread(partial(_read, device, [(offset, size_bytes) for offset in at]))


async def device_size(device: Path) -> int:
    """The size of a block device in bytes."""
    return await _in_thread(partial(_end, device))


async def filesystem_size(directory: Path) -> int:
    """The size of the filesystem mounted there, in bytes, as statvfs(3) tells it."""
    return await _in_thread(partial(_filesystem_size, directory))


async def _in_thread(work: Callable[[], T]) -> T:
    with trio.fail_after(_IO_SECONDS):
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
        except OSError as error:
            raise StepFailed(f"input or output failed: {error}") from error


def _write(path: Path, flags: int, areas: list[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        for offset, size_bytes in areas:
            for at in range(offset, offset + size_bytes, _CHUNK):
                content = os.urandom(min(_CHUNK, offset + size_bytes - at))
                digest.update(content)
                os.pwrite(descriptor, content, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _read(path: Path, areas: list[tuple[int, int]]) -> str:
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)  # from the device, not from memory
        for offset, size_bytes in areas:
            for at in range(offset, offset + size_bytes, _CHUNK):
                digest.update(os.pread(descriptor, min(_CHUNK, offset + size_bytes - at), at))
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _end(device: Path) -> int:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)


def _filesystem_size(directory: Path) -> int:
    shown = os.statvfs(directory)
    return shown.f_blocks * shown.f_frsize

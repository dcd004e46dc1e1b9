"""What may be on a disk after the power fails: a model that replays a record of file operations (`shims/record.c`).

Pessimistic within what POSIX promises: of what a file was told since its last fsync each 512-byte sector may be there
or not, in any order; of what a directory was told since its last fsync any first part may be there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass(frozen=True)
class Event:
    """One recorded operation; see `shims/record.c` for the letters."""

    op: str
    inode: int
    offset: int
    path: str
    data: bytes


def read_record(path: Path) -> list[Event]:
    """Read a whole record."""
    return list(_events(path.read_bytes()))


def _events(content: bytes) -> Iterator[Event]:
    at = 0
    while at < len(content):
        end = content.index(b"\n", at)
        op, inode, offset, length, path = content[at:end].decode().split(" ", 4)
        at = end + 1 + int(length)
        yield Event(op, int(inode), int(offset), path, content[end + 1 : at])


@dataclass
class _File:
    """A file: as it is for sure, as programs see it, and what lies between."""

    safe: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def tell(self, offset: int, data: bytes | None) -> None:
        self.pending.append((offset, data))
        _apply(self.seen, offset, data)

    def sync(self) -> None:
        self.safe = bytearray(self.seen)
        self.pending.clear()

    def after_power_loss(self, dice: Random) -> bytes:
        mood = dice.choice(("nothing", "everything", "first", "some"))
        if mood == "nothing":
            return bytes(self.safe)
        if mood == "everything":
            return bytes(self.seen)
        left = bytearray(self.safe)
        count = dice.randint(0, len(self.pending)) if mood == "first" else len(self.pending)
        for offset, data in self.pending[:count]:
            if data is None and (mood == "first" or dice.random() < 0.5):
                _apply(left, offset, None)
            for start in range(0, len(data or b""), SECTOR):
                assert data is not None
                if mood == "first" or dice.random() < 0.5:
                    _apply(left, offset + start, data[start : start + SECTOR])
        return bytes(left)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    size = offset if data is None else max(len(content), offset + len(data))
    content.extend(b"\0" * (size - len(content)))
    if data is None:
        del content[size:]
    else:
        content[offset : offset + len(data)] = data


class Disk:
    """Feed it events with `apply`; `after_power_loss` tells one of the states that may be left."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._seen: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        self._pending: list[tuple[str, _File | None]] = []

    def apply(self, event: Event) -> None:
        """Take one operation in."""
        if event.op == "C":
            made = self._files[event.inode] = _File()
            self._rename(event.path, made)
        elif event.op == "W":
            self._files[event.inode].tell(event.offset, event.data)
        elif event.op == "T":
            self._files[event.inode].tell(event.offset, None)
        elif event.op == "S":
            self._files[event.inode].sync()
        elif event.op == "D":
            self._safe = dict(self._seen)
            self._pending.clear()
        elif event.op == "R":
            self._rename(event.path, None, to=event.data.decode())
        else:
            self._rename(event.path, None)

    def after_power_loss(self, dice: Random) -> dict[str, bytes]:
        """Return the files that may be there, by path."""
        names = dict(self._safe)
        for path, file in self._pending[: dice.choice((0, len(self._pending), dice.randint(0, len(self._pending))))]:
            _set(names, path, file)
        contents = {id(file): file.after_power_loss(dice) for file in names.values()}
        return {path: contents[id(file)] for path, file in names.items()}

    def _rename(self, path: str, file: _File | None, *, to: str = "") -> None:
        changes: list[tuple[str, _File | None]] = [(path, file)]
        if to:
            changes.insert(0, (to, self._seen[path]))
        for name, value in changes:
            _set(self._seen, name, value)
        self._pending += changes


def _set(names: dict[str, _File], path: str, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file

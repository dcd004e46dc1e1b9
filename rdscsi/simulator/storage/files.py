"""The appliance's files: names without a leading slash over real files and directories of the host.

The host's tree is the truth; there is no second list that could disagree with it after a kill. The pool's files live
below `pool/<mount point>`, everything else below `flash`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rdscsi.simulator import texts
from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.storage.copying import copy_file
from rdscsi.simulator.storage.pool import Pool
from rdscsi.simulator.storage.undo import UndoLog


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or mounted disk; `size` in bytes for files only."""

    name: str
    kind: Literal["file", "directory", "disk"]
    size: int | None
    modified: float
    path: Path


class FileTree:
    """Names to host paths, and the changes that `/file`, `/disk` and the subvolumes make."""

    def __init__(self, state: Path, pool: Pool, undo: UndoLog, clock: Clock) -> None:
        self._flash = state / "flash"
        self._trash = state / "trash"
        self._pool = pool
        self._undo = undo
        self._clock = clock
        self._ids: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self._directories: int | None = None
        self._discarded = 0
        if pool.fresh:
            for path in (*pool.directory.iterdir(), pool.directory):
                self.touch(path)
        self._flash.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._trash, ignore_errors=True)
        self._trash.mkdir()

    # -- names -----------------------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """The host path of a name, with or without a leading slash. Raises ConsoleError for names that lead astray."""
        parts = normalised(name).split("/")
        if any(part in ("", ".", "..") or len(part) > 255 for part in parts) or "\0" in name:
            raise ConsoleError(texts.BAD_PATH())
        if parts[0] == self._pool.mount_point and self._pool.mounted:
            return self._pool.directory.joinpath(*parts[1:])
        return self._flash.joinpath(*parts)

    def on_pool(self, name: str) -> bool:
        return self._pool.mounted and normalised(name).split("/")[0] == self._pool.mount_point

    def id_of(self, name: str) -> int:
        """A number for a name, stable while the appliance is up."""
        number = self._ids.get(name)
        if number is None:
            number = self._ids[name] = next(self._numbers)
            self._names[number] = name
        return number

    def by_id(self, number: int) -> str | None:
        return self._names.get(number)

    def _forget_id(self, name: str) -> None:
        self._names.pop(self._ids.pop(name, 0), None)

    def host_path(self, name: str) -> str:
        """The host path of a file's name that is known to be a good one."""
        first, _, rest = name.partition("/")
        base = self._pool.directory if first == self._pool.mount_point and self._pool.mounted else self._flash / first
        return f"{base}/{rest}"

    def touch(self, *paths: Path) -> None:
        """Give what was made or changed the appliance's time instead of the host's."""
        now = self._clock.now()
        for path in paths:
            os.utime(path, (now, now))

    # -- reading ---------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Entry | None:
        """The entry under a name (no leading slash), or None."""
        if not name or name != normalised(name):
            return None
        try:
            path = self.path(name)
            found = path.lstat()
        except (OSError, ValueError, ConsoleError):
            return None
        return self._entry(name, path, found)

    def _entry(self, name: str, path: Path, found: os.stat_result) -> Entry:
        if path == self._pool.directory:
            return Entry(name, "disk", None, found.st_mtime, path)
        if stat.S_ISDIR(found.st_mode):
            return Entry(name, "directory", None, found.st_mtime, path)
        return Entry(name, "file", found.st_size, found.st_mtime, path)

    def listing(self) -> Iterator[Entry]:
        """Everything, directories before what they hold, by name."""
        if self._pool.mounted:
            yield self._entry(self._pool.mount_point, self._pool.directory, self._pool.directory.lstat())
            yield from self._below(self._pool.mount_point, self._pool.directory)
        yield from self._below("", self._flash)

    def _below(self, name: str, path: Path) -> Iterator[Entry]:
        for item in sorted(os.scandir(path), key=lambda found: found.name):
            inner = f"{name}/{item.name}" if name else item.name
            yield self._entry(inner, path / item.name, item.stat(follow_symlinks=False))
            if item.is_dir(follow_symlinks=False):
                yield from self._below(inner, path / item.name)

    # -- changing --------------------------------------------------------------------------------------------------

    def require_parent(self, name: str, refusal: str) -> Path:
        """The host path of a name whose directory exists and may be written."""
        path = self.path(name)
        if not path.parent.is_dir():
            raise ConsoleError(refusal)
        self._require_writable(name, texts.READ_ONLY_POOL())
        return path

    def _require_writable(self, name: str, refusal: str) -> None:
        if self.on_pool(name) and self._pool.read_only:
            raise ConsoleError(refusal)

    def make_directory(self, name: str) -> None:
        path = self.require_parent(name, texts.FILE_NO_DIRECTORY())
        path.mkdir()
        self._directories = None
        self.touch(path, path.parent)
        self._undo.record("pool", lambda: _remove_tree(path))

    def make_parents(self, name: str) -> None:
        """Make the directories above a name that are missing."""
        above = normalised(name).rpartition("/")[0]
        if above and not self.path(above).is_dir():
            self.make_parents(above)
            self.make_directory(above)

    def make_file(self, name: str, size: int, refusal: str, content: bytes = b"") -> Path:
        """A new file, sparse on the host. Raises ConsoleError when it does not fit."""
        path = self.require_parent(name, refusal)
        space = self._pool.space
        if self.on_pool(name) and not (space.has_room(size) and space.has_blocks(len(content))):
            raise ConsoleError(texts.NO_SPACE())
        with open(path, "xb") as file:
            file.write(content)
            file.truncate(max(size, len(content)))
        self.touch(path, path.parent)
        self._account(name, path)
        self._undo.record("pool", lambda: self._forget(name, path))
        return path

    def copy(self, source: Path, name: str) -> None:
        """A new file with the content of another. Raises ConsoleError when it does not fit."""
        found = source.stat()
        if self.on_pool(name) and not self._pool.space.has_blocks(found.st_blocks * 512):
            raise ConsoleError(texts.NO_SPACE())
        path = self.make_file(name, found.st_size, texts.FILE_NO_DIRECTORY())
        path.unlink()
        copy_file(source, path)
        self.touch(path)

    def resize(self, name: str, size: int) -> None:
        """Grow or cut a file in place."""
        path = self.path(name)
        self._require_writable(name, texts.READ_ONLY_POOL())
        before = path.stat().st_size
        if self.on_pool(name) and not self._pool.space.has_room(size - before):
            raise ConsoleError(texts.NO_SPACE())
        os.truncate(path, size)
        self.touch(path)
        self._account(name, path)
        self._undo.record("pool", lambda: self._shrink_back(name, path, before))

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file's content."""
        path = self.path(name)
        self._require_writable(name, texts.READ_ONLY_FILES())
        before = path.read_bytes()
        if self.on_pool(name) and not self._pool.space.has_room(len(content) - len(before)):
            raise ConsoleError(texts.NO_SPACE())
        fresh = self._trash / "fresh"
        fresh.write_bytes(content)
        fresh.replace(path)
        self.touch(path)
        self._account(name, path)
        self._undo.record("pool", lambda: self._write_back(name, path, before))

    def write_blocks(self, name: str, offset: int, data: bytes) -> None:
        """What an initiator writes into the disk over a file. Raises ConsoleError(NO_SPACE) on a full sparse pool."""
        path = self.path(name)
        if offset + len(data) > path.stat().st_size:
            raise ValueError(f"{name} ends before {offset + len(data)}")
        self._require_writable(name, texts.READ_ONLY_FILES())
        if self.on_pool(name) and not self._pool.space.has_blocks(len(data)):
            raise ConsoleError(texts.NO_SPACE())
        with open(path, "r+b") as file:
            before = os.pread(file.fileno(), len(data), offset)
            os.pwrite(file.fileno(), data, offset)
        self._undo.record("pool", lambda: _write_blocks_back(path, offset, before))

    def rename(self, name: str, new: str) -> None:
        self._require_writable(name, texts.READ_ONLY_FILES())
        path, target = self.path(name), self.require_parent(new, texts.FILE_NO_DIRECTORY())
        if target.exists():
            raise ConsoleError(texts.FILE_EXISTS())
        if path.is_dir() and (self.on_pool(name) or self.on_pool(new)):
            raise ConsoleError(texts.NOT_SIMULATED(path="/file/set name= of a directory on the pool"))
        path.rename(target)
        self._moved(normalised(name), normalised(new))
        self._undo.record("pool", lambda: self._move_back(normalised(name), normalised(new), path, target))

    def _moved(self, name: str, new: str) -> None:
        """Keep the books after a rename: the number of an entry stays with it."""
        number = self._ids.pop(name, None)
        if number is not None:
            self._ids[new], self._names[number] = number, new
        if self.on_pool(name):
            self._pool.space.drop(name)
        target = self.path(new)
        if target.is_file():
            self._account(new, target)

    def _move_back(self, name: str, new: str, path: Path, target: Path) -> None:
        _rename_back(target, path)
        self._moved(new, name)

    def remove(self, name: str) -> None:
        """Remove a file or a directory with what it holds; it can come back until the flush delay is over."""
        path = self.path(name)
        self._require_writable(name, texts.READ_ONLY_FILES())
        self.discard(normalised(name), path)

    def discard(self, name: str, path: Path) -> None:
        """Take a tree out of sight in one step (a rename), then delete it once it can no longer come back."""
        self._discarded += 1
        hidden = self._trash / str(self._discarded)
        path.rename(hidden)
        space = self._pool.space
        records = {each: space.drop(each) for each in (name, *space.below(name))} if self.on_pool(name) else {}
        for each in [name, *(inner for inner in self._ids if inner.startswith(name + "/"))]:
            self._forget_id(each)
        self._directories = None if hidden.is_dir() else self._directories
        self.touch(path.parent)

        def bring_back() -> None:
            _rename_back(hidden, path)
            self._directories = None
            for each, record in records.items():
                space.restore(each, record)

        self._undo.record("pool", bring_back, lambda: _remove_tree(hidden))

    def empty_pool(self) -> None:
        """What making a file system anew does to what was on it. It does not come back."""
        self._discarded += 1
        hidden = self._trash / str(self._discarded)
        self._pool.directory.rename(hidden)
        self._pool.directory.mkdir()
        self.touch(self._pool.directory)
        self._pool.space.clear()
        self._directories = None
        for name in [each for each in self._ids if each.startswith(self._pool.mount_point + "/")]:
            self._forget_id(name)
        _remove_tree(hidden)

    def count_on_pool(self) -> int:
        """How many files and directories the pool holds, its root not counted."""
        if self._directories is None:
            self._directories = sum(len(names) for _, names, _ in os.walk(self._pool.directory))
        return self._directories + self._pool.space.count

    def _account(self, name: str, path: Path) -> None:
        if self.on_pool(name):
            self._pool.space.put(normalised(name), path.stat().st_size, path)

    def _forget(self, name: str, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._pool.space.drop(normalised(name))

    def _write_back(self, name: str, path: Path, content: bytes) -> None:
        if path.exists():
            path.write_bytes(content)
            self._account(name, path)

    def _shrink_back(self, name: str, path: Path, size: int) -> None:
        if path.exists():
            os.truncate(path, size)
            self._account(name, path)


def normalised(name: str) -> str:
    """Without the leading slash: `/file` names have none, `file-path` reads back with one."""
    return name[1:] if name.startswith("/") else name


def _remove_tree(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_blocks_back(path: Path, offset: int, before: bytes) -> None:
    if path.exists():
        with open(path, "r+b") as file:
            os.pwrite(file.fileno(), before, offset)


def _rename_back(source: Path, target: Path) -> None:
    if source.exists() and target.parent.is_dir():
        source.rename(target)

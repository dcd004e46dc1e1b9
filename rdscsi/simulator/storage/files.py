"""The appliance's files: names without a leading slash over real files and directories of the host.

The host's tree is the truth; there is no second list that could disagree with it after a kill. The pool's files live
below `pool/<mount point>`, everything else below `flash`.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rdscsi.simulator import texts
from rdscsi.simulator.console.failures import ConsoleError
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

    def __init__(self, state: Path, pool: Pool, undo: UndoLog) -> None:
        self._flash = state / "flash"
        self._trash = state / "trash"
        self._pool = pool
        self._undo = undo
        self._ids: dict[str, int] = {}
        self._discarded = 0
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
        return self._ids.setdefault(name, len(self._ids) + 1)

    def by_id(self, number: int) -> str | None:
        return next((name for name, found in self._ids.items() if found == number), None)

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
        if self.on_pool(name) and self._pool.read_only:
            raise ConsoleError(texts.READ_ONLY_POOL())
        return path

    def make_directory(self, name: str) -> None:
        path = self.require_parent(name, texts.FILE_NO_DIRECTORY())
        path.mkdir()
        self._undo.record("pool", lambda: _remove_tree(path))

    def make_file(self, name: str, size: int, refusal: str, content: bytes = b"") -> Path:
        """A new file, sparse on the host. Raises ConsoleError when it does not fit."""
        path = self.require_parent(name, refusal)
        if self.on_pool(name) and not self._pool.space.has_room(size):
            raise ConsoleError(texts.NO_SPACE())
        with open(path, "xb") as file:
            file.write(content)
            file.truncate(max(size, len(content)))
        self._account(name, path)
        self._undo.record("pool", lambda: self._forget(name, path))
        return path

    def resize(self, name: str, size: int) -> None:
        """Grow or cut a file in place."""
        path = self.path(name)
        before = path.stat().st_size
        if self.on_pool(name) and not self._pool.space.has_room(size - before):
            raise ConsoleError(texts.NO_SPACE())
        os.truncate(path, size)
        self._account(name, path)
        self._undo.record("pool", lambda: self._shrink_back(name, path, before))

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file's content."""
        path = self.path(name)
        before = path.read_bytes()
        fresh = self._trash / "fresh"
        fresh.write_bytes(content)
        fresh.replace(path)
        self._account(name, path)
        self._undo.record("pool", lambda: _write_back(path, before))

    def rename(self, name: str, new: str) -> None:
        path, target = self.path(name), self.require_parent(new, texts.FILE_NO_DIRECTORY())
        if target.exists():
            raise ConsoleError(texts.FILE_EXISTS())
        path.rename(target)
        if self.on_pool(name) and path.is_file():
            self._pool.space.drop(normalised(name))
        if target.is_file():
            self._account(new, target)
        self._undo.record("pool", lambda: _rename_back(target, path))

    def remove(self, name: str) -> None:
        """Remove a file or a directory with what it holds; it can come back until the flush delay is over."""
        path = self.path(name)
        if self.on_pool(name) and self._pool.read_only:
            raise ConsoleError(texts.READ_ONLY_FILES())
        self.discard(normalised(name), path)

    def discard(self, name: str, path: Path) -> None:
        """Take a tree out of sight in one step (a rename), then delete it once it can no longer come back."""
        self._discarded += 1
        hidden = self._trash / str(self._discarded)
        path.rename(hidden)
        space = self._pool.space
        records = {each: space.drop(each) for each in (name, *space.below(name))} if self.on_pool(name) else {}
        self._ids.pop(name, None)

        def bring_back() -> None:
            _rename_back(hidden, path)
            for each, record in records.items():
                space.restore(each, record)

        self._undo.record("pool", bring_back, lambda: _remove_tree(hidden))

    def _account(self, name: str, path: Path) -> None:
        if self.on_pool(name):
            self._pool.space.put(normalised(name), path.stat().st_size, path)

    def _forget(self, name: str, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._pool.space.drop(normalised(name))

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


def _write_back(path: Path, content: bytes) -> None:
    if path.exists():
        path.write_bytes(content)


def _rename_back(source: Path, target: Path) -> None:
    if source.exists() and target.parent.is_dir():
        source.rename(target)

"""The Unix socket of the edge: made with exactly the permissions asked for, and removed only while it is ours.

A file that is in the way is removed only when it is a socket on which nobody listens, such as a killed process leaves.
"""

import errno
import fcntl
import grp
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from rdscsi.errors import SettingsInvalid
from rdscsi.observe import logs

BACKLOG = 512
"""Connections that wait to be accepted. A client of a Unix socket is refused beyond it, where one of TCP waits."""

_DIRECTORY_MODE = 0o755
_LOCK_SECONDS = 5.0
_LIVE = frozenset({0, errno.EAGAIN, errno.EPROTOTYPE})
"""What connect(2) says of a socket that somebody holds: connected, backlog full, or of another type (unix(7))."""

_log = logs.get_log()


@asynccontextmanager
async def open_unix_socket(path: Path, *, mode: int, group: str) -> AsyncIterator[socket.socket]:
    """Listen at the path while the body runs. A missing directory is made, for everybody to pass, and stays.

    Raises SettingsInvalid that names the path: a live listener or something that is no socket is there, the group does
    not exist, or the system refuses.
    """
    with _telling(path):
        gid = _group_id(group)
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        async with _alone_in(path.parent):
            _clear_the_way(path)
            listener = _listen(path, mode, gid)
            own = _identity(path)
    try:
        yield listener
    finally:
        _remove(path, own)  # while it listens, so that nobody has taken it for a stale one and its path for his own
        listener.close()


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _wrong(path, f"cannot listen there: {error.strerror or error}") from error


def _wrong(path: Path, why: str) -> SettingsInvalid:
    return SettingsInvalid([f"endpoint=unix://{path}: {why}"])


def _group_id(group: str) -> int | None:
    """Resolve the name or number of a group; None leaves the process's own."""
    if not group:
        return None
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SettingsInvalid([f"socket-group={group!r}: there is no such group on this machine"]) from error


@asynccontextmanager
async def _alone_in(directory: Path) -> AsyncIterator[None]:
    """Keep others of our kind out meanwhile: between bind and listen, a socket looks like a stale one."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with trio.move_on_after(_LOCK_SECONDS) as waiting:
            while not _locked(handle):  # noqa: ASYNC110 - a lock between processes tells nobody that it is free
                await trio.sleep(0.01)
        if waiting.cancelled_caught:
            raise OSError(errno.EBUSY, "another process is making a socket in that directory and does not end")
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear_the_way(path: Path) -> None:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise _wrong(path, "something that is no socket is there; it was left alone")
    answer = _knock(path)
    if answer in _LIVE:
        raise _wrong(path, "another process listens there")
    if answer != errno.ECONNREFUSED:
        raise _wrong(path, f"a socket is there, and whether anybody listens cannot be told: {os.strerror(answer)}")
    _log.info("endpoint.stale_socket_removed", path=str(path))
    path.unlink()


def _knock(path: Path) -> int:
    """Try to connect; the error number, 0 when somebody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path))


def _listen(path: Path, mode: int, gid: int | None) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Linux gives the file the mode of the unbound socket: never wider than asked, whatever the umask, not even
        # for a moment. The group's bits come when the group is the right one.
        os.fchmod(listener.fileno(), mode & stat.S_IRWXU)
        listener.bind(str(path))
        try:
            _permit(path, mode, gid)
            listener.listen(BACKLOG)
        except OSError:
            path.unlink()
            raise
    except OSError:
        listener.close()
        raise
    return listener


def _permit(path: Path, mode: int, gid: int | None) -> None:
    if gid is not None:
        os.chown(path, -1, gid, follow_symlinks=False)
    path.chmod(mode)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _remove(path: Path, own: tuple[int, int] | None) -> None:
    if own is None or _identity(path) != own:
        _log.warning("endpoint.socket_not_ours", path=str(path), detail="somebody replaced or removed it; left alone")
        return
    try:
        path.unlink()
    except OSError as error:
        _log.warning("endpoint.socket_not_removed", path=str(path), detail=error.strerror)

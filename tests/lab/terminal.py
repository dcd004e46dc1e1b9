"""A terminal in a machine for a person: bytes between here and the machine's console, the size told once."""

import contextlib
import os
import select
import shutil
import socket
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

_CHUNK = 1 << 16
_LOOK = 0.1
_DRAIN = 0.3


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the machine, Ctrl-C too; where there is no terminal nothing changes."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def size_command() -> str:
    """The shell command that gives the machine's terminal this one's size."""
    size = shutil.get_terminal_size()
    return f"stty rows {size.lines} cols {size.columns} 2>/dev/null"


def converse(path: Path, is_over: Callable[[], bool]) -> None:
    """Connect this process's standard input and output with the machine's terminal until `is_over`."""
    with socket.socket(socket.AF_UNIX) as connection, _raw(sys.stdin.fileno()):
        connection.connect(str(path))
        readers = [sys.stdin.fileno(), connection.fileno()]
        while not is_over():
            _pass_on(connection, readers, _LOOK)
        while connection.fileno() in readers and _pass_on(connection, [connection.fileno()], _DRAIN):
            pass


def _pass_on(connection: socket.socket, readers: list[int], patience: float) -> bool:
    """Move what there is; a side that closed is not read any more. False when nothing came."""
    ready, _, _ = select.select(readers, (), (), patience)
    for descriptor in ready:
        data = os.read(descriptor, _CHUNK)
        if not data:
            readers.remove(descriptor)
        elif descriptor == connection.fileno():
            os.write(sys.stdout.fileno(), data)
        else:
            connection.sendall(data)
    return bool(ready)

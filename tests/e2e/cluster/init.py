"""Process 1 of a pid namespace: starts programs when asked over a Unix socket, signals them, reaps what they leave.

    init.py SOCKET [--root FILE] [--leash FD]

When it ends the kernel ends everything else in the namespace. `--root` makes it a node first (`cluster.node_root`);
`--leash` ends it when the other end of that pipe is closed, so that a tool that dies takes its cluster along. Only the
standard library, all of it loaded before the root changes. The other side of the socket is `cluster.programs_in`.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cluster import node_root

_LONGEST_REQUEST = 1 << 20


@dataclass(slots=True)
class Program:
    """A program that was started; `status` is its exit status, or minus the signal that ended it."""

    pid: int
    status: int | None = None


@dataclass(slots=True)
class Programs:
    """What was started here, by name. A name is free again when its program has ended."""

    started: dict[str, Program] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, name: str, argv: list[str], env: Mapping[str, str], log: str) -> int:
        """Start a program in a session of its own, its output appended to a file; its pid in this namespace."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        with self.lock:
            former = self.started.get(name)
            if former and former.status is None:
                raise ValueError(f"{name} runs already (process {former.pid})")
            pid = os.posix_spawnp(argv[0], argv, dict(env), file_actions=actions, setsid=True, setsigmask=[])
            self.started[name] = Program(pid)
        return pid

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a program that has not been reaped."""
        with self.lock:
            program = self.started.get(name)
            if program is None or program.status is not None:
                raise ValueError(f"{name} does not run")
            os.kill(program.pid, number)

    def reap(self) -> None:
        """Take the status of everything that has ended, orphans of the namespace included."""
        with self.lock:
            while True:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                if pid == 0:
                    return
                for program in self.started.values():
                    if program.pid == pid:
                        program.status = os.waitstatus_to_exitcode(status)

    def status(self) -> dict[str, list[int | None]]:
        """Each program's pid and, once it has ended, status."""
        with self.lock:
            return {name: [one.pid, one.status] for name, one in self.started.items()}


def answer(request: Mapping[str, object], programs: Programs) -> object:
    """Carry out one request. Raises ValueError, KeyError, TypeError or OSError for one that cannot be."""
    match request:
        case {"do": "start", "name": str(name), "argv": list(argv), "env": dict(env), "log": str(log)}:
            return programs.start(name, argv, env, log)
        case {"do": "signal", "name": str(name), "signal": int(number)}:
            programs.signal(name, number)
            return None
        case {"do": "status"}:
            return programs.status()
    raise ValueError(f"not a request: {request}")


def serve(listener: socket.socket, programs: Programs) -> None:
    """Answer for ever: one JSON document each way on each connection."""
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                request = json.loads(_read_all(connection))
                reply = {"answer": answer(request, programs)}
            except (ValueError, KeyError, TypeError, OSError) as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            try:
                connection.sendall(json.dumps(reply).encode())
            except OSError:
                continue  # the caller went away; what it asked for is done


def _read_all(connection: socket.socket) -> bytes:
    content = b""
    while len(content) < _LONGEST_REQUEST and (piece := connection.recv(1 << 16)):
        content += piece
    return content


def hold_leash(leash: int) -> None:
    """Wait until nobody holds the other end of the pipe; then end everything."""
    while os.read(leash, 1):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="Be process 1 of a pid namespace.")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--root", type=Path, help="become a node as this file says")
    parser.add_argument("--leash", type=int, help="end when this pipe is closed")
    arguments = parser.parse_args()
    signals = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(arguments.socket))
    if arguments.root:
        node_root.enter(json.loads(arguments.root.read_text()))
    programs = Programs()
    listener.listen(16)
    threading.Thread(target=serve, args=(listener, programs), daemon=True).start()
    if arguments.leash is not None:
        threading.Thread(target=hold_leash, args=(arguments.leash,), daemon=True).start()
    while signal.sigwait(signals) == signal.SIGCHLD:
        programs.reap()
    os._exit(0)


if __name__ == "__main__":
    main()

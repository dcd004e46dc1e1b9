"""Programs in a namespace, seen from outside: start, signal, look. The other side of the socket is `cluster.init`."""

import json
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 20.0

PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class InitFailed(Exception):
    """The init did not answer, or said why it could not do what it was asked."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program as its init knows it: its pid in that namespace, and its status once it has ended."""

    pid: int
    status: int | None

    @property
    def running(self) -> bool:
        return self.status is None


@dataclass(frozen=True, slots=True)
class Namespace:
    """A pid namespace, by its init's socket. Logs of programs go to `logs`, a path as seen inside."""

    control: Path
    logs: Path

    def start(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Start a program. Raises InitFailed when one of that name runs already."""
        environment = {"PATH": PROGRAM_PATH, **(env or {})}
        log = str(self.logs / f"{name}.log")
        self._ask({"do": "start", "name": name, "argv": list(argv), "env": environment, "log": log})

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal. Raises InitFailed when no program of that name runs."""
        self._ask({"do": "signal", "name": name, "signal": int(number)})

    def programs(self) -> dict[str, Program]:
        """Everything that was started, ended or not."""
        return {name: Program(pid, status) for name, (pid, status) in self._ask({"do": "status"}).items()}

    def find_pid(self) -> int | None:
        """The init's pid as the caller's namespace has it; None when nothing listens at the socket."""
        try:
            with self._connect() as connection:
                credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return None
        pid: int = struct.unpack("iii", credentials)[0]
        return pid

    def pid(self) -> int:
        """The init's pid as the caller's namespace has it. Raises InitFailed."""
        found = self.find_pid()
        if not found:
            raise InitFailed(f"nothing listens at {self.control}")
        return found

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(self.control))
        except OSError:
            connection.close()
            raise
        return connection

    def _ask(self, request: Mapping[str, object]) -> Any:  # Any: what JSON holds
        try:
            with self._connect() as connection:
                connection.sendall(json.dumps(request).encode())
                connection.shutdown(socket.SHUT_WR)
                reply = json.loads(b"".join(iter(lambda: connection.recv(1 << 16), b"")))
        except (OSError, ValueError) as error:
            raise InitFailed(f"{self.control}: {error}") from error
        if "error" in reply:
            raise InitFailed(reply["error"])
        return reply["answer"]


def command(namespace: Namespace, *argv: str, network_only: bool = False) -> tuple[str, ...]:
    """A command line that runs a program in the namespaces of an init, for programs that end by themselves."""
    spaces = ("--net",) if network_only else ("--net", "--mount", "--uts", "--ipc", "--pid")
    return ("nsenter", f"--target={namespace.pid()}", *spaces, "--", *argv)


def environment() -> dict[str, str]:
    """The caller's environment with a search path that has the system programs."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{PROGRAM_PATH}"}

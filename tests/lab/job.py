"""A command in a machine: the files that describe it, its output as it comes, its end.

A job is a directory `jobs/ID` of the machine's: `script` and perhaps `in` from the host, then `pid`, `out`, `err` and,
in the end, `status` from the machine. boot/stage2.sh is the other side.
"""

import os
import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

Sink = Callable[[bytes], object]
Sinks = Mapping[int, Sink]
"""Where the output goes: 1 standard output, 2 standard error."""

_CHUNK = 1 << 16
_START_SECONDS = 60.0
_LOOK = 0.02
_PASSED_ON = re.compile(
    r"(PATH|HOME|USER|LOGNAME|LANG|LC_.*|TZ|CI|VIRTUAL_ENV|PYTHON.*|PYTEST.*|COVERAGE.*|TERM|LAB_.*)\Z"
)


@dataclass(frozen=True, slots=True)
class Orders:
    """How a command is run: its directory (default: the caller's), more environment, input, a terminal instead."""

    directory: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes | None = None
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended."""

    argv: tuple[str, ...]
    status: int
    out: str
    err: str


class CommandFailed(Exception):
    """A command in a machine ended with another status than 0. Its output is in the message."""

    def __init__(self, finished: Finished) -> None:
        super().__init__(f"{shlex.join(finished.argv)}: status {finished.status}\n{finished.out}{finished.err}")
        self.finished = finished


class Job:
    """A command that was started."""

    def __init__(self, directory: Path, kind: str) -> None:
        self.directory = directory
        self.kind = kind

    @property
    def id(self) -> str:
        return self.directory.name

    def status(self) -> int | None:
        """Its exit status, 128 + n for signal n; None while it runs."""
        try:
            return int((self.directory / "status").read_text())
        except FileNotFoundError:
            return None

    def pid(self) -> int:
        """Its process id in the machine, which is its process group too. Raises TimeoutError while it has none."""
        deadline = time.monotonic() + _START_SECONDS
        while not (self.directory / "pid").exists():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.id} was not started within {_START_SECONDS:g} s")
            time.sleep(_LOOK)
        return int((self.directory / "pid").read_text())

    @contextmanager
    def output(self, sinks: Sinks) -> Iterator["Output"]:
        """Its output from the beginning on."""
        files = {1: os.open(self.directory / "out", os.O_RDONLY), 2: os.open(self.directory / "err", os.O_RDONLY)}
        try:
            yield Output([(file, sinks[number]) for number, file in files.items()])
        finally:
            for file in files.values():
                os.close(file)


class Output:
    """What a command has printed and nobody has seen."""

    def __init__(self, streams: Sequence[tuple[int, Sink]]) -> None:
        self._streams = streams

    def pass_on(self) -> None:
        """Give all that has come to the sinks."""
        for file, sink in self._streams:
            while chunk := os.read(file, _CHUNK):
                sink(chunk)


class Collected:
    """Sinks that keep what they get."""

    def __init__(self) -> None:
        self._kept = {1: bytearray(), 2: bytearray()}

    @property
    def sinks(self) -> Sinks:
        return {number: kept.extend for number, kept in self._kept.items()}

    def text(self, number: int) -> str:
        return self._kept[number].decode(errors="replace")


def passed_to(out: int, err: int | None = None) -> Sinks:
    """Sinks that write to open descriptors; both to the first where only one is given."""

    def sink(descriptor: int) -> Sink:
        def write(data: bytes) -> None:
            while data:
                data = data[os.write(descriptor, data) :]

        return write

    return {1: sink(out), 2: sink(out if err is None else err)}


def prepare(jobs: Path, argv: Sequence[str], orders: Orders) -> Job:
    """Write down a command for the machine to run."""
    directory = Path(tempfile.mkdtemp(prefix="job-", dir=jobs))
    (directory / "script").write_text(render_script(argv, orders, os.environ))
    for name in ("out", "err"):
        (directory / name).touch()
    if orders.stdin is not None:
        (directory / "in").write_bytes(orders.stdin)
    return Job(directory, "terminal" if orders.terminal else "plain")


def render_script(argv: Sequence[str], orders: Orders, environment: Mapping[str, str]) -> str:
    """Write the shell script of a command: the environment that is passed on, the directory, the command itself."""
    kept = {name: value for name, value in environment.items() if _PASSED_ON.match(name)}
    kept |= {"LAB_MACHINE": "1"} | dict(orders.env)
    lines = [
        "ulimit -c 0",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(kept.items())),
        f"cd {shlex.quote(str(orders.directory or Path.cwd()))} || exit 125",
        f"exec {shlex.join(argv)}",
    ]
    return "\n".join(lines) + "\n"

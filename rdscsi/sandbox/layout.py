"""Where a sandbox keeps things: every path below its state directory, and the lock that makes it one sandbox's own."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdscsi.errors import SettingsInvalid


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one sandbox."""

    state_dir: Path

    @property
    def record(self) -> Path:
        """What runs and how to reach it, for programs; see `rdscsi.sandbox.record`."""
        return self.state_dir / "sandbox.json"

    @property
    def simulator(self) -> Path:
        """The simulated RDS's own state: disks, files, host key, exports."""
        return self.state_dir / "simulator"

    @property
    def host_key(self) -> Path:
        """The simulated RDS's public host key, which the driver pins."""
        return self.simulator / "host_key.pub"

    @property
    def console_log(self) -> Path:
        """Every console line with its answer, a JSON object each, where the sandbox was asked for it."""
        return self.state_dir / "console.jsonl"

    @property
    def exports(self) -> Path:
        """Symbolic links from NQN to backing file, kept by the simulated RDS for the loop backend."""
        return self.simulator / "exports"

    @property
    def client_key(self) -> Path:
        """Private SSH key of the driver."""
        return self.state_dir / "id_ed25519"

    @property
    def client_public_key(self) -> Path:
        """The authorised key of the simulated RDS's user."""
        return self.state_dir / "id_ed25519.pub"

    @property
    def kernel(self) -> Path:
        """The simulated kernel's state, where loop devices do not work."""
        return self.state_dir / "kernel"

    def settings(self, name: str) -> Path:
        """The settings file of a process."""
        return self.state_dir / f"{name}.toml"

    def log(self, name: str) -> Path:
        """What a process wrote on its standard output and error."""
        return self.state_dir / f"{name}.log"

    def journal(self, name: str) -> Path:
        """The journal that a process is told to keep."""
        return self.state_dir / f"{name}.db"

    def journals(self, controller: str, node: str) -> tuple[Path, Path]:
        """The journals of the two halves, by the processes that serve them; see `ProcessSettings.node_journal`."""
        if controller == node:
            return self.journal(node), self.journal(node).with_stem(f"{node}-node")
        return self.journal(controller), self.journal(node)


@contextlib.contextmanager
def open_layout(state_dir: Path) -> Iterator[Layout]:
    """Make the state directory, for its owner only, and hold its lock.

    Raises SettingsInvalid when it cannot be made or another sandbox runs there.
    """
    state_dir = state_dir.absolute()
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsInvalid([f"--state-dir {state_dir}: cannot be used: {error.strerror}"]) from error
    with os.fdopen(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsInvalid([f"--state-dir {state_dir}: another sandbox runs there"]) from error
        yield Layout(state_dir)

"""Where things are: what was built, kept outside the checkout, and the state of the one cluster of this user."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
"""The checkout."""

BUILD = ROOT / "tests" / "e2e" / "build"
ARTEFACTS = ROOT / "artefacts"

LONGEST_STATE_PATH = 48
"""Unix sockets, whose names are limited to 107 bytes, lie below the state directory."""


def cache() -> Path:
    """The directory for what was built; the same one that deploy/setup keeps its packages in."""
    chosen = os.environ.get("RDSCSI_CACHE")
    if chosen:
        return Path(chosen).absolute() / "e2e"
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or "/tmp", ".cache")
    return Path(home).absolute() / "rdscsi" / "e2e"


@dataclass(frozen=True, slots=True)
class State:
    """The paths of one cluster."""

    directory: Path

    @property
    def tag(self) -> str:
        """A short name for what must be named outside of namespaces (cgroups)."""
        return "rdscsi-e2e-" + hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]

    @property
    def world_socket(self) -> Path:
        return self.directory / "world.sock"

    @property
    def logs(self) -> Path:
        return self.directory / "log"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's. The addresses in it are reached from inside the world's network only."""
        return self.directory / "admin.conf"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def kubectl(self) -> Path:
        """A script that runs kubectl in the world's network."""
        return self.directory / "kubectl"

    @property
    def appliance(self) -> Path:
        """The simulated RDS's state directory; nodes see it at the same path, for the loop backend."""
        return self.directory / "rds"

    def node(self, name: str) -> Path:
        """The directory of a node: kubelet's and containerd's state, logs."""
        return self.directory / name


def state() -> State:
    """The state of this user's cluster: RDSCSI_E2E_STATE, else a directory for temporary files."""
    chosen = os.environ.get("RDSCSI_E2E_STATE")
    directory = Path(chosen).absolute() if chosen else Path(tempfile.gettempdir(), f"rdscsi-e2e-{os.getuid()}")
    if len(str(directory)) > LONGEST_STATE_PATH:
        raise SystemExit(f"{directory}: at most {LONGEST_STATE_PATH} characters, as sockets lie below it")
    return State(directory)

"""`sandbox.json`: what runs in a sandbox and how to reach it, replaced atomically and kept true after restarts."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to reach the simulated RDS's console. `key` and `host_key` are paths of key files."""

    host: str
    port: int
    user: str
    key: str
    host_key: str


@dataclass(slots=True)
class Record:
    """The content of the file. Both halves are always named; in one process they share endpoint and process id."""

    path: Path
    endpoints: Mapping[str, str]
    journals: Mapping[str, str]
    logs: Mapping[str, str]
    host_backend: str
    ssh: Ssh | None = None
    processes: dict[str, int] = field(default_factory=dict)

    def put_process(self, names: tuple[str, ...], pid: int) -> None:
        """Note that these parts now run as process `pid`, in the file too."""
        self.processes.update(dict.fromkeys(names, pid))
        self.write()

    def write(self) -> None:
        """Replace the file; a reader sees the old content or the new, never half of one."""
        ssh = self.ssh
        content = {
            "endpoints": dict(self.endpoints),
            "processes": self.processes,
            "ssh": {"host": ssh.host, "port": ssh.port, "user": ssh.user, "key": ssh.key, "host_key": ssh.host_key}
            if ssh
            else None,
            "journals": dict(self.journals),
            "logs": dict(self.logs),
            "host_backend": self.host_backend,
        }
        new = self.path.with_suffix(".json.new")
        new.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(new, self.path)

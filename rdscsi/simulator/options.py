"""How a simulated appliance is set up: its pool, its version, and the switches for what no source settles.

Every switch's default is what the sources say or, where they say nothing, the choice that hurts a careless driver most.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rdscsi.simulator.version import minor

TEBIBYTE = 1 << 40


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The pool's disk item and its file system."""

    slot: str = "pool1"
    label: str = "pool1"
    size: int = 2 * TEBIBYTE
    fs: Literal["btrfs", "xfs", "ext4"] = "btrfs"
    kind: Literal["raid", "hardware"] = "raid"
    members: int = 4


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches. `routeros.md` section or "unknown" in each comment."""

    allocation: Literal["full", "sparse"] = "full"  # §1.5: unknown, treat as reserved
    error_suffix: bool | None = None  # §13.1.4: None means by version (from 7.22 on)
    max_slot: int = 32  # §1.5, S1
    same_file_twice: bool = True  # unknown: two items on one file are allowed
    remove_attached_file: bool = True  # §3: unknown: the file goes although a disk uses it
    remove_full_directory: bool = False  # unknown: a directory with content stays
    config_flush_delay: float = 0.0  # seconds until a power cut no longer loses a change of configuration
    pool_flush_delay: float = 0.0  # the same for files and subvolumes
    max_steps: int = 1_000_000  # bound of one line's work
    max_sessions: int = 20  # §5: /ip/service ssh
    exit_status: int = 0  # §4.1


@dataclass(frozen=True, slots=True)
class ApplianceOptions:
    """Everything that a new state directory is made from; version and behaviour may change between starts."""

    version: str = "7.24.4"
    identity: str = "RDS"
    rose_storage: bool = True
    pool: PoolOptions = field(default_factory=PoolOptions)
    behaviour: Behaviour = field(default_factory=Behaviour)
    initial_uptime: float = 0.0

    def suffixes(self) -> bool:
        """Whether run-time errors name their command."""
        wanted = self.behaviour.error_suffix
        return minor(self.version) >= (7, 22) if wanted is None else wanted

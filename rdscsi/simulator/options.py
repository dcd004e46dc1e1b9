"""How a simulated appliance is set up: its board, drives, pool, version, and the switches for what no source settles.

Every switch's default is what the sources say or, where they say nothing, the choice that hurts a careless driver most.
`honesty` lists each switch with how sure we are of its default.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rdscsi.simulator.version import minor

TEBIBYTE = 1 << 40
MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The pool's disk item and its file system.

    `overhead`: bytes that the empty file system takes. `uuid`, `raid_uuid`: drawn at the first start when empty.
    `inodes`: 0 stands for what mkfs would choose.
    """

    slot: str = "pool1"
    label: str = "pool1"
    size: int = 2 * TEBIBYTE
    fs: Literal["btrfs", "xfs", "ext4"] = "btrfs"
    kind: Literal["raid", "hardware"] = "raid"
    members: int = 4
    overhead: int = 64 * MEBIBYTE
    uuid: str = ""
    raid_uuid: str = ""
    raid_type: str = "0"
    raid_chunk_size: str = "1M"
    inodes: int = 0
    model: str = ""
    serial: str = "SIM000000"
    interface: str = "PCIe 2x8 GT/s"
    mount_filesystem: bool = True


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk item that is there besides the pool: a drive, a raid member, a tmpfs. It is for looking at only."""

    slot: str
    size: int
    type: str = "hardware"
    model: str = "SIMULATED NVME"
    serial: str = "SIM100000"
    interface: str = "PCIe 2x8 GT/s"
    fs: str = "-"
    raid_master: str = ""
    raid_role: int = 0


@dataclass(frozen=True, slots=True)
class Package:
    """A row of `/system/package`; one that is merely available has no version."""

    name: str
    version: str = ""
    build_time: str = ""
    size: int = 0
    disabled: bool = False
    available: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """What `/system/resource` tells of the machine: sizes in bytes, frequency in MHz, shares in percent."""

    name: str = "RDS2216-2XG-4S+4XS-2XQ (simulated)"
    architecture: str = "arm64"
    cpu: str = "ARM64"
    cpu_count: int = 16
    cpu_frequency: int = 2000
    cpu_load: int = 1
    total_memory: int = 34_359_738_368
    free_memory: int = 30_000_000_000
    total_hdd: int = 134_217_728
    free_hdd: int = 100_000_000
    build_time: str = "2026-09-16 10:00:00"
    oldest_version: str = "7.19"
    write_sect_since_reboot: int = 1000
    write_sect_total: int = 100_000
    bad_blocks: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """An account made with the state directory. `keys` are public keys in OpenSSH's form; no password lets any in."""

    name: str
    group: str = "full"
    password: str = ""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Switches. `routeros.md` section or "unknown" in each comment."""

    allocation: Literal["full", "sparse"] = "full"  # §1.5: unknown, treat as reserved
    error_suffix: bool | None = None  # §13.1.4: None means by version (from 7.22 on)
    bad_parameter: bool | None = None  # §13.1.1: None means by version (from 7.23 on)
    width: int = 80  # §4.6: columns of a console without a terminal
    crlf: bool = True  # §4.1
    parse_whole_line: bool = True  # §4.2; no: what stands before a parse error runs (§13.1.5 knows of no source)
    short_circuit: bool = False  # §4.2: `and` and `or` compute both sides
    raw_as_value: bool = True  # §4.4: `print as-value` neither quotes nor escapes
    max_slot: int = 32  # §1.5, S1
    default_mount_filesystem: bool = True  # §1.5, S5
    remove_keeps_file: bool = True  # §1.5: removing a file disk keeps its file
    attach_existing_file: bool = True  # §1.5: adding onto a file keeps its content; False refuses
    create_directories: bool = False  # §1.5, S1: a missing directory is not made
    binary_file_size: bool = True  # §1.5: K, M, G, T of file-size are powers of 1024
    same_file_twice: bool = True  # unknown: two items on one file are allowed
    same_nqn_twice: bool = False  # unknown: nvmet refuses equal names
    remove_exported_disk: bool = True  # unknown: removing cuts a live export
    remove_attached_file: bool = True  # §3: unknown: the file goes although a disk uses it
    remove_full_directory: bool = False  # unknown: a directory with content stays
    shrink: bool = True  # unknown: a smaller file-size cuts the file
    empty_find_is_silent: bool = True  # §4.2: set and remove of nothing do nothing; False: no such item
    config_flush_delay: float = 0.0  # seconds until a power cut no longer loses a change of configuration
    pool_flush_delay: float = 0.0  # the same for files and subvolumes
    mount_at_boot: bool = True  # §1.5: a boot mounts what it recognises where mount-filesystem=yes
    orphan_parent_is_empty: bool = True  # §2: the parent of a snapshot whose source was removed
    max_steps: int = 1_000_000  # bound of one line's work
    max_sessions: int = 20  # §5: /ip/service ssh
    max_channels: int = 10  # §5: more channels than this at once on one connection hang; 19 did; 0: never
    answer_keepalive: bool = False  # §5: keepalive@openssh.com
    exit_status: int = 0  # §4.1
    boot_seconds: float = 0.0  # unknown: how long a reboot keeps the appliance from taking connections
    enforce_policies: bool = True  # §4.2, §5: what a user's group lacks is refused
    device_mode_refuses: tuple[str, ...] = ()  # §5: paths of commands that the device mode does not allow
    format_answer: Literal["y", "n"] = "n"  # unknown: what the question of /disk/format gets without a terminal


@dataclass(frozen=True, slots=True)
class ApplianceOptions:
    """Everything that a new state directory is made from; version and behaviour may change between starts."""

    version: str = "7.24.4"
    identity: str = "RDS"
    rose_storage: bool = True
    pool: PoolOptions = field(default_factory=PoolOptions)
    behaviour: Behaviour = field(default_factory=Behaviour)
    initial_uptime: float = 0.0
    board: Board = field(default_factory=Board)
    drives: tuple[Drive, ...] = ()
    packages: tuple[Package, ...] = ()
    """Rows of /system/package; without any: routeros and rose-storage."""
    users: tuple[User, ...] = (User("admin"),)

    def suffixes(self) -> bool:
        """Whether run-time errors name their command."""
        wanted = self.behaviour.error_suffix
        return minor(self.version) >= (7, 22) if wanted is None else wanted

    def says_bad_parameter(self) -> bool:
        """Whether an unknown argument is called `bad parameter`; before 7.23 the parser expects the end instead."""
        wanted = self.behaviour.bad_parameter
        return minor(self.version) >= (7, 23) if wanted is None else wanted

"""What the node half asks of a machine: block devices by NQN, their content, mounts and paths.

Three implementations: `kernel` (NVMe/TCP), `loop` (backing files of a simulated RDS as loop devices, all else real) and
`simulated` (nothing real; for tests and machines without root). One contract test holds all of them to these texts.
Decisions (what may be formatted, what to undo) are made in `rdscsi.node`; here are observations and single effects.

Every method has a deadline of its own and may be cancelled (law 11); an effect that was cut short is found out by
looking again. Unless a text says otherwise, a method raises DeviceUnavailable when nothing was done, OutcomeUnknown
when it may have been, and CommandFailed when a tool refused, with its words kept.
"""

import enum
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from rdscsi.model import DEFAULT_TUNING, Portal, Tuning, Usage

Number: TypeAlias = tuple[int, int]
"""Major and minor number of a block device. The kernel hands them out anew."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What is needed to reach a subsystem: its NQN, the portals that offer it, and who we are (NVMe base spec 4.5).

    `host_traddr` (an IP literal) and `host_iface` say from where this node connects, as in nvme-connect(1); empty: the
    kernel's routes do. They are facts of the node, as `tuning` is the volume's.
    """

    subnqn: str
    portals: tuple[Portal, ...]
    hostnqn: str
    host_id: str
    tuning: Tuning = DEFAULT_TUNING
    host_traddr: str = ""
    host_iface: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A block device as it was seen a moment ago. `path` is never stored as truth: the kernel hands names out anew.

    `identity` tells this connection's namespace from any other's (nsid, uuid or nguid; the backing file's inode for a
    loop device); it may differ after a new connection.
    """

    subnqn: str
    path: str
    number: Number
    size_bytes: int
    identity: str


LIVE = "live"


@dataclass(frozen=True, slots=True)
class Controller:
    """A connection: through which portal (None where a backend has none), as which host, in which state.

    The states are the kernel's: `live` carries I/O, `connecting` tries again, `deleting` and `dead` are on their way.
    """

    portal: Portal | None
    hostnqn: str
    state: str

    @property
    def live(self) -> bool:
        """Whether it carries I/O now."""
        return self.state == LIVE


class ContentKind(enum.Enum):
    """What a device holds, as far as its signatures and its first and last MiB tell."""

    BLANK = "blank"
    STAMPED = "stamped"
    FILESYSTEM = "filesystem"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Content:
    """The outcome of a probe that read what it had to read.

    BLANK: no signature, first and last MiB all zeros, read without an error. STAMPED: bears the stamp that was asked
    for, so mkfs was begun under it and nothing but mkfs has written since. FILESYSTEM: `fs_type` as blkid names it.
    OTHER: anything else, `detail` in words.
    """

    kind: ContentKind
    fs_type: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of mountinfo (proc_pid_mountinfo(5)). `root` is the mounted part of the filesystem, `/` for all of it."""

    mount_point: str
    number: Number
    root: str
    fs_type: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...] = ()

    @property
    def readonly(self) -> bool:
        """Whether this mount refuses writes."""
        return "ro" in self.options


class PathKind(enum.Enum):
    """What a path is, without following a symbolic link at its end."""

    ABSENT = "absent"
    FILE = "file"
    DIRECTORY = "directory"
    BLOCK_DEVICE = "block device"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PathState:
    """A path as it is; `number` for block devices only."""

    kind: PathKind
    number: Number | None = None


class Host(Protocol):
    """One machine."""

    @property
    def backend(self) -> str:
        """Which implementation this is: `kernel`, `loop` or `simulated`."""
        ...

    async def boot_id(self) -> str:
        """Return what differs after each start of the machine: then nothing is connected, and no number is valid."""
        ...

    # --- devices

    async def connect(self, connection: Connection) -> Device:
        """Return the device of the subsystem, connecting first where it is not connected. Safe to repeat.

        Waits until the namespace is there and its controller live. Raises DeviceUnavailable when no portal offers the
        subsystem to this host within the deadline; what this call connected is disconnected again.
        """
        ...

    async def find_device(self, subnqn: str) -> Device | None:
        """Return the device of a connected subsystem; None when it is proven not connected.

        Raises DeviceUnavailable for one that is connected and has no usable device now (connecting, deleting, dead).
        """
        ...

    async def connected(self, nqn_prefix: str) -> Mapping[str, tuple[Number, ...]]:
        """Return the NQNs with this prefix that the machine has anything of, usable or not.

        With each the numbers of its block devices that are still there.
        """
        ...

    async def controllers(self, subnqn: str) -> tuple[Controller, ...]:
        """Return the connections of a subsystem, whatever their state; none when it is not connected."""
        ...

    async def multipath(self) -> bool:
        """Tell whether a subsystem is connected through each of its portals; else through one alone."""
        ...

    async def offers(self, connection: Connection) -> bool:
        """Tell whether a portal that can be reached offers the subsystem to this host now.

        False only when a portal has said so. Raises DeviceUnavailable when none can be reached, or none gives an answer
        that says it: then nothing is known.
        """
        ...

    async def is_present(self, number: Number) -> bool:
        """Tell whether a block device has this number now; a filesystem stays mounted when its device is gone."""
        ...

    async def holders(self, device: Device) -> tuple[str, ...]:
        """Say who else uses the device now, in words; empty when nobody does.

        Device mapper, md, loop devices, swap, its partitions' users, and filesystems mounted where this process
        cannot see it. Mounts that it sees are not holders; see `mounts`. Who merely has the raw device open is not
        known.
        """
        ...

    async def disconnect(self, subnqn: str) -> None:
        """Return once the subsystem is proven gone from this machine. Safe to repeat.

        Does not look for users first; the caller has. Raises OutcomeUnknown when it is not gone by the deadline.
        """
        ...

    async def wait_size(self, device: Device, size_bytes: int) -> Device:
        """Look for a new size until the device has at least this many bytes; return it as it is then.

        Raises DeviceUnavailable when it does not grow within the deadline.
        """
        ...

    # --- content

    def holding(self, device: Device) -> AbstractAsyncContextManager[None]:
        """Hold a device while the body runs, for several effects in a row: they mean this device and no other.

        Each effect holds it by itself; inside the body that is done already. Raises DeviceUnavailable when it is not
        the one that it was. The body does not disconnect it.
        """
        ...

    async def probe(self, device: Device, stamp: str) -> Content:
        """Say what the device holds, by low-level probing only (never a cache).

        Raises DeviceUnavailable when any of it cannot be read (unreadable is not blank), when somebody else uses the
        device, or when it is not the one that it was.
        """
        ...

    async def write_stamp(self, device: Device, stamp: str) -> None:
        """Write the stamp, durably, to a device that a probe has just shown to be BLANK. At most 256 ASCII bytes."""
        ...

    async def clear_stamp(self, device: Device, stamp: str) -> None:
        """Take the stamp away, durably, wherever it still stands; nothing else is written."""
        ...

    async def make_filesystem(
        self, device: Device, fs_type: str, *, erase_unfinished: bool, options: Sequence[str] = ()
    ) -> None:
        """Make a filesystem (ext4 or xfs) without discarding, so that a stamp survives it.

        `options` are arguments that `rdscsi.tuning` allows. `erase_unfinished`: what a cut-short mkfs left under our
        own stamp is overwritten; only then is the tool forced. Raises DeviceUnavailable when the device is not the one
        that it was.
        """
        ...

    async def check_filesystem(self, device: Device, fs_type: str) -> None:
        """Repair what the filesystem's own tool repairs without questions, after a mount failed. Not mounted."""
        ...

    async def grow_filesystem(self, device: Device, fs_type: str, mount_point: str) -> None:
        """Let a mounted filesystem fill its device. Safe to repeat.

        Raises CommandFailed; for ext4 without CAP_SYS_RESOURCE its text says so.
        """
        ...

    # --- mounts

    async def mounts(self) -> Sequence[Mount]:
        """Return all mounts that this process sees, in the order in which they were made."""
        ...

    async def mount(self, device: Device, mount_point: str, fs_type: str, options: Sequence[str]) -> None:
        """Mount a filesystem on a directory that is there.

        Raises DeviceUnavailable when the device is not the one that it was.
        """
        ...

    async def bind(self, source: str, mount_point: str, *, readonly: bool) -> None:
        """Bind-mount a directory or a file; `readonly` holds for this mount alone."""
        ...

    async def unmount(self, mount_point: str) -> None:
        """Take the topmost mount off a path. Nothing mounted there is a success.

        Raises CommandFailed while it is busy, OutcomeUnknown when it did not end within the deadline.
        """
        ...

    # --- paths

    async def canonical(self, path: str) -> str:
        """Return the path as mountinfo would name it: without links in its directories. Its last part is not followed.

        What is not there stays as it is written. Raises DeviceUnavailable when that cannot be told.
        """
        ...

    async def path_state(self, path: str) -> PathState:
        """Say what a path is. Raises DeviceUnavailable when that cannot be told (a dead mount underneath)."""
        ...

    async def make_directory(self, path: str) -> None:
        """Make a directory and those above it; an existing directory is a success."""
        ...

    async def make_file(self, path: str) -> None:
        """Make an empty regular file and the directories above it; an existing regular file is a success."""
        ...

    async def make_device_node(self, path: str, device: Device, *, readonly: bool) -> None:
        """Make a block device node for the device at a path where nothing is, the directories above it too.

        Raises NotSupported where the filesystem there does not let device nodes be opened (nodev).
        """
        ...

    async def remove(self, path: str) -> None:
        """Remove one empty directory, empty file, or device node; nothing there is a success. Never recursive.

        Raises NotPermittedNow for what is not empty, is a mount point, or is anything else.
        """
        ...

    # --- measures

    async def usage(self, path: str) -> tuple[Usage, ...]:
        """Return bytes and inodes of the filesystem at a path (statvfs(3)), or raise by the deadline on a dead one."""
        ...

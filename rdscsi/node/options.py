"""Which mount options a workload may choose. A closed list: what is not on it is refused by name of its place.

Kept out on purpose: what trades the filesystem's consistency for speed (`nobarrier`, `data=writeback`, `norecovery`),
what can stop the machine (`errors=panic`), and everything that is no filesystem's option (`bind`, `loop`, `remount`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from rdscsi.errors import InvalidRequest
from rdscsi.model import AccessMode

READONLY = "ro"

STOPPED = ("emergency_ro", "shutdown")
"""What ext4 shows among the options of a filesystem that an error has stopped, where the kernel is new enough."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PLAIN = _words(
    "ro rw suid nosuid dev nodev exec noexec atime noatime diratime nodiratime relatime norelatime strictatime"
    " nostrictatime lazytime nolazytime sync async dirsync defaults discard nodiscard"
)
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "ext4": _words("acl noacl user_xattr nouser_xattr quota noquota usrquota grpquota prjquota barrier"),
    "xfs": _words(
        "inode32 inode64 largeio nolargeio swalloc noquota quota uquota usrquota gquota grpquota pquota prjquota"
        " nouuid ikeep noikeep wsync"
    ),
}
_WITH_VALUE: Mapping[str, re.Pattern[str]] = {
    "ext4": re.compile(r"(commit|stripe|inode_readahead_blks)=[0-9]{1,9}|data=ordered|errors=remount-ro", re.ASCII),
    "xfs": re.compile(r"(allocsize|logbufs|logbsize|sunit|swidth)=[0-9]{1,9}[kmg]?", re.ASCII),
}
_CONTEXT = re.compile(r'(context|fscontext|defcontext|rootcontext)=("[^"\\\n]+"|[^",\s]+)')
"""SELinux labels, as kubelet gives them: a quoted one may hold commas, so it is one option and never split."""


def chosen(field: str, flags: Sequence[str], fs_type: str) -> tuple[str, ...]:
    """Return the options that these flags name, in their order, each once.

    An SELinux label is passed on byte for byte. `fs_type` may be empty while it is not known; then options of either
    filesystem pass. Raises InvalidRequest, without the flag itself: it may be sensitive, says the CSI specification.
    """
    options: dict[str, None] = {}
    for position, flag in enumerate(flags):
        parts = [flag] if _CONTEXT.fullmatch(flag) else flag.split(",")
        for part in parts:
            if not _allowed(part, fs_type):
                expected = (
                    f"an allowed option of {fs_type or 'ext4 or xfs'}, like noatime or discard; not bind or nobarrier"
                )
                raise InvalidRequest(f"{field}[{position}]", "(not shown)", expected)
            options[part] = None
    return tuple(options)


def _allowed(option: str, fs_type: str) -> bool:
    types = (fs_type,) if fs_type else tuple(_OF_TYPE)
    return (
        option in _PLAIN
        or _CONTEXT.fullmatch(option) is not None
        or any(option in _OF_TYPE[one] or _WITH_VALUE[one].fullmatch(option) is not None for one in types)
    )


def for_mount(options: Iterable[str], fs_type: str) -> tuple[str, ...]:
    """Return what to mount a filesystem of this type with.

    Raises InvalidRequest when an option belongs to the other type: only now it is known which it is.
    """
    options = chosen("volume_capability.mount.mount_flags", tuple(options), fs_type)
    if fs_type == "xfs" and "nouuid" not in options:
        # A restored or cloned volume has the UUID of its origin, which may be mounted on this node as well.
        options = (*options, "nouuid")
    return options


def with_access(options: tuple[str, ...], mode: AccessMode, *, readonly: bool) -> tuple[str, ...]:
    """Return the options with `ro` first where the publication or the access mode wants it."""
    only_reads = mode in (AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY)
    if not (readonly or only_reads or READONLY in options):
        return options
    return (READONLY, *(option for option in options if option not in (READONLY, "rw")))

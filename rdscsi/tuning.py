"""How a volume is connected and formatted, where its StorageClass says: the part of `parameters` that nodes need. Pure.

CreateVolume answers these keys in volume_context, as they were asked for. The orchestrator keeps that in the
PersistentVolume and hands it to every node, so that nothing of ours has to remember it: a repeated CreateVolume answers
the same because it asks the same, also after the journal was lost (the owner tag holds a hash of all parameters). A
PersistentVolume that was made by hand may hold anything, so a node reads them by the same checks.

The names are those of nvme-connect(1), spelt as Kubernetes spells parameters. They are kept in PersistentVolumes for
ever: none may change its meaning. Every way of asking for an endless time is refused (`rdscsi.model.Tuning` says why).
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

from rdscsi.errors import InvalidRequest
from rdscsi.model import AccessType, Tuning, VolumeCapability

DEFAULT_FS_TYPE = "ext4"
"""What a blank volume is formatted with when nobody says."""

_LONGEST_OPTIONS = 256


@dataclass(frozen=True, slots=True)
class Key:
    """A key: the field of Tuning that it sets, the values it takes, in code and in words, and what it is for."""

    field: str
    read: Callable[[str], "int | str | None"]
    expected: str
    help: str


def _seconds(field: str, highest: int, help: str) -> Key:
    return Key(field, _whole(highest), f"whole seconds from 1 to {highest}, without a unit", help)


def _whole(highest: int) -> Callable[[str], int | None]:
    def read(text: str) -> int | None:
        number = int(text) if re.fullmatch("[1-9][0-9]{0,8}", text, re.ASCII) else 0
        return number if 1 <= number <= highest else None

    return read


def _options(text: str) -> str | None:
    return text if text and any(mkfs_words(text, fs_type) is not None for fs_type in MKFS) else None


KEYS: Mapping[str, Key] = {
    "ctrlLossTmo": _seconds(
        "ctrl_loss_tmo",
        86_400,
        "How long the kernel tries to reach a portal again before it gives up and all I/O of that path fails. Until "
        "then I/O waits. Rounded up to a multiple of `reconnectDelay`.",
    ),
    "reconnectDelay": _seconds(
        "reconnect_delay", 3600, "The pause between two such attempts; not longer than `ctrlLossTmo`."
    ),
    "keepAliveTmo": _seconds(
        "keep_alive_tmo", 600, "After how long a silence the node and the appliance take each other for gone."
    ),
    "nrIoQueues": Key(
        "nr_io_queues",
        _whole(1024),
        "a whole number from 1 to 1024",
        "I/O queues of each connection, at most one for each processor of the node. Fewer cost the appliance less.",
    ),
    "mkfsOptions": Key(
        "mkfs_options",
        _options,
        "options of mkfs.ext4 (-b -i -I -m, -E stride and stripe_width) or of mkfs.xfs (-b size, -d su, sw, sunit and "
        "swidth, -i size and maxpct, -m bigtime, finobt, inobtcount, reflink and rmapbt, -n size), by blanks",
        "Options with which the driver makes the filesystem of a blank volume, once; see below.",
    ),
}


def parse(field: str, given: Mapping[str, str]) -> Tuning:
    """Read what there is of these keys; others are not looked at.

    Raises InvalidRequest that names field, key, value and what would be right.
    """
    found: dict[str, int | str] = {}
    for key, value in given.items():
        known = KEYS.get(key)
        if known is None:
            continue
        read = known.read(value)
        if read is None:
            raise InvalidRequest(f"{field}[{key}]", _shortened(value), known.expected)
        found[known.field] = read
    tuning = Tuning(**found)  # type: ignore[arg-type]
    if tuning.reconnect_delay > tuning.ctrl_loss_tmo:
        key = "reconnectDelay" if "reconnectDelay" in given else "ctrlLossTmo"
        expected = f"reconnectDelay ({tuning.reconnect_delay}) at most ctrlLossTmo ({tuning.ctrl_loss_tmo})"
        raise InvalidRequest(f"{field}[{key}]", given[key], expected)
    return tuning


def check_filesystems(field: str, tuning: Tuning, capabilities: Iterable[VolumeCapability]) -> None:
    """Raise InvalidRequest when the options for mkfs are not those of a filesystem that is asked for."""
    for capability in capabilities:
        if capability.access_type is AccessType.MOUNT:
            arguments(field, tuning, capability.fs_type or DEFAULT_FS_TYPE)


def context(given: Mapping[str, str]) -> dict[str, str]:
    """Return the part of a StorageClass's parameters that goes into volume_context, as it was given."""
    return {key: given[key] for key in KEYS if key in given}


def render(tuning: Tuning) -> dict[str, str]:
    """Return the keys that say this; nothing for what is the default. The inverse of `parse`."""
    default = Tuning()
    shown = {known.field: key for key, known in KEYS.items()}
    changed = (one.name for one in fields(Tuning) if getattr(tuning, one.name) != getattr(default, one.name))
    return {shown[name]: str(getattr(tuning, name)) for name in changed}


# --- options for mkfs

_NUMBER = "[1-9][0-9]{0,8}"
_FLAG = "[01]"


def _powers(lowest: int, highest: int) -> str:
    return "|".join(str(1 << power) for power in range(lowest, highest + 1))


MKFS: Mapping[str, Mapping[str, "str | Mapping[str, str]"]] = {
    "ext4": {
        "-b": _powers(10, 12),
        "-i": _powers(10, 26),
        "-I": _powers(8, 10),
        "-m": "[0-9]|[1-4][0-9]|50",
        "-E": {"stride": _NUMBER, "stripe_width": _NUMBER},
    },
    "xfs": {
        "-b": {"size": _powers(10, 12)},
        "-d": {"su": f"{_NUMBER}[kmg]?", "sw": _NUMBER, "sunit": _NUMBER, "swidth": _NUMBER},
        "-i": {"size": _powers(9, 11), "maxpct": "[0-9]|[1-9][0-9]|100"},
        "-m": {"bigtime": _FLAG, "finobt": _FLAG, "inobtcount": _FLAG, "reflink": _FLAG, "rmapbt": _FLAG},
        "-n": {"size": _powers(12, 16)},
    },
}
"""A closed list, by type: an option with the values it takes, or with its own options and the values of each.

Kept out on purpose: what overwrites (`-F`, `-f`) or discards, what makes less or other than a filesystem (`-n` of ext4,
`-N`), journals elsewhere, labels and UUIDs (a clone has its origin's), features (`-O`), and all that moves metadata to
where the stamp stands, such as `agcount` and the size of a log. `tests/host/test_stamp_places.py` tries the rest.
"""


def mkfs_words(text: str, fs_type: str) -> tuple[str, ...] | None:
    """Return the arguments for mkfs, options and values in turns; None when they are not allowed for this type."""
    words = text.split(" ") if text else []
    allowed = MKFS.get(fs_type, {})
    options, values = words[::2], words[1::2]
    fits = (
        len(text) <= _LONGEST_OPTIONS
        and len(options) == len(values) == len({*options})
        and all(
            option in allowed and _fits(value, allowed[option]) for option, value in zip(options, values, strict=True)
        )
    )
    return tuple(words) if fits else None


def _fits(value: str, allowed: "str | Mapping[str, str]") -> bool:
    if isinstance(allowed, str):
        return re.fullmatch(allowed, value, re.ASCII) is not None
    parts = [part.partition("=")[::2] for part in value.split(",")]
    names = [name for name, _ in parts]
    return len({*names}) == len(names) and all(name in allowed and _fits(own, allowed[name]) for name, own in parts)


def describe(fs_type: str) -> str:
    """Say in words which options there are for a type of filesystem."""
    return ", ".join(
        option if isinstance(allowed, str) else f"{option} {'|'.join(allowed)}"
        for option, allowed in MKFS.get(fs_type, {}).items()
    )


def arguments(field: str, tuning: Tuning, fs_type: str) -> tuple[str, ...]:
    """Return the arguments for mkfs of this type. Raises InvalidRequest when they are another type's."""
    words = mkfs_words(tuning.mkfs_options, fs_type)
    if words is None:
        expected = f"options that mkfs.{fs_type} may be given: {describe(fs_type)}"
        raise InvalidRequest(f"{field}[mkfsOptions]", _shortened(tuning.mkfs_options), expected)
    return words


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_OPTIONS else f"{value[:_LONGEST_OPTIONS]}…"

"""Reading what the driver's own lines print: one record a line, a letter, a blank, a JSON object. Pure.

Human output of `print` is never parsed. A record that does not look as it must raises UnexpectedAnswer: a parser that
guesses destroys data. RouterOS gives numbers, numeric strings, booleans and yes/no for the same property, depending
on version, and omits what is empty; these forms, and no others, are accepted.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from rdscsi.errors import UnexpectedAnswer
from rdscsi.routeros.uptime import parse_uptime

Record = Mapping[str, object]
_OTHER_USES = (
    *("mounted", "swap", "swap-enabled", "raid-member", "formatting"),
    *("iscsi-export", "smb-sharing", "nfs-sharing", "media-sharing"),
)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DiskItem:
    """An item of `/disk`, in RouterOS's property names. `size` in bytes; `comment` empty when unset."""

    item_id: str
    slot: str
    type: str
    size: int
    comment: str
    file_path: str
    fs: str
    block_device: bool
    nvme_tcp_export: bool
    nvme_tcp_server_nqn: str
    nvme_tcp_server_port: int
    mount_filesystem: bool
    disabled: bool
    other_uses: tuple[str, ...] = ()
    """What else it serves as, by the properties that say so: mounted, shared, a window in its file, …"""


@dataclass(frozen=True, slots=True)
class Pool:
    """The disk item that holds the volumes: sizes in bytes, `fs_uuid` its identity, `mount_point` without a slash.

    `exports`: it is shown with the property by which disks are exported.
    """

    slot: str
    fs: str
    fs_uuid: str
    fs_label: str
    mount_point: str
    mounted: bool
    size: int
    free: int
    state: str
    read_only: bool = False
    exports: bool = False

    @property
    def btrfs(self) -> bool:
        """Whether volumes live in subvolumes."""
        return self.fs == "btrfs"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A Btrfs subvolume or a file that bears a name of ours.

    `uuid` is empty for files. `created` is the appliance's local time, as a subvolume's property shows it.
    """

    name: str
    uuid: str = ""
    read_only: bool = False
    created: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that one line printed."""

    uptime: int | None = None
    disks: tuple[DiskItem, ...] = ()
    pool: Pool | None = None
    leaves: tuple[Leaf, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    def disk(self, slot: str) -> DiskItem | None:
        """Return the item in that slot, or None when the line looked and saw none.

        Raises UnexpectedAnswer when the appliance shows two.
        """
        found = [item for item in self.disks if item.slot == slot]
        if len(found) > 1:
            raise UnexpectedAnswer(f"the appliance shows {len(found)} disks in slot {slot}")
        return found[0] if found else None


def parse_answer(lines: tuple[str, ...]) -> Answer:
    """Read the records of one line's output. Raises UnexpectedAnswer."""
    disks: list[DiskItem] = []
    leaves: list[Leaf] = []
    facts: dict[str, str] = {}
    uptime: int | None = None
    pool: Pool | None = None
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "U":
            uptime = _uptime(rest)
        elif kind == "I":
            disks.append(_disk(_record(rest)))
        elif kind == "P":
            pool = _pool(_record(rest))
        elif kind == "L":
            leaves.append(_leaf(_record(rest)))
        elif kind == "F":
            key, _, value = rest.partition("=")
            facts[key] = value
        elif line:
            raise UnexpectedAnswer(f"the appliance printed what nobody asked for: {line[:200]!r}")
    return Answer(uptime, tuple(disks), pool, tuple(leaves), facts)


def _uptime(text: str) -> int:
    try:
        return parse_uptime(text)
    except ValueError as error:
        raise UnexpectedAnswer(str(error)) from error


def _record(text: str) -> Record:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnexpectedAnswer(f"not JSON: {text[:200]!r}") from error
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"not one object: {text[:200]!r}")
    return value


def _disk(record: Record) -> DiskItem:
    return DiskItem(
        item_id=_text(record, ".id"),
        slot=_text(record, "slot"),
        type=_text(record, "type"),
        size=_count(record, "size"),
        comment=_text(record, "comment"),
        file_path=_text(record, "file-path").lstrip("/"),
        fs=_text(record, "fs").strip("-"),
        block_device=_flag(record, "block-device"),
        nvme_tcp_export=_flag(record, "nvme-tcp-export"),
        nvme_tcp_server_nqn=_text(record, "nvme-tcp-server-nqn"),
        nvme_tcp_server_port=_count(record, "nvme-tcp-server-port"),
        mount_filesystem=_flag(record, "mount-filesystem"),
        disabled=_flag(record, "disabled"),
        other_uses=_other_uses(record),
    )


def _other_uses(record: Record) -> tuple[str, ...]:
    """What is not understood here is no reason to refuse the whole answer: our own volumes have none of these."""
    uses = tuple(name for name in _OTHER_USES if record.get(name) in (True, "yes", "true"))
    return uses if record.get("file-offset") in (None, 0, "", "0") else (*uses, "file-offset")


def _pool(record: Record) -> Pool:
    return Pool(
        slot=_text(record, "slot"),
        fs=_text(record, "fs").strip("-"),
        fs_uuid=_text(record, "fs-uuid"),
        fs_label=_text(record, "fs-label"),
        mount_point=_text(record, "mount-point").strip("/"),
        mounted=_flag(record, "mounted"),
        size=_count(record, "size"),
        free=_count(record, "free"),
        state=_text(record, "state"),
        read_only=_flag(record, "mount-read-only"),
        exports="nvme-tcp-export" in record,
    )


def _leaf(record: Record) -> Leaf:
    return Leaf(
        _text(record, "name").rpartition("/")[2],
        _text(record, "uuid"),
        read_only=_flag(record, "read-only"),
        created=_text(record, "creation-time"),
    )


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UnexpectedAnswer(f"{key}={value!r}: expected a text")
    return str(value)


def _count(record: Record, key: str) -> int:
    def convert(text: str) -> int:
        return int(text.replace(" ", "")) if text else 0

    return _converted(record, key, convert, "a number")


def _flag(record: Record, key: str) -> bool:
    value = record.get(key)
    if isinstance(value, bool):
        return value
    return _converted(
        record, key, {"": False, "no": False, "false": False, "yes": True, "true": True}.__getitem__, "yes or no"
    )


def _converted(record: Record, key: str, convert: Callable[[str], T], expected: str) -> T:
    text = _text(record, key)
    try:
        return convert(text)
    except (KeyError, ValueError) as error:
        raise UnexpectedAnswer(f"{key}={text!r}: expected {expected}") from error

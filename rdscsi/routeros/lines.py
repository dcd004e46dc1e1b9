"""The console lines that the driver sends, rendered from values. Pure; what they print is read in `answers`.

Each line is one observe-act-observe step. Its shape (laws 3 and 4): tell the uptime; prove this cluster's marker, the
controller token in it and the mounted pool; act on the difference only, with token, window and the object's tag checked
again directly before every mutating statement; print what is there now. A line may stop after any statement: each
prefix leaves a state that the next line recognises. RouterOS facts used are listed in docs/routeros.md.

A line must stay below 4,096 bytes, so what is compared again and again stands in locals: `zk` and `zm` the marker's
slot and comment, `zp` the pool's slot, `zc` and `zx` a create's tag before its uuid and both tags' common end, `zu` the
uuid, `za` and `zy` the window, `zt` the uptime, `zs` the object's slot, `zo` and `zn` its tag before and after, `zf`
and `zg` its file's path without and with a leading slash, `zb` its backing object's name, `zl` the label of the
filesystem, `zq` what a look has just found, `zw` a count of waits. None of them is the name of a property, which it
would hide inside `where`.
"""

import itertools
from dataclasses import dataclass, replace

from rdscsi.names import Backing, ImportedBacking
from rdscsi.routeros.phrases import for_each, joined, print_disks, print_pool, record, refuse_if, wait_until, when
from rdscsi.routeros.quoting import number, quote
from rdscsi.routeros.uptime import Window, render_uptime

FENCED = "rdscsi:token"
POOL_GONE = "rdscsi:pool"
OUT_OF_WINDOW = "rdscsi:window"
NO_SPACE = "rdscsi:space"
CHANGED = "rdscsi:changed"

UPTIME = "[/system/resource/get uptime]"
TELL_UPTIME = f':local zt {UPTIME}; :put ("U " . $zt)'
TELL_OFFSET = ':put ("F gmt-offset=" . [/system/clock/get gmt-offset])'
"""Subvolumes tell when they were made in the appliance's local time."""
AGAIN = (
    f':if ([:len [/disk/find where slot=$zk and comment=$zm]]!=1) do={{:error "{FENCED}"}}',
    f":set zt {UPTIME}",
    f':if (($zt<$za) or ($zt>$zy)) do={{:error "{OUT_OF_WINDOW}"}}',
)
"""The checks directly before a mutating statement; the object's own comes between them and the statement (`one`)."""

_EXPLICIT = "mount-filesystem=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no nvme-tcp-export=no"
_ITEM = "/disk/find where slot=$zs"


@dataclass(frozen=True, slots=True)
class Place:
    """Where volumes live on a backend. `directory` is the base path below the pool's mount point, or empty."""

    pool_slot: str
    fs_uuid: str
    fs_label: str
    btrfs: bool
    base_path: str
    directory: str


@dataclass(frozen=True, slots=True)
class Guard:
    """What must hold when a line acts: the marker's whole comment, the pool, and a window of uptime."""

    marker_slot: str
    marker: str
    place: Place
    window: Window

    def open(self) -> list[str]:
        """The statements that every guarded line starts with."""
        return [
            TELL_UPTIME,
            f":local zk {quote(self.marker_slot)}",
            f":local zm {quote(self.marker)}",
            f":local zp {quote(self.place.pool_slot)}",
            f":local za {render_uptime(self.window.not_before)}",
            f":local zy {render_uptime(self.window.not_after)}",
            ':local zq ""',
            *AGAIN,
            refuse_if("[:len [/disk/find where slot=$zk]]!=1", FENCED),  # two markers, two leaders: nobody acts
            _pool_check("$zp", self.place),
        ]


def pool_check(place: Place) -> str:
    """Refuse unless the pool is mounted and is the one that was recorded."""
    return _pool_check(quote(place.pool_slot), place)


def _pool_check(slot: str, place: Place) -> str:
    find = f"/disk/find where slot={slot} and mounted=yes and fs-uuid={quote(place.fs_uuid)}"
    return refuse_if(f"[:len [{find}]]!=1", POOL_GONE)


def window_check(window: Window) -> str:
    """Refuse outside the window: a line from before a reboot, or one that outlived its sender's patience."""
    early = f"({UPTIME}<{render_uptime(window.not_before)})"
    late = f"({UPTIME}>{render_uptime(window.not_after)})"
    return refuse_if(f"{early} or {late}", OUT_OF_WINDOW)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a subvolume is to be a copy of: a volume's backing object, or a snapshot's, which is read-only.

    The copy is made only while the origin is that: a volume's item of this size in its slot, or a snapshot still
    read-only. A copy's file is as large as the origin's, and is grown where more is asked for.
    """

    backing: Backing
    size_bytes: int
    read_only: bool

    def there(self) -> str:
        """The condition that the origin is what it is taken for."""
        find = f"/disk/btrfs/subvolume/find where fs=$zl and name={quote(self.backing.name)}"
        if self.read_only:
            return f"[:len [{find} and read-only=yes]]=1"
        item = f"/disk/find where slot={quote(self.backing.slot)} and size={number(self.size_bytes)}"
        return f"([:len [{find}]]=1) and ([:len [{item}]]=1)"


@dataclass(frozen=True, slots=True)
class NewCopy:
    """A subvolume that is to be a copy of another one: a snapshot, which is read-only, or what a volume is made of."""

    backing: Backing
    origin: Origin
    read_only: bool
    need_free_bytes: int


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What a create puts on the appliance. `creating` and `ready` are tags whose backing uuid is still to be added.

    `copied`: the backing object is there already, as a copy that holds the file; it may have to grow.
    """

    slot: str
    backing: Backing
    file_path: str
    size_bytes: int
    creating: str
    ready: str
    keep_free_bytes: int
    copied: bool = False


def create(guard: Guard, volume: NewVolume) -> str:
    """Make the backing object (unless copied) and the disk item, export off; verify; only then tag it ready.

    An item that is in the slot already is left as it is, unless it is this very create, half made.
    """
    place, size = guard.place, number(volume.size_bytes)
    file_size = "" if volume.copied else f"file-size={size} "  # a file that is there is attached as it is
    end = _common_end(volume.creating, volume.ready)
    creating, ready = (quote(tag.removesuffix(end)) for tag in (volume.creating, volume.ready))
    verified = (
        f"{_ITEM} and comment=$zc and size={size} and block-device=yes and nvme-tcp-export=no and mount-filesystem=no"
    )
    make = [
        *_enough_space(volume.size_bytes + volume.keep_free_bytes),
        *(() if volume.copied else (*_drop_leftover(place), *_make_directory(place))),
        *_uuid(place),
        *AGAIN,
        f"/disk/add type=file slot=$zs file-path=$zf {file_size}{_EXPLICIT} comment=($zc . $zx . $zu)",
    ]
    lacking = f"[:len [{_ITEM}]]=0" + (f" and [:len [{_leaf(place)}]]=1" if volume.copied else "")
    grow = one(f"{_ITEM} and comment=$zc and size<{size}", f"/disk/set $zq file-size={size}")
    finish = [
        *_uuid_of("$zq", place),
        ":set zc ($zc . $zx . $zu)",
        when(
            f"[:len [{_ITEM} and comment=$zc]]=1",
            [
                *(grow if volume.copied else ()),
                *wait_until(verified),
                *one(verified, f"/disk/set $zq comment=({ready} . $zx . $zu)"),
            ],
        ),
    ]
    return joined(
        guard.open(),
        _object(volume.slot),
        _backing(place, volume.backing, volume.file_path),
        [f":local zc {creating}", f":local zx {quote(end)}", ':local zu ""'],
        [when(lacking, make)],
        [f":set zq [{_leaf(place)}]", when("[:len $zq]=1", finish)],
        [print_disks("slot=$zs"), _print_leaf(place), print_pool()],
    )


def copy(guard: Guard, new: NewCopy) -> str:
    """Copy a subvolume, unless that is done: one statement, so that the copy is whole or not there at all (Btrfs).

    Nothing is made, and nothing refused, while the origin is not what it is taken for. Needs a pool with Btrfs.
    """
    place = guard.place
    parent = _full_name(place, quote(new.origin.backing.name))
    statement = (
        f"/disk/btrfs/subvolume/add fs=$zl parent={parent} read-only={'yes' if new.read_only else 'no'} "
        f"name={_full_name(place, '$zb')}"
    )
    make = [*_enough_space(new.need_free_bytes), *AGAIN, when(new.origin.there(), [statement])]
    return joined(
        guard.open(),
        _object(new.backing.slot),
        _subvolume(place, new.backing),
        [when(f"[:len [{_leaf(place)}]]=0", make)],
        [print_disks("slot=$zs"), _print_leaf(place), print_pool(), TELL_OFFSET],
    )


def observe_copy(guard: Guard, backing: Backing) -> str:
    """Print a snapshot's subvolume, under proof of marker, pool and window, and what its time is to be read by."""
    return joined(guard.open(), _subvolume(guard.place, backing), [_print_leaf(guard.place), print_pool(), TELL_OFFSET])


def publish(guard: Guard, slot_name: str, old_tag: str, new_tag: str, subnqn: str, trsvcid: int) -> str:
    """Tag first, then name, then export. An export under any other NQN is switched off before (law 8)."""
    nqn = "nvme-tcp-server-nqn"
    off = f"{_ITEM} and comment=$zn and nvme-tcp-export=no"
    return joined(
        guard.open(),
        _object(slot_name),
        _tags(old_tag, new_tag),
        [f":local zd {quote(subnqn)}"],
        one(
            f"{_ITEM} and (comment=$zo or comment=$zn) and nvme-tcp-export=yes and {nqn}!=$zd",
            "/disk/set $zq nvme-tcp-export=no",
        ),
        _retag(_ITEM),
        one(off, f"/disk/set $zq nvme-tcp-server-port={number(trsvcid)} {nqn}=$zd"),
        one(f"{off} and {nqn}=$zd", "/disk/set $zq nvme-tcp-export=yes"),
        [print_disks("slot=$zs")],
    )


def unpublish(guard: Guard, slot_name: str, old_tag: str, new_tag: str) -> str:
    """Cut: the export goes off in a statement of its own, and only then does the tag tell so."""
    return joined(
        guard.open(),
        _object(slot_name),
        _tags(old_tag, new_tag),
        one(f"{_ITEM} and (comment=$zo or comment=$zn) and nvme-tcp-export=yes", "/disk/set $zq nvme-tcp-export=no"),
        _retag(f"{_ITEM} and nvme-tcp-export=no"),
        [print_disks("slot=$zs")],
    )


def expand(guard: Guard, slot_name: str, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int) -> str:
    """Tag the new size, then grow the file; never shrink."""
    smaller = f"size<{number(size_bytes)}"
    small = f"{_ITEM} and comment=$zn and {smaller}"
    return joined(
        guard.open(),
        _object(slot_name),
        _tags(old_tag, new_tag),
        [when(f"[:len [{_ITEM} and comment=$zo and {smaller}]]=1", _enough_space(need_free_bytes))],
        _retag(_ITEM),
        one(small, f"/disk/set $zq file-size={number(size_bytes)}"),
        [when(f"[:len [{_ITEM} and comment=$zn]]=1", wait_until(f"{_ITEM} and size>={number(size_bytes)}"))],
        [print_disks("slot=$zs"), print_pool()],
    )


def remove(guard: Guard, slot_name: str, backing: Backing, file_path: str, old_tag: str, new_tag: str) -> str:
    """Tag as deleting, remove the item, then its backing object; print whatever is left.

    An item in the slot that bears another tag stays, and so does everything that a disk item still refers to. Without
    tags (empty) there is no item of ours, and only the backing object goes.
    """
    place = kept_in(guard.place, backing)
    off = f"{_ITEM} and nvme-tcp-export=no"
    item = [*_tags(old_tag, new_tag), *_retag(off), *one(f"{off} and comment=$zn", "/disk/remove $zq")]
    return joined(
        guard.open(),
        _object(slot_name),
        item if new_tag else [],
        _backing(place, backing, file_path),
        _drop_leftover(place),
        [print_disks("slot=$zs"), _print_leaf(place), print_pool()],
    )


def add_again(guard: Guard, slot_name: str, backing: Backing, file_path: str, tag: str) -> str:
    """Add the item of a committed volume whose backing object outlived it (law 13). The file keeps its content."""
    lone = f"([:len [{_ITEM}]]=0) and {_UNUSED} and ([:len $zq]=1)"
    add = f"/disk/add type=file slot=$zs file-path=$zf {_EXPLICIT} comment={quote(tag)}"
    return joined(
        guard.open(),
        _object(slot_name),
        _backing(guard.place, backing, file_path),
        [f":set zq [{_leaf(guard.place)}]", *AGAIN, when(lone, [add])],
        [print_disks("slot=$zs"), _print_leaf(guard.place)],
    )


def observe(guard: Guard, slot_name: str, backing: Backing | None, file_path: str) -> str:
    """Print the item in a slot, if any, and one create's backing object, under proof of marker, pool and window."""
    place = kept_in(guard.place, backing)
    object_of_it = _backing(place, backing, file_path) if backing is not None else []
    leaf = [_print_leaf(place)] if backing is not None else []
    return joined(guard.open(), _object(slot_name), object_of_it, [print_disks("slot=$zs")], leaf, [print_pool()])


def kept_in(place: Place, backing: Backing | None) -> Place:
    """Return where that backing object is kept: an imported volume's is a plain file on every pool."""
    return replace(place, btrfs=False) if isinstance(backing, ImportedBacking) else place


def _object(slot_name: str) -> list[str]:
    return [f":local zs {quote(slot_name)}"]


def _tags(old_tag: str, new_tag: str) -> list[str]:
    return [f":local zo {quote(old_tag)}", f":local zn {quote(new_tag)}"]


def _backing(place: Place, backing: Backing, file_path: str) -> list[str]:
    """RouterOS shows a path that was given without a leading slash with one; both are compared with."""
    label = [f":local zl {quote(place.fs_label)}"] if place.btrfs else []
    path = [f":local zf {quote(file_path)}", ':local zg ("/" . $zf)']
    return [*label, f":local zb {quote(backing.name)}", *path]


def one(find: str, statement: str) -> list[str]:
    """Carry out a statement on `$zq`, the one item that a look directly before it finds; otherwise do nothing."""
    return [*AGAIN, f":set zq [{find}]", when("[:len $zq]=1", [statement])]


def _retag(find: str) -> list[str]:
    return [when("$zo!=$zn", one(f"{find} and comment=$zo", "/disk/set $zq comment=$zn"))]


def _enough_space(need_free_bytes: int) -> list[str]:
    find = f"/disk/find where slot=$zp and free>={number(need_free_bytes)}"
    return [refuse_if(f"[:len [{find}]]!=1", NO_SPACE)]


_UNUSED = "([:len [/disk/find where file-path=$zf]]=0) and ([:len [/disk/find where file-path=$zg]]=0)"
"""The condition that no disk item refers to the file."""


def _drop_leftover(place: Place) -> list[str]:
    """Remove this create's own backing object, unless a disk item uses it. Its name proves whose it is."""
    menu = "/disk/btrfs/subvolume" if place.btrfs else "/file"
    # Files are looked for before the checks: on a full appliance that look takes longer than a statement may.
    remove = [f":set zq [{_leaf(place)}]", *AGAIN, when("[:len $zq]=1", [f"{menu}/remove $zq"])]
    return [when(_UNUSED, remove)]


def _make_directory(place: Place) -> list[str]:
    if not place.btrfs:
        return []
    return [*AGAIN, f"/disk/btrfs/subvolume/add fs=$zl name={_full_name(place, '$zb')}"]


def _subvolume(place: Place, backing: Backing) -> list[str]:
    return [f":local zl {quote(place.fs_label)}", f":local zb {quote(backing.name)}"]


def _full_name(place: Place, leaf: str) -> str:
    return f"({quote(place.directory + '/')} . {leaf})" if place.directory else leaf


def _leaf(place: Place) -> str:
    """Find the backing object of one create."""
    if place.btrfs:
        return "/disk/btrfs/subvolume/find where fs=$zl and name=$zb"
    return "/file/find where name=$zf"


def _uuid(place: Place) -> list[str]:
    """Read the backing object's identity into `zu`; it stays empty where there is none."""
    return _uuid_of(f"[{_leaf(place)}]", place)


def _uuid_of(found: str, place: Place) -> list[str]:
    return [f":set zu [/disk/btrfs/subvolume/get {found} uuid]"] if place.btrfs else []


def _print_leaf(place: Place) -> str:
    """Print the backing object of one create, if it is there, as a record."""
    menu = "/disk/btrfs/subvolume" if place.btrfs else "/file"
    return for_each(_leaf(place), [record("L", f"{menu}/get $zi")])


def _common_end(first: str, second: str) -> str:
    alike = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(reversed(first), reversed(second), strict=False))
    length = sum(1 for _ in alike)
    return first[len(first) - length :]

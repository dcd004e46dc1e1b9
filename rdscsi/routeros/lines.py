"""The console lines that the driver sends, rendered from values. Pure; what they print is read in `answers`.

Each line is one observe-act-observe step. Its shape (laws 3 and 4): tell the uptime; prove this cluster's marker, the
controller token in it and the mounted pool; act on the difference only, with token, window and the object's tag checked
again directly before every mutating statement; print what is there now. A line may stop after any statement: each
prefix leaves a state that the next line recognises. RouterOS facts used are listed in docs/routeros.md.
"""

from dataclasses import dataclass

from rdscsi.names import Backing
from rdscsi.routeros.quoting import number, quote
from rdscsi.routeros.uptime import Window, render_uptime

FENCED = "rdscsi:token"
POOL_GONE = "rdscsi:pool"
OUT_OF_WINDOW = "rdscsi:window"
NO_SPACE = "rdscsi:space"
CHANGED = "rdscsi:changed"

UPTIME = "[/system/resource/get uptime]"
TELL_UPTIME = f':put ("U " . {UPTIME})'
_EXPLICIT = "mount-filesystem=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no nvme-tcp-export=no"
_POLLS = 40  # of 250 ms: how long a line waits for the appliance to show what it was told


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
        return [TELL_UPTIME, f":local zm {quote(self.marker)}", *self.again(), pool_check(self.place)]

    def again(self, found: str = "") -> list[str]:
        """The checks directly before a mutating statement; `found` is a find that must see exactly one item."""
        token = f"[:len [/disk/find where slot={quote(self.marker_slot)} and comment=$zm]]!=1"
        checks = [_refuse_if(token, FENCED), window_check(self.window)]
        return [*checks, _refuse_if(f"[:len [{found}]]!=1", CHANGED)] if found else checks


def pool_check(place: Place) -> str:
    """Refuse unless the pool is mounted and is the one that was recorded."""
    find = f"/disk/find where slot={quote(place.pool_slot)} and mounted=yes and fs-uuid={quote(place.fs_uuid)}"
    return _refuse_if(f"[:len [{find}]]!=1", POOL_GONE)


def window_check(window: Window) -> str:
    """Refuse outside the window: a line from before a reboot, or one that outlived its sender's patience."""
    early = f"({UPTIME}<{render_uptime(window.not_before)})"
    late = f"({UPTIME}>{render_uptime(window.not_after)})"
    return _refuse_if(f"{early} or {late}", OUT_OF_WINDOW)


@dataclass(frozen=True, slots=True)
class NewVolume:
    """What a create puts on the appliance. `creating` and `ready` are tags whose backing uuid is still to be added."""

    slot: str
    backing: Backing
    file_path: str
    size_bytes: int
    creating: str
    ready: str
    keep_free_bytes: int


def create(guard: Guard, volume: NewVolume) -> str:
    """Make the backing object and the disk item, export off; verify; only then tag it ready.

    An item that is in the slot already is left as it is, unless it is this very create, half made.
    """
    place = guard.place
    slot = f"slot={quote(volume.slot)}"
    verified = (
        f'/disk/find where {slot} and type="file" and comment=$zc and size={number(volume.size_bytes)} '
        "and block-device=yes and nvme-tcp-export=no and mount-filesystem=no"
    )
    make = [
        *_enough_space(place, volume.size_bytes + volume.keep_free_bytes),
        *_drop_leftover(guard, volume.backing, volume.file_path),
        *_make_directory(guard, volume.backing),
        f":local zc ({quote(volume.creating)} . {_uuid(place, volume.backing)})",
        *guard.again(),
        f"/disk/add type=file {slot} file-path={quote(volume.file_path)} "
        f"file-size={number(volume.size_bytes)} {_EXPLICIT} comment=$zc",
    ]
    finish = [
        f":local zu {_uuid(place, volume.backing)}",
        f":local zc ({quote(volume.creating)} . $zu)",
        *_wait_for(f"[:len [{verified}]]=1", unless=f"[:len [/disk/find where {slot} and comment=$zc]]=0"),
        _if(
            f"[:len [{verified}]]=1",
            [*guard.again(verified), f"/disk/set [{verified}] comment=({quote(volume.ready)} . $zu)"],
        ),
    ]
    return _line(
        guard.open(),
        [_if(f"[:len [/disk/find where {slot}]]=0", make)],
        [_if(_leaf_exists(place, volume.backing, volume.file_path), finish)] if place.btrfs else finish,
        [print_disks(slot), print_pool(place)],
    )


def publish(guard: Guard, slot_name: str, old_tag: str, new_tag: str, subnqn: str, trsvcid: int) -> str:
    """Tag first, then name, then export. An export under any other NQN is switched off before (law 8)."""
    slot = f"slot={quote(slot_name)}"
    ours = f"{slot} and (comment=$zo or comment=$zn)"
    off = f"/disk/find where {slot} and comment=$zn and nvme-tcp-export=no"
    named = f"{off} and nvme-tcp-server-nqn={quote(subnqn)}"
    return _line(
        guard.open(),
        _tags(old_tag, new_tag),
        [
            _for_each(
                f"/disk/find where {ours} and nvme-tcp-export=yes and nvme-tcp-server-nqn!={quote(subnqn)}",
                [*guard.again(), "/disk/set $zi nvme-tcp-export=no"],
            ),
            _retag(guard, slot),
            _if(
                f"[:len [{off}]]=1",
                [
                    *guard.again(off),
                    f"/disk/set [{off}] nvme-tcp-server-port={number(trsvcid)} nvme-tcp-server-nqn={quote(subnqn)}",
                    *guard.again(named),
                    f"/disk/set [{named}] nvme-tcp-export=yes",
                ],
            ),
            print_disks(slot),
        ],
    )


def unpublish(guard: Guard, slot_name: str, old_tag: str, new_tag: str) -> str:
    """Cut: the export goes off in a statement of its own, and only then does the tag tell so."""
    slot = f"slot={quote(slot_name)}"
    cut = f"/disk/find where {slot} and (comment=$zo or comment=$zn) and nvme-tcp-export=yes"
    off = f"{slot} and nvme-tcp-export=no"
    return _line(
        guard.open(),
        _tags(old_tag, new_tag),
        [
            _for_each(cut, [*guard.again(), "/disk/set $zi nvme-tcp-export=no"]),
            _retag(guard, off),
            print_disks(slot),
        ],
    )


def expand(guard: Guard, slot_name: str, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int) -> str:
    """Tag the new size, then grow the file; never shrink."""
    slot = f"slot={quote(slot_name)}"
    small = f"/disk/find where {slot} and comment=$zn and size<{number(size_bytes)}"
    fresh = f"[:len [/disk/find where {slot} and comment=$zo and size<{number(size_bytes)}]]=1"
    return _line(
        guard.open(),
        _tags(old_tag, new_tag),
        [
            _if(fresh, _enough_space(guard.place, need_free_bytes)),
            _retag(guard, slot),
            _for_each(small, [*guard.again(small), f"/disk/set $zi file-size={number(size_bytes)}"]),
            *_wait_for(f"[:len [{small}]]=0"),
            print_disks(slot),
            print_pool(guard.place),
        ],
    )


def remove(guard: Guard, slot_name: str, backing: Backing, file_path: str, old_tag: str, new_tag: str) -> str:
    """Tag as deleting, remove the item, then its backing object; print whatever is left.

    An item in the slot that bears another tag stays, and so does everything that a disk item still refers to.
    """
    slot = f"slot={quote(slot_name)}"
    return _line(
        guard.open(),
        _tags(old_tag, new_tag),
        [
            _retag(guard, f"{slot} and nvme-tcp-export=no"),
            _for_each(
                f"/disk/find where {slot} and comment=$zn and nvme-tcp-export=no", [*guard.again(), "/disk/remove $zi"]
            ),
            *_drop_leftover(guard, backing, file_path),
            print_disks(slot),
            print_leaf(guard.place, backing, file_path),
            print_pool(guard.place),
        ],
    )


def add_again(guard: Guard, slot_name: str, backing: Backing, file_path: str, tag: str) -> str:
    """Add the item of a committed volume whose backing object outlived it (law 13). The file keeps its content."""
    slot = f"slot={quote(slot_name)}"
    lone = [
        f"([:len [/disk/find where {slot}]]=0)",
        _unused(file_path),
        f"({_leaf_exists(guard.place, backing, file_path)})",
    ]
    add = f"/disk/add type=file {slot} file-path={quote(file_path)} {_EXPLICIT} comment={quote(tag)}"
    return _line(guard.open(), [_if(" and ".join(lone), [*guard.again(), add]), print_disks(slot)])


def observe(guard: Guard, slot_name: str) -> str:
    """Print the item in a slot, if any, under proof of marker, pool and window."""
    return _line(guard.open(), [print_disks(f"slot={quote(slot_name)}"), print_pool(guard.place)])


def _tags(old_tag: str, new_tag: str) -> list[str]:
    return [f":local zo {quote(old_tag)}", f":local zn {quote(new_tag)}"]


def _retag(guard: Guard, where: str) -> str:
    old = f"/disk/find where {where} and comment=$zo"
    return _if(f"($zo!=$zn) and ([:len [{old}]]=1)", [*guard.again(old), f"/disk/set [{old}] comment=$zn"])


def _enough_space(place: Place, need_free_bytes: int) -> list[str]:
    find = f"/disk/find where slot={quote(place.pool_slot)} and free>={number(need_free_bytes)}"
    return [_refuse_if(f"[:len [{find}]]!=1", NO_SPACE)]


def _drop_leftover(guard: Guard, backing: Backing, file_path: str) -> list[str]:
    """Remove this create's own backing object, unless a disk item uses it. Its name proves whose it is."""
    if guard.place.btrfs:
        found, menu = _find_subvolume(guard.place, backing), "/disk/btrfs/subvolume"
    else:
        found, menu = f"/file/find where name={quote(file_path)}", "/file"
    return [_if(_unused(file_path), [_for_each(found, [*guard.again(), f"{menu}/remove $zi"])])]


def _unused(file_path: str) -> str:
    """The condition that no disk item refers to the file."""
    return " and ".join(f"([:len [/disk/find where file-path={quote(path)}]]=0)" for path in _spellings(file_path))


def _make_directory(guard: Guard, backing: Backing) -> list[str]:
    if not guard.place.btrfs:
        return []
    name = quote(backing.subvolume(guard.place.directory))
    return [*guard.again(), f"/disk/btrfs/subvolume/add fs={quote(guard.place.fs_label)} name={name}"]


def _find_subvolume(place: Place, backing: Backing) -> str:
    return f"/disk/btrfs/subvolume/find where fs={quote(place.fs_label)} and name={quote(backing.name)}"


def _leaf_exists(place: Place, backing: Backing, file_path: str) -> str:
    found = _find_subvolume(place, backing) if place.btrfs else f"/file/find where name={quote(file_path)}"
    return f"[:len [{found}]]=1"


def _uuid(place: Place, backing: Backing) -> str:
    return f"[/disk/btrfs/subvolume/get [{_find_subvolume(place, backing)}] uuid]" if place.btrfs else '""'


def _spellings(file_path: str) -> tuple[str, str]:
    """RouterOS shows a path that was given without a leading slash with one; compare with both."""
    return file_path, f"/{file_path}"


def print_disks(where: str) -> str:
    """Print each matching disk item as a record."""
    return _for_each(f"/disk/find where {where}", [_record("I", "/disk/get $zi")])


def print_pool(place: Place) -> str:
    """Print the pool's disk item as a record."""
    return _for_each(f"/disk/find where slot={quote(place.pool_slot)}", [_record("P", "/disk/get $zi")])


def print_leaf(place: Place, backing: Backing, file_path: str) -> str:
    """Print the backing object of one create, if it is there, as a record."""
    if place.btrfs:
        return _for_each(_find_subvolume(place, backing), [_record("L", "/disk/btrfs/subvolume/get $zi")])
    return _for_each(f"/file/find where name={quote(file_path)}", [_record("L", "/file/get $zi")])


def _record(letter: str, get: str) -> str:
    return f':put ("{letter} " . [:serialize to=json value=[{get}] options=json.no-string-conversion])'


def _wait_for(condition: str, unless: str = "false") -> list[str]:
    poll = f"(!({condition})) and (!({unless})) and ($zw<{_POLLS})"
    return [":local zw 0", f":while ({poll}) do={{:delay 250ms; :set zw ($zw+1)}}"]


def _refuse_if(condition: str, reason: str) -> str:
    return f':if ({condition}) do={{:error "{reason}"}}'


def _if(condition: str, then: list[str]) -> str:
    return f":if ({condition}) do={{{'; '.join(then)}}}"


def _for_each(find: str, body: list[str]) -> str:
    return f":foreach zi in=[{find}] do={{{'; '.join(body)}}}"


def _line(*parts: list[str]) -> str:
    return "; ".join(statement for part in parts for statement in part)

"""The lines that make a disk of somebody else's a volume of ours: `rdscsi volume import`. Pure; the rest is in `lines`.

The item gets our tag first, then our slot, then the word that it is ready, each in a statement of its own: every prefix
shows by its tag what has been done. `zh` is the slot that it has before, `zc` and `zn` the two tags, `zo` its comment
before; the other locals are those of `lines`.
"""

from dataclasses import dataclass

from rdscsi.names import ImportedBacking
from rdscsi.routeros.lines import AGAIN, Guard, one
from rdscsi.routeros.phrases import for_each, joined, print_disks, print_pool, record, when
from rdscsi.routeros.quoting import number, quote

UNUSED = "mounted=no and swap=no and raid-member=no"
UNSHARED = "nvme-tcp-export=no and iscsi-export=no and smb-sharing=no and nfs-sharing=no and media-sharing=no"


@dataclass(frozen=True, slots=True)
class Adoption:
    """A file disk in `from_slot` that is to become the volume of `backing`; its comment is `comment`, or has to be."""

    from_slot: str
    comment: str
    backing: ImportedBacking
    size_bytes: int
    creating: str
    ready: str


def adopt(guard: Guard, wanted: Adoption) -> str:
    """Tag the item, move it to its slot, prove it, tag it ready. Nothing is done to one that is not as it was seen."""
    file = f'type="file" and (file-path=$zf or file-path=$zg) and size={number(wanted.size_bytes)}'
    as_seen = f"/disk/find where slot=$zh and {file} and file-offset=0 and {UNSHARED} and {UNUSED}"
    # `where comment=""` finds nothing, so that an empty comment is looked at by itself.
    same_comment = "[/disk/get $zq comment]=$zo" if wanted.comment else "[:len [/disk/get $zq comment]]=0"
    bare = f"([:len [/disk/find where parent=$zh]]=0) and ({same_comment})"
    claim = when("[:len $zq]=1", [when(bare, ["/disk/set $zq comment=$zc mount-filesystem=no"])])
    move = one("/disk/find where slot=$zh and comment=$zc and nvme-tcp-export=no", "/disk/set $zq slot=$zs")
    proven = f"{file} and {UNSHARED} and {UNUSED} and mount-filesystem=no and block-device=yes"
    return joined(
        guard.open(),
        _names(wanted),
        [*AGAIN, f":set zq [{as_seen}]", claim],
        [when("[:len [/disk/find where slot=$zs]]=0", move)],
        one(f"/disk/find where slot=$zs and comment=$zc and {proven}", "/disk/set $zq comment=$zn"),
        _prints(),
    )


def disclaim(guard: Guard, wanted: Adoption) -> str:
    """Take the tag off an item that did not get our slot, so that it is nobody's again."""
    claimed = "/disk/find where slot=$zh and comment=$zc"
    undo = one(claimed, "/disk/set $zq comment=$zo")
    return joined(guard.open(), _names(wanted), [when("$zh!=$zs", undo)], _prints())


def _names(wanted: Adoption) -> list[str]:
    return [
        f":local zh {quote(wanted.from_slot)}",
        f":local zs {quote(wanted.backing.slot)}",
        f":local zf {quote(wanted.backing.path)}",
        ':local zg ("/" . $zf)',
        f":local zo {quote(wanted.comment)}",
        f":local zc {quote(wanted.creating)}",
        f":local zn {quote(wanted.ready)}",
    ]


def _prints() -> list[str]:
    """Both slots, which may be the same one; then the file and the pool."""
    return [
        print_disks("slot=$zs"),
        when("$zh!=$zs", [print_disks("slot=$zh")]),
        for_each("/file/find where name=$zf", [record("L", "/file/get $zi")]),
        print_pool(),
    ]

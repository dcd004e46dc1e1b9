"""Lines that look the appliance over or move the controller token. Pure; the volume lines are in `lines`.

A survey is unguarded, since it is what the guard is made from. The two token lines are compare-and-swap: they act only
on the marker that the survey showed.
"""

from rdscsi.routeros.lines import (
    POOL_GONE,
    TELL_OFFSET,
    TELL_UPTIME,
    Guard,
    Place,
    pool_check,
    window_check,
)
from rdscsi.routeros.phrases import print_disks, print_pool
from rdscsi.routeros.quoting import number, quote
from rdscsi.routeros.uptime import Window

MARKER_CHANGED = "rdscsi:marker"
MARKER_BYTES = 1 << 20

__all__ = ["MARKER_BYTES", "MARKER_CHANGED", "POOL_GONE", "first_marker", "inventory", "look", "move_token"]


def look(pool_slot: str, marker_slot: str) -> str:
    """Tell version, package, uptime, the pool and the marker. Works on every RouterOS 7.16 and later."""
    statements = [
        TELL_UPTIME,
        ':put ("F version=" . [/system/resource/get version])',
        ':put ("F rose-storage=" . [:len [/system/package/find where name="rose-storage"]])',
        ':put ("F date=" . [/system/clock/get date])',
        f':foreach zi in=[/disk/find where slot={quote(pool_slot)}] do={{:put ("P " . [:serialize to=json '
        "value=[/disk/get $zi] options=json.no-string-conversion])}",
        print_disks(f"slot={quote(marker_slot)}"),
    ]
    return "; ".join(statements)


def inventory(guard: Guard, slot_prefix: str) -> str:
    """Print every disk item and backing object of this cluster, under proof of marker, pool and window."""
    return "; ".join([*guard.open(), *_ours(guard.place, slot_prefix), print_pool(), TELL_OFFSET])


def unguarded_inventory(place: Place, slot_prefix: str) -> str:
    """The same without a marker: what a first start looks at before it makes one."""
    return "; ".join([TELL_UPTIME, pool_check(place), *_ours(place, slot_prefix)])


def first_marker(place: Place, window: Window, marker_slot: str, file_path: str, marker: str) -> str:
    """Make the base directory and the marker, unless a marker is there already."""
    return "; ".join(
        [
            TELL_UPTIME,
            pool_check(place),
            window_check(window),
            f":if ([:len [/disk/find where slot={quote(marker_slot)}]]!=0) do={{:error {quote(MARKER_CHANGED)}}}",
            *_base_directory(place),
            window_check(window),
            f"/disk/add type=file slot={quote(marker_slot)} file-path={quote(file_path)} "
            f"file-size={number(MARKER_BYTES)} mount-filesystem=no smb-sharing=no nfs-sharing=no media-sharing=no "
            f"iscsi-export=no nvme-tcp-export=no comment={quote(marker)}",
            print_disks(f"slot={quote(marker_slot)}"),
        ]
    )


def move_token(place: Place, window: Window, marker_slot: str, old: str, new: str) -> str:
    """Write the marker anew, if it is still the one that was seen."""
    found = f"/disk/find where slot={quote(marker_slot)} and comment={quote(old)}"
    return "; ".join(
        [
            TELL_UPTIME,
            pool_check(place),
            window_check(window),
            f":if ([:len [/disk/find where slot={quote(marker_slot)}]]!=1) do={{:error {quote(MARKER_CHANGED)}}}",
            f":if ([:len [{found}]]!=1) do={{:error {quote(MARKER_CHANGED)}}}",
            f"/disk/set [{found}] comment={quote(new)}",
            print_disks(f"slot={quote(marker_slot)}"),
        ]
    )


def _ours(place: Place, slot_prefix: str) -> list[str]:
    """Compare prefixes by `:pick`: regular expressions need escapes that differ between contexts.

    Subvolumes are a volume's or a snapshot's, whatever letter comes before the cluster's key.
    """
    disks = _picked('/disk/find where type="file"', "/disk/get $zi", "slot", slot_prefix, "I")
    if place.btrfs:
        found = f"/disk/btrfs/subvolume/find where fs={quote(place.fs_label)}"
        get = "/disk/btrfs/subvolume/get $zi"
        return [disks, _picked(found, get, "name", slot_prefix[1:], "L", first=1)]
    return [disks, _picked("/file/find", "/file/get $zi", "name", f"{place.base_path}/{slot_prefix}", "L")]


def _picked(find: str, get: str, name: str, prefix: str, letter: str, *, first: int = 0) -> str:
    shown = f':put ("{letter} " . [:serialize to=json value=[{get}] options=json.no-string-conversion])'
    picked = f"[:pick [{get} {name}] {first} {number(first + len(prefix))}]={quote(prefix)}"
    return f":foreach zi in=[{find}] do={{:if ({picked}) do={{{shown}}}}}"


def _base_directory(place: Place) -> list[str]:
    if not place.directory:
        return []
    if place.btrfs:
        make = f"/disk/btrfs/subvolume/add fs={quote(place.fs_label)} name={quote(place.directory)}"
    else:
        make = f"/file/add name={quote(place.base_path)} type=directory"
    return [f":if ([:len [/file/find where name={quote(place.base_path)}]]=0) do={{{make}}}"]

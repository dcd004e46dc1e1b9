"""`rdscsi volume import`: make a disk of the appliance a static PersistentVolume, or print one for a released volume.

The plan, the question and what came of it go to standard error, the manifest alone to standard output. What is done to
the disk, and what is refused, is `rdscsi.controller.importing`'s matter; the driver that runs does it.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rdscsi import names
from rdscsi.cli import sight
from rdscsi.cli.journal import add_common, add_wish
from rdscsi.errors import DriverError, NotFound, NotPermittedNow

if TYPE_CHECKING:
    from rdscsi.config import ControllerSettings
    from rdscsi.journal import OperationRecord, VolumeRecord
    from rdscsi.routeros.answers import DiskItem
    from rdscsi.routeros.device import Device
    from rdscsi.routeros.lines import Place

DONE, REFUSED, STILL_OPEN, NOT_CONFIRMED = 0, 1, 3, 4

_DESCRIPTION = """\
Make a file disk that somebody made by hand a volume of this driver, and print a PersistentVolume for it; or print one
for a volume that was released and retained. The data is not touched, and never formatted.
"""

_EPILOG = """\
examples:
  rdscsi volume import vm-storage-001 > pv.yaml          the disk in that slot; shows its plan and asks
  rdscsi volume import vm-storage-001 --yes --volume-mode Block
  rdscsi volume import rds/v3hq2k7-2m4c…                 a PersistentVolume for a volume that was retained
  kubectl exec deploy/rdscsi-controller -c driver -- rdscsi volume import vm-storage-001 --yes | kubectl apply -f -

The disk gets a slot and a comment of ours; its file stays where it is. docs/import.md says which disks can be imported,
and how to see what stands in the way.

exit status: 0 the manifest is printed; 1 refused, and the disk is as it was; 2 no journal that this version can read,
or the command line or a setting is wrong; 3 not carried out yet; 4 not confirmed, nothing was done
"""


@dataclass(frozen=True, slots=True)
class Disk:
    """What one look showed of a slot, on which backend and for which cluster."""

    item: "DiskItem | None"
    place: "Place"
    cluster_id: str
    backend: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    summary = "Import a disk, or print a PersistentVolume for a volume that was retained."
    importing = verbs.add_parser("import", help=summary, description=summary, allow_abbrev=False)
    add_common(importing)
    importing.add_argument("what", metavar="SLOT", help="the slot of a disk, as /disk/print shows it; or a volume id")
    importing.add_argument("--name", default="", help="of the PersistentVolume (default: the volume's slot)")
    importing.add_argument(
        "--volume-mode", choices=("Filesystem", "Block"), help="(default: Filesystem where ext4 or XFS is seen in it)"
    )
    importing.add_argument("--fs-type", choices=("ext4", "xfs"), default="", help="of what is in it (default: as seen)")
    importing.add_argument(
        "--access-mode", choices=("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"), default="ReadWriteOnce"
    )
    add_wish(importing)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if args.name and not names.is_node_name(args.name):
        raise NotPermittedNow(f"--name={args.name!r}: expected a name as Kubernetes takes it, like data-ada")
    if names.parse_volume_id(args.what) is not None:
        return _print(args, _released(args), "")
    from rdscsi.controller import importing

    importing.check_slot(args.what)
    disk = look_at_disk(args)
    if disk.item is None:
        raise NotFound(f"no disk of the appliance has the slot {args.what!r}; see /disk/print")
    return _import(args, disk, disk.item)


def look_at_disk(args: argparse.Namespace) -> Disk:
    """Look at the slot that the command line names. Nobody imports a disk unseen.

    Raises NotPermittedNow where no settings say how to look, and what the look raises.
    """
    found = sight.settings(args)
    if isinstance(found, str):
        raise NotPermittedNow(f"the appliance {found}; the disk has to be seen before it is imported")
    import trio

    from rdscsi.observe import logs

    logs.configure("error")
    return trio.run(_look, args.what, *found)


async def _look(slot: str, cluster_id: str, settings: "ControllerSettings") -> Disk:
    from rdscsi.controller.opening import open_device
    from rdscsi.csi.loop import open_loop

    async with open_loop(), open_device(settings, cluster_id=cluster_id) as device:
        return await see(device, slot)


async def see(device: "Device", slot: str) -> Disk:
    """Look at one slot, and at where the backend's volumes are."""
    await device.look()
    item = await device.peek(slot)
    return Disk(item, device.place, device.settings.cluster_id, device.settings.backend)


def _released(args: argparse.Namespace) -> "VolumeRecord":
    """Return the record of a volume that nobody may reach now. Raises NotFound and NotPermittedNow."""
    from rdscsi.journal.reading import read_journal
    from rdscsi.tags import parse_tag

    with read_journal(Path(args.journal)) as reading:
        record = reading.volume(args.what)
        busy = [one for one in reading.open_operations() if one.subject == args.what]
    if record is None:
        raise NotFound(f"the journal has no volume {args.what}; see rdscsi journal volumes")
    tag = parse_tag(record.tag)
    if record.state != "ready" or record.quarantine or busy or tag is None:
        raise NotPermittedNow(f"{args.what} is not at rest; see rdscsi journal explain {args.what}")
    if tag.active_nodes:
        nodes = ", ".join(node.node for node in tag.active_nodes)
        raise NotPermittedNow(f"{args.what} is published to {nodes}: it was not released; see rdscsi publication list")
    return record


def _import(args: argparse.Namespace, disk: Disk, item: "DiskItem") -> int:
    from rdscsi.controller import importing
    from rdscsi.journal import asking

    if obstacles := importing.obstacles(item, disk.place):
        raise NotPermittedNow("\n  ".join(["it cannot be imported:", *obstacles]))
    slot = importing.slot_of(disk.cluster_id, item.file_path)
    volume_id = names.volume_id(disk.backend, slot)
    for line in _plan(item, slot, volume_id):
        _tell(line)
    if not (args.yes or _confirmed()):
        _tell("nothing was done")
        return NOT_CONFIRMED
    path = Path(args.journal)
    request = {"from": item.slot, "path": item.file_path}
    asked = asking.ask(path, asking.IMPORT, volume_id, request, now=time.time())
    later = f"when it is carried out, rdscsi volume import {volume_id} prints the manifest"
    if not _driver_runs(path):
        _tell(f"asked for as {asking.IMPORT} {asked}; no driver runs on this journal: its next start does it; {later}")
        return STILL_OPEN
    _tell(f"asked for as {asking.IMPORT} {asked}; the driver takes it up in its next round, within a minute")
    wish = _wait(path, asked, args.wait)
    if wish.state == "open":
        _tell(f"not carried out yet; {later}")
        return STILL_OPEN
    if wish.state != "done":
        raise DriverError(wish.error)
    args.what = volume_id
    return _print(args, _released(args), item.fs)


def _plan(item: "DiskItem", slot: str, volume_id: str) -> list[str]:
    content = item.fs or "no filesystem that RouterOS knows"
    return [
        f"disk {item.slot!r}: {item.size} bytes in {item.file_path}, with {content}",
        "plan:",
        f"  1. its comment becomes the owner tag of the volume {volume_id}, and mount-filesystem becomes no",
        f"  2. its slot becomes {slot}: whatever names it by the old one must be changed",
        "  3. when that is persistent on the appliance, the journal records the volume, and a PersistentVolume for it",
        "     is printed, with reclaim policy Retain",
        "nothing is copied, moved or formatted; deleting the volume later deletes its file",
    ]


def _confirmed() -> bool:
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _driver_runs(path: Path) -> bool:
    from rdscsi.journal.reading import read_journal

    with read_journal(path) as reading:
        return reading.situation.held is not False


def _wait(path: Path, asked: str, patience: float) -> "OperationRecord":
    from rdscsi.cli.journal_requests import wait

    return wait(path, asked, patience)


def _tell(text: str) -> None:
    from rdscsi.observe.lines import one_line

    print(one_line(text), file=sys.stderr, flush=True)


# --- the manifest


def _print(args: argparse.Namespace, record: "VolumeRecord", fs: str) -> int:
    manifest = persistent_volume(args, record, fs)
    print(json.dumps(manifest, indent=2) if args.output == "json" else "\n".join(_yaml(manifest)))
    return DONE


def persistent_volume(args: argparse.Namespace, record: "VolumeRecord", fs: str) -> dict[str, object]:
    """Return the manifest. `fs` is what the appliance sees in the volume; empty when nobody looked, or nothing."""
    from rdscsi.model import AccessType
    from rdscsi.tags import parse_tag

    tag = parse_tag(record.tag)
    publication = tag.publication if tag is not None else None
    blank = tag is not None and tag.blank
    block = publication.access_type is AccessType.BLOCK if publication is not None else not (blank or fs)
    mode = args.volume_mode or ("Block" if block and fs not in ("ext4", "xfs") else "Filesystem")
    if args.access_mode == "ReadWriteMany" and mode != "Block":
        raise NotPermittedNow("--access-mode=ReadWriteMany needs --volume-mode=Block: a filesystem serves one node")
    source: dict[str, object] = {"driver": names.DRIVER_NAME, "volumeHandle": record.volume_id}
    fs_type = args.fs_type or (fs if fs in ("ext4", "xfs") else "")
    if mode == "Filesystem" and fs_type:
        source["fsType"] = fs_type
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": args.name or record.slot},
        "spec": {
            "capacity": {"storage": str(record.capacity_bytes)},
            "accessModes": [args.access_mode],
            "volumeMode": mode,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "csi": source,
        },
    }


def _yaml(value: object, indent: str = "") -> list[str]:
    """Render maps, lists and texts; every text in quotes, which JSON and YAML write alike."""
    assert isinstance(value, dict)
    lines: list[str] = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            lines += [f"{indent}{key}:", *_yaml(inner, f"{indent}  ")]
        else:
            lines.append(f"{indent}{key}: {json.dumps(inner)}")
    return lines

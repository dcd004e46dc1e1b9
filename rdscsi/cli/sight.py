"""What the appliance shows now, for a person: one look that takes no token and changes nothing.

The same eyes as the driver's (`rdscsi.routeros`) and the same judgement (`rdscsi.controller.judgement`), so that a
person reads what the next inventory will make of it.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rdscsi import names
from rdscsi.config import ControllerSettings, Sources, read_controller, read_file
from rdscsi.errors import DriverError

if TYPE_CHECKING:
    from rdscsi.routeros.answers import DiskItem, Leaf
    from rdscsi.routeros.device import Device
    from rdscsi.tags import Marker

_CONFIG = "RDSCSI_CONFIG"
_ADDRESS = "rds-address"
_LONGEST = 20.0  # seconds


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look showed at `at` (seconds since the epoch); or, in `why_not`, why there was none.

    `backings` are the operation ids of the backing objects that are there, by slot; `leaves` all of them by name, and
    those of snapshots.
    """

    at: float
    why_not: str = ""
    items: "Mapping[str, DiskItem]" = field(default_factory=dict)
    backings: Mapping[str, frozenset[str]] = field(default_factory=dict)
    leaves: "Mapping[str, Leaf]" = field(default_factory=dict)
    marker: "Marker | None" = None

    @property
    def seen(self) -> bool:
        """Whether there was a look."""
        return not self.why_not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say whether and how to look."""
    parser.add_argument(
        "--offline", action="store_true", help="do not look at the appliance (without settings for it nobody looks)"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=os.environ.get(_CONFIG, ""),
        help=f"settings of the controller, for the look ({_CONFIG}); those of the environment count too",
    )


def settings(args: argparse.Namespace) -> tuple[str, ControllerSettings] | str:
    """Return the cluster id and the settings of the journal's backend, or why there are none.

    Raises SettingsInvalid.
    """
    if args.offline:
        return "was not looked at: --offline"
    file = read_file(Path(args.config)) if args.config else {}
    if _ADDRESS not in file and not os.environ.get("RDSCSI_RDS_ADDRESS"):
        return "was not looked at: no settings for it are here (RDSCSI_RDS_ADDRESS, … or --config)"
    process, backends = read_controller(
        Sources({}, os.environ, file, Path(args.config) if args.config else None),
    )
    name = Path(args.journal).name
    of_journal = [one for one in backends[1:] if process.backend_journal(one.backend).name == name]
    return process.cluster_id, (of_journal or backends)[0]


def look(args: argparse.Namespace) -> Sight:
    """Look at the appliance, if the command line and the settings let one; an appliance that is away is no error."""
    found = settings(args)
    if isinstance(found, str):
        return Sight(time.time(), found)
    import trio

    from rdscsi.observe import logs

    logs.configure("error")  # a person reads the outcome; the transport's log would come between
    cluster_id, controller = found
    return trio.run(_look, controller, cluster_id)


async def _look(controller: ControllerSettings, cluster_id: str) -> Sight:
    import trio

    from rdscsi.controller.opening import open_device
    from rdscsi.csi.loop import open_loop

    sight = Sight(time.time(), f"did not answer within {_LONGEST:g} s")
    with trio.move_on_after(_LONGEST):
        async with open_loop(), open_device(controller, cluster_id=cluster_id) as device:
            sight = await see(device)
    return sight


async def see(device: "Device") -> Sight:
    """Look once; whatever prevents it is told in the result."""
    try:
        first = await device.look()
        answer = await device.first_inventory()
        items = {item.slot: item for item in answer.disks if answer.disk(item.slot) is not None}
    except DriverError as error:
        return Sight(time.time(), f"cannot be looked at: {error}")
    from rdscsi.controller.judgement import shown_import
    from rdscsi.tags import parse_marker

    backings: dict[str, set[str]] = defaultdict(set)
    for leaf in answer.leaves:
        backing = names.parse_backing(leaf.name)
        if backing is not None:
            backings[backing.slot].add(backing.operation)
    for item in items.values():
        if imported := shown_import(item):
            backings[item.slot].add(imported)
    marker = parse_marker(first.marker.comment) if first.marker is not None else None
    by_slot = {slot: frozenset(found) for slot, found in backings.items()}
    return Sight(time.time(), "", items, by_slot, {leaf.name: leaf for leaf in answer.leaves}, marker)

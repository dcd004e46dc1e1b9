"""What must not be there when all volumes are gone: in the API, on the appliance, on the nodes."""

import contextlib
import json
import time
from collections.abc import Set
from pathlib import Path

from cluster import remains
from cluster.driver import POOL
from cluster.node import Node
from cluster.world import ClusterFailed, World

from suite.scenario import Context, Wrong

SECONDS = 180.0
"""Longer than what clears up by itself takes in this cluster: see `cluster.driver.values`."""

_KINDS = "pv,volumeattachments,volumesnapshotcontents"


def wait_nothing_left(world: World, known: Set[str] = frozenset(), seconds: float = SECONDS) -> None:
    """Wait until nothing of any volume is left anywhere but for what is known. Raises Wrong with what is."""
    deadline = time.monotonic() + seconds
    while left := [one for one in find(world) if one not in known]:
        if time.monotonic() > deadline:
            raise Wrong("left behind:\n" + "\n".join(left))
        time.sleep(0.3)


def clear(world: World) -> Set[str]:
    """Delete what scenarios left in the API, for those that come after; what is left elsewhere, in words.

    What is on the appliance and on nodes stays as it is: the driver would take a hand of ours for somebody's meddling.
    """
    with contextlib.suppress(ClusterFailed):
        world.kubectl("delete", _KINDS, "--all", f"--timeout={SECONDS:g}s", seconds=SECONDS + 10)
    for line in in_api(world):  # nobody sees to its finalizers any more
        kind, name = line.split(" ")
        world.kubectl("patch", kind, name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
    return set(find(world))


def wait_volumes_gone(context: Context, seconds: float = SECONDS) -> None:
    """Wait until a scenario's volumes and snapshots are gone from the API, while others have theirs. Raises Wrong."""
    context.until("the volumes are deleted", lambda: not context.volumes(), seconds)
    context.until("the snapshots are deleted", lambda: not context.snapshots(), seconds)


def find(world: World) -> list[str]:
    """What is there of volumes, in words."""
    return [*in_api(world), *on_appliance(world), *on_nodes(world)]


def in_api(world: World) -> list[str]:
    """PersistentVolumes, VolumeAttachments and VolumeSnapshotContents."""
    found = json.loads(world.kubectl("get", _KINDS, "-o", "json"))
    return [f"{item['kind']} {item['metadata']['name']}" for item in found["items"]]


def on_appliance(world: World) -> list[str]:
    """Files of volumes, and exports. The marker of the cluster stays (its name begins with m)."""
    pool = Path(world.state.appliance, "pool", POOL, "rdscsi")
    files = [path for path in pool.rglob("*") if path.is_file() and not path.name.startswith("m")]
    return [f"file {path.relative_to(pool)}" for path in files] + [f"export {name}" for name in exports(world)]


def exports(world: World) -> list[str]:
    """The NQNs of what is exported."""
    return [path.name for path in (world.state.appliance / "exports").iterdir()]


def on_nodes(world: World) -> list[str]:
    """Mounts below kubelet's directory that hold a volume of the driver, and loop devices."""
    left = [f"loop device {loop.path}" for loop in remains.loop_devices(world.state)]
    return left + [line for one in world.nodes for line in on_node(one)]


def on_node(one: Node) -> list[str]:
    """Mounts of a node below kubelet's directory that hold a volume of the driver."""
    marks = ("/volumes/kubernetes.io~csi/", "/plugins/kubernetes.io/csi/")
    points = [point for point in one.mount_points() if any(mark in point for mark in marks)]
    return [f"mount on {one.name}: {point}" for point in points]

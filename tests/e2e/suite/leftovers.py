"""What must not be there when all volumes are gone: in the API, on the appliance, on the nodes."""

import json
import time
from pathlib import Path

from cluster import remains
from cluster.driver import POOL
from cluster.world import World

from suite.scenario import Wrong

SECONDS = 60.0


def wait_nothing_left(world: World, seconds: float = SECONDS) -> None:
    """Wait until nothing of any volume is left anywhere. Raises Wrong with what is."""
    deadline = time.monotonic() + seconds
    while left := find(world):
        if time.monotonic() > deadline:
            raise Wrong("left behind:\n" + "\n".join(left))
        time.sleep(0.3)


def find(world: World) -> list[str]:
    """What is there of volumes, in words."""
    return [*in_api(world), *on_appliance(world), *on_nodes(world)]


def in_api(world: World) -> list[str]:
    """PersistentVolumes and VolumeAttachments."""
    found = json.loads(world.kubectl("get", "pv,volumeattachments", "-o", "json"))
    return [f"{item['kind']} {item['metadata']['name']}" for item in found["items"]]


def on_appliance(world: World) -> list[str]:
    """Files of volumes, and exports. The marker of the cluster stays (its name begins with m)."""
    pool = Path(world.state.appliance, "pool", POOL, "rdscsi")
    files = [path for path in pool.rglob("*") if path.is_file() and not path.name.startswith("m")]
    exports = list((world.state.appliance / "exports").iterdir())
    return [f"file {path.relative_to(pool)}" for path in files] + [f"export {path.name}" for path in exports]


def on_nodes(world: World) -> list[str]:
    """Mounts below kubelet's directory that hold a volume of the driver, and loop devices."""
    left = [f"loop device {loop.path}" for loop in remains.loop_devices(world.state)]
    for node in world.nodes:
        marks = ("/volumes/kubernetes.io~csi/", "/plugins/kubernetes.io/csi/")
        points = [point for point in node.mount_points() if any(mark in point for mark in marks)]
        left += [f"mount on {node.name}: {point}" for point in points]
    return left

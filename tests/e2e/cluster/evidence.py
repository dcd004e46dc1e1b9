"""What is kept of a failure: objects, events, logs of pods and programs, in artefacts/e2e."""

import contextlib
import shutil
import subprocess
from pathlib import Path

from cluster.places import ARTEFACTS
from cluster.programs_in import InitFailed
from cluster.world import ClusterFailed, World

_LOOKS = {
    "pods.txt": ("get", "pods", "-A", "-o", "wide"),
    "events.txt": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    "volumes.yaml": ("get", "pv,pvc,volumeattachments,csinodes,csidrivers,storageclasses", "-A", "-o", "yaml"),
    "snapshots.yaml": ("get", "volumesnapshots,volumesnapshotcontents,volumesnapshotclasses", "-A", "-o", "yaml"),
    "pods-described.txt": ("describe", "pods", "-A"),
}
_LONGEST_LOG = 20_000_000


def collect(world: World, name: str) -> Path:
    """Keep what can be had of the cluster's state; the directory. Never raises for what cannot be had."""
    target = ARTEFACTS / "e2e" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file, look in _LOOKS.items():
        with contextlib.suppress(ClusterFailed, InitFailed, subprocess.SubprocessError):
            (target / file).write_text(world.kubectl(*look, seconds=20))
    logs = list(world.state.logs.glob("*.log"))
    for node in world.nodes:
        logs += node.directory.glob("log/rdscsi-e2e/*.log")
        logs += node.directory.glob("log/pods/*/*/*.log")
    for log in logs:
        inside = log.relative_to(world.state.directory)
        if log.is_file() and log.stat().st_size < _LONGEST_LOG:
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, target / inside)
    return target

"""The driver in the cluster: its image, a simulated RDS in the world's network, and the chart with values for both."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.catalogue import SIDECAR_REGISTRY
from cluster.network import APPLIANCE_ADDRESS
from cluster.places import ROOT, cache
from cluster.programs_in import command, environment
from cluster.world import ClusterFailed, World
from rdscsi.sandbox.keys import ensure_key_pair

NAMESPACE = "rdscsi"
RELEASE = "rdscsi"
IMAGE = "e2e.test/rdscsi"
TAG = "e2e"
CHART = Path("deploy", "helm", "rdscsi")
SIMULATOR = "simulator"
USER = "rdscsi"
ADMINISTRATOR = "admin"
"""May log in with the driver's key, for a person who wants to make users and groups."""
POOL = "pool1"
READY_SECONDS = 180.0
IMAGE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Appliance:
    """How the simulated RDS is to be; latency as `rdscsi simulator --latency` has it."""

    latency: str = "50:20"
    pool_size: int = 1 << 40


def build_image(tag: str = TAG, checkout: Path = ROOT) -> Path:
    """Build the image of a checkout; its archive. Raises ClusterFailed."""
    archive = cache() / f"rdscsi-{tag}.tar"
    script = str(checkout / "deploy" / "image" / "build.py")
    line = (sys.executable, script, "--cached", "--name", f"{IMAGE}:{tag}", "--output", str(archive))
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=IMAGE_SECONDS)
    if done.returncode != 0:
        raise ClusterFailed(f"the image could not be built: {done.stderr}")
    return archive


def start_appliance(world: World, appliance: Appliance) -> None:
    """Start the simulated RDS, with what is in its directory, and wait until it is ready."""
    key = world.state.directory / "appliance_id"
    ensure_key_pair(key, key.with_suffix(".pub"))
    log = world.state.logs / f"{SIMULATOR}.log"
    began = log.stat().st_size if log.exists() else 0
    flags = {
        "listen": f"{APPLIANCE_ADDRESS}:22",
        "state-dir": world.state.appliance,
        "authorized-key": key.with_suffix(".pub"),
        "user": USER,
        "pool-slot": POOL,
        "latency": appliance.latency,
        "pool-size": appliance.pool_size,
        "console-log": world.state.logs / "console.log",
    }
    argv = [sys.executable, "-m", "rdscsi.cli", "simulator", *(f"--{name}={value}" for name, value in flags.items())]
    argv.append(f"--user={ADMINISTRATOR}")
    world.namespace.start(SIMULATOR, argv, {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + READY_SECONDS
    while b"simulated RDS ready" not in log.read_bytes()[began:]:
        if time.monotonic() > deadline or not world.namespace.programs()[SIMULATOR].running:
            raise ClusterFailed(f"the simulated RDS did not start: {log.read_text()[-1000:]}")
        time.sleep(0.05)


def console(world: World) -> str:
    """The command line that opens the simulated RDS's console."""
    key = world.state.directory / "appliance_id"
    host = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i {key}"
    return f"nsenter --target={world.namespace.pid()} --net -- ssh {host} {ADMINISTRATOR}@{APPLIANCE_ADDRESS}"


def kill_appliance(world: World) -> None:
    """Kill the simulated RDS (SIGKILL), and wait until it is gone."""
    world.namespace.signal(SIMULATOR, signal.SIGKILL)
    while world.namespace.programs()[SIMULATOR].running:
        time.sleep(0.02)


def write_secret(world: World) -> None:
    """Create or exchange the Secret with the SSH key and the appliance's host key."""
    files = {
        "id": (world.state.directory / "appliance_id").read_text(),
        "host_key.pub": (world.state.appliance / "host_key.pub").read_text(),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "rdscsi-appliance", "namespace": NAMESPACE},
        "stringData": files,
    }
    world.kubectl("apply", "-f", "-", text=json.dumps(document))


def trouble(world: World, *what: str) -> dict[str, object]:
    """Make something go wrong in the simulated RDS, as `rdscsi simulator fault` has it; its answer."""
    argv = (sys.executable, "-m", "rdscsi.cli", "simulator", "fault", f"--state-dir={world.state.appliance}", *what)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=READY_SECONDS, cwd=ROOT)
    if done.returncode != 0:
        raise ClusterFailed(f"simulator fault {' '.join(what)}: {done.stderr.strip() or done.stdout.strip()}")
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def values(world: World, tag: str = TAG, host_backend: str = "loop") -> dict[str, object]:
    """The chart's values for this cluster. Times are shorter than on hardware, where a lost line may run on."""
    exports = world.state.appliance
    volume = {"name": "simulated-rds", "hostPath": {"path": str(exports), "type": "Directory"}}
    mount = {"name": "simulated-rds", "mountPath": str(exports)}
    return {
        "image": {"name": IMAGE, "tag": tag, "pullPolicy": "Never"},
        "appliance": {"address": APPLIANCE_ADDRESS, "poolSlot": POOL, "portals": [APPLIANCE_ADDRESS]},
        "sidecars": {"registry": SIDECAR_REGISTRY, "pullPolicy": "Never"},
        "controller": {
            "settings": {
                "command-deadline": 10,
                "line-ttl": 5,
                "longest-statement": 2,
                "flush-delay": 0,
                "abandon-after": 30,
            }
        },
        "node": {
            "settings": {
                "host-backend": host_backend,
                "loop-exports-dir": f"{exports}/exports",
                "forgotten-after": 20,
            },
            "extraVolumes": [volume],
            "extraVolumeMounts": [mount],
        },
        "storageClasses": {"filesystem": {"fsType": "xfs"}},
        "snapshots": {"enabled": True},
    }


def install(world: World, chosen: Mapping[str, object], checkout: Path = ROOT) -> None:
    """Install or upgrade the chart of a checkout and wait until all of it is ready. Raises ClusterFailed."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    world.kubectl("apply", "-f", "-", text=json.dumps(namespace))
    write_secret(world)
    file = world.state.directory / "values.json"
    file.write_text(json.dumps(chosen))
    helm(world, "upgrade", "--install", RELEASE, str(checkout / CHART), "--values", str(file))
    wait_ready(world)


def installed_tag(world: World) -> str:
    """The tag of the driver's image in the cluster."""
    path = "jsonpath={.spec.template.spec.containers[0].image}"
    found = world.kubectl("-n", NAMESPACE, "get", f"deployment/{RELEASE}-controller", "-o", path)
    return found.rpartition(":")[2]


def uninstall(world: World) -> None:
    """Uninstall the chart."""
    helm(world, "uninstall", RELEASE, "--wait")


def helm(world: World, *arguments: str) -> str:
    """Run helm in the driver's namespace; its output. Raises ClusterFailed."""
    home = str(world.state.directory / "helm")
    extra = {"HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
    argv = (str(world.programs / "helm"), f"--kubeconfig={world.state.kubeconfig}", "--namespace", NAMESPACE)
    line = command(world.namespace, *argv, *arguments, network_only=True)
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, timeout=READY_SECONDS, env=environment() | extra
    )
    if done.returncode != 0:
        raise ClusterFailed(f"helm {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def wait_ready(world: World) -> None:
    """Wait until controller and node pods are ready and both nodes know the driver."""
    rollouts = (f"deployment/{RELEASE}-controller", f"daemonset/{RELEASE}-node")
    for rollout in rollouts:
        world.kubectl(
            "-n", NAMESPACE, "rollout", "status", rollout, f"--timeout={READY_SECONDS:g}s", seconds=READY_SECONDS + 10
        )
    _wait("the driver on every node", lambda: len(registered_nodes(world)) == len(world.nodes))


def registered_nodes(world: World) -> list[str]:
    """The nodes whose kubelet has taken the driver in."""
    found = json.loads(world.kubectl("get", "csinodes", "-o", "json"))
    return [
        item["metadata"]["name"]
        for item in found["items"]
        if any(one["name"] == "csi.rdscsi.io" for one in item["spec"].get("drivers") or [])
    ]


def _wait(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise ClusterFailed(f"{what}: not within {READY_SECONDS:g} s")
        time.sleep(0.2)

"""A node: its namespaces and root, containerd and kubelet, with the paths that a real node has."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, network
from cluster.network import node_address, pod_subnet
from cluster.places import State
from cluster.programs_in import Namespace, Program, command

PROGRAMS_INSIDE = "/opt/rdscsi-e2e"
LOGS_INSIDE = "/var/log/rdscsi-e2e"
PAUSE_IMAGE = "e2e.test/pause:1"
SECONDS = 60.0

SPARE = 3
"""The node that takes only pods that name it, so that it can fail while the others are at work."""
SPARE_TAINT = {"key": "e2e.test/spare", "value": "yes", "effect": "NoSchedule"}


@dataclass(frozen=True, slots=True)
class Node:
    """A node by name and number (from 1 on)."""

    state: State
    index: int

    @property
    def name(self) -> str:
        return f"n{self.index}"

    @property
    def directory(self) -> Path:
        return self.state.node(self.name)

    @property
    def inside(self) -> Namespace:
        """The node's pid namespace."""
        return Namespace(self.directory / "init.sock", Path(LOGS_INSIDE))

    def mount_points(self) -> list[str]:
        """What is mounted on the node, by /proc/PID/mountinfo; empty when the node is off."""
        pid = self.inside.find_pid()
        if pid is None:
            return []
        return [line.split(" ")[4] for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]


def start(world: Namespace, node: Node, programs: Path, init: tuple[str, ...], others: list[int]) -> None:
    """Switch a node on: namespaces, root, network, containerd, kubelet. What its directory holds from before stays."""
    for part in ("kubelet", "containerd", "rdscsi", "log/rdscsi-e2e", "root"):
        (node.directory / part).mkdir(parents=True, exist_ok=True)
    node.state.appliance.mkdir(exist_ok=True)
    root_file = node.directory / "root.json"
    root_file.write_text(json.dumps(_root(node, programs)))
    node.inside.control.unlink(missing_ok=True)
    spaces = ("--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private")
    argv = ("unshare", *spaces, "--", *init, str(node.inside.control), "--root", str(root_file))
    world.start(node.name, argv)
    _wait_init(world, node)
    network.connect_node(world, node.inside, node.index, others)
    start_containerd(node)
    start_kubelet(node)


def start_containerd(node: Node) -> None:
    """Start containerd on a node that is on, and wait until it answers; kubelet gives up without it."""
    node.inside.start("containerd", (f"{PROGRAMS_INSIDE}/containerd", "-c", "/etc/containerd/config.toml"), _path())
    line = command(node.inside, f"{PROGRAMS_INSIDE}/ctr", "--connect-timeout=1s", "version")
    deadline = time.monotonic() + SECONDS
    while subprocess.run(line, capture_output=True, check=False, timeout=SECONDS).returncode != 0:
        if time.monotonic() > deadline or not node.inside.programs()["containerd"].running:
            raise RuntimeError(f"{node.name}: containerd did not start; see {node.directory}/log")
        time.sleep(0.1)


def start_kubelet(node: Node) -> None:
    """Start kubelet on a node that is on."""
    kubelet = (f"{PROGRAMS_INSIDE}/kubelet", "--config=/etc/kubernetes/kubelet.json")
    flags = ("--kubeconfig=/etc/kubernetes/kubelet.conf", f"--hostname-override={node.name}", "-v=2")
    node.inside.start("kubelet", (*kubelet, *flags, f"--node-ip={node_address(node.index)}"), _path())


def find_program(node: Node, name: str) -> Program | None:
    """A program of a node; None when the node is off or never started it."""
    return node.inside.programs().get(name) if node.inside.find_pid() else None


def _path() -> dict[str, str]:
    return {"PATH": f"{PROGRAMS_INSIDE}:/usr/sbin:/usr/bin:/sbin:/bin"}


def _wait_init(world: Namespace, node: Node) -> None:
    deadline = time.monotonic() + SECONDS
    while node.inside.find_pid() is None:
        program = world.programs()[node.name]
        if not program.running or time.monotonic() > deadline:
            log = (world.logs / f"{node.name}.log").read_text()[-2000:]
            raise RuntimeError(f"{node.name} did not come up (status {program.status}): {log}")
        time.sleep(0.02)


def _root(node: Node, programs: Path) -> dict[str, object]:
    directory = node.directory
    return {
        "hostname": node.name,
        "directory": str(directory / "root"),
        "read_only": {PROGRAMS_INSIDE: str(programs)},
        "binds": {
            "/var/lib/kubelet": str(directory / "kubelet"),
            "/var/lib/containerd": str(directory / "containerd"),
            "/var/lib/rdscsi": str(directory / "rdscsi"),  # on the node's disk: it outlives a power failure
            "/var/log": str(directory / "log"),
            str(node.state.appliance): str(node.state.appliance),
        },
        "files": {
            "/etc/hosts": f"127.0.0.1 localhost\n{node_address(node.index)} {node.name}\n",
            "/etc/resolv.conf": "",
            "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n",
            "/etc/group": "root:x:0:\n",
            "/etc/machine-id": f"{node.index:032x}\n",
            "/etc/os-release": 'ID=rdscsi-e2e\nPRETTY_NAME="rdscsi E2E node"\n',
            "/etc/containerd/config.toml": _containerd(),
            "/etc/cni/net.d/10-bridge.conflist": json.dumps(_pod_network(node.index)),
            "/etc/kubernetes/kubelet.json": json.dumps(_kubelet(node)),
            "/etc/kubernetes/kubelet.conf": (node.state.directory / f"{node.name}.conf").read_text(),
            "/etc/kubernetes/ca.crt": (node.state.pki / "ca.crt").read_text(),
        },
    }


def _containerd() -> str:
    return f"""\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing", "io.containerd.snapshotter.v1.erofs", "io.containerd.differ.v1.erofs",
]
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.runtime"]
enable_selinux = false
restrict_oom_score_adj = true  # the test machine's root may lack CAP_SYS_RESOURCE
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{PROGRAMS_INSIDE}"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{PROGRAMS_INSIDE}/runc"
SystemdCgroup = false
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"
"""


def _pod_network(index: int) -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": pod_subnet(index)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}


def _kubelet(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.make(node.state.tag, node.name),
        "failSwapOn": False,
        "registerWithTaints": [SPARE_TAINT] if node.index == SPARE else [],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "address": node_address(node.index),
        "readOnlyPort": 0,
        "resolvConf": "",
        "clusterDNS": ["10.96.0.10"],  # nobody answers there; without it every pod gets an event about it
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
        "nodeStatusReportFrequency": "10s",
        "nodeLeaseDurationSeconds": 12,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 50,
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
    }


def kill_matching(node: Node, words: str, signal: str = "KILL") -> None:
    """Send a signal to every process of a node whose command line holds these words; none there is a success."""
    line = command(node.inside, "pkill", f"-{signal}", "--full", "--", words)
    subprocess.run(line, capture_output=True, check=False, timeout=SECONDS)


def is_running(node: Node, words: str) -> bool:
    """Whether a process of a node has these words in its command line."""
    line = command(node.inside, "pgrep", "--full", "--", words)
    return subprocess.run(line, capture_output=True, check=False, timeout=SECONDS).returncode == 0

"""An appliance and two nodes on one network, with the driver over them, brought up together and kept for all tests.

    appliance 10.77.0.1 (and .11) ── a 10.77.0.2
                                  ── b 10.77.0.3, whose kernel runs without native multipath

The appliance's machine bridges both cables, so that all three reach each other. Ports of this computer lead to the
simulated RDS's SSH and to both nodes' CSI endpoints.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio
import trio_asyncio

from lab.kernel import Kernel
from lab.machine import Machine, open_machine
from lab.nodes.program import RDSCSI, ROOT, Program
from lab.qemu import MIB, NO_ADDRESS, Cable, Forward, Options
from rdscsi.sandbox import readiness, settings
from rdscsi.sandbox.keys import ensure_key_pair
from rdscsi.sandbox.layout import Layout

CLUSTER_ID = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52"
PORTALS = ("10.77.0.1", "10.77.0.11")
SSH_PORT, CSI_PORT = 2222, 5000
STATE, JOURNAL = "/srv/rds/state", "/var/lib/rdscsi/journal.db"
MEMORY = 1024 * MIB
POOL_DISK = 16384 * MIB
_READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Appliance:
    """The machine with the simulated RDS, whose kernel serves its exports."""

    machine: Machine
    rds: Program


@dataclass(frozen=True, slots=True)
class NodeMachine:
    """A machine with the node half of the driver."""

    name: str
    machine: Machine
    plugin: Program
    endpoint: str

    @property
    def cable(self) -> str:
        """The name of its only cable, for the monitor's set_link."""
        return f"{self.name}-{os.getpid()}"

    def restart(self) -> None:
        """Start the plugin again, after it ended, and wait until it answers."""
        self.plugin.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        self.plugin.wait_said("serving")
        _run(lambda: readiness.wait_node(self.endpoint))


@dataclass(frozen=True, slots=True)
class World:
    """All of it."""

    appliance: Appliance
    a: NodeMachine
    b: NodeMachine
    controller: str  # the endpoint

    @property
    def nodes(self) -> tuple[NodeMachine, NodeMachine]:
        return (self.a, self.b)


def _run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with trio_asyncio.open_loop():
            with trio.fail_after(_READY_SECONDS):
                await work()

    trio.run(main)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def open_world(directory: Path, kernel: Kernel) -> Iterator[World]:
    """Bring everything up: the machines at once, then the programs at once."""
    ssh, csi_a, csi_b = (free_port() for _ in range(3))
    mark = os.getpid()
    cables = [Cable(f"{name}-{mark}", 0, NO_ADDRESS) for name in ("a", "b")]
    plans = {
        f"rds-{mark}": Options(
            memory=MEMORY,
            disks=(POOL_DISK,),
            cables=tuple(cables),
            forwards=(Forward(ssh, SSH_PORT),),
            load=("bridge",),
        ),
        f"a-{mark}": _node_options("a", "10.77.0.2/24", csi_a),
        f"b-{mark}": _node_options("b", "10.77.0.3/24", csi_b, append="nvme_core.multipath=N"),
    }
    with contextlib.ExitStack() as stack:
        rds, a, b = _open_machines(stack, plans, kernel)
        layout = Layout(directory)
        ensure_key_pair(layout.client_key, layout.client_public_key)
        appliance = Appliance(rds, Program(rds, rds_command(layout)))
        nodes = [
            NodeMachine(name, machine, Program(machine, _node_command(name)), f"tcp://127.0.0.1:{port}")
            for name, machine, port in (("a", a, csi_a), ("b", b, csi_b))
        ]
        _prepare(appliance, nodes)
        controller = stack.enter_context(_open_controller(layout, appliance, ssh))
        for node in nodes:
            node.wait_ready()
        yield World(appliance, nodes[0], nodes[1], controller)


def _node_options(name: str, address: str, port: int, append: str = "") -> Options:
    return Options(
        memory=MEMORY,
        cables=(Cable(f"{name}-{os.getpid()}", 1, address),),
        forwards=(Forward(port, CSI_PORT),),
        load=("nvme-tcp",),
        append=append,
    )


def _open_machines(stack: contextlib.ExitStack, plans: dict[str, Options], kernel: Kernel) -> list[Machine]:
    """Start machines side by side."""
    up: dict[str, Machine] = {}
    lock = threading.Lock()

    def start(name: str, options: Options) -> None:
        machine = open_machine(name, options, kernel)
        opened = machine.__enter__()
        with lock:
            stack.push(machine)
            up[name] = opened

    threads = [threading.Thread(target=start, args=plan) for plan in plans.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(up) == len(plans), f"only {sorted(up)} came up"
    return [up[name] for name in plans]


def _prepare(appliance: Appliance, nodes: list[NodeMachine]) -> None:
    """Make pool and network, and start the programs."""
    machine = appliance.machine
    for node in nodes:
        node.machine.run("mkdir", "-p", str(Path(JOURNAL).parent))
        node.plugin.start()
    machine.run("sh", "-ec", _PREPARE)
    appliance.rds.start()
    appliance.rds.wait_said("simulated RDS ready")


POOL = """
modprobe -a btrfs nvmet-tcp
mkfs.btrfs -q -f /dev/vda
mkdir -p /srv/rds
mount -o noatime /dev/vda /srv/rds
"""
_PREPARE = f"""
{POOL}
ip link add rds0 type bridge
number=0
for card in /sys/class/net/*; do
    [ -e $card/device ] && [ $number -lt 2 ] || continue
    ip link set ${{card##*/}} master rds0 up
    number=$((number + 1))
done
ip link set rds0 up
{"".join(f"ip addr add {address}/24 dev rds0;" for address in PORTALS)}
"""


def rds_command(layout: Layout) -> tuple[str, ...]:
    return (
        *RDSCSI,
        *("simulator", "--listen", f"0.0.0.0:{SSH_PORT}", "--state-dir", STATE, "--host-key", "ed25519"),
        *(
            "--authorized-key",
            str(layout.client_public_key),
            "--export",
            "nvmet",
            "--export-uuid",
            "kept",
            "--pool-size",
            str(1 << 40),
        ),
    )


def _node_command(name: str) -> tuple[str, ...]:
    return (
        *RDSCSI,
        *("node", "--cluster-id", CLUSTER_ID, "--node-name", name, "--host-backend", "kernel"),
        *("--endpoint", f"tcp://0.0.0.0:{CSI_PORT}", "--allow-remote-tcp", "true"),
        *("--journal", JOURNAL, "--log-level", "debug"),
    )


@contextlib.contextmanager
def _open_controller(layout: Layout, appliance: Appliance, ssh: int) -> Iterator[str]:
    """The controller half on this computer; its endpoint. Its log is DIRECTORY/controller.log."""
    endpoint = f"unix://{layout.state_dir}/controller.sock"
    layout.simulator.mkdir(parents=True, exist_ok=True)
    layout.host_key.write_text(appliance.machine.run("cat", f"{STATE}/host_key.pub").out)
    chosen: dict[str, object] = {
        "cluster-id": CLUSTER_ID,
        "endpoint": endpoint,
        "journal": str(layout.journal("controller")),
        "rds-address": "127.0.0.1",
        "rds-port": ssh,
        "rds-user": settings.USER,
        "rds-key-file": str(layout.client_key),
        "rds-host-key-file": str(layout.host_key),
        "pool-slot": settings.POOL,
        "portals": list(PORTALS),
        "flush-delay": 0,
        "command-deadline": 20,
        "line-ttl": 10,
        "longest-statement": 5,
    }
    settings.write(layout.settings("controller"), chosen)
    command = (sys.executable, "-m", "rdscsi.cli.leash", str(os.getpid()), "controller")
    with layout.log("controller").open("ab") as log:
        process = subprocess.Popen(
            (*command, "--config", str(layout.settings("controller"))), stdout=log, stderr=log, cwd=ROOT
        )
    try:
        _run(lambda: readiness.wait_controller(endpoint))
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)

"""One machine to look around in: the simulated RDS, both halves of the driver, and a volume in use by a pod's path."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import job
from lab.kernel import Kernel
from lab.machine import Machine, open_machine
from lab.nodes.program import RDSCSI, ROOT, Program
from lab.nodes.volume import Volume
from lab.nodes.world import (
    CLUSTER_ID,
    CSI_PORT,
    JOURNAL,
    MEMORY,
    POOL,
    POOL_DISK,
    SSH_PORT,
    STATE,
    Appliance,
    NodeMachine,
    World,
    free_port,
    rds_command,
)
from lab.qemu import Forward, Options
from rdscsi.sandbox import calls, settings
from rdscsi.sandbox.keys import ensure_key_pair
from rdscsi.sandbox.layout import Layout

NODE_JOURNAL = Path(JOURNAL).with_stem("journal-node")
"""Where both halves run in one process each has a journal of its own."""

_BANNER = """
A throw-away machine: nothing that you do here is kept. The driver and its appliance are running:

  the simulated RDS's console      ssh -p {ssh} -i {key} admin@127.0.0.1 /disk/print
  its kernel's target              ls /sys/kernel/config/nvmet/subsystems
  what this node is connected to   nvme list-subsys
  what the controller half knows   {rdscsi} journal volumes
  what the node half knows         {rdscsi} journal stages --journal {journal}
  the driver's settings, its log   {config} {log}
  volume {name}, staged            {staged}
  and published for a pod          {target}

The end of this shell is the end of the machine.
"""


@contextlib.contextmanager
def open_showcase(name: str, kernel: Kernel) -> Iterator[Machine]:
    """Bring all of it up. What to look at is in the machine's /etc/motd."""
    port = free_port()
    options = Options(memory=MEMORY, disks=(POOL_DISK,), forwards=(Forward(port, CSI_PORT),), load=("nvme-tcp",))
    with tempfile.TemporaryDirectory(prefix="rdscsi-lab-") as scratch:
        layout = Layout(Path(scratch))
        ensure_key_pair(layout.client_key, layout.client_public_key)
        settings.write(layout.settings("driver"), _settings(layout))
        _tell("starting a machine")
        with open_machine(name, options, kernel) as machine:
            volume, driver = _furnish(machine, layout, f"tcp://127.0.0.1:{port}")
            banner = _BANNER.format(
                ssh=SSH_PORT,
                key=layout.client_key,
                rdscsi=ROOT / ".venv" / "bin" / "rdscsi",
                journal=NODE_JOURNAL,
                config=layout.settings("driver"),
                log=f"/run/lab/jobs/{driver.started.id}/err",
                name=volume.name,
                staged=volume.staging_path,
                target=volume.target_path,
            )
            _write(machine, "/etc/motd", banner)
            yield machine


def _furnish(machine: Machine, layout: Layout, endpoint: str) -> tuple[Volume, Program]:
    _tell("starting the simulated RDS")
    machine.run("sh", "-ec", f"{POOL} mkdir -p /var/lib/rdscsi /run/rdscsi")
    rds = Program(machine, rds_command(layout))
    rds.start()
    rds.wait_said("simulated RDS ready")
    _tell("starting the driver")
    driver = Program(machine, (*RDSCSI, "driver", "--config", str(layout.settings("driver"))))
    driver.start()
    node = NodeMachine("lab", machine, driver, endpoint)
    node.wait_ready()
    _tell("staging a volume")
    volume = Volume(World(Appliance(machine, rds), node, node, endpoint), "pvc-1", calls.filesystem("ext4")).create()
    volume.use(node)
    volume.write(node)
    return volume, driver


def _settings(layout: Layout) -> dict[str, object]:
    return {
        "cluster-id": CLUSTER_ID,
        "endpoint": f"tcp://0.0.0.0:{CSI_PORT}",
        "allow-remote-tcp": True,
        "journal": JOURNAL,
        "node-name": "lab",
        "host-backend": "kernel",
        "rds-address": "127.0.0.1",
        "rds-port": SSH_PORT,
        "rds-key-file": str(layout.client_key),
        "rds-host-key-file": f"{STATE}/host_key.pub",
        "pool-slot": settings.POOL,
        "portals": ["127.0.0.1"],
        "flush-delay": 0,
    }


def _write(machine: Machine, path: str, text: str) -> None:
    running = machine.start(("sh", "-c", f"cat >{path}"), job.Orders(stdin=text.encode()))
    machine.wait(running, job.Collected().sinks, 30.0)


def _tell(text: str) -> None:
    print(f"lab: {text} …", file=sys.stderr, flush=True)

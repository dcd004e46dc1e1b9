"""Addresses: a bridge for the control plane and the appliance, a cable to each node, a subnet for each node's pods.

All of it lies in the world's network namespace and goes with it; nothing leads out.
"""

import subprocess
from collections.abc import Sequence

from cluster.control_plane import API_ADDRESS, SERVICE_ADDRESS
from cluster.programs_in import Namespace, command, environment

APPLIANCE_ADDRESS = "10.77.0.2"


def node_address(index: int) -> str:
    """The address of the node of this number, from 1 on."""
    return f"10.77.0.{10 + index}"


def pod_subnet(index: int) -> str:
    """The addresses of the pods of the node of this number."""
    return f"10.88.{index}.0/24"


def connect_world(world: Namespace) -> None:
    """Make the bridge with the addresses of API server and appliance."""
    _ip(
        world,
        "link set lo up",
        "link add br0 type bridge",
        f"addr add {API_ADDRESS}/24 dev br0",
        f"addr add {APPLIANCE_ADDRESS}/24 dev br0",
        f"addr add {SERVICE_ADDRESS}/32 dev br0",
        "link set br0 up",
    )
    _forward(world)


def connect_node(world: Namespace, node: Namespace, index: int, others: Sequence[int]) -> None:
    """Lay the cable of a node, and the routes to the pods of the others."""
    cable = f"node{index}"
    _ip(
        world,
        f"link add {cable} type veth peer name eth0 netns {node.pid()}",
        f"link set {cable} master br0 up",
        f"route replace {pod_subnet(index)} via {node_address(index)}",
    )
    _ip(
        node,
        "link set lo up",
        f"addr add {node_address(index)}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {API_ADDRESS}",
        *(f"route add {pod_subnet(other)} via {node_address(other)}" for other in others),
    )
    _forward(node)


def _ip(namespace: Namespace, *lines: str) -> None:
    _run(namespace, "ip", "-batch", "-", text="\n".join(lines) + "\n")


def _forward(namespace: Namespace) -> None:
    # sysctl files show the network namespace of whoever reads them, so the network alone has to be entered
    _run(namespace, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def _run(namespace: Namespace, *argv: str, text: str = "") -> None:
    line = command(namespace, *argv, network_only=True)
    subprocess.run(line, input=text, text=True, check=True, timeout=20, env=environment())

"""The cluster as a whole: up, down, and what is between. `down` clears up after anything, a killed tool included."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups, control_plane, images, network, node, remains
from cluster.control_plane import FIRST, THEN
from cluster.node import SPARE, Node
from cluster.places import State
from cluster.programs_in import InitFailed, Namespace, command, environment

Tell = Callable[[str], None]

NODES = (1, 2, SPARE)
UP_SECONDS = 300.0
DOWN_SECONDS = 60.0
IMAGES_NEED = 6 << 30
"""Bytes of memory, of which the images of three nodes take about a half."""
_INIT = (sys.executable, "-I", str(Path(__file__).with_name("init.py")))
_KUBECTL = """\
#!/bin/sh
# kubectl in the network of the cluster that `make cluster` started; make cluster-down ends it.
exec nsenter --target={pid} --net -- {kubectl} --kubeconfig={kubeconfig} "$@"
"""


class ClusterFailed(Exception):
    """The cluster did not come up, or could not be removed wholly."""


@dataclass(frozen=True, slots=True)
class World:
    """A running cluster."""

    state: State
    programs: Path

    @property
    def namespace(self) -> Namespace:
        return Namespace(self.state.world_socket, self.state.logs)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(self.state, index) for index in NODES)

    def node(self, name: str) -> Node:
        """A node by its name. Raises StopIteration."""
        return next(one for one in self.nodes if one.name == name)

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True, seconds: float = 120) -> str:
        """Run kubectl as the administrator; its output. Raises ClusterFailed."""
        argv = (str(self.programs / "kubectl"), f"--kubeconfig={self.state.kubeconfig}", *arguments)
        line = command(self.namespace, *argv, network_only=True)
        done = subprocess.run(
            line, input=text, text=True, capture_output=True, check=False, timeout=seconds, env=environment()
        )
        if check and done.returncode != 0:
            raise ClusterFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def start_program(self, name: str) -> None:
        """Start a program of the control plane (again)."""
        self.namespace.start(name, control_plane.commands(self.state, self.programs)[name])

    def start_node(self, name: str) -> None:
        """Switch a node on (again), with what was on its disk."""
        chosen = self.node(name)
        others = [index for index in NODES if index != chosen.index]
        node.start(self.namespace, chosen, self.programs, _INIT, others)

    def kill_node(self, name: str) -> None:
        """Switch a node off as a power failure does: all its processes end at once, the mounts with them."""
        self.namespace.signal(name, signal.SIGKILL)
        deadline = time.monotonic() + DOWN_SECONDS
        while self.node(name).inside.find_pid() is not None:
            if time.monotonic() > deadline:
                raise ClusterFailed(f"{name} did not go down")
            time.sleep(0.02)
        # Control groups go with the power; kubelet, back, would wait for the containers of each that is left, 3 s each.
        while cgroups.find(self.state.tag, name) and time.monotonic() < deadline:
            cgroups.remove(self.state.tag, name)
            time.sleep(0.02)


def up(state: State, programs: Path, archives: Sequence[Path], *, leash: int | None, tell: Tell) -> World:
    """Start a cluster of two nodes with these images loaded, and return it when it is Ready.

    What an earlier one left is cleared away first. Raises ClusterFailed, InitFailed or CalledProcessError.
    """
    _need_root()
    down(state, tell=lambda _: None)
    world = World(state, programs)
    for directory in (state.directory, state.logs, state.appliance):
        directory.mkdir(mode=0o755, parents=True)
    control_plane.write_files(state, [one.name for one in world.nodes])
    _start_init(world, leash)
    network.connect_world(world.namespace)
    _keep_images_in_memory(world)
    _write_kubectl(world)
    for name in FIRST:
        world.start_program(name)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        starts = [pool.submit(_start_node, world, one, archives) for one in world.nodes]
        _wait("API server", world, lambda: world.kubectl("get", "--raw=/readyz", check=False) == "ok")
        tell("the API server is ready")
        for name in THEN:  # they end when the API server is not ready for them
            world.start_program(name)
        for start in concurrent.futures.as_completed(starts):
            start.result()
    tell("images are loaded")
    names = [f"node/{one.name}" for one in world.nodes]
    ready = ("wait", *names, "--for=condition=Ready", "--timeout=2s")
    _wait("nodes Ready", world, lambda: world.kubectl(*ready, check=False).count("condition met") == len(names))
    account = ("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name")
    _wait("default service account", world, lambda: bool(world.kubectl(*account, check=False)))
    tell(f"{len(names)} nodes are Ready")
    return world


def down(state: State, *, tell: Tell) -> None:
    """End the cluster, whatever state it is in, and clear up after it. Raises ClusterFailed for what stays."""
    namespace = Namespace(state.world_socket, state.logs)
    pid = namespace.find_pid()
    if pid:
        tell("ending the cluster")
        _kill(pid)
    if left := remains.clear(state):
        raise ClusterFailed(f"could not be removed: {', '.join(left)}")


def find(state: State, programs: Path) -> World:
    """The cluster that runs. Raises ClusterFailed when none does."""
    world = World(state, programs)
    if world.namespace.find_pid() is None:
        raise ClusterFailed("no cluster runs here; make cluster starts one")
    return world


def _need_root() -> None:
    if os.geteuid() != 0:
        raise ClusterFailed("namespaces, loop devices and mounts need root")


def _start_init(world: World, leash: int | None) -> None:
    spaces = ("--mount", "--mount-proc", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child")
    argv = ["unshare", *spaces, "--propagation", "private", "--", *_INIT, str(world.state.world_socket)]
    argv += [] if leash is None else [f"--leash={leash}"]
    with (world.state.logs / "init.log").open("ab") as log:
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=() if leash is None else (leash,),
            env=environment(),
        )
    deadline = time.monotonic() + DOWN_SECONDS
    while world.namespace.find_pid() is None:
        if time.monotonic() > deadline:
            raise ClusterFailed(f"no namespace: {(world.state.logs / 'init.log').read_text()[-2000:]}")
        time.sleep(0.02)


def _keep_images_in_memory(world: World) -> None:
    """Mount memory where the nodes unpack their images, if there is enough.

    They are tens of thousands of files, which are there sooner and go with the namespace.
    """
    if _available_memory() < IMAGES_NEED:
        return
    for one in world.nodes:
        directory = one.directory / "containerd"
        directory.mkdir(parents=True)
        line = command(
            world.namespace, "mount", "-t", "tmpfs", "-o", f"mode=711,size={IMAGES_NEED}", "images", str(directory)
        )
        subprocess.run(line, check=True, timeout=DOWN_SECONDS, env=environment())


def _available_memory() -> int:
    """What this machine has free, in bytes."""
    line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) << 10


def _write_kubectl(world: World) -> None:
    text = _KUBECTL.format(
        pid=world.namespace.pid(), kubectl=world.programs / "kubectl", kubeconfig=world.state.kubeconfig
    )
    world.state.kubectl.write_text(text)
    world.state.kubectl.chmod(0o755)


def _start_node(world: World, one: Node, archives: Sequence[Path]) -> None:
    world.start_node(one.name)
    images.load(one, archives)


def _wait(what: str, world: World, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while not reached():
        ended = [name for name, program in world.namespace.programs().items() if not program.running]
        if ended:
            text = (world.state.logs / f"{ended[0]}.log").read_text()[-2000:]
            raise ClusterFailed(f"{', '.join(ended)} ended while waiting for {what}:\n{text}")
        if time.monotonic() > deadline:
            raise ClusterFailed(f"{what}: not within {UP_SECONDS:g} s; logs are in {world.state.logs}")
        time.sleep(0.1)


def _kill(pid: int) -> None:
    """Kill an init and wait for its end, by which the kernel has ended everything in its namespace."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        _wait_end(process)
    finally:
        os.close(process)


def _wait_end(process: int) -> None:
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    if not poll.poll(DOWN_SECONDS * 1000):
        raise ClusterFailed("a process of the cluster does not end")


def describe(world: World) -> str:
    """What runs, as JSON for a person."""
    programs = {"world": world.namespace.programs()}
    for one in world.nodes:
        with contextlib.suppress(InitFailed):
            programs[one.name] = one.inside.programs()
    return json.dumps(
        {where: {name: [p.pid, p.status] for name, p in found.items()} for where, found in programs.items()}, indent=1
    )

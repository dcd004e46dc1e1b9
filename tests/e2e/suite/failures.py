"""What goes wrong with programs and nodes (`appliance` has the rest): killed processes, lost nodes.

Loop devices enforce no fence: a container of a dead node could still write to the same file, where over NVMe/TCP the
export is cut (tests/lab shows that).
"""

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator

from cluster import driver, node
from cluster.driver import NAMESPACE
from cluster.node import Node

from suite import leftovers, objects
from suite.appliance import appliance_trouble
from suite.objects import DEVICE, MOUNTED
from suite.scenario import SPARE, Context, Scenario, check, names, scenario

SCENARIOS: list[Scenario] = []
_KILLS = 8
_SIDECARS = ("/csi-provisioner", "/csi-attacher", "/csi-resizer")
_SEED = "RDSCSI_E2E_SEED"
"""The environment variable that chooses other victims and pauses for `killed_at_random`."""


@scenario(
    SCENARIOS,
    "the controller's node loses its power: another one provisions, the pod runs elsewhere; the node, back, is clean",
)
def node_dies(e2e: Context) -> None:
    lost = _controller_node(e2e)
    other = next(name for name in ("n1", "n2") if name != lost)
    e2e.claim("data")
    e2e.pod("first", "data", node=lost, script=f"echo here >{MOUNTED}/file; sync")
    e2e.world.kill_node(lost)
    began = time.monotonic()
    try:
        e2e.claim("more", storage_class=objects.BLOCK, block=True)
        e2e.apply(objects.pod("more", "more", node=other, block=True))
        e2e.wait(f"node/{lost}", "condition=Ready=Unknown")
        with _out_of_service(e2e, lost):
            e2e.ready("more")
            e2e.measure("provisions elsewhere", began)
            e2e.until("the pod is gone", lambda: "first" not in names(e2e.get("pods")))
            began = time.monotonic()
            e2e.pod("second", "data", node=other)
            e2e.measure("runs elsewhere", began)
            check(e2e.sh("second", f"cat {MOUNTED}/file").strip() == "here", "the data are gone")
    finally:
        e2e.world.start_node(lost)
        e2e.wait(f"node/{lost}", "condition=Ready")
    driver.wait_ready(e2e.world)
    e2e.delete("pod", "second", "more")
    e2e.delete("pvc", "data", "more")


@scenario(
    SCENARIOS,
    "kubelet is gone, its container writes on: the export is withdrawn, another node waits while the volume is in use",
    lane=SPARE,
)
def writer_cut(e2e: Context) -> None:
    e2e.claim("disk", block=True)
    stamp = f"echo old | dd of={DEVICE} bs=512 seek=1 conv=notrunc,fsync"
    zombie = f"(while :; do {stamp}; sleep 0.2; done) >/tmp/log 2>&1 & true"
    e2e.pod("old", "disk", node=SPARE, block=True, script=zombie)
    before = _export(e2e)
    one = e2e.world.node(SPARE)
    _kill_kubelet(e2e, one)
    try:
        e2e.wait(f"node/{SPARE}", "condition=Ready=Unknown")
        with _out_of_service(e2e, SPARE):
            e2e.until("the pod is gone", lambda: not e2e.get("pods")["items"])
            e2e.apply(objects.pod("new", "disk", node="n1", block=True, script=stamp.replace("old", "new")))
            e2e.until("the volume is the other node's", lambda: _export(e2e) not in ("", before))
            check(before not in leftovers.exports(e2e.world), "the old export is still there")
            # A real target cuts the writer off here. A loop device stays, and as all nodes have one kernel, the new one
            # sees that the volume is in use.
            e2e.until("the refusal", lambda: "is in use" in e2e.events("new"))
            check(node.is_running(one, "echo old"), "the writer ended, so that nothing is shown here")
    finally:
        node.start_kubelet(one)
        e2e.wait(f"node/{SPARE}", "condition=Ready")
    e2e.ready("new")
    # kubelet, back, takes the volume off a second before it ends the container (seen with v1.36, whose pod is gone from
    # the API): the writer's device leads nowhere then, or, on nodes of one kernel, to whoever gets its number next.
    e2e.until("the writer is gone", lambda: not node.is_running(one, "echo old"))
    e2e.sh("new", stamp.replace("old", "new"))
    read = e2e.sh("new", f"dd if={DEVICE} bs=512 skip=1 count=1 2>/dev/null | head -c 3")
    check(read == "new", f"the new node reads {read!r}")


@scenario(
    SCENARIOS,
    "a Node object is deleted while its pod runs; the node, back, unstages, and the pod runs elsewhere",
    lane=SPARE,
)
def node_object_deleted(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("first", "data", node=SPARE, script=f"echo here >{MOUNTED}/file; sync")
    one = e2e.world.node(SPARE)
    _kill_kubelet(e2e, one)  # a running one would make the object anew
    e2e.world.kubectl("delete", "node", SPARE)
    try:
        e2e.until("the pod is gone", lambda: not e2e.get("pods")["items"])
        # Kubernetes itself takes the volume for mounted, and detaches it by force after six minutes alone
        e2e.apply(objects.pod("second", "data", node="n1"))
    finally:
        node.start_kubelet(one)
        e2e.until("the node is back", lambda: f"node/{SPARE}" in e2e.world.kubectl("get", "nodes", "-o", "name"))
        e2e.wait(f"node/{SPARE}", "condition=Ready")
    began = time.monotonic()
    e2e.ready("second", seconds=400)
    e2e.measure("elsewhere", began)
    check(e2e.sh("second", f"cat {MOUNTED}/file").strip() == "here", "the data are gone")
    driver.wait_ready(e2e.world)
    e2e.delete("pod", "second")
    e2e.delete("pvc", "data")


@scenario(
    SCENARIOS, "kubelet is killed and comes back; the driver stays registered, the pod can be taken away", lane=SPARE
)
def kubelet_dies(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("pod", "data", node=SPARE)
    one = e2e.world.node(SPARE)
    _kill_kubelet(e2e, one)
    node.start_kubelet(one)
    e2e.delete("pod", "pod")
    e2e.pod("next", "data", node=SPARE)


@scenario(SCENARIOS, "the controller pod is killed with its journal; volumes in use go on, and can be taken away")
def controller_and_journal_gone(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", script=f"(while :; do date >>{MOUNTED}/log; sync; sleep 0.2; done) & true")
    before = int(e2e.sh("writer", f"wc -l <{MOUNTED}/log"))
    _delete_controller(e2e)
    began = time.monotonic()
    driver.wait_ready(e2e.world)
    e2e.claim("other")
    e2e.pod("other", "other")
    e2e.measure("provisions again", began)
    check(int(e2e.sh("writer", f"wc -l <{MOUNTED}/log")) > before, "the writer stands still")
    e2e.delete("pod", "writer", "other")
    e2e.delete("pvc", "data", "other")


@scenario(
    SCENARIOS,
    "controller and provisioner are killed while a volume is made, and its claim goes: it is erased by itself",
)
def nobody_claims(e2e: Context) -> None:
    storage_class = objects.storage_class(e2e.namespace)
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(storage_class))
    made = ("hold", "--contains=/disk/add", "--times=1", "--seconds=8")  # there, and nobody was told
    with appliance_trouble(e2e.world, made):
        e2e.claim("data", storage_class=e2e.namespace)
        e2e.until("the volume is there", lambda: _has_file(e2e))
        _kill_in_pods(e2e, "/csi-provisioner", "STOP")  # a killed one is back before the claim has gone
        _kill_in_pods(e2e, "rdscsi controller")
        e2e.delete("pvc", "data")
        _kill_in_pods(e2e, "/csi-provisioner")
    check(not e2e.volumes(), "it is claimed, so that nothing is shown here")
    began = time.monotonic()
    e2e.until("it is erased", lambda: not leftovers.on_appliance(e2e.world))
    e2e.measure("erased", began)
    e2e.world.kubectl("delete", "storageclass", e2e.namespace)


@scenario(
    SCENARIOS,
    "the controller's pod is deleted with its journal while a volume is made, and its claim goes: it is shown as "
    "claimed by nobody, and goes when a person says so",
)
def nobody_claims_and_nobody_knows(e2e: Context) -> None:
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(objects.storage_class(e2e.namespace)))
    made = ("hold", "--contains=/disk/add", "--times=1", "--seconds=8")  # there, and nobody was told
    with appliance_trouble(e2e.world, made):
        e2e.claim("data", storage_class=e2e.namespace)
        e2e.until("the volume is there", lambda: _has_file(e2e))
        _kill_in_pods(e2e, "/csi-provisioner", "STOP")
        e2e.delete("pvc", "data")
        _delete_controller(e2e)
    began = time.monotonic()
    e2e.until("it is shown", lambda: _unclaimed(e2e) != [])
    e2e.measure("shown", began)
    check(_has_file(e2e), "it was deleted though nobody asked for that")
    _abandon_all(e2e)
    e2e.until("it is gone", lambda: not leftovers.on_appliance(e2e.world))
    e2e.world.kubectl("delete", "storageclass", e2e.namespace)


@scenario(SCENARIOS, "everything is killed at random while volumes come and go; at the end all agree")
def killed_at_random(e2e: Context) -> None:
    chosen = random.Random(int(os.environ.get(_SEED, "6")))
    for number in range(_KILLS):
        name = f"v{number}"
        e2e.apply(objects.claim(name), objects.pod(name, name, script=f"echo {name} >{MOUNTED}/name; sync"))
        time.sleep(chosen.uniform(0.2, 3))
        victim = _kill_one(e2e, number, chosen)
        print(f"e2e:   killed {victim}", flush=True)
        if number >= 2:
            gone = f"v{number - 2}"
            e2e.world.kubectl("-n", e2e.namespace, "delete", f"pod/{gone}", f"pvc/{gone}", "--wait=false", check=False)
    _wait_api(e2e)
    driver.wait_ready(e2e.world)
    for number in (_KILLS - 2, _KILLS - 1):
        e2e.ready(f"v{number}")
        check(e2e.sh(f"v{number}", f"cat {MOUNTED}/name").strip() == f"v{number}", "another volume's data")
    e2e.delete("pod", "--all")
    e2e.delete("pvc", "--all")
    e2e.until("all is gone, or shown as claimed by nobody", lambda: _gone_or_unclaimed(e2e))
    _abandon_all(e2e)


def _gone_or_unclaimed(e2e: Context) -> bool:
    """Whether only that is left of which the driver says that nobody claims it: journals were lost on the way."""
    left = leftovers.on_appliance(e2e.world)
    shown = _unclaimed(e2e) if left else []
    return all(any(one.rpartition("/")[2] in line for one in shown) for line in left)


def _unclaimed(e2e: Context) -> list[str]:
    """The volumes that the running controller says nobody claims; none while there is no controller to ask."""
    told = _in_controller(e2e, "list", "--output", "json", check=False)
    return [one["volume_id"] for one in json.loads(told)["unclaimed"]] if told else []


def _abandon_all(e2e: Context) -> None:
    """Delete what nobody claims, as an operator does who was told of it."""
    for volume_id in _unclaimed(e2e):
        print(f"e2e:   nobody claims {volume_id}", flush=True)
        _in_controller(e2e, "abandon", "--yes", volume_id)


def _in_controller(e2e: Context, *arguments: str, check: bool = True) -> str:
    told = ("-n", NAMESPACE, "exec", "deploy/rdscsi-controller", "--", "rdscsi", "journal", *arguments)
    return e2e.world.kubectl(*told, check=check)


def _kill_one(e2e: Context, number: int, chosen: random.Random) -> str:
    """Kill something; each kind has its turn, in an order that the seed gives."""
    kinds = ["simulated RDS", "controller pod", "node pod", "kubelet", "API server", "a sidecar"]
    kind = kinds[number] if number < len(kinds) else chosen.choice(kinds)
    world = e2e.world
    if kind == "simulated RDS":
        driver.kill_appliance(world)
        driver.start_appliance(world, driver.Appliance())
    elif kind == "API server":
        world.namespace.signal("kube-apiserver", signal.SIGKILL)
        e2e.until("it ended", lambda: not world.namespace.programs()["kube-apiserver"].running)
        world.start_program("kube-apiserver")
        _wait_api(e2e)
    elif kind == "kubelet":
        one = world.node(chosen.choice(["n1", "n2"]))
        _kill_kubelet(e2e, one)
        node.start_kubelet(one)
    elif kind == "controller pod":  # and its journal
        _delete_controller(e2e)
    elif kind == "node pod":
        _kill_in_pods(e2e, "rdscsi node")
    else:
        _kill_in_pods(e2e, chosen.choice(_SIDECARS))
    return kind


def _kill_kubelet(e2e: Context, one: Node) -> None:
    one.inside.signal("kubelet", signal.SIGKILL)
    e2e.until("kubelet ended", lambda: not one.inside.programs()["kubelet"].running)


@contextlib.contextmanager
def _out_of_service(e2e: Context, name: str) -> Iterator[None]:
    """Say of a node what an administrator says who has made sure that it is off."""
    taint = "node.kubernetes.io/out-of-service"
    e2e.world.kubectl("taint", "node", name, f"{taint}=nodeshutdown:NoExecute")
    try:
        yield
    finally:
        e2e.world.kubectl("taint", "node", name, f"{taint}-", check=False)


def _export(e2e: Context) -> str:
    """The NQN under which the scenario's one volume is attached; empty while it is not."""
    found = [one.get("status", {}) for one in e2e.attachments()]
    return next((str(status["attachmentMetadata"]["subnqn"]) for status in found if status.get("attached")), "")


def _kill_in_pods(e2e: Context, command: str, signal: str = "KILL") -> None:
    """Send a signal to the processes of the cluster whose command line holds these words, on every node."""
    for one in e2e.world.nodes:
        node.kill_matching(one, command, signal)


def _delete_controller(e2e: Context) -> None:
    selector = "app.kubernetes.io/component=controller"
    e2e.world.kubectl("-n", NAMESPACE, "delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false")


def _has_file(e2e: Context) -> bool:
    """Whether the appliance holds the file of a volume."""
    return any(one.startswith("file") for one in leftovers.on_appliance(e2e.world))


def _controller_node(e2e: Context) -> str:
    selector = "app.kubernetes.io/component=controller"
    path = "jsonpath={.items[0].spec.nodeName}"
    return e2e.world.kubectl("-n", NAMESPACE, "get", "pod", "-l", selector, "-o", path).strip()


def _wait_api(e2e: Context) -> None:
    e2e.until("the API server answers", lambda: e2e.world.kubectl("get", "--raw=/readyz", check=False) == "ok")

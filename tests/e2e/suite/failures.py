"""What goes wrong: killed processes, lost nodes, an appliance that is away. Loop devices enforce no fence: a container
of a dead node could still write to the same file, where over NVMe/TCP the export is cut (tests/lab shows that).
"""

import random
import signal
import time

from cluster import driver, node
from cluster.driver import NAMESPACE

from suite import objects
from suite.objects import MOUNTED
from suite.scenario import Context, Scenario, check, scenario

SCENARIOS: list[Scenario] = []
_KILLS = 8
_SEED = 6


@scenario(SCENARIOS, "a node loses its power; out-of-service; the pod runs elsewhere; the node, back, is clean")
def node_dies(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("first", "data", node="n2", script=f"echo here >{MOUNTED}/file; sync")
    e2e.world.kill_node("n2")
    e2e.wait("node/n2", "condition=Ready=Unknown")
    e2e.world.kubectl("taint", "node", "n2", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    try:
        e2e.until("the pod is gone", lambda: not e2e.get("pods")["items"])
        began = time.monotonic()
        e2e.pod("second", "data", node="n1")
        e2e.measure("elsewhere", began)
        check(e2e.sh("second", f"cat {MOUNTED}/file").strip() == "here", "the data are gone")
    finally:
        e2e.world.start_node("n2")
        e2e.wait("node/n2", "condition=Ready")
        e2e.world.kubectl("taint", "node", "n2", "node.kubernetes.io/out-of-service-", check=False)
    driver.wait_ready(e2e.world)
    e2e.delete("pod", "second")
    e2e.delete("pvc", "data")


@scenario(
    SCENARIOS, "a Node object is deleted while its pod runs; the node, back, unstages, and the pod runs elsewhere"
)
def node_object_deleted(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("first", "data", node="n2", script=f"echo here >{MOUNTED}/file; sync")
    one = e2e.world.node("n2")
    one.inside.signal("kubelet", signal.SIGKILL)  # a running one would make the object anew
    e2e.until("kubelet ended", lambda: not one.inside.programs()["kubelet"].running)
    e2e.world.kubectl("delete", "node", "n2")
    try:
        e2e.until("the pod is gone", lambda: not e2e.get("pods")["items"], seconds=180)
        # Kubernetes itself takes the volume for mounted, and detaches it by force after six minutes alone
        e2e.apply(objects.pod("second", "data", node="n1"))
    finally:
        node.start_kubelet(one)
        e2e.until("the node is back", lambda: "n2" in e2e.world.kubectl("get", "nodes", "-o", "name"))
        e2e.wait("node/n2", "condition=Ready")
    began = time.monotonic()
    e2e.ready("second", seconds=400)
    e2e.measure("elsewhere", began)
    check(e2e.sh("second", f"cat {MOUNTED}/file").strip() == "here", "the data are gone")
    driver.wait_ready(e2e.world)
    e2e.delete("pod", "second")
    e2e.delete("pvc", "data")


@scenario(SCENARIOS, "kubelet is killed and comes back; the driver stays registered and the pod can be taken away")
def kubelet_dies(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("pod", "data", node="n1")
    one = e2e.world.node("n1")
    one.inside.signal("kubelet", signal.SIGKILL)
    e2e.until("kubelet ended", lambda: not one.inside.programs()["kubelet"].running)
    node.start_kubelet(one)
    e2e.delete("pod", "pod")
    e2e.pod("next", "data", node="n1")


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


@scenario(SCENARIOS, "the controller's node dies for good; another controller provisions, without a person")
def controllers_node_dies(e2e: Context) -> None:
    lost = _controller_node(e2e)
    e2e.world.kill_node(lost)
    began = time.monotonic()
    try:
        e2e.claim("data", storage_class=objects.BLOCK, block=True)
        other = "n1" if lost == "n2" else "n2"
        e2e.apply(objects.pod("pod", "data", node=other, block=True))
        e2e.ready("pod", seconds=150)
        e2e.measure("provisions elsewhere", began)
    finally:
        e2e.world.start_node(lost)
        e2e.wait(f"node/{lost}", "condition=Ready")
    driver.wait_ready(e2e.world)
    e2e.delete("pod", "pod")
    e2e.delete("pvc", "data")


@scenario(SCENARIOS, "the appliance is away: the claim's events say so, and it recovers by itself")
def appliance_away(e2e: Context) -> None:
    driver.kill_appliance(e2e.world)
    try:
        e2e.claim("data", block=True)
        e2e.apply(objects.pod("pod", "data", block=True))
        e2e.until("the event", lambda: "ProvisioningFailed" in e2e.events("data"), seconds=180)
        said = e2e.events("data")
        check("10.77.0.2" in said or "appliance" in said, f"the events name no cause: {said}")
    finally:
        driver.start_appliance(e2e.world, driver.Appliance())
    began = time.monotonic()
    e2e.ready("pod", seconds=180)
    e2e.measure("recovered", began)


@scenario(SCENARIOS, "a claim larger than the pool: the events say that there is no space, and by how much")
def no_space(e2e: Context) -> None:
    e2e.claim("huge", size="100Ti", block=True)
    e2e.apply(objects.pod("pod", "huge", block=True))
    e2e.until("the event", lambda: "ResourceExhausted" in e2e.events("huge") or "OutOfRange" in e2e.events("huge"))
    e2e.delete("pod", "pod")
    e2e.delete("pvc", "huge")


@scenario(SCENARIOS, "everything is killed at random while volumes come and go; at the end all agree")
def killed_at_random(e2e: Context) -> None:
    chosen = random.Random(_SEED)
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
        e2e.ready(f"v{number}", seconds=240)
        check(e2e.sh(f"v{number}", f"cat {MOUNTED}/name").strip() == f"v{number}", "another volume's data")
    e2e.delete("pod", "--all", seconds=240)
    e2e.delete("pvc", "--all", seconds=240)


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
        one.inside.signal("kubelet", signal.SIGKILL)
        e2e.until("it ended", lambda: not one.inside.programs()["kubelet"].running)
        node.start_kubelet(one)
    elif kind == "controller pod":
        _delete_controller(e2e)
    elif kind == "node pod":
        _kill_in_pods(e2e, "rdscsi node")
    else:
        _kill_in_pods(e2e, chosen.choice(["/csi-provisioner", "/csi-attacher", "/csi-resizer"]))
    return kind


def _kill_in_pods(e2e: Context, command: str) -> None:
    """Kill (SIGKILL) the processes of the cluster whose command line holds these words, on every node."""
    for one in e2e.world.nodes:
        node.kill_matching(one, command)


def _delete_controller(e2e: Context) -> None:
    selector = "app.kubernetes.io/component=controller"
    e2e.world.kubectl("-n", NAMESPACE, "delete", "pod", "-l", selector, "--grace-period=0", "--force", "--wait=false")


def _controller_node(e2e: Context) -> str:
    selector = "app.kubernetes.io/component=controller"
    path = "jsonpath={.items[0].spec.nodeName}"
    return e2e.world.kubectl("-n", NAMESPACE, "get", "pod", "-l", selector, "-o", path).strip()


def _wait_api(e2e: Context) -> None:
    e2e.until("the API server answers", lambda: e2e.world.kubectl("get", "--raw=/readyz", check=False) == "ok")

"""What goes wrong with the appliance: it is away, refuses, is full, is slow, loses replies."""

import contextlib
import time
from collections.abc import Iterator

from cluster import driver
from cluster.world import World

from suite import objects
from suite.scenario import ANYWHERE, Context, Scenario, check, scenario

SCENARIOS: list[Scenario] = []
_VOLUMES = 3
_PATIENCE = 300.0


@scenario(SCENARIOS, "the appliance is away: the claim's events say so, and it recovers by itself")
def appliance_away(e2e: Context) -> None:
    driver.kill_appliance(e2e.world)
    try:
        e2e.claim("data", block=True)
        e2e.apply(objects.pod("pod", "data", block=True))
        e2e.until("the event", lambda: "ProvisioningFailed" in e2e.events("data"))
        said = e2e.events("data")
        check("10.77.0.2" in said or "appliance" in said, f"the events name no cause: {said}")
    finally:
        driver.start_appliance(e2e.world, driver.Appliance())
    began = time.monotonic()
    e2e.ready("pod")
    e2e.measure("recovered", began)


@scenario(SCENARIOS, "the appliance refuses, then is full: the claim's events have its words; it recovers by itself")
def appliance_refuses(e2e: Context) -> None:
    refusals = {
        "refuses": (("refuse", "--path=/disk/add", "--text=failure: no such luck"), "no such luck"),
        "full": (("disk-full",), "space"),
    }
    for name, (fault, words) in refusals.items():
        with appliance_trouble(e2e.world, fault):
            e2e.apply(objects.claim(name, block=True), objects.pod(name, name, block=True))
            _wait_event(e2e, name, words)
        began = time.monotonic()
        e2e.ready(name, seconds=_PATIENCE)
        e2e.measure(f"recovered after {name}", began)


@scenario(SCENARIOS, "volumes come and go while the appliance is slow, and while it loses lines and replies")
def appliance_troubled(e2e: Context) -> None:
    slow = ("slow", "--seconds=3", "--chance=0.5")
    lossy = (("drop-before", "--chance=0.1"), ("drop-after", "--chance=0.15"), ("stall-after", "--chance=0.03"))
    for name, faults in {"slow": (slow,), "lossy": lossy}.items():
        pods = [f"{name}{number}" for number in range(_VOLUMES)]
        began = time.monotonic()
        with appliance_trouble(e2e.world, *faults):
            claims = [objects.claim(pod, block=True) for pod in pods]
            e2e.apply(*claims, *(objects.pod(pod, pod, block=True) for pod in pods))
            e2e.ready(*pods, seconds=_PATIENCE)
            e2e.measure(f"{name}: all Ready", began)
            began = time.monotonic()
            e2e.delete("pod", *pods, seconds=_PATIENCE)
            e2e.delete("pvc", *pods, seconds=_PATIENCE)
            e2e.until("all volumes are deleted", lambda: not e2e.volumes(), seconds=_PATIENCE)
            e2e.measure(f"{name}: all gone", began)


@scenario(
    SCENARIOS, "a claim larger than the pool: the events say that there is no space, and by how much", lane=ANYWHERE
)
def no_space(e2e: Context) -> None:
    storage_class = objects.storage_class(e2e.namespace)
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(storage_class))
    e2e.claim("huge", size="2Ti", storage_class=e2e.namespace)
    e2e.until("the event", lambda: "ResourceExhausted" in e2e.events("huge"))
    check("2199023255552" in e2e.events("huge"), f"the events do not say how much: {e2e.events('huge')}")
    e2e.delete("pvc", "huge")
    e2e.world.kubectl("delete", "storageclass", e2e.namespace)


@scenario(
    SCENARIOS,
    "a claim larger than the pool, bound when its pod is scheduled: the pod waits, and the scheduler says why; what "
    "was told of the room for its class goes with the class",
    lane=ANYWHERE,
)
def no_space_to_schedule(e2e: Context) -> None:
    storage_class = objects.storage_class(e2e.namespace, volumeBindingMode="WaitForFirstConsumer")
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(storage_class))
    e2e.until("the room is told", lambda: bool(_capacities(e2e)))
    e2e.claim("huge", size="2Ti", storage_class=e2e.namespace)
    e2e.apply(objects.pod("pod", "huge"))
    e2e.until("the scheduler's word", lambda: "enough free storage" in e2e.events("pod"))
    check("Provisioning" not in e2e.events("huge"), f"it was tried all the same: {e2e.events('huge')}")
    e2e.delete("pod", "pod")
    e2e.delete("pvc", "huge")
    e2e.world.kubectl("delete", "storageclass", e2e.namespace)
    e2e.until("the room is told no more", lambda: not _capacities(e2e))


def _capacities(e2e: Context) -> list[str]:
    """The room of the scenario's own StorageClass, as the CSIStorageCapacity objects of the driver tell it."""
    found = e2e.get("csistoragecapacities", "--all-namespaces")["items"]
    return [one["capacity"] for one in found if one["storageClassName"] == e2e.namespace]


def _wait_event(e2e: Context, claim: str, words: str) -> None:
    e2e.until("the event", lambda: "ProvisioningFailed" in e2e.events(claim))
    said = e2e.events(claim)
    check(words in said, f"the events of {claim} name no cause: {said}")


@contextlib.contextmanager
def appliance_trouble(world: World, *faults: tuple[str, ...]) -> Iterator[None]:
    """Let the appliance have these faults for a while."""
    for fault in faults:
        driver.trouble(world, "add", *fault)
    try:
        yield
    finally:
        driver.trouble(world, "clear")

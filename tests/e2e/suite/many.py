"""Many volumes at once."""

import time

from suite import objects
from suite.objects import MOUNTED
from suite.scenario import Context, Scenario, check, names, scenario

SCENARIOS: list[Scenario] = []
_TOGETHER = 20
_REPLICAS = 5


@scenario(SCENARIOS, "twenty claims with pods at once")
def twenty(e2e: Context) -> None:
    claims = [f"data{number}" for number in range(_TOGETHER)]
    pods = [objects.pod(f"pod-{name}", name, script=f"echo {name} >{MOUNTED}/name") for name in claims]
    began = time.monotonic()
    e2e.apply(*(objects.claim(name) for name in claims), *pods)
    e2e.ready(*(f"pod-{name}" for name in claims), seconds=300)
    e2e.measure("all Ready", began)
    wrong = [name for name in claims[::5] if e2e.sh(f"pod-{name}", f"cat {MOUNTED}/name").strip() != name]
    check(not wrong, f"another volume's data in {wrong}")
    began = time.monotonic()
    e2e.delete("pod", "--all", seconds=240)
    e2e.delete("pvc", "--all", seconds=240)
    e2e.until("all volumes are deleted", lambda: not names(e2e.get("pv")), seconds=240)
    e2e.measure("all gone", began)


@scenario(SCENARIOS, "a StatefulSet of five goes up, down to none and up again, each pod to its own data")
def stateful_set(e2e: Context) -> None:
    script = f"test -e {MOUNTED}/name || hostname >{MOUNTED}/name"
    e2e.apply(objects.stateful_set("set", _REPLICAS, script))
    ready = f"jsonpath={{.status.readyReplicas}}={_REPLICAS}"
    e2e.wait("statefulset/set", ready, seconds=180)
    e2e.world.kubectl("-n", e2e.namespace, "scale", "statefulset/set", "--replicas=0")
    e2e.until("no pods", lambda: not e2e.get("pods")["items"])
    e2e.world.kubectl("-n", e2e.namespace, "scale", "statefulset/set", f"--replicas={_REPLICAS}")
    e2e.wait("statefulset/set", ready, seconds=180)
    for number in range(_REPLICAS):
        found = e2e.sh(f"set-{number}", f"cat {MOUNTED}/name").strip()
        check(found == f"set-{number}", f"set-{number} finds the data of {found!r}")
    e2e.delete("statefulset", "set")
    e2e.delete("pvc", "--all")

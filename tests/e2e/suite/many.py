"""Many volumes at once, with the times of each on its way."""

import time
from collections.abc import Iterator, Sequence

from suite import objects
from suite.measures import percentile
from suite.objects import MOUNTED
from suite.scenario import ANYWHERE, Context, Scenario, Wrong, check, scenario

SCENARIOS: list[Scenario] = []
_TOGETHER = 20
_PATIENCE = 300.0
_REPLICAS = 5


@scenario(
    SCENARIOS, "a StatefulSet of five goes up, down to none and up again, each pod to its own data", lane=ANYWHERE
)
def stateful_set(e2e: Context) -> None:
    script = f"test -e {MOUNTED}/name || hostname >{MOUNTED}/name"
    e2e.apply(objects.stateful_set("set", _REPLICAS, script))
    ready = f"jsonpath={{.status.readyReplicas}}={_REPLICAS}"
    e2e.wait("statefulset/set", ready)
    e2e.world.kubectl("-n", e2e.namespace, "scale", "statefulset/set", "--replicas=0")
    e2e.until("no pods", lambda: not e2e.get("pods")["items"])
    e2e.world.kubectl("-n", e2e.namespace, "scale", "statefulset/set", f"--replicas={_REPLICAS}")
    e2e.wait("statefulset/set", ready)
    for number in range(_REPLICAS):
        found = e2e.sh(f"set-{number}", f"cat {MOUNTED}/name").strip()
        check(found == f"set-{number}", f"set-{number} finds the data of {found!r}")
    e2e.delete("statefulset", "set")
    e2e.delete("pvc", "--all")


@scenario(SCENARIOS, "twenty claims with pods at once", lane=ANYWHERE)
def twenty(e2e: Context) -> None:
    claims = [f"data{number}" for number in range(_TOGETHER)]
    pods = [objects.pod(f"pod-{name}", name, script=f"echo {name} >{MOUNTED}/name") for name in claims]
    began = time.monotonic()
    e2e.apply(*(objects.claim(name) for name in claims), *pods)
    for stage, seconds in _times(e2e, began).items():
        for part in (50, 99):
            e2e.measured[f"{stage} p{part}"] = round(percentile(seconds, part / 100), 2)
    wrong = [name for name in claims[::5] if e2e.sh(f"pod-{name}", f"cat {MOUNTED}/name").strip() != name]
    check(not wrong, f"another volume's data in {wrong}")
    began = time.monotonic()
    e2e.delete("pod", "--all")
    e2e.delete("pvc", "--all")
    e2e.until("all volumes are deleted", lambda: not e2e.volumes())
    e2e.measure("all gone", began)


def _times(e2e: Context, began: float) -> dict[str, Sequence[float]]:
    """Watch until all pods are Ready; when each claim was Bound, each volume attached, each pod Ready, in seconds."""
    seen: dict[str, dict[str, float]] = {"Bound": {}, "attached": {}, "Ready": {}}
    while len(seen["Ready"]) < _TOGETHER:
        found = e2e.get("pvc,pods,volumeattachments")["items"]
        now = time.monotonic() - began
        for stage, name in _reached(found):
            seen[stage].setdefault(name, now)
        if now > _PATIENCE:
            raise Wrong(f"{len(seen['Ready'])} of {_TOGETHER} pods are Ready after {_PATIENCE:g} s")
        time.sleep(0.2)
    return {stage: list(times.values()) for stage, times in seen.items()}


def _reached(found: Sequence[objects.Document]) -> Iterator[tuple[str, str]]:
    for one in found:
        status, name = one.get("status", {}), one["metadata"]["name"]
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions", []))
        match one["kind"]:
            case "PersistentVolumeClaim" if status.get("phase") == "Bound":
                yield "Bound", name
            case "VolumeAttachment" if status.get("attached"):
                yield "attached", name
            case "Pod" if ready:
                yield "Ready", name

"""What a scenario is, and what it has at hand: a namespace of its own, objects, waits with deadlines."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster import node
from cluster.world import ClusterFailed, World

from suite import objects

PATIENCE = 240.0
"""Seconds that anything may take: long, for a machine that has other things to do as well."""
ANYWHERE, SPARE = "anywhere", f"n{node.SPARE}"
"""Lanes of scenarios; see Scenario."""


class Wrong(AssertionError):
    """What a scenario saw is not what has to be."""


class Skipped(Exception):
    """A scenario cannot be shown here; the message says why."""


@dataclass(slots=True)
class Context:
    """The cluster as one scenario sees it. Names of its objects need to be unique within its namespace only."""

    world: World
    namespace: str
    measured: dict[str, float] = field(default_factory=dict)

    def apply(self, *documents: Mapping[str, object]) -> None:
        """Create or change objects in the scenario's namespace."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
        self.world.kubectl("-n", self.namespace, "apply", "-f", "-", text=text)

    def get(self, *what: str) -> Any:  # Any: what JSON holds
        """An object, or a list of them."""
        return json.loads(self.world.kubectl("-n", self.namespace, "get", *what, "-o", "json"))

    def delete(self, *what: str, seconds: float = PATIENCE) -> None:
        """Delete objects and wait until they are gone."""
        self.world.kubectl(
            "-n", self.namespace, "delete", *what, "--wait", f"--timeout={seconds:g}s", seconds=seconds + 10
        )

    def wait(self, what: str, condition: str, seconds: float = PATIENCE) -> None:
        """Wait for a condition of kubectl wait. Raises Wrong with the object's events."""
        try:
            self.world.kubectl(
                "-n",
                self.namespace,
                "wait",
                *what.split(),
                f"--for={condition}",
                f"--timeout={seconds:g}s",
                seconds=seconds + 10,
            )
        except ClusterFailed as error:
            events = self.world.kubectl("-n", self.namespace, "get", "events", check=False)
            raise Wrong(f"{what}: not {condition} within {seconds:g} s: {error}\n{events}") from error

    def ready(self, *pods: str, seconds: float = PATIENCE) -> None:
        """Wait until pods are Ready."""
        self.wait(" ".join(f"pod/{pod}" for pod in pods), "condition=Ready", seconds)

    def bound(self, *claims: str, seconds: float = PATIENCE) -> None:
        """Wait until claims are Bound."""
        self.wait(" ".join(f"pvc/{claim}" for claim in claims), "jsonpath={.status.phase}=Bound", seconds)

    def sh(self, pod: str, script: str, seconds: float = 120) -> str:
        """Run a script in a pod; its output. Raises Wrong."""
        try:
            return self.world.kubectl("-n", self.namespace, "exec", pod, "--", "sh", "-ec", script, seconds=seconds)
        except ClusterFailed as error:
            raise Wrong(str(error)) from error

    def events(self, name: str) -> str:
        """What the events of an object say, one a line."""
        found = self.get("events", f"--field-selector=involvedObject.name={name}")
        return "\n".join(f"{one['reason']}: {one['message']}" for one in found["items"])

    def until(self, what: str, reached: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait until something is true. Raises Wrong."""
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {seconds:g} s")
            time.sleep(0.3)

    def grow(self, claim: str, size: str) -> None:
        """Ask for a larger volume."""
        wish = {"spec": {"resources": {"requests": {"storage": size}}}}
        self.world.kubectl("-n", self.namespace, "patch", "pvc", claim, "-p", json.dumps(wish))

    def volumes(self) -> Sequence[str]:
        """The names of the PersistentVolumes of the scenario's claims."""
        found = self.get("pv")["items"]
        return [one["metadata"]["name"] for one in found if one["spec"]["claimRef"]["namespace"] == self.namespace]

    def snapshots(self) -> Sequence[Any]:  # Any: what JSON holds
        """The VolumeSnapshotContents of the scenario's snapshots."""
        found = self.get("volumesnapshotcontents")["items"]
        return [one for one in found if one["spec"]["volumeSnapshotRef"]["namespace"] == self.namespace]

    def attachments(self) -> Sequence[Any]:  # Any: what JSON holds
        """The VolumeAttachments of the scenario's volumes."""
        own = self.volumes()
        found = self.get("volumeattachments")["items"]
        return [one for one in found if one["spec"]["source"].get("persistentVolumeName") in own]

    def measure(self, what: str, began: float) -> None:
        """Keep a duration for the report."""
        self.measured[what] = round(time.monotonic() - began, 2)

    def claim(self, name: str, **how: Any) -> None:
        """Apply a claim; see `objects.claim`."""
        self.apply(objects.claim(name, **how))

    def pod(self, name: str, claim: str, **how: Any) -> None:
        """Apply a pod with a volume and wait until it is Ready; see `objects.pod`."""
        self.apply(objects.pod(name, claim, **how))
        self.ready(name)


Body = Callable[[Context], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: a short name for the command line, what it shows as a sentence, and its body.

    `lane` says that it touches nothing but its own namespace and, when it has the name of a node, that node. Scenarios
    of different lanes run at once, as do those of ANYWHERE. Without a lane it has the cluster for itself.
    """

    name: str
    shows: str
    body: Body
    lane: str


def scenario(registry: list[Scenario], shows: str, *, lane: str = "") -> Callable[[Body], Body]:
    """Add a function to a module's scenarios under its own name."""

    def add(body: Body) -> Body:
        registry.append(Scenario(body.__name__, shows, body, lane))
        return body

    return add


def check(holds: bool, otherwise: str) -> None:
    """Raise Wrong with these words unless something holds."""
    if not holds:
        raise Wrong(otherwise)


def names(found: Mapping[str, Any]) -> Sequence[str]:
    """The names of a list of objects."""
    return [item["metadata"]["name"] for item in found["items"]]

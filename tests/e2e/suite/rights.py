"""The rights that the chart gives, against what was used of them: by the API server's audit log of the whole run."""

import json
from collections.abc import Iterable
from typing import Any

from cluster.driver import NAMESPACE, RELEASE
from cluster.world import World

Right = tuple[str, str, str]
"""API group, resource (with its subresource), verb."""


def granted(world: World) -> set[Right]:
    """What the chart's ClusterRole and Roles grant."""
    roles = [json.loads(world.kubectl("get", "clusterrole", f"{RELEASE}-controller", "-o", "json"))]
    roles += json.loads(world.kubectl("-n", NAMESPACE, "get", "roles", "-o", "json"))["items"]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(world: World) -> set[Right]:
    """What the chart's service accounts asked for and were allowed."""
    return {_right(event) for event in _events(world) if _decision(event) == "allow"}


def refused(world: World) -> set[Right]:
    """What they asked for and were not allowed."""
    return {_right(event) for event in _events(world) if _decision(event) == "forbid"}


def report(world: World) -> list[str]:
    """What is wrong with the rights, in words: asked for in vain, or granted and never used.

    A right that is granted is refused all the same while an API server that was just started reads its roles. `list`
    goes with `watch`: servers from 1.34 on stream the list within the watch, older ones do not.
    """
    own, needed = granted(world), used(world)
    needed |= {(group, resource, "list") for group, resource, verb in needed if verb == "watch"}
    lines = [f"refused: {' '.join(right)}" for right in sorted(refused(world) - own)]
    lines += [f"granted and never used: {' '.join(right)}" for right in sorted(own - needed)]
    return lines


def _events(world: World) -> Iterable[Any]:  # Any: what JSON holds
    with world.state.audit_log.open() as log:
        for line in log:
            event = json.loads(line)
            if "objectRef" in event:
                yield event


def _decision(event: Any) -> str:
    return str(event.get("annotations", {}).get("authorization.k8s.io/decision", ""))


def _right(event: Any) -> Right:
    found = event["objectRef"]
    resource = found["resource"] + (f"/{found['subresource']}" if "subresource" in found else "")
    return found.get("apiGroup", ""), resource, event["verb"]

"""Leases as a Kubernetes API server keeps them, in memory and Trio's time: what `rdscsi.kube.lease` relies on.

The contract is the API's (Kubernetes API conventions, "Concurrency control and consistency"): a write names the
`resourceVersion` that it was made for and is refused when that is not the latest one; creating what is there is
refused; reads show the latest state. tests/kube/test_lease_contract.py holds it to a real API server.
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from rdscsi.errors import ClusterUnavailable
from rdscsi.kube.api import Conflict

DEADLINE = 5.0


@dataclass(slots=True)
class LeaseServer:
    """All Leases, by namespace and name."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _versions: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def write(self, key: tuple[str, str], body: Mapping[str, object]) -> dict[str, Any]:
        """Keep an object under its next version."""
        kept: dict[str, Any] = copy.deepcopy(dict(body))
        kept["metadata"] = {
            **kept.get("metadata", {}),
            "namespace": key[0],
            "resourceVersion": str(next(self._versions)),
        }
        spec = kept.get("spec", {})
        kept["spec"] = {name: value for name, value in spec.items() if value is not None}
        self.objects[key] = kept
        return copy.deepcopy(kept)


class LeaseClient:
    """One way to the server, with troubles of its own: `up` or not, slow by `delay`, replies lost by `lose_reply`."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.up = True
        self.delay: Callable[[], float] = lambda: 0.0
        self.lose_reply: Callable[[str], bool] = lambda method: False
        self.asked = 0

    async def get(self, *path: str) -> Mapping[str, object] | None:
        """See `rdscsi.kube.api.ApiServer.get`."""
        return await self._exchange("GET", lambda: copy.deepcopy(self.server.objects.get(_key(path))))

    async def create(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """See `rdscsi.kube.api.ApiServer.create`."""
        key = (path[-2], _part(body, "metadata")["name"])

        def create() -> Mapping[str, object]:
            if key in self.server.objects:
                raise Conflict(f"POST: {key} already exists")
            return self.server.write(key, body)

        made = await self._exchange("POST", create)
        assert made is not None
        return made

    async def replace(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """See `rdscsi.kube.api.ApiServer.replace`."""
        key = _key(path)

        def replace() -> Mapping[str, object]:
            named = _part(body, "metadata").get("resourceVersion")
            if not named:
                raise ClusterUnavailable("PUT: status 422: metadata.resourceVersion: must be specified for an update")
            if key not in self.server.objects:
                raise Conflict("PUT: invalid object: the precondition failed")
            if named != self.server.objects[key]["metadata"]["resourceVersion"]:
                raise Conflict("PUT: the object has been modified")
            return self.server.write(key, body)

        written = await self._exchange("PUT", replace)
        assert written is not None
        return written

    async def _exchange(
        self, method: str, act: Callable[[], Mapping[str, object] | None]
    ) -> Mapping[str, object] | None:
        self.asked += 1
        with trio.move_on_after(DEADLINE):
            await trio.sleep(self.delay())
            if not self.up:
                await trio.sleep_forever()
            answer = act()
            await trio.sleep(self.delay())
            if self.up and not self.lose_reply(method):
                return answer
            await trio.sleep_forever()
        raise ClusterUnavailable(f"{method}: no answer in time")


def _key(path: tuple[str, ...]) -> tuple[str, str]:
    assert path[:4] == ("apis", "coordination.k8s.io", "v1", "namespaces")
    return path[4], path[6]


def _part(body: Mapping[str, object], name: str) -> dict[str, Any]:
    value = body[name]
    assert isinstance(value, dict)
    return value

"""A Lease of coordination.k8s.io/v1: at most one holder at a time, as client-go's leader election has it (ADR 0007).

Clocks are never compared. Who does not hold the Lease watches its record, and takes it once that has not changed for
the holder's whole term by his own clock; every write names the `resourceVersion` that was read, so that of two only one
succeeds. Who holds it stops `renew_deadline` after he *began* the last renewal that succeeded, which is well before
anybody else may take it. Nothing here knows what is led.
"""

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, Protocol

import trio

from rdscsi.errors import ClusterUnavailable, StandingBy
from rdscsi.observe import logs

_log = logs.get_log()

API = ("apis", "coordination.k8s.io", "v1")
RELEASE_SECONDS = 5.0


class Objects(Protocol):
    """Where the Lease is read and written; `rdscsi.kube.api.ApiServer` says how."""

    async def get(self, *path: str) -> Mapping[str, object] | None: ...

    async def create(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]: ...

    async def replace(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds: how long a term is, how long a holder goes on without a renewal, and how often everybody tries."""

    duration: int = 30
    renew_deadline: float = 20.0
    retry_period: float = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """What the Lease says: its holder (empty: nobody), his term in seconds, and how often the holder has changed."""

    holder: str
    duration: float
    acquired: str
    renewed: str
    transitions: int


class Lease:
    """One candidate for a Lease. Made by `open_lease`, which keeps it."""

    def __init__(
        self,
        api: Objects,
        namespace: str,
        name: str,
        identity: str,
        *,
        timing: Timing | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.identity = identity
        self._api = api
        self._name = name
        self._collection = (*API, "namespaces", namespace, "leases")
        self._timing = timing or Timing()
        self._wall = wall
        self._until = -math.inf
        self._leading = False
        self._observed: Record | None = None
        self._observed_at = -math.inf
        self._term = 0
        self._told = ""
        self._one_at_a_time = trio.Lock()
        self._watchers: list[Callable[[], None]] = []

    @property
    def held(self) -> bool:
        """Tell whether this candidate may lead at this moment: by its own clock alone, nobody is asked."""
        return trio.current_time() < self._until

    @property
    def told(self) -> str:
        """Say what is known of the Lease, for people."""
        where = f"the Lease {self._collection[-2]}/{self._name}"
        if self.held:
            return f"{where} is held by this controller"
        other = self._observed.holder if self._observed is not None else ""
        theirs = other not in ("", self.identity)
        known = f"was last seen held by {other}" if theirs else "is not held by this controller"
        return f"{where} {known}" + (f" ({self._told})" if self._told else "")

    def watch(self, changed: Callable[[], None]) -> None:
        """Have this called whenever the Lease was won or lost; `held` tells which. It must not wait."""
        self._watchers.append(changed)

    async def confirm(self) -> int:
        """Prove by a renewal, here and now, that the Lease is held; return the number of its holder's term.

        Two terms of one holder have the same number only when nobody else held it in between. Raises StandingBy when
        it is not held, ClusterUnavailable when nobody can tell.
        """
        await self._try()
        if not self.held:
            raise StandingBy(self.told)
        return self._term

    async def keep(self) -> NoReturn:
        """Win the Lease and keep it, again and again, until cancelled."""
        while True:
            if not self._leading:
                await self._tried()
                if self.held:
                    self._leading = True
                    self._changed("lease won", transitions=self._term)
                    continue
                await trio.sleep(self._timing.retry_period)
                continue
            with trio.move_on_at(self._until):  # what is not renewed by then is lost, whatever a request waits for
                await trio.sleep(self._timing.retry_period)
                await self._tried()
            if not self.held:
                self._leading = False
                self._changed("lease lost", reason=self.told)

    async def release(self) -> None:
        """Give the Lease back, if it is held, so that the next one need not wait for its end."""
        self._until = -math.inf
        async with self._one_at_a_time:
            found = await self._api.get(*self._collection, self._name)
            if found is None or _record(found).holder != self.identity:
                return
            now = self._stamp()
            free = Record("", 1, now, now, _record(found).transitions)
            await self._api.replace(*self._collection, self._name, body=_with(found, free))
        _log.info("lease given back", lease=self._name)

    async def _tried(self) -> None:
        try:
            await self._try()
        except ClusterUnavailable as error:
            self._told = str(error)
            _log.debug("lease not renewed", reason=str(error))

    async def _try(self) -> None:
        """Take or renew the Lease, unless it is another's. Raises ClusterUnavailable when that did not work out."""
        async with self._one_at_a_time:
            found = await self._api.get(*self._collection, self._name)
            began, now = trio.current_time(), self._stamp()
            if found is None:
                wanted = Record(self.identity, self._timing.duration, now, now, 0)
                await self._api.create(*self._collection, body=_new(self._name, wanted))
                self._won(began, wanted)
                return
            seen = self._saw(_record(found))
            if seen.holder not in ("", self.identity) and not self._ended(seen):
                self._until = -math.inf
                self._told = ""
                return
            same = seen.holder == self.identity
            since, transitions = (seen.acquired, seen.transitions) if same else (now, seen.transitions + 1)
            wanted = Record(self.identity, self._timing.duration, since, now, transitions)
            await self._api.replace(*self._collection, self._name, body=_with(found, wanted))
            self._won(began, wanted)

    def _saw(self, record: Record) -> Record:
        if record != self._observed:
            self._observed, self._observed_at = record, trio.current_time()
        return record

    def _ended(self, seen: Record) -> bool:
        return trio.current_time() >= self._observed_at + max(seen.duration, self._timing.duration)

    def _won(self, began: float, record: Record) -> None:
        self._saw(record)
        self._term, self._told = record.transitions, ""
        self._until = began + self._timing.renew_deadline

    def _changed(self, what: str, **details: object) -> None:
        _log.info(what, lease=self._name, identity=self.identity, **details)
        for watcher in self._watchers:
            watcher()

    def _stamp(self) -> str:
        return datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@asynccontextmanager
async def open_lease(lease: Lease) -> AsyncIterator[Lease]:
    """Be a candidate while the body runs; give the Lease back after it. A crash gives nothing back."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease.keep)
        try:
            yield lease
        finally:
            nursery.cancel_scope.cancel()
            with trio.move_on_after(RELEASE_SECONDS, shield=True):
                try:
                    await lease.release()
                except ClusterUnavailable as error:
                    _log.warning("lease not given back", lease=lease.told, reason=str(error))


def _new(name: str, record: Record) -> Mapping[str, object]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": _spec(record),
    }


def _with(found: Mapping[str, object], record: Record) -> Mapping[str, object]:
    """Return the object that was read with another spec: its `resourceVersion` makes the write conditional."""
    return {**found, "spec": {**_part(found, "spec"), **_spec(record)}}


def _spec(record: Record) -> Mapping[str, object]:
    return {
        "holderIdentity": record.holder or None,
        "leaseDurationSeconds": int(record.duration),
        "acquireTime": record.acquired,
        "renewTime": record.renewed,
        "leaseTransitions": record.transitions,
    }


def _record(found: Mapping[str, object]) -> Record:
    """Read a Lease. One without a holder is free; without a term it is held for as long as is usual here."""
    metadata, spec = _part(found, "metadata"), _part(found, "spec")
    if not isinstance(metadata.get("resourceVersion"), str):
        raise ClusterUnavailable(f"a Lease without a resourceVersion: {str(found)[:100]}")
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    return Record(
        holder=str(spec.get("holderIdentity") or ""),
        duration=duration if isinstance(duration, int) else 0,
        acquired=str(spec.get("acquireTime") or ""),
        renewed=str(spec.get("renewTime") or ""),
        transitions=transitions if isinstance(transitions, int) else 0,
    )


def _part(found: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}

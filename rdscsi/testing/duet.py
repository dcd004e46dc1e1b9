"""Two live controllers on one appliance, with a journal each: what a script makes of them, and what must hold.

With one Lease for both, with a Lease each (a cluster that was cloned: neither sees the other's), or without any, where
the one that the marker does not name stands by. Whatever is lost and whoever dies or is cut off:

- What is changed on the appliance is changed under the newest token that anything was ever changed under: when the next
  one has begun, nothing of the one before lands.
- The marker changes hands at most once for each time that the Lease does; without one, or with one each, once in all,
  or twice when a fresh one does not know that it has made the marker, because the reply was lost.
- In the quiet time at the end, up to ten minutes of two live controllers, it changes hands at most once.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from rdscsi import names
from rdscsi.controller.controller import Controller
from rdscsi.errors import Superseded
from rdscsi.journal.files import rebuild_wish
from rdscsi.kube.lease import Lease, open_lease
from rdscsi.tags import parse_marker
from rdscsi.testing.callers import Callers
from rdscsi.testing.clock import wall_clock
from rdscsi.testing.fast.program import FastLine
from rdscsi.testing.invariants import Holdings, Memory, holdings, violations
from rdscsi.testing.leases import LeaseClient, LeaseServer
from rdscsi.testing.machines import FastMachine
from rdscsi.testing.orchestrator import Cluster
from rdscsi.testing.script import API_AWAY, PODS, Goal, Leases, Script, Trouble
from rdscsi.testing.transport import Link
from rdscsi.testing.troubles import MachineTroubles
from rdscsi.testing.world import BACKEND, CLUSTER, Process, World, copy_journal

RESTART_SECONDS = 1.0
_MARKER = names.marker_slot(CLUSTER, BACKEND)
_OF_THE_MARKER = ("move token", "first marker")


class Pod:
    """One of the two: its processes follow each other on one journal. `server`: the API server that it asks, if any."""

    def __init__(self, world: World, name: str, server: LeaseServer | None) -> None:
        self.name = name
        self.lives = 0
        self.down_for = 0.0
        self.process: Process | None = None
        self._world = world
        self._server = server
        self._path = world.directory / f"{name}.db"
        self._link = Link(dead=True)
        self._client: LeaseClient | None = None
        self._scope = trio.CancelScope()
        self._crashes = 0

    async def keep(self, began: Callable[[], None]) -> None:
        """Live one life after the other, as a kubelet sees to."""
        while True:
            self.lives += 1
            with trio.CancelScope() as self._scope:
                try:
                    async with self._running() as process:
                        await self._live(process, began)
                except* Superseded:
                    pass  # its journal is put aside by the next start
            await trio.sleep(RESTART_SECONDS + self.down_for)

    async def _live(self, process: Process, began: Callable[[], None]) -> None:
        self.process = process
        began()
        try:
            await trio.sleep_forever()
        finally:
            self.process = None

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Process]:
        link = self._link = Link(stamp=self._token)
        if self._server is None:
            async with self._world.process(self._path, ready=False, link=link) as process:
                yield process
            return
        client = self._client = LeaseClient(self._server)
        client.delay = lambda: self._world.delay(self._world.random)
        identity = f"{self.name}_{self.lives}"
        lease = Lease(client, "rdscsi", "controller", identity, wall=wall_clock)
        process_ = self._world.process(self._path, ready=False, lease=lease, link=link)
        async with open_lease(lease), process_ as process:
            yield process

    def _token(self) -> int:
        marker = self.process.controller.backend.device.marker if self.process is not None else None
        return marker.token_counter if marker is not None else 0

    def crash(self) -> None:
        """End the process as SIGKILL does: nothing that it still does reaches the appliance, the API or the journal."""
        self._crashes += 1
        former, self._path = self._path, self._world.directory / f"{self.name}-{self._crashes}.db"
        copy_journal(former, self._path)
        if rebuild_wish(former).exists():
            rebuild_wish(self._path).write_bytes(rebuild_wish(former).read_bytes())
        self._link.dead = True
        if self._client is not None:
            self._client.up = False
        self.stop()

    def stop(self) -> None:
        """End the process as a signal does."""
        self.process = None
        self._scope.cancel()

    async def away(self, seconds: float) -> None:
        """Cut it off from the appliance for a while; its next process too."""
        link = self._link
        link.up = False
        await trio.sleep(seconds)
        link.up = True

    async def api_away(self, seconds: float) -> None:
        """Cut this process off from the API server for a while."""
        client = self._client
        if client is not None and client.up:
            client.up = False
            await trio.sleep(seconds)
            client.up = self._client is client and not self._link.dead

    def heal(self) -> None:
        """Nothing more goes wrong with it."""
        self.down_for = 0.0
        if not self._link.dead:
            self._link.up = True
            if self._client is not None:
                self._client.up = True


class Marker:
    """Watches the marker and every change: who holds it, how often it changed hands, and who changes anything."""

    def __init__(self, world: World, troubles: MachineTroubles) -> None:
        assert isinstance(world.machine, FastMachine), "only the model tells whose line is under way"
        self.wrong: list[str] = []
        self.takeovers = 0
        self.holders: set[str] = set()
        self._machine = world.machine
        self._troubles = troubles
        self._holder = ""
        self._reboots = 0
        self._newest = 0

    def before_change(self) -> None:
        """See `MachineTroubles.before_change`; the statement that comes now is the line's that is under way."""
        self.look()
        self._troubles.before_change()
        line = self._machine.sessions.under_way
        assert isinstance(line, FastLine)
        if line.startswith(_OF_THE_MARKER):
            return
        if line.stamp < self._newest:
            self.wrong.append(f"{line} acts under token {line.stamp}; something was changed under {self._newest}")
        self._newest = max(self._newest, line.stamp)

    def look(self) -> str:
        """Return whose journal the marker names, and count if that is another one than before."""
        item = self._machine.items().get(_MARKER)
        marker = parse_marker(item.comment) if item is not None else None
        if marker is None:
            return self._holder
        taken_back = self._troubles.reboots != self._reboots
        self._reboots = self._troubles.reboots
        if self._holder and marker.journal_id != self._holder and not taken_back:
            self.takeovers += 1
        self._holder = marker.journal_id
        self.holders.add(marker.journal_id)
        return self._holder


class Duet:
    """One run of a script with two controllers."""

    def __init__(self, world: World, script: Script, cluster: Cluster) -> None:
        assert script.leases is not None
        self.world = world
        self.script = script
        self.cluster = cluster
        self.servers = _servers(script.leases)
        self.pods = [Pod(world, name, server) for name, server in zip(PODS, self.servers, strict=True)]
        self.callers = Callers(world.machine, cluster, self._alive)
        self.troubles = MachineTroubles(world)
        self.marker = Marker(world, self.troubles)
        self.callers.forgotten = self._forgotten
        self.faults = 0
        self.wrong: list[str] = []
        self._came = trio.Event()

    async def run(self) -> list[str]:
        """Run it; return what was wrong."""
        machine = self.world.machine
        machine.put_stranger("backup")
        machine.persist()
        before = holdings(machine)
        machine.watch_changes(self.marker.before_change)
        async with trio.open_nursery() as nursery:
            for pod in self.pods:
                nursery.start_soon(pod.keep, self._came.set)
            async with trio.open_nursery() as acting:
                goals = [event for event in self.script.events if isinstance(event, Goal)]
                for volume in sorted({goal.volume for goal in goals}):
                    acting.start_soon(self.callers.pursue, [goal for goal in goals if goal.volume == volume])
                for event in self.script.events:
                    if isinstance(event, Trouble):
                        acting.start_soon(self._make, event)
                acting.start_soon(self._heal)
            await self._settle(before)
            nursery.cancel_scope.cancel()
        return [*self.wrong, *self.marker.wrong, *self.callers.wrong]

    def _forgotten(self, slot: str) -> bool:
        """Whether a power loss took a volume back while another one leads than who knew of it."""
        self.marker.look()
        return len(self.marker.holders) > 1 and slot in self.troubles.forgotten

    async def _alive(self) -> Controller:
        """The caller's sidecars mostly sit beside the controller that leads, and now and then beside the other one."""
        while True:
            there = [pod.process.controller for pod in self.pods if pod.process is not None]
            leading = [one for one in there if one.ready()]
            if chosen := leading if leading and self.world.random.random() < 0.8 else there:
                return self.world.random.choice(chosen)
            self._came = trio.Event()
            with trio.move_on_after(RESTART_SECONDS):
                await self._came.wait()

    async def _make(self, trouble: Trouble) -> None:
        await trio.sleep_until(trouble.at)
        self.faults += 1
        pod = self.pods[PODS.index(trouble.volume)] if trouble.volume in PODS else self.pods[0]
        if self.troubles.make(trouble):
            return
        if trouble.kind in ("crash", "stop"):
            pod.down_for = trouble.seconds
            (pod.crash if trouble.kind == "crash" else pod.stop)()
        elif trouble.kind == "away":
            await pod.away(trouble.seconds)
        elif trouble.kind == API_AWAY:
            await pod.api_away(trouble.seconds)

    async def _heal(self) -> None:
        """Callers that are patient need somebody to call."""
        await trio.sleep_until(self.script.length)
        self.troubles.end()
        for pod in self.pods:
            pod.heal()

    async def _settle(self, before: Holdings) -> None:
        await trio.sleep_until(self.script.length)
        self.marker.look()
        calm = self.marker.takeovers
        await trio.sleep(self.script.quiet)
        for _ in range(3):
            if not (wrong := await self._violations(before)):
                break
            await trio.sleep(self.script.quiet)
        self.wrong += wrong
        if self.marker.takeovers - calm > 1:
            self.wrong.append(f"{self.marker.takeovers - calm} take-overs while nothing happened")
        if self.marker.takeovers > self._allowed():
            self.wrong.append(f"{self.marker.takeovers} take-overs, {self._allowed()} changes of the leader")

    def _allowed(self) -> int:
        """How often the marker may change hands, see above."""
        if self.script.leases is not Leases.ONE:
            return 2 if any(isinstance(event, Trouble) for event in self.script.events) else 1
        server = self.servers[0]
        assert server is not None
        return sum(int(one["spec"]["leaseTransitions"]) for one in server.objects.values())

    async def _violations(self, before: Holdings) -> list[str]:
        holder, promises = self.marker.look(), self.callers.promises
        leading = [pod.process for pod in self.pods if pod.process is not None and pod.process.journal.id == holder]
        if not leading:
            return [f"nobody leads whom the marker names: {holder}"]
        memory = Memory.LOST if len(self.marker.holders) > 1 else Memory.WHOLE
        for slot in self.troubles.forgotten if memory is not Memory.WHOLE else ():
            promises.doubt(names.volume_id(BACKEND, slot))
        lost = self.troubles.taken_back
        return await violations(self.world.machine, leading[0].journal, promises, before, memory=memory, lost=lost)


def _servers(leases: Leases) -> list[LeaseServer | None]:
    """The API server of each of the two."""
    if leases is Leases.NONE:
        return [None, None]
    server = LeaseServer()
    return [server, server if leases is Leases.ONE else LeaseServer()]

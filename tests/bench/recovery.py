"""How long a controller's start takes to settle operations that an earlier one has left open, on a 0 ms appliance.

    python tests/bench/recovery.py [--count 1000] [--connections 4] [--appliance ssh|memory|fast] [--profile FILE]

A life of the controller makes volumes, then leaves a delete of each open; the next life is timed from its start to the
moment at which nothing is open. `ssh` (default): the simulated RDS is a process of its own behind real SSH, and the
journal writes in threads, as with `rdscsi controller`. `memory`: its console in this process, without SSH. `fast`: the
fast model of it. Times are real. Before anything is sent a take-over waits for what the former life may have on its
way; the settings here make that as short as it can be, and it is told apart from the work. On a shared machine the
seconds of the CPU say more than those of the clock.
"""

import argparse
import contextlib
import cProfile
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from rdscsi.controller import deletion
from rdscsi.controller.controller import Controller, make_controller
from rdscsi.csi.loop import open_loop
from rdscsi.errors import OperationPending
from rdscsi.journal import Journal, Precautions, VolumeRecord, changes, open_journal
from rdscsi.observe import logs
from rdscsi.operations import Operations
from rdscsi.routeros.console import Console
from rdscsi.routeros.pool import PoolSettings
from rdscsi.routeros.ssh import SshSettings, open_ssh
from rdscsi.sandbox import keys
from rdscsi.testing.orchestrator import wish
from rdscsi.testing.world import OPTIONS, SETTINGS, open_world

AIM_SECONDS = 5.0
_MAKERS = 16
_OPTIONS = replace(OPTIONS, flush_delay=0.0, retry_every=0.2)
_SETTINGS = replace(SETTINGS, flush_delay=0.0, longest_statement=0.0)
_WAYS = {
    "ssh": "simulated RDS in a process of its own, over SSH",
    "memory": "simulated RDS in this process, without SSH",
    "fast": "fast model",
}


@dataclass(frozen=True, slots=True)
class Life:
    """What the two lives of a controller have: how one is begun, and which processes work for it."""

    journal: Journal
    controller: Controller


@dataclass(frozen=True, slots=True)
class Figures:
    """Seconds from the start to the first line that may act, and from there to the end; CPU of the second part."""

    taking_over: float
    settling: float
    driver: float
    appliance: float
    commits: int


class Bench:
    """A place for lives: `begin` starts one. `appliance_cpu`: seconds the simulated RDS has used, if told apart."""

    async def measure(self, count: int, profile: cProfile.Profile | None) -> Figures:
        async with self.begin() as life:
            await _wait_able(life)
            await _make(life, count)
            for record in await life.journal.volumes():
                await _leave_open(life.journal, record)
        began = time.perf_counter()
        async with self.begin() as life:
            await _wait_able(life)
            able, spent, there = time.perf_counter(), _own_cpu(), self.appliance_cpu()
            commits = life.journal.statistics().commits
            with _profiled(profile):
                while await life.journal.operations(limit=1, state="open"):
                    await trio.sleep(0.05)
            ended = time.perf_counter()
            figures = Figures(
                able - began,
                ended - able,
                _own_cpu() - spent,
                self.appliance_cpu() - there,
                life.journal.statistics().commits - commits,
            )
            assert await life.journal.volumes() == []
        return figures

    def begin(self) -> AbstractAsyncContextManager[Life]:
        raise NotImplementedError

    def appliance_cpu(self) -> float:
        return 0.0


class InMemory(Bench):
    """Lives in the world of the tests."""

    def __init__(self, directory: Path, connections: int, *, fast: bool) -> None:
        self._directory, self._connections, self._fast = directory, connections, fast

    async def measure(self, count: int, profile: cProfile.Profile | None) -> Figures:
        opened = open_world(
            self._directory,
            options=_OPTIONS,
            settings=_SETTINGS,
            fast=self._fast,
            connections=self._connections,
        )
        async with opened as self._world:
            return await super().measure(count, profile)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Life]:
        async with self._world.process(ready=False) as process:
            yield Life(process.journal, process.controller)


class OverSsh(Bench):
    """Lives against the command `rdscsi simulator`."""

    def __init__(self, directory: Path, connections: int) -> None:
        self._directory = directory
        self._key, self._public = directory / "id", directory / "id.pub"
        keys.ensure_key_pair(self._key, self._public)
        self._connections = connections

    async def measure(self, count: int, profile: cProfile.Profile | None) -> Figures:
        with self._simulator() as (self._process, self._port):
            async with open_loop():
                return await super().measure(count, profile)

    @contextmanager
    def _simulator(self) -> "Iterator[tuple[subprocess.Popen[str], int]]":
        command = [sys.executable, "-m", "rdscsi.cli", "simulator", "--listen", "127.0.0.1:0", "--host-key", "ed25519"]
        command += ["--state-dir", str(self._directory / "rds"), "--authorized-key", str(self._public)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                ready = process.stdout.readline()
                yield process, int(ready.split(" port=")[1].split()[0])
            finally:
                process.terminate()

    def appliance_cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])  # utime, stime (proc_pid_stat(5))
        return ticks / os.sysconf("SC_CLK_TCK")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Life]:
        settings = SshSettings(
            host="127.0.0.1",
            port=self._port,
            username="rdscsi",
            key_file=self._key,
            host_key_file=self._directory / "rds" / "host_key.pub",
            pool=PoolSettings(connections=self._connections),
        )
        opened = open_journal(self._directory / "journal.db", precautions=Precautions(backups=0, ballast_bytes=0))
        async with opened as journal, open_ssh(settings) as transport, trio.open_nursery() as nursery:
            controller = make_controller(
                console=Console(transport),
                journal=journal,
                operations=Operations(nursery, deadline=_OPTIONS.operation_deadline),
                options=_OPTIONS,
                settings=_SETTINGS,
                entropy=secrets.token_bytes,
            )
            nursery.start_soon(controller.keep)
            yield Life(journal, controller)
            nursery.cancel_scope.cancel()


async def _wait_able(life: Life) -> None:
    """Wait until lines may be sent about volumes."""
    backend = life.controller.backend
    while not backend.complete or backend.device.settled_in("") > 0:
        await trio.sleep(0.01)


async def _make(life: Life, count: int) -> None:
    limiter = trio.CapacityLimiter(_MAKERS)

    async def make(number: int) -> None:
        async with limiter:
            await life.controller.create_volume(wish(f"pvc-{number}"))

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(make, number)


async def _leave_open(journal: Journal, record: VolumeRecord) -> None:
    doomed = changes.put_volume(replace(record, state="deleting"))
    request = {"backing": record.backing}
    with contextlib.suppress(OperationPending):
        async with journal.operation(deletion.KIND, record.volume_id, request, changes=[doomed]):
            raise RuntimeError("the process dies here")


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _profiled(profile: cProfile.Profile | None) -> Iterator[None]:
    if profile is None:
        yield
    else:
        with profile:
            yield


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure recovery.")
    parser.add_argument("--count", type=int, default=1000, help="open operations (default: 1000)")
    parser.add_argument("--connections", type=int, default=4, help="to the appliance (default: 4, as the driver's)")
    parser.add_argument("--appliance", choices=tuple(_WAYS), default="ssh", help="what is driven (default: ssh)")
    parser.add_argument("--profile", metavar="FILE", help="leave a profile of the driver, for pstats")
    args = parser.parse_args()
    logs.configure("error")
    profile = cProfile.Profile(time.process_time) if args.profile else None
    with tempfile.TemporaryDirectory(prefix="rdscsi-bench-") as directory:
        where = Path(directory)
        ssh = args.appliance == "ssh"
        bench = (
            OverSsh(where, args.connections)
            if ssh
            else InMemory(where, args.connections, fast=args.appliance == "fast")
        )
        figures = trio.run(bench.measure, args.count, profile)
    if profile is not None:
        profile.dump_stats(args.profile)
    each = figures.settling / args.count * 1000
    apart = f", simulated RDS {figures.appliance:.2f} s" if ssh else ""
    print(
        f"{args.count} open operations, {_WAYS[args.appliance]}, {args.connections} connections\n"
        f"  take-over, until a line may act  {figures.taking_over:6.2f} s\n"
        f"  settled after that in            {figures.settling:6.2f} s, {each:.1f} ms each "
        f"(aim: 1000 in {AIM_SECONDS:g} s, on an idle machine)\n"
        f"  CPU of that                      {figures.driver:6.2f} s driver{apart}; {figures.commits} commits"
    )


if __name__ == "__main__":
    main()

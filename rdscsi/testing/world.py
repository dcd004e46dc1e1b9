"""A world for the controller half: an appliance that survives, and processes of the driver that come and go over it.

Time is Trio's (give it a mock clock), the journal is a real file, SQL runs in place. `World.process` is one life of
the controller; `World.crash` ends it as SIGKILL would: nothing that it still does reaches the appliance, or the journal
that the next life opens.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from rdscsi import names
from rdscsi.controller.backend import Lease
from rdscsi.controller.controller import Controller, make_controller
from rdscsi.controller.evidence import Claims, Evidence
from rdscsi.controller.options import ControllerOptions
from rdscsi.journal import Journal, Precautions, open_journal
from rdscsi.journal.health import JOURNAL_ID_KEY
from rdscsi.journal.writer import Moment
from rdscsi.model import GIB, Portal
from rdscsi.operations import Operations
from rdscsi.routeros.device import DeviceSettings
from rdscsi.simulator import Appliance, ApplianceOptions, PoolOptions
from rdscsi.simulator.faults import Fault, Faults
from rdscsi.testing.clock import TrioClock, wall_clock
from rdscsi.testing.machines import FastMachine, Machine, SimulatedMachine, Wires
from rdscsi.testing.strikes import Levers, Strikes
from rdscsi.testing.transport import Link

CLUSTER = "11111111-2222-3333-4444-555555555555"
BACKEND = "rds"
OPTIONS = ControllerOptions(cluster_id=CLUSTER, backend=BACKEND, portals=(Portal("192.0.2.10", 4420),))
SETTINGS = DeviceSettings(backend=BACKEND, cluster_id=CLUSTER, pool_slot="pool1")
_MEMORY = Path("/dev/shm")  # noqa: S108 - scratch directories there get names of their own
APPLIANCE = ApplianceOptions(pool=PoolOptions(size=1024 * GIB), initial_uptime=3600.0)


@dataclass(slots=True)
class Process:
    """One life of the controller."""

    controller: Controller
    journal: Journal
    operations: Operations
    link: Link

    async def wait_ready(self) -> None:
        """Wait until the inventory is complete. Bounded by the caller."""
        while not self.controller.backend.complete:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.01)

    async def wait_settled(self) -> None:
        """Wait until nothing is open in the journal. Bounded by the caller."""
        while await self.journal.open_operations():  # noqa: ASYNC110 - virtual time
            await trio.sleep(1.0)


class World:
    """What outlives processes. `seed` decides ids, epochs and delays; `strikes` what goes wrong.

    `fast`: the appliance is the model of `rdscsi.testing.fast` instead of the simulated RDS.

    Made by `open_world`, whose nursery runs the lines whose sessions have died.
    """

    def __init__(
        self,
        directory: Path,
        *,
        nursery: trio.Nursery,
        options: ControllerOptions = OPTIONS,
        settings: DeviceSettings = SETTINGS,
        appliance: ApplianceOptions = APPLIANCE,
        fast: bool = False,
        seed: int = 0,
        connections: int = 4,
        delay: Callable[[random.Random], float] = lambda _: 0.0,
        evidence: Evidence | None = None,
        claims: Claims | None = None,
    ) -> None:
        self.evidence = evidence
        self.claims = claims
        self.directory = directory
        self.options = options
        self.settings = replace(settings, flush_delay=options.flush_delay)
        self.connections = connections
        self.clock = TrioClock()
        self.machine = _machine(directory, appliance, self.clock, fast=fast, seed=seed)
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.link = Link(dead=True)
        self.lives = 0
        self._nursery = nursery
        self.delay = delay
        self._scope = trio.CancelScope()
        self.strikes = Strikes(
            Levers(
                crash=self.crash,
                stop=self.stop,
                add_fault=lambda fault: self._strike(fault),
                reboot=self.machine.reboot,
            )
        )
        self.machine.watch_changes(self.strikes.statement)

    @property
    def faults(self) -> Faults:
        """What goes wrong with console lines."""
        return self.machine.faults

    @property
    def appliance(self) -> Appliance:
        """The simulated RDS itself; the fast model has no console to type at."""
        assert isinstance(self.machine, SimulatedMachine)
        return self.machine.appliance

    @property
    def journal_path(self) -> Path:
        """The journal's file as the last crash left it."""
        return self.directory / f"journal-{self.lives}.db"

    @asynccontextmanager
    async def process(
        self,
        journal: Path | None = None,
        *,
        ready: bool = True,
        lease: Lease | None = None,
        link: Link | None = None,
    ) -> AsyncIterator[Process]:
        """Run one controller while the body runs. A crash inside ends the body too, without an error.

        `lease`: it leads only while that is held, which somebody else sees to. `link`: its way to the appliance.
        """
        link = self.link = link or Link()
        path = journal or self.journal_path
        await _copy_template(path, self._new_id())
        with trio.CancelScope() as scope:
            self._scope = scope
            opened = open_journal(
                path,
                now=wall_clock,
                inline=True,
                new_id=self._new_id,
                watch=lambda moment: self._watch(link, moment),
                precautions=Precautions(backups=0, ballast_bytes=0),
            )
            async with opened as own, trio.open_nursery() as nursery:
                operations = Operations(nursery, deadline=self.options.operation_deadline)
                process = self._made(own, operations, link, lease)
                nursery.start_soon(process.controller.keep)
                if ready:
                    await process.wait_ready()
                yield process
                nursery.cancel_scope.cancel()

    def crash(self) -> None:
        """End the process as SIGKILL does, here and now: the journal survives as its files stand in this moment."""
        former = self.journal_path
        self.lives += 1
        copy_journal(former, self.journal_path)
        self.link.dead = True
        self._scope.cancel()

    def copied_journal(self, name: str) -> Path:
        """Copy the journal as its files stand now, as a backup does; return the path, to be given to `process`."""
        copy = self.directory / f"{name}.db"
        copy_journal(self.journal_path, copy)
        return copy

    def stop(self) -> None:
        """End the process as a signal does whose grace is over: everything is cancelled, and may still tidy up."""
        self._scope.cancel()

    def close(self) -> None:
        """Let go of the appliance's state."""
        self.machine.close()

    def _made(self, journal: Journal, operations: Operations, link: Link, lease: Lease | None) -> Process:
        wires = Wires(
            link=link,
            delay=lambda: self.delay(self.random),
            connections=self.connections,
            before=self.strikes.line,
            after=self._after_line,
        )
        controller = make_controller(
            console=self.machine.console(wires),
            journal=journal,
            operations=operations,
            options=self.options,
            settings=self.settings,
            program=self.machine.program,
            evidence=self.evidence,
            claims=self.claims,
            lease=lease,
            now=wall_clock,
            entropy=self.random.randbytes,
        )
        return Process(controller, journal, operations, link)

    def _strike(self, fault: Fault) -> None:
        self.faults.add(fault, times=1)

    def _watch(self, link: Link, moment: Moment) -> None:
        """A dead process commits to a file that nobody opens again; that is no effect."""
        if not link.dead:
            self.strikes.commit(moment)

    def _after_line(self) -> None:
        self.strikes.answer()
        due = self.machine.next_due()
        if due is not None:
            self._nursery.start_soon(self._run_due, due)

    async def _run_due(self, seconds: float) -> None:
        await trio.sleep(seconds)
        self.machine.run_due()

    def _new_id(self) -> str:
        return names.operation_id(self.random.randbytes(8))


def _machine(directory: Path, options: ApplianceOptions, clock: TrioClock, *, fast: bool, seed: int) -> Machine:
    if not fast:
        return SimulatedMachine(directory / "appliance", options, clock, seed=seed)
    return FastMachine(clock, size=options.pool.size, flush_delay=options.behaviour.config_flush_delay, seed=seed)


async def _copy_template(path: Path, journal_id: str) -> None:
    """Make a new journal by copying one that was made before: the migrations cost more than a whole schedule."""
    if not _TEMPLATE:
        with tempfile.TemporaryDirectory(prefix="rdscsi-template-", dir=in_memory()) as directory:
            made = Path(directory) / "journal.db"
            async with open_journal(made, now=wall_clock, inline=True):
                await trio.lowlevel.checkpoint()
            _TEMPLATE.append(_content(made))
    _copy(path, journal_id)


def copy_journal(source: Path, target: Path) -> None:
    """Copy a journal as its files stand now."""
    for suffix in ("", "-wal"):
        file = source.with_name(source.name + suffix)
        if file.exists():
            shutil.copyfile(file, target.with_name(target.name + suffix))


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _copy(path: Path, journal_id: str) -> None:
    if path.exists():
        return
    path.write_bytes(_TEMPLATE[0])
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (journal_id, JOURNAL_ID_KEY))
        connection.execute("DELETE FROM incarnations")


_TEMPLATE: list[bytes] = []


def in_memory() -> Path | None:
    """Where scratch directories of worlds cost no disk: thousands of schedules commit tens of thousands of times."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


@asynccontextmanager
async def open_world(directory: Path, **settings: Any) -> AsyncIterator[World]:  # Any: those of World
    """Make a world in an empty directory. Needs a Trio run, for its clock."""
    async with trio.open_nursery() as nursery:
        world = World(directory, nursery=nursery, **settings)
        try:
            yield world
        finally:
            nursery.cancel_scope.cancel()
            world.close()

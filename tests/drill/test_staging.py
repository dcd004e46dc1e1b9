"""Drills on an appliance that is only a console: here one of the simulated RDS, in virtual time."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from rdscsi.drill.drills import DRILLS
from rdscsi.drill.rehearsal import Case, effects, rehearse
from rdscsi.drill.results import Mark
from rdscsi.drill.running import run_one
from rdscsi.drill.staging import StagingStage
from rdscsi.routeros.device import Executes
from rdscsi.simulator import ApplianceOptions, PoolOptions
from rdscsi.testing.clock import TrioClock
from rdscsi.testing.invariants import PREFIX
from rdscsi.testing.machines import SimulatedMachine, Wires
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.transport import Link
from rdscsi.testing.world import SETTINGS, in_memory

DEVICE = replace(SETTINGS, flush_delay=2.0, line_ttl=5.0, longest_statement=1.0)
HARDWARE = {"pool1", "nvme1", "nvme2", "nvme3", "nvme4"}
STAGED = [name for name, drill in DRILLS.items() if not drill.simulated_only]


class Appliance:
    """A simulated RDS that outlives rehearsals; only its state does, for each run of Trio has a clock of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.slots: set[str] = set()
        self.leaves: frozenset[str] = frozenset()

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[Executes]:
        options = ApplianceOptions(pool=PoolOptions(size=1 << 40))
        machine = SimulatedMachine(self.directory, options, TrioClock(), seed=0)
        if "backup" not in machine.items():
            machine.put_stranger("backup")
        wires = Wires(link=Link(), delay=lambda: 0.1, connections=4, before=lambda: None, after=lambda: None)
        try:
            yield machine.console(wires)
        finally:
            self.slots, self.leaves = set(machine.items()) - HARDWARE, machine.leaves()
            machine.persist()
            machine.close()

    def stage(self) -> StagingStage:
        return StagingStage(DEVICE, self.opening, clock=trio.testing.MockClock(autojump_threshold=0))

    @property
    def left(self) -> list[str]:
        return [leaf for leaf in self.leaves if PREFIX in leaf or leaf.startswith("pool1/rdscsi/")]


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    with tempfile.TemporaryDirectory(prefix="rdscsi-drill-", dir=in_memory()) as directory:
        yield Appliance(Path(directory) / "rds")


def test_a_rehearsal_clears_up_behind_itself(appliance: Appliance) -> None:
    crash = Case("x", SCENARIOS["publish"], [Strike(Where.ANSWER, 1, What.CRASH)])
    seen = rehearse(crash, appliance.stage())
    assert seen.wrong == []
    assert any(event.mark is Mark.TROUBLE for event in seen.events)
    assert any("exported as" in text for text in seen.after.appliance)
    assert appliance.slots == {"backup"}
    assert appliance.left == []


def test_a_lost_reply_is_looked_at(appliance: Appliance) -> None:
    seen = rehearse(Case("x", SCENARIOS["create"], [Strike(Where.LINE, 1, What.LOST)]), appliance.stage())
    assert seen.wrong == []
    assert any("the drill keeps the answer back" in event.text for event in seen.events)


def test_what_a_rehearsal_left_that_was_cut_short_is_removed_by_the_next(
    appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rdscsi.drill import staging

    async def nothing(world: object) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr(staging, "_cleared", nothing)
        rehearse(Case("x", SCENARIOS["publish"]), appliance.stage())
    assert any(slot.startswith(PREFIX) for slot in appliance.slots)
    assert rehearse(Case("x", SCENARIOS["create"]), appliance.stage()).wrong == []
    assert appliance.slots == {"backup"}


def test_a_driver_with_a_bug_fails_here_too(appliance: Appliance) -> None:
    from bugs import BUGS, in_place

    with in_place(BUGS["made again by another id"]):
        seen = rehearse(Case("x", SCENARIOS["create"], [Strike(Where.LINE, 1, What.LOST)]), appliance.stage())
    assert not seen.passed


def test_the_effects_of_a_call_are_those_of_the_simulated_stage(appliance: Appliance) -> None:
    seen = effects(SCENARIOS["create"], appliance.stage())
    assert (seen.commits, len(seen.lines)) == (2, 1)


@pytest.mark.parametrize("name", ["reply-lost", "journal-lost"])
def test_a_whole_drill_passes(name: str, appliance: Appliance) -> None:
    verdict = run_one(DRILLS[name], appliance.stage())
    assert [(one.case, one.wrong) for one in verdict.rehearsals if one.wrong] == []
    assert verdict.passed


def test_drills_that_need_a_simulated_rds_are_marked() -> None:
    assert STAGED == [
        "create-killed", "delete-killed", "publish-killed", "unpublish-killed", "expand-killed", "reply-lost",
        "journal-lost",
    ]  # fmt: skip

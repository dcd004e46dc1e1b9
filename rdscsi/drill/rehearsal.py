"""Runs one case of a drill on a stage: the real controller, struck once.

The order is always the same: what is there before, the call that is struck, a look at what stands then, the next life
of the controller if the first one ended, what the orchestrator does, and a look at how all of it came out.
"""

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import trio

from rdscsi.drill.recording import Recorder, record
from rdscsi.drill.results import Lane, Mark, Rehearsal, Standing
from rdscsi.drill.stage import Stage
from rdscsi.drill.standing import standing, standing_in_file
from rdscsi.errors import DriverError, NotFinal, Quarantined
from rdscsi.testing.invariants import Holdings, Memory, Promises, holdings, violations
from rdscsi.testing.orchestrator import settle
from rdscsi.testing.scenarios import VOLUME_ID, Scenario, Step, create, delete, remove
from rdscsi.testing.schedules import Reaction
from rdscsi.testing.strikes import Bug, Counting, Strike
from rdscsi.testing.world import Process, World

BEFORE_FLUSH = 1.0

Aftermath = Callable[[World, Recorder], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """What is rehearsed. `aftermath` strikes when the call has ended, whatever became of it.

    `strays`: files without a record may be left for a person, since the journal was lost.
    """

    name: str
    scenario: Scenario
    strikes: Sequence[Strike] = ()
    reaction: Reaction = Reaction.RETRIES
    aftermath: Aftermath | None = None
    strays: bool = False


def rehearse(case: Case, stage: Stage) -> Rehearsal:
    """Run a case in a world of its own. An error that nobody reckoned with is a broken promise like the others."""
    rehearsal, _ = _run(case, stage)
    return rehearsal


class DryRunFailed(DriverError):
    """The call goes wrong without being struck, so that there is nothing to strike."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        super().__init__("; ".join(rehearsal.wrong))
        self.rehearsal = rehearsal


def effects(scenario: Scenario, stage: Stage) -> Counting:
    """Count the effects of a scenario's call when nothing goes wrong. Raises DryRunFailed."""
    rehearsal, counting = _run(Case("without a strike", scenario), stage)
    if rehearsal.wrong:
        raise DryRunFailed(rehearsal)
    return counting


def _run(case: Case, stage: Stage) -> tuple[Rehearsal, Counting]:
    rehearsal = Rehearsal(case.name)
    counting = Counting()

    async def body(world: World) -> None:
        nonlocal counting
        counting = await _Running(world, case, rehearsal, stage).through()

    try:
        stage.run(body)
    except Exception as error:  # noqa: BLE001 - whatever breaks the controller is what a drill is to find
        rehearsal.wrong.append(f"the controller broke down: {_told(error)}")
    return rehearsal, counting


def _told(error: BaseException) -> str:
    """The first error that is no group of others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


class _Running:
    def __init__(self, world: World, case: Case, rehearsal: Rehearsal, stage: Stage) -> None:
        self.world = world
        self.stage = stage
        self.case = case
        self.rehearsal = rehearsal
        self.recorder = Recorder()
        self.promises = Promises()
        self.foreign = Holdings({}, frozenset())
        self.final = False
        self.settled = False
        self.counted = Counting()
        rehearsal.events = self.recorder.events
        record(world, self.recorder)

    async def through(self) -> Counting:
        world, rehearsal = self.world, self.rehearsal
        lives = world.lives
        async with world.process() as process:
            await self._first_life(process)
        if world.strikes.left:
            rehearsal.wrong.append("the strike never found its moment: the call has other effects than in the dry run")
        world.strikes.disarm()
        if not self.settled:
            await self._next_life(crashed=world.lives > lives)
        return self.counted

    async def _first_life(self, process: Process) -> None:
        for step in self.case.scenario.before:
            await settle(lambda step=step: step(process.controller, self.promises))  # type: ignore[misc]
        await trio.sleep(self.stage.pace.flushed)
        self.case.scenario.meddle(self.world)
        self.rehearsal.before = await self._standing(process)
        self.foreign = holdings(self.world.machine)
        self.world.strikes.arm(self.case.strikes)
        self.final = await self._called(process)
        self.counted = deepcopy(self.world.strikes.counting)
        if self.case.aftermath is not None:
            await self.case.aftermath(self.world, self.recorder)
        self.rehearsal.struck = await self._standing(process)
        with trio.fail_after(10 * self.stage.pace.patience):
            await self._come_right(process)

    async def _next_life(self, *, crashed: bool) -> None:
        await self.stage.look(self.world)
        self.rehearsal.struck = standing_in_file(self.world.machine, self.world.journal_path)
        self.recorder.note(Lane.CONTROLLER, "SIGKILL" if crashed else "ends", Mark.TROUBLE)
        self.recorder.life += 1
        self.recorder.note(Lane.CONTROLLER, "the next process starts", Mark.RECOVERY)
        with trio.fail_after(10 * self.stage.pace.patience):
            async with self.world.process(ready=False) as process:
                await process.wait_ready()
                self.recorder.note(Lane.CONTROLLER, "holds the token and has looked through the appliance")
                await self._come_right(process)

    async def _called(self, process: Process) -> bool:
        """Call once; tell whether the answer was final. A final error must leave nothing of ours half made."""
        self.recorder.note(Lane.CALLER, "calls")
        try:
            await self.case.scenario.call(process.controller, self.promises)
            self.recorder.note(Lane.CALLER, "is told OK")
        except (NotFinal, Bug) as error:
            self.recorder.note(Lane.CALLER, f"is told maybe: {error}", Mark.TROUBLE)
            return False
        except DriverError as error:
            self.promises.sure(VOLUME_ID)
            self.recorder.note(Lane.CALLER, f"is told no: {error}")
        self.rehearsal.wrong += [
            f"a final answer with an open operation: {one.kind}" for one in await process.journal.open_operations()
        ]
        return True

    async def _come_right(self, process: Process) -> None:
        """What the orchestrator does, the end of everything that is open, and the promises one by one."""
        if self.final and self.case.aftermath is not None:
            # Nobody calls meanwhile, so that the controller comes upon it by itself.
            await trio.sleep(self.stage.pace.noticed)
            await self._gone_is_gone()
        await self._react(process)
        with trio.fail_after(self.stage.pace.patience):
            await process.wait_settled()
        self.recorder.note(Lane.JOURNAL, "nothing is open", Mark.RECOVERY)
        self.recorder.end()
        await trio.sleep(self.stage.pace.landed)
        await self._gone_is_gone()
        await trio.sleep(self.stage.pace.settled)
        self.rehearsal.after = await self._standing(process)
        memory = Memory.LOST if self.case.strays else Memory.WHOLE
        self.rehearsal.wrong += await violations(
            self.world.machine, process.journal, self.promises, self.foreign, memory=memory
        )
        self.settled = True

    async def _standing(self, process: Process) -> Standing:
        await self.stage.look(self.world)
        return await standing(self.world.machine, process.journal)

    async def _gone_is_gone(self) -> None:
        """Not even for a moment: whoever was told that a volume is gone may make another of that name."""
        await self.stage.look(self.world)
        back = [slot for slot in self.world.machine.items() if VOLUME_ID.endswith(slot)]
        if VOLUME_ID in self.promises.gone and back:
            self.rehearsal.wrong.append(f"{VOLUME_ID}: was acknowledged as deleted, and its disk is there again")

    async def _react(self, process: Process) -> None:
        call: Step = self.case.scenario.call
        if not self.final and self.case.reaction is Reaction.GIVES_UP:
            self.promises.doubt(VOLUME_ID)
            self.recorder.note(Lane.CALLER, "gives up")
            return
        if not self.final and self.case.reaction is Reaction.DELETES:
            call = delete if call is create else remove
        self.recorder.note(Lane.CALLER, "calls again" if call is self.case.scenario.call else "deletes it instead")
        try:
            await settle(lambda: call(process.controller, self.promises), patience=self.stage.pace.patience)
            self.recorder.note(Lane.CALLER, "is told OK", Mark.RECOVERY)
        except DriverError as error:
            self.promises.sure(VOLUME_ID)
            self.recorder.note(Lane.CALLER, f"is told no: {error}", Mark.RECOVERY)
        except trio.TooSlowError:
            await self._explain(call, process)

    async def _explain(self, call: Step, process: Process) -> None:
        """Only a quarantine that the case brings with it may hold for ever."""
        try:
            await call(process.controller, self.promises)
        except NotFinal as error:
            if self.case.scenario.quarantines and isinstance(error, Quarantined):
                return
            self.rehearsal.wrong.append(f"no final answer within {self.stage.pace.patience:g} s: {error}")


async def power_loss(world: World, recorder: Recorder) -> None:
    """The appliance loses power before it has written down what it was told last."""
    await trio.sleep(BEFORE_FLUSH)
    lost = world.machine.reboot()
    recorder.note(Lane.APPLIANCE, f"power loss, {lost} changes lost", Mark.TROUBLE)


async def journal_lost(world: World, recorder: Recorder) -> None:
    """The controller dies, and its journal with it."""
    recorder.note(Lane.JOURNAL, "the file is gone", Mark.TROUBLE)
    world.crash()
    for suffix in ("", "-wal"):
        world.journal_path.with_name(world.journal_path.name + suffix).unlink(missing_ok=True)
    await trio.lowlevel.checkpoint()

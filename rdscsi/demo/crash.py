"""The worst moment: the controller is killed when the appliance has done its work and the journal does not know yet.

The simulated RDS holds the create's answer back, so that the moment is exact: disk made, answer not there, intent open.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import trio

from rdscsi.demo.telling import StepFailed
from rdscsi.demo.world import MIB, World, mib
from rdscsi.journal import OperationRecord
from rdscsi.journal.reading import read_journal
from rdscsi.sandbox import appliance, calls
from rdscsi.sandbox.supervisor import CONTROLLER
from rdscsi.simulator.control import ask

NAME = "demo-crash"
_SIZE = 64 * MIB
_WAIT_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 0.05


async def crash(world: World) -> None:
    """Kill the controller in mid-create and watch the recovery. Raises StepFailed when it is not as promised."""
    request = calls.create(NAME, _SIZE, calls.filesystem("ext4"))
    created: list[str] = []

    async def create() -> None:
        made = await world.controller.settle(world.controller.controller.create_volume, request)
        assert made.volume is not None
        created.append(made.volume.volume_id)

    async with trio.open_nursery() as nursery:
        with world.telling.step("CreateVolume; the appliance works, its answer is held back") as step:
            rule = await _controlled(world, {"do": "add", "kind": "hold", "contains": "/disk/add", "times": 1})
            nursery.start_soon(create)
            await _until(partial(_held, world, rule))
            step.remark(f"on the appliance: {', '.join(await _new_objects(world))}")
        with world.telling.step("SIGKILL to the controller") as step:
            pid = world.sandbox.record.processes[CONTROLLER]
            world.sandbox.kill(CONTROLLER)
            row = await _open_row(world)
            step.remark(f"process {pid} is gone; nobody has told its journal that the disk was made")
            for line in _told(row):
                step.remark(line)
            await _controlled(world, {"do": "clear"})
        with world.telling.step("the next process takes the token, looks, and the caller's retry ends well") as step:
            with trio.fail_after(_WAIT_SECONDS):
                while not created:  # noqa: ASYNC110 - the caller retries on its own
                    await trio.sleep(_LOOK_AGAIN_SECONDS)
            step.remark(f"{created[0]}, {mib(_SIZE)}: one disk, not two; nothing was made twice, nothing is left over")
            step.remark(f"that row now: {_state(world, row)}")
    with world.telling.step("DeleteVolume") as step:
        await world.controller.settle(world.controller.controller.delete_volume, calls.delete(created[0]))
        step.remark("disk and file proven gone")


async def _controlled(world: World, request: Mapping[str, str | int]) -> int:
    answer = await trio.to_thread.run_sync(partial(ask, world.sandbox.layout.simulator, request))
    rule = answer.get("rule", 0)
    return rule if isinstance(rule, int) else 0


async def _held(world: World, rule: int) -> bool:
    """Tell whether the simulated RDS holds a line by this rule now."""
    answer = await trio.to_thread.run_sync(partial(ask, world.sandbox.layout.simulator, {"do": "list"}))
    rules = answer.get("rules")
    assert isinstance(rules, list)
    return any(isinstance(one, dict) and one.get("rule") == rule and one.get("held") for one in rules)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    with trio.move_on_after(_WAIT_SECONDS):
        while not await condition():  # noqa: ASYNC110 - another process's state
            await trio.sleep(_LOOK_AGAIN_SECONDS)
        return
    raise StepFailed(f"the simulated appliance did not come to that moment within {_WAIT_SECONDS:g} s")


async def _new_objects(world: World) -> list[str]:
    assert world.sandbox.record.ssh is not None
    async with appliance.open_appliance(world.sandbox.record.ssh) as console:
        return (await appliance.look(console)).beyond(world.holdings)


async def _open_row(world: World) -> OperationRecord:
    path = Path(world.sandbox.record.journals[CONTROLLER])

    def find() -> OperationRecord | None:
        with read_journal(path) as reading:
            return next((one for one in reading.operations(limit=20) if one.request.get("name") == NAME), None)

    found = await trio.to_thread.run_sync(find)
    if found is None:
        raise StepFailed("the journal has no row of this create: its intent was not written before the effect")
    return found


def _told(row: OperationRecord) -> list[str]:
    return [
        f"rdscsi journal show {row.id}:",
        f"  {row.kind} {row.subject}, {row.state}, attempt {row.attempts}, {row.request.get('size_bytes'):,} bytes",
        *(f"  {step.name}: {step.detail}" for step in row.steps),
    ]


def _state(world: World, row: OperationRecord) -> str:
    with read_journal(Path(world.sandbox.record.journals[CONTROLLER])) as reading:
        [now] = reading.operations_about(row.id, limit=1)
    return f"{now.state}, after {now.attempts} attempts ({now.outcome})"

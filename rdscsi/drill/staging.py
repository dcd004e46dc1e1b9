"""Drills on a staging appliance, in real time: the same cases, as far as they can be had there.

The controller runs under a cluster id of the drill's own, so that it touches no volume of any cluster. What it made is
removed after each rehearsal, and before the next one if that was cut short.
"""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from rdscsi import names
from rdscsi.config import ControllerSettings
from rdscsi.controller.opening import device_settings, open_console
from rdscsi.csi.loop import open_loop
from rdscsi.drill.appliance import ApplianceMachine
from rdscsi.drill.stage import Body, Pace
from rdscsi.routeros.device import DeviceSettings, Executes
from rdscsi.testing.invariants import PREFIX
from rdscsi.testing.orchestrator import settle
from rdscsi.testing.world import BACKEND, CLUSTER, OPTIONS, World

_ABANDONED_AFTER = 20.0
_REFRESHED_EVERY = 15.0

Opening = Callable[[], AbstractAsyncContextManager[Executes]]


class StagingStage:
    """One appliance. `opening` gives a console; `clock` is for tests."""

    simulated = False

    def __init__(self, device: DeviceSettings, opening: Opening, *, clock: trio.abc.Clock | None = None) -> None:
        self._device = replace(device, backend=BACKEND, cluster_id=CLUSTER)
        self._opening = opening
        self._clock = clock
        self.pace = Pace(
            flushed=device.flush_delay,
            noticed=2 * _REFRESHED_EVERY,
            landed=1.0,
            settled=2 * _REFRESHED_EVERY,
            patience=600.0,
        )

    def run(self, body: Body) -> None:
        """See `Stage.run`."""
        with tempfile.TemporaryDirectory(prefix="rdscsi-drill-") as directory:
            trio.run(self._run, body, Path(directory), clock=self._clock)

    async def look(self, world: World) -> None:
        """See `Stage.look`."""
        assert isinstance(world.machine, ApplianceMachine)
        await world.machine.survey()

    async def _run(self, body: Body, directory: Path) -> None:
        async with self._opening() as console, trio.open_nursery() as nursery:
            machine = ApplianceMachine(console)
            await machine.survey()
            if any(slot.startswith(PREFIX) or slot == _marker() for slot in machine.items()):
                await _cleared(self._world(directory / "left", nursery, machine))
            world = self._world(directory / "now", nursery, machine)
            try:
                await body(world)
            finally:
                with trio.CancelScope(shield=True):  # else volumes would stay on the appliance
                    await _cleared(self._world(directory / "end", nursery, machine))
            nursery.cancel_scope.cancel()

    def _world(self, directory: Path, nursery: trio.Nursery, machine: ApplianceMachine) -> World:
        directory.mkdir()
        options = replace(
            OPTIONS,
            flush_delay=self._device.flush_delay,
            abandon_after=_ABANDONED_AFTER,
            refresh_every=_REFRESHED_EVERY,
            retry_every=1.0,
        )
        world = World(directory, nursery=nursery, options=options, settings=self._device, fast=True)
        world.machine = machine
        return world


async def _cleared(world: World) -> None:
    """Delete what there is by a controller that knows it from its tags, then remove the marker."""
    machine = world.machine
    assert isinstance(machine, ApplianceMachine)
    with trio.fail_after(600.0):
        async with world.process() as process:
            for record in await process.journal.volumes():
                controller, volume_id = process.controller, record.volume_id
                await settle(lambda: controller.unpublish_volume(volume_id, ""))  # noqa: B023 - awaited at once
                await settle(lambda: controller.delete_volume(volume_id))  # noqa: B023 - awaited at once
            place = process.controller.backend.device.place
    await machine.remove(_marker(), f"{place.base_path}/{_marker()}.img")


def _marker() -> str:
    return names.marker_slot(CLUSTER, BACKEND)


def stage_of(settings: ControllerSettings) -> StagingStage:
    """The appliance of a controller's settings."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Executes]:
        async with open_loop(), open_console(settings) as console:
            yield console

    return StagingStage(device_settings(settings, CLUSTER), opening)

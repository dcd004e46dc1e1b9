"""The keeper's rounds: each rests on one boot of the appliance."""

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import NotFinal
from rdscsi.routeros.answers import Answer
from rdscsi.testing.orchestrator import settle, wish
from rdscsi.testing.world import World


async def test_an_inventory_that_a_reboot_overtakes_is_taken_anew(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another call's answer shows the reboot while the inventory's is on its way: that tells of the boot before."""
    async with world.process() as process:
        backend = process.controller.backend
        volume = await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(world.options.refresh_every / 2)
        taken: list[float] = []
        known: list[bool] = []
        inventory = backend.device.inventory

        async def overtaken() -> Answer:
            known.append(backend.complete)
            answer = await inventory()
            taken.append(trio.current_time())
            if len(taken) == 1:
                world.appliance.reboot()
                await trio.sleep(1)
                with pytest.raises(NotFinal):
                    await backend.look_at(backend.slot("pvc-1"))
                assert backend.reboots == 1
            return answer

        monkeypatch.setattr(backend.device, "inventory", overtaken)
        await trio.sleep(world.options.refresh_every)
        assert known == [True, False]  # what was seen of the boot before is not taken for what there is
        assert taken[1] - taken[0] < world.options.refresh_every / 2
        made = await settle(lambda: process.controller.create_volume(wish("pvc-2")))
        there = (await process.controller.list_volumes(0, "")).volumes
        assert {one.volume_id for one in there} == {volume.volume_id, made.volume_id}

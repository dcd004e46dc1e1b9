"""`rdscsi volume import`: its plan, what it refuses, what it asks the driver for, and the manifest alone on stdout."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock
from verb_rig import VOLUME, Command, command, fill, record, world

from rdscsi.cli import journal_explain, sight
from rdscsi.cli import volume as volume_command
from rdscsi.controller import importing
from rdscsi.journal.reading import read_journal
from rdscsi.model import GIB, MIB
from rdscsi.tags import parse_tag, render_tag
from rdscsi.testing.orchestrator import BLOCK, NODE_A, attach, wish
from rdscsi.testing.world import CLUSTER, Process, World

__all__ = ["command", "world"]  # fixtures

FOREIGN, PATH = "vm-storage-001", "pool1/vm-storage-001.img"
VOLUME_ID = f"rds/{importing.slot_of(CLUSTER, PATH)}"


async def _seen(
    world: World, process: Process, command: Command, monkeypatch: pytest.MonkeyPatch
) -> volume_command.Disk:
    """Look by the eyes of the command, over a wire of the test instead of its own."""
    command.path = world.journal_path
    disk = await volume_command.see(process.controller.backend.device, FOREIGN)
    monkeypatch.setattr("rdscsi.cli.volume.look_at_disk", lambda args: disk)
    return disk


def _put_foreign(world: World) -> None:
    world.machine.put_stranger(FOREIGN)
    world.machine.set_by_hand(FOREIGN, comment="")


async def test_a_disk_is_imported_by_the_driver_and_its_manifest_printed(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    _put_foreign(world)
    async with world.process() as process:
        await _seen(world, process, command, monkeypatch)
        assert command.run("volume", "import", FOREIGN, "--yes", "--wait", "0", status=3) == ""
        assert f"its slot becomes {VOLUME_ID.partition('/')[2]}" in command.err
        assert f"{MIB} bytes in {PATH}" in command.err
        await trio.sleep(2 * world.options.refresh_every)
        text = command.run("volume", "import", VOLUME_ID, "--name", "data-ada", status=0)
        assert text.splitlines() == [
            'apiVersion: "v1"',
            'kind: "PersistentVolume"',
            "metadata:",
            '  name: "data-ada"',
            "spec:",
            "  capacity:",
            f'    storage: "{MIB}"',
            '  accessModes: ["ReadWriteOnce"]',
            '  volumeMode: "Block"',
            '  persistentVolumeReclaimPolicy: "Retain"',
            '  storageClassName: ""',
            "  csi:",
            '    driver: "csi.rdscsi.io"',
            f'    volumeHandle: "{VOLUME_ID}"',
        ]
        document = json.loads(command.run("volume", "import", VOLUME_ID, "--output", "json", status=0))
        assert document["spec"]["csi"]["volumeHandle"] == VOLUME_ID


async def test_what_the_next_inventory_makes_of_an_imported_volume_is_told_too(
    world: World, command: Command, autojump_clock: MockClock
) -> None:
    _put_foreign(world)
    async with world.process() as process:
        backend = process.controller.backend
        await importing.adopt(backend, FOREIGN, PATH)
        look = await sight.see(backend.device)
        with read_journal(world.journal_path) as reading:
            case = journal_explain.collect(reading, VOLUME_ID, look, now=2.0, abandon_after=600)
        assert dict(journal_explain.explain(case).told)["appliance"].endswith("judged: as recorded")


async def test_without_a_yes_nothing_is_asked_for(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    _put_foreign(world)
    async with world.process() as process:
        await _seen(world, process, command, monkeypatch)
        for answer in ("n\n", "", "what?\n"):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            assert command.run("volume", "import", FOREIGN, status=4) == ""
            assert command.err.endswith("nothing was done\n")
        with read_journal(command.path) as reading:
            assert reading.open_operations() == []


async def test_a_disk_in_use_is_refused_before_anything_is_asked(
    world: World, command: Command, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    world.machine.put_stranger(FOREIGN)
    world.machine.set_by_hand(FOREIGN, export=True)
    async with world.process() as process:
        await _seen(world, process, command, monkeypatch)
        command.run("volume", "import", FOREIGN, "--yes", status=1)
        for part in ("nvme-tcp-export=yes", "comment='not yours'"):
            assert part in command.err
        disk = await volume_command.see(process.controller.backend.device, "nobody")
        monkeypatch.setattr("rdscsi.cli.volume.look_at_disk", lambda args: disk)
        command.run("volume", "import", "nobody", "--yes", status=1)
        assert "no disk of the appliance has the slot 'nobody'" in command.err
        with read_journal(command.path) as reading:
            assert reading.open_operations() == []


async def test_a_released_volume_is_told_and_one_in_use_is_not(
    world: World, command: Command, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        command.path = world.journal_path
        await process.controller.publish_volume(attach(volume, NODE_A, BLOCK))
        command.run("volume", "import", volume.volume_id, status=1)
        assert f"is published to {NODE_A}" in command.err
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
        text = command.run("volume", "import", volume.volume_id, "--access-mode", "ReadWriteMany", status=0)
        assert 'volumeMode: "Block"' in text
        assert '["ReadWriteMany"]' in text
        command.run("volume", "import", "rds/v-nobody", status=1)


async def test_a_filesystem_is_told_with_its_kind(command: Command, tmp_path: Path) -> None:
    tag = parse_tag(record().tag)
    assert tag is not None
    await fill(command.path, volume=record(tag=render_tag(replace(tag, publication=None))))
    text = command.run("volume", "import", VOLUME, "--fs-type", "xfs", "--volume-mode", "Filesystem", status=0)
    assert 'fsType: "xfs"' in text
    assert f'storage: "{10 * GIB}"' in text
    command.run("volume", "import", VOLUME, "--volume-mode", "Filesystem", "--access-mode", "ReadWriteMany", status=1)
    assert "a filesystem serves one node" in command.err
    command.run("volume", "import", VOLUME, "--name", "No Name", status=1)
    assert "--name='No Name'" in command.err


@pytest.mark.parametrize(("left", "quarantine"), [("publish", ""), (None, "contradiction: odd")])
async def test_what_is_not_at_rest_is_refused(left: str | None, quarantine: str, command: Command) -> None:
    await fill(command.path, *([left] if left else []), volume=record(quarantine=quarantine))
    command.run("volume", "import", VOLUME, status=1)
    assert "is not at rest" in command.err


async def test_nobody_imports_a_disk_unseen(command: Command) -> None:
    await fill(command.path)
    command.run("volume", "import", FOREIGN, "--yes", status=1)
    assert "the disk has to be seen" in command.err

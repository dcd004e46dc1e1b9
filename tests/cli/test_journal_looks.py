"""The verbs that look closer: `explain`, `verify` and `publication list`, with the appliance and without."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import trio
from journal_page import seen
from journal_sample import BARE, opened
from trio.testing import MockClock
from verb_rig import BACKING, VOLUME, Command, command, fill, record, world

from rdscsi.cli import journal_explain, sight
from rdscsi.cli.publication import _rows
from rdscsi.journal import asking, changes, open_journal
from rdscsi.journal.reading import read_journal
from rdscsi.journal.records import WAITS_META
from rdscsi.model import GIB
from rdscsi.testing.orchestrator import attach, wish
from rdscsi.testing.world import World

__all__ = ["command", "world"]  # fixtures


class TestExplain:
    async def test_without_settings_nobody_looks_and_it_says_so(self, command: Command) -> None:
        await fill(command.path, "delete")
        text = command.run("journal", "explain", VOLUME, status=3)
        for part in (
            f"{VOLUME}: delete is open",
            "no driver runs on this journal",
            "RuntimeError: died here",
            "was not looked at: no settings for it are here",
            "begun delete",
            "start the driver",
        ):
            assert part in text
        assert "--offline" in command.run("journal", "explain", VOLUME, "--offline", status=3)
        assert "journal retry" not in text, "nobody could carry it out"

    async def test_json_has_the_records_and_what_helps(self, command: Command) -> None:
        await fill(command.path, "create", volume=record(state="creating"))
        document = json.loads(command.run("journal", "explain", VOLUME, "--output", "json", status=3))
        assert document["state"] == "create is open"
        assert document["operation"]["kind"] == "create"
        assert document["volume"]["capacity_bytes"] == 10 * GIB
        assert {one["about"] for one in document["told"]} >= {"volume", "operation", "driver", "appliance", "next"}

    async def test_what_is_fine_gone_or_unknown_has_a_status_of_its_own(self, command: Command) -> None:
        await fill(command.path)
        assert "as it should be" in command.run("journal", "explain", VOLUME, status=0)
        assert "nothing known" in command.run("journal", "explain", "rds/v-nobody", status=1)
        assert "nothing known" in command.run("journal", "explain", "not an id", status=1)

    async def test_a_controller_that_waits_for_the_lease_needs_nobody(self, command: Command) -> None:
        await fill(command.path, "delete")
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            await journal.commit(changes.put_meta(WAITS_META, "1 StandingBy: the Lease x/y was last seen held by z"))
            text = command.run("journal", "explain", VOLUME, "--offline", status=3)
        assert "was last seen held by z" in text
        assert "leads as soon as it has the Lease" in text
        assert "find the other controller" not in text

    async def test_an_operation_is_explained_by_its_id_too(self, command: Command) -> None:
        await fill(command.path, "delete")
        with read_journal(command.path) as reading:
            (operation,) = reading.open_operations()
        assert f"{VOLUME}: delete is open" in command.run("journal", "explain", operation.id, status=3)

    @pytest.mark.parametrize(
        ("comment", "advice"),
        [("mine", '/disk/set [find slot="'), (None, "--accept"), (None, "--restore")],
    )
    async def test_advice_for_a_contradiction_depends_on_what_is_there(
        self, comment: str | None, advice: str, command: Command
    ) -> None:
        await fill(command.path, volume=record(quarantine="contradiction: odd"))
        with read_journal(command.path) as reading:
            look = seen(reading)
            slot = VOLUME.partition("/")[2]
            item = replace(_item(command), comment=comment or record().tag)
            look = replace(look, items={slot: item}, backings={slot: frozenset([BACKING])})
            case = journal_explain.collect(reading, VOLUME, look, now=2.0, abandon_after=600)
            told = journal_explain.explain(case)
        assert case.state == "quarantined"
        assert any(advice in text for text, _ in told.help)

    async def test_two_leaders_are_told(self, world: World, command: Command, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            look = await sight.see(process.controller.backend.device)
            with read_journal(world.journal_path) as reading:
                case = journal_explain.collect(reading, volume.volume_id, look, now=2.0, abandon_after=600)
                fine = dict(journal_explain.explain(case).told)["appliance"]
                other = replace(case, situation=replace(case.situation, journal_id="bbbbbbbbbbbbb"))
                led = dict(journal_explain.explain(other).told)["appliance"]
        assert "item ready, generation 2, 64Mi, export off" in fine
        assert fine.endswith("judged: as recorded")
        assert "led by another journal" in led


def _item(command: Command) -> Any:
    with opened(command.path) as connection:
        connection.execute("UPDATE volumes SET quarantine = ''")
    with read_journal(command.path) as reading:
        return next(iter(seen(reading).items.values()))


class TestSight:
    async def test_it_takes_no_token_and_changes_nothing(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            mutations = world.appliance.mutations
            look = await sight.see(process.controller.backend.device)
            assert look.seen
            assert world.appliance.mutations == mutations
            slot = volume.volume_id.partition("/")[2]
            assert list(look.items) == [slot]
            assert len(look.backings[slot]) == 1
            assert look.marker is not None
            assert look.marker.journal_id == process.journal.id

    async def test_an_appliance_that_is_away_is_told_not_raised(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            world.faults.add("drop-before")
            look = await sight.see(process.controller.backend.device)
            assert not look.seen
            assert "cannot be looked at" in look.why_not

    async def test_wrong_settings_are_wrong_settings(self, command: Command, tmp_path: Path) -> None:
        await fill(command.path)
        config = tmp_path / "wrong.toml"
        config.write_text('rds-address = "192.0.2.10"\n')
        command.run("journal", "explain", VOLUME, "--config", str(config), status=2)
        assert "cluster-id is required" in command.err


class TestPublications:
    async def test_publications_are_listed_as_journal_and_appliance_have_them(
        self, world: World, command: Command, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            await process.controller.publish_volume(attach(volume))
            command.path = world.journal_path
            text = command.run("publication", "list", status=0)
            assert volume.volume_id in text
            assert "the appliance was not looked at" in text
            kept = await process.journal.volume(volume.volume_id)
            assert kept is not None
            slot = kept.slot
            world.appliance.run(f"/disk/set [find where slot={slot}] nvme-tcp-export=no")
            (row,) = _rows(kept, await sight.see(process.controller.backend.device))
            assert (row["journal"], row["appliance"], row["exported_as"]) == ("published", "published", "-")

    async def test_an_export_that_nobody_knows_of_is_listed_too(self, command: Command) -> None:
        await fill(command.path)
        with read_journal(command.path) as reading:
            look = seen(reading)
            (kept,) = reading.volumes()
        item = replace(look.items[kept.slot], nvme_tcp_export=True, nvme_tcp_server_nqn="nqn.x")
        (row,) = _rows(kept, replace(look, items={kept.slot: item}))
        assert (row["node"], row["exported_as"]) == ("(exported to nobody's knowledge)", "nqn.x")

    async def test_without_publications_it_says_so(self, command: Command) -> None:
        await fill(command.path)
        assert "no publications" in command.run("publication", "list", status=0)
        document = json.loads(command.run("publication", "list", "--output", "json", status=0))
        assert document["publications"] == []


async def test_while_it_waits_for_the_appliance_the_list_says_so(
    world: World, command: Command, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        world.faults.add("drop-before")
        await trio.sleep(2 * world.options.refresh_every)
        await process.journal.commit()
        command.path = world.journal_path
        assert "the driver cannot act, since" in command.run("journal", "list", status=0)
        world.faults.clear()
        await trio.sleep(2 * world.options.refresh_every)
        await process.journal.commit()
        assert "cannot act" not in command.run("journal", "list", status=0)


class TestWhatIsAskedFor:
    async def test_a_wish_alone_is_explained_until_it_is_carried_out(self, command: Command) -> None:
        await fill(command.path)
        async with open_journal(command.path, precautions=BARE, inline=True):
            asked = asking.ask(command.path, asking.REVOKE, VOLUME, {"node": ""}, now=1.0)
            text = command.run("journal", "explain", VOLUME, status=3)
            assert f"{VOLUME}: revoke is asked for" in text
            assert "the driver carries it out in its next round" in text
            assert f"revoke {asked}" in command.run("journal", "show", VOLUME, status=0)
            assert f"{VOLUME}: revoke is asked for" in command.run("journal", "explain", asked, status=3)

    async def test_a_stuck_publish_may_be_retried_or_revoked(self, command: Command) -> None:
        await fill(command.path, "publish")
        async with open_journal(command.path, precautions=BARE, inline=True):
            text = command.run("journal", "explain", VOLUME, status=3)
        assert f"rdscsi journal retry {VOLUME}" in text
        assert f"rdscsi publication revoke {VOLUME}" in text


class TestVerifyWithTheAppliance:
    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({}, ""),
            ({"comment": "mine"}, "a person must look"),
            ({"nvme_tcp_export": True}, "the appliance forgot a committed change"),
        ],
    )
    async def test_it_tells_what_the_next_inventory_will_make_of_it(
        self, change: dict[str, Any], told: str, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(command.path)
        with read_journal(command.path) as reading:
            look = seen(reading)
        items = {slot: replace(item, **change) for slot, item in look.items.items()}
        monkeypatch.setattr("rdscsi.cli.journal_files.look", lambda _args: replace(look, items=items))
        text = command.run("journal", "verify", status=3 if told else 0)
        assert told in text
        assert ("but for the above" in text) == bool(told)


def test_an_appliance_out_of_reach_is_told_within_its_deadline(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real sockets and a real second of waiting: the way that a person's command takes."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "id").write_bytes(key.export_private_key())
    (tmp_path / "host.pub").write_bytes(key.export_public_key())
    trio.run(fill, command.path)
    config = tmp_path / "controller.toml"
    config.write_text(
        'cluster-id = "c"\nendpoint = "unix:///x.sock"\nrds-address = "127.0.0.1"\nrds-port = 1\npool-slot = "pool1"\n'
        f'portals = ["127.0.0.1"]\nrds-key-file = "{tmp_path}/id"\nrds-host-key-file = "{tmp_path}/host.pub"\n'
        "command-deadline = 1\n"
    )
    text = command.run("journal", "explain", VOLUME, "--config", str(config), status=0)
    assert "cannot be looked at: not sent within 1 s" in text
    assert BACKING not in text

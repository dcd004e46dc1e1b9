"""Snapshots on the command line: listed, shown, explained with the appliance and without, verified, resolved."""

import json
from dataclasses import replace
from typing import Any

import pytest
from journal_page import CLUSTER, volume_id
from journal_sample import BARE
from verb_rig import Command, command, fill

from rdscsi import names
from rdscsi.cli import journal_explain
from rdscsi.cli.journal_explain import Explanation
from rdscsi.cli.sight import Sight
from rdscsi.errors import OperationPending
from rdscsi.journal import SnapshotRecord, Tombstone, changes, open_journal
from rdscsi.journal.reading import read_journal
from rdscsi.model import GIB
from rdscsi.names import Backing, SnapshotBacking
from rdscsi.routeros.answers import Leaf
from rdscsi.tags import Marker

__all__ = ["command"]  # a fixture

SLOT = names.slot("s", CLUSTER, "snap-1")
SNAPSHOT = names.volume_id("rds", SLOT)
VOLUME = volume_id("pvc-1")
MADE, OTHER = "b" * 13, "c" * 13


def _name(operation: str) -> str:
    return SnapshotBacking(SLOT, operation, Backing(VOLUME.partition("/")[2], "a" * 13), GIB).name


def _record(**others: Any) -> SnapshotRecord:
    made = SnapshotRecord(SNAPSHOT, "rds", SLOT, "snap-1", VOLUME, _name(MADE), GIB, 5.0, "u", "ready", "", 6.0)
    return replace(made, **others)


def _look(*leaves: Leaf) -> Sight:
    return Sight(1.0, leaves={leaf.name: leaf for leaf in leaves})


def _leaf(operation: str = MADE, *, uuid: str = "u", read_only: bool = True) -> Leaf:
    return Leaf(_name(operation), uuid, read_only)


async def _keep(command: Command, *kept: changes.Change, open_as: str = "") -> None:
    await fill(command.path)
    async with open_journal(command.path, precautions=BARE, inline=True) as journal:
        await journal.commit(*kept)
        if open_as:
            with pytest.raises(OperationPending):
                async with journal.operation(open_as, SNAPSHOT, {"leaf": _name(MADE)}):
                    raise RuntimeError("died here")


def _explained(command: Command, look: Sight) -> Explanation:
    with read_journal(command.path) as reading:
        case = journal_explain.collect(reading, SNAPSHOT, look, now=9.0, abandon_after=600)
    return journal_explain.explain(case)


async def test_a_snapshot_is_listed_shown_and_explained(command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record()))
    assert "snap-1" in command.run("journal", "snapshots", status=0)
    assert "snap-1" in command.run("journal", "show", SNAPSHOT, status=0)
    assert f"ready, of {VOLUME}" in command.run("journal", "explain", SNAPSHOT, status=0)
    document = json.loads(command.run("journal", "explain", SNAPSHOT, "--output", "json", status=0))
    assert document["snapshot"]["leaf"] == _name(MADE)


async def test_a_quarantined_one_needs_a_look(command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record(quarantine="lost: odd")))
    assert "lost: odd" in command.run("journal", "list", status=3)
    text = command.run("journal", "explain", SNAPSHOT, status=3)
    assert "quarantine lost: odd" in text
    assert "the driver leaves it alone" in text


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (_look(_leaf()), "is there, read-only; judged: as recorded"),
        (_look(), "is not there; judged: a person must look (lost: "),
        (_look(_leaf(read_only=False)), "is there, and can be written to; judged: a person must look (contradiction: "),
        (_look(_leaf(uuid="x")), "judged: a person must look (contradiction: another subvolume has taken the name"),
        (_look(_leaf(OTHER)), f"{_name(MADE)} is not there; subvolume {_name(OTHER)} is there, read-only; judged: a"),
    ],
)
async def test_what_the_appliance_shows_is_told_and_judged(look: Sight, told: str, command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record()))
    assert told in dict(_explained(command, look).told)["appliance"]


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (_look(), f"no subvolume bears the name of {SNAPSHOT}; judged: nothing of ours"),
        (_look(_leaf(OTHER)), "the record follows it (its name tells all of it)"),
        (_look(_leaf()), "is there again, or only half deleted: it is erased"),
    ],
)
async def test_without_a_record_too(look: Sight, told: str, command: Command) -> None:
    await _keep(command, changes.bury(Tombstone(SNAPSHOT, SLOT, MADE, 0, 4.0)))
    explained = dict(_explained(command, look).told)
    assert explained["snapshot"] == "deleted 5s ago, and remembered as such"
    assert told in explained["appliance"]


async def test_an_open_operation_settles_it(command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record(state="deleting")), open_as="delete-snapshot")
    assert "judged: an open operation will settle it" in dict(_explained(command, _look()).told)["appliance"]


async def test_another_leader_is_told(command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record()))
    marker = Marker(CLUSTER, "rdscsi", "fs", "another-one1", 3, "r" * 16)
    look = replace(_look(_leaf()), marker=marker)
    assert "led by another journal, another-one1" in dict(_explained(command, look).told)["appliance"]


@pytest.mark.parametrize(
    ("reason", "look", "advice"),
    [
        ("lost: odd", _look(), [f"rdscsi journal resolve {SNAPSHOT} --forget", "kubectl delete volumesnapshot, or"]),
        ("contradiction: odd", _look(_leaf(uuid="x")), [f"rdscsi journal resolve {SNAPSHOT} --accept"]),
        (
            "contradiction: odd",
            _look(_leaf(read_only=False)),
            [f'/disk/btrfs/subvolume/set [find name="{_name(MADE)}"] read-only=yes'],
        ),
    ],
)
async def test_advice_depends_on_what_is_there(reason: str, look: Sight, advice: list[str], command: Command) -> None:
    await _keep(command, changes.put_snapshot(_record(quarantine=reason)))
    given = [text for text, _ in _explained(command, look).help if "driver" not in text]
    assert sorted(given) == sorted(advice)


class TestVerify:
    @pytest.mark.parametrize(
        ("kept", "look", "told"),
        [
            (_record(), _look(_leaf()), ""),
            (_record(), _look(), "a person must look (lost: "),
            (None, _look(_leaf()), "its name tells all of it"),
            (_record(quarantine="lost: odd"), _look(_leaf()), f"{SNAPSHOT}: quarantined: lost: odd"),
            (_record(state="deleting"), _look(_leaf()), f"{SNAPSHOT}: being deleted, and no delete is open"),
        ],
    )
    async def test_it_compares_snapshots_too(
        self, kept: SnapshotRecord | None, look: Sight, told: str, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            await journal.commit(*([changes.put_snapshot(kept)] if kept is not None else []))
        monkeypatch.setattr("rdscsi.cli.journal_files.look", lambda _args: look)
        text = command.run("journal", "verify", status=3 if told else 0)
        assert told in text
        assert ("but for the above" in text) == bool(told)

    async def test_what_is_being_deleted_is_no_contradiction(self, command: Command) -> None:
        await _keep(command, changes.put_snapshot(_record(state="deleting")), open_as="delete-snapshot")
        command.run("journal", "verify", status=0)


class TestResolve:
    async def test_the_plan_says_what_becomes_of_it(self, command: Command) -> None:
        await _keep(command, changes.put_snapshot(_record(quarantine="contradiction: odd")))
        text = command.run("journal", "resolve", SNAPSHOT, "--accept", "--yes", status=3)
        assert "the subvolume that bears its name is taken for the snapshot" in text

    async def test_nothing_is_put_back(self, command: Command) -> None:
        await _keep(command, changes.put_snapshot(_record(quarantine="contradiction: odd")))
        command.run("journal", "resolve", SNAPSHOT, "--restore", "--yes", status=1)
        assert "nothing of one can be put back" in command.err

    async def test_what_is_open_and_closed_with_it_is_named(self, command: Command) -> None:
        gone = _record(quarantine="lost: odd", state="deleting")
        await _keep(command, changes.put_snapshot(gone), open_as="delete-snapshot")
        text = command.run("journal", "resolve", SNAPSHOT, "--forget", "--yes", status=3)
        assert "which is open, is closed with it" in text

    async def test_one_without_a_quarantine_has_nothing_to_resolve(self, command: Command) -> None:
        await _keep(command, changes.put_snapshot(_record()))
        command.run("journal", "resolve", SNAPSHOT, "--forget", "--yes", status=1)
        assert "is not quarantined" in command.err

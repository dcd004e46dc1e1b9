"""Puts real outputs of `rdscsi journal` into docs/journal.md: each block after `<!-- output: NAME COMMAND -->`.

    python tests/cli/journal_page.py            write the page anew; `test_journal_page` tells when that is due

The journals behind them are made here, of a controller and of a node, at a fixed time: half past two in the morning the
appliance stopped answering, and at three somebody looks.
"""

import argparse
import contextlib
import io
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import trio

from rdscsi import names
from rdscsi.cli import journal_explain, journal_view
from rdscsi.cli.journal import add_arguments, print_explanation
from rdscsi.cli.sight import Sight
from rdscsi.controller.judgement import LOST
from rdscsi.controller.snapshot_inventory import GONE
from rdscsi.errors import DeviceUnavailable, OperationPending, OutcomeUnknown, OutOfSpace, Quarantined, Refused
from rdscsi.journal import (
    Journal,
    Json,
    SnapshotRecord,
    StageRecord,
    TargetRecord,
    Tombstone,
    VolumeRecord,
    changes,
    open_journal,
)
from rdscsi.journal.engine import connect
from rdscsi.journal.reading import Reading, read_journal
from rdscsi.journal.records import UNCLAIMED_META, WAITS_META
from rdscsi.model import GIB, AccessMode, AccessType
from rdscsi.routeros.answers import DiskItem, Leaf
from rdscsi.tags import NodeState, PublicationTag, Tag, TaggedNode, TagState, name_hash, render_tag
from rdscsi.testing.world import in_memory

PAGE = Path(__file__).parents[2] / "docs" / "journal.md"
SHOWN_AT = "/var/lib/rdscsi/journal.db"
WIDTH = 132
NOW = 1_795_575_600.0  # 2026-11-25T03:00:00Z
CLUSTER = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52"
AWAY = (
    "not sent within 30 s: 9 failed attempts to connect, the last: cannot connect to 192.0.2.10:22: "
    "[Errno 111] Connect call failed"
)
_NAMES = ("controller", "node", "fenced", "unclaimed", "snapshots")
_BLOCK = re.compile(r"<!-- output: (\w+) (.*?) -->\n```text\n.*?```\n", re.DOTALL)


def volume_id(csi_name: str) -> str:
    """Return the id of a sample volume."""
    return names.volume_id("rds", names.slot("v", CLUSTER, csi_name))


class Clock:
    """Seconds since the epoch, moved by the story."""

    def __init__(self, at: float) -> None:
        self.now = at

    def __call__(self) -> float:
        return self.now


class Story:
    """A journal that is being filled."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    async def done(self, kind: str, subject: str, request: Mapping[str, Json], *steps: str) -> str:
        """Let an operation go well; return its id."""
        async with self._journal.operation(kind, subject, request) as operation:
            for step in steps:
                self._clock.now += 0.4
                await operation.step(*step.split(": ", 1))
            self._clock.now += 0.2
            await operation.finish()
        return operation.id

    async def stuck(
        self, kind: str, subject: str, request: Mapping[str, Json], attempts: int, error: Exception
    ) -> None:
        """Let it be tried again and again."""
        for _ in range(attempts):
            with contextlib.suppress(OperationPending, type(error)):
                async with self._journal.operation(kind, subject, request) as operation:
                    await operation.step("remove", subject.partition("/")[2])
                    self._clock.now += 30
                    raise error
            self._clock.now += 60

    async def refused(self, kind: str, subject: str, request: Mapping[str, Json], error: Exception) -> None:
        """Let it be refused for good."""
        with contextlib.suppress(type(error)):
            async with self._journal.operation(kind, subject, request) as operation:
                await operation.fail(error)
                raise error


def record(csi_name: str, operation: str, at: float, **others: Any) -> VolumeRecord:
    """Return the record of a sample volume; `others` are fields of it by name, of any type."""
    identity = volume_id(csi_name)
    slot = identity.partition("/")[2]
    words = render_tag(tag(csi_name, operation))
    made = VolumeRecord(identity, "rds", slot, csi_name, operation, 10 * GIB, "ready", words, True, "", at)
    return replace(made, **others)


def tag(csi_name: str, operation: str, *, size: int = 10 * GIB) -> Tag:
    """Return the owner tag of a sample volume that was published to a node and has left it."""
    publication = PublicationTag(
        epoch="e" * 16,
        access_type=AccessType.MOUNT,
        access_mode=AccessMode.SINGLE_NODE_WRITER,
        readonly=False,
        permit=True,
        nodes=(TaggedNode("worker-1:3f9a2c4d", NodeState.LEFT),),
    )
    return Tag(TagState.READY, operation, 4, name_hash(csi_name), "q" * 12, size, publication=publication)


def seen(reading: Reading) -> Sight:
    """What the appliance of the story shows: all that is recorded as it is recorded, but what is lost."""
    there = {one.slot: one for one in reading.volumes() if not one.quarantine}
    items = {slot: _item(one) for slot, one in there.items()}
    leaves = [Leaf(one.leaf, one.uuid, True) for one in reading.snapshots() if one.uuid and not one.quarantine]
    backings = {slot: frozenset([one.backing]) for slot, one in there.items()}
    return Sight(NOW, "", items, backings, {leaf.name: leaf for leaf in leaves})


def _item(record: VolumeRecord) -> DiskItem:
    return DiskItem(
        item_id="*7",
        slot=record.slot,
        type="file",
        size=record.capacity_bytes,
        comment=record.tag,
        file_path="",
        fs="",
        block_device=True,
        nvme_tcp_export=False,
        nvme_tcp_server_nqn="",
        nvme_tcp_server_port=0,
        mount_filesystem=False,
        disabled=False,
    )


@asynccontextmanager
async def controller_journal(path: Path) -> AsyncIterator[None]:
    """A controller at three in the morning, while the body runs."""
    dice, clock = Random(5), Clock(NOW - 7000)

    def new_id() -> str:
        return names.operation_id(dice.randbytes(8))

    first, gone, lost = "pvc-6b1f0c", "pvc-0d9e44", "pvc-71c2aa"
    async with open_journal(path, inline=True, now=clock, new_id=new_id) as journal:
        story = Story(journal, clock)
        made = await story.done(
            "create", volume_id(first), {"name": first, "size": 10 * GIB}, "create: 10737418240 bytes"
        )
        await journal.commit(changes.put_volume(record(first, made, clock.now)))
        await story.done("publish", volume_id(first), {"node": "worker-1"}, "export: for worker-1")
        old = await story.done("create", volume_id(gone), {"name": gone, "size": GIB}, "create: 1073741824 bytes")
        await story.done("delete", volume_id(gone), {}, "remove: " + volume_id(gone).partition("/")[2])
        stone = Tombstone(volume_id(gone), volume_id(gone).partition("/")[2], old, 4, clock.now)
        await journal.commit(changes.drop_volume(volume_id(gone), stone))
        await story.refused(
            "create",
            volume_id("pvc-huge"),
            {"name": "pvc-huge"},
            OutOfSpace("the pool 'pool1' has not enough free space"),
        )
        missing = record(
            lost, old, clock.now, capacity_bytes=GIB, quarantine=LOST + "its file is not on the appliance any more"
        )
        await journal.commit(changes.put_volume(missing))
        with contextlib.suppress(Quarantined):
            async with journal.operation("expand", volume_id(lost), {"size": 2 * GIB}):
                raise Quarantined(f"{volume_id(lost)}: {LOST}its file is not on the appliance any more")
    clock.now = NOW - 1800
    async with open_journal(path, inline=True, now=clock, new_id=new_id) as journal:
        story = Story(journal, clock)
        await story.stuck("delete", volume_id(first), {}, 18, DeviceUnavailable(AWAY))
        clock.now = NOW - 250
        half = volume_id("pvc-half")
        with contextlib.suppress(OperationPending, OutcomeUnknown):
            async with journal.operation("create", half, {"name": "pvc-half", "size": GIB}) as left:
                await journal.commit(changes.put_volume(_creating("pvc-half", left.id, clock.now)))
                await left.step(
                    "create", f"1073741824 bytes in pool1/rdscsi/{half.partition('/')[2]}.{left.id}/disk.img"
                )
                clock.now += 30
                raise OutcomeUnknown("no answer within 30 s")
        clock.now = NOW - 12
        async with journal.operation("create", volume_id("pvc-new"), {"name": "pvc-new", "size": GIB}) as live:
            await live.step("create", "1073741824 bytes")
            await journal.commit()
            _sign(path, "rdscsi-controller-7d9f", 1)
            yield
            await live.finish()


def _creating(csi_name: str, operation: str, at: float) -> VolumeRecord:
    half_made = replace(tag(csi_name, operation, size=GIB), state=TagState.CREATING, generation=1, publication=None)
    made = record(csi_name, operation, at, capacity_bytes=GIB, state="creating", ever_published=False)
    return replace(made, tag=render_tag(half_made))


@asynccontextmanager
async def fenced_journal(path: Path) -> AsyncIterator[None]:
    """A controller that stands by, because another one took the token."""
    dice, clock = Random(7), Clock(NOW - 9000)
    async with open_journal(
        path, inline=True, now=clock, new_id=lambda: names.operation_id(dice.randbytes(8))
    ) as journal:
        story = Story(journal, clock)
        made = await story.done("create", volume_id("pvc-6b1f0c"), {"name": "pvc-6b1f0c"}, "create: 10737418240 bytes")
        await journal.commit(changes.put_volume(record("pvc-6b1f0c", made, clock.now)))
        await story.stuck("delete", volume_id("pvc-6b1f0c"), {}, 1, OutcomeUnknown("no answer within 30 s"))
        why = "Fenced: the appliance names another journal (kq2mzr3vtd5ai, token 9; this one is iv6hnhzz3bsec, token 4)"
        await journal.commit(changes.put_meta(WAITS_META, f"{NOW - 420:.0f} {why}; this controller stands by"))
        _sign(path, "rdscsi-controller-7d9f", 1)
        yield


@asynccontextmanager
async def unclaimed_journal(path: Path) -> AsyncIterator[None]:
    """A controller that has finished what nobody asked for any more."""
    dice, clock = Random(8), Clock(NOW - 8000)
    async with open_journal(
        path, inline=True, now=clock, new_id=lambda: names.operation_id(dice.randbytes(8))
    ) as journal:
        orphan = volume_id("pvc-9f31d7")
        async with journal.operation("create", orphan, {"name": "pvc-9f31d7", "size": 10 * GIB}) as operation:
            fresh = replace(tag("pvc-9f31d7", operation.id), generation=2, publication=None)
            kept = record(
                "pvc-9f31d7", operation.id, clock.now, tag=render_tag(fresh), ever_published=False, state="ready"
            )
            why = "nobody can be asked whether it is claimed (claim-evidence=none)"
            mark = changes.put_meta(UNCLAIMED_META + operation.id, f"{clock.now:.0f} {why}")
            await operation.finish(changes.put_volume(kept), mark, outcome=f"nobody asked again; kept: {why}")
        _sign(path, "rdscsi-controller-7d9f", 1)
        yield


@asynccontextmanager
async def snapshots_journal(path: Path) -> AsyncIterator[None]:
    """A controller with a snapshot in each state that a person may have to look at."""
    dice, clock = Random(9), Clock(NOW - 5000)
    async with open_journal(
        path, inline=True, now=clock, new_id=lambda: names.operation_id(dice.randbytes(8))
    ) as journal:
        story = Story(journal, clock)
        for name, quarantine in (("nightly-1", ""), ("nightly-2", GONE), ("nightly-3", "")):
            request: Mapping[str, Json] = {"name": name, "source": volume_id("pvc-6b1f0c")}
            leaf = snapshot_leaf(name)
            made = await story.done("create-snapshot", snapshot_id(name), request, f"snapshot: {leaf}")
            assert made, "its id is in no name here: those are fixed, so that the page stays as it is"
            await journal.commit(changes.put_snapshot(snapshot(name, clock.now, quarantine=quarantine)))
        clock.now = NOW - 1200
        await journal.commit(changes.put_snapshot(snapshot("nightly-1", clock.now, state="deleting")))
        busy = Refused("failure: device or resource busy (/disk/btrfs/subvolume/remove; line 1)")
        await story.stuck("delete-snapshot", snapshot_id("nightly-1"), {"leaf": snapshot_leaf("nightly-1")}, 13, busy)
        clock.now = NOW - 95
        await journal.commit(changes.put_snapshot(snapshot("nightly-4", clock.now, state="creating", uuid="")))
        asked: dict[str, Json] = {"name": "nightly-4", "source": volume_id("pvc-6b1f0c")}
        with contextlib.suppress(OutcomeUnknown):
            async with journal.operation("create-snapshot", snapshot_id("nightly-4"), asked) as left:
                await left.step("snapshot", snapshot_leaf("nightly-4"))
                clock.now += 30
                raise OutcomeUnknown("no answer within 30 s")
        await journal.commit()
        _sign(path, "rdscsi-controller-7d9f", 1)
        yield


def snapshot_id(csi_name: str) -> str:
    """Return the id of a sample snapshot."""
    return names.volume_id("rds", names.slot("s", CLUSTER, csi_name))


def snapshot_leaf(csi_name: str) -> str:
    """Return the name of a sample snapshot's subvolume."""
    slot, source = names.slot("s", CLUSTER, csi_name), names.slot("v", CLUSTER, "pvc-6b1f0c")
    return names.SnapshotBacking(slot, "b" * 13, names.Backing(source, "a" * 13), 10 * GIB).name


def snapshot(csi_name: str, at: float, **others: Any) -> SnapshotRecord:
    """Return the record of a sample snapshot; `others` as in `record`."""
    identity, leaf = snapshot_id(csi_name), snapshot_leaf(csi_name)
    slot, source = identity.partition("/")[2], volume_id("pvc-6b1f0c")
    made = SnapshotRecord(identity, "rds", slot, csi_name, source, leaf, 10 * GIB, at, "u", "ready", "", at)
    return replace(made, **others)


@asynccontextmanager
async def node_journal(path: Path) -> AsyncIterator[None]:
    """The node that still has the volume."""
    dice, clock = Random(6), Clock(NOW - 6500)
    identity, subnqn = volume_id("pvc-6b1f0c"), names.subnqn(volume_id("pvc-6b1f0c").partition("/")[2], "e" * 16)
    staging = "/var/lib/kubelet/plugins/kubernetes.io/csi/csi.rdscsi.io/3f9a/globalmount"
    target = "/var/lib/kubelet/pods/5b0c1f3e/volumes/kubernetes.io~csi/pvc-6b1f0c/mount"
    stage = StageRecord(
        identity, staging, subnqn, "192.0.2.10:4420", "mount", "SINGLE_NODE_WRITER", "ext4", "[]", "staged", 10 * GIB,
        "uuid.1", "permit", True, clock.now,
    )  # fmt: skip
    async with open_journal(
        path, inline=True, now=clock, new_id=lambda: names.operation_id(dice.randbytes(8))
    ) as journal:
        story = Story(journal, clock)
        await story.done("stage", identity, {"fs_type": "ext4"}, f"connect: {subnqn}", "mount: ext4")
        await story.done("node-publish", target, {"volume_id": identity}, "bind: " + target)
        await journal.commit(
            changes.put_stage(stage),
            changes.put_target(TargetRecord(target, identity, "mount", "SINGLE_NODE_WRITER", False, clock.now)),
        )
        _sign(path, "worker-1", 1)
        yield


def _sign(path: Path, host: str, pid: int) -> None:
    """Replace what this machine would put in."""
    with contextlib.closing(connect(path)) as meddling:
        meddling.execute("UPDATE incarnations SET host = ?, pid = ?", (host, pid))


def output(path: Path, command: str) -> str:
    """Run one command line on a journal; return what it prints."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args([*shlex.split(command)[2:], "--journal", str(path)])
    printed = io.StringIO()
    with read_journal(path) as reading, contextlib.redirect_stdout(printed):
        if args.verb == "explain":
            case = journal_explain.collect(reading, args.what, seen(reading), now=NOW, abandon_after=600)
            print_explanation(journal_explain.explain(case))
            return _cleaned(printed, path)
        view = journal_view.collect(reading, args, now=NOW)
        if args.output == "json":
            journal_view.print_json(view)
        else:
            journal_view.print_tables(view, width=WIDTH)
    return _cleaned(printed, path)


def _cleaned(printed: io.StringIO, path: Path) -> str:
    text = printed.getvalue().replace(str(path), SHOWN_AT)
    return "\n".join(line.rstrip() for line in text.splitlines())


def rendered(page: str) -> str:
    """Return the page with every output made anew."""

    async def run() -> str:
        with tempfile.TemporaryDirectory(dir=in_memory()) as directory:
            paths = {name: Path(directory) / f"{name}.db" for name in _NAMES}
            samples = controller_journal(paths["controller"]), node_journal(paths["node"])
            others = fenced_journal(paths["fenced"]), unclaimed_journal(paths["unclaimed"])
            async with samples[0], samples[1], others[0], others[1], snapshots_journal(paths["snapshots"]):

                def block(match: "re.Match[str]") -> str:
                    shown = output(paths[match[1]], match[2])
                    return f"<!-- output: {match[1]} {match[2]} -->\n```text\n$ {match[2]}\n{shown}\n```\n"

                return _BLOCK.sub(block, page)

    return trio.run(run)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))

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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import trio

from rdscsi import names
from rdscsi.cli import journal_view
from rdscsi.cli.journal import add_arguments
from rdscsi.errors import DeviceUnavailable, OperationPending, OutOfSpace, Quarantined
from rdscsi.journal import Journal, StageRecord, TargetRecord, Tombstone, VolumeRecord, changes, open_journal
from rdscsi.journal.engine import connect
from rdscsi.journal.reading import read_journal
from rdscsi.model import GIB

PAGE = Path(__file__).parents[2] / "docs" / "journal.md"
SHOWN_AT = "/var/lib/rdscsi/journal.db"
WIDTH = 132
NOW = 1_795_575_600.0  # 2026-11-25T03:00:00Z
CLUSTER = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52"
AWAY = (
    "not sent within 30 s: 9 failed attempts to connect, the last: cannot connect to 192.0.2.10:22: "
    "[Errno 111] Connect call failed"
)
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

    async def done(self, kind: str, subject: str, request: dict[str, object], *steps: str) -> str:
        """Let an operation go well; return its id."""
        async with self._journal.operation(kind, subject, request) as operation:  # type: ignore[arg-type]
            for step in steps:
                self._clock.now += 0.4
                await operation.step(*step.split(": ", 1))
            self._clock.now += 0.2
            await operation.finish()
        return operation.id

    async def stuck(self, kind: str, subject: str, request: dict[str, object], attempts: int, error: Exception) -> None:
        """Let it be tried again and again."""
        for _ in range(attempts):
            with contextlib.suppress(OperationPending, type(error)):
                async with self._journal.operation(kind, subject, request) as operation:  # type: ignore[arg-type]
                    await operation.step("remove", subject.partition("/")[2])
                    self._clock.now += 30
                    raise error
            self._clock.now += 60

    async def refused(self, kind: str, subject: str, request: dict[str, object], error: Exception) -> None:
        """Let it be refused for good."""
        with contextlib.suppress(type(error)):
            async with self._journal.operation(kind, subject, request) as operation:  # type: ignore[arg-type]
                await operation.fail(error)
                raise error


def record(csi_name: str, operation: str, at: float, **others: object) -> VolumeRecord:
    """Return the record of a sample volume."""
    identity = volume_id(csi_name)
    slot = identity.partition("/")[2]
    made = VolumeRecord(identity, "rds", slot, csi_name, operation, 10 * GIB, "ready", "", True, "", at)
    return replace(made, **others)  # type: ignore[arg-type]


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
            lost, old, clock.now, capacity_bytes=GIB, quarantine="its file is gone and it was published: data loss"
        )
        await journal.commit(changes.put_volume(missing))
        with contextlib.suppress(Quarantined):
            async with journal.operation("expand", volume_id(lost), {"size": 2 * GIB}):
                raise Quarantined("its file is gone and it was published: data loss")
    clock.now = NOW - 1800
    async with open_journal(path, inline=True, now=clock, new_id=new_id) as journal:
        story = Story(journal, clock)
        await story.stuck("delete", volume_id(first), {}, 18, DeviceUnavailable(AWAY))
        clock.now = NOW - 12
        async with journal.operation("create", volume_id("pvc-new"), {"name": "pvc-new", "size": GIB}) as live:
            await live.step("create", "1073741824 bytes")
            await journal.commit()
            _sign(path, "rdscsi-controller-7d9f", 1)
            yield
            await live.finish()


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
        view = journal_view.collect(reading, args, now=NOW)
        if args.output == "json":
            journal_view.print_json(view)
        else:
            journal_view.print_tables(view, width=WIDTH)
    text = printed.getvalue().replace(str(path), SHOWN_AT)
    return "\n".join(line.rstrip() for line in text.splitlines())


def rendered(page: str) -> str:
    """Return the page with every output made anew."""

    async def run() -> str:
        with tempfile.TemporaryDirectory() as directory:
            paths = {name: Path(directory) / f"{name}.db" for name in ("controller", "node")}
            async with controller_journal(paths["controller"]), node_journal(paths["node"]):

                def block(match: "re.Match[str]") -> str:
                    shown = output(paths[match[1]], match[2])
                    return f"<!-- output: {match[1]} {match[2]} -->\n```text\n$ {match[2]}\n{shown}\n```\n"

                return _BLOCK.sub(block, page)

    return trio.run(run)


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))

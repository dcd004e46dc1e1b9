"""Kills the controller of a sandbox again and again while volumes come and go, and compares what is there at the end.

    python tests/crash/kills.py [--kills N] [--callers N] [--seed N] [--latency none|realistic]

Real processes, real SSH, real files. Each caller makes volumes, takes snapshots of some, makes volumes of these, and
deletes most of all that, the origin before its copy or after it; it retries as external-provisioner and
external-snapshotter do. At the end disks, subvolumes and files of the simulated RDS, the journal, and what the callers
were told must be the same. It prints how many kills found an operation open; status 1 when anything differs.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from rdscsi.config.values import ENDPOINT
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi.v1 import (
    CreateSnapshotRequest,
    CreateVolumeRequest,
    DeleteSnapshotRequest,
    VolumeContentSource,
    VolumeContentSourceSnapshotSource,
)
from rdscsi.errors import JournalFailed, SettingsInvalid
from rdscsi.journal import SnapshotRecord
from rdscsi.journal.reading import read_journal
from rdscsi.observe import logs
from rdscsi.sandbox import appliance, calls
from rdscsi.sandbox.appliance import Holdings
from rdscsi.sandbox.client import Client, open_client
from rdscsi.sandbox.settings import POOL, Options
from rdscsi.sandbox.supervisor import CONTROLLER, Sandbox, open_sandbox

MIB = 1 << 20
SIZES = (MIB, 3 * MIB + 1, 10_000_000, 64 * MIB)
SETTLE_SECONDS = 180.0


@dataclass(slots=True)
class Told:
    """What the callers were told: volumes and snapshots that exist, with their sizes."""

    exists: dict[str, int] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    made: int = 0
    deleted: int = 0
    taken: int = 0
    restored: int = 0

    @property
    def counts(self) -> str:
        """What was done, for people."""
        return (
            f"{self.made} volumes made, {self.restored} of them of the {self.taken} snapshots taken, "
            f"{self.deleted} volumes deleted"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the controller while volumes come and go.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", default="realistic", choices=("none", "realistic"))
    arguments = parser.parse_args()
    logs.configure("error")
    return trio.run(run, arguments)


async def run(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="rdscsi-kills-") as directory:
        options = Options(
            state_dir=Path(directory) / "state",
            endpoint=ENDPOINT.parse(f"unix://{directory}/node.sock"),
            controller_endpoint=ENDPOINT.parse(f"unix://{directory}/controller.sock"),
            latency=arguments.latency,
            host_backend="simulated",
            overrides={"log-level": "warning"},
        )
        async with open_loop(), open_sandbox(options, tell=lambda _: None) as sandbox:
            return await kill_and_compare(sandbox, arguments)


async def kill_and_compare(sandbox: Sandbox, arguments: argparse.Namespace) -> int:
    rng = random.Random(arguments.seed)
    before, told, landed = await look(sandbox), Told(), Counter[int]()
    began = time.monotonic()
    async with open_client(sandbox.record.endpoints[CONTROLLER]) as client, trio.open_nursery() as nursery:
        stop = trio.Event()
        for number in range(arguments.callers):
            nursery.start_soon(caller, client, number, told, random.Random(f"{arguments.seed} {number}"), stop)
        for kill in range(1, arguments.kills + 1):
            await trio.sleep(rng.uniform(2.0, 7.0))
            sandbox.kill(CONTROLLER)
            landed[await open_operations(sandbox)] += 1
            if kill % 10 == 0:
                print(f"{kill} kills, {told.counts}", flush=True)
        stop.set()
    wrong = await settled_differences(sandbox, before, told)
    open_at = sum(count for open_ones, count in landed.items() if open_ones)
    print(
        f"{arguments.kills} kills in {time.monotonic() - began:.0f} s, {open_at} of them with an operation open "
        f"(on average {sum(landed.elements()) / arguments.kills:.1f} open); {told.counts}, {len(told.exists)} and "
        f"{len(told.snapshots)} snapshots left; {len(wrong)} differences"
    )
    for one in wrong:
        print(f"  {one}")
    return 1 if wrong else 0


async def caller(client: Client, number: int, told: Told, rng: random.Random, stop: trio.Event) -> None:
    """Live one volume's life after the other until told to stop; what was begun is brought to its end."""
    for turn in range(10**6):
        if stop.is_set():
            return
        name = f"kill-{number}-{turn}"
        volume_id = await make(client, told, calls.create(name, rng.choice(SIZES), calls.filesystem("ext4")))
        if rng.random() < 0.3:
            await copy(client, told, rng, name, volume_id)
        if rng.random() < 0.8:
            await delete(client, told, volume_id)


async def copy(client: Client, told: Told, rng: random.Random, name: str, volume_id: str) -> None:
    """Take a snapshot and make a volume of it; what is deleted goes in an order that the dice tell, some at once."""
    snapshot_id, size = await take(client, told, name, volume_id)
    request = calls.create(f"{name}-restored", size, calls.filesystem("ext4"))
    origin = VolumeContentSourceSnapshotSource(snapshot_id=snapshot_id)
    request.volume_content_source = VolumeContentSource(snapshot=origin)
    restored_id = await make(client, told, request)
    told.restored += 1
    leaving = [partial(drop, client, told, snapshot_id), partial(delete, client, told, restored_id)]
    rng.shuffle(leaving)
    async with trio.open_nursery() as nursery:
        for one in leaving[: rng.choice((1, 2, 2))]:
            nursery.start_soon(one)
            await trio.sleep(rng.choice((0.0, 0.0, 1.0)))


async def make(client: Client, told: Told, request: CreateVolumeRequest) -> str:
    made = await client.settle(client.controller.create_volume, request)
    assert made.volume is not None
    assert request.capacity_range is not None
    assert made.volume.capacity_bytes >= request.capacity_range.required_bytes
    told.exists[made.volume.volume_id] = made.volume.capacity_bytes
    told.made += 1
    return made.volume.volume_id


async def delete(client: Client, told: Told, volume_id: str) -> None:
    await client.settle(client.controller.delete_volume, calls.delete(volume_id))
    del told.exists[volume_id]
    told.deleted += 1


async def take(client: Client, told: Told, name: str, volume_id: str) -> tuple[str, int]:
    taken = await client.settle(
        client.controller.create_snapshot, CreateSnapshotRequest(source_volume_id=volume_id, name=name)
    )
    assert taken.snapshot is not None
    assert taken.snapshot.ready_to_use
    assert taken.snapshot.size_bytes == told.exists[volume_id]
    told.snapshots[taken.snapshot.snapshot_id] = taken.snapshot.size_bytes
    told.taken += 1
    return taken.snapshot.snapshot_id, taken.snapshot.size_bytes


async def drop(client: Client, told: Told, snapshot_id: str) -> None:
    await client.settle(client.controller.delete_snapshot, DeleteSnapshotRequest(snapshot_id=snapshot_id))
    del told.snapshots[snapshot_id]


async def open_operations(sandbox: Sandbox) -> int:
    """Count what the dead process has left open, before the next one settles it."""

    def count() -> int:
        with read_journal(Path(sandbox.record.journals[CONTROLLER])) as reading:
            return len(reading.open_operations())

    while True:
        try:
            return await trio.to_thread.run_sync(count)
        except (JournalFailed, SettingsInvalid):  # the next process is opening the file in this moment
            await trio.sleep(0.02)


async def look(sandbox: Sandbox) -> Holdings:
    assert sandbox.record.ssh is not None
    async with appliance.open_appliance(sandbox.record.ssh) as console:
        return await appliance.look(console)


async def settled_differences(sandbox: Sandbox, before: Holdings, told: Told) -> list[str]:
    """Wait until nothing is open, then compare appliance, journal and callers."""
    with trio.move_on_after(SETTLE_SECONDS):
        while await open_operations(sandbox):
            await trio.sleep(1.0)
    now = await look(sandbox)
    with read_journal(Path(sandbox.record.journals[CONTROLLER])) as reading:
        wrong = [f"still open: {one.kind} {one.subject}: {one.error}" for one in reading.open_operations()]
        records = {record.volume_id: record for record in reading.volumes()}
        snapshots = {record.snapshot_id: record for record in reading.snapshots()}
    wrong += [f"the callers know {one}, the journal does not" for one in told.exists.keys() - records.keys()]
    wrong += [f"the journal knows {one}, the callers do not" for one in records.keys() - told.exists.keys()]
    for volume_id, size in told.exists.items():
        if volume_id in records and records[volume_id].capacity_bytes != size:
            wrong.append(f"{volume_id}: {records[volume_id].capacity_bytes} bytes, {size} were promised")
    wrong += [f"the callers know {one}, the journal does not" for one in told.snapshots.keys() - snapshots.keys()]
    wrong += [f"the journal knows {one}, the callers do not" for one in snapshots.keys() - told.snapshots.keys()]
    wrong += [f"{one.snapshot_id}: {one.state}, {one.quarantine}" for one in snapshots.values() if not ready(one)]
    backings = {f"{record.slot}.{record.backing}" for record in records.values()}
    backings |= {record.leaf for record in snapshots.values()}
    files = {f"{POOL}/rdscsi/{one}" for one in backings} | {f"{POOL}/rdscsi/{one}/disk.img" for one in backings}
    expected = Holdings(
        before.disks | {record.slot for record in records.values()},
        before.subvolumes | {f"rdscsi/{one}" for one in backings},
        before.files | files,
    )
    wrong += [f"left over on the appliance: {one}" for one in now.beyond(expected)]
    wrong += [f"missing on the appliance: {one}" for one in expected.beyond(now)]
    return wrong


def ready(snapshot: SnapshotRecord) -> bool:
    return snapshot.state == "ready" and not snapshot.quarantine


if __name__ == "__main__":
    sys.exit(main())

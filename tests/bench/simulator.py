"""How fast the simulated RDS is at 0 ms of latency, so that it is never what another benchmark measures.

    python tests/bench/simulator.py [--volumes N] [--json FILE]

Lines are the driver's own: create, observe, publish, unpublish, expand and remove of N volumes on a Btrfs pool. First
in this process (1 session, 20 sessions), then over SSH on loopback (1 connection, 20 connections), where the client's
share of the work is in the figures too. Processor seconds are this process's, so they hold on a busy machine.
"""

import argparse
import asyncio
import json
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import asyncssh

from rdscsi import names
from rdscsi.routeros import lines, surveys
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions

WINDOW = Window(0, 10**6)
MARKER_SLOT = names.marker_slot("bench", "rds")
MARKER = "rdscsi1 m bench 1:abcdefgh"
SESSIONS = 20


@dataclass(frozen=True)
class Figures:
    """What one way of sending lines came to. Times in milliseconds."""

    way: str
    sessions: int
    commands: int
    per_second: float
    per_processor_second: float
    p50: float
    p99: float


def volume_lines(guard: lines.Guard, name: str) -> Iterator[str]:
    """The life of one volume."""
    slot = names.slot(names.KIND_VOLUME, "bench", name)
    backing = names.Backing(slot, names.operation_id(secrets.token_bytes(8)))
    path = backing.file_path("pool1/csi", btrfs=True)
    yield lines.create(guard, lines.NewVolume(slot, backing, path, 1 << 30, "creating ", "ready ", 1 << 30))
    yield lines.observe(guard, slot, backing, path)
    nqn = names.subnqn(slot, names.epoch(secrets.token_bytes(10)))
    yield f'/disk/set [/disk/find where slot="{slot}"] comment="ready"'  # without the uuid that the line appended
    yield lines.publish(guard, slot, "ready", "published", nqn, 4420)
    yield lines.unpublish(guard, slot, "published", "gone")
    yield lines.expand(guard, slot, "gone", "grown", 2 << 30, 1 << 30)
    yield lines.remove(guard, slot, backing, path, "grown", "deleting")


def prepared(directory: Path) -> tuple[Appliance, lines.Guard]:
    """An appliance with a marker."""
    appliance = Appliance(directory, ApplianceOptions(behaviour=Behaviour(max_sessions=64)))
    pool = appliance.storage.pool
    place = lines.Place("pool1", pool.uuid, pool.label, True, "pool1/csi", "csi")
    appliance.run(surveys.first_marker(place, WINDOW, MARKER_SLOT, "pool1/csi/marker.img", MARKER))
    return appliance, lines.Guard(MARKER_SLOT, MARKER, place, WINDOW)


def figures(way: str, sessions: int, times: list[float], wall: float, processor: float) -> Figures:
    times.sort()
    return Figures(
        way=way,
        sessions=sessions,
        commands=len(times),
        per_second=round(len(times) / wall, 1),
        per_processor_second=round(len(times) / processor, 1),
        p50=round(times[len(times) // 2] * 1000, 3),
        p99=round(times[int(len(times) * 0.99)] * 1000, 3),
    )


def in_process(volumes: int, sessions: int) -> Figures:
    """Lines straight into `Sessions.attempt`, from as many threads as there are sessions."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        appliance, guard = prepared(Path(directory))

        def client(number: int) -> None:
            for index in range(volumes // sessions):
                for line in volume_lines(guard, f"v{number}-{index}"):
                    began = time.perf_counter()
                    door.attempt(line)
                    times.append(time.perf_counter() - began)

        door = Sessions(appliance)
        threads = [threading.Thread(target=client, args=(number,)) for number in range(sessions)]
        wall, processor = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = figures("in process", sessions, times, time.perf_counter() - wall, time.process_time() - processor)
        appliance.close()
    return found


async def over_ssh(volumes: int, sessions: int) -> Figures:
    """Lines over SSH, one channel at a time on each connection; client and server share the processor."""
    times: list[float] = []
    key = asyncssh.generate_private_key("ssh-ed25519")
    with tempfile.TemporaryDirectory() as directory:
        appliance, guard = prepared(Path(directory))
        options = ServerOptions(authorized_keys=[key.export_public_key().decode()], host_key_type="ssh-ed25519")
        async with SshServer(Sessions(appliance), options) as server:

            async def client(number: int) -> None:
                async with asyncssh.connect(
                    "127.0.0.1", server.port, username="admin", client_keys=[key], known_hosts=None, config=[],
                    agent_path=None,
                ) as connection:  # fmt: skip
                    for index in range(volumes // sessions):
                        for line in volume_lines(guard, f"v{number}-{index}"):
                            began = time.perf_counter()
                            await connection.run(line)
                            times.append(time.perf_counter() - began)

            wall, processor = time.perf_counter(), time.process_time()
            await asyncio.gather(*(client(number) for number in range(sessions)))
            found = figures("SSH", sessions, times, time.perf_counter() - wall, time.process_time() - processor)
        appliance.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volumes", type=int, default=400, help="default %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    args = parser.parse_args()
    ways: list[Callable[[], Figures]] = [
        lambda: in_process(args.volumes, 1),
        lambda: in_process(args.volumes, SESSIONS),
        lambda: asyncio.run(over_ssh(args.volumes, 1)),
        lambda: asyncio.run(over_ssh(args.volumes, SESSIONS)),
    ]
    print(f"{'way':<11} {'sessions':>8} {'commands':>8} {'per s':>8} {'per cpu s':>9} {'p50 ms':>8} {'p99 ms':>8}")
    found = []
    for way in ways:
        each = way()
        found.append(asdict(each))
        print(
            f"{each.way:<11} {each.sessions:>8} {each.commands:>8} {each.per_second:>8} "
            f"{each.per_processor_second:>9} {each.p50:>8} {each.p99:>8}",
            flush=True,
        )
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

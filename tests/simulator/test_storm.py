"""Ten thousand commands over twenty sessions with faults on: the appliance is what each session's own model says.

Each session works on a slot of its own, so its model needs nobody else's. Between rounds the clock moves on and lines
whose sessions died run at last; in the middle the simulator is restarted.
"""

import random
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from rdscsi.simulator import Appliance, ApplianceOptions, ManualClock
from rdscsi.simulator.faults import Faults, Kind
from rdscsi.simulator.sessions import Attempt, Sessions

SESSIONS, ROUNDS, COMMANDS = 20, 20, 25
NOT_RUN = ("drop-before", "cut", "stall", "error", "late")
KINDS: tuple[Kind, ...] = ("drop-before", "drop-after", "late", "cut", "stall", "stall-after", "error", "truncate",
                           "garbage")  # fmt: skip
MIB = 1 << 20


@dataclass(frozen=True)
class Known:
    """What a session knows of its slot: the item (None: absent) and the file's size in MiB (0: absent)."""

    comment: str | None = None
    exported: bool = False
    size: int = 0


class Client(threading.Thread):
    """One session's worth of commands."""

    def __init__(self, number: int, seed: int, sessions: Sessions, known: Known) -> None:
        super().__init__()
        self.slot = f"s{number}"
        self.known = known
        self.late: list[str] = []
        self.struck = 0
        self.failure: BaseException | None = None
        self._sessions = sessions
        self._random = random.Random(seed)

    def run(self) -> None:
        try:
            for _ in range(COMMANDS):
                verb = self._random.choice(("add", "comment", "comment", "export", "grow", "remove", "unlink"))
                self._send(f"{verb} {self._random.randint(1, 64)}")
        except BaseException as error:
            self.failure = error

    def _send(self, act: str) -> None:
        attempt: Attempt = self._sessions.attempt(self._line(act))
        kind = attempt.fault.kind if attempt.fault else ""
        self.struck += bool(kind)
        if kind == "late":
            self.late.append(act)
        if kind not in NOT_RUN:
            self.known = applied(self.known, act)
        elif kind != "late":
            assert attempt.reply is None or kind == "error"

    def _line(self, act: str) -> str:
        verb, _, number = act.partition(" ")
        find = f'[/disk/find where slot="{self.slot}"]'
        return {
            "add": f":if ([:len {find}]=0) do={{/disk/add type=file slot={self.slot} file-path=pool1/{self.slot} "
            f"file-size={number}M mount-filesystem=no comment=made}}",
            "comment": f'/disk/set {find} comment="c{number}"',
            "export": f"/disk/set {find} nvme-tcp-export={'yes' if int(number) % 2 else 'no'}",
            "grow": f':if ([:len [/file/find where name="pool1/{self.slot}"]]=1) do={{/disk/set {find} '
            f"file-size={number}M}}",
            "remove": f"/disk/remove {find}",
            "unlink": f':if ([:len {find}]=0) do={{/file/remove [/file/find where name="pool1/{self.slot}"]}}',
        }[verb]


def applied(known: Known, act: str) -> Known:
    """What a command does, in one place and much simpler than the appliance."""
    verb, _, text = act.partition(" ")
    number = int(text)
    if verb == "add" and known.comment is None:
        return replace(known, comment="made", exported=False, size=max(known.size, number))
    if verb == "unlink" and known.comment is None:
        return replace(known, size=0)
    if known.comment is None:
        return known
    if verb == "comment":
        return replace(known, comment=f"c{number}")
    if verb == "export":
        return replace(known, exported=bool(number % 2))
    if verb == "grow":
        return replace(known, size=number)
    return replace(known, comment=None, exported=False) if verb == "remove" else known


def _seen(appliance: Appliance, slot: str) -> Known:
    disk = appliance.storage.disks.by_slot(slot)
    entry = appliance.storage.files.find(f"pool1/{slot}")
    size = 0 if entry is None or entry.size is None else entry.size // MIB
    if disk is None:
        return Known(size=size)
    return Known(str(disk.settings.get("comment", "")), disk.exported, size)


def test_ten_thousand_commands_over_twenty_sessions_with_faults_and_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    sessions = _open(tmp_path, clock)
    known = [Known()] * SESSIONS
    struck = 0
    for turn in range(ROUNDS):
        clients = [Client(index, turn * 100 + index, sessions, known[index]) for index in range(SESSIONS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(60)
            assert client.failure is None
        clock.advance(30)
        assert sessions.run_due() == sum(len(client.late) for client in clients)
        for index, client in enumerate(clients):
            for act in client.late:
                client.known = applied(client.known, act)
            known[index] = client.known
            struck += client.struck
        if turn == ROUNDS // 2:
            sessions.close()
            sessions.appliance.close()
            sessions = _open(tmp_path, clock)
        if turn == ROUNDS // 2 + 3:
            sessions.appliance.reboot()
        assert [_seen(sessions.appliance, f"s{index}") for index in range(SESSIONS)] == known
    storage = sessions.appliance.storage
    assert storage.pool.space.used() - storage.pool.space.overhead == sum(each.size for each in known) * MIB
    assert len(list((tmp_path / "exports").iterdir())) == sum(each.exported for each in known)
    assert 500 < struck < 3000
    sessions.appliance.close()


def _open(directory: Path, clock: ManualClock) -> Sessions:
    faults = Faults(seed=11)
    faults.storm(chance=0.015, kinds=KINDS, seconds=20)
    return Sessions(Appliance(directory, ApplianceOptions(), clock=clock), faults)

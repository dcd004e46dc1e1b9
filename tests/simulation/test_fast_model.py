"""The fast model is held to the simulated RDS: same lines, same faults, and so the same effects and answers."""

import itertools
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from rdscsi import names
from rdscsi.errors import DriverError
from rdscsi.names import Backing, SnapshotBacking
from rdscsi.routeros.answers import Answer, parse_answer
from rdscsi.routeros.console import RunTimeRefused
from rdscsi.routeros.device import Executes
from rdscsi.routeros.lines import Guard, NewCopy, NewVolume, Origin, Place
from rdscsi.routeros.program import Program
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import ApplianceOptions, Behaviour, LineCut, PoolOptions
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.faults import Fault, Kind
from rdscsi.testing.clock import TrioClock
from rdscsi.testing.fast.appliance import FS_UUID
from rdscsi.testing.machines import FastMachine, Machine, SimulatedMachine, Wires
from rdscsi.testing.transport import Link
from rdscsi.testing.world import in_memory

MIB = 1 << 20
SIZE = 1 << 30
FLUSH = 20.0
MARKER_SLOT = names.marker_slot("c", "rds")
SLOTS = [names.slot(names.KIND_VOLUME, "c", name) for name in ("one", "two")]
SNAPSHOT_SLOT = names.slot(names.KIND_SNAPSHOT, "c", "snap")
PREFIX = SLOTS[0][:8]
OPERATIONS = ["a" * 13, "b" * 13]
TAGS = ["tag-1 ", "tag-2 ", "tag-3 "]
NQNS = [names.subnqn(slot, letter * 16) for slot in SLOTS for letter in "ab"]
PLACE = Place("pool1", FS_UUID, "pool1", True, "pool1/rdscsi", "rdscsi")
Send = Callable[[Program, Guard, "Case"], str]


@dataclass(frozen=True, slots=True)
class Case:
    """Arguments of a line, as far as the line takes them."""

    slot: str
    backing: Backing
    old: str
    new: str
    nqn: str
    size: int
    source: Backing
    source_size: int
    from_snapshot: bool

    @property
    def path(self) -> str:
        return self.backing.file_path("pool1/rdscsi", btrfs=True)

    @property
    def snapshot(self) -> SnapshotBacking:
        return SnapshotBacking(SNAPSHOT_SLOT, OPERATIONS[0], self.source, self.source_size)

    @property
    def origin(self) -> Origin:
        backing = self.snapshot if self.from_snapshot else self.source
        return Origin(backing, self.source_size, read_only=self.from_snapshot)


LINES: dict[str, Send] = {
    "observe": lambda program, guard, case: program.observe(guard, case.slot, case.backing, case.path),
    "inventory": lambda program, guard, case: program.inventory(guard, PREFIX),
    "unguarded inventory": lambda program, guard, case: program.unguarded_inventory(guard.place, PREFIX),
    "look": lambda program, guard, case: program.look("pool1", MARKER_SLOT),
    "move token": lambda program, guard, case: program.move_token(
        guard.place, guard.window, MARKER_SLOT, guard.marker, "marker-2"
    ),
    "first marker": lambda program, guard, case: program.first_marker(
        guard.place, guard.window, MARKER_SLOT, f"pool1/rdscsi/{MARKER_SLOT}.img", guard.marker
    ),
    "create": lambda program, guard, case: program.create(
        guard, NewVolume(case.slot, case.backing, case.path, case.size, case.old, case.new, MIB)
    ),
    "copy": lambda program, guard, case: program.copy(guard, NewCopy(case.backing, case.origin, False, case.size)),
    "create copied": lambda program, guard, case: program.create(
        guard, NewVolume(case.slot, case.backing, case.path, case.size, case.old, case.new, MIB, copied=True)
    ),
    "snapshot": lambda program, guard, case: program.copy(
        guard, NewCopy(case.snapshot, Origin(case.source, case.source_size, read_only=False), True, MIB)
    ),
    "observe snapshot": lambda program, guard, case: program.observe_copy(guard, case.snapshot),
    "remove snapshot": lambda program, guard, case: program.remove(
        guard, SNAPSHOT_SLOT, case.snapshot, case.snapshot.file_path("pool1/rdscsi", btrfs=True), "", ""
    ),
    "publish": lambda program, guard, case: program.publish(guard, case.slot, case.old, case.new, case.nqn, 4420),
    "unpublish": lambda program, guard, case: program.unpublish(guard, case.slot, case.old, case.new),
    "expand": lambda program, guard, case: program.expand(guard, case.slot, case.old, case.new, case.size, case.size),
    "remove": lambda program, guard, case: program.remove(
        guard, case.slot, case.backing, case.path, case.old, case.new
    ),
    "add again": lambda program, guard, case: program.add_again(guard, case.slot, case.backing, case.path, case.new),
}


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that is done to both machines. `tags` picks whose comment is given as old and new: see `_tags`."""

    what: str
    slot: int = 0
    operation: int = 0
    tags: tuple[int, int] = (0, 1)
    nqn: int = 0
    size: int = MIB
    marker: str = "marker-1"
    late: bool = False
    fault: Kind | None = None
    statement: int = 1
    seconds: float = 5.0
    source: int = 0
    source_size: int = MIB
    from_snapshot: bool = False


COPYING = ("copy", "create copied", "snapshot")
OFTEN = ("create", *COPYING, "publish", "unpublish", "remove", "reboot", "wait", "meddle")
acts = st.builds(
    Act,
    what=st.sampled_from([*LINES, *OFTEN]),
    slot=st.integers(0, 1),
    operation=st.integers(0, 1),
    tags=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    nqn=st.integers(0, 3),
    size=st.sampled_from([MIB, 3 * MIB, 700 * MIB, 2 << 30]),
    marker=st.sampled_from(["marker-1", "marker-1", "marker-1", "marker-2"]),
    late=st.sampled_from([False, False, False, True]),
    fault=st.sampled_from([None, None, None, "drop-before", "drop-after", "late", "late-middle", "cut", "refuse"]),
    statement=st.integers(1, 4),
    seconds=st.sampled_from([0.0, 3.0, 9.0, 25.0]),
    source=st.sampled_from([0, 0, 0, 1]),
    source_size=st.sampled_from([MIB, MIB, 3 * MIB, 700 * MIB]),
    from_snapshot=st.booleans(),
)


@given(script=st.lists(acts, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_both_machines_show_the_same(script: list[Act]) -> None:
    start = [Act("first marker"), Act("create")]
    real, fast = both(start + script)
    for number, (one, other) in enumerate(zip(real, fast, strict=True)):
        assert one == other, f"step {number}: {(start + script)[number // 2]}"


def both(script: list[Act]) -> tuple[list[object], list[object]]:
    with tempfile.TemporaryDirectory(dir=in_memory()) as directory:
        real = trio.run(play, Path(directory), False, script, clock=trio.testing.MockClock(autojump_threshold=0))
        fast = trio.run(play, None, True, script, clock=trio.testing.MockClock(autojump_threshold=0))
    return real, fast


COPIED = [
    Act("first marker"),
    Act("create"),
    Act("snapshot"),
    Act("copy", slot=1),
    Act("create copied", slot=1, size=3 * MIB),
    Act("inventory"),
    Act("remove"),
    Act("observe"),
    Act("observe snapshot"),
    Act("copy", operation=1, from_snapshot=True),
    Act("create copied", operation=1),
    Act("remove snapshot"),
    Act("look"),
    Act("inventory"),
]


@pytest.mark.parametrize("fault", [None, "cut", "drop-after", "late-middle"])
def test_both_copy_a_volume_and_its_snapshot_alike(fault: Kind | None) -> None:
    script = [replace(act, fault=fault) if number > 1 else act for number, act in enumerate(COPIED)]
    real, fast = both(script)
    assert real == fast
    if fault is None:
        leaves = real[-1][1]  # type: ignore[index]
        assert [leaf[:22] for leaf in leaves if leaf.endswith(".img")] == sorted(
            f"pool1/rdscsi/{one[:9]}" for one in SLOTS
        )


async def play(directory: Path | None, fast: bool, script: list[Act]) -> list[object]:
    """Do everything to one machine; return what was answered and what is there after each step."""
    clock = TrioClock()
    machine: Machine
    if directory is None:
        machine = FastMachine(clock, size=SIZE, flush_delay=FLUSH, seed=0)
    else:
        options = ApplianceOptions(
            pool=PoolOptions(size=SIZE),
            initial_uptime=3600.0,
            behaviour=Behaviour(config_flush_delay=FLUSH, pool_flush_delay=FLUSH),
        )
        machine = SimulatedMachine(directory, options, clock, seed=0)
        machine.appliance.storage.pool.change(fs_uuid=FS_UUID)
    table = Table(machine)
    console = machine.console(Wires(Link(), lambda: 0.0, 4, lambda: None, lambda: None))
    try:
        return [seen for act in script for seen in (await table.act(act, console), table.state())]
    finally:
        machine.close()


class Table:
    """One machine on the table. Identities that each makes up for itself are told by the order of their coming."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._names: dict[str, str] = {}
        self._statements = itertools.count()
        self._strike: Act | None = None
        machine.watch_changes(self._change)

    def _change(self) -> None:
        strike, number = self._strike, next(self._statements)
        if strike is not None and number + 1 == strike.statement:
            if strike.fault == "cut":
                raise LineCut
            raise ConsoleError("failure: refused by the test")

    async def act(self, act: Act, console: Executes) -> object:
        if act.what == "wait":
            await trio.sleep(act.seconds)
            self._machine.run_due()
            return ""
        if act.what == "reboot":
            self._machine.reboot()
            return ""
        if act.what == "meddle":
            if SLOTS[act.slot] in self._machine.items():
                self._machine.set_by_hand(SLOTS[act.slot], export=bool(act.operation))
            return ""
        return await self._send(act, console)

    async def _send(self, act: Act, console: Executes) -> object:
        self._statements = itertools.count()
        self._strike = act if act.fault in ("cut", "refuse") else None
        if act.fault is not None and self._strike is None:
            self._machine.faults.add(Fault(act.fault, seconds=act.seconds, mutation=act.statement), times=1)
        uptime = int(3600 + trio.current_time())
        window = Window(0, uptime - 30) if act.late else Window(0, uptime + 20)
        guard = Guard(MARKER_SLOT, act.marker, PLACE, window)
        line = LINES[act.what](self._machine.program, guard, self._case(act))
        try:
            reply = await console.execute(line, deadline=10.0)
        except RunTimeRefused as error:
            return ("refused", _plain(error.text), self._shown(parse_answer(error.reply.lines)))
        except DriverError as error:
            return type(error).__name__.replace("AnswerLost", "OutcomeUnknown")
        finally:
            self._strike = None
            self._machine.faults.clear()
        return self._shown(parse_answer(reply.lines))

    def _case(self, act: Act) -> Case:
        """The item's own comment stands for tag 0, so that lines find what they are made for."""
        slot = SLOTS[act.slot]
        item = self._machine.items().get(slot)
        tags = [item.comment if item is not None else TAGS[0], *TAGS[1:]]
        old, new = (tags[one] for one in act.tags)
        if act.what in ("create", "create copied"):
            old, new = (f"{TAGS[one]}{act.size} " for one in act.tags)  # a tag tells the size, as the driver's do
        backing, source = Backing(slot, OPERATIONS[act.operation]), Backing(SLOTS[act.source], OPERATIONS[0])
        return Case(slot, backing, old, new, NQNS[act.nqn], act.size, source, act.source_size, act.from_snapshot)

    def state(self) -> object:
        ours = {MARKER_SLOT, *SLOTS}
        items = [replace(item, everything="") for slot, item in self._machine.items().items() if slot in ours]
        shown = sorted(self._named(repr(item)) for item in items)
        return shown, sorted(leaf for leaf in self._machine.leaves() if "/v" in leaf or "/s" in leaf)

    def _shown(self, answer: Answer) -> object:
        disks = sorted(self._named(repr(replace(disk, item_id="", fs=""))) for disk in answer.disks)
        leaves = sorted(self._named(repr(leaf)) for leaf in answer.leaves)
        pool = (answer.pool.size, answer.pool.free, answer.pool.mounted) if answer.pool else None
        return answer.uptime, disks, leaves, pool

    def _named(self, text: str) -> str:
        def name(found: re.Match[str]) -> str:
            return self._names.setdefault(found[0], f"uuid {len(self._names)}")

        return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", name, text)


def _plain(text: str) -> str:
    """Without the suffix that names the command and its line (RouterOS 7.22 on): the model has neither."""
    return re.sub(r" \([/:].*\)$", "", text)

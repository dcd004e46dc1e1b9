"""Deliberate bugs of the driver, each put in at run time, and what catches it: the suite must see every one.

    python tests/simulation/bugs.py [NAME …] [--search]

Without `--search` each bug's own catch is run, as CI does; with it all strikes on all calls and then simulations by the
seed are tried until one fails, and told. A catch is a struck call of the enumeration (`Call`), a seed of the simulation
(`Seed`), or a life in which each step is compared with what was promised (`rdscsi`'s laws that settle no invariant).
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from lives import LIVES, run_life

from rdscsi import names
from rdscsi.controller import (
    backend,
    creation,
    deletion,
    erasing,
    expansion,
    fencing,
    inventory,
    judgement,
    settling,
)
from rdscsi.journal import changes, intents, operation
from rdscsi.model import Volume
from rdscsi.routeros import device
from rdscsi.testing.fast import program
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import FLUSH, Reaction, Schedule, run
from rdscsi.testing.script import make_script
from rdscsi.testing.simulation import simulate
from rdscsi.testing.strikes import Strike, What, Where, enumerate_strikes

Patch = Callable[["Patches"], None]


class Patches:
    """Attributes that are replaced, and put back in the end. `Any`: a bug respects no type."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, place: Any, name: str, new: Any) -> Any:
        """Replace an attribute that is there; return what it was."""
        before = place.__dict__[name]
        self._before.append((place, name, before))
        setattr(place, name, new)
        return before

    def undo(self) -> None:
        """Put everything back."""
        for place, name, before in reversed(self._before):
            setattr(place, name, before)
        self._before.clear()


@dataclass(frozen=True, slots=True)
class Call:
    """A struck call of the enumeration."""

    scenario: str
    strikes: tuple[Strike, ...] = ()
    reaction: Reaction = Reaction.RETRIES
    restart: bool = False

    def wrong(self) -> list[str]:
        """Run it; tell what was wrong."""
        schedule = Schedule(
            SCENARIOS[self.scenario], self.strikes, self.reaction, self.restart, flush_delay=FLUSH, fast=True
        )
        return run(schedule).wrong

    def __str__(self) -> str:
        struck = ", ".join(map(str, self.strikes)) or "no strike"
        return f"{self.scenario}: {struck}; {self.reaction}{', restarted' if self.restart else ''}"


@dataclass(frozen=True, slots=True)
class Seed:
    """A simulation."""

    seed: int

    def wrong(self) -> list[str]:
        """Run it; tell what was wrong."""
        return simulate(make_script(self.seed)).wrong

    def __str__(self) -> str:
        return f"seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Life:
    """A life of `lives`, whose steps are checked one by one."""

    name: str

    def wrong(self) -> list[str]:
        """Run it; tell what was wrong."""
        return run_life(self.name)

    def __str__(self) -> str:
        return f"life {self.name!r}"


Catch = Call | Seed | Life


@dataclass(frozen=True, slots=True)
class Bug:
    """One deliberate bug. `drill`: the drills of `rdscsi drill` that fail because of it."""

    name: str
    patch: Patch
    caught_by: Catch
    drill: str = ""


@contextmanager
def in_place(bug: Bug) -> Iterator[None]:
    """Put a bug into the driver while the body runs."""
    patches = Patches()
    try:
        bug.patch(patches)
        yield
    finally:
        patches.undo()


def caught(bug: Bug) -> list[str]:
    """Run a bug's catch with it; a driver that breaks down is caught too."""
    with in_place(bug):
        return _wrong(bug.caught_by)


def _wrong(catch: Catch) -> list[str]:
    try:
        return catch.wrong()
    except Exception as error:
        return [f"it broke down: {type(error).__name__}: {error}"]


def search(bug: Bug, *, seeds: int = 400) -> Catch | None:
    """Find what catches a bug: every strike on every call, then seeds, then lives."""
    with in_place(bug):
        candidates: Iterator[Catch] = (
            catch for source in (_calls(), map(Seed, range(seeds)), map(Life, LIVES)) for catch in source
        )
        return next((catch for catch in candidates if _wrong(catch)), None)


def _calls() -> Iterator[Catch]:
    for name, scenario in SCENARIOS.items():
        plain = Schedule(scenario, flush_delay=FLUSH, fast=True)
        yield Call(name)
        for strike in enumerate_strikes(run(plain).counting, late=(5.0, 45.0), paused=(9.0,), flush_delay=True):
            for reaction in Reaction:
                yield Call(name, (strike,), reaction)
                yield Call(name, (strike,), reaction, restart=True)


# --- the bugs. Each changes one decision.


def effect_before_intent(patches: Patches) -> None:
    async def delete(backend_: Any, volume_id: str) -> None:
        record = await backend_.journal.volume(volume_id)
        if record is not None and record.state == "ready":
            await erasing.erase(backend_, record)
        await before(backend_, volume_id)

    before = patches.put(deletion, "delete", delete)


def no_rollback(patches: Patches) -> None:
    async def undo(backend_: Any, open_: Any, error: Any) -> None:
        await open_.fail(error, changes.drop_volume(open_.subject, None))

    patches.put(creation, "undo", undo)


def commit_in_two(patches: Patches) -> None:
    async def finish(self: Any, *last: Any, outcome: str = "done") -> None:
        await self._writer.submit(intents.closing(self.id, (), state="done", at=self._now(), outcome=outcome))
        self.open = False

        def apply(connection: Any) -> None:
            for change in last:
                change.apply(connection)

        await self._writer.submit(apply)

    patches.put(operation.Operation, "finish", finish)


def ownership_ignored(patches: Patches) -> None:
    async def remove(backend_: Any, record: Any, tag: Any) -> Any:
        item = backend_.catalogue.entry(record.slot).item
        comment = item.comment if item is not None else ""
        backing = backend_.backing(record)

        async def line() -> Any:
            return await backend_.device.remove(backing, old_tag=comment, new_tag=comment)

        return await backend_.act(record.slot, line, backing)

    patches.put(erasing, "_remove", remove)


def late_effects_ignored(patches: Patches) -> None:
    async def wait_settled(self: Any, slot: str) -> None:
        return None

    patches.put(device.Device, "wait_settled", wait_settled)
    patches.put(device.Device, "settled_in", lambda self, slot: 0.0)


def epoch_not_moved(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        old = tag.publication.epoch if tag.publication is not None else epoch
        return before(tag, request, old, **more)

    before = patches.put(fencing, "admit", admit)


def epoch_moved_for_who_is_in(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        found = before(tag, request, epoch, **more)
        moved = replace(found.publication, epoch=epoch)
        return fencing.Admission(tag.evolve(publication=moved), fresh=found.fresh)

    before = patches.put(fencing, "admit", admit)


def permit_issued_twice(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        return before(replace(tag, blank=True), request, epoch, **{**more, "filesystem_seen": False})

    before = patches.put(fencing, "admit", admit)


def window_check_dropped(patches: Patches) -> None:
    patches.put(program, "_check_window", lambda at, window: None)


def token_check_dropped(patches: Patches) -> None:
    patches.put(program, "_again", lambda at, guard: program._check_window(at, guard.window))


def flush_delay_not_waited(patches: Patches) -> None:
    patches.put(backend.Backend, "cuts_hold_at", lambda self, slot: 0.0)


def tombstone_not_kept(patches: Patches) -> None:
    def drop_volume(volume_id: str, stone: Any) -> Any:
        return before(volume_id, None)

    before = patches.put(changes, "drop_volume", drop_volume)


def final_while_open(patches: Patches) -> None:
    patches.put(operation, "finality", lambda error, subject: error)


def file_left_by_a_delete(patches: Patches) -> None:
    patches.put(program, "_drop_leftover", lambda at, guard, name, path: iter(()))

    def buried(backend_: Any, record: Any, last: Any, entry: Any) -> Any:
        return before(backend_, record, last, replace(entry, backings=frozenset()))

    before = patches.put(erasing, "_buried", buried)


def confirmed_from_the_record(patches: Patches) -> None:
    async def confirm(backend_: Any, record: Any, request: Any) -> Any:
        return Volume(record.volume_id, record.capacity_bytes)

    patches.put(creation, "_confirm", confirm)


def second_node_let_in(patches: Patches) -> None:
    patches.put(fencing, "_refuse_beside", lambda *given, **more: None)


def deleted_while_published(patches: Patches) -> None:
    async def refuse(backend_: Any, record: Any) -> None:
        return None

    patches.put(deletion, "_refuse_published", refuse)


def export_not_cut(patches: Patches) -> None:
    def unpublish(self: Any, guard: Any, slot: str, old: str, new: str) -> str:
        def steps(at: Any, out: list[str]) -> Iterator[None]:
            program._open(at, out, guard)
            yield from program._retag(at, guard, slot, old, new, lambda item: True)
            program._print(at, out, slot)

        return program.FastLine.of(f"unpublish /disk/set {slot}", steps)

    patches.put(program.FastProgram, "unpublish", unpublish)
    patches.put(backend.Backend, "expect", lambda self, condition, what, entry: None)


def abandoned_create_kept(patches: Patches) -> None:
    def way(self: Any, found: Any) -> Any:
        return self._ways.get(found.kind)

    patches.put(settling.Settling, "_way", way)


def nothing_settled(patches: Patches) -> None:
    async def settle_all(self: Any) -> int:
        return 0

    patches.put(settling.Settling, "settle_all", settle_all)


def tag_not_learned(patches: Patches) -> None:
    def judge(facts: Any) -> Any:
        found = before(facts)
        return replace(found, verdict=judgement.Verdict.NOBODYS) if found.verdict.name == "LEARN" else found

    before = patches.put(judgement, "judge", judge)
    patches.put(inventory, "judge", judge)


def nothing_restored(patches: Patches) -> None:
    def judge(facts: Any) -> Any:
        found = before(facts)
        return replace(found, verdict=judgement.Verdict.FINE) if found.verdict.name == "RESTORE" else found

    before = patches.put(judgement, "judge", judge)
    patches.put(inventory, "judge", judge)


def made_again_by_another_id(patches: Patches) -> None:
    """The create line's own id is drawn anew by each attempt, so that an earlier one's leftovers are not known."""

    def backing(self: Any, record: Any) -> Any:
        return names.Backing(
            record.slot, names.operation_id(self.entropy(8)) if record.state == "creating" else record.backing
        )

    patches.put(backend.Backend, "backing", backing)


def expansion_believed(patches: Patches) -> None:
    async def grow(backend_: Any, record: Any, seen: Any, size: int) -> Any:
        entry = backend_.catalogue.entry(record.slot)
        entry.item = replace(seen.item, size=size)
        entry.tag = seen.tag.evolve(size_bytes=size)
        return entry

    patches.put(expansion, "_grow", grow)


def deleting_forgotten(patches: Patches) -> None:
    """The intent of a delete is committed without marking the record, and an open delete is not taken up."""

    def way(self: Any, found: Any) -> Any:
        return None if found.kind == "delete" else before(self, found)

    before = patches.put(settling.Settling, "_way", way)


def half_made_taken_for_made(patches: Patches) -> None:
    patches.put(
        creation,
        "made",
        lambda record, entry, size: entry.tag is not None and entry.tag.operation == record.backing,
    )
    patches.put(backend.Backend, "expect", lambda self, condition, what, entry: None)


def _struck(where: Where, nth: int, what: What, statement: int = 0) -> tuple[Strike, ...]:
    return (Strike(where, nth, what, statement),)


_GIVES_UP = Reaction.GIVES_UP
_CREATE_REFUSED = Call("create", _struck(Where.STATEMENT, 1, What.REFUSED, 2))
_DELETE_LOST = Call("delete", _struck(Where.LINE, 1, What.LOST), _GIVES_UP)

BUGS: Mapping[str, Bug] = {
    bug.name: bug
    for bug in (
        Bug(
            "effect before intent",
            effect_before_intent,
            Call("delete", _struck(Where.BEFORE_COMMIT, 1, What.CRASH), _GIVES_UP),
            drill="delete-killed",
        ),
        Bug("no rollback", no_rollback, _CREATE_REFUSED),
        Bug("commit in two", commit_in_two, Call("delete", _struck(Where.BEFORE_COMMIT, 3, What.CRASH), _GIVES_UP)),
        Bug("ownership ignored", ownership_ignored, Call("create, slot taken"), drill="slot-taken"),
        Bug("late effects ignored", late_effects_ignored, Life("late by 5 s"), drill="late-line"),
        Bug("window check dropped", window_check_dropped, Life("late by 200 s")),
        Bug("token check dropped", token_check_dropped, Life("a dead process changes nothing")),
        Bug("epoch not moved", epoch_not_moved, Life("another name for the next")),
        Bug("epoch moved for who is in", epoch_moved_for_who_is_in, Life("same context while in")),
        Bug("permit issued twice", permit_issued_twice, Life("no permit after data")),
        Bug("flush delay not waited", flush_delay_not_waited, Life("never two after a power loss")),
        Bug("tombstone not kept", tombstone_not_kept, Life("deleted stays deleted"), drill="power-loss"),
        Bug("final while open", final_while_open, Call("delete", _struck(Where.STATEMENT, 1, What.REFUSED, 1))),
        Bug("file left by a delete", file_left_by_a_delete, Call("delete")),
        Bug("confirmed from the record", confirmed_from_the_record, Life("confirmed by a look")),
        Bug("second node let in", second_node_let_in, Call("publish in use")),
        Bug("deleted while published", deleted_while_published, Life("not deleted while published")),
        Bug("export not cut", export_not_cut, Call("unpublish")),
        Bug(
            "abandoned create kept",
            abandoned_create_kept,
            Call("create", _struck(Where.ANSWER, 1, What.CRASH), _GIVES_UP),
            drill="create-killed",
        ),
        Bug("nothing settled", nothing_settled, _DELETE_LOST, drill="publish-killed unpublish-killed expand-killed"),
        Bug("deleting forgotten", deleting_forgotten, _DELETE_LOST),
        Bug("tag not learned", tag_not_learned, Life("rebuilt from the tags"), drill="journal-lost"),
        Bug("nothing restored", nothing_restored, Life("an export by hand is taken back")),
        Bug(
            "made again by another id",
            made_again_by_another_id,
            Call("create", _struck(Where.LINE, 1, What.LOST)),
            drill="reply-lost",
        ),
        Bug("expansion believed", expansion_believed, Call("expand")),
        Bug(
            "half made taken for made",
            half_made_taken_for_made,
            Call("create", _struck(Where.STATEMENT, 1, What.CUT, 3)),
            drill="line-torn",
        ),
    )
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Put each deliberate bug into the driver and show what catches it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--search", action="store_true", help="look for the first strike or seed that catches it")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    missed = 0
    for bug in [BUGS[name] for name in arguments.names or BUGS]:
        catch = search(bug) if arguments.search else bug.caught_by
        wrong = caught(replace(bug, caught_by=catch)) if catch is not None else []
        missed += not wrong
        print(f"{'caught' if wrong else 'MISSED'}  {bug.name}: {catch}: {wrong[0][:160] if wrong else ''}", flush=True)
    print(f"{len(arguments.names or BUGS)} bugs, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

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
from itertools import islice

import bug_patches
import structlog
from bug_patches import Patches
from lives import LIVES, run_life

from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import FLUSH, Reaction, Schedule, run
from rdscsi.testing.script import FLAVOURS, make_script
from rdscsi.testing.simulation import simulate
from rdscsi.testing.strikes import Strike, What, Where, enumerate_strikes

Patch = Callable[["Patches"], None]


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

    number: int
    flavour: str = "long"

    def wrong(self) -> list[str]:
        """Run it; tell what was wrong."""
        return simulate(make_script(self.number, self.flavour)).wrong

    def __str__(self) -> str:
        return f"seed {self.number} of the {self.flavour} ones"


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
            catch
            for source in (
                _calls(),
                (Seed(one, flavour) for one in range(seeds) for flavour in FLAVOURS),
                map(Life, LIVES),
            )
            for catch in source
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
            bug_patches.effect_before_intent,
            Call("delete", _struck(Where.BEFORE_COMMIT, 1, What.CRASH), _GIVES_UP),
            drill="delete-killed",
        ),
        Bug("no rollback", bug_patches.no_rollback, _CREATE_REFUSED),
        Bug(
            "commit in two",
            bug_patches.commit_in_two,
            Call("delete", _struck(Where.BEFORE_COMMIT, 3, What.CRASH), _GIVES_UP),
        ),
        Bug("ownership ignored", bug_patches.ownership_ignored, Call("create, slot taken"), drill="slot-taken"),
        Bug("late effects ignored", bug_patches.late_effects_ignored, Life("late by 5 s"), drill="late-line"),
        Bug("window check dropped", bug_patches.window_check_dropped, Life("late by 200 s")),
        Bug("token check dropped", bug_patches.token_check_dropped, Life("a dead process changes nothing")),
        Bug("epoch not moved", bug_patches.epoch_not_moved, Life("another name for the next")),
        Bug("epoch moved for who is in", bug_patches.epoch_moved_for_who_is_in, Life("same context while in")),
        Bug("permit issued twice", bug_patches.permit_issued_twice, Life("no permit after data")),
        Bug("flush delay not waited", bug_patches.flush_delay_not_waited, Life("never two after a power loss")),
        Bug("tombstone not kept", bug_patches.tombstone_not_kept, Life("deleted stays deleted"), drill="power-loss"),
        Bug(
            "final while open",
            bug_patches.final_while_open,
            Call("delete", _struck(Where.STATEMENT, 1, What.REFUSED, 1)),
        ),
        Bug("file left by a delete", bug_patches.file_left_by_a_delete, Call("delete")),
        Bug("confirmed from the record", bug_patches.confirmed_from_the_record, Life("confirmed by a look")),
        Bug("second node let in", bug_patches.second_node_let_in, Call("publish in use")),
        Bug("deleted while published", bug_patches.deleted_while_published, Life("not deleted while published")),
        Bug("export not cut", bug_patches.export_not_cut, Call("unpublish")),
        Bug(
            "abandoned create kept",
            bug_patches.abandoned_create_kept,
            Call("create", _struck(Where.ANSWER, 1, What.CRASH), _GIVES_UP),
            drill="create-killed",
        ),
        Bug(
            "nothing settled",
            bug_patches.nothing_settled,
            _DELETE_LOST,
            drill="publish-killed unpublish-killed expand-killed",
        ),
        Bug("deleting forgotten", bug_patches.deleting_forgotten, _DELETE_LOST),
        Bug("tag not learned", bug_patches.tag_not_learned, Life("rebuilt from the tags"), drill="journal-lost"),
        Bug("nothing restored", bug_patches.nothing_restored, Life("an export by hand is taken back")),
        Bug(
            "made again by another id",
            bug_patches.made_again_by_another_id,
            Call("create", _struck(Where.LINE, 1, What.LOST)),
            drill="reply-lost",
        ),
        Bug("expansion believed", bug_patches.expansion_believed, Call("expand")),
        Bug(
            "half made taken for made",
            bug_patches.half_made_taken_for_made,
            Call("create", _struck(Where.STATEMENT, 1, What.CUT, 3)),
            drill="line-torn",
        ),
        Bug(
            "inventory skipped after a reboot",
            bug_patches.inventory_skipped_after_a_reboot,
            Life("restored before the next inventory is due"),
        ),
        Bug("read-back ignored", bug_patches.read_back_ignored, Life("an old tag put back")),
        Bug(
            "refused expansion not undone",
            bug_patches.refused_expansion_not_undone,
            Call("expand", _struck(Where.STATEMENT, 1, What.REFUSED, 2)),
        ),
        Bug("cut forgotten by a repair", bug_patches.cut_forgotten_by_a_repair, Seed(910595)),
        Bug("size not told by a repair", bug_patches.size_not_told_by_a_repair, Seed(2000847, "copies")),
        Bug("closed though nobody waits", bug_patches.closed_though_nobody_waits, Life("left alone and unclaimed")),
        Bug("led without the Lease", bug_patches.led_without_the_lease, Seed(0, "duet")),
        Bug("token taken back", bug_patches.token_taken_back, Seed(3, "duet")),
    )
}


@dataclass(frozen=True, slots=True)
class Spare:
    """Something that may be taken out of the driver without harm: `guards` says what else stands in the same place.

    It is kept because it saves a round trip or a wait, and tried so that it is known when a guard goes.
    """

    name: str
    patch: Patch
    guards: str

    def wrong(self, every: int = 1) -> list[str]:
        """Take it out, and strike the lines of the calls in the ways that it is there for; tell what was wrong."""
        with in_place(Bug(self.name, self.patch, Call("create"))):
            tried = islice(_unanswered(), 0, None, every)
            return [f"{catch}: {found[0]}" for catch in tried if (found := _wrong(catch))]


def _unanswered() -> Iterator[Call]:
    """Each call with each of its lines unanswered: the reply lost, the line late, or paused in its middle."""
    what = (What.LOST, What.STALLED, What.LATE, What.PAUSED)
    for catch in _calls():
        assert isinstance(catch, Call)
        if catch.strikes and catch.strikes[0].what in what and not catch.restart:
            yield catch


SPARES = (
    Spare(
        "not doubted after a lost reply",
        bug_patches.not_doubted_after_a_lost_reply,
        "what is remembered is a hint: each line compares the tag that it was made for, and shows what is there; a "
        "final refusal is told from a fresh look alone. To doubt saves the round trip of a line in vain",
    ),
)


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
    for spare in () if arguments.names else SPARES:
        wrong = spare.wrong(every=1 if arguments.search else 6)
        missed += len(wrong)
        print(
            f"{'NEEDED' if wrong else 'spare '}  {spare.name}: {wrong[0][:160] if wrong else spare.guards}", flush=True
        )
    print(f"{len(arguments.names or BUGS)} bugs, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The drills by name: what each one strikes, and what it promises."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from rdscsi.drill.rehearsal import Case, effects, journal_lost, power_loss
from rdscsi.drill.stage import Stage
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import Reaction
from rdscsi.testing.strikes import Strike, What, Where

_LATE_SECONDS = 20.0
_MOMENTS = {
    Where.BEFORE_COMMIT: "before",
    Where.AFTER_COMMIT: "after",
    Where.LINE: "before",
    Where.ANSWER: "after",
}


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill. `cases` may have to run the call once to count its effects. `simulated_only`: not on an appliance."""

    name: str
    title: str
    promise: str
    cases: Callable[[Stage], list[Case]]
    simulated_only: bool = False


def _deaths(name: str, stage: Stage) -> list[Case]:
    """The controller dies before and after each commit and each console line."""
    scenario = SCENARIOS[name]
    seen = effects(scenario, stage)
    counted = {Where.BEFORE_COMMIT: seen.commits, Where.AFTER_COMMIT: seen.commits}
    counted |= {Where.LINE: len(seen.lines), Where.ANSWER: len(seen.lines)}
    return [
        Case(f"{_death(where, nth)}; the caller {reaction}", scenario, [Strike(where, nth, What.CRASH)], reaction)
        for reaction in (Reaction.GIVES_UP, Reaction.RETRIES)
        for where, count in counted.items()
        for nth in range(1, count + 1)
    ]


def _death(where: Where, nth: int) -> str:
    effect = "commit" if where in (Where.BEFORE_COMMIT, Where.AFTER_COMMIT) else "console line"
    return f"SIGKILL {_MOMENTS[where]} {effect} {nth}"


def _lines(
    what: What, name: str, stage: Stage, *, seconds: float = 0.0, reaction: Reaction = Reaction.RETRIES
) -> list[Case]:
    """The same trouble with each console line of a call."""
    scenario = SCENARIOS[name]
    return [
        Case(f"{name}: {what}, line {nth}", scenario, [Strike(Where.LINE, nth, what, seconds=seconds)], reaction)
        for nth in range(1, len(effects(scenario, stage).lines) + 1)
    ]


def _inside(what: What, name: str, stage: Stage) -> list[Case]:
    """Trouble before each statement that changes something."""
    scenario = SCENARIOS[name]
    return [
        Case(f"{name}: {what} at change {change} of line {nth}", scenario, [Strike(Where.STATEMENT, nth, what, change)])
        for nth, changes in enumerate(effects(scenario, stage).lines, 1)
        for change in range(1, changes + 1)
    ]


def _lost_replies(stage: Stage) -> list[Case]:
    return [case for name in ("create", "delete", "publish", "unpublish") for case in _lines(What.LOST, name, stage)]


def _torn_lines(stage: Stage) -> list[Case]:
    return [case for name in ("create", "delete", "publish") for case in _inside(What.CUT, name, stage)]


def _power_losses(stage: Stage) -> list[Case]:
    acknowledged = [
        Case(f"{name}: acknowledged, then the power fails", SCENARIOS[name], aftermath=power_loss)
        for name in ("create", "publish", "unpublish", "delete")
    ]
    return [*acknowledged, *_inside(What.POWER_LOSS, "create", stage), *_inside(What.POWER_LOSS, "delete", stage)]


def _lost_journals(stage: Stage) -> list[Case]:
    return [
        Case(f"{name}: acknowledged, then killed without its journal", SCENARIOS[name], aftermath=journal_lost)
        for name in ("create", "publish", "unpublish", "expand")
    ]


def _late_lines(stage: Stage) -> list[Case]:
    return [
        case
        for name in ("create", "publish")
        for case in _lines(What.LATE, name, stage, seconds=_LATE_SECONDS, reaction=Reaction.DELETES)
    ]


def _strangers(stage: Stage) -> list[Case]:
    taken = SCENARIOS["create, slot taken"]
    return [
        Case("create", taken),
        Case("create, the reply of its line lost", taken, [Strike(Where.LINE, 1, What.LOST)]),
        Case("create, SIGKILL after its line", taken, [Strike(Where.ANSWER, 1, What.CRASH)]),
    ]


def _of(*drills: Drill) -> Mapping[str, Drill]:
    return {drill.name: drill for drill in drills}


DRILLS: Mapping[str, Drill] = _of(
    *(
        Drill(
            f"{call}-killed",
            f"the controller dies before and after each effect of {call}",
            promise,
            partial(_deaths, call),
        )
        for call, promise in (
            ("create", "one volume in the end, as large as asked for; never two, never a half"),
            ("delete", "disk and file are gone, and do not come back"),
            ("publish", "the node is let in once, under one name"),
            ("unpublish", "the node is cut off, and stays so"),
            ("expand", "the volume is as large as its tag and its record say"),
        )
    ),
    Drill("reply-lost", "the appliance did it, and the answer never came", "looked at, not done again", _lost_replies),
    Drill(
        "line-torn", "a console line stops before one of its changes", "the next line finishes it", _torn_lines, True
    ),
    Drill(
        "power-loss",
        "the appliance reboots before it has flushed",
        "what was acknowledged is there again, what was deleted is not",
        _power_losses,
        simulated_only=True,
    ),
    Drill("journal-lost", "the controller comes back without its journal", "rebuilt from the tags", _lost_journals),
    Drill(
        "late-line",
        "a line lands after its operation was undone",
        "it finds its window closed and changes nothing for good",
        _late_lines,
        simulated_only=True,
    ),
    Drill("slot-taken", "a stranger's disk sits in the slot", "it stays as it is; create is refused", _strangers, True),
)

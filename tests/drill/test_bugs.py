"""Each drill fails on a driver with a deliberate bug: `tests/simulation/bugs.py` says which."""

import pytest
from bugs import BUGS, in_place

from rdscsi.drill import rehearsal, running
from rdscsi.drill.drills import DRILLS
from rdscsi.drill.rehearsal import Case
from rdscsi.drill.results import Rehearsal
from rdscsi.drill.stage import SimulatedStage, Stage

FAILS = {drill: bug for bug in BUGS.values() for drill in bug.drill.split()}


def test_for_each_drill_there_is_a_bug() -> None:
    assert FAILS.keys() == DRILLS.keys()


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_fails_on_a_driver_with_a_bug(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failed case is enough: the others are not run."""
    failed: list[Rehearsal] = []
    rehearse = rehearsal.rehearse

    def until_failure(case: Case, stage: Stage) -> Rehearsal:
        if not failed:
            found = rehearse(case, stage)
            failed.extend([found] if found.wrong else [])
        return failed[0] if failed else found

    monkeypatch.setattr(running, "rehearse", until_failure)
    with in_place(FAILS[name]):
        verdict = running.run_one(DRILLS[name], SimulatedStage())
    assert not verdict.passed
    (first, *_) = failed or verdict.rehearsals
    print(f"{name}: {FAILS[name].name}: {first.case}: {first.wrong[0]}")

"""Every drill passes on this driver, and is about what it says."""

from pathlib import Path

import pytest

from rdscsi.drill.drills import DRILLS
from rdscsi.drill.rehearsal import Case, effects, rehearse
from rdscsi.drill.results import Lane, Mark, Rehearsal, Verdict
from rdscsi.drill.running import run_one
from rdscsi.drill.stage import SimulatedStage
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.strikes import Strike, What, Where

STAGE = SimulatedStage()


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_passes(name: str) -> None:
    told: list[str] = []
    verdict = run_one(
        DRILLS[name], STAGE, lambda drill, number, count, one: told.append(f"{drill.name} {number}/{count}")
    )
    assert [(one.case, one.wrong) for one in verdict.rehearsals if one.wrong] == []
    assert verdict.passed
    assert told[-1] == f"{name} {len(told)}/{len(told)}"
    assert len({one.case for one in verdict.rehearsals}) == len(verdict.rehearsals)


def test_a_crash_is_followed_by_another_life_and_a_good_end() -> None:
    seen = rehearse(Case("x", SCENARIOS["create"], [Strike(Where.ANSWER, 1, What.CRASH)]), STAGE)
    assert seen.passed
    assert [event.life for event in seen.events if event.mark is Mark.TROUBLE] == [1, 1]
    assert seen.events[-1].life == 2
    assert (seen.events[-1].lane, seen.events[-1].text) == (Lane.JOURNAL, "nothing is open")
    assert seen.before.appliance == ("no disk and no file of this cluster",)
    assert any(text.startswith("open: create") for text in seen.struck.journal)
    assert any(": ready, 67,108,864 bytes" in text for text in seen.after.appliance)


def test_a_change_is_seen_on_the_appliance_and_a_mere_look_is_one_event() -> None:
    texts = [event.text for event in rehearse(Case("x", SCENARIOS["create"]), STAGE).events]
    assert any(text.startswith("/disk/add file-path=pool1/rdscsi/") for text in texts)
    assert "looks, by a console line" in texts


def test_effects_are_those_of_the_first_call_alone() -> None:
    seen = effects(SCENARIOS["create"], STAGE)
    assert seen.commits == 2, "the intent and the end"
    assert len(seen.lines) == 1
    assert seen.lines[0] >= 3


def test_a_strike_that_finds_no_moment_is_no_success() -> None:
    seen = rehearse(Case("x", SCENARIOS["create"], [Strike(Where.LINE, 99, What.CRASH)]), STAGE)
    assert not seen.passed


def test_a_drill_without_cases_has_not_passed() -> None:
    assert not Verdict("x", "", "").passed
    assert Verdict("x", "", "", [Rehearsal("a")]).passed
    assert not Verdict("x", "", "", [Rehearsal("a"), Rehearsal("b", wrong=["no"])]).passed


def test_the_documentation_lists_every_drill_as_it_is() -> None:
    text = (Path(__file__).parents[2] / "docs" / "drills.md").read_text()
    rows = [f"| {one.name} | {one.title} | {one.promise} |" for one in DRILLS.values()]
    assert [row for row in rows if row not in text] == []

"""The suite has teeth: each deliberate bug is caught by what `bugs` names, and by nothing without the bug."""

import pytest
from bug_patches import Patches
from bugs import BUGS, SPARES, Call, Spare, caught, in_place

from rdscsi.journal import operation

AT_LEAST = 20


def test_there_are_enough_bugs() -> None:
    assert len(BUGS) >= AT_LEAST


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_deliberate_bug_is_caught(name: str) -> None:
    wrong = caught(BUGS[name])
    print(f"{name}: caught by {BUGS[name].caught_by}: {wrong[:1]}")
    assert wrong


@pytest.mark.parametrize("catch", dict.fromkeys(bug.caught_by for bug in BUGS.values()), ids=str)
def test_what_catches_a_bug_is_content_with_the_driver(catch: Call) -> None:
    assert catch.wrong() == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("spare", SPARES, ids=lambda spare: spare.name)
def test_what_is_said_to_be_spare_is(spare: Spare) -> None:
    assert spare.wrong(every=6) == []


def test_a_bug_is_taken_out_again() -> None:
    before = operation.finality
    with in_place(BUGS["final while open"]):
        assert operation.finality is not before
    assert operation.finality is before


def test_a_bug_in_something_that_is_not_there_is_a_mistake_of_the_list() -> None:
    with pytest.raises(KeyError):
        Patches().put(operation, "no such thing", None)

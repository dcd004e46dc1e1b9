"""Pairs of strikes: a fixed sample of them, dealt out over all first strikes. `make pairs` runs every one."""

import pytest
from pairs import CALLS, run_call, told

from rdscsi.testing.pairs import firsts, run_pair, seconds
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.strikes import Strike, What, Where

EVERY, OF_FIRSTS = 20, 5


@pytest.mark.parametrize("name", CALLS)
def test_pairs_of_strikes_on_a_call_end_well(name: str) -> None:
    count = run_call(name, every=EVERY, of_firsts=OF_FIRSTS, fast=True)
    print(told(name, count))
    assert count.failures == []
    assert count.pairs > 200
    assert count.ran > 10


def test_the_second_strike_falls_on_what_comes_of_the_first() -> None:
    scenario = SCENARIOS["create"]
    crash = Strike(Where.ANSWER, 1, What.CRASH)
    assert crash in firsts(scenario)
    later = seconds(scenario, crash)
    commits = [one for one in later if one.where is Where.BEFORE_COMMIT]
    assert commits, "the next life commits"
    ending = run_pair(scenario, (crash, commits[-1]))
    assert (ending.wrong, ending.not_struck) == ([], 0)

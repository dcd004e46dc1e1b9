"""Every effect of every call is struck in every way, and the world must come right by itself.

The strikes on a call are dealt out to several tests, for the sake of their time. `RDSCSI_TEST_REAL=1` takes the
simulated RDS with its console instead of the fast model (`make strikes`).
"""

import os
from dataclasses import replace

import pytest

from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import FLUSH, Schedule, run, run_all
from rdscsi.testing.strikes import enumerate_strikes

LATE = (5.0, 45.0)
PAUSED = (9.0,)
FAST = os.environ.get("RDSCSI_TEST_REAL") != "1"
SHARES = 3


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.timeout(600)
def test_every_strike_on_a_call_ends_well(name: str, share: int) -> None:
    struck = Schedule(SCENARIOS[name], flush_delay=FLUSH, fast=FAST)
    seen = run(struck)
    assert seen.wrong == []
    ran = 0
    failures = []
    strikes = enumerate_strikes(seen.counting, late=LATE, paused=PAUSED, flush_delay=True)
    for strike in strikes[share::SHARES]:
        for schedule, outcome in run_all(replace(struck, strikes=[strike])):
            ran += 1
            if outcome.wrong or outcome.not_struck:
                told = f"{strike}; {schedule.reaction}, restart {schedule.restart}"
                failures.append(f"{told}: {outcome.wrong or 'never fell'}")
    print(f"{name}: {ran} schedules")
    assert not failures, "\n".join([f"{len(failures)} of {ran}", *failures[:20]])

"""Every effect of every call is struck in every way, and the world must come right by itself."""

import pytest

from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import FLUSH, Schedule, reactions, run
from rdscsi.testing.strikes import enumerate_strikes

LATE = (5.0, 45.0)
PAUSED = (9.0,)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_strike_on_a_call_ends_well(name: str) -> None:
    scenario = SCENARIOS[name]
    seen = run(Schedule(scenario, flush_delay=FLUSH))
    assert seen.wrong == []
    ran = 0
    failures = []
    for strike in enumerate_strikes(seen.counting, late=LATE, paused=PAUSED, flush_delay=True):
        for reaction, restart in reactions():
            outcome = run(Schedule(scenario, [strike], reaction, restart, flush_delay=FLUSH))
            ran += 1
            if outcome.wrong or outcome.not_struck:
                failures.append(f"{strike}; {reaction}, restart {restart}: {outcome.wrong or 'never fell'}")
    print(f"{name}: {ran} schedules")
    assert not failures, "\n".join([f"{len(failures)} of {ran}", *failures[:20]])

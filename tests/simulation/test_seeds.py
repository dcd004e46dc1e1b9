"""Whole simulations: the seeds that ever failed, and some more; the same seed gives the same run."""

import pytest
from simulate import Seed, corpus

from rdscsi.testing.minimise import minimise
from rdscsi.testing.script import Script, make_script
from rdscsi.testing.simulation import simulate

SEEDS = [
    *corpus(),
    *(Seed("long", number) for number in range(1_000, 1_020)),
    *(Seed("short", number) for number in range(1_000, 1_060)),
]


@pytest.mark.parametrize("seed", SEEDS, ids=str)
def test_a_simulation_ends_well(seed: Seed) -> None:
    assert simulate(make_script(seed.number, seed.flavour)).wrong == []


@pytest.mark.parametrize("seed", [7, 11])
def test_a_simulation_on_the_simulated_rds_ends_well(seed: int) -> None:
    assert simulate(make_script(seed), fast=False).wrong == []


def test_the_same_seed_gives_the_same_run() -> None:
    script = make_script(3)
    assert simulate(script) == simulate(script)
    assert make_script(3) == script


def test_a_failing_script_is_cut_down_to_what_matters() -> None:
    script = make_script(5)
    culprits = {script.events[2], script.events[-1]}

    def fails(candidate: Script) -> bool:
        return culprits <= set(candidate.events)

    assert set(minimise(script, fails).events) == culprits

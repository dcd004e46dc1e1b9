"""Whole simulations: the seeds that ever failed, and some more; the same seed gives the same run."""

import pytest
from simulate import Seed, corpus

from rdscsi.testing.minimise import minimise
from rdscsi.testing.script import DENSE, FLAVOURS, MIXED, Script, make_script
from rdscsi.testing.simulation import simulate

SHARES = {"long": 12, "short": 40, "brief": 60, "copies": 40, "duet": 12}
SEEDS = [*corpus(), *(Seed(flavour, 1_000 + number) for flavour, share in SHARES.items() for number in range(share))]


def test_every_flavour_has_its_share() -> None:
    assert SHARES.keys() == FLAVOURS.keys()


@pytest.mark.parametrize("seed", SEEDS, ids=str)
def test_a_simulation_ends_well(seed: Seed) -> None:
    assert simulate(make_script(seed.number, seed.flavour)).wrong == []


@pytest.mark.parametrize("seed", [Seed("long", 7), Seed("copies", 3), Seed("copies", 11)], ids=str)
def test_a_simulation_on_the_simulated_rds_ends_well(seed: Seed) -> None:
    assert simulate(make_script(seed.number, seed.flavour), fast=False).wrong == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_same_seed_gives_the_same_run(flavour: str) -> None:
    script = make_script(3, flavour)
    assert simulate(script) == simulate(script)
    assert make_script(3, flavour) == script


def test_mixed_seeds_are_of_every_flavour_but_the_brief_ones() -> None:
    mixed = [make_script(number, MIXED) for number in range(20)]
    found = {flavour for flavour, make in FLAVOURS.items() for number in range(20) if mixed[number] == make(number)}
    assert found == FLAVOURS.keys() - {"brief"}


def test_dense_seeds_are_brief_and_one_of_ten_is_a_mixed_one() -> None:
    for number in range(40):
        dense = make_script(number, DENSE)
        assert dense == (make_script(number, "brief") if number % 10 else make_script(number // 10, MIXED))


def test_a_failing_script_is_cut_down_to_what_matters() -> None:
    script = make_script(5)
    culprits = {script.events[2], script.events[-1]}

    def fails(candidate: Script) -> bool:
        return culprits <= set(candidate.events)

    assert set(minimise(script, fails).events) == culprits

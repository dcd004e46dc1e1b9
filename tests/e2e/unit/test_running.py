"""How scenarios are chosen and put side by side."""

import pytest
from cluster.node import SPARE
from suite import running
from suite.measures import percentile
from suite.scenario import ANYWHERE, Wrong


def test_every_scenario_has_a_name_and_a_sentence_of_its_own() -> None:
    assert len({one.name for one in running.SCENARIOS}) == len({one.shows for one in running.SCENARIOS})
    assert len({one.name for one in running.SCENARIOS}) == len(running.SCENARIOS)


def test_lanes_are_the_spare_node_and_anywhere() -> None:
    assert {one.lane for one in running.SCENARIOS} == {"", ANYWHERE, f"n{SPARE}"}


def test_the_upgrade_comes_first_as_it_needs_what_was_installed_first() -> None:
    assert running.SCENARIOS[0].name == "upgraded_under_load"
    assert not running.SCENARIOS[0].lane


def test_scenarios_are_chosen_by_name_in_the_order_of_the_suite_and_an_unknown_name_is_refused() -> None:
    assert [one.name for one in running.find(["twenty", "life"])] == ["life", "twenty"]
    assert running.find([]) == list(running.SCENARIOS)
    with pytest.raises(Wrong, match="no such scenario: lfie; there are"):
        running.find(["lfie"])


@pytest.mark.parametrize(("part", "wanted"), [(0.5, 10), (0.99, 20), (0.0, 1), (1.0, 20)])
def test_percentiles_are_values_that_were_measured(part: float, wanted: float) -> None:
    assert percentile(range(20, 0, -1), part) == wanted

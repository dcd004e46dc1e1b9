"""What a scenario leaves is told once, and those that come after are not blamed for it."""

from pathlib import Path

import pytest
from cluster import driver
from cluster.places import State
from cluster.world import World
from suite import leftovers, running
from suite.scenario import Wrong

WORLD = World(State(Path("/nowhere")), Path("/nowhere"))
LEFT = ["file v1/disk.img", "mount on n1: /m"]


def test_what_is_known_is_not_waited_for_and_what_is_new_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "find", lambda world: LEFT)
    leftovers.wait_nothing_left(WORLD, set(LEFT), seconds=0)
    with pytest.raises(Wrong, match=r"left behind:\nmount on n1: /m$"):
        leftovers.wait_nothing_left(WORLD, {LEFT[0]}, seconds=-1)


def test_after_a_failure_what_stays_is_known_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stays(world: World, known: set[str]) -> None:
        raise Wrong("left behind")

    installed: list[object] = []
    monkeypatch.setattr(driver, "install", lambda world, values: installed.append(values))
    monkeypatch.setattr(leftovers, "wait_nothing_left", stays)
    monkeypatch.setattr(leftovers, "clear", lambda world: set(LEFT))
    run = running.Run(WORLD, print, [])
    running._clear_up(run)
    assert run.known == set(LEFT)
    assert len(installed) == 1

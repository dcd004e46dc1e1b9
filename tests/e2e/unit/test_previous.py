"""An earlier commit's chart is given only what it and its driver know."""

import json
from pathlib import Path

from cluster import driver, places, previous


def test_values_and_settings_of_later_commits_are_left_out(tmp_path: Path) -> None:
    closed = {"type": "object", "additionalProperties": False}
    controller = {**closed, "properties": {"settings": {"type": "object"}, "healthPort": {"type": "integer"}}}
    schema = {**closed, "properties": {"controller": controller, "image": {"type": "object"}}}
    chart = tmp_path / driver.CHART
    chart.mkdir(parents=True)
    (chart / "values.schema.json").write_text(json.dumps(schema))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "settings.md").write_text("# Settings\n\n### line-ttl\n\nText.\n")
    chosen = {
        "image": {"name": "x"},
        "snapshots": {"enabled": True},
        "controller": {"healthPort": 1, "newer": 2, "settings": {"line-ttl": 5, "newest": 1}},
    }
    assert previous.known_values(chosen, tmp_path) == {
        "image": {"name": "x"},
        "controller": {"healthPort": 1, "settings": {"line-ttl": 5}},
    }


def test_this_commit_knows_all_that_the_suite_chooses() -> None:
    controller = {"settings": {"command-deadline": 10, "abandon-after": 60}}
    chosen = {"snapshots": {"enabled": True}, "controller": controller}
    assert previous.known_values(chosen, places.ROOT) == chosen

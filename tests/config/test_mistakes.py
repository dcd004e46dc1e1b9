"""Every mistake is told, once, with where it came from, whatever the others are."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdscsi.config import Sources, read_driver
from rdscsi.config.definition import Definition, definitions
from rdscsi.config.settings import SECTIONS
from rdscsi.config.sources import describe
from rdscsi.errors import SettingsInvalid

ALL = {one.name: one for section in SECTIONS.values() for one in definitions(section)}
WRONG = "\x00"  # no parser takes it
REQUIRED = {name for name, one in ALL.items() if one.default is None}


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Flags that leave nothing open and nothing wrong."""
    key = tmp_path_factory.mktemp("keys") / "key"
    key.write_text("x")
    return {
        "cluster-id": "one",
        "rds-address": "192.0.2.1",
        "rds-key-file": str(key),
        "rds-host-key-file": str(key),
        "pool-slot": "pool1",
        "portals": "192.0.2.1",
        "node-name": "worker",
    }


def told(sources: Sources) -> list[str]:
    try:
        read_driver(sources)
    except SettingsInvalid as error:
        return str(error).split("\n")
    return []


def about(mistakes: list[str], name: str) -> list[str]:
    return [one for one in mistakes if re.match(rf"{name}(=| is required)", one)]


def test_no_parser_takes_what_this_test_takes_for_wrong() -> None:
    def takes(definition: Definition) -> bool:
        try:
            definition.kind.parse(WRONG)
        except ValueError:
            return False
        return True

    assert not [name for name, definition in ALL.items() if takes(definition)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wrong=st.dictionaries(st.sampled_from(sorted(ALL)), st.sampled_from(["flag", "environment", "file"])),
    missing=st.sets(st.sampled_from(sorted(REQUIRED - {"portals"}))),
)
def test_each_wrong_or_missing_setting_is_told_once_with_its_origin(
    complete: dict[str, str], wrong: dict[str, str], missing: set[str]
) -> None:
    flags = {name: text for name, text in complete.items() if name not in wrong and name not in missing}
    environment, file = {}, {}
    for name, where in wrong.items():
        if where == "flag":
            flags[name] = WRONG
        elif where == "environment":
            environment[ALL[name].environment] = WRONG
        else:
            file[name] = WRONG
    mistakes = told(Sources(flags, environment, file, Path("s.toml")))
    for name, where in wrong.items():
        (one,) = about(mistakes, name)
        origin = {"flag": f"--{name}", "environment": ALL[name].environment, "file": f"{name} in s.toml"}[where]
        assert f"({origin}): expected {ALL[name].kind.expected}" in one
    for name in missing - wrong.keys():
        (one,) = about(mistakes, name)
        assert one.startswith(f"{name} is required: give --{name}, {ALL[name].environment} or a line")
    accused = {re.split(r"[= ]", one)[0] for one in mistakes}
    assert accused == wrong.keys() | missing


@pytest.mark.parametrize("definition", ALL.values(), ids=ALL)
def test_each_setting_can_be_described_wherever_it_comes_from(definition: Definition) -> None:
    nowhere = describe(definition, Sources({}, {}, {}))
    assert nowhere.startswith(definition.name)
    assert (nowhere == definition.name) == (definition.default is None)
    assert (
        describe(definition, Sources({definition.name: "x"}, {}, {})) == f"{definition.name} = 'x' ({definition.flag})"
    )
    by_file = Sources({}, {}, {definition.name: [True, 1]}, Path("s.toml"))
    assert describe(definition, by_file) == f"{definition.name} = 'true,1' ({definition.name} in s.toml)"


def test_an_unknown_key_far_from_any_setting_points_to_the_list(complete: dict[str, str]) -> None:
    (one,) = told(Sources(complete, {}, {"zzzzzz": 1}, Path("s.toml")))
    assert one == "zzzzzz in s.toml: no such setting; docs/settings.md lists the keys"

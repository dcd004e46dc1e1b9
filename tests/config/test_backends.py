"""Several appliances in one file: a table for each, over what they have in common."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rdscsi.config import Backends, ProcessSettings, Sources, read_controller, read_file
from rdscsi.errors import SettingsInvalid
from rdscsi.model import Portal

FILE = Path("settings.toml")


@pytest.fixture
def common(tmp_path: Path) -> dict[str, object]:
    key, host_key = tmp_path / "id", tmp_path / "host.pub"
    key.write_text("private")
    host_key.write_text("public")
    return {
        "cluster-id": "one",
        "rds-key-file": str(key),
        "rds-host-key-file": str(host_key),
        "pool-slot": "pool1",
        "line-ttl": 20,
    }


def tables(**more: Mapping[str, object]) -> dict[str, object]:
    return {
        "backends": {
            "slow": {"rds-address": "192.0.2.2", "portals": ["198.51.100.2"], "pool-slot": "hdd", "overcommit": 2},
            "rds": {"rds-address": "192.0.2.1", "portals": ["198.51.100.1"]},
            **more,
        }
    }


def read(file: Mapping[str, object], **given: Mapping[str, str]) -> tuple[ProcessSettings, Backends]:
    return read_controller(Sources(given.get("flags", {}), given.get("environment", {}), file, FILE))


def mistakes(file: Mapping[str, object], **given: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read(file, **given)
    return caught.value.mistakes


def test_each_table_is_a_backend_and_the_default_comes_first(common: dict[str, object]) -> None:
    process, (first, second) = read(common | tables())
    assert (first.backend, first.pool_slot, first.portals) == ("rds", "pool1", (Portal("198.51.100.1", 4420),))
    assert (second.backend, second.pool_slot, second.overcommit) == ("slow", "hdd", 2)
    assert (first.line_ttl, second.line_ttl) == (20, 20)
    assert process.backend_journal("slow").name == "journal.slow.db"


def test_another_backend_may_be_the_default(common: dict[str, object]) -> None:
    _, backends = read(common | tables() | {"backend": "slow"})
    assert [one.backend for one in backends] == ["slow", "rds"]


def test_a_default_without_a_table_is_a_mistake(common: dict[str, object]) -> None:
    (found,) = mistakes(common | tables(), environment={"RDSCSI_BACKEND": "fast"})
    assert found == "backend='fast' (RDSCSI_BACKEND): expected one of the backends that have a table: slow, rds"


def test_a_table_outweighs_flags_and_environment(common: dict[str, object]) -> None:
    given = {"flags": {"pool-slot": "flagged"}, "environment": {"RDSCSI_OVERCOMMIT": "3"}}
    _, (first, second) = read(common | tables(), **given)
    assert (first.pool_slot, first.overcommit) == ("flagged", 3)
    assert (second.pool_slot, second.overcommit) == ("hdd", 2)


def test_all_mistakes_of_all_tables_are_told_with_the_table(common: dict[str, object]) -> None:
    broken = tables(third={"rds-address": "192.0.2.3", "portals": ["nowhere"], "pool-slto": "x", "log-level": "info"})
    found = mistakes(common | broken)
    assert len(found) == 3
    assert (
        "pool-slto in [backends.third] of settings.toml: no such setting of a backend; did you mean pool-slot?" in found
    )
    assert any(one.startswith("log-level in [backends.third]") for one in found)
    assert any(one.startswith("portals='nowhere' ([backends.third] in settings.toml)") for one in found)


def test_two_backends_never_share_an_appliance(common: dict[str, object]) -> None:
    (found,) = mistakes(common | tables(again={"rds-address": "192.0.2.1", "portals": ["198.51.100.9"]}))
    assert "rds-address='192.0.2.1'" in found
    assert "'rds' and 'again'" in found


@pytest.mark.parametrize("wrong", [{"backends": 1}, {"backends": {"Big Box": {}}}, {"backends": {"rds": "192.0.2.1"}}])
def test_what_is_no_table_is_a_mistake(common: dict[str, object], wrong: dict[str, object]) -> None:
    found = mistakes(common | {"rds-address": "192.0.2.1", "portals": ["198.51.100.1"]} | wrong)
    assert all("backends" in one for one in found), found


def test_a_missing_setting_of_one_table_names_it(common: dict[str, object]) -> None:
    found = mistakes(common | {"backends": {"rds": {"rds-address": "192.0.2.1"}}})
    assert found == [one for one in found if one.startswith("portals")]


def test_the_tables_of_a_file_are_read_as_toml_has_them(common: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    lines = [f'{key} = "{value}"' for key, value in common.items()]
    path.write_text("\n".join([*lines, "[backends.rds]", 'rds-address = "192.0.2.1"', 'portals = ["192.0.2.1"]']))
    _, (only,) = read(read_file(path))
    assert (only.backend, only.rds_address) == ("rds", "192.0.2.1")

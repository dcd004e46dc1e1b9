"""Settings: precedence of sources, and every mistake told at once with setting, value, origin and cure."""

from pathlib import Path

import pytest

from rdscsi.config import (
    ControllerSettings,
    NodeSettings,
    ProcessSettings,
    Sources,
    read_controller,
    read_driver,
    read_file,
    read_node,
)
from rdscsi.errors import SettingsInvalid
from rdscsi.model import GIB, Portal


@pytest.fixture
def complete(tmp_path: Path) -> dict[str, object]:
    """A settings file's content that leaves nothing required open."""
    key, host_key = tmp_path / "id", tmp_path / "host.pub"
    key.write_text("private")
    host_key.write_text("public")
    return {
        "cluster-id": "one",
        "rds-address": "192.0.2.1",
        "rds-key-file": str(key),
        "rds-host-key-file": str(host_key),
        "pool-slot": "pool1",
        "portals": ["192.0.2.1:4421", "[2001:db8::1]:4421"],
    }


def mistakes(read: object, sources: Sources) -> list[str]:
    with pytest.raises(SettingsInvalid) as caught:
        read(sources)  # type: ignore[operator]
    return caught.value.mistakes


def test_a_flag_wins_over_environment_over_file_over_default(complete: dict[str, object]) -> None:
    file = complete | {"rds-port": 2201, "rds-user": "file", "rds-connections": 2}
    environment = {"RDSCSI_RDS_PORT": "2202", "RDSCSI_RDS_USER": "environment"}
    _, (controller,) = read_controller(Sources({"rds-port": "2203"}, environment, file))
    assert (controller.rds_port, controller.rds_user, controller.rds_connections) == (2203, "environment", 2)
    assert controller.reserve_bytes == GIB


def test_values_of_a_file_keep_their_toml_types(complete: dict[str, object]) -> None:
    file = complete | {
        "rds-insecure-skip-host-key": True,
        "overcommit": 1.5,
        "reserve-bytes": "2Gi",
        "default-capacity": 1 << 20,
    }
    _, (controller,) = read_controller(Sources({}, {}, file))
    assert controller.portals == (Portal("192.0.2.1", 4421), Portal("2001:db8::1", 4421))
    assert (controller.rds_insecure_skip_host_key, controller.overcommit) == (True, 1.5)
    assert (controller.reserve_bytes, controller.default_capacity) == (2 * GIB, 1 << 20)


def test_all_mistakes_are_listed_at_once_across_sections(complete: dict[str, object]) -> None:
    del complete["cluster-id"]
    environment = {"RDSCSI_RDS_PORT": "70000", "RDSCSI_NODE_NAME": "no spaces"}
    found = mistakes(read_driver, Sources({"endpoint": "http://x", "pool-slto": "x"}, environment, complete))
    assert len(found) == 4
    assert "cluster-id is required" in found[0]
    assert "--cluster-id, RDSCSI_CLUSTER_ID" in found[0]
    assert found[1].startswith("endpoint='http://x' (--endpoint): expected unix:///")
    assert found[2].startswith("rds-port='70000' (RDSCSI_RDS_PORT): expected a TCP port")
    assert found[3].startswith("node-name='no spaces' (RDSCSI_NODE_NAME): expected")


def test_an_unknown_key_of_the_file_is_a_mistake_with_a_hint(complete: dict[str, object]) -> None:
    found = mistakes(read_controller, Sources({}, {}, complete | {"pool_slot": "x"}, Path("s.toml")))
    assert found == ["pool_slot in s.toml: no such setting; did you mean pool-slot?"]


def test_controller_and_node_may_share_one_file(complete: dict[str, object]) -> None:
    _, node = read_node(Sources({}, {}, complete | {"node-name": "n1"}))
    assert node.node_name == "n1"


def test_variables_that_kubernetes_makes_of_a_service_are_ignored() -> None:
    environment = {"RDSCSI_PORT": "tcp://10.0.0.1:1", "RDSCSI_SERVICE_HOST": "10.0.0.1", "RDSCSI_CLUSTER_ID": "c"}
    process, _ = read_node(Sources({"node-name": "n"}, environment, {}))
    assert process.cluster_id == "c"


def test_node_name_falls_back_to_node_name_then_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box")
    base = {"cluster-id": "c"}
    assert read_node(Sources(base, {"NODE_NAME": "worker", "RDSCSI_NODE_NAME": "own"}, {}))[1].node_name == "own"
    assert read_node(Sources(base, {"NODE_NAME": "worker"}, {"node-name": "file"}))[1].node_name == "file"
    assert read_node(Sources(base, {"NODE_NAME": "worker"}, {}))[1].node_name == "worker"
    assert read_node(Sources(base, {}, {}))[1].node_name == "box"


def test_the_host_key_is_required_unless_skipped_on_purpose(complete: dict[str, object]) -> None:
    del complete["rds-host-key-file"]
    (found,) = mistakes(read_controller, Sources({}, {}, complete))
    assert found.startswith("rds-host-key-file='' (default): required")
    _, (controller,) = read_controller(Sources({"rds-insecure-skip-host-key": "true"}, {}, complete))
    assert controller.rds_host_key_file is None


def test_a_key_file_that_cannot_be_read_is_a_mistake(complete: dict[str, object], tmp_path: Path) -> None:
    complete["rds-key-file"] = str(tmp_path / "absent")
    (found,) = mistakes(read_controller, Sources({}, {}, complete))
    assert "cannot be read: No such file or directory" in found


@pytest.mark.parametrize("endpoint", ["tcp://0.0.0.0:1", "tcp://csi.example:1", "tcp://[::]:1", "tcp://192.0.2.1:1"])
def test_a_tcp_endpoint_that_others_reach_takes_permission(endpoint: str) -> None:
    sources = {"cluster-id": "c", "node-name": "n", "endpoint": endpoint}
    (found,) = mistakes(read_node, Sources(sources, {}, {}))
    assert found.startswith("allow-remote-tcp='false' (default)")
    process, _ = read_node(Sources(sources | {"allow-remote-tcp": "true"}, {}, {}))
    assert str(process.endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:1", "tcp://localhost:9", "tcp://[::1]:1", "unix:///run/csi.sock"]
)
def test_loopback_and_sockets_need_no_permission(endpoint: str) -> None:
    process, _ = read_node(Sources({"cluster-id": "c", "node-name": "n", "endpoint": endpoint}, {}, {}))
    assert str(process.endpoint) == endpoint


def test_an_operation_must_outlive_a_command(complete: dict[str, object]) -> None:
    (found,) = mistakes(read_controller, Sources({"operation-deadline": "20"}, {}, complete))
    assert found.startswith("operation-deadline='20'")


def test_all_portals_share_one_port(complete: dict[str, object]) -> None:
    flags = {"portals": "192.0.2.1,192.0.2.2:4421,[2001:db8::1]:4420"}
    (found,) = mistakes(read_controller, Sources(flags, {}, complete))
    assert found.startswith("portals='192.0.2.1,192.0.2.2:4421,[2001:db8::1]:4420' (--portals): ports 4420, 4421: ")
    _, (controller,) = read_controller(Sources({"portals": "192.0.2.1:4421,192.0.2.2:4421"}, {}, complete))
    assert [portal.trsvcid for portal in controller.portals] == [4421, 4421]


def test_the_loop_backend_needs_its_directory() -> None:
    sources = {"cluster-id": "c", "node-name": "n", "host-backend": "loop"}
    (found,) = mistakes(read_node, Sources(sources, {}, {}))
    assert "required with host-backend=loop" in found


def test_a_file_that_is_absent_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="cannot be read"):
        read_file(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    with pytest.raises(SettingsInvalid, match="not a TOML file"):
        read_file(broken)


def test_settings_are_values_that_tests_can_build_without_sources() -> None:
    process = ProcessSettings(cluster_id="c")
    assert process.socket_mode == 0o600
    assert process.node_journal.name == "journal-node.db"
    assert NodeSettings(node_name="n").max_volumes_per_node == 0
    settings = ControllerSettings(
        rds_address="a", rds_key_file=Path("k"), pool_slot="p", portals=(Portal("192.0.2.1", 4420),)
    )
    assert settings.command_deadline == 30

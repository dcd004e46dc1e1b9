"""Which backend is opened, and that none is chosen silently."""

from pathlib import Path

import pytest

from rdscsi.config import NodeSettings
from rdscsi.errors import CommandFailed
from rdscsi.host import select
from rdscsi.host.devices import loops
from rdscsi.host.mounts import Mounts
from rdscsi.host.process import Processes
from rdscsi.host.select import open_host, try_loop_devices
from rdscsi.testing.host import require_loop_devices
from rdscsi.testing.logbook import open_logbook


def settings(backend: str, exports: Path | None = None, state: Path | None = None) -> NodeSettings:
    return NodeSettings(node_name="node", host_backend=backend, loop_exports_dir=exports, state_dir=state)


@pytest.mark.parametrize(
    ("asked", "works", "opened"),
    [
        ("auto", None, "kernel"),
        ("auto", True, "loop"),
        ("auto", False, "simulated"),
        ("kernel", True, "kernel"),
        ("loop", False, "loop"),
        ("simulated", True, "simulated"),
    ],
)
async def test_a_backend_is_chosen_by_what_works(
    asked: str, works: bool | None, opened: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trial(processes: Processes) -> str:
        return "" if works else "no loop-control"

    monkeypatch.setattr(select, "try_loop_devices", trial)
    exports = None if works is None else tmp_path / "exports"
    with open_logbook() as told:
        async with open_host(settings(asked, exports, tmp_path / "state")) as host:
            assert host.backend == opened
        assert [event["backend"] for event in told.events("host.opened")] == [opened]
        if asked == "auto" and opened == "simulated":
            (warning,) = told.events("host.simulated")
            assert (warning["level"], "no loop-control" in warning["reason"]) == ("warning", True)


async def test_a_node_without_nvme_tcp_says_so_and_simulates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fabrics, warned in ((tmp_path / "missing", True), (tmp_path, False)):
        monkeypatch.setattr(select, "FABRICS", fabrics)
        with open_logbook() as told:
            async with open_host(settings("auto")) as host:
                assert host.backend == "kernel"
            assert len(told.events("host.no_nvme_tcp")) == warned


async def test_a_simulated_kernel_outlives_its_process(tmp_path: Path) -> None:
    async with open_host(settings("simulated", state=tmp_path / "state")) as host:
        first = await host.boot_id()
        await host.make_directory(str(tmp_path / "directory"))
        await host.bind(str(tmp_path), str(tmp_path / "directory"), readonly=True)
    async with open_host(settings("simulated", state=tmp_path / "state")) as host:
        assert await host.boot_id() == first
        (mount,) = await host.mounts()
        assert (mount.mount_point, mount.readonly) == (str(tmp_path / "directory"), True)


@pytest.mark.root
async def test_the_trial_leaves_nothing() -> None:
    assert await try_loop_devices(Processes()) == ""
    assert not [loop for loop in loops.loops() if loop.name == "rdscsi-trial"]


@pytest.mark.root
async def test_a_trial_that_fails_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise CommandFailed(("mount",), 32, "permission denied")

    monkeypatch.setattr(Mounts, "mount", refuse)
    assert "permission denied" in await try_loop_devices(Processes())
    assert not [loop for loop in loops.loops() if loop.name == "rdscsi-trial"]


async def test_a_machine_without_loop_devices_fails_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/dev/loop-control")

    monkeypatch.setattr(loops, "attach", missing)
    assert "/dev/loop-control" in await try_loop_devices(Processes())


@pytest.fixture(autouse=True)
def _need_loop_devices(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        require_loop_devices()

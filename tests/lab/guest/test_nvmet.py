"""The simulated RDS's exporter over the kernel's target: repeated, restarted, and beside what is not its own."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.initiator import HOST, connect, connected
from lab.guest.target import Target, sh
from rdscsi.simulator.nvmet import CONFIGFS, Backing, Nvmet
from rdscsi.simulator.storage.exports import Export


def tree() -> list[str]:
    """All that was made in configfs."""
    kept = {"subsystems", "ports", "hosts"}
    return sorted(str(path.relative_to(CONFIGFS)) for part in kept for path in (CONFIGFS / part).iterdir())


def test_offering_twice_changes_nothing_and_cuts_nobody(target: Target) -> None:
    volume = target.volume()
    connected(volume.nqn)
    before = tree()
    uuid = (target.namespace(volume) / "device_uuid").read_text()
    target.nvmet.offer(volume.export)
    assert tree() == before
    assert (target.namespace(volume) / "device_uuid").read_text() == uuid
    assert initiator.state(volume.nqn) == "live"


def test_the_port_id_is_the_tcp_port(target: Target) -> None:
    volume = target.volume()
    assert (CONFIGFS / "ports" / "4420" / "subsystems" / volume.nqn).is_symlink()


@pytest.mark.parametrize("backing", list(Backing))
def test_withdrawing_leaves_nothing(target: Target, backing: Backing) -> None:
    volume = target.file()
    exporter = target.exporter(backing)
    exporter.offer(replace(volume.export, allowed_host=HOST))
    exporter.withdraw(volume.nqn)
    exporter.withdraw(volume.nqn)
    assert tree() == []
    assert str(volume.file) not in sh("losetup", "-l", "-O", "BACK-FILE").stdout


def test_another_port_moves_the_export(target: Target) -> None:
    volume = target.volume()
    target.nvmet.offer(replace(volume.export, port=4421))
    assert tree() == ["ports/4421", f"subsystems/{volume.nqn}"]
    with pytest.raises(ConnectionRefusedError):
        connect(volume.nqn)
    connect(volume.nqn, trsvcid=4421)


def test_another_file_under_the_same_name_is_another_disk(target: Target) -> None:
    first, second = target.volume(), target.file()
    second.file.write_bytes(b"second" * 4096)
    target.nvmet.offer(replace(second.export, nqn=first.nqn))
    with connected(first.nqn).open("rb") as disk:
        assert disk.read(6) == b"second"


def test_a_host_list_can_be_opened_and_closed(target: Target) -> None:
    volume = target.volume()
    connect(volume.nqn)
    initiator.disconnect(volume.nqn)
    target.nvmet.offer(replace(volume.export, allowed_host="nqn.2026-01.io.example:another"))
    with pytest.raises(OSError, match="Input/output"):
        connect(volume.nqn)
    target.nvmet.offer(volume.export)
    connect(volume.nqn)


def test_a_restart_exports_what_is_recorded_and_nothing_else(target: Target) -> None:
    kept, gone, new = target.volume(), target.volume(), target.file()
    connected(kept.nqn)
    Nvmet(target.pool).reset([kept.export, new.export])
    assert initiator.state(kept.nqn) == "live"
    assert sorted(path.name for path in (CONFIGFS / "subsystems").iterdir()) == sorted([kept.nqn, new.nqn])
    assert gone.nqn not in Nvmet(target.pool).offered()


def test_half_made_exports_are_finished(target: Target) -> None:
    volume = target.file()
    target.subsystem(volume).mkdir()
    target.nvmet.offer(volume.export)
    assert connected(volume.nqn).is_block_device()


def test_what_others_configured_stays(target: Target, tmp_path: Path) -> None:
    other = Nvmet(Path("/srv/elsewhere"))
    file = target.pool.parent / "elsewhere" / "disk.img"
    file.parent.mkdir(exist_ok=True)
    sh("truncate", "-s", "64M", str(target.pool / "elsewhere.img"))
    loop = sh("losetup", "-f", "--show", str(target.pool / "elsewhere.img")).stdout.strip()
    foreign = CONFIGFS / "subsystems" / "nqn.2026-01.io.example:foreign"
    foreign.mkdir()
    try:
        target.nvmet.reset([])
        assert foreign.is_dir()
        assert other.offered() == []
    finally:
        foreign.rmdir()
        sh("losetup", "-d", loop)


def test_each_address_has_a_port_of_its_own(pool: Path, target: Target) -> None:
    exporter = Nvmet(pool, addresses=("127.0.0.1", "127.0.0.2"))
    volume = target.file()
    exporter.offer(Export(volume.nqn, volume.file))
    connect(volume.nqn)
    connect(volume.nqn, traddr="127.0.0.2")
    with pytest.raises(ConnectionRefusedError):
        connect(volume.nqn, traddr="127.0.0.3")
    exporter.withdraw(volume.nqn)
    assert tree() == []

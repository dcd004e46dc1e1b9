"""How disks, controllers and subsystems are called, and where sysfs has them."""

import json
from pathlib import Path

from lab.guest import initiator
from lab.guest.initiator import connect, connected, read, wait_for
from lab.guest.target import Target, sh


def test_the_disk_is_in_its_subsystem_and_the_path_is_hidden(target: Target) -> None:
    volume = target.volume()
    controller = connect(volume.nqn)
    node = wait_for(lambda: initiator.find_node(volume.nqn))
    subsystem = wait_for(lambda: initiator.subsystem(volume.nqn))
    assert (subsystem / node.name).is_dir()
    path = initiator.CONTROLLERS / controller / f"nvme{subsystem.name.removeprefix('nvme-subsys')}c{controller[4:]}n1"
    assert read(path / "hidden") == "1"
    assert not (Path("/dev") / path.name).exists()


def test_connecting_returns_before_the_disk_is_there_or_at_best_with_it(target: Target) -> None:
    volume = target.volume()
    connect(volume.nqn)
    assert initiator.state(volume.nqn) == "live"
    assert wait_for(lambda: initiator.find_node(volume.nqn)).is_block_device()


def test_the_disk_is_named_after_the_subsystem_not_the_controller(target: Target) -> None:
    first, second = target.volume(), target.volume()
    connected(first.nqn)
    spare = connect(first.nqn, duplicate_connect="")
    node = connected(second.nqn)
    subsystem = wait_for(lambda: initiator.subsystem(second.nqn))
    assert node.name == f"nvme{subsystem.name.removeprefix('nvme-subsys')}n1"
    assert node.name != f"{spare}n1"


def test_two_paths_make_one_disk(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    connect(volume.nqn, traddr="127.0.0.2")
    assert len(initiator.controllers(volume.nqn)) == 2
    subsystem = wait_for(lambda: initiator.subsystem(volume.nqn))
    assert [path.name for path in subsystem.glob("nvme*n*")] == [node.name]


def test_a_name_and_a_device_number_are_used_again_for_another_volume(target: Target) -> None:
    """The name at once; the number is one of two, of the disk and of its hidden path, as the kernel frees them."""
    volumes = [target.volume() for _ in range(3)]
    nodes, seen = set(), []
    for turn in range(9):
        volume = volumes[turn % 3]
        node = connected(volume.nqn)
        nodes.add(node)
        seen.append((volume.nqn, *_number_and_sequence(node)))
        initiator.disconnect(volume.nqn)
        _wait_gone(node)
    assert len(nodes) == 1
    assert len({sequence for _, _, sequence in seen}) == len(seen)
    assert len({(nqn, number) for nqn, number, _ in seen}) > len({number for _, number, _ in seen})


def _wait_gone(node: Path) -> None:
    wait_for(lambda: not node.exists())


def _number_and_sequence(node: Path) -> tuple[str, str]:
    return read(Path("/sys/block") / node.name / "dev"), read(Path("/sys/block") / node.name / "diskseq")


def test_a_new_export_of_the_same_file_has_another_uuid(target: Target) -> None:
    volume = target.volume()
    before = read(Path("/sys/block") / connected(volume.nqn).name / "uuid")
    initiator.disconnect(volume.nqn)
    target.nvmet.withdraw(volume.nqn)
    target.nvmet.offer(volume.export)
    after = read(Path("/sys/block") / connected(volume.nqn).name / "uuid")
    assert before
    assert after
    assert before != after


def test_while_connecting_nvme_list_is_silent_and_the_address_is_shorter(target: Target) -> None:
    volume = target.volume()
    connected(volume.nqn)
    (controller,) = initiator.controllers(volume.nqn)
    assert "src_addr=" in read(controller / "address")
    target.cut(volume)
    wait_for(lambda: initiator.state(volume.nqn) == "connecting")
    assert json.loads(sh("nvme", "list", "-o", "json").stdout) == {"Devices": []}
    assert volume.nqn in sh("nvme", "list-subsys", "-o", "json").stdout
    assert read(controller / "address") == "traddr=127.0.0.1,trsvcid=4420"
    assert read(controller / "subsysnqn") == volume.nqn


def test_udev_links_arrive_after_the_disk(target: Target) -> None:
    volume = target.volume()
    node = connected(volume.nqn)
    uuid = read(Path("/sys/block") / node.name / "uuid")
    sh("udevadm", "settle")
    assert Path(f"/dev/disk/by-id/nvme-uuid.{uuid}").resolve() == node

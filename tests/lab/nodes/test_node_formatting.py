"""When mkfs is run and, above all, when not: on a real disk that is foreign, unreadable or was in use before."""

import pytest

from lab.nodes.conftest import MakeVolume
from lab.nodes.volume import Volume
from lab.nodes.world import STATE, World

MIB = 1 << 20

SCSI = "/sys/bus/pseudo/drivers/scsi_debug"
BAD_DISK = f"""
modprobe scsi_debug dev_size_mb=64 opts=2 medium_error_start=8 medium_error_count=1
udevadm settle
disk=/dev/$(ls {SCSI}/adapter*/host*/target*/*/block)
namespace=/sys/kernel/config/nvmet/subsystems/$NQN/namespaces/1
echo 0 >$namespace/enable
echo -n $disk >$namespace/device_path
echo 1 >$namespace/enable
"""
"""Puts a disk of 64 MiB behind an export, of which a sector in the first MiB cannot be read."""

SAME_DISK_GOOD = f"echo 0 >{SCSI}/opts; disk=/dev/$(ls {SCSI}/adapter*/host*/target*/*/block);"


def backing_file(volume: Volume) -> str:
    """The volume's file on the appliance."""
    slot = volume.volume_id.rpartition("/")[2]
    return volume.world.appliance.machine.run("sh", "-c", f"find {STATE} -path '*{slot}*' -name '*.img'").out.strip()


def checksum(volume: Volume) -> str:
    """The checksum of the volume's file."""
    return volume.world.appliance.machine.run("sha256sum", backing_file(volume)).out.split()[0]


@pytest.mark.parametrize(
    "offset", [1024, pytest.param(0, marks=pytest.mark.slow), pytest.param(-4096, marks=pytest.mark.slow)]
)
def test_foreign_data_is_never_formatted(world: World, make_volume: MakeVolume, offset: int) -> None:
    volume = make_volume(size=64 * MIB)
    assert volume.publish(world.a).get("formatPermit")
    place = offset if offset >= 0 else volume.size + offset
    script = f"printf foreign | dd of={backing_file(volume)} bs=1 seek={place} conv=notrunc,fsync"
    world.appliance.machine.run("sh", "-c", script)
    before = checksum(volume)
    refused = volume.stage_refusal(world.a)
    assert refused.code == "FAILED_PRECONDITION"
    assert checksum(volume) == before


def test_an_unreadable_disk_is_not_a_blank_one(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume(size=64 * MIB)
    volume.publish(world.a)
    world.appliance.machine.run("sh", "-ec", BAD_DISK, env={"NQN": volume.subnqn(world.a)})
    refused = volume.stage_refusal(world.a)
    assert refused.code in ("UNAVAILABLE", "ABORTED"), refused
    left = world.appliance.machine.run("sh", "-ec", f"{SAME_DISK_GOOD} tr -d '\\0' <$disk | wc -c").out
    assert left.strip() == "0"
    volume.stage(world.a)
    volume.mount(world.a)


def test_a_permit_is_good_for_one_filesystem(world: World, make_volume: MakeVolume) -> None:
    volume = make_volume(size=64 * MIB)
    volume.use(world.a)
    volume.leave(world.a)
    assert "formatPermit" not in volume.publish(world.a)
    file = backing_file(volume)
    world.appliance.machine.run("sh", "-ec", f"truncate -s 0 {file}; truncate -s {64 * MIB} {file}")
    refused = volume.stage_refusal(world.a)
    assert refused.code == "FAILED_PRECONDITION"
    assert world.appliance.machine.run("sh", "-c", f"tr -d '\\0' <{file} | wc -c").out.strip() == "0"

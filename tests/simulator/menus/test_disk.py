"""`/disk`: what a driver meets there, and the switches for what no source settles."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, PoolOptions

MakeAppliance = Callable[..., Appliance]
ADD = "/disk/add type=file slot={0} file-path=pool1/{0}.img file-size=1M mount-filesystem=no"


def switched(make_appliance: MakeAppliance, **switches: object) -> Appliance:
    return make_appliance(ApplianceOptions(behaviour=replace(Behaviour(), **switches)))  # type: ignore[arg-type]


def add(appliance: Appliance, slot: str, more: str = "") -> str:
    return appliance.run(f":put [{ADD.format(slot)} {more}]").strip()


def get(appliance: Appliance, slot: str, name: str) -> str:
    return appliance.run(f':put [/disk/get [find where slot="{slot}"] {name}]').strip()


def test_add_gives_an_id_that_rises_and_is_never_used_again(appliance: Appliance) -> None:
    first, second = add(appliance, "a"), add(appliance, "b")
    appliance.run("/disk/remove b")
    third = add(appliance, "b")
    numbers = [int(text.removeprefix("*"), 16) for text in (first, second, third)]
    assert numbers == sorted(set(numbers))
    assert first == f"*{numbers[0]:X}"


def test_add_says_nothing_as_a_statement(appliance: Appliance) -> None:
    assert appliance.run(ADD.format("a")) == ""


def test_a_new_file_disk_is_a_block_device_of_the_asked_size(appliance: Appliance) -> None:
    add(appliance, "a", "comment=mine")
    shown = {
        name: get(appliance, "a", name) for name in ("size", "file-path", "model", "fs", "block-device", "comment")
    }
    assert shown == {
        "size": str(1 << 20), "file-path": "/pool1/a.img", "model": "/pool1/a.img", "fs": "-",
        "block-device": "true", "comment": "mine",
    }  # fmt: skip
    assert (appliance.storage.pool.directory / "a.img").stat().st_size == 1 << 20


def test_there_is_no_status(appliance: Appliance) -> None:
    assert "input does not match any value of value-name" in appliance.run("/disk/get pool1 status")


@pytest.mark.parametrize(("size", "bytes_"), [("1K", 1 << 10), ("2M", 2 << 20), ("1G", 1 << 30), ("1536", 1536)])
def test_file_sizes_are_binary(appliance: Appliance, size: str, bytes_: int) -> None:
    appliance.run(f"/disk/add type=file slot=s file-path=pool1/s file-size={size}")
    assert get(appliance, "s", "size") == str(bytes_)


def test_file_sizes_can_be_switched_to_decimal(make_appliance: MakeAppliance) -> None:
    appliance = switched(make_appliance, binary_file_size=False)
    appliance.run("/disk/add type=file slot=s file-path=pool1/s file-size=1M")
    assert get(appliance, "s", "size") == "1000000"


def test_a_missing_directory_is_not_made(make_appliance: MakeAppliance) -> None:
    line = "/disk/add type=file slot=s file-path=pool1/no/dir/s file-size=1M"
    assert "No such file or directory" in make_appliance().run(line)
    making = make_appliance(ApplianceOptions(behaviour=Behaviour(create_directories=True)), name="making")
    assert making.run(line) == ""


def test_removing_a_disk_keeps_its_file(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    add(appliance, "a")
    appliance.run("/disk/remove a")
    assert appliance.run(':put [:len [/file/find where name="pool1/a.img"]]') == "1\r\n"
    other = make_appliance(ApplianceOptions(behaviour=Behaviour(remove_keeps_file=False)), name="other")
    add(other, "a")
    other.run("/disk/remove a")
    assert other.run(':put [:len [/file/find where name="pool1/a.img"]]') == "0\r\n"


def test_adding_onto_a_file_attaches_its_content(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    add(appliance, "a")
    appliance.storage.files.write_blocks("pool1/a.img", 512, b"precious")
    appliance.run("/disk/remove a")
    appliance.run("/disk/add type=file slot=again file-path=pool1/a.img mount-filesystem=no")
    assert (appliance.storage.pool.directory / "a.img").read_bytes()[512:520] == b"precious"
    assert get(appliance, "again", "size") == str(1 << 20)


def test_adding_onto_a_file_can_be_refused_and_the_same_file_twice_too(make_appliance: MakeAppliance) -> None:
    strict = switched(make_appliance, attach_existing_file=False)
    add(strict, "a")
    strict.run("/disk/remove a")
    assert "file already exists" in add(strict, "a")
    once = make_appliance(ApplianceOptions(behaviour=Behaviour(same_file_twice=False)), name="once")
    add(once, "a")
    assert "file already exists" in once.run("/disk/add type=file slot=b file-path=/pool1/a.img")
    usual = make_appliance(name="usual")
    add(usual, "a")
    assert usual.run("/disk/add type=file slot=b file-path=/pool1/a.img") == ""


def test_slots_are_unique_and_at_most_32_characters(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    assert add(appliance, "x" * 32).startswith("*")
    assert "slot name too long" in add(appliance, "x" * 33)
    assert "already have" in appliance.run(ADD.format("x" * 32))
    assert "already have" in appliance.run(f"/disk/set pool1 slot={'x' * 32}")
    longer = make_appliance(ApplianceOptions(behaviour=Behaviour(max_slot=40)), name="longer")
    assert add(longer, "x" * 40).startswith("*")


def test_a_refused_add_leaves_nothing(appliance: Appliance) -> None:
    add(appliance, "a")
    appliance.run("/disk/add type=file slot=a file-path=pool1/other.img file-size=1M")
    assert not (appliance.storage.pool.directory / "other.img").exists()


def test_two_exports_never_share_an_nqn_unless_switched(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    add(appliance, "a", "nvme-tcp-export=yes nvme-tcp-server-nqn=nqn.x")
    add(appliance, "b", "nvme-tcp-server-nqn=nqn.x")
    assert "already in use" in appliance.run("/disk/set b nvme-tcp-export=yes")
    assert get(appliance, "b", "nvme-tcp-export") == "false"
    lax = make_appliance(ApplianceOptions(behaviour=Behaviour(same_nqn_twice=True)), name="lax")
    for slot in "ab":
        add(lax, slot, "nvme-tcp-export=yes nvme-tcp-server-nqn=nqn.x")
    assert lax.run("/disk/print count-only where nvme-tcp-export=yes") == "2\r\n"


def test_an_export_has_defaults_and_a_link(appliance: Appliance) -> None:
    add(appliance, "a")
    appliance.run("/disk/set a nvme-tcp-export=yes")
    assert get(appliance, "a", "nvme-tcp-server-port") == "4420"
    assert get(appliance, "a", "nvme-tcp-server-nqn") == "nqn.2000-02.com.mikrotik:a"
    link = appliance.storage.exports.link_of("nqn.2000-02.com.mikrotik:a")
    assert link.resolve() == (appliance.storage.pool.directory / "a.img").resolve()
    appliance.run("/disk/set a nvme-tcp-export=no")
    assert not link.is_symlink()


def test_before_7_21_the_nqn_is_the_slot(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(version="7.20.8"))
    add(appliance, "a", "nvme-tcp-export=yes")
    assert appliance.storage.exports.link_of("a").is_symlink()
    assert "nvme-tcp-server-nqn" not in appliance.run("/disk/print detail where slot=a")


def test_removing_a_live_export_cuts_it_or_is_refused(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    add(appliance, "a", "nvme-tcp-export=yes")
    assert appliance.run("/disk/remove a") == ""
    assert not list((appliance.state_dir / "exports").iterdir())
    strict = make_appliance(ApplianceOptions(behaviour=Behaviour(remove_exported_disk=False)), name="strict")
    add(strict, "a", "nvme-tcp-export=yes")
    assert "in use" in strict.run("/disk/remove a")
    assert get(strict, "a", "slot") == "a"


def test_growing_and_shrinking(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    add(appliance, "a")
    appliance.run("/disk/set a file-size=4M")
    assert get(appliance, "a", "size") == str(4 << 20)
    appliance.run("/disk/set a file-size=2M")
    assert get(appliance, "a", "size") == str(2 << 20)
    strict = make_appliance(ApplianceOptions(behaviour=Behaviour(shrink=False)), name="strict")
    add(strict, "a")
    assert "can not be decreased" in strict.run("/disk/set a file-size=512K")


def test_compression_is_for_btrfs_only(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(pool=PoolOptions(fs="xfs")))
    assert "compression only available for btrfs" in add(appliance, "a", "compress=yes")


def test_mount_filesystem_defaults_to_yes_and_mounts_what_is_recognised(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    for slot, more in (("risky", ""), ("safe", "mount-filesystem=no")):
        appliance.run(f"/disk/add type=file slot={slot} file-path=pool1/{slot} file-size=1M {more}")
        appliance.storage.files.write_blocks(f"pool1/{slot}", 0, _xfs("guest"))
    assert get(appliance, "risky", "mounted") == "false"
    appliance.reboot()
    assert (get(appliance, "risky", "mounted"), get(appliance, "safe", "mounted")) == ("true", "false")
    assert get(appliance, "risky", "fs-label") == "guest"
    assert "BM" in appliance.run("/disk/print where slot=risky")


def test_mounting_at_boot_can_be_switched_off(make_appliance: MakeAppliance) -> None:
    appliance = switched(make_appliance, mount_at_boot=False)
    appliance.run("/disk/add type=file slot=a file-path=pool1/a file-size=1M")
    appliance.storage.files.write_blocks("pool1/a", 0, _xfs("guest"))
    appliance.reboot()
    assert get(appliance, "a", "mounted") == "false"


def test_the_default_of_mount_filesystem_can_be_switched(make_appliance: MakeAppliance) -> None:
    appliance = switched(make_appliance, default_mount_filesystem=False)
    appliance.run("/disk/add type=file slot=a file-path=pool1/a file-size=1M")
    assert get(appliance, "a", "mount-filesystem") == "false"


def _xfs(label: str) -> bytes:
    return b"XFSB" + bytes(28) + bytes(range(16)) + bytes(60) + label.encode().ljust(12, b"\0")


def test_a_disabled_disk_lets_its_file_and_its_export_go(appliance: Appliance) -> None:
    add(appliance, "a", "nvme-tcp-export=yes")
    appliance.run("/disk/disable a")
    assert (get(appliance, "a", "block-device"), get(appliance, "a", "disabled")) == ("false", "true")
    assert not list((appliance.state_dir / "exports").iterdir())
    assert "X" in appliance.run("/disk/print where slot=a").splitlines()[3]
    appliance.run("/disk/enable a")
    assert get(appliance, "a", "block-device") == "true"
    assert list((appliance.state_dir / "exports").iterdir())


def test_copy_from_copies_settings_and_no_data(appliance: Appliance) -> None:
    add(appliance, "a", "comment=original")
    appliance.storage.files.write_blocks("pool1/a.img", 0, b"data")
    appliance.run("/disk/add type=file slot=copy file-path=pool1/copy.img copy-from=[find where slot=a]")
    assert get(appliance, "copy", "comment") == "original"
    assert (appliance.storage.pool.directory / "copy.img").read_bytes()[:4] == bytes(4)


def test_hardware_cannot_be_removed_and_other_types_are_not_simulated(appliance: Appliance) -> None:
    assert "cannot remove disk" in appliance.run("/disk/remove pool1")
    assert "is not simulated" in appliance.run("/disk/add type=nvme-tcp nvme-tcp-address=192.0.2.1")
    assert "must be either" in appliance.run('/disk/add type="floppy"')


def test_a_tmpfs_takes_no_more_than_the_memory(appliance: Appliance) -> None:
    assert "too much memory requested for tmpfs/ramdisk" in appliance.run("/disk/add type=tmpfs tmpfs-max-size=100G")
    assert appliance.run(":put [/disk/get [/disk/add type=tmpfs tmpfs-max-size=100M] size]") == "100000000\r\n"


def test_set_by_find_changes_all_matches_and_none_in_silence(appliance: Appliance) -> None:
    for slot in "abc":
        add(appliance, slot)
    assert appliance.run('/disk/set [find where slot~"^[ab]\\$"] comment=both') == ""
    assert [get(appliance, slot, "comment") for slot in "abc"] == ["both", "both", ""]
    assert appliance.run("/disk/set [find where slot=nobody] comment=x") == ""
    assert appliance.run("/disk/remove nobody").startswith("no such item")


def test_an_empty_find_can_be_switched_to_an_error(make_appliance: MakeAppliance) -> None:
    appliance = switched(make_appliance, empty_find_is_silent=False)
    assert appliance.run("/disk/remove [find where slot=nobody]").startswith("no such item")


def test_bare_and_empty_comments_in_conditions(appliance: Appliance) -> None:
    add(appliance, "a", "comment=x")
    assert appliance.run(":put [:len [/disk/find where comment]]") == "1\r\n"
    assert appliance.run(':put [:len [/disk/find where comment=""]]') == "0\r\n"
    assert appliance.run(":put [:len [/disk/find where type=file and !comment]]") == "0\r\n"


def test_unquoted_values_of_conditions_are_typed(appliance: Appliance) -> None:
    add(appliance, "a", 'comment="1.1"')
    assert appliance.run(':put [:len [/disk/find where comment="1.1"]]') == "1\r\n"
    assert appliance.run(":put [:len [/disk/find where comment=1.1]]") == "0\r\n"


def test_items_are_named_by_id_slot_or_lists_of_them(appliance: Appliance) -> None:
    ids = [add(appliance, slot) for slot in "abcd"]
    appliance.run(f"/disk/set {ids[0]} comment=1; /disk/set b comment=2; /disk/set {ids[2]},d comment=3")
    assert [get(appliance, slot, "comment") for slot in "abcd"] == ["1", "2", "3", "3"]


def test_unset_takes_a_comment_away(appliance: Appliance) -> None:
    add(appliance, "a", "comment=x")
    appliance.run("/disk/unset a value-name=comment")
    assert get(appliance, "a", "comment") == ""


def test_a_file_that_is_gone_leaves_the_disk_with_its_declared_size(appliance: Appliance) -> None:
    add(appliance, "a")
    appliance.run('/file/remove [/file/find where name="pool1/a.img"]')
    assert get(appliance, "a", "size") == str(1 << 20)
    appliance.reboot()
    assert (get(appliance, "a", "block-device"), get(appliance, "a", "size")) == ("false", "")


def test_formatting_asks_first_and_without_a_terminal_nothing_happens(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.run("/file/add name=pool1/x")
    assert appliance.run("/disk/format pool1 file-system=xfs") == "All data will be lost, are you sure? [y/N]: \r\n"
    assert appliance.run(':put [:len [/file/find where name="pool1/x"]]') == "1\r\n"


def test_formatting_makes_another_file_system_with_nothing_on_it(make_appliance: MakeAppliance) -> None:
    appliance = switched(make_appliance, format_answer="y")
    appliance.run("/disk/btrfs/subvolume/add fs=pool1 name=s")
    before = get(appliance, "pool1", "fs-uuid")
    appliance.run("/disk/format pool1 file-system=xfs")
    assert (get(appliance, "pool1", "fs"), get(appliance, "pool1", "fs-label")) == ("xfs", "pool1-fs")
    assert get(appliance, "pool1", "fs-uuid") != before
    assert appliance.run(":put [:len [/file/find]]") == "1\r\n"
    add(appliance, "a")
    assert "could not unmount, stop using it first" in appliance.run("/disk/format pool1 file-system=ext4")


def test_what_is_not_simulated_says_so(appliance: Appliance) -> None:
    for line in ("/disk/print stats-detail", "/disk/print file=x", "/disk/print follow", "/disk/trim pool1"):
        assert "is not simulated" in appliance.run(line)


def test_the_package_brings_its_arguments(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance = make_appliance(ApplianceOptions(rose_storage=False))
    assert appliance.run(':put [:len [/system/package/find where name="rose-storage"]]') == "0\r\n"
    assert "bad parameter nvme-tcp-export" in appliance.run("/disk/set pool1 nvme-tcp-export=yes")
    assert appliance.run("/disk/btrfs/subvolume/print").startswith("syntax error")

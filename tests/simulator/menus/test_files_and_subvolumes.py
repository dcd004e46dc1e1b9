"""`/file` and `/disk/btrfs`: names, kinds, snapshots, and what goes when something is removed."""

from collections.abc import Callable

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, PoolOptions

MakeAppliance = Callable[..., Appliance]
SUBVOLUME = "/disk/btrfs/subvolume/"


def files(appliance: Appliance) -> list[str]:
    return appliance.run(":foreach i in=[/file/find] do={:put [/file/get $i name]}").split()


def of_subvolume(appliance: Appliance, fullname: str, name: str) -> str:
    return appliance.run(f':put [{SUBVOLUME}get [find where fullname="{fullname}"] {name}]').strip()


def test_names_have_no_leading_slash_and_kinds_are_told(appliance: Appliance) -> None:
    appliance.run("/file/add name=/pool1/d type=directory; /file/add name=pool1/d/v.img contents=abc")
    assert files(appliance) == ["pool1", "pool1/d", "pool1/d/v.img"]
    types = appliance.run(":foreach i in=[/file/find] do={:put [/file/get $i type]}").splitlines()
    assert types == ["disk", "directory", ".img file"]
    assert appliance.run(':put [/file/get [find where name="pool1/d/v.img"] size]') == "3\r\n"
    assert appliance.run(":put [:typeof [/file/get pool1/d size]]") == "nothing\r\n"


def test_ids_stay_with_files_and_are_not_used_again(appliance: Appliance) -> None:
    appliance.run("/file/add name=a; /file/add name=b")
    first = appliance.run(':put [/file/find where name="a"]')
    second = appliance.run(':put [/file/find where name="b"]')
    appliance.run("/file/remove a; /file/add name=c")
    third = appliance.run(':put [/file/find where name="c"]')
    assert len({first, second, third}) == 3
    appliance.run("/file/set b name=renamed")
    assert appliance.run(':put [/file/find where name="renamed"]') == second


def test_names_that_lead_out_of_the_tree_are_refused(appliance: Appliance) -> None:
    for name in ("../x", "pool1/../../x", "pool1//x", "a/./b"):
        assert "bad file name" in appliance.run(f"/file/add name={name}")
    assert not (appliance.state_dir.parent / "x").exists()


def test_a_file_needs_its_directory_and_a_free_name(appliance: Appliance) -> None:
    assert "no such directory" in appliance.run("/file/add name=pool1/no/x")
    appliance.run("/file/add name=pool1/x")
    assert "already exists" in appliance.run("/file/add name=pool1/x")


def test_removal_of_full_directories_mount_points_and_used_files(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.run("/file/add name=pool1/d type=directory; /file/add name=pool1/d/x")
    assert "not empty" in appliance.run("/file/remove pool1/d")
    assert "mount point" in appliance.run("/file/remove pool1")
    appliance.run("/disk/add type=file slot=a file-path=pool1/d/x file-size=1M")
    assert appliance.run("/file/remove pool1/d/x") == ""
    strict = make_appliance(
        ApplianceOptions(behaviour=Behaviour(remove_attached_file=False, remove_full_directory=True)), name="strict"
    )
    strict.run("/file/add name=pool1/d type=directory; /disk/add type=file slot=a file-path=pool1/d/x file-size=1M")
    assert "in use" in strict.run("/file/remove pool1/d/x")
    strict.run("/disk/remove a")
    assert strict.run("/file/remove pool1/d") == ""
    assert files(strict) == ["pool1"]


def test_contents_are_read_written_and_bounded(appliance: Appliance) -> None:
    appliance.run("/file/add name=t contents=one; /file/set t contents=two")
    assert appliance.run(":put [/file/get t contents]") == "two\r\n"
    assert "contents too big" in appliance.run(f'/file/add name=big contents="{"x" * 61441}"')
    assert appliance.run(":put [/file/read file=t offset=1 chunk-size=1 as-value]").strip() in ("w", "")


def test_files_are_copied_from_7_23_on(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.run("/file/add name=pool1/a contents=data; /file/copy pool1/a name=pool1/b")
    assert appliance.run(":put [/file/get pool1/b contents]") == "data\r\n"
    old = make_appliance(ApplianceOptions(version="7.22.3"), name="old")
    assert old.run("/file/copy a name=b").startswith("bad command name copy")


def test_times_are_the_appliance_clocks(appliance: Appliance) -> None:
    appliance.run("/file/add name=pool1/x")
    assert appliance.run(":put [/file/get pool1/x last-modified]") == "2026-01-01 00:00:00\r\n"


def test_a_nested_subvolume_has_a_leaf_name_and_a_full_one(appliance: Appliance) -> None:
    appliance.run(f"{SUBVOLUME}add fs=pool1 name=Snapshots; {SUBVOLUME}add fs=pool1 name=Documents")
    appliance.run(f"{SUBVOLUME}add fs=pool1 parent=Documents read-only=yes name=Snapshots/Documents-1")
    shown = {name: of_subvolume(appliance, "Snapshots/Documents-1", name) for name in ("name", "top-level", "parent")}
    assert shown == {"name": "Documents-1", "top-level": "Snapshots", "parent": "Documents"}
    assert of_subvolume(appliance, "Documents", "top-level") == "<FS_ROOT>"
    assert "Sr" in appliance.run(f"{SUBVOLUME}print")


def test_a_snapshot_has_the_content_and_goes_its_own_way(appliance: Appliance) -> None:
    appliance.run(f"{SUBVOLUME}add fs=pool1 name=v; /disk/add type=file slot=v file-path=pool1/v/d file-size=1M")
    appliance.storage.files.write_blocks("pool1/v/d", 0, b"before")
    appliance.run(f"{SUBVOLUME}add fs=pool1 parent=v read-only=yes name=s; {SUBVOLUME}add fs=pool1 parent=s name=c")
    appliance.storage.files.write_blocks("pool1/v/d", 0, b"after!")
    for name in ("s", "c"):
        assert (appliance.storage.pool.directory / name / "d").read_bytes()[:6] == b"before"
    assert "Read-only file system" in appliance.run("/file/add name=pool1/s/x")
    assert appliance.run("/file/add name=pool1/c/x") == ""


def test_the_parent_is_empty_when_the_source_is_gone(make_appliance: MakeAppliance) -> None:
    for switched, shown in ((True, ""), (False, "v")):
        options = ApplianceOptions(behaviour=Behaviour(orphan_parent_is_empty=switched))
        appliance = make_appliance(options, name=str(switched))
        appliance.run(f"{SUBVOLUME}add fs=pool1 name=v; {SUBVOLUME}add fs=pool1 parent=v name=s; {SUBVOLUME}remove v")
        assert of_subvolume(appliance, "s", "parent") == shown


def test_subvolume_refusals(appliance: Appliance) -> None:
    appliance.run(f"{SUBVOLUME}add fs=pool1 name=v; {SUBVOLUME}add fs=pool1 name=v/inner")
    assert "File exists" in appliance.run(f"{SUBVOLUME}add fs=pool1 name=v")
    assert "no such btrfs filesystem" in appliance.run(f"{SUBVOLUME}add fs=other name=x")
    assert "no such parent" in appliance.run(f"{SUBVOLUME}add fs=pool1 parent=nobody name=x")
    assert "No such file or directory" in appliance.run(f"{SUBVOLUME}add fs=pool1 name=no/where")
    assert "Directory not empty" in appliance.run(f"{SUBVOLUME}remove [find where name=v]")
    assert "missing value(s) of argument(s) fs" in appliance.run(f"{SUBVOLUME}add name=x")


def test_removing_a_subvolume_takes_its_files(appliance: Appliance) -> None:
    free = appliance.run(":put [/disk/get pool1 free]")
    appliance.run(f"{SUBVOLUME}add fs=pool1 name=v; /disk/add type=file slot=v file-path=pool1/v/d file-size=1G")
    appliance.run(f"/disk/remove v; {SUBVOLUME}remove [find where name=v]")
    assert files(appliance) == ["pool1"]
    assert appliance.run(":put [/disk/get pool1 free]") == free


def test_other_file_systems_have_no_subvolumes(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(pool=PoolOptions(fs="xfs")))
    assert "no such btrfs filesystem" in appliance.run(f"{SUBVOLUME}add fs=pool1 name=v")
    assert appliance.run(":put [:len [/disk/btrfs/filesystem/find]]") == "0\r\n"


def test_a_transfer_is_recorded_and_says_that_it_does_not_run(appliance: Appliance) -> None:
    appliance.run("/disk/btrfs/transfer/add type=send fs=pool1 send-subvolumes=v file=pool1/v.send")
    assert appliance.run(":put [/disk/btrfs/transfer/get 0 status]").startswith("no such item")
    assert appliance.run(
        ":foreach i in=[/disk/btrfs/transfer/find] do={:put [/disk/btrfs/transfer/get $i status]}"
    ) == ("not simulated\r\n")


def test_a_file_system_may_be_given_another_label(appliance: Appliance) -> None:
    appliance.run("/disk/btrfs/filesystem/set pool1 label=other")
    assert appliance.run(":put [/disk/get pool1 fs-label]") == "other\r\n"
    assert appliance.run(f"{SUBVOLUME}add fs=other name=v") == ""

"""What the driver's first look says of simulated appliances that lack something: one clear sentence each.

The line is the driver's own, `surveys.look`, so that it must also parse on the oldest version and without the package.
docs/preflight.md shows these sentences; the last test holds it to them.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from rdscsi.routeros.answers import parse_answer
from rdscsi.routeros.framing import Frame
from rdscsi.routeros.lines import Place
from rdscsi.routeros.preflight import (
    policy_mistakes,
    pool_remarks,
    pool_troubles,
    read_look,
    refused_policy,
    version_mistakes,
)
from rdscsi.routeros.surveys import first_marker, look
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ApplianceOptions, PoolOptions, User

MARKER = "maaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb"
DOCS = Path(__file__).parents[2] / "docs" / "preflight.md"

NO_PACKAGE = (
    "/system/package: rose-storage is not installed on RouterOS 7.24.4 (stable); put the package of exactly this "
    "version on the appliance and reboot it"
)
NO_SLOT = "pool-slot: no disk of the appliance has the slot 'pool1'; set it to one that /disk/print shows"
NO_FILESYSTEM_YET = "/disk 'raid1': mounted=no, fs=btrfs; set mount-filesystem=yes, and format the pool if it never was"
READ_ONLY = "/disk 'raid1': mount-read-only=yes; set mount-read-only=no, so that volumes can be made and written"
ELSEWHERE = "base-path: 'elsewhere/csi' is not below 'raid1', where the pool is mounted; set one that is"
NO_BTRFS = (
    "/disk 'pool1': fs=ext4, so that volumes are plain files, which a full appliance lists slowly, and cannot have "
    "snapshots; format the pool with btrfs while it is empty"
)
NO_NVME = (
    "/disk 'pool1': no property nvme-tcp-export is shown, so that nothing may be reachable over NVMe/TCP; look whether "
    "/disk/set knows nvme-tcp-export, and whether rose-storage is enabled"
)
MAY_NOT_READ = (
    "/user/group: RouterOS answers 'not enough permissions (9)' at /system/resource/get; let the group of the SSH user "
    "(setting rds-user) have policy=ssh,read,write"
)
MAY_NOT_WRITE = MAY_NOT_READ.replace("/system/resource/get", "/disk/btrfs/subvolume/add")
NO_WRITE_POLICY = "/user/group: the group of the user 'rdscsi' lacks write; set its policy=ssh,read,write"
OLD = {
    "type=file": "/system/package/update: RouterOS {} lacks `/disk add type=file`, which makes a volume, there since "
    "7.17; upgrade it to 7.21 or later",
    "/disk/btrfs/subvolume": "/system/package/update: RouterOS {} lacks `/disk/btrfs/subvolume`, in which volumes live "
    "on a Btrfs pool, there since 7.18; upgrade it to 7.21 or later",
    "nvme-tcp-server-nqn": "/system/package/update: RouterOS {} lacks `nvme-tcp-server-nqn`, by which a publication "
    "gets a name of its own, there since 7.21; upgrade it to 7.21 or later",
}


def _said(appliance: Appliance, *, pool: str = "pool1", base: str = "pool1/csi") -> list[str]:
    answer = parse_answer(tuple(appliance.run(look(pool, MARKER)).replace("\r\n", "\n").splitlines()))
    seen = read_look(answer, MARKER)
    return [*version_mistakes(seen), *pool_troubles(seen, pool, base), *pool_remarks(seen, pool)]


def _asked(appliance: Appliance, user: str, body: str) -> str:
    return refused_policy(appliance.run(Frame(body, "abcdef12").line, user=user))


@pytest.mark.parametrize(
    ("version", "lacks"),
    [
        ("7.16.2", ["type=file", "/disk/btrfs/subvolume", "nvme-tcp-server-nqn"]),
        ("7.17.1", ["/disk/btrfs/subvolume", "nvme-tcp-server-nqn"]),
        ("7.18.2", ["nvme-tcp-server-nqn"]),
        ("7.20.8", ["nvme-tcp-server-nqn"]),
        ("7.21.5", []),
        ("7.24.4", []),
        ("7.25.1", []),
        ("7.26beta5", []),
    ],
)
def test_each_version_is_told_what_it_lacks(tmp_path: Path, version: str, lacks: list[str]) -> None:
    with Appliance(tmp_path, ApplianceOptions(version=version)) as appliance:
        shown = appliance.run(":put [/system/resource/get version]").strip()
        assert _said(appliance) == [OLD[what].format(shown) for what in lacks]


def test_the_missing_package_is_named(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(rose_storage=False)) as appliance:
        assert _said(appliance) == [NO_PACKAGE]


def test_a_wrong_pool_an_unmounted_one_and_a_wrong_path_are_told(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(pool=PoolOptions(slot="raid1"))) as appliance:
        assert _said(appliance) == [NO_SLOT]
        assert _said(appliance, pool="raid1", base="elsewhere/csi") == [ELSEWHERE]
        appliance.change_pool(mounted=False)
        assert _said(appliance, pool="raid1", base="raid1/csi") == [NO_FILESYSTEM_YET]


def test_a_pool_that_is_mounted_read_only_is_told(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(pool=PoolOptions(slot="raid1"))) as appliance:
        appliance.change_pool(read_only=True)
        assert _said(appliance, pool="raid1", base="raid1/csi") == [READ_ONLY]


def test_a_pool_that_shows_no_export_property_is_remarked_on() -> None:
    """No simulated version is like that: what an appliance without NVMe/TCP shows is not known."""
    answer = parse_answer(('P {"slot":"pool1","fs":"btrfs","mounted":"yes"}',))
    assert pool_remarks(read_look(answer, MARKER), "pool1") == [NO_NVME]


@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_a_pool_without_btrfs_is_served_with_a_remark(tmp_path: Path, fs: str) -> None:
    with Appliance(tmp_path, ApplianceOptions(pool=PoolOptions(fs=fs))) as appliance:  # type: ignore[arg-type]
        assert _said(appliance) == [NO_BTRFS.replace("ext4", fs)]


def test_what_a_user_may_not_do_is_told_with_the_policies_to_give(tmp_path: Path) -> None:
    options = ApplianceOptions(users=(User("admin"), User("blind", group="blind"), User("reader", group="reader")))
    with Appliance(tmp_path, options) as appliance:
        appliance.run("/user/group/add name=blind policy=ssh,write")
        appliance.run("/user/group/add name=reader policy=ssh,read")
        pool = appliance.storage.pool
        place = Place("pool1", pool.uuid, pool.label, True, "pool1/csi", "csi")
        marker = first_marker(place, Window(0, 10**6), MARKER, "pool1/csi/m.img", "marker")
        assert _asked(appliance, "blind", look("pool1", MARKER)) == MAY_NOT_READ
        assert _asked(appliance, "reader", look("pool1", MARKER)) == ""
        assert _asked(appliance, "reader", marker) == MAY_NOT_WRITE
        assert _asked(appliance, "admin", marker) == ""


def test_the_policies_of_a_user_are_compared_with_what_is_needed() -> None:
    assert policy_mistakes("rdscsi", ["ssh", "read", "!write", "test"]) == [NO_WRITE_POLICY]
    assert policy_mistakes("rdscsi", ["write", "ssh", "read"]) == []


def test_the_documentation_shows_each_sentence_as_it_is_told() -> None:
    text = " ".join(DOCS.read_text().split())
    shown: Mapping[str, str] = {
        **{what: sentence.format("7.16.2 (stable)") for what, sentence in OLD.items()},
        "package": NO_PACKAGE,
        "slot": NO_SLOT,
        "unmounted": NO_FILESYSTEM_YET,
        "read-only": READ_ONLY,
        "base path": ELSEWHERE,
        "no Btrfs": NO_BTRFS,
        "no NVMe/TCP": NO_NVME,
        "may not read": MAY_NOT_READ,
        "may not write": MAY_NOT_WRITE,
        "no write policy": NO_WRITE_POLICY,
    }
    assert [name for name, sentence in shown.items() if sentence not in text] == []

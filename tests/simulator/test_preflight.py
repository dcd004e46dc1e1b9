"""What the driver's first look says of simulated appliances that lack something: one clear sentence each.

The line is the driver's own, `surveys.look`, so that it must also parse on the oldest version and without the package.
"""

from pathlib import Path

import pytest

from rdscsi.routeros.answers import parse_answer
from rdscsi.routeros.preflight import pool_troubles, read_look, version_mistakes
from rdscsi.routeros.surveys import look
from rdscsi.simulator import Appliance, ApplianceOptions, PoolOptions, User

MARKER = "maaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb"


def _said(appliance: Appliance, *, user: str = "admin", pool: str = "pool1", base: str = "pool1/csi") -> list[str]:
    answer = parse_answer(tuple(appliance.run(look(pool, MARKER), user=user).replace("\r\n", "\n").splitlines()))
    seen = read_look(answer, MARKER)
    return [*version_mistakes(seen), *pool_troubles(seen, pool, base)]


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
        said = _said(appliance)
    assert len(said) == len(lacks)
    for sentence, what in zip(said, lacks, strict=True):
        assert f"RouterOS {version}" in sentence
        assert what in sentence


def test_the_missing_package_is_named(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(rose_storage=False)) as appliance:
        assert _said(appliance) == ["the package rose-storage is not installed on RouterOS 7.24.4 (stable)"]


def test_a_wrong_pool_an_unmounted_one_and_a_wrong_path_are_told(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(pool=PoolOptions(slot="raid1"))) as appliance:
        assert _said(appliance) == ["no disk has the slot 'pool1' (setting pool-slot)"]
        assert _said(appliance, pool="raid1", base="elsewhere/csi") == [
            "base-path 'elsewhere/csi' is not below the pool's mount point 'raid1'"
        ]
        appliance.change_pool(mounted=False)
        assert _said(appliance, pool="raid1", base="raid1/csi") == ["the pool 'raid1' is not mounted"]


def test_a_user_who_may_not_read_gets_nothing_but_the_refusal(tmp_path: Path) -> None:
    options = ApplianceOptions(users=(User("admin"), User("u", group="blind")))
    with Appliance(tmp_path, options) as appliance:
        appliance.run("/user/group/add name=blind policy=ssh,write")
        assert appliance.run(look("pool1", MARKER), user="u").startswith("not enough permissions (9)")

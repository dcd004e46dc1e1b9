"""What an appliance lacks for good, and what may pass; each in a sentence that a person can act on."""

from dataclasses import replace

import pytest

from rdscsi.config import values
from rdscsi.routeros.answers import Answer, DiskItem, Pool
from rdscsi.routeros.preflight import Look, below, pool_troubles, read_look, version_mistakes

POOL = Pool("pool1", "btrfs", "uuid", "pool1", "pool1", True, 1 << 40, 1 << 39, "mounted", exports=True)
MARKER = DiskItem("*1", "marker", "file", 1, "", "", "", True, False, "", 0, False, False)
LOOK = Look("7.24.4 (stable)", True, POOL, MARKER)


def test_the_facts_are_taken_out_of_the_answer() -> None:
    answer = Answer(1, (MARKER,), POOL, (), {"version": "7.24.4 (stable)", "rose-storage": "1"})
    assert read_look(answer, "marker") == LOOK
    assert read_look(Answer(), "marker") == Look("", False, None, None)
    for absent in ("", "0"):
        assert not read_look(Answer(facts={"rose-storage": absent}), "marker").rose_storage


class TestVersions:
    @pytest.mark.parametrize("version", ["7.21", "7.21.5", "7.24.4 (stable)", "7.100beta1", "8.0", "10.1"])
    def test_one_that_has_everything_has_no_mistakes(self, version: str) -> None:
        assert version_mistakes(replace(LOOK, version=version)) == []

    @pytest.mark.parametrize(
        ("version", "lacks"),
        [("7.20.6", 1), ("7.18beta2", 1), ("7.17", 2), ("7.16.2", 3), ("7.15", 4), ("6.49.10", 4)],
    )
    def test_an_older_one_is_told_all_that_it_lacks(self, version: str, lacks: int) -> None:
        mistakes = version_mistakes(replace(LOOK, version=version))
        assert len(mistakes) == lacks
        assert all(f"RouterOS {version} lacks " in one for one in mistakes)
        assert "nvme-tcp-server-nqn" in mistakes[-1]
        assert mistakes[-1].endswith("there since 7.21; upgrade it to 7.21 or later")

    def test_a_missing_package_is_told(self) -> None:
        (one,) = version_mistakes(replace(LOOK, rose_storage=False))
        assert "rose-storage is not installed" in one

    @pytest.mark.parametrize("version", ["", "unknown", "v7"])
    def test_what_cannot_be_read_is_no_mistake_of_the_settings(self, version: str) -> None:
        """Unreachable is not wrong (law 9): exit status 2 is for what is proven."""
        assert version_mistakes(Look(version, False, None, None)) == []


class TestPools:
    def test_one_that_is_mounted_and_known_has_no_troubles(self) -> None:
        assert pool_troubles(LOOK, "pool1", "pool1/rdscsi") == []
        assert pool_troubles(LOOK, "pool1", "pool1") == []

    @pytest.mark.parametrize(
        ("pool", "base_path", "told"),
        [
            (None, "pool1/rdscsi", "pool-slot: no disk of the appliance has the slot 'pool1'"),
            (replace(POOL, mounted=False), "elsewhere", "mounted=no"),
            (replace(POOL, fs_uuid=""), "pool1/rdscsi", "fs-uuid is empty"),
            (replace(POOL, read_only=True), "pool1/rdscsi", "mount-read-only=yes"),
            (POOL, "pool2/rdscsi", "is not below 'pool1', where the pool is mounted"),
            (POOL, "pool10", "is not below 'pool1'"),
            (POOL, "", "is not below 'pool1'"),
            (replace(POOL, mount_point="p" * 60), "p" * 60 + "/rdscsi", "is longer than 56"),
        ],
    )
    def test_each_trouble_is_told_by_itself(self, pool: Pool | None, base_path: str, told: str) -> None:
        (one,) = pool_troubles(replace(LOOK, pool=pool), "pool1", base_path)
        assert told in one

    def test_several_are_told_together(self) -> None:
        troubles = pool_troubles(replace(LOOK, pool=replace(POOL, mounted=False, fs_uuid="")), "pool1", "x")
        assert len(troubles) == 2


@pytest.mark.parametrize(
    ("path", "mount", "expected"),
    [("a", "a", True), ("a/b", "a", True), ("ab", "a", False), ("a", "a/b", False), ("b/a", "a", False)],
)
def test_below(path: str, mount: str, expected: bool) -> None:
    assert below(path, mount) is expected


def test_a_base_path_that_the_settings_take_is_never_too_long() -> None:
    path = values.BASE_PATH.parse("p" * 56)
    assert pool_troubles(replace(LOOK, pool=replace(POOL, mount_point=path)), "pool1", path) == []

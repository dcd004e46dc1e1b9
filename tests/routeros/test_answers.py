"""Records as every version prints them; whatever else is an unexpected answer, never a guess."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.errors import UnexpectedAnswer
from rdscsi.routeros.answers import Answer, DiskItem, Leaf, Pool, parse_answer

DISK: dict[str, object] = {
    ".id": "*5", "slot": "v1", "type": "file", "size": 1073741824, "comment": "rdscsi1 v", "file-path": "/pool1/x.img",
    "fs": "-", "block-device": True, "nvme-tcp-export": "yes", "nvme-tcp-server-nqn": "nqn.x",
    "nvme-tcp-server-port": 4420, "mount-filesystem": False, "disabled": "no",
}  # fmt: skip
ITEM = DiskItem(
    item_id="*5", slot="v1", type="file", size=1 << 30, comment="rdscsi1 v", file_path="pool1/x.img", fs="",
    block_device=True, nvme_tcp_export=True, nvme_tcp_server_nqn="nqn.x", nvme_tcp_server_port=4420,
    mount_filesystem=False, disabled=False,
)  # fmt: skip
POOL: dict[str, object] = {
    "slot": "pool1", "fs": "btrfs", "fs-uuid": "u", "fs-label": "pool1", "mount-point": "pool1", "mounted": True,
    "size": "2 199 023 255 552", "free": "1099511627776", "state": "mounted",
}  # fmt: skip


def record(letter: str, **changes: object) -> str:
    sources: dict[str, dict[str, object]] = {"I": DISK, "P": POOL, "L": {"name": "rdscsi/leaf", "uuid": "u"}}
    source = sources[letter]
    return f"{letter} {json.dumps(source | {key.replace('_', '-'): value for key, value in changes.items()})}"


def test_every_kind_of_record_is_read() -> None:
    answer = parse_answer(
        ("U 1w2d03:04:05", record("I"), record("P"), record("L"), "F version=7.24.4 (stable)", "F date=2026-11-25", "")
    )
    assert answer.uptime == 9 * 86400 + 3 * 3600 + 4 * 60 + 5
    assert answer.disks == (ITEM,)
    assert answer.pool == Pool("pool1", "btrfs", "u", "pool1", "pool1", True, 2 << 40, 1 << 40, "mounted")
    assert answer.pool.btrfs
    assert answer.leaves == (Leaf("leaf", "u"),)
    assert answer.facts == {"version": "7.24.4 (stable)", "date": "2026-11-25"}


def test_nothing_is_an_answer_too() -> None:
    assert parse_answer(()) == Answer()
    assert parse_answer(("",)).disk("v1") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "1073741824"},
        {"size": "1 073 741 824"},
        {"nvme_tcp_server_port": "4420"},
        {"block_device": "true"},
        {"block_device": "yes"},
        {"mount_filesystem": "no"},
        {"mount_filesystem": ""},
        {"mount_filesystem": None},
        {"disabled": "false"},
        {"fs": ""},
        {"fs": None},
        {"file_path": "pool1/x.img"},
        {"unknown_property": [1, 2]},
    ],
)
def test_the_forms_of_other_versions_mean_the_same(changes: dict[str, object]) -> None:
    assert parse_answer((record("I", **changes),)).disk("v1") == ITEM


def test_properties_that_are_empty_may_be_left_out() -> None:
    assert parse_answer(('I {".id":"*1","slot":"v1"}',)).disk("v1") == DiskItem(
        "*1", "v1", "", 0, "", "", "", False, False, "", 0, False, False
    )
    assert parse_answer(('P {"slot":"pool1","fs":"ext4"}',)).pool == Pool("pool1", "ext4", "", "", "", False, 0, 0, "")


def test_an_array_of_one_is_one() -> None:
    assert parse_answer((f"I [{json.dumps(DISK)}]",)).disk("v1") == ITEM


def test_two_items_in_one_slot_are_more_than_the_driver_understands() -> None:
    answer = parse_answer((record("I"), record("I", slot="other"), record("I")))
    assert answer.disk("other") is not None
    with pytest.raises(UnexpectedAnswer, match="shows 2 disks in slot v1"):
        answer.disk("v1")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("hello", "what nobody asked for: 'hello'"),
        ("X {}", "what nobody asked for"),
        (" I {}", "what nobody asked for"),
        ("I", "not JSON"),
        ("I {", "not JSON"),
        ("I []", "not one object"),
        ("I [{}, {}]", "not one object"),
        ("I 7", "not one object"),
        ("I null", "not one object"),
        ("U soon", "not a RouterOS time"),
        (record("I", size="big"), "size='big': expected a number"),
        (record("I", size=1.5), "size=1.5: expected a text"),
        (record("I", size=[1]), r"size=\[1\]: expected a text"),
        (record("I", slot=True), "slot=True: expected a text"),
        (record("I", disabled="maybe"), "disabled='maybe': expected yes or no"),
        (record("I", disabled=1), "disabled='1': expected yes or no"),
        (record("P", mounted="perhaps"), "mounted='perhaps'"),
        (record("L", name=1.0), "name=1.0: expected a text"),
    ],
)
def test_anything_else_is_unexpected(line: str, told: str) -> None:
    with pytest.raises(UnexpectedAnswer, match=told):
        parse_answer((line,))


@given(st.text(max_size=60))
def test_whatever_is_printed_there_is_an_answer_or_an_unexpected_one(line: str) -> None:
    for prefix in ("", "I ", "P ", "L ", "U ", "F "):
        try:
            answer = parse_answer((prefix + line,))
        except UnexpectedAnswer:
            continue
        assert isinstance(answer, Answer)


@given(
    st.dictionaries(
        st.sampled_from(sorted(DISK)), st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
    )
)
def test_whatever_a_record_holds_there_is_an_answer_or_an_unexpected_one(values: dict[str, object]) -> None:
    try:
        (item,) = parse_answer((f"I {json.dumps(values)}",)).disks
    except UnexpectedAnswer:
        return
    assert item.nvme_tcp_export is (values.get("nvme-tcp-export") in (True, "yes", "true"))

"""Which mount options pass, and how they are passed on."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.errors import InvalidRequest
from rdscsi.model import AccessMode
from rdscsi.node import options

FIELD = "volume_capability.mount.mount_flags"
ALLOWED = ["noatime", "nodev", "discard", "commit=30", "errors=remount-ro", "data=ordered", "inode64", "logbsize=256k"]
REFUSED = [
    *("", " ", ",", "noatime,", ",noatime", "noatime,,nodev"),
    *("bind", "rbind", "remount", "move", "loop", "loop=/dev/loop7", "offset=4096", "shared", "x-mount.mkdir"),
    *("nobarrier", "barrier=0", "data=writeback", "data=journal", "norecovery", "noload", "errors=panic"),
    *("errors=continue", "sb=1", "journal_dev=0x1", "commit=-1", "commit=", "commit=1 2", "NOATIME", "noatime\n"),
    *("context", "context=", 'context="', 'context=""', 'context="a"b', 'context="a","b"', "context=a b"),
    *('context="a\\"', "uid=0", "user", "owner", "noauto", "_netdev", "debug", "-o", "--bind"),
]
WORDS = st.text(string.ascii_lowercase + string.digits + '=,"-_ :', max_size=30)


@pytest.mark.parametrize("flag", REFUSED)
@pytest.mark.parametrize("fs_type", ["", "ext4", "xfs"])
def test_what_is_not_on_the_list_is_refused_without_being_shown(flag: str, fs_type: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        options.chosen(FIELD, ("noatime", flag), fs_type)
    assert refused.value.field == f"{FIELD}[1]"
    assert "not shown" in str(refused.value)


def test_options_keep_their_order_and_come_once() -> None:
    chosen = options.chosen(FIELD, ("noatime,discard", "nodev", "noatime"), "ext4")
    assert chosen == ("noatime", "discard", "nodev")


def test_a_type_takes_its_own_options_only() -> None:
    assert options.chosen(FIELD, ("commit=5", "inode64"), "") == ("commit=5", "inode64")
    with pytest.raises(InvalidRequest):
        options.chosen(FIELD, ("inode64",), "ext4")
    with pytest.raises(InvalidRequest):
        options.for_mount(("commit=5",), "xfs")


@pytest.mark.parametrize(
    "label",
    [
        'context="system_u:object_r:container_file_t:s0:c1,c2"',
        "context=system_u:object_r:svirt_sandbox_file_t:s0",
        'fscontext="a:b:c:s0:c0,c1023"',
        'rootcontext="a:b:c:s0:c0.c1023"',
    ],
)
def test_a_label_is_one_option_byte_for_byte(label: str) -> None:
    assert options.chosen(FIELD, ("noatime", label), "ext4") == ("noatime", label)


def test_xfs_is_always_mounted_with_nouuid_and_once() -> None:
    assert options.for_mount((), "xfs") == ("nouuid",)
    assert options.for_mount(("nouuid", "noatime"), "xfs") == ("nouuid", "noatime")
    assert options.for_mount(("noatime",), "ext4") == ("noatime",)


@pytest.mark.parametrize("mode", AccessMode)
def test_reading_alone_is_said_first_and_writing_never_beside_it(mode: AccessMode) -> None:
    reader = mode.name.endswith("READER_ONLY")
    assert options.with_access(("noatime", "rw"), mode, readonly=False) == (
        ("ro", "noatime") if reader else ("noatime", "rw")
    )
    assert options.with_access(("noatime", "rw"), mode, readonly=True) == ("ro", "noatime")
    assert options.with_access(("noatime", "ro"), mode, readonly=False) == ("ro", "noatime")


@given(flags=st.lists(st.one_of(st.sampled_from(ALLOWED), WORDS), max_size=5))
def test_no_flag_brings_in_an_option_that_is_not_on_the_list(flags: list[str]) -> None:
    try:
        chosen = options.chosen(FIELD, flags, "")
    except InvalidRequest:
        return
    for option in chosen:
        assert options.chosen(FIELD, (option,), "") == (option,)
        assert not set(option) & set(" \n\t")
        assert "," not in option or option.startswith(("context=", "fscontext=", "defcontext=", "rootcontext="))
    assert ",".join(flags).replace("noatime,noatime", "noatime") or not chosen
    assert options.chosen(FIELD, chosen, "") == chosen


@given(flags=st.lists(st.sampled_from(ALLOWED), max_size=6))
def test_splitting_and_joining_make_no_difference(flags: list[str]) -> None:
    joined = [",".join(flags)] if flags else []
    assert options.chosen(FIELD, flags, "") == options.chosen(FIELD, joined, "")

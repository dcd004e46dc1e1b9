"""The rules for single fields: capabilities, sizes, characters, paths, parameters. Also by generated values."""

import re

import pytest
from csi_messages import Mode, block, mount
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.csi import capabilities, checks, parameters
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.errors import CapacityOutOfRange, InvalidRequest
from rdscsi.model import AccessMode, AccessType, CapacityRange, VolumeCapability

MODES = [mode for mode in Mode if mode is not Mode.UNKNOWN]
SINGLE = [mode for mode in MODES if mode.name and mode.name.startswith("SINGLE")]
MULTI = [mode for mode in MODES if mode not in SINGLE]


# --- capabilities


def test_all_seven_modes_of_the_specification_are_known() -> None:
    assert {mode.name for mode in MODES} == {mode.name for mode in AccessMode}
    assert len(MODES) == 7


@pytest.mark.parametrize("mode", MODES)
def test_block_serves_every_mode(mode: Mode) -> None:
    capability = capabilities.served("c", block(mode))
    assert capability == VolumeCapability(AccessType.BLOCK, AccessMode[str(mode.name)])


@pytest.mark.parametrize("mode", SINGLE)
def test_a_filesystem_serves_one_node(mode: Mode) -> None:
    capability = capabilities.served("c", mount(mode, fs_type="xfs", flags=("noatime", "discard")))
    assert capability == VolumeCapability(AccessType.MOUNT, AccessMode[str(mode.name)], "xfs", ("noatime", "discard"))


@pytest.mark.parametrize("mode", MULTI)
def test_a_filesystem_does_not_serve_several_nodes(mode: Mode) -> None:
    with pytest.raises(InvalidRequest, match=f"access_mode='{mode.name}'.*needs access type block"):
        capabilities.served("c", mount(mode))
    assert capabilities.parse("c", mount(mode)).access_mode.multi_node


@pytest.mark.parametrize("number", [0, 8, 99, -1])
def test_a_mode_that_is_none_is_refused_with_those_that_are(number: int) -> None:
    wire = bytes(pb.VolumeCapabilityAccessMode(mode=Mode(number)))
    message = block()
    message.access_mode = pb.VolumeCapabilityAccessMode.parse(wire)
    with pytest.raises(InvalidRequest, match=r"access_mode\.mode=.*one of SINGLE_NODE_WRITER, "):
        capabilities.parse("c", message)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (None, "c='': required"),
        (pb.VolumeCapability(mount=pb.VolumeCapabilityMountVolume()), "c.access_mode='': required"),
        (pb.VolumeCapability(access_mode=pb.VolumeCapabilityAccessMode(mode=Mode.SINGLE_NODE_WRITER)), "c.access_type"),
        (mount(fs_type="btrfs"), "c.mount.fs_type='btrfs': one of ext4, xfs, or nothing"),
        (mount(fs_type="x" * 1000), "(1000 characters)"),
        (mount(group="1000"), "c.mount.volume_mount_group='(not shown)'"),
        (mount(flags=("",)), "c.mount.mount_flags[0]"),
        (mount(flags=("noatime", "a\nb")), "c.mount.mount_flags[1]"),
        (mount(flags=("é",)), "c.mount.mount_flags[0]"),
        (mount(flags=(" noatime",)), "c.mount.mount_flags[0]"),
        (mount(flags=("x" * 4000, "y" * 97)), "c.mount.mount_flags='2 flags': at most 4096 bytes"),
    ],
)
def test_a_capability_that_is_wrong_is_refused_by_field(message: pb.VolumeCapability | None, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        capabilities.parse("c", message)
    assert words in str(caught.value)


def test_mount_flags_are_sensitive_and_never_in_an_error() -> None:
    with pytest.raises(InvalidRequest) as caught:
        capabilities.parse("c", mount(flags=("password=hunter2\n",)))
    assert "hunter2" not in str(caught.value)


def test_no_filesystem_and_4096_bytes_of_flags_are_taken() -> None:
    flags = ("x" * 4000, "y" * 96)
    assert capabilities.served("c", mount(fs_type="", flags=flags)).mount_flags == flags


# --- single fields


@given(st.text(max_size=140))
def test_a_name_passes_when_the_specification_lets_it(text: str) -> None:
    allowed = (
        bool(text)
        and len(text.encode("utf-8", "surrogatepass")) <= 128
        and not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text)
    )
    try:
        assert checks.required_text("name", text) == text
    except InvalidRequest:
        assert not allowed
    else:
        assert allowed


@given(st.lists(st.sampled_from(["a", "b c", "ü", "..", ".", "", "...", "\n", "\0", "x" * 300]), max_size=20))
def test_a_path_that_passes_is_absolute_and_goes_nowhere_but_down(parts: list[str]) -> None:
    path = "/".join(["", *parts])
    bad = ".." in parts or "\n" in parts or "\0" in parts or len(path.encode()) > 4095 or not path
    try:
        assert checks.required_path("path", path) == path
    except InvalidRequest:
        assert bad
    else:
        assert not bad


@given(st.integers(-5, 2**63 - 1), st.integers(-5, 2**63 - 1))
def test_a_capacity_range_that_passes_can_be_met(required: int, limit: int) -> None:
    try:
        assert checks.capacity_range(required, limit) == CapacityRange(required, limit)
    except CapacityOutOfRange:
        assert 0 < limit < required
    except InvalidRequest:
        assert required < 0 or limit < 0 or required == limit == 0
    else:
        assert required >= 0 <= limit
        assert limit == 0 or 0 <= required <= limit


@given(st.text(max_size=1000))
def test_what_an_error_shows_of_a_value_is_short(text: str) -> None:
    assert len(checks.shortened(text)) < 200
    assert checks.shortened(text)[:160] == text[:160]


def test_a_map_of_4096_bytes_is_taken_and_one_more_is_not() -> None:
    assert checks.small_map("m", {"k" * 96: "v" * 4000})
    with pytest.raises(InvalidRequest, match="these are 4097"):
        checks.small_map("m", {"k" * 97: "v" * 4000})


# --- parameters


@pytest.mark.parametrize(
    ("key", "reserved"),
    [
        ("csi.storage.k8s.io/fstype", True),
        ("storage.kubernetes.io/csiProvisionerIdentity", True),
        ("csi.storage.k8s.io", False),
        ("CSI.storage.k8s.io/fstype", False),
        ("xcsi.storage.k8s.io/fstype", False),
        ("backend", False),
    ],
)
def test_which_keys_are_the_orchestrators(key: str, reserved: bool) -> None:
    assert parameters.is_reserved(key) is reserved


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_no_key_is_let_through_that_is_not_known(given_parameters: dict[str, str]) -> None:
    try:
        own = parameters.parse("parameters", given_parameters)
    except InvalidRequest:
        return
    assert set(own) <= set(parameters.KNOWN)
    assert all(parameters.KNOWN[key].accepts(value) for key, value in own.items())


def test_every_mistake_names_the_key_the_value_and_what_would_be_right() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parameters.parse("parameters", {"backend": "-x"})
    assert str(caught.value) == (
        "parameters[backend]='-x': the name of a backend: 1 to 32 lower-case letters, digits and inner dashes"
    )
    with pytest.raises(InvalidRequest) as caught:
        parameters.parse("parameters", {"x" * 1000: "y" * 1000})
    assert len(str(caught.value)) < 600

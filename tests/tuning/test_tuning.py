"""What a StorageClass may say about connecting and formatting: a closed set, read back as it was written."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi import tuning
from rdscsi.csi import class_reference, parameters
from rdscsi.errors import InvalidRequest
from rdscsi.model import AccessMode, AccessType, Tuning, VolumeCapability

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "rdscsi"
HIGHEST = {"ctrlLossTmo": 86_400, "reconnectDelay": 3600, "keepAliveTmo": 600, "nrIoQueues": 1024}
NOT_NUMBERS = [
    "",
    "0",
    "-1",
    "+5",
    "05",
    "5s",
    "5.0",
    "1e3",
    " 5",
    "5 ",
    "5\n",
    "off",
    "inf",
    "9" * 11,
    "\N{FULLWIDTH DIGIT FIVE}",
]
EXT4 = ["-m 1", "-b 4096 -i 65536 -I 512 -m 0", "-E stride=16,stripe_width=64", "-E stripe_width=64"]
XFS = ["-m reflink=0,bigtime=1", "-i size=1024,maxpct=5 -n size=8192", "-d su=64k,sw=4", "-b size=4096"]
REFUSED = [
    *(" ", "-m", "-m 1 ", " -m 1", "-m  1", "-m 51", "-m 1 -m 2", "-b 512", "-b 8192", "-i 1000", "-i 4096x", "-I 128"),
    *("-F", "-F -F", "-f", "-f -f", "-K", "-q", "-n", "-n -n", "-U random", "-L name", "-O ^has_journal", "-t ext2"),
    *("-J size=4", "-j", "-D", "-E", "-E discard", "-E lazy_itable_init=0", "-E stride=1,stride=2", "-E nodiscard"),
    *("-E stride=0", "-E stride", "-E stride=1,", "-l size=64m", "-d agcount=64", "-d file=1", "-d name=/dev/sda"),
    *("-m crc=0", "-m reflink=2", "-s size=512", "-r rtdev=/dev/sda", "-p /etc/passwd", "-c /etc/passwd", "-N 16"),
    *("/dev/sda", "-m 1 /dev/sda", "-- /dev/sda", "-m 1;reboot", "-m $(reboot)", "-m\t1", "-m 1\n", "-i 65536 " * 40),
]
numbers = {key: st.integers(1, highest).map(str) for key, highest in HIGHEST.items()}
contexts = st.fixed_dictionaries({}, optional={**numbers, "mkfsOptions": st.sampled_from(EXT4 + XFS)})


def refused(given_parameters: dict[str, str]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        tuning.parse("parameters", given_parameters)
    return caught.value


@given(contexts)
def test_what_is_accepted_is_finite_and_read_back_as_it_was_written(given_parameters: dict[str, str]) -> None:
    delay, whole = given_parameters.get("reconnectDelay", "5"), given_parameters.get("ctrlLossTmo", "600")
    if int(delay) > int(whole):
        assert refused(given_parameters).field in ("parameters[reconnectDelay]", "parameters[ctrlLossTmo]")
        return
    read = tuning.parse("parameters", given_parameters)
    assert 1 <= read.reconnect_delay <= read.ctrl_loss_tmo <= HIGHEST["ctrlLossTmo"]
    assert 1 <= read.keep_alive_tmo <= HIGHEST["keepAliveTmo"]
    assert tuning.parse("again", tuning.render(read)) == read
    assert tuning.render(read).items() <= given_parameters.items()


@given(st.dictionaries(st.sampled_from(sorted(tuning.KEYS)), st.text(max_size=12), min_size=1))
def test_no_text_is_read_as_an_endless_time_or_as_nothing(given_parameters: dict[str, str]) -> None:
    try:
        read = tuning.parse("parameters", given_parameters)
    except InvalidRequest:
        assert refused(given_parameters).field.removeprefix("parameters[").removesuffix("]") in given_parameters
        return
    assert read.ctrl_loss_tmo >= 1
    assert set(tuning.render(read)) <= set(given_parameters)


@pytest.mark.parametrize("value", NOT_NUMBERS)
@pytest.mark.parametrize("key", HIGHEST)
def test_what_is_no_plain_number_is_refused_with_key_value_and_what_would_be_right(key: str, value: str) -> None:
    error = refused({key: value})
    assert str(error) == f"parameters[{key}]={value!r}: {tuning.KEYS[key].expected}"
    assert str(HIGHEST[key]) in error.expected


@pytest.mark.parametrize("key", HIGHEST)
def test_bounds_belong_to_the_range(key: str) -> None:
    wide = {"ctrlLossTmo": "86400", "reconnectDelay": "1"}
    assert tuning.parse("parameters", wide | {key: str(HIGHEST[key])})
    refused(wide | {key: str(HIGHEST[key] + 1)})


def test_a_pause_is_not_longer_than_the_whole_time() -> None:
    assert refused({"reconnectDelay": "601"}).field == "parameters[reconnectDelay]"
    assert refused({"ctrlLossTmo": "4"}).field == "parameters[ctrlLossTmo]"
    both = refused({"ctrlLossTmo": "10", "reconnectDelay": "11"})
    assert str(both) == "parameters[reconnectDelay]='11': reconnectDelay (11) at most ctrlLossTmo (10)"
    assert tuning.parse("parameters", {"ctrlLossTmo": "10", "reconnectDelay": "10"}).reconnect_delay == 10


def test_the_volume_context_is_what_a_node_needs_word_for_word() -> None:
    parameters = {"backend": "rds", "ctrlLossTmo": "600", "mkfsOptions": "-m 1"}
    assert tuning.context(parameters) == {"ctrlLossTmo": "600", "mkfsOptions": "-m 1"}
    assert tuning.context({"backend": "rds"}) == {}
    assert tuning.parse("volume_context", tuning.context(parameters)) == tuning.parse("parameters", parameters)


def test_every_field_has_one_key() -> None:
    assert sorted(key.field for key in tuning.KEYS.values()) == sorted(Tuning.__slots__)


# --- options for mkfs


@pytest.mark.parametrize("text", EXT4)
def test_options_of_ext4_are_passed_on(text: str) -> None:
    assert tuning.mkfs_words(text, "ext4") == tuple(text.split(" "))
    assert tuning.mkfs_words(text, "xfs") is None


@pytest.mark.parametrize("text", XFS)
def test_options_of_xfs_are_passed_on(text: str) -> None:
    assert tuning.mkfs_words(text, "xfs") == tuple(text.split(" "))
    assert tuning.mkfs_words(text, "ext4") is None


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs"])
def test_nothing_else_reaches_mkfs(text: str, fs_type: str) -> None:
    assert tuning.mkfs_words(text, fs_type) is None
    refused({"mkfsOptions": text})
    with pytest.raises(InvalidRequest, match="may be given"):
        tuning.arguments("volume_context", Tuning(mkfs_options=text), fs_type)


@given(st.text(string.ascii_letters + string.digits + "-=, /", max_size=40))
def test_no_word_is_a_device_or_an_option_of_ours(text: str) -> None:
    for fs_type in tuning.MKFS:
        words = tuning.mkfs_words(text, fs_type)
        if words is None:
            continue
        assert len(words) % 2 == 0
        assert all(option in tuning.MKFS[fs_type] for option in words[::2])
        assert not any(value.startswith(("-", "/")) for value in words[1::2])


def test_without_options_there_are_no_words() -> None:
    assert tuning.arguments("volume_context", Tuning(), "ext4") == ()


@pytest.mark.parametrize(
    ("fs_type", "access_type", "accepted"),
    [
        ("ext4", AccessType.MOUNT, True),
        ("", AccessType.MOUNT, True),
        ("xfs", AccessType.MOUNT, False),
        ("", AccessType.BLOCK, True),
    ],
)
def test_options_are_held_against_the_filesystem_that_is_asked_for(
    fs_type: str, access_type: AccessType, accepted: bool
) -> None:
    wanted = VolumeCapability(access_type, AccessMode.SINGLE_NODE_WRITER, fs_type)
    asked = Tuning(mkfs_options="-m 1")
    if accepted:
        tuning.check_filesystems("parameters", asked, [wanted])
        return
    with pytest.raises(InvalidRequest) as caught:
        tuning.check_filesystems("parameters", asked, [wanted])
    assert str(caught.value).startswith("parameters[mkfsOptions]='-m 1': options that mkfs.xfs may be given: -b size")


# --- for people


def test_the_page_says_what_the_code_takes() -> None:
    page = Path(__file__).parents[2] / "docs" / "storageclass.md"
    assert page.read_text() == class_reference.render(), (
        "run: python -m rdscsi.csi.class_reference > docs/storageclass.md"
    )


def test_the_example_of_the_page_is_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "storageclass.md").read_text()
    example = page.partition("parameters:\n")[2].partition("mountOptions:")[0]
    given_parameters = dict(re.findall(r"^  (\S+): \"?([^\"\n]+)\"?$", example, re.MULTILINE))
    assert set(given_parameters) == {"csi.storage.k8s.io/fstype", "ctrlLossTmo", "mkfsOptions"}
    read = tuning.parse("parameters", parameters.parse("parameters", given_parameters))
    assert tuning.arguments("parameters", read, given_parameters["csi.storage.k8s.io/fstype"])


def test_the_chart_takes_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["definitions"]["class"]["properties"]["parameters"]["properties"]) == set(tuning.KEYS)

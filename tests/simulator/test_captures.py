"""Prints captured on real appliances, byte for byte, with the simulated one brought into the same state.

Sources: notes on an RDS2216 with 7.24 (S1), the manual, field notes on SSH sessions. Where a capture came from a wide
terminal the width is set to one that its line breaks allow.
"""

from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, ManualClock, PoolOptions
from rdscsi.simulator.menus.disk_properties import FLAGS
from rdscsi.simulator.menus.legend import flag_texts, legend
from rdscsi.simulator.menus.shown import Layout, binary_size
from rdscsi.simulator.options import Drive

RAID10 = ApplianceOptions(
    version="7.24",
    behaviour=Behaviour(width=235),
    drives=tuple(Drive(f"drive{index}", 4_000_000_000_000) for index in range(25)),
    pool=PoolOptions(
        slot="raid10",
        label="ocp-storage",
        fs="xfs",
        size=16_003_143_565_312,
        overhead=16_003_143_565_312 - 14_789_895_307_264 - (1 << 40),
        uuid="40437dbc-2318-45dc-817b-b3bb95cf48ab",
        raid_uuid="eadca0af-ecff031c-239758ad-951a47de",
        raid_chunk_size="256K",
        inodes=1_562_806_656,
        members=4,
    ),
)
"""The appliance of the captures: 25 drives, then members, then the pool as the item with the number 29."""

LUN = (
    '/disk/add type=file slot="vm-storage-001" file-path=raid10/vm-storage-001.img file-size=1T '
    "mount-filesystem=no "
    "nvme-tcp-export=yes nvme-tcp-server-port=4420 "
    'nvme-tcp-server-nqn="nqn.2026-09.com.mikrotik:rds2216.vm-storage-001"'
)


def _printed(appliance: Appliance, line: str) -> list[str]:
    text = appliance.run(line)
    assert text.count("\n") == text.count("\r\n"), "every line ends in CRLF"
    return text.replace("\r\n", "\n").split("\n")


@pytest.fixture
def raid10(tmp_path: Path) -> Appliance:
    appliance = Appliance(tmp_path, RAID10, clock=ManualClock())
    appliance.run("/disk/add type=tmpfs tmpfs-max-size=1G slot=ram1")  # so that the volume's number is 31
    appliance.run(LUN)
    return appliance


def test_print_detail_of_a_file_disk(raid10: Appliance) -> None:
    assert _printed(raid10, '/disk/print detail where slot="vm-storage-001"')[:5] == [
        "Flags: B - BLOCK-DEVICE; t - NVME-TCP-EXPORT",
        '31 Bt type=file slot="vm-storage-001" slot-default="" parent="" fs=- model="/raid10/vm-storage-001.img" '
        "size=1 099 511 627 776 mount-filesystem=no mount-read-only=no compress=no sector-size=512 raid-master=none "
        "nvme-tcp-export=yes",
        '      nvme-tcp-server-port=4420 nvme-tcp-server-nqn="nqn.2026-09.com.mikrotik:rds2216.vm-storage-001" '
        'nvme-tcp-server-allow-host-name="" iscsi-export=no nfs-sharing=no smb-sharing=no media-sharing=no '
        "media-interface=none swap=no",
        "      file-path=/raid10/vm-storage-001.img file-size=1024.0GiB file-offset=0",
        "",
    ]


def test_print_detail_of_the_pool(tmp_path: Path) -> None:
    appliance = Appliance(tmp_path, RAID10, clock=ManualClock())
    appliance.run(LUN)
    printed = _printed(appliance, "/disk/print detail where slot=raid10 or raid-role=0")
    assert printed[0] == "Flags: B - BLOCK-DEVICE; M - MOUNTED; r - RAID-MEMBER"
    start = printed.index(next(line for line in printed if line.startswith("29 BM")))
    assert printed[start : start + 4] == [
        '29 BM  type=raid slot="raid10" slot-default="" parent="" fs-label="ocp-storage" '
        'fs-uuid="40437dbc-2318-45dc-817b-b3bb95cf48ab" fs=xfs model="RAID0 striped" size=16 003 143 565 312 '
        "free=14 789 895 307 264 total-inodes=1 562 806 656",
        '       free-inodes=1 562 806 652 use=8% mount-point="raid10" mount-filesystem=yes mount-read-only=no '
        "compress=no sector-size=512 raid-type=0 raid-device-count=4 raid-max-component-size=none "
        "raid-chunk-size=256K raid-master=none",
        '       state="clean" raid-uuid="eadca0af-ecff031c-239758ad-951a47de" nvme-tcp-export=no iscsi-export=no '
        "nfs-sharing=no smb-sharing=no media-sharing=no media-interface=none swap=no",
        "",
    ]


def test_print_detail_of_a_raid_member(tmp_path: Path) -> None:
    member = Drive("raid10-m0", 8_000_000_000_000, type="raid", raid_master="raid10", raid_role=0)
    options = ApplianceOptions(behaviour=Behaviour(width=235), drives=(member,))
    with Appliance(tmp_path, options, clock=ManualClock()) as appliance:
        (line,) = [line for line in _printed(appliance, "/disk/print detail") if 'slot="raid10-m0"' in line]
    assert line.startswith(' 0 B r type=raid slot="raid10-m0" ')
    text = " ".join(_joined(tmp_path, options))
    assert 'raid-master=raid10 raid-role=0 raid-member-failed=no raid-member-state="0:in_sync" state="clean"' in text


def _joined(directory: Path, options: ApplianceOptions) -> list[str]:
    with Appliance(directory, options, clock=ManualClock()) as appliance:
        return [line.strip() for line in _printed(appliance, "/disk/print detail where slot=raid10-m0")]


def test_print_detail_wraps_at_80_columns_and_splits_what_does_not_fit(appliance: Appliance) -> None:
    path = "pool1/" + "0123456789" * 10 + ".img"
    appliance.run(f"/disk/add type=file slot=long file-path={path} file-size=50G mount-filesystem=no")
    lines = _printed(appliance, '/disk/print detail where slot="long"')
    assert max(map(len, lines)) == 80
    assert "file-path=/" + path in "".join(line.strip() for line in lines)
    assert not any("file-path=/" + path in line for line in lines)


def test_the_legend_wraps_between_columns_of_flags() -> None:
    layout = Layout(columns=(), flag_columns=FLAGS)
    assert legend(layout, ["BMg", "BSp"], 80) == (
        "Flags: B - BLOCK-DEVICE; M - MOUNTED, S - SWAP-ENABLED\n       g - GUID-PARTITION-TABLE, p - PARTITION\n"
    )
    assert flag_texts(layout, ["BMg", "BSp", ""]) == ["BMg", "BSp", "   "]


def test_the_flags_header_comes_even_when_nothing_matches(appliance: Appliance) -> None:
    printed = appliance.run('/disk/print detail where slot="nope"')
    assert printed.startswith("Flags: ")
    assert "slot=" not in printed


def test_partition_sizes_are_decimal(appliance: Appliance) -> None:
    appliance.run("/disk/add type=partition parent=nvme1 partition-number=1 partition-size=4G")
    assert "4 000 000 000" in appliance.run("/disk/print where slot=nvme1-part1")


def test_the_automatic_slot_of_a_file_disk_is_its_path(appliance: Appliance) -> None:
    appliance.run("/file/add name=pool1/part1 type=directory")
    appliance.run("/disk/add type=file file-path=pool1/part1/swapfile file-size=512M swap=yes")
    assert appliance.run(":put [/disk/get file-pool1-part1-swapfile slot]") == "file-pool1-part1-swapfile\r\n"


def test_a_long_put_arrives_as_one_line(appliance: Appliance) -> None:
    assert appliance.run(f':put "{"x" * 1305}"') == "x" * 1305 + "\r\n"


def test_raw_as_value_is_ambiguous_as_on_the_device(appliance: Appliance) -> None:
    appliance.run('/disk/set pool1 comment="alpha;name=INJECTED;.id=*999;beta"')
    printed = appliance.run("/disk/print as-value proplist=.id,comment,slot where slot=pool1")
    assert printed == ".id=*5;comment=alpha;name=INJECTED;.id=*999;beta;slot=pool1\r\n"


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("/bogus/nope print", "syntax error (line 1 column 7)"),
        ("/nonsense/command", "syntax error (line 1 column 10)"),
        ("foo", "bad command name foo (line 1 column 1)"),
        (":foo", "bad command name foo (line 1 column 2)"),
        ("/ip dns print detail as-value", "bad parameter detail (line 1 column 21)"),
        (":put [/ip dns print detail as-value]", "bad parameter detail (line 1 column 27)"),
        ("/disk/remove nope", "no such item (/disk/remove; line 1)"),
        (':error "my-message"', "my-message (:error; line 1)"),
        ('/disk/set [find .id="*FF"] comment=x', "expected item id (/disk/set; line 1)"),
        ('/disk/set [/disk/find where slot="nope"] comment=x', ""),
        ("/file/remove []", ""),
        (":put [/disk/print count-only where use>=80]", "0"),
        (":put $nobody", ""),
    ],
)
def test_texts_of_refusals(appliance: Appliance, line: str, printed: str) -> None:
    assert appliance.run(line).strip() == printed


def test_an_unknown_argument_before_7_23_is_an_unexpected_end(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(version="7.21.5")) as appliance:
        assert appliance.run(':put [:parse "/ip/address/print bogus=1"]').strip() == (
            "expected end of command (line 1 column 19)"
        )
        assert appliance.run("/ip hotspot host print limit=10").strip() == "expected end of command (line 1 column 24)"


def test_missing_values_carry_no_suffix_before_7_22(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(version="7.20.8")) as appliance:
        assert appliance.run("/disk/add") == "missing value(s) of argument(s) type\r\n"


def test_lines_end_in_crlf_unless_switched(tmp_path: Path) -> None:
    for crlf, end in ((True, "\r\n"), (False, "\n")):
        options = ApplianceOptions(behaviour=Behaviour(crlf=crlf))
        with Appliance(tmp_path / str(crlf), options) as appliance:
            assert appliance.run(":put a; :put b") == f"a{end}b{end}"


def test_what_stands_before_a_parse_error_can_be_switched_to_run(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(behaviour=Behaviour(parse_whole_line=False))) as appliance:
        assert appliance.run(":put ran; /disk/nope; :put never").splitlines() == [
            "ran", "bad command name nope (line 1 column 17)",
        ]  # fmt: skip
        assert appliance.run(":put ran; :put (").splitlines() == ["ran", "syntax error (line 1 column 17)"]


def test_and_and_or_can_be_switched_to_stop_early(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(behaviour=Behaviour(short_circuit=True))) as appliance:
        assert appliance.run(":put (false and [:put ran])").splitlines() == ["false"]
        assert appliance.run(":put (false or [:put true])").splitlines() == ["true", "true"]


def test_as_value_can_be_switched_to_quote(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(behaviour=Behaviour(raw_as_value=False))) as appliance:
        appliance.run('/disk/set pool1 comment="a;b=c"')
        printed = appliance.run("/disk/print as-value proplist=.id,comment where slot=pool1")
    assert printed == '{{.id=*5;comment="a;b=c"}}\r\n'


def test_a_table_that_is_too_wide_loses_columns(appliance: Appliance) -> None:
    printed = appliance.run("/disk/print").replace("\r\n", "\n").splitlines()
    assert printed[1] == "Columns: SLOT, MOUNT-POINT, SERIAL, SIZE, FREE, USE, FS"
    assert max(len(line) for line in printed[1:]) <= 80


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0B"), (9_999, "9999B"), (20_582, "20.1KiB"), (1_421_414, "1388.1KiB"), (11_534_336, "11.0MiB"),
     (1 << 30, "1024.0MiB"), (10 << 30, "10.0GiB"), (1 << 40, "1024.0GiB"), (1 << 50, "1024.0TiB")],
)  # fmt: skip
def test_units_change_at_ten_thousand(number: int, shown: str) -> None:
    assert binary_size(number) == shown

"""Every captured console case: exact input, exact output, under the RouterOS version it was seen on.

The cases are facts from several sources (cases/*.toml); a state is what the appliance looked like when it was captured.
Lines end in LF there; blanks at line ends count only where the case has some.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, ManualClock, PoolOptions
from rdscsi.simulator.options import Board, Drive, Package
from rdscsi.simulator.storage.store import Plain

CASES = Path(__file__).parent / "cases"
OUT_OF_SCOPE: Mapping[str, str] = {}
"""Cases that the simulator does not reproduce, each with the reason."""


@dataclass(frozen=True)
class Case:
    """One captured exchange. `basis`: captured, documented (the manual's) or claimed (told by an author)."""

    id: str
    routeros: str
    lines: list[str]
    basis: Literal["captured", "documented", "claimed"]
    source: str
    prints: str | None = None
    matches: str | None = None
    state: str = ""
    composed: bool = False
    note: str = ""


@dataclass(frozen=True)
class State:
    """How the appliance was when a case was captured."""

    options: ApplianceOptions = ApplianceOptions()  # noqa: RUF009 - frozen
    prepare: Callable[[Appliance], None] = lambda _appliance: None
    now: float = 1_767_225_600.0


def _load() -> list[Case]:
    found: list[Case] = []
    for path in sorted(CASES.glob("*.toml")):
        table: dict[str, list[dict[str, Any]]] = tomllib.loads(path.read_text(encoding="utf-8"))
        found += [Case(**row) for row in table["case"]]
    return found


WIDE = Behaviour(width=132)


def _address(appliance: Appliance, address: str, interface: str, *, dynamic: bool) -> None:
    network = address.partition("/")[0] if address.endswith("/32") else address.rpartition(".")[0] + ".0"
    row: dict[str, Plain] = {"address": address, "network": network, "interface": interface, "dynamic": dynamic}
    appliance.records.add("/ip/address", row)


def _three_addresses(appliance: Appliance) -> None:
    _address(appliance, "192.168.10.1/24", "bridge1", dynamic=False)
    _address(appliance, "192.168.0.100/24", "lte2", dynamic=True)
    _address(appliance, "100.91.21.150/32", "lte1", dynamic=True)


def _four_addresses(appliance: Appliance) -> None:
    for last in range(4):
        _address(appliance, f"192.0.2.{last + 1}/24", f"ether{last + 1}", dynamic=False)


def _text_file(appliance: Appliance) -> None:
    appliance.run("/file/add name=text.txt contents=123456")


def _swap_file(appliance: Appliance) -> None:
    appliance.run("/disk/add type=file file-path=nvme9-part1/swapfile file-size=512M swap=yes")


def _manual_packages() -> tuple[Package, ...]:
    built = "2026-05-26 10:47:52"
    installed = [("wireless", 1_421_414, False), ("container", 1_183_846, True), ("routeros", 11_534_336, False),
                 ("zerotier", 381_030, False)]  # fmt: skip
    available = [("calea", 20_582), ("gps", 24_678), ("iot", 807_014), ("openflow", 77_926),
                 ("tr069-client", 123_006), ("ups", 45_158)]  # fmt: skip
    return (
        *(Package(name, "7.24beta1", built, size, disabled=off) for name, size, off in installed),
        *(Package(name, size=size, disabled=True, available=True) for name, size in available),
    )


MANUAL_BOARD = Board(
    name="hAP ax lite LTE6",
    architecture="arm",
    cpu="ARM",
    cpu_count=2,
    cpu_frequency=800,
    cpu_load=2,
    total_memory=234_881_024,
    free_memory=98_775_859,
    total_hdd=134_742_016,
    free_hdd=98_041_856,
    build_time="2023-08-31 13:55:47",
    oldest_version="7.6",
    write_sect_since_reboot=85,
    write_sect_total=222_100,
)


def _drive_pool(slot: str, size: int, free: int, **more: Any) -> PoolOptions:
    return PoolOptions(slot=slot, fs="ext4", kind="hardware", size=size, overhead=size - free, **more)


STATES: dict[str, State] = {
    "": State(),
    "three-addresses": State(prepare=_three_addresses),
    "four-addresses": State(prepare=_four_addresses),
    "text-file": State(prepare=_text_file),
    "manual-packages": State(ApplianceOptions(behaviour=WIDE, packages=_manual_packages())),
    "manual-board": State(ApplianceOptions(board=MANUAL_BOARD, initial_uptime=29)),
    "usb-disk": State(
        ApplianceOptions(
            behaviour=WIDE,
            pool=_drive_pool(
                "usb1",
                2_004_877_312,
                1_921_835_008,
                model="USB Flash Disk",
                serial="FBA0911260071572",
                interface="USB 2.00 480Mbps",
            ),
        )
    ),
    "virtio-disk": State(
        ApplianceOptions(
            pool=_drive_pool("pcie1", 10_737_418_240, 10_463_997_952, model="virtio", serial="vda", interface="PCIe")
        )
    ),
    "nvme9": State(
        ApplianceOptions(drives=(Drive("nvme9", 1_024_209_543_168, model="TS1TUTE210T", interface="PCIe 2x8 GT/s"),))
    ),
    "nvme9-ext4": State(
        ApplianceOptions(pool=_drive_pool("nvme9", 1_024_209_543_168, 1_000_000_000_000)), now=1_790_336_825.0
    ),
    "nvme9-busy": State(
        ApplianceOptions(pool=_drive_pool("nvme9-part1", 4_000_000_000, 3_900_000_000)), prepare=_swap_file
    ),
    "nvme9-pool": State(
        ApplianceOptions(
            pool=_drive_pool("nvme9", 1_024_209_543_168, 1_000_000_000_000), behaviour=Behaviour(format_answer="y")
        )
    ),
    "raid10": State(
        ApplianceOptions(pool=PoolOptions(slot="raid10", fs="xfs"), behaviour=Behaviour(format_answer="y"))
    ),
}


def _run(case: Case, directory: Path) -> str:
    state = STATES[case.state]
    options = replace(state.options, version=case.routeros)
    with Appliance(directory, options, clock=ManualClock(state.now)) as appliance:
        state.prepare(appliance)
        return "".join(appliance.run(line) for line in case.lines).replace("\r\n", "\n")


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.rstrip("\n").split("\n"))


@pytest.mark.parametrize("case", [case for case in _load() if case.id not in OUT_OF_SCOPE], ids=lambda case: case.id)
def test_a_captured_line_prints_what_was_captured(case: Case, tmp_path: Path) -> None:
    printed = _run(case, tmp_path)
    if case.matches is not None:
        assert re.search(case.matches, _stripped(printed))
        return
    assert case.prints is not None
    if case.prints != _stripped(case.prints):
        assert printed.rstrip("\n") == case.prints.rstrip("\n")
    else:
        assert _stripped(printed) == case.prints


def test_there_are_112_cases_and_each_is_run_or_excused() -> None:
    names = [case.id for case in _load()]
    assert len(names) == len(set(names)) == 112
    assert set(OUT_OF_SCOPE) <= set(names)

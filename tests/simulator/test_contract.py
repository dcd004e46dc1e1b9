"""One contract for every RDS: the simulated one in several versions, recorded transcripts, and hardware if you have it.

Hardware, read-only: RDSCSI_PROBE_TARGET=admin@192.0.2.10 RDSCSI_PROBE_KEY=key RDSCSI_PROBE_POOL=raid1, and
RDSCSI_PROBE_HOST_KEY=file unless whoever answers is to be believed. RDSCSI_PROBE_WRITE=1 lets the probe write, as after
a yes. `python tests/simulator/test_contract.py FILE` records the sample transcript of the simulated RDS anew.
"""

import os
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from rdscsi.probe.channel import Target, open_channel
from rdscsi.probe.comparison import SimulatedDoor, differences
from rdscsi.probe.contract import CHECKS, Check, failures
from rdscsi.probe.run import Probe
from rdscsi.probe.transcript import Transcript, load, save
from rdscsi.simulator import Appliance, ApplianceOptions, ManualClock, PoolOptions, loops

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SAMPLE = TRANSCRIPTS / "simulated-7.24.4.json"
TARGET = os.environ.get("RDSCSI_PROBE_TARGET", "")
SIMULATED = ("7.21.5", "7.22.3", "7.23.3", "7.24.4", "7.24.4 xfs", "7.26beta5")


def _probed(appliance: Appliance, run_name: str = "c0ffee") -> Transcript:
    probe = Probe(
        door=SimulatedDoor(appliance), pool="pool1", ask=lambda _: True, tell=lambda _: None, run_name=run_name
    )
    return loops.run(probe.walk())


@cache
def simulated(source: str) -> Transcript:
    """What the simulated RDS answers: a version, perhaps with the pool's file system."""
    version, _, fs = source.partition(" ")
    pool = PoolOptions(fs="xfs") if fs == "xfs" else PoolOptions()
    options = ApplianceOptions(version=version, pool=pool)
    with tempfile.TemporaryDirectory() as place, Appliance(Path(place), options, clock=ManualClock()) as appliance:
        return _probed(appliance)


@cache
def hardware() -> Transcript:
    """What a real RDS answers."""
    user, _, host = TARGET.rpartition("@")
    key, host_key = os.environ["RDSCSI_PROBE_KEY"], os.environ.get("RDSCSI_PROBE_HOST_KEY")
    target = Target(host, 22, user or "admin", Path(key), Path(host_key) if host_key else None)
    writes = os.environ.get("RDSCSI_PROBE_WRITE") == "1"

    async def walk() -> Transcript:
        async with open_channel(target) as door:
            return await Probe(door=door, pool=os.environ["RDSCSI_PROBE_POOL"], ask=lambda _: writes, tell=print).walk()

    return loops.run(walk())


def _name(check: Check) -> str:
    return f"{check.step}: {check.statement}"


def _hold(check: Check, transcript: Transcript) -> None:
    exchange = transcript.find(check.step)
    if exchange is None:
        pytest.skip(f"the run did not come to {check.step}")
    assert failures(check, exchange) == ""


@pytest.mark.parametrize("check", CHECKS, ids=_name)
@pytest.mark.parametrize("source", SIMULATED)
def test_the_simulated_rds_keeps_the_contract(source: str, check: Check) -> None:
    _hold(check, simulated(source))


@pytest.mark.parametrize("check", CHECKS, ids=_name)
@pytest.mark.parametrize("path", sorted(TRANSCRIPTS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_transcripts_keep_the_contract(path: Path, check: Check) -> None:
    _hold(check, load(path))


@pytest.mark.skipif(not TARGET, reason="RDSCSI_PROBE_TARGET names no appliance")
@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_a_real_rds_keeps_the_contract(check: Check) -> None:
    _hold(check, hardware())


def test_every_check_is_of_a_step_that_is_walked() -> None:
    walked = {exchange.step for exchange in simulated("7.24.4").exchanges}
    assert {check.step for check in CHECKS} <= walked


@pytest.mark.parametrize("check", CHECKS, ids=_name)
def test_every_check_can_fail(check: Check) -> None:
    exchange = simulated("7.24.4").find(check.step)
    assert exchange is not None
    wrong = "something else\n" if exchange.output.strip() != "" else "failure: text\n"
    assert failures(check, replace(exchange, output=wrong)) or failures(check, replace(exchange, output=""))


def test_the_sample_is_marked_as_simulated_and_fresh() -> None:
    sample = load(SAMPLE)
    assert sample.simulated
    assert list(differences(sample)) == []
    assert {exchange.step for exchange in sample.exchanges} == {each.step for each in simulated("7.24.4").exchanges}


if __name__ == "__main__":
    made = replace(simulated("7.24.4"), when="2026-11-25")
    save(made, Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLE)

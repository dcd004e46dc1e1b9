"""The probe against the simulated RDS: it asks, touches nothing of others, and clears up whatever happens."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncssh
import pytest

from rdscsi.cli.main import main as rdscsi
from rdscsi.probe import steps
from rdscsi.probe.channel import CannotConnect, Channel, Target, open_channel
from rdscsi.probe.comparison import SimulatedDoor, differences, learned_texts
from rdscsi.probe.run import Probe, ProbeFailed
from rdscsi.probe.steps import Leftover, Place, Step, parse_leftovers
from rdscsi.probe.transcript import Exchange, Transcript, load, save, without_secrets
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, PoolOptions, User, loops
from rdscsi.simulator.faults import Fault
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions

T = TypeVar("T")
STRANGERS = ("vm-1", "rdscsi-probe-not-ours")


class Stopped(Exception):
    """The probe dies here."""


class DyingDoor(SimulatedDoor):
    """A door that ends the process, as it were, before its nth step."""

    def __init__(self, appliance: Appliance, steps_left: int) -> None:
        super().__init__(appliance)
        self.steps_left = steps_left
        self.dead = False

    async def run(self, step: Step) -> Exchange:
        self.steps_left -= 1
        if self.dead or self.steps_left == 0:
            self.dead = True
            raise Stopped
        return await super().run(step)


@pytest.fixture(params=["btrfs", "xfs"])
def appliance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Appliance]:
    """An appliance with disks of others, one of which has a name like ours but not our comment."""
    options = ApplianceOptions(pool=PoolOptions(fs=request.param))
    with Appliance(tmp_path / "rds", options) as made:
        for slot in STRANGERS:
            made.run(f"/disk/add type=file slot={slot} file-path=pool1/{slot}.img file-size=1M comment=theirs")
        made.run("/file/add name=pool1/notes.txt contents=theirs")
        yield made


def state(appliance: Appliance) -> tuple[str, list[str]]:
    disks = appliance.run(":foreach i in=[/disk/find] do={:put [:serialize to=json value=[/disk/get $i]]}")
    return disks, sorted(entry.name for entry in appliance.storage.files.listing())


def probe(door: SimulatedDoor, answer: bool = True, **more: object) -> Probe:
    return Probe(door=door, pool="pool1", ask=lambda _question: answer, tell=lambda _text: None, size=1 << 20, **more)  # type: ignore[arg-type]


def walked(one: Probe) -> Transcript:
    return loops.run(one.walk())


def test_without_a_yes_nothing_is_changed(appliance: Appliance) -> None:
    before, changes = state(appliance), appliance.mutations
    transcript = walked(probe(SimulatedDoor(appliance), answer=False))
    assert (state(appliance), appliance.mutations) == (before, changes)
    assert transcript.find("version") is not None
    assert transcript.find("add") is None


def test_a_whole_run_leaves_everything_as_it_was(appliance: Appliance) -> None:
    before = state(appliance)
    transcript = walked(probe(SimulatedDoor(appliance), channels=True))
    assert state(appliance) == before
    assert [exchange.step for exchange in transcript.exchanges if exchange.trouble] == []
    names = [exchange.step for exchange in transcript.exchanges]
    assert len(names) == len(set(names)) > 60
    assert transcript.routeros == "7.24.4 (stable)"
    assert transcript.simulated


def test_what_the_driver_would_miss_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    users = (User("admin"), User("rdscsi", group="reader"))
    options = ApplianceOptions(version="7.18.2", users=users, pool=PoolOptions(fs="xfs"))
    with Appliance(tmp_path / "rds", options) as made:
        made.run("/user/group/add name=reader policy=ssh,read")
        made.change_pool(read_only=True)
        one = Probe(
            door=SimulatedDoor(made),
            pool="pool1",
            ask=lambda _: False,
            tell=lambda text: told.append(text),
            user="rdscsi",
        )
        transcript = walked(one)
    found = [text.strip(" -").partition(":")[0] for text in told[told.index("preflight:") + 1 :]]
    assert found == ["/system/package/update", "/disk 'pool1'", "/disk 'pool1'", "/user/group"]
    assert transcript.find("policies") is None


def test_an_appliance_that_has_everything_is_told_so(tmp_path: Path) -> None:
    told: list[str] = []
    with Appliance(tmp_path / "rds", ApplianceOptions()) as made:
        door = SimulatedDoor(made)
        walked(Probe(door=door, pool="pool1", ask=lambda _: False, tell=told.append, user="admin"))
    assert "preflight: what the driver needs is here" in told


def test_the_question_names_what_will_be_touched(appliance: Appliance) -> None:
    questions: list[str] = []

    def ask(question: str) -> bool:
        questions.append(question)
        return False

    one = Probe(door=SimulatedDoor(appliance), pool="pool1", ask=ask, tell=lambda _text: None, run_name="abcd")
    walked(one)
    (question,) = questions
    assert "rdscsi-probe-abcd" in question
    assert "pool1/rdscsi-probe-abcd" in question


@pytest.mark.parametrize("at", [45, 50, 55, 58, 60, 65, 70, 75])
def test_what_a_dead_probe_left_is_removed_by_the_next_one(appliance: Appliance, at: int) -> None:
    before = state(appliance)
    with pytest.raises(Stopped):
        walked(probe(DyingDoor(appliance, at), run_name="dead"))
    questions: list[str] = []

    def ask(question: str) -> bool:
        questions.append(question)
        return True

    left = state(appliance) != before
    walked(Probe(door=SimulatedDoor(appliance), pool="pool1", ask=ask, tell=lambda _text: None, size=1 << 20))
    assert state(appliance) == before
    assert ("rdscsi-probe-dead" in questions[0]) is left


def test_an_error_in_the_middle_still_clears_up(appliance: Appliance) -> None:
    before = state(appliance)

    class Failing(SimulatedDoor):
        async def run(self, step: Step) -> Exchange:
            if step.name == "grow":
                raise Stopped
            return await super().run(step)

    one = probe(Failing(appliance))
    with pytest.raises(Stopped):
        walked(one)
    assert state(appliance) == before
    assert one.partial is not None
    assert one.partial.find("export") is not None


def test_what_cannot_be_removed_is_named(appliance: Appliance) -> None:
    class Keeping(SimulatedDoor):
        async def run(self, step: Step) -> Exchange:
            if step.name == "clean":
                return Exchange(step.name, step.line, "failure: no\n")
            return await super().run(step)

    with pytest.raises(ProbeFailed, match=r"could not remove .*rdscsi-probe-"):
        walked(probe(Keeping(appliance)))


def test_when_the_list_of_leftovers_is_not_whole_nothing_is_written(appliance: Appliance) -> None:
    class Deaf(SimulatedDoor):
        async def run(self, step: Step) -> Exchange:
            if step.name == "leftovers":
                return Exchange(step.name, step.line, "syntax error (line 1 column 7)\n")
            return await super().run(step)

    before, changes = state(appliance), appliance.mutations
    with pytest.raises(ProbeFailed, match="cannot tell what probes have left"):
        walked(probe(Deaf(appliance)))
    assert (state(appliance), appliance.mutations) == (before, changes)


def test_without_the_pool_only_reading_is_done(appliance: Appliance) -> None:
    one = Probe(door=SimulatedDoor(appliance), pool="nope", ask=lambda _: True, tell=lambda _: None)
    assert walked(one).find("add") is None


@pytest.mark.parametrize("name", ["", "../x", "a b", "UPPER", "abc", "abcdefghi", 'a"; x'])
def test_a_run_has_a_harmless_name(name: str) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        Place("pool1", "pool1", "", name)


def test_only_what_bears_the_prefix_counts_as_left() -> None:
    printed = "\n".join(
        [
            "D *1 rdscsi-probe-aaaa-1", "D *2 vm-1", "D *3 pool1/rdscsi-probe-x", "S *4 rdscsi-probe-aaaa", "S *5 home",
            "F *6 pool1/rdscsi-probe-aaaa", "F *7 pool1/rdscsi-probe-aaaa/1.img", "F *8 pool1/vm-1.img",
            "F *A pool1/rdscsi-probe-not-ours.img", "F *B pool1/rdscsi-probe-aaaa/precious", "X *9 rdscsi-probe-b",
            steps.END,
        ]
    )  # fmt: skip
    assert parse_leftovers(printed) == [
        Leftover("D", "rdscsi-probe-aaaa-1"), Leftover("F", "pool1/rdscsi-probe-aaaa/1.img"),
        Leftover("F", "pool1/rdscsi-probe-aaaa"), Leftover("S", "rdscsi-probe-aaaa"),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="not whole"):
        parse_leftovers("D *1 rdscsi-probe-aaaa-1\n")


# -- transcripts ---------------------------------------------------------------------------------------------------


def test_secrets_and_serial_numbers_do_not_leave_the_house() -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIJ"
    kept = without_secrets(
        [
            Exchange("json", "x", '{"serial":"S3CR3T01","nvme-tcp-server-password":"hunter22","model":"M"}\n'),
            Exchange("table", "x", "0 nvme1  MODEL  S3CR3T01  512\n"),
            Exchange("detail", "x", 'serial="S3CR3T01" mac=AA:BB:CC:DD:EE:FF\n'),
            Exchange("set", "/disk/set x nvme-tcp-server-password=hunter22", f"ssh-ed25519 {key} me\n"),
        ]
    )
    text = json.dumps([(exchange.line, exchange.output) for exchange in kept])
    for secret in ("S3CR3T01", "hunter22", "AA:BB:CC", key):
        assert secret not in text
    assert kept[1].output == "0 nvme1  MODEL  XXXXXXXX  512\n"


def test_transcripts_read_back(tmp_path: Path) -> None:
    transcript = Transcript("7.24.4 (stable)", "board", "test", "2026-01-01", (Exchange("a", ":put \u00e4", "x  \n"),))
    save(transcript, tmp_path / "t.json")
    assert load(tmp_path / "t.json") == transcript
    (tmp_path / "bad.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="no transcript"):
        load(tmp_path / "bad.json")
    (tmp_path / "worse.json").write_text('{"format": "rdscsi-transcript-1", "exchanges": [{"nope": 1}]}')
    with pytest.raises(ValueError, match="nope"):
        load(tmp_path / "worse.json")


def test_a_comparison_shows_what_the_simulated_one_does_not_know_and_what_is_to_be_learned() -> None:
    transcript = Transcript(
        "7.24.4 (stable)", "RDS2216", "test", "2026-01-01",
        (
            Exchange("put", ":put pong", "pong\n"),
            Exchange("division", ":put (1 / 0)", "math error: division by zero (line 1)\n"),
        ),
    )  # fmt: skip
    (found,) = differences(transcript)
    assert (found.step, found.text) == ("division", "DIVISION_BY_ZERO")
    assert learned_texts(transcript) == {"DIVISION_BY_ZERO": "math error: division by zero (line 1)"}


# -- over SSH ------------------------------------------------------------------------------------------------------


def over_ssh(
    appliance: Appliance, directory: Path, scenario: Callable[[Channel, SshServer, Target], Awaitable[T]]
) -> T:
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(directory / "key")

    async def main() -> T:
        options = ServerOptions(
            authorized_keys=[key.export_public_key().decode()], users=(), host_key_type="ssh-ed25519"
        )
        async with asyncio.timeout(30), SshServer(Sessions(appliance), options) as server:
            (directory / "host.pub").write_text(server.host_key_line)
            target = Target("127.0.0.1", server.port, "admin", directory / "key", directory / "host.pub")
            async with open_channel(target) as channel:
                return await scenario(channel, server, target)

    return loops.run(main())


def test_a_run_over_ssh_writes_down_status_and_output(appliance: Appliance, tmp_path: Path) -> None:
    async def scenario(channel: Channel, _server: SshServer, _target: Target) -> Transcript:
        return await probe(channel).walk()  # type: ignore[arg-type]

    before = state(appliance)
    transcript = over_ssh(appliance, tmp_path, scenario)
    assert state(appliance) == before
    put = transcript.find("put")
    assert put is not None
    assert (put.output, put.stderr, put.status, put.trouble) == ("pong\n", "", 0, "")
    assert all(not exchange.trouble for exchange in transcript.exchanges)


def test_silence_and_lost_sessions_are_taken_down_and_the_next_step_connects_again(
    appliance: Appliance, tmp_path: Path
) -> None:
    async def scenario(channel: Channel, server: SshServer, _target: Target) -> list[Exchange]:
        faults = server.sessions.faults
        faults.add(Fault("stall"), nth=1)
        faults.add(Fault("drop-before"), nth=2)
        wait = Step("wait", ":put x", "", deadline=0.3)
        return [await channel.run(wait), await channel.run(wait), await channel.run(Step("put", ":put x", ""))]

    silent, dropped, fine = over_ssh(appliance, tmp_path, scenario)
    assert "no answer" in silent.trouble
    assert dropped.trouble
    assert (fine.output, fine.trouble) == ("x\n", "")


def test_channels_that_hang_are_counted(tmp_path: Path) -> None:
    async def scenario(channel: Channel, _server: SshServer, _target: Target) -> Exchange:
        return await channel.run(Step("many", ":put done", "", "channels", 1.0, 8))

    with Appliance(tmp_path / "rds", ApplianceOptions(behaviour=Behaviour(max_channels=3))) as appliance:
        output = over_ssh(appliance, tmp_path, scenario).output
    assert output.startswith("asked 8, answered ")
    assert not output.endswith("hanging 0\n")


def test_another_host_key_is_refused(appliance: Appliance, tmp_path: Path) -> None:
    async def scenario(channel: Channel, _server: SshServer, target: Target) -> None:
        assert target.host_key_file is not None
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        target.host_key_file.write_text(stranger)
        with pytest.raises(CannotConnect):
            await channel.run(Step("put", ":put x", ""))

    over_ssh(appliance, tmp_path, scenario)


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_wants_to_know_whom_it_talks_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert rdscsi(["probe", "--host", "192.0.2.1"]) == 2
    assert "--key, --pool is required" in capsys.readouterr().err
    assert rdscsi(["probe", "--host", "192.0.2.1", "--key", "k", "--pool", "p"]) == 2
    assert "--host-key-file, or --insecure" in capsys.readouterr().err


def test_the_command_compares_a_transcript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transcript = Transcript("7.24.4", "RDS2216", "t", "2026-01-01", (Exchange("put", ":put pong", "ping\n"),))
    save(transcript, tmp_path / "t.json")
    assert rdscsi(["probe", "--compare", str(tmp_path / "t.json")]) == 0
    assert "1 of 1 answers differ" in capsys.readouterr().out
    assert rdscsi(["probe", "--compare", str(tmp_path / "none.json")]) == 1

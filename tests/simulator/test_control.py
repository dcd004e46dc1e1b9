"""The control socket and the commands over it, and the simulator as a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from rdscsi.cli.main import main as rdscsi
from rdscsi.simulator import Appliance, loops
from rdscsi.simulator.control import Answer, BadRequest, Controls, ControlServer, Json, ask
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions

SECONDS = 20.0
VOLUME = "/disk/add type=file slot=v1 file-path=pool1/v1.img file-size=1M"
Ask = Callable[[dict[str, Json]], Answer]


def _with_controls(directory: Path, script: Callable[[Ask, Sessions], None]) -> None:
    """Run a script of requests in a thread, against a server in this one."""

    async def main() -> None:
        sessions = Sessions(appliance)
        async with asyncio.timeout(SECONDS):
            async with (
                SshServer(sessions, ServerOptions(host_key_type="ssh-ed25519")) as server,
                ControlServer(Controls(server), appliance.state_dir),
            ):
                await asyncio.to_thread(script, lambda request: ask(appliance.state_dir, request), sessions)

    with Appliance(directory) as appliance:
        loops.run(main())


def test_rules_are_added_listed_and_dropped(tmp_path: Path) -> None:
    def script(asked: Ask, sessions: Sessions) -> None:
        number = asked({"do": "add", "kind": "error", "text": "busy\r\n", "contains": "/disk/add", "times": 1})["rule"]
        assert sessions.attempt(VOLUME).reply == "busy\r\n"
        (rule,) = _rules(asked)
        assert rule == {
            "rule": number, "kind": "error", "contains": "/disk/add", "times": 1, "chance": 1.0, "text": "busy\r\n",
            "seen": 1, "struck": 1,
        }  # fmt: skip
        asked({"do": "drop", "rule": number})
        assert _rules(asked) == []
        assert sessions.attempt(VOLUME).reply == ""

    _with_controls(tmp_path, script)


def _rules(asked: Ask) -> list[Json]:
    rules = asked({"do": "list"})["rules"]
    assert isinstance(rules, list)
    return rules


def test_the_pool_can_be_taken_away_and_given_back(tmp_path: Path) -> None:
    def script(asked: Ask, sessions: Sessions) -> None:
        sessions.attempt(VOLUME)
        assert asked({"do": "pool", "mounted": False, "state": "clean, degraded"}) == {
            "mounted": False, "read-only": False, "state": "clean, degraded",
        }  # fmt: skip
        assert sessions.attempt(":put [/disk/get pool1 mounted]; :put [/disk/get pool1 state]").reply == (
            "false\r\nclean, degraded\r\n"
        )
        assert sessions.attempt(":put [/disk/get v1 block-device]").reply == "false\r\n"
        asked({"do": "pool", "mounted": True, "read-only": True})
        assert sessions.attempt(":put [/disk/get v1 block-device]").reply == "true\r\n"
        assert "Read-only file system" in str(sessions.attempt("/file/add name=pool1/x").reply)

    _with_controls(tmp_path, script)


def test_reboot_host_key_latency_connections_and_meddling(tmp_path: Path) -> None:
    def script(asked: Ask, sessions: Sessions) -> None:
        sessions.attempt(VOLUME)
        assert asked({"do": "reboot"}) == {"lost": 0}
        assert sessions.appliance.boots == 1
        first = asked({"do": "host-key", "type": "ed25519"})
        assert asked({"do": "host-key", "type": "ed25519"}) != first
        assert asked({"do": "latency", "profile": "realistic"}) == {"low": 0.15, "high": 0.25}
        assert asked({"do": "connections", "mute": True}) == {"refuse": False, "mute": True}
        assert asked({"do": "meddle", "act": "comment", "slot": "v1", "text": "by hand"})["line"] is not None
        assert sessions.attempt(":put [/disk/get v1 comment]").reply == "by hand\r\n"
        assert asked({"do": "meddle", "act": "remove-disk", "slot": "gone"}) == {"line": None}
        assert asked({"do": "run", "line": ":put x"}) == {"output": "x\r\n"}

    _with_controls(tmp_path, script)


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "nothing"},
        {},
        {"do": "add", "kind": "gremlin"},
        {"do": "add", "kind": "late", "seconds": "soon"},
        {"do": "add", "kind": "error", "text": 5},
        {"do": "drop", "rule": 99},
        {"do": "meddle", "act": "burn"},
        {"do": "pool", "mounted": "yes"},
        {"do": "latency", "profile": "slowish"},
    ],
)
def test_what_makes_no_sense_is_refused_with_words(tmp_path: Path, request_: dict[str, Json]) -> None:
    def script(asked: Ask, _sessions: Sessions) -> None:
        with pytest.raises(BadRequest):
            asked(request_)
        assert asked({"do": "list"})["rules"] == []

    _with_controls(tmp_path, script)


def test_a_deep_state_directory_has_its_socket_too(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    _with_controls(deep, lambda asked, _sessions: _ignore(asked({"do": "list"})))


def _ignore(_answer: Answer) -> None:
    """The answer came; that is all."""


def test_the_fault_command_says_when_nothing_runs_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rdscsi(["simulator", "fault", "--state-dir", str(tmp_path), "list"]) == 1
    assert "no simulator runs on" in capsys.readouterr().err
    assert rdscsi(["simulator", "fault", "list"]) == 2


def test_the_simulator_needs_a_state_directory_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert rdscsi(["simulator"]) == 2
    assert "--state-dir and --authorized-key are required" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--routeros", "7.15"], ["--set", "alocation=sparse"], ["--set", "width=wide"]])
def test_wrong_arguments_end_with_status_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        rdscsi(["simulator", *wrong])
    assert ended.value.code == 2


class Process:
    """`rdscsi simulator` as a process; ready once it is made."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self.directory = directory / "rds"
        self.key = directory / "key"
        if not self.key.exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(self.key)
            key.write_public_key(self.key.with_suffix(".pub"))
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "rdscsi.cli", "simulator", "--listen", "127.0.0.1:0"),
                *("--state-dir", str(self.directory), "--authorized-key", str(self.key.with_suffix(".pub"))),
                *("--host-key", "ed25519", *arguments),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.ready = dict(
            word.split("=", 1) for word in self.process.stdout.readline().split() if "=" in word
        )  # blocks until it is ready or dead

    def run(self, line: str) -> str:
        async def once() -> str:
            async with asyncssh.connect(
                self.ready["host"], int(self.ready["port"]), username="any", client_keys=[str(self.key)],
                known_hosts=None, config=[], agent_path=None,
            ) as connection:  # fmt: skip
                result = await connection.run(line)
                return str(result.stdout)

        return loops.run(asyncio.wait_for(once(), SECONDS))

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        try:
            return self.process.wait(SECONDS)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


def test_a_killed_simulator_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = Process(tmp_path, "--set", "max-slot=40", "--routeros", "7.25.1")
    try:
        assert (first.ready["users"], first.ready["routeros"]) == ("any", "7.25.1")
        assert first.run(f"/disk/add type=file slot={'s' * 40} file-path=pool1/a file-size=1M comment=kept") == ""
        assert rdscsi(["simulator", "fault", "--state-dir", str(first.directory), "add", "drop-before"]) == 0
        assert json.loads(capsys.readouterr().out) == {"rule": 1}
        assert rdscsi(["simulator", "fault", "--state-dir", str(first.directory), "drop", "7"]) == 1
    finally:
        first.end(signal.SIGKILL)
    second = Process(tmp_path)
    try:
        assert second.run(f":put [/disk/get {'s' * 40} comment]") == "kept\r\n"
        assert second.ready["host-key"] == first.ready["host-key"]
        assert os.path.getsize(second.directory / "pool/pool1/a") == 1 << 20
        assert rdscsi(["simulator", "fault", "--state-dir", str(second.directory), "list"]) == 0
        assert json.loads(capsys.readouterr().out)["rules"] == []
    finally:
        assert second.end(signal.SIGTERM) == 0
    assert not (second.directory / "control.sock").exists()

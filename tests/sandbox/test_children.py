"""Children of a sandbox: kept running, stopped in time, and never outliving their supervisor. Real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from rdscsi.sandbox.children import Child, ChildFailed, Process, environment, leashed, open_process, running

SHELL = ("/bin/sh", "-c")


def child(log: Path, script: str, grace: float = 10) -> Child:
    return Child("one", (*SHELL, script), log, grace)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "one.log"


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_child_that_ends_by_itself_is_waited_for(log: Path) -> None:
    async with open_process(child(log, "echo out; echo err >&2; exit 3"), environment()) as process:
        assert await process.wait() == 3
    assert log.read_text() == "out\nerr\n"


async def test_the_end_of_the_block_stops_a_child_by_sigterm(log: Path) -> None:
    script = "trap 'echo drained; exit 0' TERM; echo up; while :; do sleep 0.01; done"
    async with open_process(child(log, script), environment()) as process:
        await wait_for_text(log, "up")
    assert not alive(process.pid)
    assert "drained" in log.read_text()


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(log: Path) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.01; done"
    async with open_process(child(log, script, grace=0.1), environment()) as process:
        await wait_for_text(log, "up")
    assert not alive(process.pid)


async def test_a_cancelled_block_still_waits_for_its_child(log: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_process(child(log, "echo up; exec sleep 60"), environment()) as process:
            await wait_for_text(log, "up")
            scope.cancel()
            await trio.sleep_forever()
    assert not alive(process.pid)


async def test_a_child_that_dies_is_started_again_once_settled(
    log: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pids, deaths, settled, twice = list[int](), list[str](), trio.Event(), trio.Event()
    settled.set()

    def started(process: Process) -> None:
        pids.append(process.pid)
        if len(pids) == 2:
            twice.set()
        else:
            process.send(signal.SIGKILL)

    autojump_clock.autojump_threshold = 0.05  # virtual pauses, real processes
    async with running(child(log, "exec sleep 600"), started=started, died=deaths.append, settled=settled):
        await twice.wait()
        assert alive(pids[1])
    assert deaths == [f"one (process {pids[0]}) ended (killed by SIGKILL); starting it again in 0.2 s"]
    assert not any(map(alive, pids))


@pytest.mark.parametrize(("settled", "status"), [(False, 1), (True, 2)])
async def test_a_death_before_readiness_and_wrong_settings_are_final(log: Path, settled: bool, status: int) -> None:
    event = trio.Event()
    if settled:
        event.set()
    deaths: list[str] = []
    with pytest.RaisesGroup(ChildFailed, flatten_subgroups=True) as caught:
        async with running(
            child(log, f"echo last words; exit {status}"), started=lambda _: None, died=deaths.append, settled=event
        ):
            await trio.sleep_forever()
    assert "last words" in str(caught.value.exceptions[0])
    assert deaths == []


async def test_children_get_no_settings_from_the_environment(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDSCSI_ENDPOINT", "tcp://127.0.0.1:1")
    async with open_process(child(log, "env"), environment()) as process:
        await process.wait()
    assert "RDSCSI_" not in log.read_text()


def test_a_leashed_command_dies_with_the_process_that_started_it(log: Path) -> None:
    """A parent starts `rdscsi … --help` held at its import of the command, is killed, and the child is gone too."""
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            "from rdscsi.cli.leash import tie_to\n"
            "import os\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import sys, time; from rdscsi.cli.leash import tie_to;"
            ' tie_to(int(sys.argv[1])); print("tied", flush=True); time.sleep(600)\', str(os.getpid())],'
            " stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\n"
            "print(child.pid, flush=True)\n"
            "time.sleep(600)\n",
        ],
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    with parent:
        assert parent.stdout
        grandchild = int(parent.stdout.readline())
        descriptor = os.pidfd_open(grandchild)
        assert alive(grandchild)
        parent.kill()
    trio.run(readable, descriptor)
    os.close(descriptor)
    assert not alive(grandchild)


def test_a_leashed_command_whose_parent_is_gone_ends_at_once() -> None:
    command = [word if word != str(os.getpid()) else "1" for word in leashed("--version")]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert "gone" in ended.stderr


def test_a_leashed_command_is_the_command() -> None:
    ended = subprocess.run(
        leashed("--version"), env=environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout.split()[0]) == (0, "rdscsi")


async def readable(descriptor: int) -> None:
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)


async def wait_for_text(path: Path, text: str) -> None:
    """Wait until a child has written the text. It is another process: there is nothing to wait for but the file."""
    with trio.fail_after(10):
        while not path.exists() or text not in path.read_text():
            await trio.sleep(0.01)

"""However the owner of a machine ends, nothing is left: no process, no directory, no socket."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import directory, machine, places
from lab.kernel import ensure_kernel
from lab.qemu import MIB, Cable, Options
from lab.tool.conftest import Tool

SMALL = Options(memory=256 * MIB)


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(name: str) -> list[int]:
    """The processes that belong to a machine: QEMU and its keeper."""
    mark = f"{places.machine(name)}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\x00")
        except OSError:
            continue
        if int(path.parent.name) != os.getpid() and any(mark in word for word in words[:200]):
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_tool_leaves_nothing(number: signal.Signals) -> None:
    name = f"ending-{int(number)}-{os.getpid()}"
    owner = subprocess.Popen(
        Tool.command("run", "--name", name, "--memory", "256M", "--", "true"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: len(processes_of(name)) == 2)
    owner.send_signal(number)
    status = owner.wait(30)
    assert status == {signal.SIGKILL: -9, signal.SIGINT: 130}.get(number, 128 + number)
    wait_until(lambda: not processes_of(name))
    wait_until(lambda: not places.machine(name).exists())
    assert not list(places.machines().glob(".gone-*"))


@pytest.mark.slow
def test_a_killed_keeper_takes_the_machine_with_it_and_the_next_one_sweeps(tmp_path: Path) -> None:
    name = f"keeper-{os.getpid()}"
    options = Options(memory=256 * MIB, cables=(Cable(f"c{os.getpid()}", 0, "10.1.0.1/24"),))
    running = machine.bring_up(name, options, ensure_kernel())
    os.kill(int((running.directory / "keeper.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not processes_of(name))
    assert not running.is_alive()
    running.release()
    (socket,) = (cable.socket(places.machines(), 0) for cable in options.cables)
    assert places.machine(name).exists()
    assert socket.exists()
    with directory.claim(f"{name}-next") as (made, _):
        assert not places.machine(name).exists()
        assert not socket.exists()
        made.rename(tmp_path / "made")


@pytest.mark.slow
def test_the_machine_of_another_process_ends_with_that_process() -> None:
    name = f"other-{os.getpid()}"
    other = subprocess.Popen(["sleep", "1000"])
    try:
        machine.bring_up(name, SMALL, ensure_kernel(), owner=other.pid).let_go()
    finally:
        other.kill()
        other.wait()
    wait_until(lambda: not processes_of(name) and not places.machine(name).exists())


@pytest.mark.slow
def test_a_machine_that_panics_is_told_with_its_last_words() -> None:
    name = f"panic-{os.getpid()}"
    tool = Tool(name)
    done = tool("run", "--name", name, "--memory", "256M", "--append", "init=/nowhere rdinit=/nowhere", "--", "true")
    assert done.returncode == 125
    assert "died while it booted" in done.stderr
    assert "panic" in done.stderr
    assert not places.machine(name).exists()

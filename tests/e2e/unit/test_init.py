"""Process 1 of a namespace, run as an ordinary process: it starts, tells, signals, reaps, and ends with its leash."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster.programs_in import InitFailed, Namespace

E2E = Path(__file__).resolve().parents[1]

PATIENCE = 10.0


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def init(tmp_path: Path) -> Iterator[tuple[Namespace, "subprocess.Popen[bytes]", int]]:
    held, leash = os.pipe()
    argv = (sys.executable, "-I", str(E2E / "cluster" / "init.py"), str(tmp_path / "s"), f"--leash={held}")
    with subprocess.Popen(argv, pass_fds=(held,)) as process:
        os.close(held)
        namespace = Namespace(tmp_path / "s", tmp_path)
        until(lambda: namespace.find_pid() is not None)
        yield namespace, process, leash
        process.kill()


def test_a_program_is_started_with_its_output_kept_and_its_status_told(
    init: tuple[Namespace, "subprocess.Popen[bytes]", int], tmp_path: Path
) -> None:
    namespace, process, _ = init
    assert namespace.pid() == process.pid
    namespace.start("one", ("sh", "-c", "echo $WHO; exit 7"), {"WHO": "it is me"})
    until(lambda: not namespace.programs()["one"].running)
    assert namespace.programs()["one"].status == 7
    assert (tmp_path / "one.log").read_text() == "it is me\n"


def test_a_signal_ends_a_program_and_its_name_is_free_again(
    init: tuple[Namespace, "subprocess.Popen[bytes]", int],
) -> None:
    namespace, _, _ = init
    namespace.start("one", ("sleep", "100"))
    with pytest.raises(InitFailed, match="runs already"):
        namespace.start("one", ("sleep", "100"))
    namespace.signal("one", signal.SIGKILL)
    until(lambda: not namespace.programs()["one"].running)
    assert namespace.programs()["one"].status == -signal.SIGKILL
    with pytest.raises(InitFailed, match="does not run"):
        namespace.signal("one", signal.SIGKILL)
    namespace.start("one", ("true",))


def test_what_cannot_be_started_is_said_and_the_init_goes_on(
    init: tuple[Namespace, "subprocess.Popen[bytes]", int],
) -> None:
    namespace, _, _ = init
    with pytest.raises(InitFailed, match="FileNotFoundError"):
        namespace.start("one", ("/no/such/program",))
    assert namespace.programs() == {}


def test_it_ends_when_nobody_holds_the_other_end_of_its_leash(
    init: tuple[Namespace, "subprocess.Popen[bytes]", int],
) -> None:
    namespace, process, leash = init
    os.close(leash)
    assert process.wait(PATIENCE) == 0
    assert namespace.find_pid() is None

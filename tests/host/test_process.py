"""Tools and calls: deadlines, killing as a group, bounded output, and what hangs in the kernel for good."""

import errno
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from rdscsi.errors import CommandFailed, OutcomeUnknown
from rdscsi.host import calls as calls_module
from rdscsi.host import process as process_module
from rdscsi.host.calls import Calls, open_calls
from rdscsi.host.process import OUTPUT_BYTES, Processes
from rdscsi.testing.host import open_processes, require_loop_devices


@pytest.fixture
async def processes() -> AsyncIterator[Processes]:
    async with open_processes() as made:
        yield made


@pytest.fixture
async def calls(processes: Processes) -> AsyncIterator[Calls]:
    async with open_calls(processes) as made:
        yield made


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_ended(*pids: int) -> None:
    """Wait until killed processes have ended: the signal is sent, and takes its time."""
    with trio.fail_after(10):
        while any(map(is_running, pids)):
            await trio.sleep(0.01)


# --- tools


async def test_a_tool_is_told_by_its_status_and_both_outputs(processes: Processes) -> None:
    ended = await processes.run(("sh", "-c", "echo out; echo err >&2; exit 3"), deadline=10)
    assert (ended.status, ended.stdout, ended.stderr) == (3, "out\n", "err\n")
    error = ended.failed("and a hint")
    assert str(error) == "sh -c echo out; echo err >&2; exit 3: exit status 3: out\nerr\nand a hint"


async def test_a_tool_that_must_succeed_says_its_words_when_it_does_not(processes: Processes) -> None:
    assert await processes.check(("echo", "well"), deadline=10) == "well\n"
    assert await processes.check(("sh", "-c", "exit 1"), deadline=10, success=(0, 1)) == ""
    with pytest.raises(CommandFailed, match="exit status 2: no"):
        await processes.check(("sh", "-c", "echo no >&2; exit 2"), deadline=10)


async def test_a_tool_that_is_not_there_is_a_failed_command(processes: Processes) -> None:
    with pytest.raises(CommandFailed, match="cannot be started"):
        await processes.run(("no-such-tool",), deadline=10)


async def test_a_tool_reads_nothing_and_sees_a_small_environment(processes: Processes) -> None:
    os.environ["RDSCSI_SECRET_OF_A_TEST"] = "secret"
    try:
        ended = await processes.run(("sh", "-c", "cat; env"), deadline=10)
    finally:
        del os.environ["RDSCSI_SECRET_OF_A_TEST"]
    assert "secret" not in ended.stdout
    assert "LC_ALL=C" in ended.stdout


async def test_output_is_kept_byte_for_byte(processes: Processes) -> None:
    ended = await processes.run(("sh", "-c", r"printf '\0a\0'; printf '\0' >&2"), deadline=10)
    assert (ended.stdout, ended.stderr) == ("\0a\0", "\0")


async def test_output_is_bounded(processes: Processes) -> None:
    ended = await processes.run(("sh", "-c", "yes | head -c 9000000; echo end >&2"), deadline=30)
    assert len(ended.stdout) == OUTPUT_BYTES
    assert ended.stderr.endswith("end\n")


async def test_a_tool_over_its_deadline_is_killed_with_its_children(processes: Processes, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! > {pids}; echo $$ >> {pids}; wait"
    with pytest.raises(OutcomeUnknown, match=r"not finished within 0.5 s, and was killed"):
        await processes.run(("sh", "-c", script), deadline=0.5)
    assert processes.stuck == 0
    await wait_ended(*map(int, pids.read_text().split()))


async def test_a_cancelled_caller_takes_its_tool_along(processes: Processes, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with trio.move_on_after(0.5) as scope:
        await processes.run(("sh", "-c", f"echo $$ > {pid}; exec sleep 60"), deadline=30)
    assert scope.cancelled_caught
    await wait_ended(int(pid.read_text()))


async def test_a_daemon_that_a_tool_leaves_behind_is_not_waited_for(processes: Processes, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    ended = await processes.run(("sh", "-c", f"setsid sleep 60 & echo $! > {pid}; echo done"), deadline=10)
    assert ended.stdout == "done\n"
    os.kill(int(pid.read_text()), signal.SIGKILL)


async def test_a_tool_that_was_killed_by_somebody_else_has_no_known_outcome(processes: Processes) -> None:
    with pytest.raises(OutcomeUnknown):
        await processes.run(("sh", "-c", "kill -9 $$"), deadline=10)


# --- calls


async def test_calls_answer_and_their_errors_keep_their_numbers(calls: Calls, tmp_path: Path) -> None:
    await calls.make("make_directory", str(tmp_path / "a" / "b"))
    assert await calls.make("lstat", str(tmp_path / "a")) == ["directory", 0, 0]
    with pytest.raises(OSError, match="not empty") as failed:
        await calls.make("remove", str(tmp_path / "a"))
    assert failed.value.errno == errno.ENOTEMPTY


async def test_a_callee_is_used_again_and_several_when_needed(calls: Calls) -> None:
    for _ in range(3):
        await calls.make("statvfs", "/")
    assert len(calls._idle) == 1

    async def one() -> None:
        await calls.make("statvfs", "/")

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert len(calls._idle) == calls_module.KEPT


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A file whose opening for reading never returns."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


async def test_a_call_that_hangs_costs_itself_alone(calls: Calls, processes: Processes, pipe: Path) -> None:
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0.3 s"):
        await calls.make("write", str(pipe), "x", deadline=0.3)
    assert await calls.make("lstat", "/") == ["directory", 0, 0]
    with trio.move_on_after(0.3):
        await calls.make("write", str(pipe), "x", deadline=30)
    assert await calls.make("lstat", "/") == ["directory", 0, 0]
    await processes.wait_ended()
    assert processes.stuck == 0


async def test_a_callee_that_was_killed_has_no_known_outcome(calls: Calls) -> None:
    await calls.make("lstat", "/")
    calls._idle[0].process.kill()
    await calls._idle[0].process.wait()
    with pytest.raises(OutcomeUnknown, match="is gone"):
        await calls.make("lstat", "/")
    assert await calls.make("lstat", "/") == ["directory", 0, 0]


async def test_an_answer_without_end_is_no_answer(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "_LONGEST_REPLY", 4)
    with pytest.raises(OutcomeUnknown):
        await calls.make("canonical", "/" + "a" * 100_000)


async def test_nothing_is_left_when_calls_are_closed(processes: Processes) -> None:
    async with open_calls(processes) as calls:
        await calls.make("lstat", "/")
        pid = calls._idle[0].process.pid
    assert not is_running(pid)
    assert processes.stuck == 0


# --- hanging in the kernel


@asynccontextmanager
async def frozen_filesystem(processes: Processes, directory: Path) -> AsyncIterator[Path]:
    """A filesystem whose writers wait where no signal reaches them, until it is thawed; they have ended at the end."""
    image, mounted = directory / "image", directory / "mounted"
    mounted.mkdir()
    with image.open("wb") as opened:
        opened.truncate(16 << 20)
    await processes.check(("mkfs.ext4", "-q", "-F", str(image)), deadline=30)
    await processes.check(("mount", "-o", "loop", str(image), str(mounted)), deadline=30)
    await processes.check(("fsfreeze", "--freeze", str(mounted)), deadline=30)
    try:
        yield mounted
    finally:
        with trio.CancelScope(shield=True):
            await processes.check(("fsfreeze", "--unfreeze", str(mounted)), deadline=30)
            with trio.fail_after(30):  # what was abandoned holds the mount until it has ended
                while processes.stuck:
                    await processes.wait_ended()
            await processes.check(("umount", str(mounted)), deadline=30)


@pytest.fixture
def loop_devices() -> None:
    require_loop_devices()


@pytest.mark.root
async def test_a_tool_that_no_signal_reaches_is_abandoned_and_reaped_when_it_ends(
    loop_devices: None, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "KILL_SECONDS", 0.3)
    async with frozen_filesystem(processes, tmp_path) as mounted:
        for deadline in (0.3, 2.0, 10.0):  # on a busy machine it may be killed before it comes to the filesystem
            with pytest.raises(OutcomeUnknown) as unknown:
                await processes.run(("touch", str(mounted / "file")), deadline=deadline)
            if processes.stuck:
                break
        assert "does not even end when it is killed" in str(unknown.value)
        assert processes.stuck == 1
        assert await processes.check(("echo", "others go on"), deadline=10) == "others go on\n"


@pytest.mark.root
async def test_a_call_that_no_signal_reaches_is_abandoned_too(
    loop_devices: None, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "KILL_SECONDS", 0.3)
    async with frozen_filesystem(processes, tmp_path) as mounted:
        async with open_calls(processes) as calls:
            await calls.make("lstat", "/")  # it is up: what follows comes to the filesystem
            with pytest.raises(OutcomeUnknown):
                await calls.make("make_directory", str(mounted / "directory"), deadline=0.3)
            assert await calls.make("lstat", "/") == ["directory", 0, 0]
        assert processes.stuck == 1
    gc.collect()


def test_this_interpreter_serves_calls() -> None:
    """The callee is run by it, isolated; a build without these would not do."""
    assert sys.executable
    assert all(hasattr(os, name) for name in ("preadv", "pwritev", "O_DIRECT", "memfd_create"))

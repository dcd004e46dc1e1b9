"""Commands in a machine: how they end, what goes in and what comes out."""

import subprocess
import uuid
from pathlib import Path

import pytest

from lab.tool.conftest import Tool


@pytest.mark.parametrize(
    ("script", "status"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill $$", 143), ("exec no-such", 127)]
)
def test_the_status_is_the_commands_own(tool: Tool, script: str, status: int) -> None:
    assert tool.run("sh", "-c", script).returncode == status


def test_output_and_errors_are_kept_apart_and_whole(tool: Tool) -> None:
    done = tool.run("sh", "-c", "seq 100000; echo words >&2")
    assert done.stdout.split() == [str(number) for number in range(1, 100001)]
    assert done.stderr == "words\n"


def test_arguments_arrive_as_they_are(tool: Tool) -> None:
    arguments = ["", " ", "a b", "'", '"', "$HOME", "`id`", "\\", "*", "é\n-"]
    done = tool.run("printf", "[%s]", *arguments)
    assert done.stdout == "".join(f"[{argument}]" for argument in arguments)


def test_input_is_handed_on_and_otherwise_empty(tool: Tool) -> None:
    assert tool.run("cat", options=("--stdin",), stdin="here\n").stdout == "here\n"
    assert tool.run("cat").stdout == ""


def test_directory_and_environment_are_set(tool: Tool) -> None:
    done = tool.run("sh", "-c", "pwd; echo $WORD", options=("--directory", "/usr", "--env", "WORD=a=b"))
    assert done.stdout == "/usr\na=b\n"


def test_time_over_tells_what_is_blocked_and_ends_the_command(tool: Tool) -> None:
    done = tool.run("sleep", "1000.5", options=("--timeout", "1"))
    assert done.returncode == 124
    assert "Show Blocked State" in done.stderr
    assert tool.run("pgrep", "-f", "sleep 1000.5").returncode == 1


def test_only_shares_are_written(tool: Tool, share: Path) -> None:
    here = Path(f"/usr/share/{uuid.uuid4()}")
    assert tool.run("sh", "-c", f"echo inside >{here} && echo shared >{share}/file").returncode == 0
    assert not here.exists()
    assert (share / "file").read_text() == "shared\n"


def test_the_machine_has_a_kernel_name_and_disk_of_its_own(tool: Tool) -> None:
    done = tool.run(
        "sh", "-c", "uname -n; cat /sys/block/vda/size; udevadm info -q property /dev/vda | grep ID_SERIAL="
    )
    assert done.stdout == f"{tool.machine}\n131072\nID_SERIAL=lab-disk0\n"
    assert tool.run("uname", "-r").stdout != subprocess.run(["uname", "-r"], capture_output=True, text=True).stdout


def test_a_person_gets_a_terminal(tool: Tool) -> None:
    done = tool("shell", tool.machine, "--", "sh", stdin="tty; stty size; exit 5\n")
    assert done.returncode == 5
    assert "/dev/hvc0" in done.stdout


def test_a_second_machine_of_the_name_is_refused(tool: Tool) -> None:
    done = tool("up", tool.machine)
    assert done.returncode == 125
    assert "is running already" in done.stderr
    assert tool.machine in tool("list").stdout.split()


def test_a_machine_that_is_not_there_is_said_to_be_missing(tool: Tool) -> None:
    done = tool("exec", "nobody", "--", "true")
    assert done.returncode == 125
    assert "no machine nobody is running" in done.stderr

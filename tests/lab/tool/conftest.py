"""One machine for all that only runs commands in it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import places

collect_ignore_glob = [] if os.environ.get("LAB_BOOT") else ["*"]

LAB = Path(__file__).parents[1]


class Tool:
    """The command line, as a person uses it, on one machine."""

    def __init__(self, machine: str) -> None:
        self.machine = machine

    def __call__(self, *arguments: str, stdin: str = "", seconds: float = 120.0) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )

    @staticmethod
    def command(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, str(LAB), *arguments)

    def run(self, *command: str, options: tuple[str, ...] = (), stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a command in the machine."""
        return self("exec", self.machine, *options, "--", *command, stdin=stdin)


@pytest.fixture(scope="session")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the machine may write."""
    return tmp_path_factory.mktemp("share")


@pytest.fixture(scope="session")
def tool(share: Path) -> Iterator[Tool]:
    """The tool, with a machine that is up."""
    tool = Tool(f"tool-{os.getpid()}")
    up = tool("up", tool.machine, "--disk", "64M", "--share", str(share), "--until", str(os.getpid()))
    assert up.returncode == 0, up.stderr
    yield tool
    down = tool("down", tool.machine)
    assert down.returncode == 0, down.stderr
    assert not places.machine(tool.machine).exists()

"""What a node's process does not load, and what it tells the allocator."""

import ctypes
import subprocess
import sys

import pytest

from rdscsi import memory

_SAYS = """
import sys
import rdscsi.cli.node, rdscsi.app, rdscsi.node.node
print(" ".join(name for name in ("alembic", "asyncssh", "cryptography", "pygments", "rich") if name in sys.modules))
import rich.table
print("and rich is there for those who want it")
"""


def said(script: str) -> list[str]:
    """Run a script in an interpreter of its own; the lines that it prints."""
    return subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stdout.splitlines()


def test_a_node_loads_neither_ssh_nor_migrations_nor_what_only_people_need() -> None:
    assert said(_SAYS) == ["", "and rich is there for those who want it"]


def test_the_allocator_takes_what_it_is_told() -> None:
    script = "from rdscsi import memory; print(memory.economise())"
    assert said(script) == [str(hasattr(ctypes.CDLL(None), "mallopt"))]


def test_a_library_that_has_no_such_function_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not memory.economise()

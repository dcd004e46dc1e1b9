"""Runs a command that dies with the process that started it: `python -m rdscsi.cli.leash PARENT_PID COMMAND …`.

Used by the sandbox for its children, so that a killed supervisor leaves no process behind. Linux only (prctl(2)).
"""

import ctypes
import os
import signal
import sys

from rdscsi.cli.main import main

_PR_SET_PDEATHSIG = 1


def tie_to(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies. Exits when the parent is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("rdscsi: the process that started this one is gone")


if __name__ == "__main__":
    tie_to(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))

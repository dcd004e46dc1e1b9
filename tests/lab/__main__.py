"""`python tests/lab …`: the command line of the laboratory, see `lab.command`."""

import sys
from importlib import import_module
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # so that this directory is the package `lab`

if __name__ == "__main__":
    sys.exit(import_module("lab.command").main())

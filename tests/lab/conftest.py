"""Lets the tests of this directory import the package that they are in by its own name, `lab`."""

import sys
from pathlib import Path

if (tests := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, tests)

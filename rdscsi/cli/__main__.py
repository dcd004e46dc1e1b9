"""Lets `python -m rdscsi.cli` stand for the console script, in places without one (the sandbox's children)."""

import sys

from rdscsi.cli.main import main

sys.exit(main())

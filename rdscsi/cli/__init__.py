"""The commands: argument parsing and rendering only. `main` is the console script `rdscsi`.

Each command is a module with `add_arguments(parser)` and `run(args) -> int`, imported when it is asked for. The table
of commands is in `rdscsi.cli.main`.
"""

from rdscsi.cli.main import main

__all__ = ["main"]

"""Flags for the settings of `rdscsi.config`, and the way back from parsed arguments to settings sources."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rdscsi.config import Sources, read_file
from rdscsi.config.definition import Definition, definitions
from rdscsi.config.sources import describe

CONFIG_VARIABLE = "RDSCSI_CONFIG"
_PREFIX = "setting:"


def add_settings(parser: argparse.ArgumentParser, sections: Sequence[type]) -> None:
    """Add `--config`, `--check` and a flag for each setting of the sections, grouped as documented."""
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with settings ({CONFIG_VARIABLE})")
    parser.add_argument(
        "--check", action="store_true", help="check the settings, print them with their origin, and end"
    )
    for section in sections:
        group = parser.add_argument_group(f"{section.__dict__['title'].lower()} (docs/settings.md)")
        for definition in definitions(section):
            group.add_argument(
                definition.flag, dest=_PREFIX + definition.name, metavar=definition.kind.metavar, help=_help(definition)
            )


def sources(args: argparse.Namespace) -> Sources:
    """Collect flags, environment and the settings file. Raises SettingsInvalid when the file cannot be read."""
    flags = {
        name.removeprefix(_PREFIX): text
        for name, text in vars(args).items()
        if name.startswith(_PREFIX) and text is not None
    }
    path = args.config or os.environ.get(CONFIG_VARIABLE, "")
    file = read_file(Path(path)) if path else {}
    return Sources(flags, os.environ, file, Path(path) if path else None)


def print_settings(found: Sources, sections: Sequence[type]) -> None:
    """Print each setting as it counts, with its origin; `--check`. No setting is a secret: keys are file names."""
    for section in sections:
        for definition in definitions(section):
            sys.stdout.write(describe(definition, found) + "\n")


def _help(definition: Definition) -> str:
    shown = definition.default_shown
    default = "required" if definition.default is None else f"default: {shown}" if shown else "default: empty"
    return f"{definition.help} ({definition.environment}; {default})".replace("%", "%%")

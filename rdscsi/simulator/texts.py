"""The honesty table: every text that the simulated console says, and how sure we are of it.

Nothing else in the simulator spells an error text. `VERIFIED` texts stand in a named source, `CODE` texts are relied on
by a driver that its author ran on a real RDS, `GUESS` texts are ours: a driver must never match on those, and a
hardware transcript replaces them. `docs` renders this table.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mark(enum.Enum):
    VERIFIED = "verified by source"
    CODE = "verified by code"
    GUESS = "guessed"


@dataclass(frozen=True, slots=True)
class Text:
    """A template with its mark; `source` is a section of the reference collection or a plain word on the guess."""

    template: str
    mark: Mark
    source: str

    def __call__(self, **values: object) -> str:
        return self.template.format(**values)


def _verified(template: str, source: str) -> Text:
    return Text(template, Mark.VERIFIED, source)


def _guess(template: str, source: str) -> Text:
    return Text(template, Mark.GUESS, source)


# -- the console itself ------------------------------------------------------------------------------------------------
NO_SUCH_ITEM = _verified("no such item", "§4.2 S6, S7, S9")
NO_MATCH_OF_VALUE = _verified("input does not match any value of {name}", "§4.2; tik4net 7.21.4-7.24")
MISSING_VALUES = _verified("missing value(s) of argument(s) {names}", "§13.1.4, lsp-routeros-ts 7.20.8-7.23")
NOT_PERMITTED = _verified("not enough permissions (9)", "§4.2 S6")
BAD_CHOICE = _verified("invalid value of {name}, must be either {choices}", "§13.2, 7.24.4")
BAD_VALUE = _verified("invalid value for argument {name}", "§4.2 S10")
LINE_TOO_LONG = _verified("max line length 65535 exceeded!", "§4.1")
INVALID_NUMBER = _verified("invalid internal item number", "§4.2 S10")
EXPECTED_ITEM_ID = _verified("expected item id", "§13.1.6 tik4net 7.21.4")
DUPLICATE_ENTRY = _verified("failure: already have such entry", "§4.2")
NOT_BY_DEVICE_MODE = _verified("failure: not allowed by device-mode", "§4.2")
BAD_KEY_FILE = _verified("unable to load key file (wrong format or bad passphrase)!", "§5 S8")
OUT_OF_RANGE = _guess("value of {name} out of range ({low}..{high})", "§4.2 has only 'value of X expects range'")
BAD_OPERANDS = _guess("cannot apply {operator} to {left} and {right}", "no capture of a type error of operators")
NOT_COMPARABLE = _guess("cannot compare {left} with {right}", "§13.1: texts differ by version, none quoted")
DIVISION_BY_ZERO = _guess("division by zero", "no capture")
BAD_REGEX = _guess("syntax error in regular expression", "no capture")
BAD_CONDITION = _verified("conditional not boolean", "forum 172543, 7.13: the text stands in the title")
NO_FUNCTION = _guess("no such command or function", "no capture")
BAD_JSON = _guess("invalid json", "no capture")
TOO_BIG = _guess("value too big", "bound of the simulator")
INTERRUPTED = _guess("interrupted", "bound of the simulator: a line that would never end")
CAN_NOT_DO_THAT = _verified("can not do that", "§4.2")
NOT_SIMULATED = _guess("failure: {path} is not simulated", "the simulator says so instead of pretending")

# -- /disk -------------------------------------------------------------------------------------------------------------
DUPLICATE_SLOT = _guess("failure: already have disk with such slot", "§13.3: searched for, not found")
SLOT_TOO_LONG = _guess("failure: slot name too long, max 32 characters", "§1.5: only the limit is known (S1)")
NO_SUCH_DIRECTORY = _guess("failure: could not open file: No such file or directory", "§1.5: only that it fails (S1)")
HOST_REFUSED = _guess("failure: could not open file: {reason}", "Linux texts, no capture")
NOT_A_FILE = _guess("failure: could not open file: Is a directory", "no capture")
NO_SPACE = _guess("failure: not enough space", "§1.5: the original driver looks for 'not enough space'; unverified")
DUPLICATE_NQN = _guess("failure: nvme-tcp-server-nqn already in use", "no capture; nvmet refuses equal names")
NO_FILE_PATH = _guess("failure: file-path must be specified", "no capture")
NO_FILE_SIZE = _guess("failure: file-size must be specified", "no capture")
BAD_PATH = _guess("failure: bad file name", "no capture")
COMPRESS_ONLY_BTRFS = _verified("failure: compression only available for btrfs", "§1.8 S5")
COULD_NOT_UNMOUNT = _verified("could not unmount, stop using it first", "§1.8 S5, manual 2026-10")
ALL_DATA_LOST = _verified("All data will be lost, are you sure? [y/N]: ", "§1.8 S1, 7.24")
CHECK_DONE = _guess("{slot}: check done", "only the refusal was captured")
TOO_MUCH_MEMORY = _verified("failure: too much memory requested for tmpfs/ramdisk", "§1.8 S5")
DISK_IN_USE = _guess("failure: disk is in use", "no capture; by switch only")
NO_SHRINKING = _guess("failure: file-size can not be decreased", "no capture; by switch only")
NOT_REMOVABLE = _guess("failure: cannot remove disk", "hardware disks; no capture")
READ_ONLY_POOL = _guess("failure: could not open file: Read-only file system", "Linux text, no capture")

# -- /disk/btrfs, /file ------------------------------------------------------------------------------------------------
SUBVOLUME_EXISTS = _verified("failure: could not create subvolume: File exists", "§2, form '… failed: File exists'")
NO_SUCH_FILESYSTEM = _guess("failure: no such btrfs filesystem", "no capture")
NO_SUCH_PARENT = _guess("failure: no such parent subvolume", "no capture")
SUBVOLUME_NO_DIRECTORY = _guess("failure: could not create subvolume: No such file or directory", "Linux text")
SUBVOLUME_NOT_EMPTY = _guess("failure: could not remove subvolume: Directory not empty", "Linux text, nested ones")
FILE_EXISTS = _guess("failure: file already exists", "no capture")
FILE_NO_DIRECTORY = _guess("failure: no such directory", "no capture")
FILE_NOT_EMPTY = _guess("failure: directory not empty", "no capture")
FILE_IS_MOUNT = _guess("failure: cannot remove mount point", "no capture")
FILE_IN_USE = _guess("failure: file is in use", "no capture")
FILE_TOO_BIG = _guess("failure: contents too big", "§3: contents up to 60 KB")
READ_ONLY_FILES = _guess("failure: Read-only file system", "Linux text, no capture")


def table() -> dict[str, Text]:
    """All texts by name, for the documents and the tests."""
    return {name: value for name, value in globals().items() if isinstance(value, Text)}

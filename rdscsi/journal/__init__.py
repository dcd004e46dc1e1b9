"""The journal: what is in flight and what exists, in a SQLite file behind a Trio face. Both halves keep one.

`open_journal` gives a `Journal`; `Journal.operation` is the only way to change anything outside. The rule that ties
errors to open operations is in `rdscsi.journal.operation`; `docs/journal.md` shows how a person reads the file.
"""

from rdscsi.journal import changes
from rdscsi.journal.ballast import JournalFull
from rdscsi.journal.changes import Change
from rdscsi.journal.intents import NoLongerOpen
from rdscsi.journal.journal import Journal, open_journal
from rdscsi.journal.operation import Operation
from rdscsi.journal.records import (
    Incarnation,
    Json,
    OperationRecord,
    SnapshotRecord,
    StageRecord,
    Step,
    TargetRecord,
    Tombstone,
    VolumeRecord,
)
from rdscsi.journal.retention import Retention
from rdscsi.journal.store import Precautions

__all__ = [
    "Change",
    "Incarnation",
    "Journal",
    "JournalFull",
    "Json",
    "NoLongerOpen",
    "Operation",
    "OperationRecord",
    "Precautions",
    "Retention",
    "SnapshotRecord",
    "StageRecord",
    "Step",
    "TargetRecord",
    "Tombstone",
    "VolumeRecord",
    "changes",
    "open_journal",
]

"""Runs a drill and tells how far it is."""

import time
from collections.abc import Callable

from rdscsi.drill.drills import Drill
from rdscsi.drill.rehearsal import DryRunFailed, rehearse
from rdscsi.drill.results import Rehearsal, Verdict
from rdscsi.drill.stage import Stage

Progress = Callable[[Drill, int, int, Rehearsal], None]
"""Called after each case: its number from 1, how many there are, what came of it."""


def run_one(drill: Drill, stage: Stage, progress: Progress = lambda *_: None) -> Verdict:
    """Run one drill on a stage."""
    verdict = Verdict(drill.name, drill.title, drill.promise)
    began = time.monotonic()
    try:
        cases = drill.cases(stage)
    except DryRunFailed as error:
        cases = []
        verdict.rehearsals.append(error.rehearsal)
    for number, case in enumerate(cases, 1):
        verdict.rehearsals.append(rehearse(case, stage))
        progress(drill, number, len(cases), verdict.rehearsals[-1])
    verdict.seconds = round(time.monotonic() - began, 2)
    return verdict

"""Shows drills on a terminal: a counter while one runs, its verdict with before and after when it has ended."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rdscsi.drill.drills import Drill
from rdscsi.drill.results import Rehearsal, Standing, Verdict

_PLAIN_WIDTH = 120


def open_console(*, stderr: bool = False) -> Console:
    """A console: as wide as the terminal, or 120 columns where there is none."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=_PLAIN_WIDTH)


def show_list(console: Console, drills: Iterable[Drill]) -> None:
    """A table of drills."""
    table = Table(box=None, pad_edge=False)
    for heading in ("drill", "what happens", "what is promised"):
        table.add_column(heading)
    for drill in drills:
        table.add_row(drill.name, drill.title, drill.promise)
    console.print(table)


def show_progress(console: Console, drill: Drill, number: int, count: int, rehearsal: Rehearsal) -> None:
    """Count on one line of a terminal; elsewhere nothing, for a verdict follows soon."""
    if console.is_terminal:
        end = "\r" if number < count else "\r\x1b[K"
        console.print(f"\x1b[K{drill.name}: {number} of {count}, {rehearsal.case}", end=end, no_wrap=True, crop=True)


def show_verdict(console: Console, verdict: Verdict) -> None:
    """One drill: passed or not, and of one case what stood before, after the strike and after recovery."""
    word = Text("passed", style="bold green") if verdict.passed else Text("FAILED", style="bold red")
    failed = [one for one in verdict.rehearsals if not one.passed]
    counted = f"{len(verdict.rehearsals)} cases" + (f", {len(failed)} failed" if failed else "")
    console.print(Text.assemble(word, f" {verdict.name}: {verdict.title} ({counted}, {verdict.seconds:.1f} s)"))
    for rehearsal in failed or verdict.rehearsals[-1:]:
        console.print(Text(f"    {rehearsal.case}", style="bold"), soft_wrap=True)
        _show_standing(console, "before", rehearsal.before)
        _show_standing(console, "after the strike", rehearsal.struck)
        _show_standing(console, "after recovery", rehearsal.after)
        for sentence in rehearsal.wrong:
            console.print(Text(f"      wrong: {sentence}", style="red"), soft_wrap=True)


def show_end(console: Console, verdicts: Iterable[Verdict]) -> None:
    """The closing line."""
    verdicts = list(verdicts)
    passed = sum(verdict.passed for verdict in verdicts)
    cases = sum(len(verdict.rehearsals) for verdict in verdicts)
    console.print(f"{passed} of {len(verdicts)} drills passed, {cases} cases")


def _show_standing(console: Console, when: str, standing: Standing) -> None:
    for place, texts in (("appliance", standing.appliance), ("journal", standing.journal)):
        for text in texts:
            console.print(Text(f"      {when:<16} {place:<10} {text}"), soft_wrap=True)
            when = ""

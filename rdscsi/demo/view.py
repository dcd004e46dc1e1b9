"""Shows the demonstration: a spinner on the step that is going on where there is a terminal, plain lines elsewhere."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rdscsi.demo.essence import readable
from rdscsi.demo.telling import ConsoleLine, Step

_INDENT = "      "
_PLAIN_WIDTH = 120


class RichView:
    """A view over a rich console. Finished steps are printed for good; only the last line is live."""

    def __init__(self, console: Console, live: Live | None, *, full_lines: bool) -> None:
        self._console = console
        self._live = live
        self._full_lines = full_lines

    def chapter(self, title: str, text: str) -> None:
        self._console.print()
        self._console.print(Rule(Text(title, style="bold"), align="left", characters="─"))
        if text:
            self._console.print(Text(text, style="dim"))

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def begin(self, step: Step) -> None:
        if self._live:
            self._live.update(Spinner("dots", Text(f" {step.title} …", style="cyan")), refresh=True)

    def end(self, step: Step) -> None:
        if self._live:
            self._live.update(Text(""), refresh=True)
        self._console.print(_heading(step))
        for line in step.lines:
            for row in self._rows(line):
                self._console.print(row, soft_wrap=self._full_lines, overflow="ellipsis", no_wrap=True)
        for remark in step.remarks:
            self._console.print(Text(f"{_INDENT}→ {remark}"), soft_wrap=True)
        if step.error:
            self._console.print(Text(f"{_INDENT}{step.error}", style="red"), soft_wrap=True)

    def _rows(self, line: ConsoleLine) -> Iterator[Text]:
        clock = f"{line.seconds:7.3f} s"
        shown = [line.text] if self._full_lines else readable(line.text) or ["(looks only)"]
        ending = "" if line.outcome == "done" else f"  [{line.outcome}]"
        for index, statement in enumerate(shown):
            yield Text.assemble(
                (f"{clock if index == 0 else '':>{len(_INDENT) + len(clock)}}  ", "dim"),
                (statement, "green"),
                (ending if index == len(shown) - 1 else "", "red"),
            )


@contextlib.contextmanager
def open_view(*, full_lines: bool, picture: str | None = None) -> Iterator[RichView]:
    """Show on standard output: live on a terminal, plain otherwise; and as an SVG picture where asked for one."""
    console = Console(highlight=False, record=picture is not None)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PLAIN_WIDTH, record=picture is not None)
    live = Live(console=console, transient=True, refresh_per_second=10) if console.is_terminal else None
    with live or contextlib.nullcontext():
        yield RichView(console, live, full_lines=full_lines)
    if picture is not None:
        # Without the fonts of a web server far away: a picture in a repository shows itself.
        drawn = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="rdscsi demo"), flags=re.DOTALL)
        Path(picture).write_text(drawn)


def _heading(step: Step) -> Table:
    mark = Text("✗", style="bold red") if step.error else Text("✓", style="bold green")
    row = Table.grid(padding=(0, 1))
    row.add_column(width=1)
    row.add_column(width=72)
    row.add_column(justify="right", width=9)
    row.add_column()
    lines = len(step.lines)
    counted = "" if not lines else "1 console line" if lines == 1 else f"{lines} console lines"
    row.add_row(mark, Text(step.title, style="bold"), f"{step.seconds:.2f} s", Text(counted, style="dim"))
    return row

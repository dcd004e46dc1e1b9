"""What the demonstration tells, as data: chapters of steps, each with its time, its console lines and its remarks.

Nothing here is shown to anybody; see `rdscsi.demo.view`.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from rdscsi.errors import DriverError


class StepFailed(DriverError):
    """The demonstration saw something else than it promised."""


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line that the controller sent to the appliance, how long it took, and how it ended."""

    text: str
    seconds: float
    outcome: str


@dataclass(slots=True)
class Step:
    """One thing that is done. `ended` is None while it is going on."""

    title: str
    begun: float
    ended: float | None = None
    error: str = ""
    lines: list[ConsoleLine] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def remark(self, text: str) -> None:
        """Add what came of it."""
        self.remarks.append(text)

    @property
    def seconds(self) -> float:
        return (time.monotonic() if self.ended is None else self.ended) - self.begun


class View(Protocol):
    """Shows a telling to somebody."""

    def chapter(self, title: str, text: str) -> None: ...

    def begin(self, step: Step) -> None: ...

    def end(self, step: Step) -> None: ...

    def say(self, text: str) -> None: ...


class Telling:
    """The demonstration so far. `console_lines` returns what the controller sent since it was asked last."""

    def __init__(self, view: View, console_lines: Callable[[], list[ConsoleLine]]) -> None:
        self._view = view
        self._console_lines = console_lines
        self.steps: list[Step] = []

    def chapter(self, title: str, text: str = "") -> None:
        """Open a chapter."""
        self._view.chapter(title, text)

    def say(self, text: str) -> None:
        """Tell something that is no step."""
        self._view.say(text)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Do one thing; its time, console lines and failure are taken down."""
        self._console_lines()
        step = Step(title, time.monotonic())
        self.steps.append(step)
        self._view.begin(step)
        try:
            yield step
        except DriverError as error:
            step.error = str(error)
            raise
        finally:
            step.ended = time.monotonic()
            step.lines = self._console_lines()
            self._view.end(step)

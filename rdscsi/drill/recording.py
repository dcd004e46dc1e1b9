"""Strikes that take down what happens around them: commits, console lines, changes, and the strike itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import trio

from rdscsi.drill.results import Event, Lane, Mark
from rdscsi.journal.writer import Moment
from rdscsi.simulator.faults import Fault
from rdscsi.testing.machines import SimulatedMachine
from rdscsi.testing.strikes import Levers, Strike, Strikes, What
from rdscsi.testing.world import World

_SENDS = "sends a console line"
_SHOWN = 70
_UNANSWERED = frozenset({What.UNREACHABLE, What.LOST, What.LATE, What.STALLED})


class Recorder:
    """The events of one rehearsal; it takes down nothing before `begin` and after `end`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.life = 1
        self._began: float | None = None

    def begin(self) -> None:
        """Take down everything from here on."""
        self._began = trio.current_time()

    def end(self) -> None:
        """Take down nothing more."""
        self._began = None

    def note(self, lane: Lane, text: str, mark: Mark = Mark.STEP) -> None:
        """Take down one event."""
        if self._began is not None:
            self.events.append(Event(round(trio.current_time() - self._began, 3), lane, text, mark, self.life))

    def answered(self) -> None:
        """A line was answered; one that only looked is one event, with its answer."""
        if self.events and self.events[-1].text == _SENDS:
            self.events[-1] = replace(self.events[-1], text="looks, by a console line")
        else:
            self.note(Lane.APPLIANCE, "answers")


class RecordingStrikes(Strikes):
    """Strikes of a world that tell a recorder. Made by `record`."""

    def __init__(self, levers: Levers, recorder: Recorder) -> None:
        super().__init__(levers)
        self._recorder = recorder

    def arm(self, strikes: Iterable[Strike] = ()) -> None:
        """See `Strikes.arm`."""
        super().arm(strikes)
        self._recorder.begin()

    def commit(self, moment: Moment) -> None:
        """See `Strikes.commit`."""
        if moment is Moment.AFTER:
            self._recorder.note(Lane.JOURNAL, "commit")
        self._struck(lambda: super(RecordingStrikes, self).commit(moment), Lane.JOURNAL)

    def line(self) -> None:
        """See `Strikes.line`."""
        self._recorder.note(Lane.CONTROLLER, _SENDS)
        self._struck(super().line, Lane.CONTROLLER)

    def statement(self) -> None:
        """See `Strikes.statement`."""
        self._struck(super().statement, Lane.APPLIANCE)

    def answer(self) -> None:
        """See `Strikes.answer`."""
        last = self._recorder.events[-1] if self._recorder.events else None
        silent = last is not None and last.mark is Mark.TROUBLE and self.fallen and self.fallen[-1].what in _UNANSWERED
        if not silent:
            self._recorder.answered()
        self._struck(super().answer, Lane.APPLIANCE)

    def _struck(self, work: Callable[[], None], lane: Lane) -> None:
        before = len(self.fallen)
        try:
            work()
        finally:
            for strike in self.fallen[before:]:
                self._recorder.note(lane, str(strike), Mark.TROUBLE)


def record(world: World, recorder: Recorder) -> None:
    """Have the recorder told of everything in a world, from its next process on."""

    def add_fault(fault: Fault) -> None:
        world.faults.add(fault, times=1)

    def change(path: str, arguments: Mapping[str, object]) -> None:
        recorder.note(Lane.APPLIANCE, _shown(path, arguments))
        strikes.statement()

    levers = Levers(crash=world.crash, stop=world.stop, add_fault=add_fault, reboot=world.machine.reboot)
    world.strikes = strikes = RecordingStrikes(levers, recorder)
    if isinstance(world.machine, SimulatedMachine):
        world.appliance.before_mutation = change


def _shown(path: str, arguments: Mapping[str, object]) -> str:
    """A change without the slot and the tag, which are long and stand elsewhere."""
    told = [name if name == "comment" else f"{name}={value}" for name, value in arguments.items() if name not in _DULL]
    text = f"{path} {' '.join(told)}".strip()
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


_DULL = frozenset({"numbers", ".id", "slot", "type", "fs"})

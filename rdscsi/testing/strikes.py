"""What goes wrong in a world, and exactly when: at the nth commit or console line since the world was armed.

A dry run counts the effects of a call (`Counting`); then each `Strike` has its turn. One that never found its moment
is seen by `Strikes.left`, so that an enumeration knows its end.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rdscsi.journal.writer import Moment
from rdscsi.simulator import LineCut
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.faults import Fault


class Where(enum.StrEnum):
    """The moments at which a strike can fall."""

    BEFORE_COMMIT = "before commit"
    AFTER_COMMIT = "after commit"
    LINE = "line"
    STATEMENT = "statement"
    ANSWER = "answer"


class What(enum.StrEnum):
    """What happens then. The ones that end the process leave the appliance as it is, and the other way round."""

    CRASH = "crash"
    STOP = "stop"
    BUG = "bug"
    UNREACHABLE = "unreachable"
    LOST = "reply lost"
    LATE = "late"
    STALLED = "stalled"
    CUT = "cut"
    REFUSED = "refused"
    PAUSED = "paused"
    CRASH_PAUSED = "crash, line paused"
    POWER_LOSS = "power loss"


class Bug(Exception):
    """A mistake in the driver, as a strike makes it."""


@dataclass(frozen=True, slots=True)
class Strike:
    """`what` happens at the `nth` moment `where` (from 1), for statements at the `statement`th change of that line.

    `seconds`: how late a late or paused line goes on.
    """

    where: Where
    nth: int
    what: What
    statement: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        at = f"{self.where} {self.nth}" + (f", change {self.statement}" if self.statement else "")
        return f"{self.what} at {at}" + (f", {self.seconds:g} s" if self.seconds else "")


@dataclass(slots=True)
class Counting:
    """The effects seen since arming: commits, and for each line how many statements changed something."""

    commits: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Levers:
    """What a strike can pull: the process's end, and faults of the next line."""

    crash: Callable[[], None]
    stop: Callable[[], None]
    add_fault: Callable[[Fault], None]
    reboot: Callable[[], object]


class Strikes:
    """The strikes of one world, one after the other; each counts from the moment at which the one before it fell."""

    def __init__(self, levers: Levers) -> None:
        self._levers = levers
        self._pending: list[Strike] = []
        self._armed = False
        self._crash_at_answer = False
        self.counting = Counting()
        self.fallen: list[Strike] = []

    @property
    def left(self) -> int:
        """How many strikes have not found their moment."""
        return len(self._pending)

    def arm(self, strikes: Iterable[Strike] = ()) -> None:
        """Count from here on."""
        self._pending = list(strikes)
        self._armed = True
        self.counting = Counting()

    def disarm(self) -> None:
        """Nothing more goes wrong."""
        self._pending = []
        self._armed = False

    # --- called by the world

    def commit(self, moment: Moment) -> None:
        """A transaction is about to be made durable, or has been."""
        if not self._armed:
            return
        if moment is Moment.BEFORE:
            self.counting.commits += 1
        where = Where.BEFORE_COMMIT if moment is Moment.BEFORE else Where.AFTER_COMMIT
        if strike := self._due(where, self.counting.commits):
            self._end_process(strike)

    def line(self) -> None:
        """A line is about to be sent."""
        if not self._armed:
            return
        self.counting.lines.append(0)
        if strike := self._due(Where.LINE, len(self.counting.lines)):
            self._strike_line(strike)
        elif strike := self._due_later():
            self._levers.add_fault(Fault("late-middle", seconds=strike.seconds, mutation=strike.statement))
            self._crash_at_answer = strike.what is What.CRASH_PAUSED

    def statement(self) -> None:
        """A statement of the line is about to change something."""
        if not self._armed or not self.counting.lines:
            return
        self.counting.lines[-1] += 1
        strike = self._due(Where.STATEMENT, len(self.counting.lines), self.counting.lines[-1])
        if strike is None:
            return
        if strike.what is What.REFUSED:
            raise ConsoleError("failure: refused by the test")
        if strike.what is What.POWER_LOSS:
            self._levers.reboot()
        raise LineCut

    def answer(self) -> None:
        """A line has run; its answer is on its way."""
        if self._crash_at_answer:
            self._crash_at_answer = False
            self._levers.crash()
        elif self._armed and (strike := self._due(Where.ANSWER, len(self.counting.lines))):
            self._end_process(strike)

    # --- which strike is due

    def _due(self, where: Where, nth: int, statement: int = 0) -> Strike | None:
        first = next(iter(self._pending), None)
        if first is None or (first.where, first.nth, first.statement) != (where, nth, statement):
            return None
        if first.what in (What.PAUSED, What.CRASH_PAUSED):
            return None
        return self._falls(first)

    def _due_later(self) -> Strike | None:
        """A pause inside of the line has to be told to the simulator before the line begins."""
        first = next(iter(self._pending), None)
        paused = first is not None and first.what in (What.PAUSED, What.CRASH_PAUSED)
        if first is None or not paused or first.nth != len(self.counting.lines):
            return None
        return self._falls(first)

    def _falls(self, strike: Strike) -> Strike:
        self._pending.pop(0)
        self.fallen.append(strike)
        self.counting = Counting()
        return strike

    def _strike_line(self, strike: Strike) -> None:
        if strike.what is What.UNREACHABLE:
            self._levers.add_fault(Fault("drop-before"))
        elif strike.what is What.LOST:
            self._levers.add_fault(Fault("drop-after"))
        elif strike.what is What.LATE:
            self._levers.add_fault(Fault("late", seconds=strike.seconds))
        elif strike.what is What.STALLED:
            self._levers.add_fault(Fault("stall-after"))
        else:
            self._end_process(strike)

    def _end_process(self, strike: Strike) -> None:
        if strike.what is What.CRASH:
            self._levers.crash()
        elif strike.what is What.STOP:
            self._levers.stop()
        elif strike.what is What.BUG:
            raise Bug(str(strike))


def enumerate_strikes(
    seen: Counting, *, late: Iterable[float], paused: Iterable[float], flush_delay: bool
) -> list[Strike]:
    """Return every strike that can fall on a call with these effects.

    `late`: how many seconds late whole lines run. `paused`: how long one stands between the checks before a statement
    and the statement; no longer than the longest statement that the driver reckons with.
    """
    late, paused = tuple(late), tuple(paused)
    strikes = [
        Strike(where, nth, what)
        for nth in range(1, seen.commits + 1)
        for where in (Where.BEFORE_COMMIT, Where.AFTER_COMMIT)
        for what in (What.CRASH, What.STOP)
    ]
    for nth, statements in enumerate(seen.lines, 1):
        ends = (What.CRASH, What.STOP, What.BUG)
        strikes += [Strike(where, nth, what) for where in (Where.LINE, Where.ANSWER) for what in ends]
        strikes += [Strike(Where.LINE, nth, what) for what in (What.UNREACHABLE, What.LOST, What.STALLED)]
        strikes += [Strike(Where.LINE, nth, What.LATE, seconds=seconds) for seconds in late]
        for statement in range(1, statements + 1):
            strikes += _inside(nth, statement, paused, flush_delay=flush_delay)
    return strikes


def _inside(nth: int, statement: int, pauses: tuple[float, ...], *, flush_delay: bool) -> list[Strike]:
    plain = [What.CUT, What.REFUSED, *([What.POWER_LOSS] if flush_delay else [])]
    paused = (What.PAUSED, What.CRASH_PAUSED)
    return [Strike(Where.STATEMENT, nth, what, statement) for what in plain] + [
        Strike(Where.STATEMENT, nth, what, statement, seconds) for what in paused for seconds in pauses
    ]

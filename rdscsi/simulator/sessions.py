"""A command as a client meets it: the appliance's answer, or what a fault makes of it.

The same for every transport: the SSH server and in-memory clients of tests both call `Sessions.attempt`. A line can go
on after its session died; such lines wait here until their time comes (`run_due`) and then run, before anything else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rdscsi.simulator import texts
from rdscsi.simulator.appliance import Appliance, LineCut
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.values import Value
from rdscsi.simulator.faults import HOLD_SECONDS, Fault, Faults, Hold, Rule

OPERATOR = "operator"
_TAKING_SPACE = frozenset({"/disk/add", "/file/add", "/file/copy", "/disk/btrfs/subvolume/add"})
_PATIENCE = 60.0  # seconds until a parked line's thread must have got somewhere


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the client sees. `reply` is None when no complete answer comes; `fragment` is what came before that.

    `stalled`: the session stays open in silence. Otherwise a missing reply means that the session died. `rebooted`:
    all sessions died, because the appliance went down while the line ran.
    """

    reply: str | None
    fragment: str = ""
    stalled: bool = False
    fault: Fault | None = None
    rebooted: bool = False


@dataclass(slots=True)
class _Waiting:
    """A line whose session is dead and which has yet to run, or to go on."""

    due: float
    resume: Callable[[], None]
    give_up: Callable[[], None]


@dataclass(slots=True)
class _Parked:
    """A line in a thread of its own, halted before one of its changes."""

    halted: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


class Sessions:
    """All commands of one appliance go through here."""

    def __init__(self, appliance: Appliance, faults: Faults | None = None) -> None:
        self.appliance = appliance
        self.faults = faults or Faults()
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self.on_reboot: Callable[[], None] = _nothing
        """Called when the appliance went down; for who holds its connections."""
        appliance.on_reboot = self._rebooted

    @property
    def pending(self) -> int:
        """Lines that still run although their sessions died."""
        return len(self._waiting)

    def next_due(self) -> float | None:
        """Seconds until the next waiting line runs, or None."""
        with self._lock:
            due = min((item.due for item in self._waiting), default=None)
        return None if due is None else max(due - self.appliance.clock.now(), 0.0)

    def run_due(self) -> int:
        """Run the waiting lines whose time has come, in order; their number."""
        now = self.appliance.clock.now()
        count = 0
        while (item := self._take_due(now)) is not None:
            item.resume()
            count += 1
        return count

    def _take_due(self, now: float) -> _Waiting | None:
        """Take the earliest that is due; no two threads get the same."""
        with self._lock:
            found = min((item for item in self._waiting if item.due <= now), key=lambda item: item.due, default=None)
            if found is not None:
                self._waiting.remove(found)
        return found

    def close(self) -> None:
        """Give up lines that wait and let held ones go: nobody will see to them any more."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for item in waiting:
            item.give_up()
        self.faults.release_all()

    def _rebooted(self) -> None:
        """Lines that were still running are gone; those that stand somewhere find that out for themselves."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for item in waiting:
            item.give_up()
        self.faults.release_all()
        self.on_reboot()

    def attempt(self, line: str, *, user: str = "admin") -> Attempt:
        """Run one command with whatever goes wrong with it."""
        self.run_due()
        rule = self.faults.decide(line)
        boot = self.appliance.boots
        fault = rule.fault if rule else None
        try:
            if rule is None:
                return Attempt(self.appliance.run(line, user=user))
            if rule.fault.kind == "hold":
                return self._hold(line, user, rule)
            return _EFFECTS[rule.fault.kind](self, line, user, rule.fault)
        except LineCut:
            return Attempt(None, fault=fault, rebooted=self.appliance.boots != boot)

    # -- kinds of faults -------------------------------------------------------------------------------------------

    def _hold(self, line: str, user: str, rule: Rule) -> Attempt:
        hold = Hold(rule.number, line, rule.fault.seconds or HOLD_SECONDS)
        rule.holds.append(hold)
        after = rule.fault.after
        stand = _Countdown(after or 1, lambda: self._stand(hold))
        before_it, after_it = (stand, None) if after == 0 else (None, stand if after else None)
        reply = self.appliance.run(line, user=user, before=before_it, after=after_it)
        if not hold.held.is_set():
            hold.held.set()
            hold.go_on.wait(hold.patience)
        hold.go_on.set()
        return Attempt(reply, fault=rule.fault)

    def _stand(self, hold: Hold) -> None:
        hold.held.set()
        self.appliance.step_aside(hold.go_on, hold.patience)

    def _drop_before(self, _line: str, _user: str, fault: Fault) -> Attempt:
        return Attempt(None, fault=fault)

    def _drop_after(self, line: str, user: str, fault: Fault) -> Attempt:
        self.appliance.run(line, user=user)
        return Attempt(None, fault=fault)

    def _late(self, line: str, user: str, fault: Fault) -> Attempt:
        self._wait(fault.seconds, lambda: self._run_unseen(line, user, None), _nothing)
        return Attempt(None, fault=fault)

    def _late_middle(self, line: str, user: str, fault: Fault) -> Attempt:
        """Run up to the change in a thread, halt there, and go on when due; strictly one of us runs at a time."""
        parked = _Parked()
        hook = _Countdown(fault.mutation, lambda: self._park(parked))
        worker = threading.Thread(target=self._run_parked, args=(line, user, hook, parked), daemon=True)
        worker.start()
        parked.halted.wait(_PATIENCE)
        if worker.is_alive():
            self._wait(fault.seconds, lambda: _go_on(parked, worker), parked.go_on.set)
        return Attempt(None, fault=fault)

    def _park(self, parked: _Parked) -> None:
        parked.halted.set()
        self.appliance.step_aside(parked.go_on)

    def _run_parked(self, line: str, user: str, hook: _Countdown, parked: _Parked) -> None:
        try:
            self._run_unseen(line, user, hook)
        finally:
            parked.halted.set()

    def _run_unseen(self, line: str, user: str, hook: _Countdown | None) -> None:
        try:
            self.appliance.run(line, user=user, before=hook)
        except LineCut:
            return

    def _wait(self, seconds: float, resume: Callable[[], None], give_up: Callable[[], None]) -> None:
        with self._lock:
            self._waiting.append(_Waiting(self.appliance.clock.now() + seconds, resume, give_up))

    def _cut(self, line: str, user: str, fault: Fault) -> Attempt:
        self._run_unseen(line, user, _Countdown(fault.mutation, _raise_cut))
        return Attempt(None, fault=fault)

    def _error(self, _line: str, _user: str, fault: Fault) -> Attempt:
        return Attempt(fault.text, fault=fault)

    def _garbage(self, line: str, user: str, fault: Fault) -> Attempt:
        return Attempt(fault.text + self.appliance.run(line, user=user), fault=fault)

    def _truncate(self, line: str, user: str, fault: Fault) -> Attempt:
        text = self.appliance.run(line, user=user)
        return Attempt(None, fragment=text[: len(text) // 2], fault=fault)

    def _stall(self, _line: str, _user: str, fault: Fault) -> Attempt:
        return Attempt(None, stalled=True, fault=fault)

    def _stall_after(self, line: str, user: str, fault: Fault) -> Attempt:
        self.appliance.run(line, user=user)
        return Attempt(None, stalled=True, fault=fault)

    def _reboot(self, line: str, user: str, fault: Fault) -> Attempt:
        self.appliance.run(line, user=user)
        self.appliance.reboot()
        return Attempt(None, fault=fault, rebooted=True)

    def _reboot_middle(self, line: str, user: str, fault: Fault) -> Attempt:
        reply = self.appliance.run(line, user=user, before=_Countdown(fault.mutation, self._power_cut))
        return Attempt(reply, fault=fault)  # the line had fewer changes

    def _power_cut(self) -> None:
        self.appliance.reboot()
        raise LineCut

    def _slow(self, line: str, user: str, fault: Fault) -> Attempt:
        self.appliance.clock.pause(fault.seconds)
        return Attempt(self.appliance.run(line, user=user), fault=fault)

    def _parse_error(self, _line: str, _user: str, fault: Fault) -> Attempt:
        return Attempt(fault.text or "syntax error (line 1 column 1)\r\n", fault=fault)

    def _disk_full(self, line: str, user: str, fault: Fault) -> Attempt:
        return Attempt(self.appliance.run(line, user=user, before=_refuse_space), fault=fault)

    def _refuse(self, line: str, user: str, fault: Fault) -> Attempt:
        def before(path: str, _arguments: Mapping[str, Value]) -> None:
            if path.startswith(fault.path):
                raise ConsoleError(fault.text or texts.CAN_NOT_DO_THAT())

        return Attempt(self.appliance.run(line, user=user, before=before), fault=fault)

    def _meddle(self, line: str, user: str, fault: Fault) -> Attempt:
        def meddle() -> None:
            self.appliance.run(fault.text, user=OPERATOR)

        if fault.mutation <= 0:
            meddle()
        return Attempt(self.appliance.run(line, user=user, before=_Countdown(fault.mutation, meddle)), fault=fault)


_EFFECTS: dict[str, Callable[[Sessions, str, str, Fault], Attempt]] = {
    "drop-before": Sessions._drop_before,
    "drop-after": Sessions._drop_after,
    "late": Sessions._late,
    "late-middle": Sessions._late_middle,
    "cut": Sessions._cut,
    "error": Sessions._error,
    "garbage": Sessions._garbage,
    "truncate": Sessions._truncate,
    "stall": Sessions._stall,
    "stall-after": Sessions._stall_after,
    "reboot": Sessions._reboot,
    "reboot-middle": Sessions._reboot_middle,
    "slow": Sessions._slow,
    "parse-error": Sessions._parse_error,
    "disk-full": Sessions._disk_full,
    "refuse": Sessions._refuse,
    "meddle": Sessions._meddle,
}


class _Countdown:
    """A hook that acts once, before the nth change of a line."""

    def __init__(self, nth: int, action: Callable[[], None]) -> None:
        self._left = nth
        self._action = action

    def __call__(self, _path: str, _arguments: Mapping[str, Value]) -> None:
        self._left -= 1
        if self._left == 0:
            self._action()


def _nothing() -> None:
    """A line that has not begun needs no word when it is given up."""


def _refuse_space(path: str, arguments: Mapping[str, Value]) -> None:
    takes = path in _TAKING_SPACE or (path == "/disk/set" and "file-size" in arguments)
    if takes:
        raise ConsoleError(texts.NO_SPACE())


def _raise_cut() -> None:
    raise LineCut


def _go_on(parked: _Parked, worker: threading.Thread) -> None:
    parked.go_on.set()
    worker.join(_PATIENCE)

"""What goes wrong, decided per command by rules: the nth that matches, each that matches, or by a seeded chance.

A rule is data; what each kind does to a command is done in `sessions`. Nothing here knows SSH.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal[
    "drop-before",  # the session dies, the line never runs
    "drop-after",  # the line runs, the session dies, the answer is lost
    "late",  # the session dies at once, the line runs `seconds` later
    "late-middle",  # the line stops before its `mutation`th change, the session dies, it goes on `seconds` later
    "cut",  # the line ends for good before its `mutation`th change, the session dies
    "hold",  # the line waits (see `Fault.after`) until it is released, for `seconds` at most; then it goes on
    "error",  # the line does not run, the answer is `text`
    "garbage",  # the answer has `text` in front
    "truncate",  # the line runs, half of the answer arrives, the session dies
    "stall",  # the line does not run, no answer ever comes, the session stays
    "stall-after",  # the line runs, no answer ever comes, the session stays
    "reboot",  # the line runs, the appliance has a power cut, sessions die
    "reboot-middle",  # the power cut comes before the line's `mutation`th change
    "slow",  # the line begins `seconds` late, as when `/file` lists a huge tree
    "parse-error",  # the line is refused as a whole with `text` (default: a syntax error), nothing runs
    "disk-full",  # what would take space in the line is refused
    "refuse",  # statements whose path begins with `path` are refused with `text`
    "meddle",  # an operator runs the line `text` before this line's `mutation`th change (0: before it begins)
]
KINDS: tuple[str, ...] = get_args(Kind)
HOLD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one command.

    `after`, for `hold`: wait once so many statements have changed something (0: before the first); a line with fewer,
    and any line when it is None, waits at its end, before its answer.
    """

    kind: Kind
    seconds: float = 0.0
    text: str = ""
    mutation: int = 1
    after: int | None = None
    path: str = ""


class Hold:
    """A line that a rule holds up. `held` is set when it stands, `go_on` lets it go."""

    def __init__(self, rule: int, line: str, patience: float) -> None:
        self.rule = rule
        self.line = line
        self.patience = patience
        self.held = threading.Event()
        self.go_on = threading.Event()


@dataclass(slots=True)
class Rule:
    """When a fault strikes. Without conditions it strikes each command.

    `contains`: a part of the line, or a predicate over it. `nth`: only the nth matching command (from 1). `times`: at
    most so often. `chance`: with this probability, by the seed of `Faults`. `holds`: the lines that it ever held.
    """

    number: int
    fault: Fault
    contains: str | Callable[[str], bool] = ""
    nth: int | None = None
    times: int | None = None
    chance: float = 1.0
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)
    holds: list[Hold] = field(default_factory=list, init=False)

    def matches(self, line: str) -> bool:
        return self.contains in line if isinstance(self.contains, str) else self.contains(line)

    def release(self) -> int:
        """Let go every line that this rule holds; their number."""
        held = [hold for hold in self.holds if not hold.go_on.is_set()]
        for hold in held:
            hold.go_on.set()
        return len(held)


class Faults:
    """The rules in force, and what befalls whole connections.

    `refuse_connections`: the server closes every new connection at once. `mute_connections`: it takes new connections
    and never says a word, so that clients run into their time-out. `banner`: what it says before its SSH version.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._rules: list[Rule] = []
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self.refuse_connections = False
        self.mute_connections = False
        self.banner = b""

    def __iter__(self) -> itertools.chain[Rule]:
        return itertools.chain(tuple(self._rules))

    def add(
        self,
        fault: Fault | Kind,
        *,
        contains: str | Callable[[str], bool] = "",
        nth: int | None = None,
        times: int | None = None,
        chance: float = 1.0,
    ) -> Rule:
        """Put a rule in force; give it to `drop` to lift it."""
        made = fault if isinstance(fault, Fault) else Fault(fault)
        rule = Rule(next(self._numbers), made, contains, nth, times, chance)
        with self._lock:
            self._rules.append(rule)
        return rule

    def find(self, number: int) -> Rule | None:
        return next((rule for rule in self if rule.number == number), None)

    def drop(self, rule: Rule) -> None:
        """Lift a rule; lines that it holds go on."""
        with self._lock:
            if rule in self._rules:
                self._rules.remove(rule)
        rule.release()

    def clear(self) -> None:
        """Lift every rule."""
        for rule in self:
            self.drop(rule)
        self.refuse_connections = False
        self.mute_connections = False
        self.banner = b""

    def storm(self, *, chance: float, kinds: Iterable[Kind], seconds: float = 1.0, contains: str = "") -> list[Rule]:
        """Rules for several kinds at once, each striking by chance, by the seed."""
        return [self.add(Fault(kind, seconds=seconds), contains=contains, chance=chance) for kind in kinds]

    def release_all(self) -> None:
        """Let every held line go on."""
        for rule in self:
            rule.release()

    def decide(self, line: str) -> Rule | None:
        """The rule that strikes this command; the first that does wins, all that match count it."""
        found: Rule | None = None
        with self._lock:
            for rule in self._rules:
                if not rule.matches(line):
                    continue
                rule.seen += 1
                if found is None and self._strikes(rule):
                    rule.struck += 1
                    found = rule
        return found

    def _strikes(self, rule: Rule) -> bool:
        if rule.nth is not None and rule.seen != rule.nth:
            return False
        if rule.times is not None and rule.struck >= rule.times:
            return False
        return rule.chance >= 1.0 or self._random.random() < rule.chance

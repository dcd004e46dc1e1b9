"""What goes wrong, decided per command by rules: the nth that matches, each that matches, or by a seeded chance.

A rule is data; what each kind does to a command is done in `sessions`. Nothing here knows SSH.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "drop-before",  # the session dies, the line never runs
    "drop-after",  # the line runs, the session dies, the answer is lost
    "late",  # the session dies at once, the line runs `seconds` later
    "late-middle",  # the line stops before its `mutation`th change, the session dies, it goes on `seconds` later
    "cut",  # the line ends for good before its `mutation`th change, the session dies
    "error",  # the line does not run, the answer is `text`
    "garbage",  # the answer has `text` in front
    "truncate",  # the line runs, half of the answer arrives, the session dies
    "stall",  # the line does not run, no answer ever comes, the session stays
    "stall-after",  # the line runs, no answer ever comes, the session stays
    "reboot",  # the line runs, the appliance has a power cut, sessions die
]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one command."""

    kind: Kind
    seconds: float = 0.0
    text: str = ""
    mutation: int = 1


@dataclass(slots=True)
class Rule:
    """When a fault strikes. Without conditions it strikes each command.

    `contains`: a part of the line, or a predicate over it. `nth`: only the nth matching command (from 1). `times`: at
    most so often. `chance`: with this probability, by the seed of `Faults`.
    """

    fault: Fault
    contains: str | Callable[[str], bool] = ""
    nth: int | None = None
    times: int | None = None
    chance: float = 1.0
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def matches(self, line: str) -> bool:
        return self.contains in line if isinstance(self.contains, str) else self.contains(line)


class Faults:
    """The rules in force. `refuse_connections` makes the server close every new connection at once."""

    def __init__(self, *, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._rules: list[Rule] = []
        self.refuse_connections = False

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
        rule = Rule(made, contains, nth, times, chance)
        self._rules.append(rule)
        return rule

    def drop(self, rule: Rule) -> None:
        self._rules.remove(rule)

    def clear(self) -> None:
        self._rules.clear()
        self.refuse_connections = False

    def decide(self, line: str) -> Fault | None:
        """The fault for this command; the first rule that strikes wins, all that match count it."""
        found: Fault | None = None
        for rule in self._rules:
            if not rule.matches(line):
                continue
            rule.seen += 1
            if found is None and self._strikes(rule):
                rule.struck += 1
                found = rule.fault
        return found

    def _strikes(self, rule: Rule) -> bool:
        if rule.nth is not None and rule.seen != rule.nth:
            return False
        if rule.times is not None and rule.struck >= rule.times:
            return False
        return rule.chance >= 1.0 or self._random.random() < rule.chance

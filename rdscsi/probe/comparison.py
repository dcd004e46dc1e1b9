"""A transcript beside the simulated RDS: the same lines to a simulated appliance of the same version.

What differs is what the simulator has to learn; `LEARNED` says which guessed text a step shows.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdscsi.probe.steps import Step
from rdscsi.probe.transcript import Exchange, Transcript, without_secrets
from rdscsi.simulator import Appliance, ApplianceOptions, LineCut, PoolOptions

LEARNED = {
    "duplicate-slot": "DUPLICATE_SLOT",
    "missing-directory": "NO_SUCH_DIRECTORY",
    "no-space": "NO_SPACE",
    "slot-of-33": "SLOT_TOO_LONG",
    "nqn-twice": "DUPLICATE_NQN",
    "make-directory-again": "SUBVOLUME_EXISTS",
    "remove-directory-full": "FILE_NOT_EMPTY",
    "division": "DIVISION_BY_ZERO",
    "bad-regex": "BAD_REGEX",
    "bad-json": "BAD_JSON",
}
"""Steps whose answers are error texts, and the names in `rdscsi.simulator.texts` that they settle."""

_SUFFIX = re.compile(r" \(\S+; line \d+\)$")
_CHANCE = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8}(-[0-9a-f]{8}){3}\b")
_NUMBERS = re.compile(r"\*[0-9A-F]+|\b\d[\d ]*\b")


class SimulatedDoor:
    """A door to a simulated appliance in this process."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance

    async def run(self, step: Step) -> Exchange:
        """Run a step; many at once are run one after the other."""
        return self.answer(step.name, step.line)

    def answer(self, name: str, line: str) -> Exchange:
        """Run one line."""
        try:
            output = self._appliance.run(line).replace("\r\n", "\n")
        except LineCut:
            return Exchange(name, line, "", status=None, trouble="the session ended")
        return Exchange(name, line, output)


@dataclass(frozen=True, slots=True)
class Difference:
    """What an appliance and the simulated one answered to the same line. `text`: the guess that it settles."""

    step: str
    line: str
    appliance: str
    simulated: str
    text: str


def learned_texts(transcript: Transcript) -> dict[str, str]:
    """Names of guessed texts with what the appliance said instead; for `rdscsi.simulator.texts`."""
    found = {}
    for step, name in LEARNED.items():
        exchange = transcript.find(step)
        if exchange is not None and exchange.lines:
            found[name] = _SUFFIX.sub("", exchange.lines[-1])
    return found


def differences(transcript: Transcript, pool: PoolOptions | None = None) -> Iterator[Difference]:
    """Every step whose answer differs in more than numbers and UUIDs. `pool`: how the simulated pool is to be."""
    options = ApplianceOptions(version=transcript.routeros.split(" ")[0], pool=pool or PoolOptions())
    with tempfile.TemporaryDirectory() as directory, Appliance(Path(directory), options) as appliance:
        door = SimulatedDoor(appliance)
        answers = without_secrets(door.answer(exchange.step, exchange.line) for exchange in transcript.exchanges)
    for exchange, simulated in zip(transcript.exchanges, answers, strict=True):
        if _shape(simulated) != _shape(exchange):
            text = LEARNED.get(exchange.step, "")
            yield Difference(exchange.step, exchange.line, exchange.output, simulated.output, text)


def _shape(exchange: Exchange) -> list[str]:
    return [_NUMBERS.sub("0", _CHANCE.sub("UUID", line)) for line in exchange.lines]

"""A probe from beginning to end: look, ask, write, clear up, whatever happens in between.

Writing needs a yes. What earlier runs left is removed first; what this one made is removed at the end, also after an
error or an interruption, and the appliance is asked once more whether anything is left.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from rdscsi import __version__
from rdscsi.probe import steps
from rdscsi.probe.preflight import findings
from rdscsi.probe.steps import Place, Step
from rdscsi.probe.transcript import Exchange, Transcript, without_secrets

Ask = Callable[[str], bool]
Tell = Callable[[str], None]


class Door(Protocol):
    """What carries steps to the appliance."""

    async def run(self, step: Step) -> Exchange: ...


class ProbeFailed(Exception):
    """The probe cannot go on; what it made is removed or listed in the text."""


@dataclass(slots=True)
class Probe:
    """One run."""

    door: Door
    pool: str
    ask: Ask
    tell: Tell
    size: int = 1 << 30
    channels: bool = False
    user: str = ""
    run_name: str = field(default_factory=lambda: secrets.token_hex(3))
    exchanges: list[Exchange] = field(default_factory=list, init=False)
    partial: Transcript | None = field(default=None, init=False)
    """What there is of a transcript when the run fails after its reading steps."""

    async def walk(self) -> Transcript:
        """Everything that is agreed to. Raises ProbeFailed, CannotConnect."""
        await self._all(steps.reading(self.pool))
        await self._preflight()
        place = self._place()
        try:
            if place is not None and await self._agreed(place):
                await self._write(place)
        finally:
            self.partial = self._transcript()
        if self.channels and self.ask("The next steps open up to 25 channels at once, which may hang for a while."):
            await self._all(steps.channels())
        return self._transcript()

    async def _preflight(self) -> None:
        """Say what the driver would miss here; nothing of it ends the probe, and none of it is in the transcript."""
        looks = [await self.door.run(step) for step in steps.looks(self.pool, self.user)]
        found = findings(looks, self.pool, self.user)
        self.tell("preflight: what the driver needs is here" if not found else "preflight:")
        for sentence in found:
            self.tell(f"  - {sentence}")

    async def _all(self, listed: Iterable[Step]) -> None:
        for step in listed:
            self.tell(f"{step.name}: {step.settles}")
            self.exchanges.append(await self.door.run(step))

    def _found(self, step: str) -> Exchange | None:
        return next((exchange for exchange in self.exchanges if exchange.step == step), None)

    def _place(self) -> Place | None:
        """Where to write; None when the pool does not show what is needed."""
        exchange = self._found("pool")
        try:
            shown = json.loads(exchange.output) if exchange else {}
        except ValueError:
            shown = {}
        if not isinstance(shown, dict) or not shown.get("mount-point"):
            self.tell(f"the pool {self.pool!r} is not there or not mounted: nothing will be written")
            return None
        label = str(shown.get("fs-label", "")) if shown.get("fs") == "btrfs" else ""
        return Place(self.pool, str(shown["mount-point"]), label, self.run_name, self.size)

    async def _agreed(self, place: Place) -> bool:
        left = await self._left(place)
        names = "".join(f"\n  {item.kind} {item.name}" for item in left)
        first = f"What earlier probes left will be removed first:{names}\n" if left else ""
        return self.ask(
            f"{first}The next steps make, export, change and remove disks named {place.name}-… and files below "
            f"{place.directory}, up to {2 * place.size} bytes at a time. Nothing else is touched."
        )

    async def _write(self, place: Place) -> None:
        await self._clean(place)
        try:
            await self._all(steps.writing(place))
        finally:
            await self._clean(place)  # also when the run is interrupted; what it cannot remove the next run will

    async def _left(self, place: Place) -> list[steps.Leftover]:
        exchange = await self.door.run(
            Step("leftovers", steps.leftovers(place.mount_point, btrfs=bool(place.btrfs_label)), "", deadline=120)
        )
        try:
            return steps.parse_leftovers(exchange.output)
        except ValueError as error:
            raise ProbeFailed(f"cannot tell what probes have left: {exchange.trouble or error}") from error

    async def _clean(self, place: Place) -> None:
        for item in await self._left(place):
            self.tell(f"removing {item.kind} {item.name}")
            await self.door.run(Step("clean", steps.cleaning(item), ""))
        left = await self._left(place)
        if left:
            raise ProbeFailed("could not remove " + ", ".join(f"{item.kind} {item.name}" for item in left))

    def _transcript(self) -> Transcript:
        kept = without_secrets(self.exchanges)
        told = {exchange.step: exchange.output.strip() for exchange in kept}
        when = datetime.now(UTC).strftime("%Y-%m-%d")
        return Transcript(told.get("version", ""), told.get("board", ""), f"rdscsi {__version__}", when, kept)

"""Whether the appliance has rebooted since this journal last found everything in order (law 13).

Only then may a record be worth more than what the appliance shows. A moment of boot is the wall clock less the uptime;
it is kept in the journal, because the controller may have been away when the appliance went down.
"""

from dataclasses import dataclass

from rdscsi.controller.backend import Backend
from rdscsi.journal import changes
from rdscsi.routeros.answers import Answer

KEY = "inventory.boot"

_SLACK = 3.0
"""Seconds by which two readings of one boot may differ: uptime counts whole seconds, and an answer takes its time."""
_DRIFT = 0.001
"""How fast the two clocks may part. A reboot that hides in it looks like none: volumes are then quarantined."""
_KEEP_EVERY = 3600.0


@dataclass(frozen=True, slots=True)
class Boot:
    """A moment of boot, and when it was read; both in seconds since the epoch, by the controller's clock."""

    booted_at: float
    seen_at: float

    def same_as(self, earlier: "Boot") -> bool:
        """Tell whether this reading and an earlier one may be of one boot."""
        apart = abs(self.booted_at - earlier.booted_at)
        return apart <= _SLACK + _DRIFT * max(0.0, self.seen_at - earlier.seen_at)


def parse_boot(text: str | None) -> Boot | None:
    """Read what `render_boot` has written; None when nothing was."""
    if text is None:
        return None
    booted_at, _, seen_at = text.partition(" ")
    return Boot(float(booted_at), float(seen_at))


def render_boot(boot: Boot) -> str:
    """Write a boot as a value of the journal's meta table."""
    return f"{boot.booted_at:.0f} {boot.seen_at:.0f}"


class Boots:
    """Compares the boot that an inventory shows with the one that was in order."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._shown: Boot | None = None
        self._reboots = backend.reboots  # as far as this process has seen them followed by an inventory in order

    async def changed(self, answer: Answer) -> bool:
        """Tell whether the appliance has rebooted since `keep`. A journal that never kept a boot cannot tell: no."""
        assert answer.uptime is not None, "a guarded line tells the uptime"
        now = self._backend.now()
        self._shown = Boot(now - answer.uptime, now)
        kept = parse_boot(await self._backend.journal.get_meta(KEY))
        if kept is None:
            return False
        return self._reboots != self._backend.reboots or not self._shown.same_as(kept)

    async def keep(self) -> None:
        """Keep the boot that was shown last; seldom, while it stays the same."""
        shown = self._shown
        assert shown is not None, "an inventory was taken"
        journal = self._backend.journal
        kept = parse_boot(await journal.get_meta(KEY))
        if kept is None or self._reboots != self._backend.reboots or not self._fresh(shown, kept):
            await journal.commit(changes.put_meta(KEY, render_boot(shown)))
        self._reboots = self._backend.reboots

    @staticmethod
    def _fresh(shown: Boot, kept: Boot) -> bool:
        return shown.same_as(kept) and shown.seen_at - kept.seen_at < _KEEP_EVERY

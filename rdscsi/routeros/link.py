"""One connection to the appliance's console, as the pool sees it. `ssh` implements it; nothing of SSH is here."""

from typing import Protocol

from rdscsi.routeros.transport import normalise


class Exchange:
    """One line on its way, and what came back so far.

    `sent` is set by the link at the last moment at which nothing can have left: False proves that nothing was sent.
    """

    __slots__ = ("line", "output", "sent")

    def __init__(self, line: str) -> None:
        self.line = line
        self.sent = False
        self.output = bytearray()

    def text(self) -> str:
        """Return what was printed so far, as `Transport.run` returns it."""
        return normalise(bytes(self.output))


class LinkLost(Exception):
    """The exchange did not come to its proper end, and the link is over. `Exchange.sent` tells what that means."""


class Link(Protocol):
    """One connection, which carries one line at a time."""

    @property
    def usable(self) -> bool:
        """Whether the link is up, as far as this end knows, and free of a line that was cut short."""
        ...

    async def run(self, exchange: Exchange) -> None:
        """Carry one line. Raises LinkLost. Whatever is raised, cancellation too, the link is over then."""
        ...

    def abort(self) -> None:
        """End the link at once, without waiting. Harmless on a dead one."""
        ...

    async def close(self) -> None:
        """End the link in good order; returns when its resources are free."""
        ...

"""What carries one console line to the appliance and its answer back: the protocol and the values around it.

Nothing here connects. `ssh.open_ssh` is the real transport, `rdscsi.testing` has the one in memory; `console` frames
lines and says what an answer proves. A transport knows neither markers nor RouterOS's words.
"""

from dataclasses import dataclass
from typing import Protocol

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown


class AnswerLost(OutcomeUnknown):
    """The line was sent, and the answer did not come to its proper end. `partial` is what had been printed by then."""

    def __init__(self, message: str, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class ConnectRefused(DeviceUnavailable):
    """The appliance answers but will not let this driver in; waiting alone does not help. Nothing was sent.

    Not a settings mistake: running drivers meet it when the appliance is replaced or a key is rotated half-way, and
    the next attempts read the key files afresh.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportStatistics:
    """A transport's state at one moment, for people, metrics and tests. Counters run since the transport was opened.

    `failures` counts the connection attempts that failed since the last command that was answered; `last_error` stays
    after a recovery.
    """

    connections: int = 0
    idle: int = 0
    waiting: int = 0
    commands: int = 0
    connects: int = 0
    failures: int = 0
    last_error: str = ""

    @property
    def reconnects(self) -> int:
        """Connections made after the first one. More than the pool's size tells of trouble, or of idle times."""
        return max(0, self.connects - 1)


class Transport(Protocol):
    """Sends console lines to one appliance. Safe for any number of concurrent calls."""

    async def run(self, line: str, *, deadline: float) -> str:
        """Send one line, once, and return all that it printed, after `normalise`.

        `deadline` is in seconds and covers everything: queueing, connecting, sending, waiting for the answer.

        Raises DeviceUnavailable when nothing was sent, and OutcomeUnknown (AnswerLost, where something may have been
        printed) when the line was sent and the answer is incomplete. Cancelling the call leaves the outcome unknown.
        """
        ...

    def statistics(self) -> TransportStatistics:
        """Return the state of this moment."""
        ...


def normalise(output: bytes) -> str:
    r"""Turn what a console printed into text: `\r\n` and lone `\r` at line ends to `\n`, trailing blanks off each line.

    Bytes that are not UTF-8 become U+FFFD: comments of strangers may hold any code page, and our own are ASCII.
    """
    return "\n".join(line.rstrip(" \t\r") for line in output.decode(errors="replace").split("\n"))

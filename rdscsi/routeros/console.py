"""One console line at a time: frames it, sends it over a Transport, and raises what its answer proves.

Which lines to send is in `lines` and `surveys`, what a frame proves in `framing`, what payload means in `answers`.
"""

import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown, Refused
from rdscsi.routeros.framing import NONCE_LENGTH, Finding, Frame, NothingRan, Ran, Stopped, Unclear
from rdscsi.routeros.redaction import redact
from rdscsi.routeros.transport import AnswerLost, Transport

_log = structlog.get_logger()

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """What a line printed, without its frame.

    `sent_at` (not after the line left; queueing comes after it) and `received_at` (not before its last output) are
    readings of the console's clock, in seconds.
    """

    lines: tuple[str, ...]
    sent_at: float
    received_at: float


class ParseRefused(Refused):
    """The console refused the line before its first statement: nothing of it ran. A fault of this driver or a version.

    `text` is RouterOS's own; `column` counts from 1 in the body, None when RouterOS named no place.
    """

    def __init__(self, text: str, column: int | None) -> None:
        super().__init__(
            f"the console refused the line: {text}" + (f" [column {column} of the body]" if column else "")
        )
        self.text = text
        self.column = column


class RunTimeRefused(Refused):
    """A statement failed. It changed nothing; the ones before it may have had their effect, the ones after did not run.

    `text` is RouterOS's own; `reply` holds what the earlier statements printed.
    """

    def __init__(self, text: str, reply: Reply) -> None:
        super().__init__(f"the appliance refused: {text}")
        self.text = text
        self.reply = reply


class Outcome(enum.StrEnum):
    """How a line ended, for logs and metrics."""

    DONE = "done"
    PARSE_ERROR = "parse-error"
    RUN_TIME_ERROR = "run-time-error"
    UNAVAILABLE = "unavailable"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


CommandObserver = Callable[[str, float, Outcome], None]
"""Called after every line with its body (secrets out), its duration in seconds, and its outcome. Must not raise."""


class Console:
    """The appliance's console over one transport. Safe for concurrent calls; each line is sent at most once."""

    def __init__(
        self,
        transport: Transport,
        *,
        clock: Callable[[], float] = trio.current_time,
        nonces: Callable[[], str] = lambda: secrets.token_hex(NONCE_LENGTH // 2),
        on_command: CommandObserver | None = None,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._nonces = nonces
        self._on_command = on_command

    async def execute(self, body: str, *, deadline: float) -> Reply:
        """Send one line and return what it printed. Success means that every statement of the body ran to its end.

        `deadline` is in seconds, queueing included. Raises ValueError before anything is sent (not one line of
        printable ASCII, or longer than the frame allows), DeviceUnavailable when nothing was sent, ParseRefused when
        nothing ran, RunTimeRefused when a statement failed, and OutcomeUnknown for everything else.
        """
        frame = Frame(body, self._nonces())
        started = self._clock()
        outcome, problem = Outcome.CANCELLED, ""
        try:
            finding = await self._exchange(frame, deadline)
            reply = _reply(finding, started, self._clock())
            outcome = Outcome.DONE
        except DeviceUnavailable as error:
            outcome, problem = Outcome.UNAVAILABLE, str(error)
            raise
        except ParseRefused as error:
            outcome, problem = Outcome.PARSE_ERROR, error.text
            raise
        except RunTimeRefused as error:
            outcome, problem = Outcome.RUN_TIME_ERROR, error.text
            raise
        except OutcomeUnknown as error:
            outcome, problem = Outcome.UNKNOWN, str(error)
            raise
        finally:
            self._tell(body, self._clock() - started, outcome, problem)
        return reply

    async def ping(self, *, deadline: float) -> Reply:
        """Prove that the console answers. Raises as `execute` does."""
        return await self.execute(':put "pong"', deadline=deadline)

    async def _exchange(self, frame: Frame, deadline: float) -> Finding:
        try:
            answer = await self._transport.run(frame.line, deadline=deadline)
        except AnswerLost as error:
            finding = frame.read(error.partial)
            # The end marker was printed: the line had run its course before the connection was lost.
            if isinstance(finding, Ran | Stopped):
                return finding
            raise
        return frame.read(answer)

    def _tell(self, body: str, duration: float, outcome: Outcome, problem: str) -> None:
        line = redact(body)
        fields = {"error": redact(problem)} if problem else {}
        _log.info("console", line=line, duration_ms=round(duration * 1000, 1), outcome=str(outcome), **fields)
        if self._on_command is not None:
            self._on_command(line, duration, outcome)


def _reply(finding: Finding, sent_at: float, received_at: float) -> Reply:
    match finding:
        case Ran(lines):
            return Reply(lines, sent_at, received_at)
        case Stopped(lines, text):
            raise RunTimeRefused(text, Reply(lines, sent_at, received_at))
        case NothingRan(text, column):
            raise ParseRefused(text, column)
        case Unclear(reason, answer):
            raise OutcomeUnknown(f"{reason}; it printed {redact(answer.strip())[-_SHOWN:]!r}")

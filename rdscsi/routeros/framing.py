r"""The frame around a console line, and what an answer inside it proves. Pure; `console` sends and raises.

The exit status of an SSH command tells nothing on RouterOS, so every line is framed with a fresh random nonce `n`:

    :put "<n>B"; :onerror ze in={ BODY } do={ :put ("<n>E" . [:tostr $ze]) }; :put "<n>D"

What is proven, when the answer is complete (the console closed the session itself):

- no B, and RouterOS's words of refusal: the first statement did not run, so nothing did. Parse errors are found before
  anything runs, and a failing statement ends its line (RouterOS 7.21.5).
- B and D, no E: every statement of the body ran to its end.
- B, E and D: the body stopped at a run-time error; what stood before it has had its effect.
- B and no D: the line stopped in a way that `:onerror` does not see (`:quit`, an error text that cannot be printed, a
  reboot, a bad name that only showed itself while running). How far it came is unknown.
- none of these: unknown.

D is the last thing that a line prints: where it is seen, the answer in front of it is whole even if the connection
died after it. Only whole lines count as markers; a nonce anywhere else means that the answer was mangled.
"""

import re
from dataclasses import dataclass

MAX_LINE_BYTES = 4095
"""Longest framed line. How much the console takes over SSH exec is not known; below 4,096 until hardware says."""

_NONCE = re.compile(r"[a-z0-9]{8,64}")
_BODY = re.compile(r"[\x20-\x7e]+")
_POSITION = re.compile(r"\(line 1 column (\d+)\)")

# What RouterOS says when a line is refused before its first statement. Both spellings of unknown arguments occur
# (7.21.5: "expected end of command", 7.23: "bad parameter"); the position is not always there.
_REFUSALS = re.compile(
    r"(script error: )?"
    r"(expected .+|syntax error|bad command name .+|bad parameter .+|unknown parameter .+|missing value\(s\) of .+"
    r"|input does not match .+|invalid value .+|value of .+ expects .+|not enough permissions.*"
    r"|max line length \d+ exceeded!?)"
    r"( \(.*\))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One body in its frame. Raises ValueError for what must not be sent: see `line`."""

    body: str
    nonce: str

    def __post_init__(self) -> None:
        if not _NONCE.fullmatch(self.nonce):
            raise ValueError(f"a nonce is 8 to 64 lower-case letters and digits, not {self.nonce!r}")
        if not _BODY.fullmatch(self.body):
            raise ValueError("a console line is one line of printable ASCII, and not empty")
        if self.nonce in self.body:
            raise ValueError("the body holds the nonce that is to mark its end")
        if len(self.line) > MAX_LINE_BYTES:
            raise ValueError(f"the framed line has {len(self.line)} bytes, more than {MAX_LINE_BYTES}")

    @property
    def line(self) -> str:
        """The line as it is sent."""
        return f'{self._head}{self.body} }} do={{ :put ("{self.nonce}E" . [:tostr $ze]) }}; :put "{self.nonce}D"'

    @property
    def _head(self) -> str:
        return f':put "{self.nonce}B"; :onerror ze in={{ '

    def read(self, answer: str) -> "Finding":
        """Say what the answer proves, taking it for all that was printed."""
        lines = answer.split("\n")
        begin, end = f"{self.nonce}B", f"{self.nonce}D"
        if any(self.nonce in line and not self._is_marker(line) for line in lines):
            return Unclear("a marker stands inside another text", answer)
        if lines.count(begin) > 1 or lines.count(end) > 1:
            return Unclear("a marker came twice", answer)
        if begin not in lines:
            return self._without_begin(lines, answer)
        inside = lines[lines.index(begin) + 1 :]
        if end not in inside:
            return Unclear("the line began and did not come to its end", answer)
        return self._whole(inside[: inside.index(end)], answer)

    def _is_marker(self, line: str) -> bool:
        return line in (f"{self.nonce}B", f"{self.nonce}D") or (
            line.startswith(f"{self.nonce}E") and line.count(self.nonce) == 1
        )

    def _without_begin(self, lines: list[str], answer: str) -> "Finding":
        if any(self.nonce in line for line in lines):
            return Unclear("the line ended without having begun", answer)
        words = [line.strip() for line in lines if line.strip()]
        if not words:
            return Unclear("the console printed nothing", answer)
        if not _REFUSALS.fullmatch(words[-1]):
            return Unclear("the console did not start the line", answer)
        return NothingRan(words[-1], self._column(words[-1]))

    def _column(self, text: str) -> int | None:
        match = _POSITION.search(text)
        return int(match[1]) - len(self._head) if match else None

    def _whole(self, inside: list[str], answer: str) -> "Finding":
        errors = [index for index, line in enumerate(inside) if line.startswith(f"{self.nonce}E")]
        if not errors:
            return Ran(tuple(inside))
        if len(errors) > 1:
            return Unclear("a marker came twice", answer)
        text = "\n".join(inside[errors[0] :]).removeprefix(f"{self.nonce}E").strip()
        return Stopped(tuple(inside[: errors[0]]), text)


@dataclass(frozen=True, slots=True)
class Ran:
    """Every statement ran to its end, and printed these lines."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A statement failed with this text. The ones before it ran, and printed these lines; the ones after did not."""

    lines: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class NothingRan:
    """The line was refused as a whole. `column` counts from 1 in the body; outside of it, the frame is at fault."""

    text: str
    column: int | None


@dataclass(frozen=True, slots=True)
class Unclear:
    """How much ran cannot be told from what was printed."""

    reason: str
    answer: str


Finding = Ran | Stopped | NothingRan | Unclear


NONCE_LENGTH = 16
MAX_BODY_BYTES = MAX_LINE_BYTES - (len(Frame("-", "n" * NONCE_LENGTH).line) - 1)
"""Longest body that fits its frame, with a nonce of NONCE_LENGTH."""

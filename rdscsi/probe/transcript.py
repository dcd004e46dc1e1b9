"""The record of a probe: what was sent, what came back, and nothing that should not leave the house.

Serial numbers and secrets are replaced by as many X, wherever they stand, so that columns keep their widths.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FORMAT = "rdscsi-transcript-1"
SIMULATED = "(simulated)"
_HIDDEN = r"serial|serial-number|software-id|identity|nvme-tcp-server-password|nvme-tcp-server-secret|nvme-tcp-secret"
_JSON_SECRET = re.compile(rf'"(?:{_HIDDEN})":"([^"]+)"')
_DETAIL_SECRET = re.compile(rf'\b(?:{_HIDDEN})="([^"]+)"')
_MAC = re.compile(r"\b(?:[0-9A-F]{2}:){5}[0-9A-F]{2}\b", re.IGNORECASE)
_KEY = re.compile(r"(ssh-(?:rsa|ed25519) )[A-Za-z0-9+/=]{20,}")
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line and its answer, as text with LF line ends and blanks at line ends kept. `status` None: none came."""

    step: str
    line: str
    output: str
    stderr: str = ""
    status: int | None = 0
    seconds: float = 0.0
    settles: str = ""
    trouble: str = ""

    @property
    def lines(self) -> list[str]:
        """What was printed, without blanks at line ends."""
        return [line.rstrip() for line in self.output.splitlines()]


@dataclass(frozen=True, slots=True)
class Transcript:
    """All exchanges of one run, in order."""

    routeros: str
    board: str
    made_by: str
    when: str
    exchanges: tuple[Exchange, ...]

    @property
    def simulated(self) -> bool:
        """Whether it was the simulated RDS that answered."""
        return SIMULATED in self.board

    def find(self, step: str) -> Exchange | None:
        """The exchange of a step; None when the run did not come to it."""
        return next((exchange for exchange in self.exchanges if exchange.step == step), None)


def without_secrets(exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """The exchanges with serial numbers, secrets, MAC addresses and keys made unreadable, the same everywhere."""
    kept = tuple(exchanges)
    texts = [text for exchange in kept for text in (exchange.output, exchange.line, exchange.stderr)]
    secrets: set[str] = set()
    for text in texts:
        secrets.update(_JSON_SECRET.findall(text), _DETAIL_SECRET.findall(text), _MAC.findall(text))
    ordered = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)
    return tuple(
        replace(
            exchange,
            output=_hidden(exchange.output, ordered),
            line=_hidden(exchange.line, ordered),
            stderr=_hidden(exchange.stderr, ordered),
        )
        for exchange in kept
    )


def _hidden(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "X" * len(secret))
    return _KEY.sub(lambda match: match[1] + "X" * (len(match[0]) - len(match[1])), text)


def save(transcript: Transcript, path: Path) -> None:
    """Write it as JSON, replacing what was there only when it is whole."""
    body = {"format": FORMAT, "simulated": transcript.simulated, **asdict(transcript)}
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(body, indent=1, ensure_ascii=True) + "\n", encoding="ascii")
    fresh.replace(path)


def load(path: Path) -> Transcript:
    """Read it back. Raises ValueError with the reason for anything that is no transcript, OSError as reading does."""
    body = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ValueError(f"{path}: no transcript of the form {FORMAT}")
    try:
        exchanges = tuple(Exchange(**row) for row in body["exchanges"])
        return Transcript(body["routeros"], body["board"], body["made_by"], body["when"], exchanges)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error

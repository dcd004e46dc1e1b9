"""What stops a line: parse errors, run-time errors, and the two signals (`:return`, `:quit`) that are not errors."""

from rdscsi.simulator.console.values import Value


class ParseError(Exception):
    """The line does not parse; nothing of it runs. Line and column are 1-based, the column counts bytes."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"{reason} (line {line} column {column})")
        self.reason = reason
        self.line = line
        self.column = column


class ConsoleError(Exception):
    """A run-time error: stops the line unless `:onerror` or `on-error=` is around it."""

    def __init__(self, message: str, *, origin: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.origin = origin  # `/disk/add; line 1`, filled in where the command is known


class ReturnSignal(Exception):
    """`:return`: leaves the function, the `[…]` or the line."""

    def __init__(self, value: Value) -> None:
        super().__init__("return")
        self.value = value


class BreakSignal(Exception):
    """`:break`: leaves the innermost loop."""


class ContinueSignal(Exception):
    """`:continue`: next turn of the innermost loop."""


class QuitSignal(Exception):
    """`:quit`: ends the session at once."""

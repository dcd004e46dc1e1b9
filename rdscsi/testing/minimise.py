"""Makes a script that fails as short as it can be: drops events, in halves and then alone, while it still fails."""

from collections.abc import Callable

from rdscsi.testing.script import Script


def minimise(script: Script, fails: Callable[[Script], bool]) -> Script:
    """Return a script none of whose events can be dropped without it passing (delta debugging, Zeller 2002)."""
    size = max(1, len(script.events) // 2)
    while True:
        shorter = _without_one_chunk(script, size, fails)
        if shorter is not None:
            script = shorter
        elif size == 1:
            return script
        else:
            size = max(1, size // 2)
        size = min(size, max(1, len(script.events)))


def _without_one_chunk(script: Script, size: int, fails: Callable[[Script], bool]) -> Script | None:
    for start in range(0, len(script.events), size):
        candidate = script.without(range(start, min(start + size, len(script.events))))
        if len(candidate.events) < len(script.events) and fails(candidate):
            return candidate
    return None

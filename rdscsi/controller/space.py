"""Space is promised once (law 14): declared sizes, creates and expansions in flight, the reserve, the overcommit."""

from collections.abc import Iterator
from contextlib import contextmanager

from rdscsi.controller.sizes import round_down
from rdscsi.errors import OutOfSpace
from rdscsi.routeros.answers import Pool


class Space:
    """The pool's figures as last seen, and what is promised beyond them. Knows no volume by itself."""

    def __init__(self, *, reserve_bytes: int, overcommit: float) -> None:
        self._reserve = reserve_bytes
        self._overcommit = overcommit
        self._pool: Pool | None = None
        self._in_flight: dict[str, int] = {}

    @property
    def pool(self) -> Pool | None:
        """The pool as last seen; None before any answer."""
        return self._pool

    def saw(self, pool: Pool | None) -> None:
        """Keep the pool's figures out of an answer that shows them."""
        if pool is not None:
            self._pool = pool

    def available(self, declared_bytes: int) -> int:
        """Bytes that a new volume could get; `declared_bytes` is the sum of all volumes' sizes. 0 before any answer.

        Two bounds: what the filesystem has free now, and what may still be promised. Files may be sparse, so that
        neither follows from the other.
        """
        if self._pool is None:
            return 0
        in_flight = sum(self._in_flight.values())
        promisable = int(self._pool.size * self._overcommit) - declared_bytes - in_flight
        return round_down(min(self._pool.free - in_flight, promisable) - self._reserve)

    @contextmanager
    def promise(self, subject: str, size: int, declared_bytes: int) -> Iterator[None]:
        """Hold `size` bytes for one subject while the body makes them real.

        Raises OutOfSpace, naming the figures, when they are not there.
        """
        available = self.available(declared_bytes)
        if size > available:
            raise OutOfSpace(
                f"{size} bytes are asked for and {available} may still be given "
                f"(reserve {self._reserve}, overcommit {self._overcommit:g})"
            )
        self._in_flight[subject] = size
        try:
            yield
        finally:
            del self._in_flight[subject]

"""Work whose end a test decides, and callers that wait for it."""

from collections.abc import Awaitable, Callable

import trio

from rdscsi.operations import Operations

DEADLINE = 60.0


class Work:
    """An operation whose end the test decides; counts how often it began and whether it was cancelled."""

    def __init__(self, result: object = "made") -> None:
        self.began = 0
        self.cancelled = False
        self.go = trio.Event()
        self._result = result

    async def __call__(self) -> object:
        self.began += 1
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.cancelled = True
            raise
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


class Caller:
    """A task that waits for an operation; what it got, and a scope to take it away."""

    def __init__(
        self, operations: Operations, subject: str, fingerprint: str, work: Callable[[], Awaitable[object]]
    ) -> None:
        self.scope = trio.CancelScope()
        self.got: object = None
        self._call = (subject, fingerprint, work)
        self._operations = operations

    async def __call__(self) -> None:
        subject, fingerprint, work = self._call
        with self.scope:
            try:
                self.got = await self._operations.run(subject, fingerprint, work)
            except Exception as error:
                self.got = error


def calling(operations: Operations, nursery: trio.Nursery, work: Work) -> Callable[[str, str], Caller]:
    def call(subject: str, fingerprint: str) -> Caller:
        caller = Caller(operations, subject, fingerprint, work)
        nursery.start_soon(caller)
        return caller

    return call

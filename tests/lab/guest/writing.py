"""A write that may hang: in a thread of its own, with what came of it."""

import os
import threading
import time
from pathlib import Path


class Writing(threading.Thread):
    """One synchronous write of a block to a disk, by its node or by an open descriptor, begun at once.

    `error` is the errno that it ended with, None after a success; `seconds` how long it took.
    """

    def __init__(self, disk: Path | int, number: int = 0) -> None:
        super().__init__(daemon=True)
        self.disk = disk
        self.block = bytes([number]) * 4096
        self.seconds = 0.0
        self.error: int | None = None
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        try:
            self._write()
        except OSError as error:
            self.error = error.errno
        self.seconds = time.monotonic() - began

    def _write(self) -> None:
        if isinstance(self.disk, int):
            os.pwrite(self.disk, self.block, 0)
            return
        descriptor = os.open(self.disk, os.O_WRONLY | os.O_SYNC)
        try:
            os.pwrite(descriptor, self.block, 0)
        finally:
            os.close(descriptor)

"""Runs asyncio code in asyncio's own loop, whatever else is loaded.

Where trio-asyncio is loaded, `asyncio.run` takes a loop of its kind, which has no threads to run console lines in.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)

"""Structured logs: one line an event, for people (`text`) or machines (`json`), on one stream.

`bound` puts `rpc`, `rpc_id`, `subject` and `operation` around a piece of work, in a context variable that child tasks
inherit: so one id leads from an RPC to the console lines behind it. Rendering is in `rdscsi.observe.lines`.
"""

import logging
import sys
import threading
from contextlib import AbstractContextManager
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor

from rdscsi.observe import lines
from rdscsi.observe.secrets import scrub

Format = Literal["text", "json"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

Log = structlog.typing.FilteringBoundLogger


def get_log() -> Log:
    """Return a log. Cheap; may be kept in a module, it follows a later `configure`."""
    return cast("Log", structlog.get_logger())


def bound(**values: object) -> AbstractContextManager[None]:
    """Add values to every event logged inside, by this task and by the tasks that it starts there."""
    return cast("AbstractContextManager[None]", structlog.contextvars.bound_contextvars(**values))


def configure(level: str = "info", format: Format = "text", stream: TextIO | None = None) -> None:
    """Set the logs up for the process: ours from `level` on, those of libraries from `warning` on.

    Raises KeyError for an unknown level. Without a stream, standard error is looked up at each line.
    """
    sink = LineSink(stream)
    render: Processor = lines.as_json if format == "json" else lines.text
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _without_secrets,
    ]
    structlog.configure(
        processors=[*chain, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,
    )
    _route_libraries(chain, render, sink)


class LineSink:
    """Writes whole lines, from any thread. A stream that is gone loses lines (counted), never work."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.lost = 0
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, line: str) -> None:
        """Write one event. Called by structlog under the name of the level."""
        stream = self._stream or sys.stderr
        with self._lock:
            try:
                stream.write(line + "\n")
                stream.flush()
            except (OSError, ValueError):  # the reader of our standard error went away, or somebody closed it
                self.lost += 1

    debug = info = warning = error = critical = msg


class _LibraryHandler(logging.Handler):
    """Gives the records of the standard library's logging the form of ours."""

    def __init__(self, formatter: logging.Formatter, sink: LineSink) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(formatter)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        self._sink.msg(self.format(record))


def _route_libraries(chain: list[Processor], render: Processor, sink: LineSink) -> None:
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _LibraryHandler)]:
        root.removeHandler(former)
    root.addHandler(_LibraryHandler(formatter, sink))
    root.setLevel(logging.WARNING)


def _without_secrets(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: scrub(value, key=key) for key, value in event.items()}

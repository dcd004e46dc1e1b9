"""The names of grpclib 0.4.9 that are not public and that `rdscsi.csi.connections` leans on, and what they do.

A new version of grpclib that breaks one of these breaks the driver: read `connections` before the pin is moved.
"""

import ast
import asyncio
import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpclib.events
import grpclib.protocol
import grpclib.server
import grpclib.utils
from grpclib.config import Configuration
from h2.config import H2Configuration
from h2.connection import H2Connection

import rdscsi.csi
from rdscsi.csi.loop import crossed, open_loop

EDGE = Path(rdscsi.csi.__path__[0])


def test_the_pin_is_exact() -> None:
    assert version("grpclib") == "0.4.9"


def test_a_stream_has_its_bytes_its_codec_and_its_type_under_these_names() -> None:
    names = inspect.signature(grpclib.server.Stream.__init__).parameters
    assert list(names)[1:6] == ["stream", "method_name", "cardinality", "recv_type", "send_type"]
    source = inspect.getsource(grpclib.server.Stream.__init__)
    for line in ("self._stream = stream", "self._codec = codec", "self._recv_type = recv_type"):
        assert line in source
    assert inspect.iscoroutinefunction(grpclib.protocol.Stream.recv_data)


def test_the_current_task_is_asked_of_trio_asyncio_whoever_was_imported_first() -> None:
    """Otherwise every call fails on Python 3.12 and later."""
    assert callable(grpclib.utils._current_task)
    program = "import asyncio, grpclib.server, grpclib.utils, rdscsi.csi.server as edge; "
    check = "assert grpclib.utils._current_task is asyncio.current_task, edge"
    subprocess.run([sys.executable, "-c", program + check], check=True)
    program = "import asyncio, sys; from rdscsi.csi.pb.csi import v1; "
    check = "assert sys.modules['grpclib.utils']._current_task is asyncio.current_task, v1"
    subprocess.run([sys.executable, "-c", program + check], check=True)


def test_an_acceptor_is_made_of_these_four_and_calls_these() -> None:
    parameters = inspect.signature(grpclib.server.Handler.__init__).parameters
    assert list(parameters) == ["self", "mapping", "codec", "status_details_codec", "dispatch"]
    assert list(inspect.signature(grpclib.server.Handler.accept).parameters) == [
        "self",
        "stream",
        "headers",
        "release_stream",
    ]
    assert callable(grpclib.events._DispatchServerEvents)


def test_a_configuration_for_servers_has_its_defaults_filled_in() -> None:
    assert Configuration().__for_server__()._keepalive_time == 7200.0


async def test_an_acceptor_keeps_the_task_of_each_stream_and_cancel_takes_it_out() -> None:
    async def ask() -> tuple[bool, bool]:
        acceptor, stream = _acceptor(), object()
        acceptor.accept(stream, [(":method", "GET")], lambda: None)
        task = acceptor._tasks[stream]
        acceptor.cancel(stream)
        await asyncio.wait([task])
        return task.cancelled(), stream in acceptor._tasks

    async with open_loop():
        assert await crossed(ask) == (True, False)


async def test_a_connection_has_its_h2_connection_and_its_processors_under_these_names() -> None:
    async def ask() -> None:
        config = H2Configuration(client_side=False)
        protocol = grpclib.protocol.H2Protocol(_acceptor(), Configuration().__for_server__(), config)
        writer = _Transport()
        protocol.connection_made(writer)
        assert isinstance(protocol.connection._connection, H2Connection)
        assert isinstance(protocol.processor.processors, dict)
        assert protocol.processor.streams == {}
        assert not protocol.connection.is_closing()
        protocol.processor.close("end")
        assert protocol.connection.is_closing()
        assert writer.closed
        protocol.processor.close("twice")

    async with open_loop():
        await crossed(ask)


def _acceptor() -> Any:
    """An acceptor that never gets as far as to need a codec or events."""
    nothing: Any = None
    return grpclib.server.Handler({}, nothing, None, nothing)


class _Transport(asyncio.Transport):
    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_private_names_of_grpclib_are_used_in_one_module_only() -> None:
    found = {
        path.name
        for path in EDGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and node.attr != "_replace"  # a public name of tuples
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    }
    assert found == {"connections.py"}

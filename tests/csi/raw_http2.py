"""An HTTP/2 client that does as it is told, frame by frame, right or wrong. Trio-flavoured; for abuse only."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame, SettingsFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROBE = "/csi.v1.Identity/Probe"
DELETE = "/csi.v1.Controller/DeleteVolume"

DATA, HEADERS, RST_STREAM, GOAWAY = 0, 1, 3, 7
END_STREAM = 1

Headers = Sequence[tuple[str | bytes, str | bytes]]


def headers(path: str, *others: tuple[str | bytes, str | bytes]) -> Headers:
    """The headers of a gRPC request."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *others,
    ]


def message(body: bytes = b"", *, flag: int = 0, size: int | None = None) -> bytes:
    """A gRPC message with its prefix; flag and size may lie."""
    return bytes([flag]) + (len(body) if size is None else size).to_bytes(4, "big") + body


@dataclass(frozen=True, slots=True)
class Received:
    """A frame from the server. `fields` are the headers of a HEADERS frame."""

    kind: int
    flags: int
    stream_id: int
    body: bytes
    fields: Mapping[str, str]

    def ends(self, stream_id: int) -> bool:
        """Whether this frame is the last of that stream."""
        ended = self.kind == RST_STREAM or (self.kind in (DATA, HEADERS) and bool(self.flags & END_STREAM))
        return ended and self.stream_id == stream_id


class Connection:
    """One connection; `received` keeps every frame from the server."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.received: list[Received] = []
        self._stream = stream
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._rest = b""

    async def send(self, *frames: Frame | bytes) -> None:
        """Send frames, or bytes as they are, in one piece."""
        await self._stream.send_all(b"".join(one if isinstance(one, bytes) else one.serialize() for one in frames))

    def request(self, stream_id: int, fields: Headers, *, end: bool = False) -> HeadersFrame:
        """A HEADERS frame."""
        frame = HeadersFrame(stream_id, self._encoder.encode(fields))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    async def wait_closed(self) -> None:
        """Receive until the server closes."""
        while await self._receive():
            pass

    async def wait_end(self, stream_id: int) -> Mapping[str, str]:
        """Receive until the stream ends; its trailers, or `{"reset": <code>}`. Fails when the server closes before."""
        while True:
            for one in self.received:
                if one.ends(stream_id):
                    return one.fields if one.kind == HEADERS else {"reset": str(int.from_bytes(one.body, "big"))}
            assert await self._receive(), "the server closed the connection"

    async def _receive(self) -> bool:
        try:
            data = await self._stream.receive_some()
        except trio.BrokenResourceError:  # it closed without reading what was still on its way
            return False
        self._rest += data
        while len(self._rest) >= 9 and len(self._rest) >= 9 + int.from_bytes(self._rest[:3], "big"):
            self._take(9 + int.from_bytes(self._rest[:3], "big"))
        return bool(data)

    def _take(self, size: int) -> None:
        head, body, self._rest = self._rest[:9], self._rest[9:size], self._rest[size:]
        decoded = self._decoder.decode(body) if head[3] == HEADERS else []
        fields = {_text(name): _text(value) for name, value in decoded}
        self.received.append(Received(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, body, fields))


def data(stream_id: int, body: bytes, *, end: bool = True) -> DataFrame:
    """A DATA frame."""
    frame = DataFrame(stream_id, body)
    if end:
        frame.flags.add("END_STREAM")
    return frame


def reset(stream_id: int, code: int = 8) -> RstStreamFrame:
    """A RST_STREAM frame; code 8 is CANCEL."""
    return RstStreamFrame(stream_id, code)


def frame(kind: int, flags: int, stream_id: int, body: bytes) -> bytes:
    """A frame of any type."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + body


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


@asynccontextmanager
async def open_raw(path: Path, *, preface: bool = True) -> AsyncIterator[Connection]:
    """Connect; with the preface and SETTINGS sent unless told otherwise."""
    stream = await trio.open_unix_socket(path)
    async with stream:
        connection = Connection(stream)
        if preface:
            await connection.send(PREFACE, SettingsFrame(0))
        yield connection

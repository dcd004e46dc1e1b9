"""Whatever a peer sends ends its own connection at most: after each abuse a normal call works, nothing stays behind."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import grpc
import pytest
import trio
from csi_edge import Edge, open_client, open_edge
from hyperframe.frame import Frame
from raw_http2 import DELETE, PREFACE, PROBE, Connection, data, frame, headers, message, open_raw, reset

from rdscsi.csi.pb.csi import v1 as pb

LARGE = 64 << 20
PATIENCE = 20.0
"""Seconds; what takes longer hangs."""


@asynccontextmanager
async def open_victim(tmp_path: Path, **settings: int) -> AsyncIterator[Edge]:
    """A server that is abused in the body, and then must serve as ever, with nothing left of what happened."""
    with trio.fail_after(PATIENCE):
        async with open_edge(tmp_path / "csi.sock", **settings) as edge:
            yield edge
            async with open_client(edge.server.endpoint) as client:
                assert await client.well()
            await wait_quiet(edge)


async def wait_quiet(edge: Edge) -> None:
    """Wait until no call and no connection is left. The server learns of a closed socket a little later than we."""
    while edge.server.statistics().calls or edge.server.statistics().connections:
        await trio.sleep(0.001)


async def probe(connection: Connection, stream_id: int) -> None:
    """Make a normal call on a raw connection."""
    await connection.send(connection.request(stream_id, headers(PROBE)), data(stream_id, message()))
    assert (await connection.wait_end(stream_id))["grpc-status"] == "0"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 64,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes.fromhex("1603010200010001fc0303") + b"\x7f" * 200,
        PREFACE[:-1] + b"x",
        PREFACE + frame(1, 4, 0, b"headers on no stream"),
        PREFACE + frame(4, 0, 0, b"settings of odd length"),
        PREFACE + frame(0, 1, 1, b"data on an idle stream"),
        PREFACE + frame(8, 0, 0, b"\0\0\0\0"),
        PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, b"\xff\xff\xff\xff"),
        PREFACE + frame(4, 0, 0, b"") + frame(9, 4, 1, b"a continuation of nothing"),
        PREFACE + (1 << 24).to_bytes(4, "big") + b"\0\0\0\0\0",
    ],
    ids=lambda garbage: repr(garbage[-12:]),
)
async def test_garbage_ends_its_connection_and_no_more(garbage: bytes, tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as bystander:
        async with open_raw(edge.path, preface=False) as connection:
            await connection.send(garbage)
            await connection.wait_closed()
        await probe(bystander, 1)


async def test_a_peer_that_says_nothing_harms_nobody(tmp_path: Path) -> None:
    async with (
        open_victim(tmp_path) as edge,
        open_raw(edge.path, preface=False),
        open_client(edge.server.endpoint) as client,
    ):
        assert await client.well()


async def test_frames_of_unknown_types_are_ignored(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(frame(0xBE, 0xFF, 0, b"grease"), frame(0xEF, 0, 1, b""), frame(0x0A, 0, 0, b"\0\0h2"))
        await probe(connection, 1)


@pytest.mark.parametrize("header", [("x-name", b"caf\xc3\xa9"), (b"x-\xff", "value"), (":path", b"/csi.v1.\xe9")])
async def test_a_header_that_is_not_ascii_ends_its_connection_and_no_more(
    header: tuple[str | bytes, str | bytes], tmp_path: Path
) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as bystander:
        async with open_raw(edge.path) as connection:
            await connection.send(connection.request(1, headers(PROBE, header)))
            await connection.wait_closed()
        await probe(bystander, 1)


async def test_500_streams_that_are_opened_and_reset_at_once_leave_nothing(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        for number in range(1, 1001, 2):
            await connection.send(connection.request(number, headers(PROBE)), reset(number))
        await probe(connection, 1001)
        protocol = next(iter(edge.server._connections._open))
        assert protocol.processor.streams == {}


async def test_calls_that_are_reset_while_they_run_are_cancelled_and_forgotten(tmp_path: Path) -> None:
    ended = 0

    async def work() -> None:
        nonlocal ended
        try:
            await trio.sleep_forever()
        finally:
            ended += 1

    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        edge.controller.work = work
        body = message(bytes(pb.DeleteVolumeRequest(volume_id="v")))
        for number in range(1, 401, 2):
            await connection.send(connection.request(number, headers(DELETE)), data(number, body))
            if number % 100 == 99:
                while len(edge.controller.asked) < (number + 1) // 2:
                    await trio.sleep(0.001)
                await connection.send(*(reset(one) for one in range(number - 98, number + 1, 2)))
        await probe(connection, 401)
        while ended < 200:
            await trio.sleep(0.001)


async def test_a_stream_that_is_reset_twice_is_reset_once(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(connection.request(1, headers(PROBE)), reset(1), reset(1))
        await probe(connection, 3)


async def test_more_streams_at_once_than_are_allowed_end_the_connection(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(*(connection.request(number, headers(PROBE)) for number in range(1, 301, 2)))
        await connection.wait_closed()


async def test_300_connections_are_served_and_their_descriptors_given_back(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge:
        before = len(os.listdir("/proc/self/fd"))
        async with trio.open_nursery() as nursery:
            served: list[int] = []
            all_served = trio.Event()

            async def visit(number: int) -> None:
                async with open_raw(edge.path) as connection:
                    await probe(connection, 1)
                    served.append(number)
                    if len(served) == 300:
                        assert edge.server.statistics().connections == 300
                        all_served.set()
                    await all_served.wait()

            for number in range(300):
                nursery.start_soon(visit, number)
        await wait_quiet(edge)
        while len(os.listdir("/proc/self/fd")) > before:  # C core of other tests closes its own in its own time
            await trio.sleep(0.001)


async def test_a_message_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with open_victim(tmp_path, max_receive_bytes=1 << 16) as edge, open_raw(edge.path) as connection:
        announced = message(b"", size=(1 << 16) + 1)
        await connection.send(connection.request(1, headers(DELETE)), data(1, announced, end=False))
        assert (await connection.wait_end(1))["grpc-status"] == "8"
        await probe(connection, 3)
        assert edge.controller.asked == []


async def test_a_message_of_the_limit_is_taken(tmp_path: Path) -> None:
    request = pb.DeleteVolumeRequest(volume_id="v", secrets={"key": ""})
    request.secrets["key"] = "x" * ((1 << 16) - len(bytes(request)) - 4)
    assert len(bytes(request)) == 1 << 16
    async with open_victim(tmp_path, max_receive_bytes=1 << 16) as edge:
        async with open_client(edge.server.endpoint) as client:
            await client.call(request, pb.DeleteVolumeResponse)
        assert edge.controller.asked == [("delete", "v")]


async def test_64_mib_are_refused_to_a_client_that_does_not_know_better(tmp_path: Path) -> None:
    request = bytes(pb.DeleteVolumeRequest(volume_id="v", secrets={"key": "x" * LARGE}))
    async with open_victim(tmp_path) as edge, open_client(edge.server.endpoint) as client:
        refusal = await client.refusal(request, path=DELETE)
        assert refusal.code == "RESOURCE_EXHAUSTED"
        assert await client.well()
        assert edge.controller.asked == []


async def test_64_mib_are_taken_where_that_is_allowed(tmp_path: Path) -> None:
    request = pb.DeleteVolumeRequest(volume_id="v", secrets={"key": "x" * LARGE})
    async with open_victim(tmp_path, max_receive_bytes=2 * LARGE) as edge:
        async with open_client(edge.server.endpoint) as client:
            await client.call(request, pb.DeleteVolumeResponse)
        assert edge.controller.asked == [("delete", "v")]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", "12", "without a message"),
        (b"\0\0", "3", "cut off"),
        (message(b"", size=5), "3", "cut off"),
        (message(b"abc", size=5), "3", "cut off"),
        (message(b"\x0a\x05ab"), "3", "malformed"),
        (message(b"\xff\xff\xff"), "3", "malformed"),
        (message(bytes(pb.DeleteVolumeRequest(volume_id="v")), flag=1), "12", "compressed"),
        (message(b"", flag=7), "12", "compressed"),
    ],
)
async def test_a_call_without_a_whole_message_is_refused(body: bytes, status: str, words: str, tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(connection.request(1, headers(DELETE)), data(1, body))
        answer = await connection.wait_end(1)
        assert answer["grpc-status"] == status
        assert words in answer["grpc-message"]
        await probe(connection, 3)
        assert edge.controller.asked == []


async def test_a_call_that_ends_with_its_headers_is_refused(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(connection.request(1, headers(DELETE), end=True))
        assert (await connection.wait_end(1))["grpc-status"] == "12"


async def test_a_client_that_compresses_is_told_so(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_client(edge.server.endpoint) as client:
        method = client.channel.unary_unary(DELETE, request_serializer=bytes)
        request = pb.DeleteVolumeRequest(volume_id="v" * 1000)
        future = method.future(request, timeout=PATIENCE, compression=grpc.Compression.Gzip)
        error = await trio.to_thread.run_sync(future.exception)
        assert error.code().name == "UNIMPLEMENTED"
        assert "compressed" in error.details()


@pytest.mark.parametrize("leave_out", [":method", ":path"])
async def test_a_request_without_method_or_path_is_reset(leave_out: str, tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        fields = [one for one in headers(PROBE) if one[0] != leave_out]
        await connection.send(connection.request(1, fields))
        assert await connection.wait_end(1) == {"reset": "1"}
        await connection.send(connection.request(3, fields), reset(3))
        await probe(connection, 5)


@pytest.mark.parametrize("value", ["!!!", "a", "====", "abcde", ""])
async def test_binary_metadata_is_nobodys_concern(value: str, tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(connection.request(1, headers(PROBE, ("x-trace-bin", value))), data(1, message()))
        assert (await connection.wait_end(1))["grpc-status"] == "0"


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        (":method", "GET", {":status": "405"}),
        ("content-type", "text/plain", {":status": "415"}),
        ("content-type", "application/grpc+json", {":status": "415"}),
        ("te", "gzip", {":status": "400"}),
        (":path", "/csi.v1.Identity/Nothing", {":status": "200", "grpc-status": "12"}),
        (":path", "", {":status": "200", "grpc-status": "12"}),
        ("grpc-timeout", "soon", {":status": "200", "grpc-status": "2"}),
    ],
)
async def test_a_request_that_is_not_grpcs_is_answered(
    name: str, value: str, answer: dict[str, str], tmp_path: Path
) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        fields = dict(headers(PROBE)) | {name: value}
        await connection.send(connection.request(1, list(fields.items()), end=True))
        got = await connection.wait_end(1)
        assert {key: got[key] for key in answer} == answer


@pytest.mark.parametrize("authority", ["", "localhost", "%2Fcsi%2Fcsi.sock", "/csi/csi.sock"])
async def test_any_authority_will_do_for_clients_of_unix_sockets_have_strange_ones(
    authority: str, tmp_path: Path
) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        fields = list((dict(headers(PROBE)) | {":authority": authority}).items())
        await connection.send(connection.request(1, fields), data(1, message()))
        assert (await connection.wait_end(1))["grpc-status"] == "0"


@pytest.mark.parametrize("timeout", ["1n", "0S", "999u"])
async def test_a_deadline_that_has_passed_is_not_a_final_answer(timeout: str, tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        edge.controller.work = trio.sleep_forever
        body = message(bytes(pb.DeleteVolumeRequest(volume_id="v")))
        fields = headers(DELETE, ("grpc-timeout", timeout))
        await connection.send(connection.request(1, fields), data(1, body))
        assert (await connection.wait_end(1))["grpc-status"] == "4"


async def test_an_endless_deadline_is_a_deadline(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        await connection.send(connection.request(1, headers(PROBE, ("grpc-timeout", "99999999H"))), data(1, message()))
        assert (await connection.wait_end(1))["grpc-status"] == "0"


async def test_floods_of_pings_and_settings_are_answered(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        for _ in range(100):
            await connection.send(*[frame(6, 0, 0, b"12345678")] * 20, *[frame(4, 0, 0, b"")] * 20)
        await probe(connection, 1)


async def test_a_peer_that_says_goodbye_in_a_call_ends_its_calls_only(tmp_path: Path) -> None:
    async with open_victim(tmp_path) as edge, open_raw(edge.path) as connection:
        edge.controller.work = trio.sleep_forever
        body = message(bytes(pb.DeleteVolumeRequest(volume_id="v")))
        await connection.send(connection.request(1, headers(DELETE)), data(1, body), frame(7, 0, 0, b"\0" * 8))
        await connection.wait_closed()


@pytest.mark.parametrize("seed", range(40))
async def test_frames_at_random_end_their_connection_at_most(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    async with open_victim(tmp_path) as edge:
        for _ in range(5):
            async with open_raw(edge.path) as connection:
                try:
                    for number in range(1, 40, 2):
                        await connection.send(*(_any_frame(connection, number, random) for _ in range(3)))
                except trio.BrokenResourceError:
                    continue


def _any_frame(connection: Connection, number: int, random: Random) -> Frame | bytes:
    stream_id = random.choice([number, number, number, max(1, number - 2), random.randrange(1, 60)])
    kinds: list[Callable[[], Frame | bytes]] = [
        lambda: connection.request(number, headers(random.choice([PROBE, DELETE, "/x"])), end=random.random() < 0.2),
        lambda: data(stream_id, message(random.randbytes(random.randrange(20))), end=random.random() < 0.5),
        lambda: data(stream_id, random.randbytes(random.randrange(20)), end=random.random() < 0.5),
        lambda: reset(stream_id, random.randrange(20)),
        lambda: frame(random.randrange(11, 256), random.randrange(256), stream_id, random.randbytes(9)),
        lambda: frame(6, 0, 0, random.randbytes(8)),
        lambda: frame(random.randrange(10), random.randrange(256), stream_id, random.randbytes(random.randrange(30))),
    ]
    return random.choices(kinds, weights=[6, 6, 2, 2, 1, 1, 1])[0]()

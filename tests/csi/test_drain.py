"""How serving ends: politely, by force, and both at the same time."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from csi_edge import Edge, ended, open_client, open_edge, settings
from csi_fakes import FakeController
from csi_logs import captured
from raw_http2 import DELETE, GOAWAY, PROBE, Connection, data, frame, headers, message, open_raw

from rdscsi.csi import connections
from rdscsi.csi.codec import StrictCodec
from rdscsi.csi.drain import InFlight
from rdscsi.csi.loop import crossed, open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.schema import schema
from rdscsi.csi.server import open_server

CHANGES = pb.DeleteVolumeRequest(volume_id="rds/v1")


class Held:
    """Work that goes on until it is let go, and says when it began."""

    def __init__(self) -> None:
        self.began = trio.Event()
        self.let_go = trio.Event()
        self.cut_short = False

    async def __call__(self) -> None:
        self.began.set()
        try:
            await self.let_go.wait()
        except trio.Cancelled:
            self.cut_short = True
            raise


async def test_draining_refuses_new_calls_at_once_and_lets_running_ones_finish(tmp_path: Path) -> None:
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            held = edge.controller.work = Held()
            running = client.begin(CHANGES, reply=pb.DeleteVolumeResponse.parse)
            await held.began.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(edge.server.drain, 60)
                while not edge.server.statistics().draining:
                    await trio.sleep(0)
                assert (await client.refusal(pb.ProbeRequest())).code == "UNAVAILABLE"
                assert (await client.refusal(CHANGES)).code == "UNAVAILABLE"
                async with open_client(edge.server.endpoint) as newcomer:
                    assert (await newcomer.refusal(CHANGES)).code == "UNAVAILABLE"
                held.let_go.set()
            assert await trio.to_thread.run_sync(running.result) == pb.DeleteVolumeResponse()
            assert edge.server.statistics().connections == edge.server.statistics().calls == 0
            assert len(edge.controller.asked) == 1
    (line,) = [one for one in logged.records("edge.drained") if one["calls"]]
    assert (line["calls"], line["cut_short"]) == (1, 0)


async def test_what_runs_after_the_grace_period_is_cut_short_and_answered(tmp_path: Path) -> None:
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            held = edge.controller.work = Held()
            running = client.begin(CHANGES)
            await held.began.wait()
            await edge.server.drain(0.05)
            assert (await ended(running)).code == "UNAVAILABLE"
            assert held.cut_short
    (line,) = [one for one in logged.records("edge.drained") if one["calls"]]
    assert (line["calls"], line["cut_short"]) == (1, 1)


async def test_leaving_without_a_drain_cuts_calls_short_too(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_client(f"unix://{tmp_path / 'csi.sock'}") as client:
            async with open_edge(tmp_path / "csi.sock") as edge:
                held = edge.controller.work = Held()
                running = client.begin(CHANGES)
                await held.began.wait()
            assert held.cut_short
            refusal = await ended(running)
    assert refusal.code == "UNAVAILABLE"
    assert "process is ending" in refusal.details


async def test_cancelling_the_drain_and_the_body_ends_all_at_once(tmp_path: Path) -> None:
    with trio.fail_after(20):
        with trio.CancelScope() as scope:
            async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
                held = edge.controller.work = Held()
                running = client.begin(CHANGES)
                await held.began.wait()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(edge.server.drain, 1000)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
        assert held.cut_short
        assert (await ended(running)).code in ("UNAVAILABLE", "CANCELLED")
    assert not (tmp_path / "csi.sock").exists()


async def test_every_peer_gets_a_goaway_that_names_the_last_call_taken(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as one, open_raw(edge.path) as other:
            for number in (1, 3):
                await one.send(one.request(number, headers(PROBE)), data(number, message()))
                await one.wait_end(number)
            await other.send(other.request(1, headers(PROBE)), data(1, message()))
            await other.wait_end(1)
            await edge.server.drain(0)
            await one.wait_closed()
            await other.wait_closed()
    for connection, last in ((one, 3), (other, 1)):
        (goaway,) = [frame for frame in connection.received if frame.kind == GOAWAY]
        assert goaway.body[:8] == last.to_bytes(4, "big") + (0).to_bytes(4, "big")


async def test_the_answer_of_a_call_that_just_finished_comes_before_the_goaway(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as connection:
            held = edge.controller.work = Held()
            await connection.send(connection.request(1, headers(DELETE)), data(1, message(bytes(CHANGES))))
            await held.began.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(edge.server.drain, 60)
                await trio.testing.wait_all_tasks_blocked()
                held.let_go.set()
            assert (await connection.wait_end(1))["grpc-status"] == "0"
            await connection.wait_closed()
    assert connection.received[-1].kind == GOAWAY


@pytest.mark.parametrize("ticks", range(12))
async def test_a_peer_on_its_way_in_is_shut_out_too(ticks: int, tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as connection:
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            await edge.server.drain(0)
            await connection.wait_closed()


class Transport(asyncio.Transport):
    """A connection that is accepted and not yet made."""

    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


async def test_a_connection_that_is_made_after_the_end_is_closed_at_once() -> None:
    async def ask() -> bool:
        late, every = Transport(), connections.Connections({}, StrictCodec(schema()), InFlight())
        await every.close()
        every._connection().connection_made(late)
        return late.closed

    async with open_loop():
        assert await crossed(ask)


async def fill(edge: Edge, connection: Connection) -> None:
    """Ping without reading the answers until the server reads no more."""
    pings = [frame(6, 0, 0, b"12345678")] * 100
    transport = None
    while transport is None or transport.is_reading():
        await connection.send(*pings)
        transport = next((one._transport for one in edge.server._connections._open), None)


async def test_a_peer_that_reads_again_is_answered_again(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as connection:
            await fill(edge, connection)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.send, connection.request(1, headers(PROBE)), data(1, message()))
                assert (await connection.wait_end(1))["grpc-status"] == "0"


async def test_a_peer_that_does_not_read_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_CLOSE_SECONDS", 0.05)
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as connection:
            await fill(edge, connection)
            await edge.server.drain(0)
            assert edge.server.statistics().connections == 0
    assert logged.records("edge.connections_stay", connections=1)


async def test_draining_twice_is_draining(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge:
        await edge.server.drain(1)
        await edge.server.drain(1)


async def test_a_client_that_comes_back_finds_the_next_process(tmp_path: Path) -> None:
    async with open_client(f"unix://{tmp_path / 'csi.sock'}") as client:
        for _ in range(3):
            async with open_edge(tmp_path / "csi.sock") as edge:
                error = await trio.to_thread.run_sync(client.begin(pb.ProbeRequest()).exception)
                if error is not None:  # sent on the former connection, whose end had not come through yet
                    assert error.code().name == "UNAVAILABLE"
                    assert await client.well()
                await edge.server.drain(1)


SERVE = """
import signal, sys, trio
from pathlib import Path
from rdscsi.config import Endpoint, ProcessSettings
from rdscsi.csi.loop import crossed, open_loop
from rdscsi.csi.server import open_server
from rdscsi.observe import logs

async def main():
    logs.configure()
    async with open_loop():
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            settings = ProcessSettings(cluster_id="x", endpoint=Endpoint(path=Path(sys.argv[1])))
            async with open_server(settings) as server:
                print("ready", flush=True)
                async for _ in signals:
                    await server.drain(10)
                    break
trio.run(main)
"""


async def test_a_process_with_connected_clients_ends_with_status_0(tmp_path: Path) -> None:
    """`asyncio.Server.wait_closed` hangs in this situation since Python 3.12."""
    path = tmp_path / "csi.sock"
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        with trio.fail_after(30):
            assert await trio.to_thread.run_sync(process.stdout.readline) == b"ready\n"
            async with open_client(f"unix://{path}") as client, open_raw(path), open_raw(path, preface=False):
                assert await client.well()
                os.kill(process.pid, signal.SIGTERM)
                assert await trio.to_thread.run_sync(process.wait) == 0
        assert not path.exists()
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


# --- the counting alone, in virtual time


async def test_nothing_to_wait_for_takes_no_time(autojump_clock: trio.testing.MockClock) -> None:
    assert await InFlight().drain(1000) == 0
    assert trio.current_time() == pytest.approx(0, abs=1e-6)


async def test_the_grace_period_is_kept_to_the_second(autojump_clock: trio.testing.MockClock) -> None:
    calls = InFlight()
    cut_at: list[float] = []

    async def call(seconds: float) -> None:
        calls.began()
        with calls.cuttable():
            await trio.sleep(seconds)
            cut_at.append(-1)
        cut_at.append(trio.current_time())
        calls.ended()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, 3)
        nursery.start_soon(call, 50)
        await trio.testing.wait_all_tasks_blocked()
        assert await calls.drain(10) == 1
    assert cut_at == [-1, 3, 10]


async def test_a_call_that_does_not_even_end_then_is_not_waited_for_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    calls = InFlight()
    calls.began()
    assert await calls.drain(10) == 1
    assert trio.current_time() == pytest.approx(15)


async def test_a_call_that_was_let_in_before_and_starts_its_work_after_the_cut_is_cut_as_well(
    autojump_clock: trio.testing.MockClock,
) -> None:
    calls = InFlight()
    calls.began()
    await calls.drain(0)
    with calls.cuttable():
        await trio.sleep_forever()
    calls.ended()
    assert calls.calls == 0


async def test_a_call_that_ended_before_does_not_count(autojump_clock: trio.testing.MockClock) -> None:
    calls = InFlight()
    calls.began()
    calls.ended()
    calls.began()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.drain, 100)
        await trio.sleep(7)
        calls.ended()
    assert trio.current_time() == pytest.approx(7)


async def test_two_who_drain_both_see_the_end(autojump_clock: trio.testing.MockClock) -> None:
    calls = InFlight()
    calls.began()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(calls.drain, 100)
        nursery.start_soon(calls.drain, 100)
        await trio.sleep(1)
        calls.ended()
    assert trio.current_time() == pytest.approx(1)


async def test_one_loop_serves_again_after_a_server_has_ended(tmp_path: Path) -> None:
    async with open_loop() as errors:
        for _ in range(2):
            async with (
                open_server(settings(tmp_path / "csi.sock"), controller=FakeController()) as server,
                open_client(server.endpoint) as client,
            ):
                assert await client.well()
    assert errors.count == 0

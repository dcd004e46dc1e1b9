"""SSH for real: lines, losses, cancellation, and an appliance that is away."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from ssh_rig import ADD, HELLO, PATIENCE, QUICK, Rig, connected, serving

from rdscsi.errors import DeviceUnavailable
from rdscsi.routeros import ssh
from rdscsi.routeros.console import Console, RunTimeRefused
from rdscsi.routeros.pool import PING_LINE
from rdscsi.routeros.transport import AnswerLost
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour
from rdscsi.simulator.faults import Fault
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture(autouse=True)
def logbook() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance(tmp_path / "appliance") as made:
        yield made


@pytest.fixture
async def rig(appliance: Appliance, tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(appliance, tmp_path) as made:
        yield made


class TestALine:
    async def test_it_gets_its_answer_and_the_connection_is_used_again(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            for _ in range(3):
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert (pool.statistics().connects, pool.statistics().commands) == (1, 3)
        assert rig.ran == [HELLO] * 3

    async def test_nothing_connects_before_the_first_line(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            assert pool.statistics().connects == 0

    async def test_several_run_side_by_side_over_a_connection_each(self, rig: Rig) -> None:
        rig.simulator.faults.add(Fault("hold", seconds=PATIENCE), nth=1)
        async with connected(rig) as pool, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: pool.run(HELLO, deadline=PATIENCE))
            while not any(rule.holds for rule in rig.simulator.faults):
                await trio.sleep(0.005)
            assert await pool.run(":put 2", deadline=PATIENCE) == "2\n"
            rig.simulator.faults.release_all()
        assert pool.statistics().connects == 2

    @pytest.mark.parametrize("status", [0, 1, 255])
    async def test_the_exit_status_tells_nothing(self, tmp_path: Path, status: int) -> None:
        options = ApplianceOptions(behaviour=Behaviour(exit_status=status))
        with Appliance(tmp_path / "appliance", options) as appliance:
            async with serving(appliance, tmp_path) as rig, connected(rig) as pool:
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_a_console_over_it_tells_errors_from_success(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            console = Console(pool)
            assert (await console.execute(HELLO, deadline=PATIENCE)).lines == ("hello",)
            with pytest.raises(RunTimeRefused, match="mine"):
                await console.execute(':put 1; :error "mine"', deadline=PATIENCE)
            await console.ping(deadline=PATIENCE)

    async def test_a_long_answer_comes_whole_and_a_longer_one_is_cut_off(self, rig: Rig) -> None:
        body = ':for i from=1 to=300 do={:put "' + "x" * 100 + '"}'
        async with connected(rig, output_limit=40_000) as pool:
            assert await pool.run(body, deadline=PATIENCE) == ("x" * 100 + "\n") * 300
        async with connected(rig, output_limit=20_000) as pool:
            with pytest.raises(AnswerLost, match="longer than 20000 bytes"):
                await pool.run(body, deadline=PATIENCE)
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"


class TestALoss:
    @pytest.mark.parametrize(
        ("kind", "runs"), [("drop-before", False), ("drop-after", True), ("truncate", True), ("reboot", True)]
    )
    async def test_a_line_that_left_has_an_unknown_outcome_and_is_not_sent_again(
        self, rig: Rig, kind: Any, runs: bool
    ) -> None:
        rig.simulator.faults.add(Fault(kind), contains="/disk/add", times=1)
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            with pytest.raises(AnswerLost) as caught:
                await pool.run(f"{ADD}; :put done", deadline=PATIENCE)
            assert "don".startswith(caught.value.partial)
            assert bool(caught.value.partial) == (kind == "truncate")
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert pool.statistics().reconnects == 1
        assert [line for line in rig.ran if "/disk/add" in line] == [f"{ADD}; :put done"] * runs

    async def test_silence_ends_at_the_deadline_and_ends_the_connection(self, rig: Rig) -> None:
        rig.simulator.faults.add("stall", contains="hello", times=1)
        async with connected(rig) as pool:
            await pool.run(":put 1", deadline=PATIENCE)
            with pytest.raises(AnswerLost, match="no complete answer within 1 s"):
                await pool.run(HELLO, deadline=1.0)
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_garbage_comes_as_it_is(self, rig: Rig) -> None:
        rig.simulator.faults.add(Fault("garbage", text="\x1b[0mbanner\r\n"), times=1)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "\x1b[0mbanner\nhello\n"

    async def test_connections_that_are_cut_while_idle_cost_nothing(self, rig: Rig, logbook: Logbook) -> None:
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
        assert rig.ran == [HELLO] * 2

    async def test_a_connection_that_went_silent_is_found_by_a_ping(self, rig: Rig) -> None:
        rig.simulator.faults.add("stall", contains="pong", times=1)
        patience = replace(QUICK, ping_after=0.0, ping_deadline=1.0)
        async with connected(rig, pool=patience) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            await pool.run(":put 2", deadline=PATIENCE)
            assert pool.statistics().connects == 2
            await pool.run(":put 3", deadline=PATIENCE)
        assert [line for line in rig.ran if line != PING_LINE] == [HELLO, ":put 2", ":put 3"]
        assert PING_LINE in rig.ran


class TestTheAppliancesAway:
    async def test_lines_wait_until_it_is_back(self, rig: Rig) -> None:
        rig.simulator.faults.refuse_connections = True
        async with connected(rig) as pool, trio.open_nursery() as nursery:

            async def send() -> None:
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

            nursery.start_soon(send)
            while pool.statistics().failures < 3:
                await trio.sleep(0.005)
            rig.simulator.faults.refuse_connections = False
        assert rig.ran == [HELLO]

    async def test_a_closed_port_is_told_and_nothing_was_sent(self, rig: Rig) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(DeviceUnavailable, match=f"cannot connect to 127.0.0.1:{port}: "):
            await ssh._Door(replace(rig.settings, port=port)).connect()

    async def test_a_port_that_never_speaks_is_given_up(self, rig: Rig) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            patience = replace(QUICK, connect_deadline=0.1)
            async with connected(rig, port=mute.getsockname()[1], pool=patience) as pool:
                with pytest.raises(DeviceUnavailable, match=r"no connection within 0\.1 s|Login timeout"):
                    await pool.run(HELLO, deadline=2.0)

    async def test_a_port_that_speaks_something_else_is_told(self, rig: Rig) -> None:
        async def chatter(stream: trio.SocketStream) -> None:
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, chatter, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(DeviceUnavailable, match=r"cannot connect to 127\.0\.0\.1"):
                await ssh._Door(replace(rig.settings, port=port)).connect()
            nursery.cancel_scope.cancel()

    async def test_a_name_that_nobody_has_is_told(self, rig: Rig) -> None:
        with pytest.raises(DeviceUnavailable, match="cannot connect to no-such-host"):
            await ssh._Door(replace(rig.settings, host="no-such-host.invalid")).connect()


class TestCancellation:
    async def test_at_any_moment_it_leaves_nothing_on_either_side(self, rig: Rig) -> None:
        """Cut off at each step of a line's way: connecting, opening the channel, waiting, being done."""
        outcomes = set()
        async with connected(rig, pool=replace(QUICK, connections=1)) as pool:
            for steps in [*range(40), *range(40, 400, 15)]:
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_cancel_after, steps, scope)
                        await pool.run(HELLO, deadline=PATIENCE)
                        nursery.cancel_scope.cancel()
                outcomes.add(scope.cancelled_caught)
            assert True in outcomes
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert pool.statistics().connections == 1
            server = rig.simulator._thread.server
            assert server is not None
            with trio.fail_after(PATIENCE):
                while server.connections != 1:
                    await trio.sleep(0.005)

    async def test_while_the_appliance_runs_the_line_it_ends_the_connection(self, rig: Rig) -> None:
        rule = rig.simulator.faults.add(Fault("hold", seconds=PATIENCE), contains="hello", times=1)
        async with connected(rig) as pool:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_when, lambda: bool(rule.holds), scope)
                    await pool.run(HELLO, deadline=PATIENCE)
            assert scope.cancelled_caught
            assert pool.statistics().connections == 0
            rule.release()
            await rig.wait_deserted()
            assert await pool.run(":put 2", deadline=PATIENCE) == "2\n"
        assert rig.ran.count(HELLO) == 1


async def _cancel_when(condition: Callable[[], bool], scope: trio.CancelScope) -> None:
    while not condition():
        await trio.sleep(0.005)
    scope.cancel()


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()

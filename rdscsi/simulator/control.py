"""The strings of a running simulator, over a socket in its state directory: one JSON object a line, one answer each.

`{"do": "add", "kind": "drop-after", "contains": "/disk/set", "times": 1}` is answered by `{"rule": 3}`, what is wrong
by `{"error": …}`. The command line of it is `fault_command`; programs in the same process need none of this.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, get_args

from rdscsi.simulator.faults import KINDS, Fault, Faults, Kind, Rule
from rdscsi.simulator.latency import Latency, parse_latency
from rdscsi.simulator.meddling import ACTS, Act, Operator
from rdscsi.simulator.server import SshServer

SOCKET = "control.sock"
_SECONDS = 30.0
_LONGEST = 1 << 20
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Answer = dict[str, Json]


class BadRequest(Exception):
    """What was asked for makes no sense; the text is for the one who asked."""


class Controls:
    """What can be asked for, over one server."""

    def __init__(self, server: SshServer, *, seed: int = 0) -> None:
        self._server = server
        self._sessions = server.sessions
        self._operator = Operator(server.sessions.appliance, seed=seed)
        self._seed = seed
        self._commands: dict[str, Callable[[Mapping[str, Json]], Awaitable[Answer]]] = {
            "add": self._add,
            "list": self._list,
            "drop": self._drop,
            "clear": self._clear,
            "release": self._release,
            "reboot": self._reboot,
            "pool": self._pool,
            "meddle": self._meddle,
            "latency": self._latency,
            "connections": self._connections,
            "host-key": self._host_key,
            "run": self._run,
        }

    @property
    def _faults(self) -> Faults:
        return self._sessions.faults

    async def answer(self, request: Mapping[str, Json]) -> Answer:
        """Do what is asked for. Raises BadRequest."""
        command = self._commands.get(str(request.get("do", "")))
        if command is None:
            raise BadRequest(f"do must be one of {', '.join(sorted(self._commands))}")
        return await command(request)

    async def _add(self, request: Mapping[str, Json]) -> Answer:
        fault = Fault(
            kind=_kind(request),
            seconds=_number(request, "seconds", 0.0),
            text=_text(request, "text"),
            mutation=int(_number(request, "mutation", 1)),
            after=int(_number(request, "after", 0)) if "after" in request else None,
            path=_text(request, "path"),
        )
        rule = self._faults.add(
            fault,
            contains=_text(request, "contains"),
            nth=int(_number(request, "nth", 0)) or None,
            times=int(_number(request, "times", 0)) or None,
            chance=_number(request, "chance", 1.0),
        )
        return {"rule": rule.number}

    async def _list(self, _request: Mapping[str, Json]) -> Answer:
        faults = self._faults
        return {
            "rules": [_described(rule) for rule in faults],
            "refuse": faults.refuse_connections,
            "mute": faults.mute_connections,
            "banner": faults.banner.decode("latin-1"),
            "connections": self._server.connections,
            "pending": self._sessions.pending,
        }

    async def _drop(self, request: Mapping[str, Json]) -> Answer:
        number = int(_number(request, "rule", 0))
        rule = self._faults.find(number)
        if rule is None:
            raise BadRequest(f"no rule {number}")
        self._faults.drop(rule)
        return {"rule": number}

    async def _clear(self, _request: Mapping[str, Json]) -> Answer:
        count = len(list(self._faults))
        self._faults.clear()
        return {"dropped": count}

    async def _release(self, _request: Mapping[str, Json]) -> Answer:
        return {"released": sum(rule.release() for rule in self._faults)}

    async def _reboot(self, request: Mapping[str, Json]) -> Answer:
        """In a thread: a line that runs may hold the appliance."""
        lose = request.get("orderly") is not True
        lost = await asyncio.to_thread(lambda: self._sessions.appliance.reboot(lose_unflushed=lose))
        return {"lost": lost}

    async def _pool(self, request: Mapping[str, Json]) -> Answer:
        def change() -> None:
            self._sessions.appliance.change_pool(
                mounted=_flag(request, "mounted"),
                read_only=_flag(request, "read-only"),
                state=_text(request, "state") if "state" in request else None,
            )

        await asyncio.to_thread(change)
        pool = self._sessions.appliance.storage.pool
        return {"mounted": pool.mounted, "read-only": pool.read_only, "state": pool.state}

    async def _meddle(self, request: Mapping[str, Json]) -> Answer:
        act = str(request.get("act", ""))
        if act and act not in ACTS:
            raise BadRequest(f"act must be one of {', '.join(ACTS)}")
        slot, text = _text(request, "slot"), _text(request, "text") if "text" in request else None
        if act:
            chosen: Act = next(known for known in get_args(Act) if known == act)
            line = await asyncio.to_thread(lambda: self._operator.act(chosen, slot, text))
        else:
            line = await asyncio.to_thread(self._operator.act_at_random)
        return {"line": line}

    async def _latency(self, request: Mapping[str, Json]) -> Answer:
        try:
            profile = parse_latency(_text(request, "profile"))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        self._server.latency = Latency(profile, seed=self._seed)
        return {"low": profile.low, "high": profile.high}

    async def _connections(self, request: Mapping[str, Json]) -> Answer:
        """Refuse, mute or greet new connections; cut those that are there."""
        faults = self._faults
        faults.refuse_connections = _flag(request, "refuse") or False
        faults.mute_connections = _flag(request, "mute") or False
        faults.banner = _text(request, "banner").encode("latin-1", errors="replace")
        if request.get("cut") is True:
            self._server.disconnect_all()
        return {"refuse": faults.refuse_connections, "mute": faults.mute_connections}

    async def _host_key(self, request: Mapping[str, Json]) -> Answer:
        await self._server.change_host_key(_text(request, "type"))
        return {"fingerprint": self._server.fingerprint}

    async def _run(self, request: Mapping[str, Json]) -> Answer:
        """A console line past SSH and faults, as an operator at the appliance would type it."""
        line = _text(request, "line")
        return {"output": await asyncio.to_thread(lambda: self._sessions.appliance.run(line, user="operator"))}


def _kind(request: Mapping[str, Json]) -> Kind:
    kind = request.get("kind")
    found = next((known for known in get_args(Kind) if known == kind), None)
    if found is None:
        raise BadRequest(f"kind must be one of {', '.join(KINDS)}")
    return found  # type: ignore[no-any-return]  # get_args knows no types


def _text(request: Mapping[str, Json], name: str) -> str:
    value = request.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a text")
    return value


def _number(request: Mapping[str, Json], name: str, default: float) -> float:
    value = request.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{name} must be a number")
    return value


def _flag(request: Mapping[str, Json], name: str) -> bool | None:
    value = request.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false")
    return value


def _described(rule: Rule) -> Json:
    fault = rule.fault
    fields: dict[str, Json] = {
        "rule": rule.number,
        "kind": fault.kind,
        "contains": rule.contains if isinstance(rule.contains, str) else "(a predicate)",
        "nth": rule.nth,
        "times": rule.times,
        "chance": rule.chance,
        "seconds": fault.seconds,
        "text": fault.text,
        "path": fault.path,
        "seen": rule.seen,
        "struck": rule.struck,
        "held": sum(not hold.go_on.is_set() for hold in rule.holds),
    }
    return {name: value for name, value in fields.items() if value not in (None, "", 0.0) or name in ("seen", "struck")}


class ControlServer:
    """Listens on the socket of a state directory while its block runs."""

    def __init__(self, controls: Controls, state_dir: Path) -> None:
        self._controls = controls
        self._state_dir = state_dir
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> ControlServer:
        with _short_path(self._state_dir) as path:
            path.unlink(missing_ok=True)  # left by one that was killed; the state directory's lock says it is gone
            self._server = await asyncio.start_unix_server(self._serve, path=str(path), limit=_LONGEST)
            path.chmod(0o600)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        (self._state_dir / SOCKET).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            return
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except ValueError:
            return {"error": "not JSON"}
        if not isinstance(request, dict):
            return {"error": "not a JSON object"}
        try:
            return await self._controls.answer(request)
        except (BadRequest, ValueError) as error:
            return {"error": str(error)}


def ask(state_dir: Path, request: Mapping[str, Json]) -> Answer:
    """Ask a running simulator. Raises BadRequest for its refusals, OSError when none runs there."""
    with _short_path(state_dir) as path, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(str(path))
        client.sendall(json.dumps(dict(request)).encode() + b"\n")
        with client.makefile("rb") as stream:
            answer: Answer = json.loads(stream.readline(_LONGEST) or b"{}")
    if "error" in answer:
        raise BadRequest(str(answer["error"]))
    return answer


@contextlib.contextmanager
def _short_path(state_dir: Path) -> Iterator[Path]:
    """The socket's path in a form that fits the kernel's 108 bytes, however deep the directory lies."""
    descriptor = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}/{SOCKET}")
    finally:
        os.close(descriptor)

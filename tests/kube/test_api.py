"""The API server over real sockets: a small server that answers what it is told to."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import h11
import pytest
import trio

from rdscsi.errors import ClusterUnavailable, SettingsInvalid
from rdscsi.kube import ApiServer, in_cluster
from rdscsi.kube.api import Conflict, Refused


@asynccontextmanager
async def serving(tmp_path: Path, raw: bytes, seen: list[h11.Request]) -> AsyncIterator[ApiServer]:
    """Answer every request with these bytes; an empty answer never comes."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")

    async def answer(stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                seen.append(event)
            elif event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some())
        if not raw:
            await trio.sleep_forever()
        await stream.send_all(raw)
        await stream.aclose()

    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, [listener])
        yield ApiServer("127.0.0.1", listener.socket.getsockname()[1], token, None, deadline=5)
        nursery.cancel_scope.cancel()


def response(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


async def test_an_object_is_read_with_the_token_of_the_moment(tmp_path: Path) -> None:
    seen: list[h11.Request] = []
    async with serving(tmp_path, response(200, json.dumps({"kind": "Node"}).encode()), seen) as api:
        assert await api.get("api", "v1", "nodes", "a/b") == {"kind": "Node"}
        api.token.write_text("n3w")
        await api.get("api", "v1", "nodes", "a")
    assert [request.target for request in seen] == [b"/api/v1/nodes/a%2Fb", b"/api/v1/nodes/a"]
    assert [dict(request.headers)[b"authorization"] for request in seen] == [b"Bearer s3cret", b"Bearer n3w"]


async def test_a_query_is_part_of_the_target(tmp_path: Path) -> None:
    seen: list[h11.Request] = []
    async with serving(tmp_path, response(200, b"{}"), seen) as api:
        await api.get("api", "v1", "pods", query={"fieldSelector": "metadata.name=a b", "limit": "5"})
    assert [request.target for request in seen] == [b"/api/v1/pods?fieldSelector=metadata.name%3Da+b&limit=5"]


async def test_a_patch_is_told_to_be_a_merge_patch(tmp_path: Path) -> None:
    seen: list[h11.Request] = []
    async with serving(tmp_path, response(200, b"{}"), seen) as api:
        await api.patch("api", "v1", "nodes", "a", body={"metadata": {}})
    assert [(request.method, request.target) for request in seen] == [(b"PATCH", b"/api/v1/nodes/a")]
    assert dict(seen[0].headers)[b"content-type"] == b"application/merge-patch+json"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (403, Refused),
        (409, Conflict),
        (422, Refused),
        (429, ClusterUnavailable),
        (503, ClusterUnavailable),
    ],
)
async def test_a_no_is_told_from_no_answer(tmp_path: Path, status: int, kind: type[ClusterUnavailable]) -> None:
    async with serving(tmp_path, response(status, b"{}"), []) as api:
        with pytest.raises(ClusterUnavailable) as caught:
            await api.patch("api", "v1", "nodes", "a", body={})
    assert type(caught.value) is kind


async def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    async with serving(tmp_path, response(404, b"{}"), []) as api:
        assert await api.get("api", "v1", "nodes", "a") is None


@pytest.mark.parametrize(
    "raw",
    [
        response(403, b'{"message": "forbidden"}'),
        response(503, b""),
        response(200, b"<html>"),
        response(200, b"[]"),
        b"HTTP/1.1 200 x\r\ncontent-length: 50\r\n\r\n{",
        b"nonsense\r\n\r\n",
    ],
)
async def test_whatever_else_it_answers_tells_nothing(tmp_path: Path, raw: bytes) -> None:
    async with serving(tmp_path, raw, []) as api:
        with pytest.raises(ClusterUnavailable, match="GET /api/v1/nodes/a"):
            await api.get("api", "v1", "nodes", "a")


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async with serving(tmp_path, b"", []) as api:
        with pytest.raises(ClusterUnavailable, match="no answer in time"):
            await replace(api, deadline=0.05).get("api", "v1", "nodes", "a")


async def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    with pytest.raises(ClusterUnavailable):
        await ApiServer("127.0.0.1", 9, tmp_path / "token", None).get("api")


def test_a_pod_finds_its_api_server(tmp_path: Path) -> None:
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    found = in_cluster("x", {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}, tmp_path)
    assert (found.host, found.port, found.token) == ("10.0.0.1", 6443, tmp_path / "token")


def test_outside_of_a_pod_the_mistake_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="node-evidence=kubernetes: KUBERNETES_SERVICE_HOST") as caught:
        in_cluster("node-evidence=kubernetes", {}, tmp_path)
    assert len(caught.value.mistakes) == 3

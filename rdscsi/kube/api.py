"""One request at a time to the API server, over HTTP/1.1 and TLS, with the token of the pod's service account.

The token is read anew for each request: kubelet replaces it before it expires (Kubernetes, "Bound service account
tokens"). What the answers mean is in the modules beside this one.
"""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import h11
import trio

from rdscsi.errors import ClusterUnavailable, SettingsInvalid

DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEADLINE = 5.0
MOST_BYTES = 4 << 20
_READ_BYTES = 65536


class Refused(ClusterUnavailable):
    """The API server is there and says no to this very request (a status from 400 on); nothing was changed for it."""


class Conflict(Refused):
    """Somebody else has created or changed the object meanwhile; nothing was changed for this request."""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is. `authorities` is the PEM file that its certificate is checked with; None: plain HTTP."""

    host: str
    port: int
    token: Path
    authorities: Path | None
    deadline: float = DEADLINE

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
        """Return the object at a path, given in parts; None when there is none.

        Raises ClusterUnavailable when that cannot be told: no answer in time, or another status than 200 and 404.
        """
        asked = f"?{urlencode(query)}" if query else ""
        return await self._asked("GET", _target(path) + asked, b"")

    async def create(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Create an object in the collection at a path; return it as it is now.

        Raises Conflict when there is one of that name, and ClusterUnavailable for all else, also when nobody knows
        whether it was created.
        """
        return await self._written("POST", _target(path), body)

    async def replace(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Replace the object at a path by one with the `resourceVersion` that was read; return it as it is now.

        Raises Conflict when it was changed or deleted since, and ClusterUnavailable as `create`.
        """
        return await self._written("PUT", _target(path), body)

    async def patch(self, *path: str, body: Mapping[str, object]) -> Mapping[str, object] | None:
        """Merge a patch (RFC 7396) into the object at a path; return it as it is now, None when there is none.

        Raises Conflict when the patch names a `resourceVersion` that is not the latest, Refused when it names a `uid`
        that is not the object's (422) or somebody denies it, and ClusterUnavailable as `create`.
        """
        return await self._asked("PATCH", _target(path), json.dumps(body).encode(), "application/merge-patch+json")

    async def _written(self, method: str, target: str, body: Mapping[str, object]) -> Mapping[str, object]:
        written = await self._asked(method, target, json.dumps(body).encode())
        if written is None:
            raise ClusterUnavailable(f"{method} {target} to {self.host}:{self.port}: status 404")
        return written

    async def _asked(
        self, method: str, target: str, body: bytes, content_type: str = "application/json"
    ) -> Mapping[str, object] | None:
        told = f"{method} {target} to {self.host}:{self.port}"
        try:
            with trio.fail_after(self.deadline):
                status, answer = await self._exchange(method, target, body, content_type)
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError, trio.TooSlowError) as error:
            raise ClusterUnavailable(f"{told}: {str(error) or 'no answer in time'}") from error
        if status == 404:
            return None
        if status == 409:
            raise Conflict(f"{told}: {answer[:200]!r}")
        if 400 <= status < 500 and status != 429:  # 429: it has too much to do, whatever it is asked
            raise Refused(f"{told}: status {status}: {answer[:200]!r}")
        if status not in (200, 201):
            raise ClusterUnavailable(f"{told}: status {status}: {answer[:200]!r}")
        return _object(target, answer)

    async def _exchange(self, method: str, target: str, body: bytes, content_type: str) -> tuple[int, bytes]:
        headers = [
            ("host", f"{self.host}:{self.port}"),
            ("accept", "application/json"),
            ("authorization", f"Bearer {await trio.Path(self.token).read_text()}".strip()),
            ("connection", "close"),
        ]
        if body:
            headers += [("content-type", content_type), ("content-length", str(len(body)))]
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method=method, target=target, headers=headers)
        head = connection.send(request)
        stream = await self._connected()
        try:
            content = connection.send(h11.Data(data=body)) if body else b""
            await stream.send_all(head + content + connection.send(h11.EndOfMessage()))
            return await _answer(stream, connection)
        finally:
            await trio.aclose_forcefully(stream)

    async def _connected(self) -> trio.abc.Stream:
        if self.authorities is None:
            return await trio.open_tcp_stream(self.host, self.port)
        context = ssl.create_default_context(cafile=str(self.authorities))
        return await trio.open_ssl_over_tcp_stream(self.host, self.port, ssl_context=context, https_compatible=True)


def _target(path: tuple[str, ...]) -> str:
    return "/" + "/".join(quote(part, safe="") for part in path)


async def _answer(stream: trio.abc.Stream, connection: h11.Connection) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(_READ_BYTES)))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MOST_BYTES:
                raise h11.RemoteProtocolError(f"more than {MOST_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)


def _object(target: str, body: bytes) -> Mapping[str, object]:
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise ClusterUnavailable(f"GET {target}: the answer is not JSON: {body[:100]!r}") from error
    if not isinstance(parsed, dict):
        raise ClusterUnavailable(f"GET {target}: the answer is no object: {body[:100]!r}")
    return parsed


def in_cluster(wanted: str, environment: Mapping[str, str] = os.environ, directory: Path = DIRECTORY) -> ApiServer:
    """Return the API server as a pod finds it (Kubernetes, "Accessing the Kubernetes API from a Pod").

    Raises SettingsInvalid, naming the setting that `wanted` one, outside of a pod, or in one without a token.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    token, authorities = directory / "token", directory / "ca.crt"
    mistakes = [] if host else ["KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster"]
    mistakes += [
        f"{file}: not there; automountServiceAccountToken?" for file in (token, authorities) if not file.exists()
    ]
    if mistakes:
        raise SettingsInvalid([f"{wanted}: {mistake}" for mistake in mistakes])
    return ApiServer(host, int(port), token, authorities)

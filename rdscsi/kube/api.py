"""One GET at a time from the API server, over HTTP/1.1 and TLS, with the token of the pod's service account.

The token is read anew for each request: kubelet replaces it before it expires (Kubernetes, "Bound service account
tokens"). What the answers mean is in the modules beside this one.
"""

import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import h11
import trio

from rdscsi.errors import ClusterUnavailable, SettingsInvalid

DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEADLINE = 5.0
MOST_BYTES = 4 << 20
_READ_BYTES = 65536


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is. `authorities` is the PEM file that its certificate is checked with; None: plain HTTP."""

    host: str
    port: int
    token: Path
    authorities: Path | None
    deadline: float = DEADLINE

    async def get(self, *path: str) -> Mapping[str, object] | None:
        """Return the object at a path, given in parts; None when there is none.

        Raises ClusterUnavailable when that cannot be told: no answer in time, or another status than 200 and 404.
        """
        target = "/" + "/".join(quote(part, safe="") for part in path)
        try:
            with trio.fail_after(self.deadline):
                status, body = await self._exchange(target)
        except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError, trio.TooSlowError) as error:
            raise ClusterUnavailable(
                f"GET {target} from {self.host}:{self.port}: {str(error) or 'no answer in time'}"
            ) from error
        if status == 404:
            return None
        if status != 200:
            raise ClusterUnavailable(f"GET {target} from {self.host}:{self.port}: status {status}: {body[:200]!r}")
        return _object(target, body)

    async def _exchange(self, target: str) -> tuple[int, bytes]:
        headers = [
            ("host", f"{self.host}:{self.port}"),
            ("accept", "application/json"),
            ("authorization", f"Bearer {await trio.Path(self.token).read_text()}".strip()),
            ("connection", "close"),
        ]
        connection = h11.Connection(h11.CLIENT)
        request = h11.Request(method="GET", target=target, headers=headers)
        stream = await self._connected()
        try:
            await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
            return await _answer(stream, connection)
        finally:
            await trio.aclose_forcefully(stream)

    async def _connected(self) -> trio.abc.Stream:
        if self.authorities is None:
            return await trio.open_tcp_stream(self.host, self.port)
        context = ssl.create_default_context(cafile=str(self.authorities))
        return await trio.open_ssl_over_tcp_stream(self.host, self.port, ssl_context=context, https_compatible=True)


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


def in_cluster(environment: Mapping[str, str] = os.environ, directory: Path = DIRECTORY) -> ApiServer:
    """Return the API server as a pod finds it (Kubernetes, "Accessing the Kubernetes API from a Pod").

    Raises SettingsInvalid outside of a pod, or in one without a service account's token.
    """
    host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
    token, authorities = directory / "token", directory / "ca.crt"
    mistakes = [] if host else ["KUBERNETES_SERVICE_HOST is not set: this is no pod of a cluster"]
    mistakes += [
        f"{file}: not there; automountServiceAccountToken?" for file in (token, authorities) if not file.exists()
    ]
    if mistakes:
        raise SettingsInvalid([f"node-evidence=kubernetes: {mistake}" for mistake in mistakes])
    return ApiServer(host, int(port), token, authorities)

"""What the election and the look for claims rely on, of a real API server and of the one that the tests have in memory.

The real one (etcd and kube-apiserver, as `make e2e` builds them) is started where RDSCSI_KUBE_PROGRAMS names their
directory:

    RDSCSI_KUBE_PROGRAMS=~/.cache/rdscsi/e2e/programs-… make unit ARGS=tests/kube/test_lease_contract.py
"""

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from rdscsi import names
from rdscsi.errors import ClusterUnavailable
from rdscsi.kube import ApiServer, Claims, Lease
from rdscsi.kube.api import Conflict
from rdscsi.kube.lists import PAGE
from rdscsi.model import Claim, Standing
from rdscsi.testing.leases import LeaseClient, LeaseServer

PROGRAMS = os.environ.get("RDSCSI_KUBE_PROGRAMS", "")
REAL = pytest.param("real", marks=pytest.mark.skipif(not PROGRAMS, reason="RDSCSI_KUBE_PROGRAMS names no programs"))
START_SECONDS = 90.0
LEASES = ("apis", "coordination.k8s.io", "v1", "namespaces", "default", "leases")


@contextlib.contextmanager
def _running(log: Path, *argv: str) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in taken]


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server of its own, with an etcd of its own; whoever has the token may do everything."""
    home = tmp_path_factory.mktemp("apiserver")
    client, peer, port = _free_ports(3)
    token = secrets.token_hex(16)
    (home / "tokens.csv").write_text(f'{token},tester,tester,"system:masters"\n')
    (home / "token").write_text(token)
    subprocess.run(["openssl", "genrsa", "-out", str(home / "sa.key"), "2048"], check=True, capture_output=True)
    etcd = f"http://127.0.0.1:{client}"
    store = [f"--data-dir={home}/etcd", f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"]
    store += [f"--listen-peer-urls=http://127.0.0.1:{peer}", "--unsafe-no-fsync"]
    server = [f"--etcd-servers={etcd}", "--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={home}"]
    server += [f"--token-auth-file={home}/tokens.csv", "--service-account-issuer=https://test.invalid"]
    server += [f"--service-account-key-file={home}/sa.key", f"--service-account-signing-key-file={home}/sa.key"]
    server += ["--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24"]
    with (
        _running(home / "etcd.log", f"{PROGRAMS}/etcd", *store),
        _running(home / "server.log", f"{PROGRAMS}/kube-apiserver", *server),
    ):
        yield ApiServer("127.0.0.1", port, home / "token", home / "apiserver.crt", deadline=10.0)


async def _ready(api: ApiServer) -> ApiServer:
    """Wait until it answers, and has the namespace that it makes after its start."""
    with trio.fail_after(START_SECONDS):
        while True:
            with contextlib.suppress(ClusterUnavailable, OSError):
                if await api.get("api", "v1", "namespaces", "default") is not None:
                    return api
            await trio.sleep(0.2)


@asynccontextmanager
async def _api(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    yield await _ready(request.getfixturevalue("real_server")) if kind == "real" else LeaseClient(LeaseServer())


def _lease(name: str, **spec: object) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"leaseDurationSeconds": 30, "renewTime": "2026-11-25T03:00:00.000000Z", **spec},
    }


@pytest.mark.parametrize("kind", ["fake", REAL])
async def test_writes_are_conditional(kind: str, request: pytest.FixtureRequest) -> None:
    async with _api(kind, request) as api:
        name = f"writes-{secrets.token_hex(4)}"
        assert await api.get(*LEASES, name) is None
        made = await api.create(*LEASES, body=_lease(name, holderIdentity="one"))
        assert (await api.get(*LEASES, name)) == made
        with pytest.raises(Conflict):
            await api.create(*LEASES, body=_lease(name, holderIdentity="two"))
        changed = {**made, "spec": {**made["spec"], "holderIdentity": "two"}}
        after = await api.replace(*LEASES, name, body=changed)
        assert after["spec"]["holderIdentity"] == "two"
        assert after["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
        with pytest.raises(Conflict):
            await api.replace(*LEASES, name, body={**changed, "spec": {**made["spec"], "holderIdentity": "three"}})
        assert (await api.get(*LEASES, name)) == after


@pytest.mark.parametrize("kind", ["fake", REAL])
async def test_a_write_without_a_version_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    async with _api(kind, request) as api:
        name = f"bare-{secrets.token_hex(4)}"
        await api.create(*LEASES, body=_lease(name))
        with pytest.raises(ClusterUnavailable, match="resourceVersion"):
            await api.replace(*LEASES, name, body=_lease(name, holderIdentity="two"))


@pytest.mark.parametrize("kind", ["fake", REAL])
async def test_what_was_deleted_meanwhile_is_not_replaced(kind: str, request: pytest.FixtureRequest) -> None:
    async with _api(kind, request) as api:
        gone = _lease(f"gone-{secrets.token_hex(4)}", holderIdentity="one")
        gone["metadata"] |= {"resourceVersion": "5", "uid": "7f2c0a55-3b1e-4f0a-9f0e-0123456789ab"}
        with pytest.raises(Conflict):
            await api.replace(*LEASES, gone["metadata"]["name"], body=gone)
        assert await api.get(*LEASES, gone["metadata"]["name"]) is None


@pytest.mark.parametrize("kind", ["fake", REAL])
async def test_the_lease_goes_from_one_to_the_other(kind: str, request: pytest.FixtureRequest) -> None:
    async with _api(kind, request) as api:
        name = f"goes-{secrets.token_hex(4)}"
        one, two = (Lease(api, "default", name, identity) for identity in ("one", "two"))
        assert await one.confirm() == 0
        assert await one.confirm() == 0
        await two._tried()
        assert (one.held, two.held) == (True, False)
        assert "held by one" in two.told
        await one.release()
        assert not one.held
        assert await two.confirm() == 1
        await two.release()
        found = await api.get(*LEASES, name)
        assert "holderIdentity" not in found["spec"]
        assert await one.confirm() == 2


@pytest.mark.skipif(not PROGRAMS, reason="RDSCSI_KUBE_PROGRAMS names no programs")
async def test_claims_and_volumes_are_found_on_every_page(real_server: ApiServer) -> None:
    api = await _ready(real_server)
    claims, volume_id = Claims(api), "rds/vwrs4eg-73erkkta3ehsf5z2537pywbx"
    claim = Claim("default", "data")
    assert await claims.standing(volume_id, "pvc-x", claim) is Standing.NOBODY
    assert await claims.standing(volume_id, "pvc-x", Claim("no-such-namespace", "data")) is Standing.NOBODY
    async with trio.open_nursery() as nursery:
        for number in range(PAGE + 5):
            nursery.start_soon(_create_volume, api, f"other-{number:03}", f"rds/another-{number}")
    assert await claims.standing(volume_id, "pvc-x", claim) is Standing.NOBODY
    await _create_volume(api, "zz-the-last", volume_id)
    assert await claims.standing(volume_id, "pvc-x", claim) is Standing.VOLUME
    resources = {"requests": {"storage": "1Gi"}}
    made = await api.create(
        *("api", "v1", "namespaces", "default", "persistentvolumeclaims"),
        body={
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, "storageClassName": "none"},
        },
    )
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    assert await claims.standing(volume_id, f"pvc-{metadata['uid']}", claim) is Standing.CLAIM
    assert await claims.standing(volume_id, "pvc-00000000-0000-0000-0000-000000000000", claim) is Standing.VOLUME


async def _create_volume(api: ApiServer, name: str, handle: str) -> None:
    source = {"driver": names.DRIVER_NAME, "volumeHandle": handle}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "csi": source}
    await api.create("api", "v1", "persistentvolumes", body={"metadata": {"name": name}, "spec": spec})


@pytest.mark.skipif(not PROGRAMS, reason="RDSCSI_KUBE_PROGRAMS names no programs")
async def test_a_patch_merges_annotations_into_that_very_object(real_server: ApiServer) -> None:
    api = await _ready(real_server)
    name = f"patched-{secrets.token_hex(4)}"
    assert await api.patch(*LEASES, name, body={"metadata": {"annotations": {"a": "1"}}}) is None
    made = await api.create(*LEASES, body=_lease(name, holderIdentity="one"))
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    for told in ({"a": "1"}, {"b": "2"}):
        await api.patch(*LEASES, name, body={"metadata": {"annotations": told}})
    found = await api.get(*LEASES, name)
    assert found is not None
    assert found["spec"] == made["spec"]
    assert isinstance(found["metadata"], dict)
    assert found["metadata"]["annotations"] == {"a": "1", "b": "2"}
    former = {"resourceVersion": metadata["resourceVersion"], "annotations": {"a": "2"}}
    with pytest.raises(Conflict):
        await api.patch(*LEASES, name, body={"metadata": former})
    assert await api.get(*LEASES, name) == found


@pytest.mark.skipif(not PROGRAMS, reason="RDSCSI_KUBE_PROGRAMS names no programs")
async def test_a_token_that_is_not_known_proves_nothing(real_server: ApiServer, tmp_path: Path) -> None:
    await _ready(real_server)
    (tmp_path / "token").write_text("wrong")
    stranger = ApiServer(real_server.host, real_server.port, tmp_path / "token", real_server.authorities)
    with pytest.raises(ClusterUnavailable, match="401"):
        await Claims(stranger).standing("rds/x", "pvc-x", Claim("default", "data"))
    with pytest.raises(ClusterUnavailable, match="401"):
        await Lease(stranger, "default", "a", "b").confirm()

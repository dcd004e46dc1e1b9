"""A filesystem that was shut down, a real XFS on a loop device: told, taken off its pods, staged anew. Needs root."""

import hashlib
import os
from pathlib import Path

import pytest
import trio
from real_bench import SIZE, Bench

from rdscsi.errors import NotPermittedNow
from rdscsi.model import MIB

pytestmark = pytest.mark.root


async def test_an_xfs_that_was_shut_down_is_told_and_staged_anew_when_its_pods_have_left(bench: Bench) -> None:
    world, node = bench.world, bench.node
    volume = world.volume(size_bytes=SIZE, fs_type="xfs")
    request, pod, staging = world.stage_request(volume), world.path("pod"), world.path("pvc-1-staged")
    await node.stage(request)
    await node.publish(world.publish_request(volume))
    content = os.urandom(MIB)
    (Path(pod) / "data").write_bytes(content)
    await bench.run("sync", "-f", pod)
    assert (await node.volume_health(volume.volume_id)).problems == ()
    await bench.run("xfs_io", "-x", "-c", "shutdown", staging)
    problems = (await node.volume_health(volume.volume_id)).problems
    assert [one.reason for one in problems] == ["FilesystemFailed"]
    with pytest.raises(NotPermittedNow, match="must go from there first"):
        await node.stage(request)
    await node.unpublish(volume.volume_id, pod)
    await node.stage(request)
    await node.publish(world.publish_request(volume))
    assert (await node.volume_health(volume.volume_id)).problems == ()
    read = await trio.to_thread.run_sync((Path(pod) / "data").read_bytes)
    assert hashlib.sha256(read).digest() == hashlib.sha256(content).digest()
    await node.unpublish(volume.volume_id, pod)
    await bench.run("xfs_io", "-x", "-c", "shutdown", staging)
    await node.unstage(volume.volume_id, staging)
    assert await bench.host.connected("nqn.") == {}

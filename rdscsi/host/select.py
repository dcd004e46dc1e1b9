"""`open_host`: the machine, by the backend that the settings name or that works here."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from rdscsi.config import NodeSettings
from rdscsi.errors import DriverError
from rdscsi.host.calls import Calls, open_calls
from rdscsi.host.devices import loops
from rdscsi.host.fabrics import FABRICS
from rdscsi.host.filesystems import Filesystems
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines, in_thread
from rdscsi.host.loop import LoopHost
from rdscsi.host.mounts import Mounts
from rdscsi.host.ports import Host
from rdscsi.host.process import Processes
from rdscsi.host.simulated import SimulatedHost, open_kernel
from rdscsi.observe import logs

TRIAL_SECONDS = 10.0
_TRIAL_BYTES = 4 << 20

_log = logs.get_log()


@asynccontextmanager
async def open_host(settings: NodeSettings) -> AsyncIterator[Host]:
    """Open the machine.

    `auto` is the kernel backend, unless the exports of a simulated RDS are named: then loop devices if they work here,
    which is found out by trying them and not by who we are, else nothing real. A node that needs NVMe/TCP and has none
    says so at each call; it never falls back to what is simulated.
    """
    deadlines = Deadlines(connect=settings.connect_deadline, mount=settings.mount_deadline, mkfs=settings.mkfs_deadline)
    processes = Processes()
    async with open_calls(processes) as calls:
        yield await _chosen(settings, processes, calls, deadlines)


async def _chosen(settings: NodeSettings, processes: Processes, calls: Calls, deadlines: Deadlines) -> Host:
    backend, exports = settings.host_backend, settings.loop_exports_dir
    if backend == "auto" and exports is None:
        backend = "kernel"
    elif backend == "auto":
        refused = await try_loop_devices(processes)
        backend = "simulated" if refused else "loop"
        if refused:
            _log.warning("host.simulated", reason=f"loop devices do not work here: {refused}", real=False)
    _log.info("host.opened", backend=backend)
    if backend == "simulated":
        return SimulatedHost(exports, open_kernel(settings.state_dir), deadlines=deadlines)
    if backend == "loop" and exports is not None:
        return LoopHost(exports, processes=processes, calls=calls, deadlines=deadlines)
    if not await in_thread(FABRICS.exists):
        _log.warning("host.no_nvme_tcp", missing=str(FABRICS), remedy="modprobe nvme-tcp, and let /dev be the host's")
    return KernelHost(processes=processes, calls=calls, deadlines=deadlines)


async def try_loop_devices(processes: Processes) -> str:
    """Attach, format, mount and unmount a small file; return why that does not work, empty when it does."""
    with tempfile.TemporaryDirectory(prefix="rdscsi-trial-") as directory:
        try:
            await _try_in(Path(directory), processes)
        except (DriverError, OSError) as error:
            return str(error)
    return ""


async def _try_in(directory: Path, processes: Processes) -> None:
    file, mount_point = directory / "disk.img", directory / "mounted"
    mount_point.mkdir()
    with file.open("wb") as opened:
        opened.truncate(_TRIAL_BYTES)
    mounts = Mounts(processes, deadline=TRIAL_SECONDS)
    loop = await in_thread(partial(loops.attach, file, "rdscsi-trial"))
    try:
        await Filesystems(processes, deadline=TRIAL_SECONDS).make(loop.path, "ext4", force=False)
        await mounts.mount(loop.path, str(mount_point), "ext4", ())
    finally:
        # Shielded: a start that is interrupted here would leave a mount and a loop device behind.
        with trio.move_on_after(TRIAL_SECONDS, shield=True):
            try:
                await mounts.unmount(str(mount_point))
            finally:
                await in_thread(partial(loops.detach, loop))

"""The kernel backend: NVMe/TCP by the kernel's initiator, observed through sysfs.

A controller goes through `new`, `live`, `connecting` or `resetting` and back, `deleting`, `dead` (Linux,
drivers/nvme/host/core.c). What is under way is waited for, what is dead is deleted and connected anew; nothing is ever
reset.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import trio

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown, UnexpectedAnswer
from rdscsi.host import udev
from rdscsi.host.calls import Calls
from rdscsi.host.devices import sysfs
from rdscsi.host.devices.sysfs import NvmeController, Subsystem
from rdscsi.host.fabrics import FABRICS, REFUSED, Fabrics, meaning
from rdscsi.host.local import POLL_SECONDS, Deadlines, LocalHost, in_thread
from rdscsi.host.ports import Connection, Controller, Device, Number
from rdscsi.host.process import Processes
from rdscsi.model import Portal

RESCAN_SECONDS = 2.0
"""How often the target is asked again for a size that has not come by itself."""

ANSWER_SECONDS = 30.0
"""How long a portal may take to say what it offers. After 60 s without an answer Linux says EIO, as for a refusal."""


class KernelHost(LocalHost):
    """A host whose devices are NVMe/TCP namespaces."""

    def __init__(
        self,
        *,
        processes: Processes,
        calls: Calls,
        deadlines: Deadlines,
        sys_root: Path = Path("/sys"),
        dev: Path = Path("/dev"),
        fabrics: Path = FABRICS,
    ) -> None:
        super().__init__(processes=processes, calls=calls, deadlines=deadlines, sys_root=sys_root)
        self._dev = dev
        self._looks = Looks(sys_root)
        self._fabrics = Fabrics(calls, sys_root=sys_root, fabrics=fabrics)

    @property
    def backend(self) -> str:
        """See Host."""
        return "kernel"

    async def find_device(self, subnqn: str) -> Device | None:
        """See Host."""
        subsystem = await self._subsystem(subnqn)
        if subsystem is None or not subsystem.controllers:
            return None
        return usable_device(subsystem, self._dev)

    async def connected(self, nqn_prefix: str) -> Mapping[str, tuple[Number, ...]]:
        """See Host."""
        ours = [one for one in await self._looks.look() if one.subnqn.startswith(nqn_prefix)]
        return {one.subnqn: tuple(disk.number for disk in one.disks) for one in ours}

    async def connect(self, connection: Connection) -> Device:
        """See Host."""
        there = await self._controllers(connection.subnqn)
        before = {one.name for one in there}
        last = [f"not usable within {self._deadlines.connect:g} s"]
        try:
            with udev.watching() as watch, trio.fail_after(self._deadlines.connect):
                there = await self._clear_away(connection.subnqn, there, watch)
                await self._connect_portals(connection, there)
                return await self._wait_usable(connection.subnqn, watch, last)
        except (DeviceUnavailable, OutcomeUnknown, trio.TooSlowError) as error:
            after = await self._controllers(connection.subnqn)
            await self._delete(one.name for one in after if one.name not in before)
            if isinstance(error, trio.TooSlowError):
                raise DeviceUnavailable(f"{connection.subnqn}: {': '.join(last)}") from error
            raise

    async def controllers(self, subnqn: str) -> tuple[Controller, ...]:
        """See Host."""
        found = await self._controllers(subnqn)
        return tuple(Controller(_portal(one.address), one.hostnqn, one.state) for one in found)

    async def multipath(self) -> bool:
        """See Host."""
        return await in_thread(partial(sysfs.multipath, self._sys_root))

    async def offers(self, connection: Connection) -> bool:
        """See Host. Found out by a connection beside the others, which is deleted again at once."""
        refused, silent = False, []
        for portal in connection.portals:
            try:
                within = min(self._deadlines.connect, ANSWER_SECONDS)
                controller = await self._fabrics.connect(connection, portal, deadline=within, duplicate=True)
            except OutcomeUnknown as error:
                silent.append(f"{portal}: {error}")
                continue
            except OSError as error:
                # Any other error is this machine's, or the way's: it says nothing about what is offered.
                if error.errno == REFUSED:
                    refused = True
                else:
                    silent.append(f"{portal}: {meaning(error)}")
                continue
            await self._delete([controller])
            return True
        if not refused:
            raise DeviceUnavailable(f"{connection.subnqn}: {'; '.join(silent) or 'no portal is known'}")
        return False

    async def disconnect(self, subnqn: str) -> None:
        """See Host."""
        states = ""
        with udev.watching() as watch, trio.move_on_after(self._deadlines.connect):
            while (subsystem := await self._subsystem(subnqn)) is not None:
                states = subsystem.states
                await self._delete(one.name for one in subsystem.controllers if one.state not in sysfs.GOING)
                if await self._subsystem(subnqn) is not None:
                    await watch.wait(POLL_SECONDS)
            return
        raise OutcomeUnknown(f"{subnqn}: not gone within {self._deadlines.connect:g} s ({states}); something holds it")

    async def wait_size(self, device: Device, size_bytes: int) -> Device:
        """See Host."""
        now = device
        with udev.watching() as watch, trio.move_on_after(self._deadlines.connect):
            while True:
                await self._rescan(device.subnqn)
                again_at = trio.current_time() + RESCAN_SECONDS
                while trio.current_time() < again_at:
                    found = await self.find_device(device.subnqn)
                    if found is None:
                        raise DeviceUnavailable(f"{device.path}: no longer connected")
                    now = found
                    if now.size_bytes >= size_bytes:
                        return now
                    await watch.wait(POLL_SECONDS)
        raise DeviceUnavailable(f"{now.path}: {now.size_bytes} bytes large, not yet {size_bytes}")

    # --- within

    async def _subsystem(self, subnqn: str) -> Subsystem | None:
        return next((one for one in await self._looks.look() if one.subnqn == subnqn), None)

    async def _controllers(self, subnqn: str) -> tuple[NvmeController, ...]:
        subsystem = await self._subsystem(subnqn)
        return subsystem.controllers if subsystem else ()

    async def _clear_away(
        self, subnqn: str, there: tuple[NvmeController, ...], watch: udev.Watch
    ) -> tuple[NvmeController, ...]:
        """Wait for controllers that are being deleted, and delete the dead; return those that are left."""
        while ending := [one for one in there if one.state in (*sysfs.GOING, sysfs.DEAD)]:
            await self._delete(one.name for one in ending if one.state == sysfs.DEAD)
            await watch.wait(POLL_SECONDS)
            there = await self._controllers(subnqn)
        return there

    async def _connect_portals(self, connection: Connection, controllers: tuple[NvmeController, ...]) -> None:
        """Connect to each portal that is not; without multipath to one alone, for two would be two disks.

        One portal is enough, so that one which swallows everything takes its share of the time and no more. Raises
        DeviceUnavailable when there is none, and OutcomeUnknown when a connection may yet come to be.
        """
        there = {(one.address.get("traddr"), one.address.get("trsvcid")) for one in controllers}
        several = len({*there, *((portal.traddr, str(portal.trsvcid)) for portal in connection.portals)}) > 1
        one_alone = several and not await self.multipath()
        share = self._deadlines.connect / (len(connection.portals) + 1 if several and not one_alone else 1)
        failed: list[str] = []
        unknown: OutcomeUnknown | None = None
        for portal in connection.portals:
            if (portal.traddr, str(portal.trsvcid)) in there or (one_alone and there):
                continue
            try:
                await self._fabrics.connect(connection, portal, deadline=share)
            except OSError as error:
                failed.append(f"{portal}: {meaning(error)}")
            except OutcomeUnknown as error:
                if one_alone:  # were it to come after all, a second one would be a second disk
                    raise
                unknown = error
            else:
                there.add((portal.traddr, str(portal.trsvcid)))
        if unknown is not None and not there:
            raise unknown
        if not there:
            raise DeviceUnavailable(f"{connection.subnqn}: {'; '.join(failed) or 'no portal is known'}")

    async def _wait_usable(self, subnqn: str, watch: udev.Watch, last: list[str]) -> Device:
        """Wait for a live controller with its namespace; the reason why not yet is kept as the last of `last`.

        A namespace that went (its uuid changed, as a rebooted target may draw a new one) comes back by a rescan only.
        """
        rescan_at = trio.current_time() + RESCAN_SECONDS
        while True:
            try:
                device = await self.find_device(subnqn)
            except DeviceUnavailable as error:
                device, last[1:] = None, [str(error)]
            if device is not None:
                return device
            if trio.current_time() >= rescan_at:
                await self._rescan(subnqn)
                rescan_at = trio.current_time() + RESCAN_SECONDS
            await watch.wait(POLL_SECONDS)

    async def _delete(self, controllers: Iterable[str]) -> None:
        for controller in controllers:
            try:
                await self._fabrics.delete(controller, deadline=self._deadlines.connect)
            except OSError as error:
                raise OutcomeUnknown(f"{controller}: cannot be deleted: {error.strerror}") from error

    async def _rescan(self, subnqn: str) -> None:
        subsystem = await self._subsystem(subnqn)
        for one in subsystem.live if subsystem else ():
            try:
                await self._fabrics.rescan(one.name, deadline=self._deadlines.connect)
            except OSError as error:
                raise DeviceUnavailable(f"{one.name}: cannot be rescanned: {error.strerror}") from error


class Looks:
    """Readings of sysfs, each shared by all who ask for one at the same time.

    An event wakes everybody who waits for a device. Were each to read on its own, a node that is drained of many
    volumes would do little else: the work would grow with the cube of their number.
    """

    def __init__(self, sys_root: Path) -> None:
        self._sys_root = sys_root
        self._lock = trio.Lock()
        self._begun = 0
        self._last = 0
        self._seen: list[Subsystem] | DeviceUnavailable = []

    async def look(self) -> list[Subsystem]:
        """Return what a reading shows that began after this call. Raises DeviceUnavailable when it failed."""
        asked = self._begun
        async with self._lock:
            if self._last <= asked:
                await self._read()
            seen = self._seen
        if isinstance(seen, DeviceUnavailable):
            raise DeviceUnavailable(str(seen)) from seen
        return seen

    async def _read(self) -> None:
        self._begun += 1
        number = self._begun
        try:
            self._seen = await in_thread(partial(sysfs.read_subsystems, self._sys_root))
        except DeviceUnavailable as error:
            self._seen = error
        self._last = number  # one that was cancelled shows nothing, and the next who waits reads itself


def usable_device(subsystem: Subsystem, dev: Path = Path("/dev")) -> Device:
    """Return the device of a connected subsystem.

    Raises DeviceUnavailable while it has no live controller or no namespace, and UnexpectedAnswer when it has several
    namespaces: then it is nothing that this driver exports.
    """
    if not subsystem.live:
        raise DeviceUnavailable(f"{subsystem.subnqn}: {subsystem.states}")
    disks = [disk for disk in subsystem.disks if disk.size_bytes]
    if not disks:
        raise DeviceUnavailable(f"{subsystem.subnqn}: connected, and its namespace is not there")
    if len({(disk.nsid, disk.wwid) for disk in disks}) > 1:
        names = ", ".join(disk.name for disk in disks)
        raise UnexpectedAnswer(f"{subsystem.subnqn}: several namespaces ({names}), where this driver exports one")
    disk = disks[0]  # several only without multipath and with two paths, which this driver never makes
    identity = f"nsid {disk.nsid} {disk.wwid}"
    return Device(subsystem.subnqn, str(dev / disk.name), disk.number, disk.size_bytes, identity)


def _portal(address: Mapping[str, str]) -> Portal | None:
    traddr, trsvcid = address.get("traddr", ""), address.get("trsvcid", "")
    return Portal(traddr, int(trsvcid)) if traddr and trsvcid.isdecimal() else None

"""What a machine is made of, and QEMU's command line for it. Pure.

Emulation (TCG) always: /dev/kvm is not looked at. Where it exists and does not work, only the boot fails, and slowly.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lab.kernel import Kernel

MIB = 1 << 20
MEMORY = 2048 * MIB
CPUS = 1
_APPEND = (
    "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr no5lvl mitigations=off nowatchdog random.trust_cpu=on audit=0 "
    "apparmor=0 cryptomgr.notests clocksource=acpi_pm"
)
"""Not the TSC for a clock: a kernel that measured it while its processor was waiting ran several times too fast."""

_TRANSLATION_CACHE_MIB = 256
_PLATFORM = "q35,hpet=off,smbus=off,sata=off,vmport=off"


NO_ADDRESS = "-"


@dataclass(frozen=True, slots=True)
class Cable:
    """An end (0 or 1) of a cable between two machines, and this machine's address on it, e.g. 10.77.0.1/24.

    NO_ADDRESS: the card stays down.
    """

    name: str
    end: int
    address: str

    def socket(self, machines: Path, end: int) -> Path:
        """The datagram socket of an end."""
        return machines / f"cable-{self.name}.{end}"

    @property
    def mac(self) -> str:
        """A locally administered address that differs from all others of the laboratory."""
        digest = hashlib.sha256(f"{self.name}.{self.end}".encode()).digest()
        return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, 0x00, *digest[:3]))


@dataclass(frozen=True, slots=True)
class Forward:
    """A TCP port of this computer's loopback that leads to a port of the machine."""

    host_port: int
    guest_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A machine as it is wished for. Sizes are bytes.

    `shares`: directories of this computer that the machine may write, at the same paths. `load`: modules. `append`:
    more of the kernel's command line.
    """

    memory: int = MEMORY
    cpus: int = CPUS
    disks: tuple[int, ...] = ()
    shares: tuple[Path, ...] = ()
    load: tuple[str, ...] = ()
    append: str = ""
    udev: bool = True
    cables: tuple[Cable, ...] = ()
    forwards: tuple[Forward, ...] = ()


USER_NETWORK = "10.0.2.15/24"
"""Our address in QEMU's own network, through which forwarded ports come in."""


def addresses(options: Options) -> list[str]:
    """The address of each network card, in the order of the cards."""
    return [cable.address for cable in options.cables] + ([USER_NETWORK] if options.forwards else [])


def drivers(options: Options) -> list[str]:
    """The modules that the devices of `command` need, and those that were asked for."""
    return (["virtio_blk"] if options.disks else []) + (["virtio_net"] if addresses(options) else []) + [*options.load]


def disk_file(directory: Path, number: int) -> Path:
    """The file behind /dev/vda (0), /dev/vdb (1), …"""
    return directory / f"disk{number}.img"


def command(options: Options, *, directory: Path, name: str, machine_id: str, kernel: Kernel, qemu: str) -> list[str]:
    """Write the command that runs the machine; `directory` is the machine's own."""
    return [
        *(qemu, "-name", f"lab-{name}", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", _PLATFORM, "-accel", f"tcg,thread=multi,tb-size={_TRANSLATION_CACHE_MIB}", "-cpu", "max"),
        *("-m", f"{options.memory // MIB}M", "-smp", str(options.cpus), "-uuid", machine_id),
        *("-kernel", str(kernel.image), "-initrd", str(directory / "initramfs")),
        *("-append", f"{_APPEND} {options.append}".strip()),
        *("-serial", f"file:{directory}/console.log", "-device", "virtio-rng-pci"),
        *("-monitor", f"unix:{directory}/monitor,server=on,wait=off"),
        *_ports(directory),
        *_shares(options, directory),
        *_disks(options, directory),
        *_network(options, directory),
    ]


def _ports(directory: Path) -> list[str]:
    """The port that takes commands, and the terminal for a person."""
    return [
        *("-device", "virtio-serial-pci"),
        *("-chardev", f"pipe,id=control,path={directory}/control"),
        *("-device", "virtserialport,chardev=control,name=lab.control"),
        *("-chardev", f"socket,id=terminal,path={directory}/terminal,server=on,wait=off"),
        *("-device", "virtconsole,chardev=terminal"),
    ]


def _shares(options: Options, directory: Path) -> list[str]:
    shares = [("root", "/", ",readonly=on"), ("machine", str(directory), "")]
    shares += [(tag, str(path), "") for tag, path in tagged(options).items()]
    arguments: list[str] = []
    for tag, path, mode in shares:
        local = f"local,id={tag},path={escaped(path)},security_model=none,multidevs=remap{mode}"
        arguments += ["-fsdev", local, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return arguments


def tagged(options: Options) -> dict[str, Path]:
    """The writable shares by the tags under which the machine mounts them."""
    return {f"share{number}": path for number, path in enumerate(options.shares)}


def escaped(value: str) -> str:
    """Write a value for one of QEMU's comma-separated lists."""
    return value.replace(",", ",,")


def _disks(options: Options, directory: Path) -> list[str]:
    arguments: list[str] = []
    for number in range(len(options.disks)):
        drive = f"if=none,id=disk{number},file={disk_file(directory, number)},format=raw,cache=unsafe,discard=unmap"
        arguments += ["-drive", drive, "-device", f"virtio-blk-pci,drive=disk{number},serial=lab-disk{number}"]
    return arguments


def _network(options: Options, directory: Path) -> list[str]:
    arguments: list[str] = []
    for cable in options.cables:
        here, there = (cable.socket(directory.parent, end) for end in (cable.end, 1 - cable.end))
        link = f"dgram,id={cable.name},local.type=unix,local.path={here},remote.type=unix,remote.path={there}"
        arguments += ["-netdev", link, "-device", f"virtio-net-pci,netdev={cable.name},romfile=,mac={cable.mac}"]
    if options.forwards:
        ways = "".join(f",hostfwd=tcp:127.0.0.1:{way.host_port}-:{way.guest_port}" for way in options.forwards)
        arguments += ["-netdev", f"user,id=user,restrict=on{ways}", "-device", "virtio-net-pci,netdev=user,romfile="]
    return arguments

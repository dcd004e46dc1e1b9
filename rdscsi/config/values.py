"""Parsers of single settings: text in, a checked value out, or a ValueError that says what would be right.

Pure and total. Which settings exist is in `rdscsi.config.settings`; where their text comes from in
`rdscsi.config.sources`.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rdscsi import names
from rdscsi.model import Portal

T = TypeVar("T")

_UNITS = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50}
_LONGEST_BASE_PATH = 56
"""With a cluster id of 64 the marker fits its comment (`rdscsi.tags`), the longest line its frame (`lines`)."""

_LONGEST_SOCKET_PATH = 107
"""`sun_path` of Linux' `struct sockaddr_un` holds 108 bytes, the closing zero included (unix(7))."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: how to read it, its name in `--help`, and what a mistake is told to be instead."""

    parse: Callable[[str], T]
    metavar: str
    expected: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gRPC server listens: a socket path (`unix`), or a host and port (`tcp`)."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect. A host name other than `localhost` counts as remote."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class LeaseName:
    """The name of a Lease object, in its namespace."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def _matching(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return text

    return parse


def _accepted(accepts: Callable[[str], bool]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not accepts(text):
            raise ValueError(text)
        return text

    return parse


def _backends(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(","))
    if not all(map(names.is_backend, found)) or len(set(found)) < len(found):
        raise ValueError(text)
    return found


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text)) if text else ""


def _interface(text: str) -> str:
    """A name as the kernel takes it (dev_valid_name), without the comma that ends an option of NVMe over Fabrics."""
    if text and (text in (".", "..") or not re.fullmatch(r"[!-+\-.0-9;-~]{1,15}", text, re.ASCII)):
        raise ValueError(text)
    return text


def _choice(*words: str) -> Kind[str]:
    return Kind(_matching("|".join(words)), "|".join(words), f"one of {', '.join(words)}")


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII) or not lowest <= int(text) <= highest:
            raise ValueError(text)
        return int(text)

    return parse


def whole(lowest: int, highest: int) -> Kind[int]:
    """A whole number in decimal digits, both bounds included."""
    return Kind(_whole(lowest, highest), "N", f"a whole number from {lowest} to {highest}")


def seconds(lowest: float, highest: float) -> Kind[float]:
    """A length of time in seconds, fractions allowed, both bounds included."""
    return Kind(_number(lowest, highest), "SECONDS", f"seconds from {lowest:g} to {highest:g}, without a unit")


def factor(lowest: float, highest: float) -> Kind[float]:
    """A plain decimal number, both bounds included."""
    return Kind(_number(lowest, highest), "NUMBER", f"a number from {lowest:g} to {highest:g}")


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text, re.ASCII):
            raise ValueError(text)
        number = float(text)
        if not (math.isfinite(number) and lowest <= number <= highest):
            raise ValueError(text)
        return number

    return parse


def size(lowest: int) -> Kind[int]:
    """Bytes, plain or with a binary unit. `1G` is refused: it means two things in two places, `1Gi` only one."""

    def parse(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,15})(Ki|Mi|Gi|Ti|Pi|)", text, re.ASCII)
        if not found or not lowest <= int(found[1]) * _UNITS[found[2]] < 1 << 63:
            raise ValueError(text)
        return int(found[1]) * _UNITS[found[2]]

    return Kind(parse, "SIZE", f"bytes, at least {lowest}, plain or with one of Ki Mi Gi Ti Pi, such as 1Gi")


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _endpoint(text: str) -> Endpoint:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("unix", "tcp"):
        raise ValueError(text)
    if scheme == "unix":
        path = Path(rest)
        if not path.is_absolute() or "\0" in rest or len(rest.encode()) > _LONGEST_SOCKET_PATH or rest.endswith("/"):
            raise ValueError(text)
        return Endpoint(path=path)
    host, port = _host_and_port(rest)
    return Endpoint(host=host, port=port)


def _tcp_endpoint(text: str) -> Endpoint | None:
    if not text:
        return None
    host, port = _host_and_port(text)
    return Endpoint(host=host, port=port)


def _host_and_port(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text, re.ASCII)
    if not found:
        raise ValueError(text)
    if found[1]:
        ipaddress.IPv6Address(found[1])
    return found[1] or found[2], _whole(0, 65535)(found[3])


def _portals(text: str) -> tuple[Portal, ...]:
    portals = [portal for one in text.split(",") if (portal := names.parse_portal(one.strip()))]
    if len(portals) != text.count(",") + 1 or len(set(portals)) != len(portals):
        raise ValueError(text)
    return tuple(portals)


def _base_path(text: str) -> str:
    """Normalise to the form of `/file`: no slash at either end."""
    parts = text.strip("/").split("/")
    if text == "":
        return ""
    if len("/".join(parts)) > _LONGEST_BASE_PATH:
        raise ValueError(text)
    if not all(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", part, re.ASCII) and part not in (".", "..") for part in parts):
        raise ValueError(text)
    return "/".join(parts)


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    return Path(text).absolute()


def _optional_path(text: str) -> Path | None:
    return _path(text) if text else None


def _lease(text: str) -> LeaseName | None:
    if not text:
        return None
    label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    found = re.fullmatch(rf"({label})/(?=.{{1,253}}$)({label}(\.{label})*)", text, re.ASCII)
    if not found:
        raise ValueError(text)
    return LeaseName(found[1], found[3])


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text, re.ASCII):
        raise ValueError(text)
    return int(text, 8)


ENDPOINT = Kind(
    _endpoint, "URL", "unix:///absolute/path (107 bytes at most) or tcp://host:port, an IPv6 host in brackets"
)
TCP_ENDPOINT = Kind(_tcp_endpoint, "HOST:PORT", "host:port, an IPv6 host in brackets, or nothing")
PORTALS = Kind(_portals, "IP[:PORT],…", "IP addresses, with a port unless it is 4420, IPv6 in brackets, no two equal")
BASE_PATH = Kind(
    _base_path, "PATH", "a path below the pool of at most 56 letters, digits and . _ - between slashes, without . or .."
)
PATH = Kind(_path, "PATH", "a path on this machine")
OPTIONAL_PATH = Kind(_optional_path, "PATH", "a path on this machine, or nothing")
LEASE = Kind(_lease, "NAMESPACE/NAME", "a namespace and the name of a Lease in it, with a slash between, or nothing")
MODE = Kind(_mode, "MODE", "an octal file mode such as 0600")
FLAG = Kind(_flag, "true|false", "true or false")
PORT = Kind(_whole(1, 65535), "PORT", "a TCP port, 1 to 65535")
HOST = Kind(_matching(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9a-fA-F:]{2,45}"), "HOST", "a host name or an IP address")
CLUSTER_ID = Kind(
    _matching(r"[!-~]{1,64}"),
    "ID",
    "1 to 64 printable ASCII characters without blanks (the UID of the kube-system namespace)",
)
BACKEND = Kind(_accepted(names.is_backend), "NAME", "1 to 32 lower-case letters, digits and inner dashes")
BACKENDS = Kind(_backends, "NAME,…", "names of backends, no two equal")
SLOT = Kind(
    _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"), "SLOT", "the slot of a disk, 1 to 32 letters, digits and . _ -"
)
USER = Kind(
    _matching(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"), "USER", "a RouterOS user name of letters, digits and . _ @ -"
)
GROUP = Kind(_matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}|"), "GROUP", "the name or number of a group, or nothing")
OPTIONAL_ADDRESS = Kind(_address, "IP", "an IP address, or nothing")
OPTIONAL_INTERFACE = Kind(
    _interface,
    "NAME",
    "the name of a network interface, at most 15 printable characters without / : and comma, or nothing",
)
NODE_NAME = Kind(_accepted(names.is_node_name), "NAME", "a Kubernetes node name of at most 119 characters")
LOG_LEVEL = _choice("debug", "info", "warning", "error")
LOG_FORMAT = _choice("text", "json")
NODE_EVIDENCE = _choice("none", "kubernetes")
CLAIM_EVIDENCE = _choice("none", "kubernetes")
SNAPSHOT_ANNOTATIONS = _choice("none", "kubernetes")
HOST_BACKEND = _choice("auto", "kernel", "loop", "simulated")

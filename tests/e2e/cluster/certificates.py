"""Keys and certificates of one cluster, made anew for each: an authority, the API server's, its kubelet client's."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

_DAYS = 30
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority, in memory."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def write_all(directory: Path, addresses: Sequence[str]) -> None:
    """Write every file that the control plane names; `addresses` are the API server's."""
    directory.mkdir(parents=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("rdscsi-e2e")
    authority = Authority(key, _certificate(name, name, key.public_key(), key, (), is_authority=True))
    _write(directory, "ca", authority.certificate, key)
    alternatives: list[x509.GeneralName] = [x509.DNSName(host) for host in _NAMES]
    alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    _issue(directory, "apiserver", _name("kube-apiserver"), authority, alternatives)
    _issue(directory, "kubelet-client", _name("apiserver-kubelet-client", "system:masters"), authority, ())
    signer = ec.generate_private_key(ec.SECP256R1())
    _write_key(directory / "sa.key", signer)
    (directory / "sa.pub").write_bytes(
        signer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


def _name(common: str, organisation: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _issue(
    directory: Path, file: str, subject: x509.Name, authority: Authority, names: Sequence[x509.GeneralName]
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate(subject, authority.certificate.subject, key.public_key(), authority.key, names)
    _write(directory, file, certificate, key)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    names: Sequence[x509.GeneralName],
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _write(directory: Path, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    (directory / f"{file}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    _write_key(directory / f"{file}.key", key)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

"""The bill of materials, SPDX 2.3 in JSON: every Debian package and every wheel, with version, licence and checksum.

Written from the packages' own metadata; https://spdx.github.io/spdx-spec/v2.3/ says what each field means.
"""

import email
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from recipe.debian import Package

_NONE = "NOASSERTION"
_CREATED = "1970-01-01T00:00:00Z"
"""The same inputs give the same document; when an image was made is known where it was made."""


def write(path: Path, name: str, packages: Sequence[Package], site: Path, lock: Path) -> None:
    """Write the document of an image."""
    wheels = [_wheel(found, _locked_hashes(lock)) for found in sorted(site.glob("*.dist-info/METADATA"))]
    listed = [_debian(package) for package in packages] + wheels
    image = {
        "SPDXID": "SPDXRef-image",
        "name": name.rpartition("/")[2].partition(":")[0],
        "versionInfo": name.rpartition(":")[2],
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": "Apache-2.0",
        "copyrightText": _NONE,
        "primaryPackagePurpose": "CONTAINER",
    }
    content = json.dumps([image, *listed], sort_keys=True).encode()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:sha256:{hashlib.sha256(content).hexdigest()}",
        "creationInfo": {"created": _CREATED, "creators": ["Tool: rdscsi-deploy-image"]},
        "packages": [image, *listed],
        "relationships": list(_relationships(listed)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")


def _relationships(listed: Iterable[dict[str, object]]) -> Iterable[dict[str, object]]:
    yield _relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image")
    for one in listed:
        yield _relation("SPDXRef-image", "CONTAINS", one["SPDXID"])


def _relation(subject: str, kind: str, target: object) -> dict[str, object]:
    return {"spdxElementId": subject, "relationshipType": kind, "relatedSpdxElement": target}


def _debian(package: Package) -> dict[str, object]:
    control = package.control
    name, version, machine = package.name, control["Version"], control["Architecture"]
    return {
        "SPDXID": _identifier("deb", name),
        "name": name,
        "versionInfo": version,
        "supplier": "Organization: Debian",
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "sourceInfo": f"built from {control.get('Source', name)}",
        "licenseConcluded": _NONE,
        "licenseDeclared": _NONE,
        "licenseComments": f"/usr/share/doc/{name}/copyright in the image",
        "copyrightText": _NONE,
        "checksums": [{"algorithm": "SHA256", "checksumValue": package.sha256}],
        "externalRefs": [_purl(f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}?arch={machine}&distro=debian-12")],
    }


def _wheel(metadata: Path, hashes: dict[str, list[str]]) -> dict[str, object]:
    fields = email.message_from_string(metadata.read_text())
    name, version = str(fields["Name"]), str(fields["Version"])
    known = hashes.get(_normal(name), [])
    told = {"comment": f"a file with one of these SHA-256: {' '.join(sorted(known))}"} if known else {}
    return {
        "SPDXID": _identifier("pypi", _normal(name)),
        "name": _normal(name),
        "versionInfo": version,
        "downloadLocation": _NONE,
        "filesAnalyzed": False,
        "licenseConcluded": _NONE,
        "licenseDeclared": str(fields["License-Expression"] or _NONE),
        "copyrightText": _NONE,
        "externalRefs": [_purl(f"pkg:pypi/{_quoted(_normal(name))}@{_quoted(version)}")],
        **told,
    }


def _purl(locator: str) -> dict[str, object]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}


def _locked_hashes(lock: Path) -> dict[str, list[str]]:
    """The hashes that a lock file allows for each package."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in lock.read_text().splitlines():
        if pinned := re.match(r"([A-Za-z0-9._-]+)==", line):
            current = _normal(pinned[1])
        found.setdefault(current, []).extend(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _identifier(kind: str, name: str) -> str:
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")

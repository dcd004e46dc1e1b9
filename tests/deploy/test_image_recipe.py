"""The recipe of the image: what is taken of a package, layers that are the same twice, a bill that names everything."""

import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from recipe import archive, debian, sbom, tree

ROOT = Path(__file__).resolve().parents[2]

RECIPE = debian.Recipe.read(ROOT / "deploy" / "image" / "packages.toml")


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("usr/sbin/nvme", True),
        ("usr/share/doc/nvme-cli/copyright", True),
        ("usr/lib/x86_64-linux-gnu/libnvme.so.1", True),
        ("usr/sbin/another", False),
        ("usr/share/doc/nvme-cli/changelog.gz", False),
        ("usr/share/man/man1/nvme.1.gz", False),
        ("etc/nvme/hostnqn", False),
        ("lib/systemd/system/nvmf-connect@.service", False),
    ],
)
def test_of_a_package_its_libraries_its_licence_and_the_listed_programs_are_taken(path: str, taken: bool) -> None:
    assert debian._taken(path, "nvme-cli", {"nvme"}, RECIPE) is taken


def test_what_the_node_half_runs_is_in_the_image() -> None:
    programs = {program for listed in RECIPE.programs.values() for program in listed}
    assert {"nvme", "mkfs.ext4", "resize2fs", "e2fsck", "mkfs.xfs", "xfs_growfs", "xfs_repair"} <= programs
    assert {"mount", "umount", "losetup", "blkid", "wipefs", "python3.11"} <= programs


def test_libraries_are_found_by_name_as_ctypes_looks_for_them(tmp_path: Path) -> None:
    tree.complete(tmp_path, RECIPE.python)
    library = tmp_path / "usr" / "lib" / f"{os.uname().machine}-linux-gnu" / "libudev.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    line = (sys.executable, "-IS", str(tmp_path / "usr" / "sbin" / "ldconfig"), "-p")
    listed = subprocess.run(line, capture_output=True, text=True, check=True, timeout=20).stdout
    assert re.findall(r"\s+(libudev\.[^\s]+)\s+\(libc6", listed) == ["libudev.so.1"]


def test_a_layer_is_the_same_twice_and_carries_no_owner_and_no_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "tool").write_text("x")
    (root / "bin" / "tool").chmod(0o4750)
    (root / "bin" / "link").symlink_to("tool")
    for name in ("one.tgz", "two.tgz"):
        archive.write_layer(root, tmp_path / name)
    assert (tmp_path / "one.tgz").read_bytes() == (tmp_path / "two.tgz").read_bytes()
    with tarfile.open(tmp_path / "one.tgz") as layer:
        tool = layer.getmember("bin/tool")
        assert (tool.uid, tool.gid, tool.mtime, tool.mode) == (0, 0, 0, 0o755)
        assert layer.getmember("bin/link").linkname == "tool"


def test_a_layer_leaves_out_what_the_one_below_has(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "below").write_text("1")
    below = archive.write_layer(root, tmp_path / "below.tgz")
    (root / "above").write_text("2")
    archive.write_layer(root, tmp_path / "above.tgz", without=below)
    with tarfile.open(tmp_path / "above.tgz") as layer:
        assert layer.getnames() == ["above"]


def test_the_archive_is_an_oci_layout_whose_digests_hold(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("1")
    archive.write_layer(root, tmp_path / "layer.tgz")
    layer = archive.read_layer(tmp_path / "layer.tgz")
    digest = archive.write_archive(tmp_path / "image.tar", "rdscsi:test", [layer], {"User": "1"})
    with tarfile.open(tmp_path / "image.tar") as image:
        index = json.load(image.extractfile("index.json") or pytest.fail("no index"))
        manifest = json.load(image.extractfile(f"blobs/{digest.replace(':', '/')}") or pytest.fail("no manifest"))
    assert index["manifests"][0]["digest"] == digest
    assert [one["digest"] for one in manifest["layers"]] == [layer.digest]


def test_the_bill_names_every_package_and_wheel(tmp_path: Path) -> None:
    control = {"Package": "libc6", "Version": "2.36-9", "Architecture": "amd64", "Source": "glibc"}
    package = debian.Package(tmp_path / "libc6.deb", control, "", "ab" * 32)
    metadata = tmp_path / "site" / "Trio_x-1.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Name: Trio_x\nVersion: 1.0\nLicense-Expression: MIT\n")
    lock = tmp_path / "run.txt"
    lock.write_text("trio-x==1.0 \\\n    --hash=sha256:" + "cd" * 32 + "\n")
    sbom.write(tmp_path / "bill.json", "rdscsi:test", [package], tmp_path / "site", lock)
    bill = json.loads((tmp_path / "bill.json").read_text())
    assert [(one["name"], one["versionInfo"]) for one in bill["packages"]] == [
        ("rdscsi", "test"),
        ("libc6", "2.36-9"),
        ("trio-x", "1.0"),
    ]
    assert bill["packages"][1]["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]
    assert "cd" * 32 in bill["packages"][2]["comment"]
    assert len(bill["relationships"]) == 3

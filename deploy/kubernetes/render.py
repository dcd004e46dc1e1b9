"""Renders deploy/kubernetes/rdscsi.yaml from the chart, with values.yaml: for clusters without helm.

    .venv/bin/python deploy/kubernetes/render.py [--check] [--helm PROGRAM]

`--check` writes nothing and ends with status 1 when the file is stale. helm is the one that the E2E tests build from
its module (tests/e2e/build), or the one that is named.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHART = HERE.parent / "helm" / "rdscsi"
TARGET = HERE / "rdscsi.yaml"
NAMESPACE = "rdscsi"
_HEADER = """\
# Rendered from deploy/helm/rdscsi by deploy/kubernetes/render.py with values.yaml beside this file; do not edit.
# Before it is applied: the namespace, and the Secret rdscsi-appliance in it (docs/install.md).
apiVersion: v1
kind: Namespace
metadata:
  name: rdscsi
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the plain manifests.")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when the file is stale")
    parser.add_argument(
        "--helm", type=Path, metavar="PROGRAM", help="helm 4; without it the one that the E2E tests build"
    )
    chosen = parser.parse_args(arguments)
    wanted = render(chosen.helm or built_helm())
    stale = not TARGET.exists() or TARGET.read_text() != wanted
    if stale and not chosen.check:
        TARGET.write_text(wanted)
    if stale:
        print(f"{'stale' if chosen.check else 'written'}: {TARGET.relative_to(HERE.parents[1])}")
    return 1 if stale and chosen.check else 0


def built_helm() -> Path:
    """The helm of the E2E tests, built first where it is missing."""
    sys.path.insert(0, str(HERE.parents[1] / "tests" / "e2e"))
    from cluster import build

    return build.programs() / "helm"


def render(helm: Path) -> str:
    """Render the chart."""
    command = (
        str(helm),
        "template",
        "rdscsi",
        str(CHART),
        "--namespace",
        NAMESPACE,
        "--values",
        str(HERE / "values.yaml"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"helm template: {done.stderr}")
    return _HEADER + done.stdout.replace("managed-by: Helm", "managed-by: kubectl")


if __name__ == "__main__":
    sys.exit(main())

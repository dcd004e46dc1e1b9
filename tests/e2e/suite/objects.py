"""The Kubernetes objects that scenarios apply, as plain documents."""

import json
from collections.abc import Mapping
from typing import Any

from cluster.catalogue import TEST_IMAGE
from cluster.node import SPARE_TAINT

Document = dict[str, Any]  # Any: what JSON holds

DRIVER = "csi.rdscsi.io"
FILESYSTEM, BLOCK, SNAPSHOTS = "rds", "rds-block", "rds"
MOUNTED, DEVICE = "/data", "/dev/volume"
SIZE, SIZE_BYTES = "400Mi", 400 << 20
"""XFS needs at least 300 MiB."""


def claim(
    name: str,
    *,
    size: str = SIZE,
    storage_class: str = "",
    block: bool = False,
    mode: str = "ReadWriteOnce",
    **more: Any,
) -> Document:
    """A claim of one of the chart's classes."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": claim_spec(size=size, storage_class=storage_class, block=block, mode=mode) | more,
    }


def claim_spec(
    *, size: str = SIZE, storage_class: str = "", block: bool = False, mode: str = "ReadWriteOnce"
) -> Document:
    """What a claim asks for."""
    return {
        "storageClassName": storage_class or (BLOCK if block else FILESYSTEM),
        "accessModes": [mode],
        "volumeMode": "Block" if block else "Filesystem",
        "resources": {"requests": {"storage": size}},
    }


def pod(
    name: str,
    claim: str,
    *,
    node: str = "",
    script: str = "",
    block: bool = False,
    security: Mapping[str, Any] | None = None,
    mount: Mapping[str, Any] | None = None,
    volume: Mapping[str, Any] | None = None,
    image: str = TEST_IMAGE,
) -> Document:
    """A pod with one volume, at MOUNTED or as the device DEVICE, that runs a script and then sleeps."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": pod_spec(claim, script=script, block=block, mount=mount, volume=volume, image=image)
        | _on(node)
        | ({"securityContext": security} if security else {}),
    }


def _on(node: str) -> Document:
    """Pin a pod to a node; the spare one takes no other pods."""
    if not node:
        return {}
    return {"nodeSelector": {"kubernetes.io/hostname": node}, "tolerations": [{"operator": "Equal", **SPARE_TAINT}]}


def pod_spec(
    claim: str,
    *,
    script: str = "",
    block: bool = False,
    mount: Mapping[str, Any] | None = None,
    volume: Mapping[str, Any] | None = None,
    image: str = TEST_IMAGE,
) -> Document:
    """What a pod consists of."""
    container: Document = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sh", "-ec", f"{script or 'true'}; touch /tmp/reached; exec sleep 100000"],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/reached"]}, "periodSeconds": 1},
    }
    if block:
        container["volumeDevices"] = [{"name": "volume", "devicePath": DEVICE}]
    else:
        container["volumeMounts"] = [{"name": "volume", "mountPath": MOUNTED, **(mount or {})}]
    source = volume or {"persistentVolumeClaim": {"claimName": claim}}
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "volume", **source}],
    }


def stateful_set(name: str, replicas: int, script: str) -> Document:
    """A StatefulSet whose pods each have a volume."""
    labels = {"app": name}
    spec = pod_spec("", script=script)
    del spec["volumes"]
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            "volumeClaimTemplates": [{"metadata": {"name": "volume"}, "spec": claim_spec()}],
        },
    }


def storage_class(name: str, **more: Any) -> Document:
    """A class like the chart's for filesystems, bound at once."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "parameters": {"csi.storage.k8s.io/fstype": "xfs"},
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": True,
    } | more


def snapshot(name: str, claim: str) -> Document:
    """A snapshot of a claim's volume."""
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name},
        "spec": {"volumeSnapshotClassName": SNAPSHOTS, "source": {"persistentVolumeClaimName": claim}},
    }


def from_snapshot(name: str) -> Document:
    """The data source of a claim that restores a snapshot."""
    return {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}


def from_claim(name: str) -> Document:
    """The data source of a claim that clones another's volume."""
    return {"kind": "PersistentVolumeClaim", "name": name}


def text(document: Mapping[str, Any]) -> str:
    """A document as kubectl reads it."""
    return json.dumps(document)

"""Whether anybody in Kubernetes has to do with a volume, or may yet ask for it (docs/adr/0006).

A volume that was handed out is named by a PersistentVolume. One that may still be asked for has its claim:
external-provisioner calls CreateVolume for claims that exist, and for nothing else. Both are listed without a
`resourceVersion`, which shows the latest state (Kubernetes API, "Resource versions"), the claim first: a volume that is
made into a PersistentVolume between the two looks is seen by the second one.
"""

import re
from collections.abc import Collection
from functools import partial

from rdscsi import names
from rdscsi.kube.lists import Lists, at, find
from rdscsi.model import Claim, Standing

_NAME_OF_CLAIM = re.compile(r"[a-z0-9.-]+?-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class Claims:
    """Asks the API server about volumes."""

    def __init__(self, api: Lists) -> None:
        self._api = api

    async def standing(self, volume_id: str, csi_name: str, claim: Claim) -> Standing:
        """Tell who has to do with a volume that was made for a claim, under a name that may hold the claim's UID.

        Raises ClusterUnavailable when the API server cannot tell.
        """
        path = ("api", "v1", "namespaces", claim.namespace, "persistentvolumeclaims")
        only = {"fieldSelector": f"metadata.name={claim.name}"}
        if await find(self._api, *path, kind="PersistentVolumeClaimList", query=only, wanted=partial(_for, csi_name)):
            return Standing.CLAIM
        volumes, wanted = ("api", "v1", "persistentvolumes"), partial(_names, volume_id)
        if await find(self._api, *volumes, kind="PersistentVolumeList", query={}, wanted=wanted):
            return Standing.VOLUME
        return Standing.NOBODY

    async def named(self, volume_ids: Collection[str]) -> Collection[str]:
        """Return those of the volumes that a PersistentVolume names.

        Raises ClusterUnavailable when the API server cannot tell.
        """
        found: set[str] = set()

        def note(volume: object) -> bool:
            if (handle := _handle(volume)) is not None and handle in volume_ids:
                found.add(handle)
            return False

        await find(self._api, "api", "v1", "persistentvolumes", kind="PersistentVolumeList", query={}, wanted=note)
        return found


def _for(csi_name: str, claim: object) -> bool:
    """Tell whether a claim of the right name may be the one that the volume was made for: not proven a later one."""
    found = _NAME_OF_CLAIM.fullmatch(csi_name)
    uid = at(claim, "metadata").get("uid")
    return found is None or not isinstance(uid, str) or uid in ("", found[1])


def _names(volume_id: str, volume: object) -> bool:
    """Tell whether a PersistentVolume is that volume of ours."""
    return _handle(volume) == volume_id


def _handle(volume: object) -> str | None:
    """Return the id of the volume of ours that a PersistentVolume names; None when it is another driver's."""
    csi = at(volume, "spec").get("csi")
    if not isinstance(csi, dict) or csi.get("driver") != names.DRIVER_NAME:
        return None
    return str(csi.get("volumeHandle"))

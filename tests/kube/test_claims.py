"""Whether anybody in Kubernetes has to do with a volume; every doubt is a reason to wait."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from rdscsi import names
from rdscsi.errors import ClusterUnavailable
from rdscsi.kube import Claims
from rdscsi.kube.lists import PAGE
from rdscsi.model import Claim, Standing

VOLUME = "rds/vwrs4eg-73erkkta3ehsf5z2537pywbx"
UID = "7f2c0a55-3b1e-4f0a-9f0e-0123456789ab"
NAME = f"pvc-{UID}"
CLAIM = Claim("default", "data")
PVCS = ("api", "v1", "namespaces", "default", "persistentvolumeclaims")
PVS = ("api", "v1", "persistentvolumes")


class Lists:
    """Lists as the API server gives them: in pages, with a token; `spoil` changes an answer."""

    def __init__(self, claims: list[Any], volumes: list[Any]) -> None:
        self.objects = {PVCS: ("PersistentVolumeClaimList", claims), PVS: ("PersistentVolumeList", volumes)}
        self.asked: list[tuple[str, ...]] = []
        self.spoil: Mapping[tuple[str, ...], Any] = {}

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
        assert query is not None
        assert "resourceVersion" not in query  # it would allow an old state
        self.asked.append(path)
        if path in self.spoil:
            if isinstance(self.spoil[path], Exception):
                raise self.spoil[path]
            return self.spoil[path]  # type: ignore[no-any-return]
        kind, found = self.objects[path]
        if path == PVCS:
            assert query["fieldSelector"] == "metadata.name=data"
            found = [one for one in found if not isinstance(one, dict) or one["metadata"]["name"] == "data"]
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        rest = str(begin + limit) if begin + limit < len(found) else ""
        page = {"kind": kind, "metadata": {"resourceVersion": "7", "continue": rest}, "items": found[begin:][:limit]}
        return json.loads(json.dumps(page))  # type: ignore[no-any-return]


def pvc(uid: str = UID, name: str = "data") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid}, "spec": {}}


def pv(handle: str = VOLUME, driver: str = names.DRIVER_NAME) -> dict[str, Any]:
    return {"metadata": {"name": "x"}, "spec": {"csi": {"driver": driver, "volumeHandle": handle}}}


LOCAL = {"metadata": {"name": "disk"}, "spec": {"local": {"path": "/mnt"}}}
STRANGERS = [pv("rds/another"), pv(driver="other.example"), LOCAL]


async def test_neither_claim_nor_volume() -> None:
    lists = Lists([pvc(name="other")], [*STRANGERS])
    assert await Claims(lists).standing(VOLUME, NAME, CLAIM) is Standing.NOBODY
    assert lists.asked == [PVCS, PVS]


async def test_a_claim_that_is_there_waits() -> None:
    assert await Claims(Lists([pvc()], [])).standing(VOLUME, NAME, CLAIM) is Standing.CLAIM


async def test_a_later_claim_of_that_name_is_another() -> None:
    lists = Lists([pvc(uid=UID.replace("7", "8"))], [])
    assert await Claims(lists).standing(VOLUME, NAME, CLAIM) is Standing.NOBODY


@pytest.mark.parametrize(("csi_name", "uid"), [("by-hand", UID), ("", UID), (NAME, ""), (NAME, None)])
async def test_a_claim_that_cannot_be_told_from_ours_is_ours(csi_name: str, uid: Any) -> None:
    assert await Claims(Lists([pvc(uid=uid)], [])).standing(VOLUME, csi_name, CLAIM) is Standing.CLAIM


@pytest.mark.parametrize("at", [0, PAGE - 1, PAGE, 2 * PAGE + 3])
async def test_a_volume_that_names_it_is_found_on_every_page(at: int) -> None:
    volumes = [*([STRANGERS[0]] * at), pv(), *STRANGERS]
    assert await Claims(Lists([], volumes)).standing(VOLUME, NAME, CLAIM) is Standing.VOLUME


async def test_the_claim_is_looked_for_before_the_volume() -> None:
    """A volume that is made into a PersistentVolume between the two looks, and its claim deleted, must be seen."""
    lists = Lists([], [])
    await Claims(lists).standing(VOLUME, NAME, CLAIM)
    assert lists.asked == [PVCS, PVS]


@pytest.mark.parametrize("path", [PVCS, PVS])
@pytest.mark.parametrize(
    "answer",
    [
        None,  # 404: no such list is no empty list
        {},
        {"kind": "Status", "metadata": {}, "items": []},
        {"kind": "PersistentVolumeList", "metadata": {}},
        {"kind": "PersistentVolumeClaimList", "metadata": {}, "items": None},
        {"kind": "PersistentVolumeList", "metadata": {}, "items": [None]},
        {"kind": "PersistentVolumeClaimList", "metadata": {}, "items": ["x"]},
        {"kind": "PersistentVolumeList", "metadata": {}, "items": [{}]},
        {"kind": "PersistentVolumeList", "items": []},
        {"kind": "PersistentVolumeClaimList", "items": []},
        ClusterUnavailable("status 410: the token has expired"),
    ],
)
async def test_any_other_answer_is_no_answer(path: tuple[str, ...], answer: object) -> None:
    lists = Lists([], [])
    lists.spoil = {path: answer}
    with pytest.raises(ClusterUnavailable):
        await Claims(lists).standing(VOLUME, NAME, CLAIM)


async def test_a_page_that_does_not_come_leaves_it_open() -> None:
    lists = Lists([], [STRANGERS[0]] * (PAGE + 1))

    class Once(Lists):
        async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None:
            if query is not None and "continue" in query:
                raise ClusterUnavailable("away")
            return await lists.get(*path, query=query)

    with pytest.raises(ClusterUnavailable):
        await Claims(Once([], [])).standing(VOLUME, NAME, CLAIM)


async def test_of_several_volumes_those_are_told_that_are_named() -> None:
    others = [f"rds/another-{number}" for number in range(2 * PAGE)]
    lists = Lists([], [*STRANGERS, *map(pv, others), pv()])
    assert await Claims(lists).named([VOLUME, others[0], "rds/nobodys", ""]) == {VOLUME, others[0]}
    assert set(lists.asked) == {PVS}
    lists.spoil = {PVS: ClusterUnavailable("away")}
    with pytest.raises(ClusterUnavailable):
        await Claims(lists).named([VOLUME])

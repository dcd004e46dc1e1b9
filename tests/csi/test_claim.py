"""For which claim a volume is made, as external-provisioner tells it in the parameters."""

import pytest

from rdscsi.csi import parameters
from rdscsi.model import Claim

NAMESPACE, NAME = "csi.storage.k8s.io/pvc/namespace", "csi.storage.k8s.io/pvc/name"


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("shop", "data-postgres-0"), ("a", "b"), ("n" * 63, "x." * 100 + "y"), ("default", "www.example.org")],
)
def test_a_claim_is_told(namespace: str, name: str) -> None:
    assert parameters.claim({NAMESPACE: namespace, NAME: name, "backend": "rds"}) == Claim(namespace, name)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {NAME: "data"},
        {NAMESPACE: "shop"},
        {NAMESPACE: "", NAME: "data"},
        {NAMESPACE: "..", NAME: "data"},
        {NAMESPACE: "shop", NAME: ".."},
        {NAMESPACE: "shop", NAME: "a/b"},
        {NAMESPACE: "shop", NAME: "data\n"},
        {NAMESPACE: "Shop", NAME: "data"},
        {NAMESPACE: "shop", NAME: "${pvc.name}"},
        {NAMESPACE: "n" * 64, NAME: "data"},
        {NAMESPACE: "shop", NAME: "x." * 127 + "y"},
        {NAMESPACE: "a.b", NAME: "data"},
    ],
)
def test_what_names_no_object_is_no_claim(given: dict[str, str]) -> None:
    assert parameters.claim(given) is None

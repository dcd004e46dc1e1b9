"""Looking through lists of the API server, page by page."""

from collections.abc import Callable, Mapping
from typing import Protocol

from rdscsi.errors import ClusterUnavailable

PAGE = 100
"""Objects that one answer holds at most: a page of them stays far below what the client reads."""


class Lists(Protocol):
    """Where lists are read; `rdscsi.kube.api.ApiServer` says how."""

    async def get(self, *path: str, query: Mapping[str, str] | None = None) -> Mapping[str, object] | None: ...


async def find(api: Lists, *path: str, kind: str, query: Mapping[str, str], wanted: Callable[[object], object]) -> bool:
    """Look through a list until `wanted` says yes of an item; tell whether it did.

    No `resourceVersion` is asked for, which shows the latest state; all pages show that one moment (Kubernetes API,
    "Resource versions" and "Retrieving large results sets"). Raises ClusterUnavailable when it cannot be read.
    """
    told, onward = f"GET /{'/'.join(path)}", {"limit": str(PAGE)}
    while True:
        page = await api.get(*path, query={**query, **onward})
        if page is None:
            raise ClusterUnavailable(f"{told}: there is no such list")
        items, metadata = page.get("items"), page.get("metadata")
        if page.get("kind") != kind or not isinstance(items, list) or not isinstance(metadata, dict):
            raise ClusterUnavailable(f"{told}: the answer is no {kind}")
        if any(wanted(one) for one in items):
            return True
        if not metadata.get("continue"):
            return False
        onward["continue"] = str(metadata["continue"])


def at(item: object, part: str) -> Mapping[str, object]:
    """Return a part that every object has. Raises ClusterUnavailable for what cannot be read: it might be the one."""
    value = item.get(part) if isinstance(item, dict) else None
    if not isinstance(value, dict):
        raise ClusterUnavailable(f"an item of a list has no {part}: {str(item)[:100]}")
    return value

"""Who can be asked about what only the cluster knows: nodes and claims.

Whether a node is done with a volume is asked at unpublish and at the next publish (law 8); whether anybody claims a
volume, when nobody asks any more for one that was made (docs/adr/0006).

The orchestrator unpublishes after the node has unstaged, and its word is taken where nobody can be asked. Where
somebody can, a node that may still be writing is marked dirty in the tag, until the contrary is proven.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from rdscsi.controller.backend import Backend
from rdscsi.errors import ClusterUnavailable
from rdscsi.model import Claim, Standing
from rdscsi.tags import TaggedNode

NODE_META = "node."
"""Meta keys that resolve the short form of a node id: `node.<hash>`."""

NOT_CUT = "nothing cut it off"


class Evidence(Protocol):
    """Who can be asked about nodes; `rdscsi.kube.nodes.Nodes` is one."""

    async def doubt(self, node_id: str, volume_id: str) -> str:
        """Say why a node may still be using a volume; empty when it is proven that it does not."""
        ...


class Claims(Protocol):
    """Who can be asked about claims; `rdscsi.kube.claims.Claims` is one."""

    async def standing(self, volume_id: str, csi_name: str, claim: Claim) -> Standing:
        """Tell who has to do with a volume, by the latest state. Raises ClusterUnavailable when that is not known."""
        ...

    async def named(self, volume_ids: Collection[str]) -> Collection[str]:
        """Return those of the volumes that a PersistentVolume names. Raises ClusterUnavailable."""
        ...


class Witness:
    """Asks about the nodes of a tag; with nobody to ask it says so."""

    def __init__(self, backend: Backend, evidence: Evidence | None) -> None:
        self._backend = backend
        self._evidence = evidence

    @property
    def cut_suffices(self) -> bool:
        """Tell whether a node that was cut off by switching the export off counts as fenced."""
        return self._evidence is None or self._backend.options.cut_ends_io

    async def doubts(self, nodes: Iterable[TaggedNode], volume_id: str) -> dict[str, str]:
        """Return why each of these nodes may still be using the volume; who is proven done is not in it.

        Raises ClusterUnavailable when somebody could be asked and does not answer.
        """
        asked = {node.node: await self._doubt(node.node, volume_id) for node in nodes}
        return {node: reason for node, reason in asked.items() if reason}

    async def doubts_at_leaving(self, nodes: Iterable[TaggedNode], volume_id: str) -> dict[str, str] | None:
        """The same for nodes that are being cut off, which never waits for an answer; None with nobody to ask."""
        if self._evidence is None:
            return None
        nodes = list(nodes)
        try:
            return await self.doubts(nodes, volume_id)
        except ClusterUnavailable as error:
            return {node.node: str(error) for node in nodes}

    async def _doubt(self, tagged: str, volume_id: str) -> str:
        if self._evidence is None:
            return NOT_CUT
        node_id = tagged
        if tagged.startswith("#"):
            known = await self._backend.journal.get_meta(NODE_META + tagged)
            if known is None:
                return f"the journal does not know any more which node {tagged} is"
            node_id = known
        return await self._evidence.doubt(node_id, volume_id)

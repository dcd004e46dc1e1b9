"""Who may reach a volume next: the decisions behind publish and unpublish (law 8). Pure.

A tag carries the publication: an epoch, which ends the NQN, and each node it ever let in. The epoch moves only when the
set of nodes goes from empty to one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rdscsi.errors import AlreadyExists, NotPermittedNow
from rdscsi.model import AccessMode, AccessType, PublishRequest
from rdscsi.tags import NodeState, PublicationTag, Tag, TaggedNode

MOST_NODES = 2
"""How many nodes may share a block device: the one that a virtual machine leaves, and the one that it moves to."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The tag under which a node is let in. `fresh`: a new epoch, so the set of nodes was empty."""

    tag: Tag
    fresh: bool

    @property
    def publication(self) -> PublicationTag:
        """The publication part; an admission always has one."""
        assert self.tag.publication is not None
        return self.tag.publication


def admit(
    tag: Tag,
    request: PublishRequest,
    epoch: str,
    *,
    filesystem_seen: bool,
    doubts: Mapping[str, str] | None = None,
    cut_suffices: bool = True,
) -> Admission:
    """Let a node in, or confirm that it is in. `epoch` is used only when the set of nodes is empty.

    `filesystem_seen`: the appliance sees a filesystem in the volume, so it is not blank any more. `doubts` says of the
    dirty nodes in the tag why they may still be writing; whoever is not in it is done. `cut_suffices`: they are fenced
    once the volume is exported to nobody.
    A second node is let in beside the first one, in the same epoch, where both want a block device that is written by
    several nodes. Raises AlreadyExists when the node is in under another capability, NotPermittedNow for all others.
    """
    publication = tag.publication
    if publication is not None and publication.active:
        return _admit_again(tag, publication, request, doubts or {})
    if publication is not None and not cut_suffices:
        _refuse_after(publication, request, doubts or {})
    capability = request.capability
    blank = tag.blank and not filesystem_seen
    mount = capability.access_type is AccessType.MOUNT
    admitted = PublicationTag(
        epoch=epoch,
        access_type=capability.access_type,
        access_mode=capability.access_mode,
        readonly=request.readonly,
        permit=blank and mount and not request.readonly,
        nodes=(TaggedNode(request.node_id, NodeState.PUBLISHED),),
    )
    # Whoever gets the raw device may write anything, unseen: it counts as used from the moment it is reachable.
    return Admission(tag.evolve(publication=admitted, blank=blank and mount), fresh=True)


def _refuse_after(publication: PublicationTag, request: PublishRequest, doubts: Mapping[str, str]) -> None:
    """Refuse whoever comes after a node that was cut off and may still be writing. Raises NotPermittedNow."""
    for node in publication.dirty:
        if reason := doubts.get(node.node, ""):
            if node.names(request.node_id):
                continue
            name = node.node.rpartition(":")[0] or node.node
            raise NotPermittedNow(
                f"{request.volume_id} was cut off from {node.node}, which may still be writing: {reason}. "
                f"{request.node_id} may have it when that is over, or when a person who knows that the node is off "
                f"says so: kubectl taint nodes {name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
            )


def _admit_again(
    tag: Tag, publication: PublicationTag, request: PublishRequest, doubts: Mapping[str, str]
) -> Admission:
    known = publication.find(request.node_id)
    others = [node.node for node in publication.active if not node.names(request.node_id)]
    capability = request.capability
    asked = (capability.access_type, capability.access_mode, request.readonly)
    given = (publication.access_type, publication.access_mode, publication.readonly)
    inside = known is not None and known.state is NodeState.PUBLISHED
    if others and not inside:
        _refuse_beside(publication, request, others, doubts, alike=asked == given)
    if asked != given:
        raise AlreadyExists(
            f"{request.volume_id} is published to {request.node_id} as {_shown(given)}, not as {_shown(asked)}"
        )
    if inside:
        return Admission(tag, fresh=False)
    done = [node for node in publication.dirty if node.node not in doubts]
    kept = tuple(node for node in publication.nodes if node is not known and node not in done)
    nodes = (*kept, TaggedNode(request.node_id, NodeState.PUBLISHED))
    return Admission(tag.evolve(publication=replace(publication, nodes=nodes)), fresh=False)


def _refuse_beside(
    publication: PublicationTag,
    request: PublishRequest,
    others: list[str],
    doubts: Mapping[str, str],
    *,
    alike: bool,
) -> None:
    """Refuse a second node, unless both share a block device as a virtual machine's migration does; and any third one.

    Raises NotPermittedNow.
    """
    shared = (AccessType.BLOCK, AccessMode.MULTI_NODE_MULTI_WRITER)
    there = f"{request.volume_id} is published to {' and '.join(others)}"
    if not alike or (publication.access_type, publication.access_mode) != shared:
        raise NotPermittedNow(f"{there}; it must be unpublished there before {request.node_id} may have it")
    if len(others) >= MOST_NODES:
        raise NotPermittedNow(f"{there}, which is as many as may share it; {request.node_id} may have it after one")
    dirty = [node.node for node in publication.dirty if node.node in doubts and not node.names(request.node_id)]
    if dirty:
        reasons = "; ".join(doubts[node] for node in dirty)
        raise NotPermittedNow(
            f"{there}, and {' and '.join(dirty)} had it in the same epoch and may still write: {reasons}. "
            f"{request.node_id} may have it once the volume was published nowhere, which cuts all of them off"
        )


def leaving(tag: Tag, node_id: str) -> tuple[TaggedNode, ...]:
    """Return the nodes that an unpublish of this node (empty: every node) is about."""
    active = tag.publication.active if tag.publication is not None else ()
    return tuple(node for node in active if not node_id or node.names(node_id))


def dismiss(tag: Tag, node_id: str, *, filesystem_seen: bool, doubts: Mapping[str, str] | None = None) -> Tag | None:
    """Return the tag after a node (empty: every node) left; None when it is not in.

    `doubts` says of the leaving nodes why they may still be writing: those stay dirty. None: nobody could be asked;
    then whoever leaves is dirty where another one stays, because the export stays too, and else it is cut off.
    """
    publication = tag.publication
    if publication is None:
        return None
    gone = leaving(tag, node_id)
    if not gone:
        return None
    if doubts is None:
        doubts = {node.node: "" for node in gone} if len(gone) < len(publication.active) else {}
    state = {node: NodeState.DIRTY if node.node in doubts else NodeState.LEFT for node in gone}
    nodes = tuple(TaggedNode(node.node, state[node]) if node in state else node for node in publication.nodes)
    return tag.evolve(publication=replace(publication, nodes=nodes), blank=tag.blank and not filesystem_seen)


def strangers_left(tag: Tag, node_id: str) -> bool:
    """Tell whether another node than this one was cut off last: it could come back with an unflushed change."""
    publication = tag.publication
    return publication is not None and any(not node.names(node_id) for node in publication.nodes)


def _shown(given: tuple[AccessType, object, bool]) -> str:
    access_type, mode, readonly = given
    return f"{access_type.value}, {getattr(mode, 'value', mode)}, {'read-only' if readonly else 'read-write'}"

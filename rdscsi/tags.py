"""What the driver writes into comments on the appliance: owner tags and the marker (docs/adr/0001).

The appliance describes itself (law 5): with the journal gone, these texts are all that says whose an object is. Both
are single lines of printable ASCII, `key=value` parted by blanks, of at most 255 bytes. Pure; names are in `names`.
"""

import enum
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from rdscsi import names
from rdscsi.model import AccessMode, AccessType

COMMENT_MAX_BYTES = 255  # not probed on hardware yet
FORMAT = "rdscsi1"
NO_SOURCE = "-"

_WORD = re.compile(r"[\x21-\x7e]+")
_NODE_STATES = {"p": "published", "d": "dirty", "l": "left"}
_MODES = {
    AccessMode.SINGLE_NODE_WRITER: "snw",
    AccessMode.SINGLE_NODE_READER_ONLY: "snr",
    AccessMode.SINGLE_NODE_SINGLE_WRITER: "sns",
    AccessMode.SINGLE_NODE_MULTI_WRITER: "snm",
    AccessMode.MULTI_NODE_READER_ONLY: "mnr",
    AccessMode.MULTI_NODE_SINGLE_WRITER: "mns",
    AccessMode.MULTI_NODE_MULTI_WRITER: "mnm",
}
_MODE_OF = {code: mode for mode, code in _MODES.items()}


class TagState(enum.Enum):
    """Where an object is in its life."""

    CREATING = "creating"
    READY = "ready"
    DELETING = "deleting"


class NodeState(enum.Enum):
    """What a publication knows of a node: reachable by it, perhaps still writing, or known to be gone."""

    PUBLISHED = "p"
    DIRTY = "d"
    LEFT = "l"


@dataclass(frozen=True, slots=True)
class TaggedNode:
    """A node in a tag: its node id, or `#` and a hash of it where the id does not fit."""

    node: str
    state: NodeState

    def names(self, node_id: str) -> bool:
        """Tell whether this entry means the node with that id."""
        return self.node in (node_id, hashed_node(node_id))


@dataclass(frozen=True, slots=True)
class PublicationTag:
    """The publication part of a tag. It stays after unpublish, with the nodes as `left`.

    `permit` says that this epoch's publish_context carries the permission to format (law 6); it is fixed for the
    epoch, so that a repeated publish returns the same context.
    """

    epoch: str
    access_type: AccessType
    access_mode: AccessMode
    readonly: bool
    permit: bool
    nodes: tuple[TaggedNode, ...]

    @property
    def active(self) -> tuple[TaggedNode, ...]:
        """The nodes that the volume is published to. It is exported for as long as there is one."""
        return tuple(node for node in self.nodes if node.state is NodeState.PUBLISHED)

    @property
    def dirty(self) -> tuple[TaggedNode, ...]:
        """The nodes that left and may still be writing: another one stayed, or somebody had reason to doubt them."""
        return tuple(node for node in self.nodes if node.state is NodeState.DIRTY)

    def find(self, node_id: str) -> TaggedNode | None:
        """Return the entry of a node, or None when the publication never knew it."""
        return next((node for node in self.nodes if node.names(node_id)), None)


@dataclass(frozen=True, slots=True)
class Tag:
    """The owner tag of a volume: the `comment` of its disk item.

    `operation` is the create that made it (and ends its path). `generation` rises with every change of the tag.
    `name_hash` and `request_hash` tell a repeated create from a different one. `blank` is true while the content was
    made empty by us and was never published as a block device. `source` is what `source_word` makes of the volume's
    content source, `-` without one. `backing_uuid` is the Btrfs subvolume's, or empty. `path` is the file's, without a
    leading slash, where the volume was imported; empty where slot and operation tell it.
    """

    state: TagState
    operation: str
    generation: int
    name_hash: str
    request_hash: str
    size_bytes: int
    blank: bool = True
    source: str = NO_SOURCE
    publication: PublicationTag | None = None
    backing_uuid: str = ""
    path: str = ""

    def evolve(self, **changes: object) -> "Tag":
        """Return the next generation of this tag with some fields changed, as it will read back from the appliance.

        Node ids may have become hashes on the way, so that only this form compares with what an answer shows.
        """
        following = replace(self, generation=self.generation + 1, **changes)  # type: ignore[arg-type]
        read_back = parse_tag(render_tag(following))
        assert read_back is not None, "what is rendered can be parsed"
        return read_back

    @property
    def active_nodes(self) -> tuple[TaggedNode, ...]:
        """The nodes that may reach the volume now."""
        return self.publication.active if self.publication else ()


def never_let_in(comment: str) -> bool:
    """Tell whether a comment is a volume's tag that no publish has changed: nobody was ever let in to the volume."""
    tag = parse_tag(comment)
    return tag is not None and tag.publication is None


def name_hash(csi_name: str) -> str:
    """Return the hash of a CSI name as a tag holds it (60 bits; the slot holds 120 more)."""
    return names.checksum("name", csi_name, length=12)


def source_word(slot: str) -> str:
    """Return what a tag tells of a content source: its slot's kind and the first half of its hash (60 bits).

    The whole slot would not fit beside two nodes; this much finds it again.
    """
    return slot[0] + slot[8:20]


def hashed_node(node_id: str) -> str:
    """Return the short form of a node id for tags that would grow too long."""
    return "#" + names.checksum("tagged node", node_id, length=16)


def render_tag(tag: Tag) -> str:
    """Render a tag. Node ids that make it too long are replaced by their hashes.

    Raises ValueError when even so it does not fit, or a field holds what a comment of ours must not.
    """
    words = _tag_words(tag)
    if len(" ".join(words)) > COMMENT_MAX_BYTES and tag.publication is not None:
        short = tuple(
            node if node.node.startswith("#") else TaggedNode(hashed_node(node.node), node.state)
            for node in tag.publication.nodes
        )
        words = _tag_words(replace(tag, publication=replace(tag.publication, nodes=short)))
    return _joined(words)


def _tag_words(tag: Tag) -> list[str]:
    fields = [
        FORMAT,
        "v",
        tag.state.value,
        f"op={tag.operation}",
        f"gen={tag.generation}",
        f"name={tag.name_hash}",
        f"req={tag.request_hash}",
        f"size={tag.size_bytes}",
        f"src={tag.source}",
        f"use={'blank' if tag.blank else 'used'}",
    ]
    if tag.path:
        fields.append(f"file={tag.path}")
    if tag.publication is not None:
        fields += _publication_fields(tag.publication)
    return [*fields, f"uuid={tag.backing_uuid}"]


def _publication_fields(publication: PublicationTag) -> list[str]:
    nodes = ",".join(f"{node.node}+{node.state.value}" for node in publication.nodes)
    flags = (
        "b" if publication.access_type is AccessType.BLOCK else "m",
        "r" if publication.readonly else "w",
        "f" if publication.permit else "n",
    )
    return [f"ep={publication.epoch}", f"pub={_MODES[publication.access_mode]}{''.join(flags)}", f"nodes={nodes}"]


@lru_cache(maxsize=4096)  # each look at a volume asks several times
def parse_tag(comment: str) -> Tag | None:
    """Read a comment; None when it is not a volume tag of the format that this version writes, to the letter.

    A tag that was edited by hand is no tag: the driver then knows only that the slot is ours.
    """
    head, fields = _fields(comment, positional=3)
    try:
        if head[:2] != [FORMAT, "v"]:
            return None
        tag = Tag(
            state=TagState(head[2]),
            operation=fields["op"],
            generation=int(fields["gen"]),
            name_hash=fields["name"],
            request_hash=fields["req"],
            size_bytes=int(fields["size"]),
            blank={"blank": True, "used": False}[fields["use"]],
            source=fields["src"],
            publication=_parse_publication(fields) if "ep" in fields else None,
            backing_uuid=fields["uuid"],
            path=fields.get("file", ""),
        )
        return tag if " ".join(_tag_words(tag)) == comment else None
    except (KeyError, ValueError, IndexError):
        return None


def _parse_publication(fields: dict[str, str]) -> PublicationTag:
    code = fields["pub"]
    nodes = []
    for text in filter(None, fields["nodes"].split(",")):
        node, _, state = text.rpartition("+")
        nodes.append(TaggedNode(node, NodeState(state)))
    return PublicationTag(
        epoch=fields["ep"],
        access_mode=_MODE_OF[code[:3]],
        access_type={"b": AccessType.BLOCK, "m": AccessType.MOUNT}[code[3]],
        readonly={"r": True, "w": False}[code[4]],
        permit={"f": True, "n": False}[code[5]],
        nodes=tuple(nodes),
    )


@dataclass(frozen=True, slots=True)
class Marker:
    """The comment of a cluster's one marker object on a backend.

    `token_counter` and `token_random` are the controller token: whoever wrote them last may mutate (laws 4 and 8).
    """

    cluster_id: str
    base_path: str
    fs_uuid: str
    journal_id: str
    token_counter: int
    token_random: str

    def taken_by(self, journal_id: str, random: str, *, above: int = 0) -> "Marker":
        """Return the marker as the next holder of the token writes it."""
        counter = max(self.token_counter, above) + 1
        return replace(self, journal_id=journal_id, token_counter=counter, token_random=random)


def render_marker(marker: Marker) -> str:
    """Render the marker's comment. Raises ValueError when it does not fit."""
    return _joined(
        [
            FORMAT,
            "m",
            f"cluster={marker.cluster_id}",
            f"base={marker.base_path}",
            f"fs={marker.fs_uuid}",
            f"journal={marker.journal_id}",
            f"token={marker.token_counter}:{marker.token_random}",
        ]
    )


def parse_marker(comment: str) -> Marker | None:
    """Read a marker's comment; None when it is not one of this format, to the letter."""
    head, fields = _fields(comment, positional=2)
    try:
        if head != [FORMAT, "m"]:
            return None
        counter, _, random = fields["token"].partition(":")
        marker = Marker(fields["cluster"], fields["base"], fields["fs"], fields["journal"], int(counter), random)
        return marker if render_marker(marker) == comment else None
    except (KeyError, ValueError):
        return None


def _fields(comment: str, positional: int) -> tuple[list[str], dict[str, str]]:
    words = comment.split(" ")
    pairs = (word.partition("=") for word in words[positional:])
    return words[:positional], {key: value for key, _, value in pairs}


def _joined(words: list[str]) -> str:
    text = " ".join(words)
    if len(text) > COMMENT_MAX_BYTES:
        raise ValueError(f"a comment of {len(text)} bytes is longer than {COMMENT_MAX_BYTES}: {text}")
    for word in words:
        if not _WORD.fullmatch(word):
            raise ValueError(f"a comment holds only words of printable ASCII without blanks, not {word!r}")
    return text

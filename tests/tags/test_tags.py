"""Owner tags and the marker: read back to the letter, within their budget, and nothing else is taken for one."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rdscsi import names, tags
from rdscsi.model import AccessMode, AccessType
from rdscsi.tags import (
    COMMENT_MAX_BYTES,
    Marker,
    NodeState,
    PublicationTag,
    Tag,
    TaggedNode,
    TagState,
    hashed_node,
    parse_marker,
    parse_tag,
    render_marker,
    render_tag,
)

LONGEST_NAME = "x" * 119
node_ids = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,117}[a-z0-9])?", fullmatch=True).map(names.node_id)
tagged_nodes = st.builds(TaggedNode, node_ids | node_ids.map(hashed_node), st.sampled_from(NodeState))
operation_ids = st.binary(min_size=8, max_size=8).map(names.operation_id)
epochs = st.binary(min_size=10, max_size=10).map(names.epoch)
hashes = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"), min_size=12, max_size=12)
publications = st.builds(
    PublicationTag,
    epoch=epochs,
    access_type=st.sampled_from(AccessType),
    access_mode=st.sampled_from(AccessMode),
    readonly=st.booleans(),
    permit=st.booleans(),
    nodes=st.lists(tagged_nodes, max_size=2).map(tuple),
)
csi_names = st.text(min_size=1, max_size=128)
made_tags = st.builds(
    Tag,
    state=st.sampled_from(TagState),
    operation=operation_ids,
    generation=st.integers(0, 10**9),
    name_hash=csi_names.map(tags.name_hash),
    request_hash=hashes,
    size_bytes=st.integers(0, 10**15),
    blank=st.booleans(),
    source=st.just("-")
    | st.text(min_size=1, max_size=128).map(lambda name: tags.source_word(names.slot("s", "c", name))),
    publication=st.none() | publications,
    backing_uuid=st.just("") | st.uuids().map(str),
)
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
TAG = Tag(TagState.READY, "aaaqeayeaudao", 3, "abcdefghijkl", "mnopqrstuvwx", 1 << 30, backing_uuid=UUID)
PUBLICATION = PublicationTag(
    "aaaqeayeaudaocaj",
    AccessType.MOUNT,
    AccessMode.SINGLE_NODE_WRITER,
    readonly=False,
    permit=True,
    nodes=(TaggedNode(names.node_id("worker-1"), NodeState.PUBLISHED),),
)
MARKER = Marker("8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52", "pool1/rdscsi", UUID, "aaaqeayeaudao", 41, "aaaqeayeaudaocaj")


@given(made_tags, st.from_regex(r"pool1/[a-z0-9_./=-]{1,24}", fullmatch=True))
def test_the_path_of_an_imported_volume_is_read_back(made: Tag, path: str) -> None:
    imported = replace(made, path=path, backing_uuid="", source="-", request_hash="-", blank=False)
    found = parse_tag(render_tag(imported))
    assert found is not None
    assert found.path == path
    assert found.evolve().path == path
    assert replace(found, publication=None) == replace(imported, publication=None)


def test_a_source_is_told_by_kind_and_half_its_hash() -> None:
    slot = names.slot("s", "c", "snap-1")
    assert tags.source_word(slot) == f"s{slot.partition('-')[2][:12]}"


class TestWhatMustNeverChange:
    """Appliances hold these texts. A new format gets a new first word and is read beside this one."""

    def test_examples_of_each_comment(self) -> None:
        assert render_tag(TAG) == (
            "rdscsi1 v ready op=aaaqeayeaudao gen=3 name=abcdefghijkl req=mnopqrstuvwx size=1073741824 src=- use=blank "
            f"uuid={UUID}"
        )
        assert render_tag(replace(TAG, publication=PUBLICATION, blank=False, backing_uuid="")) == (
            "rdscsi1 v ready op=aaaqeayeaudao gen=3 name=abcdefghijkl req=mnopqrstuvwx size=1073741824 src=- use=used "
            f"ep=aaaqeayeaudaocaj pub=snwmwf nodes={names.node_id('worker-1')}+p uuid="
        )
        assert render_marker(MARKER) == (
            "rdscsi1 m cluster=8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52 base=pool1/rdscsi "
            f"fs={UUID} journal=aaaqeayeaudao token=41:aaaqeayeaudaocaj"
        )

    def test_every_access_mode_has_a_code_of_its_own(self) -> None:
        rendered = {render_tag(replace(TAG, publication=replace(PUBLICATION, access_mode=mode))) for mode in AccessMode}
        assert len(rendered) == len(AccessMode)

    def test_hashes_of_names_and_nodes(self) -> None:
        assert tags.name_hash("pvc-1") == names.checksum("name", "pvc-1", length=12)
        assert re.fullmatch("#[a-z2-7]{16}", hashed_node("worker-1:abcdefgh"))


class TestTags:
    @given(made_tags)
    def test_they_read_back_to_the_letter(self, tag: Tag) -> None:
        text = render_tag(tag)
        read = parse_tag(text)
        assert read is not None
        assert render_tag(read) == text
        if len(text) <= COMMENT_MAX_BYTES and read.publication == tag.publication:
            assert read == tag

    @given(made_tags)
    def test_they_are_one_line_of_printable_ascii_within_the_budget(self, tag: Tag) -> None:
        text = render_tag(tag)
        assert re.fullmatch(r"[\x21-\x7e]+( [\x21-\x7e]+)*", text)
        assert len(text.encode()) <= COMMENT_MAX_BYTES

    @given(made_tags, made_tags)
    def test_two_tags_have_two_texts(self, one: Tag, other: Tag) -> None:
        assume(one != other)
        if render_tag(one) == render_tag(other):  # only where node ids were hashed on one side
            assert one.publication is not None
            assert replace(one, publication=None) == replace(other, publication=None)

    @given(made_tags, node_ids)
    def test_a_long_node_id_is_hashed_and_still_means_its_node(self, tag: Tag, node: str) -> None:
        long_ids = [names.node_id(f"{LONGEST_NAME[:-1]}{number}") for number in (1, 2)]
        nodes = tuple(TaggedNode(one, NodeState.PUBLISHED) for one in long_ids)
        assume(tag.publication is not None)
        assert tag.publication is not None
        tag = replace(tag, publication=replace(tag.publication, nodes=nodes))
        read = parse_tag(render_tag(tag))
        assert read is not None
        assert read.publication is not None
        assert [one.node for one in read.publication.nodes] == [hashed_node(one) for one in long_ids]
        for identity in long_ids:
            found = read.publication.find(identity)
            assert found is not None
            assert found.names(identity)
        assert read.publication.find(node) is None or node in long_ids

    def test_the_largest_publication_of_two_nodes_fits(self) -> None:
        nodes = tuple(TaggedNode(names.node_id(f"{LONGEST_NAME[:-1]}{number}"), NodeState.DIRTY) for number in range(2))
        large = replace(TAG, generation=10**9, size_bytes=1 << 50, publication=replace(PUBLICATION, nodes=nodes))
        assert len(render_tag(large)) <= COMMENT_MAX_BYTES

    def test_what_does_not_fit_even_so_is_refused(self) -> None:
        nodes = tuple(TaggedNode(names.node_id(f"node-{number}"), NodeState.PUBLISHED) for number in range(10))
        with pytest.raises(ValueError, match="longer than 255"):
            render_tag(replace(TAG, publication=replace(PUBLICATION, nodes=nodes)))

    @given(st.characters(), st.sampled_from(["source", "backing_uuid", "request_hash"]))
    def test_no_field_can_break_the_line(self, character: str, field: str) -> None:
        tag = replace(TAG, **{field: f"a{character}b"})  # type: ignore[arg-type]
        if "!" <= character <= "~":
            assert parse_tag(render_tag(tag)) == tag
        else:
            with pytest.raises(ValueError, match=r"printable ASCII"):
                render_tag(tag)

    @given(made_tags, st.integers(0, 254), st.characters(min_codepoint=0x20, max_codepoint=0x7E))
    @example(TAG, 28, "0")
    def test_an_edited_tag_is_no_tag_or_another_valid_one(self, tag: Tag, at: int, character: str) -> None:
        """Whatever is read must render to exactly what was there: nothing is guessed, trimmed or reordered."""
        text = render_tag(tag)
        edited = text[:at] + character + text[at + 1 :]
        read = parse_tag(edited)
        assert read is None or " ".join(tags._tag_words(read)) == edited

    @pytest.mark.parametrize(
        "edit",
        [
            lambda text: text + " ",
            lambda text: " " + text,
            lambda text: text.replace(" gen=3", " gen=03"),
            lambda text: text.replace(" gen=3", " gen=+3"),
            lambda text: text.replace(" gen=3", " gen=3 gen=3"),
            lambda text: text.replace(" gen=3", ""),
            lambda text: text.replace(" gen=3", "  gen=3"),
            lambda text: text.replace("use=blank", "use=maybe"),
            lambda text: text.replace("ready", "Ready"),
            lambda text: text.replace("rdscsi1", "rdscsi2"),
            lambda text: text.replace(" v ", " m "),
            lambda text: text + " note=mine",
            lambda text: text.replace("size=", "size=x"),
            lambda text: "keep this disk! " + text,
            lambda text: text.split(" uuid=")[0],
            lambda text: text.replace("uuid=", "nodes=a+p uuid="),
            lambda text: text.replace("uuid=", "ep=x uuid="),
            lambda text: text.replace("uuid=", "ep=x pub=snw nodes= uuid="),
            lambda text: text.replace("uuid=", "ep=x pub=xxxmwf nodes= uuid="),
            lambda text: text.replace("uuid=", "ep=x pub=snwmwf nodes=a+z uuid="),
        ],
    )
    def test_a_tag_that_a_person_edited_is_no_tag(self, edit: Callable[[str], str]) -> None:
        assert parse_tag(render_tag(TAG)) == TAG
        assert parse_tag(edit(render_tag(TAG))) is None

    @given(st.text(max_size=300))
    @example("")
    @example("rdscsi1")
    @example("rdscsi1 v")
    @example("rdscsi1 v ready")
    def test_whatever_a_comment_holds_there_is_an_answer(self, text: str) -> None:
        assert parse_tag(text) is None
        assert parse_marker(text) is None

    @given(made_tags)
    def test_the_next_generation_is_one_higher(self, tag: Tag) -> None:
        assert tag.evolve(state=TagState.DELETING) == replace(
            tag, state=TagState.DELETING, generation=tag.generation + 1
        )

    @given(publications)
    def test_the_published_are_active_and_the_dirty_are_not(self, publication: PublicationTag) -> None:
        active = replace(TAG, publication=publication).active_nodes
        assert set(active) == {node for node in publication.nodes if node.state is NodeState.PUBLISHED}
        assert not {*active} & {*publication.dirty}
        assert TAG.active_nodes == ()


class TestMarkers:
    @given(
        st.builds(
            Marker,
            cluster_id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=36),
            base_path=st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}", fullmatch=True),
            fs_uuid=st.uuids().map(str),
            journal_id=operation_ids,
            token_counter=st.integers(0, 10**12),
            token_random=epochs,
        )
    )
    def test_they_read_back_to_the_letter(self, marker: Marker) -> None:
        text = render_marker(marker)
        assert len(text) <= COMMENT_MAX_BYTES
        assert parse_marker(text) == marker

    @given(st.integers(0, 200), st.characters(min_codepoint=0x20, max_codepoint=0x7E))
    def test_an_edited_marker_is_none_or_another_valid_one(self, at: int, character: str) -> None:
        text = render_marker(MARKER)
        edited = text[:at] + character + text[at + 1 :]
        read = parse_marker(edited)
        assert read is None or render_marker(read) == edited

    @pytest.mark.parametrize(
        "text",
        [
            render_marker(MARKER) + " ",
            render_marker(MARKER).replace("token=41", "token=041"),
            render_marker(MARKER).replace("token=41:", "token="),
            render_marker(MARKER).replace("token=41", "token=x"),
            render_marker(MARKER).replace(" fs=", " fs2="),
            render_marker(MARKER).replace("rdscsi1", "rdscsi2"),
            render_tag(TAG),
        ],
    )
    def test_anything_else_is_no_marker(self, text: str) -> None:
        assert parse_marker(text) is None

    def test_one_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="longer than 255"):
            render_marker(replace(MARKER, base_path="x" * 200))
        with pytest.raises(ValueError, match="printable ASCII"):
            render_marker(replace(MARKER, cluster_id="two words"))

    @given(st.integers(0, 10**9), st.integers(0, 10**9))
    def test_the_token_only_rises(self, counter: int, above: int) -> None:
        marker = replace(MARKER, token_counter=counter).taken_by("j", "r", above=above)
        assert marker.token_counter == max(counter, above) + 1
        assert (marker.journal_id, marker.token_random) == ("j", "r")
        assert (marker.cluster_id, marker.base_path, marker.fs_uuid) == (
            MARKER.cluster_id,
            MARKER.base_path,
            MARKER.fs_uuid,
        )

"""The names that live for ever: fixed examples that no version may change, round trips, bounds, and no mixing up."""

import re

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rdscsi import names
from rdscsi.model import Portal, PublishContext
from rdscsi.names import Backing, SnapshotBacking, VolumeId

ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)
csi_names = st.text(min_size=1, max_size=128)
slots = st.builds(names.slot, st.just("v"), ids, csi_names)
operation_ids = st.binary(min_size=8, max_size=8).map(names.operation_id)
epochs = st.binary(min_size=10, max_size=10).map(names.epoch)
node_names = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,117}[a-z0-9])?", fullmatch=True)
backends = st.from_regex(r"[a-z0-9](?:[-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)
portals = st.builds(Portal, st.ip_addresses().map(str), st.integers(1, 65535))
anything = st.text(max_size=200)


class TestWhatMustNeverChange:
    """Written down once, from docs/adr/0001: PersistentVolumes and appliances hold these. Do not "fix" an example."""

    def test_examples_of_each_name(self) -> None:
        cluster, csi_name = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52", "pvc-7f3f8d0c-52a7-4d4e-9a38-3b7a5b2d7f11"
        slot = names.slot("v", cluster, csi_name)
        assert slot == EXAMPLES["slot"]
        assert names.marker_slot(cluster, "rds") == EXAMPLES["marker"]
        assert names.volume_id("rds", slot) == f"rds/{slot}"
        assert names.operation_id(bytes(range(8))) == EXAMPLES["operation"]
        assert names.epoch(bytes(range(10))) == EXAMPLES["epoch"]
        assert names.subnqn(slot, names.epoch(bytes(range(10)))) == (
            f"nqn.2026-11.io.rdscsi:{slot}:{EXAMPLES['epoch']}"
        )
        assert names.node_id("worker-1.example") == EXAMPLES["node"]
        assert names.host_id(cluster, EXAMPLES["node"]) == EXAMPLES["host"]
        assert names.hostnqn(cluster, EXAMPLES["node"]) == f"nqn.2014-08.org.nvmexpress:uuid:{EXAMPLES['host']}"
        backing = Backing(slot, EXAMPLES["operation"])
        assert backing.file_path("pool1/rdscsi", btrfs=True) == f"pool1/rdscsi/{slot}.{EXAMPLES['operation']}/disk.img"
        assert backing.file_path("pool1/rdscsi", btrfs=False) == f"pool1/rdscsi/{slot}.{EXAMPLES['operation']}.img"

    def test_the_driver_keeps_its_name(self) -> None:
        assert names.DRIVER_NAME == "csi.rdscsi.io"
        assert names.NQN_PREFIX == "nqn.2026-11.io.rdscsi"


class TestChecksums:
    @given(st.lists(ids, min_size=1, max_size=4), st.integers(1, 52))
    def test_they_have_the_length_that_was_asked_for(self, parts: list[str], length: int) -> None:
        assert re.fullmatch(rf"[a-z2-7]{{{length}}}", names.checksum("test", *parts, length=length))

    @given(st.lists(ids, max_size=4), st.lists(ids, max_size=4))
    @example(["ab", "c"], ["a", "bc"])
    @example(["a", ""], ["a"])
    @example([], [""])
    def test_different_parts_never_meet(self, one: list[str], other: list[str]) -> None:
        same = names.checksum("test", *one, length=52) == names.checksum("test", *other, length=52)
        assert same == (one == other)

    @given(ids, ids, ids)
    def test_different_purposes_never_meet(self, one: str, other: str, part: str) -> None:
        assume(one != other)
        assert names.checksum(one, part, length=52) != names.checksum(other, part, length=52)


class TestSlots:
    @given(st.sampled_from("vm"), ids, csi_names)
    def test_they_fit_and_say_whose_they_are(self, kind: str, cluster: str, csi_name: str) -> None:
        slot = names.slot(kind, cluster, csi_name)
        assert len(slot) == names.SLOT_MAX_BYTES
        assert slot.isascii()
        assert names.is_slot(slot)
        assert names.slot_of_cluster(slot, kind, cluster)
        assert not names.slot_of_cluster(slot, "x", cluster)

    @given(ids, ids, csi_names)
    def test_another_clusters_slot_is_not_ours(self, cluster: str, other: str, csi_name: str) -> None:
        assume(names.cluster_key(cluster) != names.cluster_key(other))
        assert not names.slot_of_cluster(names.slot("v", other, csi_name), "v", cluster)

    @given(ids, csi_names, csi_names)
    def test_two_volumes_have_two_slots(self, cluster: str, one: str, other: str) -> None:
        assert (names.slot("v", cluster, one) == names.slot("v", cluster, other)) == (one == other)

    @given(ids, backends)
    def test_a_marker_is_no_volume(self, cluster: str, backend: str) -> None:
        assert names.marker_slot(cluster, backend) != names.slot("v", cluster, backend)

    @given(anything)
    def test_whatever_is_asked_there_is_an_answer(self, text: str) -> None:
        assert names.is_slot(text) == bool(re.fullmatch(r"[a-z][a-z2-7]{6}-[a-z2-7]{24}", text, re.ASCII))


class TestVolumeIds:
    @given(backends, slots)
    def test_they_come_apart_as_they_were_put_together(self, backend: str, slot: str) -> None:
        text = names.volume_id(backend, slot)
        assert len(text) <= 65
        assert names.parse_volume_id(text) == VolumeId(backend, slot)

    @given(anything)
    @example("")
    @example("rds")
    @example("/")
    @example("rds/../x")
    def test_what_is_not_ours_is_none(self, text: str) -> None:
        parsed = names.parse_volume_id(text)
        assert parsed is None or names.volume_id(parsed.backend, parsed.slot) == text

    @given(slots, st.sampled_from(["", "RDS", "a b", "-a", "a-", "x" * 33, "a/b", "a\n"]))
    def test_a_wrong_backend_is_none(self, slot: str, backend: str) -> None:
        assert not names.is_backend(backend)
        assert names.parse_volume_id(f"{backend}/{slot}") is None


class TestRandomParts:
    @given(st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=8))
    def test_operation_ids_keep_all_of_the_entropy(self, one: bytes, other: bytes) -> None:
        made = names.operation_id(one)
        assert len(made) == names.OPERATION_ID_LENGTH
        assert names.is_operation_id(made)
        assert (made == names.operation_id(other)) == (one == other)

    @given(st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
    def test_epochs_keep_all_of_the_entropy(self, one: bytes, other: bytes) -> None:
        assert len(names.epoch(one)) == names.EPOCH_LENGTH
        assert (names.epoch(one) == names.epoch(other)) == (one == other)

    @given(st.binary(max_size=20))
    def test_other_lengths_are_refused(self, entropy: bytes) -> None:
        if len(entropy) != 8:
            with pytest.raises(ValueError, match="8 random bytes"):
                names.operation_id(entropy)
        if len(entropy) != 10:
            with pytest.raises(ValueError, match="10 random bytes"):
                names.epoch(entropy)


class TestBackings:
    @given(slots, operation_ids, st.booleans(), st.sampled_from(["", "rdscsi", "a/b"]))
    def test_they_are_found_again_by_their_leaf(self, slot: str, operation: str, btrfs: bool, directory: str) -> None:
        backing = Backing(slot, operation)
        assert names.parse_backing(backing.name) == backing
        assert backing.subvolume(directory) == (f"{directory}/{backing.name}" if directory else backing.name)
        path = backing.file_path("pool1/rdscsi", btrfs=btrfs).removeprefix("pool1/rdscsi/")
        assert names.parse_backing(path.removesuffix("/disk.img")) == backing

    @given(anything)
    @example("lost+found")
    def test_a_strangers_leaf_is_none(self, leaf: str) -> None:
        backing = names.parse_backing(leaf)
        assert backing is None or leaf in (backing.name, f"{backing.name}.img")


class TestSnapshotBackings:
    """Their names are all that is left of a snapshot without a journal."""

    snapshots = st.builds(
        SnapshotBacking,
        st.builds(names.slot, st.just("s"), ids, csi_names),
        operation_ids,
        st.builds(Backing, slots, operation_ids),
        st.integers(1, (1 << 59) - 1),
    )

    def test_an_example_that_must_never_change(self) -> None:
        source = Backing(names.slot("v", "c", "pvc-1"), names.operation_id(bytes(range(8))))
        backing = SnapshotBacking(names.slot("s", "c", "snap-1"), names.operation_id(bytes(8)), source, 1 << 30)
        assert backing.name == f"{backing.slot}.aaaaaaaaaaaaa.{source.slot}.aaaqeayeaudao.1073741824"
        assert names.parse_snapshot_backing(backing.name) == backing

    @given(snapshots)
    def test_they_are_found_again_by_their_name_which_is_no_volumes(self, backing: SnapshotBacking) -> None:
        assert names.parse_snapshot_backing(backing.name) == backing
        assert names.parse_backing(backing.name) is None
        assert len(backing.name) <= 113
        assert backing.file_path("pool1/rdscsi", btrfs=True) == f"pool1/rdscsi/{backing.name}/disk.img"

    @given(slots, operation_ids, anything)
    @example("s", "o", "lost+found")
    def test_a_volumes_or_a_strangers_leaf_is_none(self, slot: str, operation: str, leaf: str) -> None:
        assert names.parse_snapshot_backing(Backing(slot, operation).name) is None
        backing = names.parse_snapshot_backing(leaf)
        assert backing is None or backing.name == leaf

    @given(snapshots)
    @example(SnapshotBacking("s" * 8, "o", Backing("v", "o"), 1))
    def test_what_is_nearly_one_is_none(self, backing: SnapshotBacking) -> None:
        for text in (f"{backing.name}x", f"x{backing.name}", f"v{backing.name[1:]}", f"{backing.name} "):
            assert names.parse_snapshot_backing(text) is None


class TestNqns:
    @given(slots, epochs)
    def test_they_name_their_slot(self, slot: str, epoch: str) -> None:
        text = names.subnqn(slot, epoch)
        assert len(text) <= 128
        assert names.slot_of_subnqn(text) == slot

    @given(anything)
    @example("nqn.2014-08.org.nvmexpress.discovery")
    @example("nqn.2000-02.com.mikrotik:pool1")
    def test_anybody_elses_is_none(self, text: str) -> None:
        slot = names.slot_of_subnqn(text)
        assert slot is None or text.startswith(f"{names.NQN_PREFIX}:{slot}:")


class TestNodes:
    @given(node_names)
    @example("x" * 119)
    def test_an_id_gives_its_name_back(self, name: str) -> None:
        identity = names.node_id(name)
        assert len(identity) <= 128
        assert names.node_name(identity) == name

    @given(anything)
    def test_a_malformed_id_is_none(self, text: str) -> None:
        name = names.node_name(text)
        assert name is None or names.node_id(name) == text

    @given(node_names, st.integers(0, 7), st.sampled_from("a234567z"))
    def test_a_mistyped_id_is_none(self, name: str, at: int, letter: str) -> None:
        head, tail = names.node_id(name)[:-8], names.node_id(name)[-8:]
        wrong = head + tail[:at] + letter + tail[at + 1 :]
        assert names.node_name(wrong) == (name if wrong == names.node_id(name) else None)

    @pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a:b", "ä", "x" * 120, "a\n"])
    def test_what_no_node_is_called(self, name: str) -> None:
        assert not names.is_node_name(name)
        assert names.node_name(names.node_id(name)) is None

    @given(ids, ids, node_names, node_names)
    def test_hosts_are_told_apart_by_cluster_and_node(self, one: str, other: str, a: str, b: str) -> None:
        same = names.host_id(one, names.node_id(a)) == names.host_id(other, names.node_id(b))
        assert same == ((one, a) == (other, b))
        assert len(names.hostnqn(one, names.node_id(a))) <= 223


class TestPortals:
    @given(portals)
    def test_they_are_read_as_they_are_shown(self, portal: Portal) -> None:
        assert names.parse_portal(str(portal)) == portal

    @given(st.ip_addresses().map(str), st.integers(1, 65535))
    def test_the_port_may_be_left_out(self, address: str, port: int) -> None:
        assert names.parse_portal(address, default_port=port) == Portal(address, port)
        if ":" in address:
            assert names.parse_portal(f"[{address}]", default_port=port) == Portal(address, port)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [("192.0.2.1", "192.0.2.1:4420"), ("2001:DB8::0:1", "[2001:db8::1]:4420"), ("[::1]:7", "[::1]:7")],
    )
    def test_addresses_are_shown_in_one_form(self, text: str, shown: str) -> None:
        assert str(names.parse_portal(text)) == shown

    @pytest.mark.parametrize(
        "text",
        [
            *("", ":", "host", "host:1", "1.2.3", "0x7f.1", " 192.0.2.1", "192.0.2.1:", "192.0.2.1:0"),
            *(
                "192.0.2.1:65536",
                "192.0.2.1:-1",
                "192.0.2.1:+1",
                "192.0.2.1:4420x",
                "192.0.2.1:٤",
                "192.0.2.1:00004420",
            ),
            *(
                "[::1",
                "[::1]x",
                "[::1]7",
                "[::1]:",
                "[::1]]:1",
                "[]:1",
                "[]",
                "fe80::1%eth0",
                "[fe80::1%eth0]:1",
                "a::b::c",
            ),
        ],
    )
    def test_what_is_no_address_is_none(self, text: str) -> None:
        assert names.parse_portal(text) is None

    @given(anything)
    def test_there_is_always_an_answer(self, text: str) -> None:
        portal = names.parse_portal(text)
        assert portal is None or names.parse_portal(str(portal)) == portal


class TestPublishContexts:
    @given(slots, epochs, st.lists(portals, min_size=1, max_size=4), st.sampled_from(["", "permit-1"]), st.booleans())
    def test_they_come_back_as_they_went(
        self, slot: str, epoch: str, at: list[Portal], permit: str, readonly: bool
    ) -> None:
        context = PublishContext(names.subnqn(slot, epoch), tuple(at), permit, readonly)
        fields = names.render_publish_context(context)
        assert names.parse_publish_context(fields) == context
        assert all(isinstance(value, str) and value for value in fields.values())

    def test_foreign_keys_are_none_of_our_business(self) -> None:
        subnqn = names.subnqn(names.slot("v", "c", "n"), names.epoch(bytes(10)))
        fields = {"subnqn": subnqn, "portals": "192.0.2.1", "csi.storage.k8s.io/pod.name": "p", "readonly": "false"}
        assert names.parse_publish_context(fields) == PublishContext(subnqn, (Portal("192.0.2.1", 4420),))

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"subnqn": "nqn.2014-08.org.nvmexpress.discovery"}, "subnqn='nqn.2014-08"),
            ({"subnqn": ""}, "subnqn=''"),
            ({"portals": ""}, "portals=''"),
            ({"portals": "192.0.2.1,host"}, "portals='192.0.2.1,host'"),
            ({"readonly": "yes"}, "readonly='yes'"),
        ],
    )
    def test_a_wrong_value_is_told_with_its_key(self, wrong: dict[str, str], told: str) -> None:
        subnqn = names.subnqn(names.slot("v", "c", "n"), names.epoch(bytes(10)))
        with pytest.raises(ValueError, match=re.escape(told)):
            names.parse_publish_context({"subnqn": subnqn, "portals": "192.0.2.1"} | wrong)


EXAMPLES = {
    "slot": "vxrfyai-nzle65ea4jqwlqaldssl5tuk",
    "marker": "mxrfyai-3ysofot5yhbzqnm26nitp7ic",
    "operation": "aaaqeayeaudao",
    "epoch": "aaaqeayeaudaocaj",
    "node": "worker-1.example:fv2azx7a",
    "host": "5c08d53a-c5df-5d09-bc0e-d7c09e2d3acb",
}

"""The wire contract as data: the descriptor set beside the generated code, for strict decoding, redaction, reflection.

`google.protobuf` (upb) builds message classes from it; the rest of the driver sees betterproto2's only.
"""

import functools
import importlib.resources
from collections.abc import Mapping

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from rdscsi.csi.pb.message_pool import default_message_pool

_TYPE_URL = "type.googleapis.com/"


class Schema:
    """The loaded contract. One a process is enough: `schema()`."""

    def __init__(self, descriptors: bytes) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
            self.add(file.SerializeToString())
        self._secret = self.pool.FindExtensionByName("csi.v1.csi_secret").number
        options = self.pool.FindMessageTypeByName("google.protobuf.FieldOptions")
        self._options: type[Message] = message_factory.GetMessageClass(options)
        self._secrets: dict[str, frozenset[str]] = {}

    def add(self, file: bytes) -> None:
        """Make another file known, for reflection of a service beside CSI's."""
        self.pool.AddSerializedFile(file)

    def message_class(self, generated: type) -> type[Message] | None:
        """Return upb's class for a generated one; None for a type that is not of this contract."""
        name = name_of(generated)
        if not name:
            return None
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def secret_fields(self, name: str) -> frozenset[str]:
        """Return the fields of a message, named in full, that carry the option `csi_secret`."""
        if name not in self._secrets:
            self._secrets[name] = self._find_secrets(self.pool.FindMessageTypeByName(name))
        return self._secrets[name]

    def _find_secrets(self, message: Descriptor) -> frozenset[str]:
        """Read the options anew with this pool's own class, the only one that knows the extension."""
        found = set()
        for field in message.fields:
            options = self._options.FromString(field.GetOptions().SerializeToString())
            if any(extension.number == self._secret and value for extension, value in options.ListFields()):
                found.add(field.name)
        return frozenset(found)


def name_of(generated: type) -> str:
    """Return the full protobuf name of a generated class; empty for any other type."""
    names: Mapping[type, str] = default_message_pool.type_to_url
    return names.get(generated, "").removeprefix(_TYPE_URL)


@functools.cache
def schema() -> Schema:
    """Return the contract, loaded at the first call (about a millisecond)."""
    return Schema(importlib.resources.files("rdscsi.csi.pb").joinpath("csi.binpb").read_bytes())

"""Between bytes and messages, strictly: a request that is malformed anywhere is refused as a whole.

betterproto2 alone would take a truncated string or a field of the wrong wire type for a message. So upb reads every
request first and writes it down anew, merged and without fields that this contract does not know.
"""

from typing import Any, cast

from google.protobuf.message import DecodeError, Message
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from rdscsi.csi.schema import Schema


class StrictCodec(CodecBase):
    """grpclib's codec for betterproto2 messages and, for health and reflection, those of google.protobuf."""

    __content_subtype__ = "proto"

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def encode(self, message: object, message_type: Any) -> bytes:
        """Return the wire form; bytes are taken to be that already."""
        if isinstance(message, bytes):
            return message
        if isinstance(message, Message):
            return message.SerializeToString()
        return bytes(cast("Any", message))

    def decode(self, data: bytes, message_type: Any) -> object:
        """Return the message. Raises GRPCError (INVALID_ARGUMENT) for bytes that are not one."""
        strict = self._schema.message_class(message_type)
        try:
            if strict is None:
                return message_type.FromString(data)
            message = strict.FromString(data)
        except DecodeError as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "malformed request: not a message of this type") from error
        message.DiscardUnknownFields()
        return message_type.parse(message.SerializeToString())

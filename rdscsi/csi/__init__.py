"""The edge: the only place that knows gRPC and protobuf. `server` puts it together; `ports` is what it asks for."""

# Before anything here imports grpclib, which keeps the `asyncio.current_task` that it finds; on Python 3.12 and later
# only the one of trio-asyncio works under Trio.
import trio_asyncio  # noqa: F401

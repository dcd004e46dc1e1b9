"""What the driver says about itself: logs (`logs`), without secrets (`secrets`). Metrics and traces come later."""

import sys

# structlog, whenever it is imported, looks for rich, to colour tracebacks for a developer's terminal. Our lines are
# rendered by `rdscsi.observe.lines`; to look in vain saves each process 3.5 MiB and a tenth of its start.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]

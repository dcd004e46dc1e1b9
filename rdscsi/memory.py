"""Making a process hold less memory than it would by itself: for the node half, of which every node runs one.

Many volumes at once are many short-lived threads, and glibc gives each an arena of its own, which stays when the thread
has ended; what is freed at the top of the heap is kept as well, up to a limit that grows by itself. Where the kernel
makes huge pages without being asked (Debian's does), the few KiB that a thread uses of its stack, and the beginning of
each piece of heap, become 2 MiB. One arena, limits that stay where they are and ordinary pages cost no time that could
be measured here: the threads wait for the kernel, not for memory. The tools that are run inherit the ordinary pages.

Measured by `tests/bench/node_memory.py`, and by `test_node_many` in the laboratory.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # mallopt(3)
_LIMIT_BYTES = 128 << 10  # glibc's first value of both; setting them ends their growth
_PR_SET_THP_DISABLE = 41  # prctl(2)


def economise() -> bool:
    """Tell allocator and kernel, before threads are started. Returns whether both took it; only glibc does."""
    try:
        libc = ctypes.CDLL(None)
        allocator, process = libc.mallopt, libc.prctl
    except (AttributeError, OSError):
        return False
    wishes = ((_ARENA_MAX, 1), (_TRIM_THRESHOLD, _LIMIT_BYTES), (_MMAP_THRESHOLD, _LIMIT_BYTES))
    taken = [bool(allocator(option, value)) for option, value in wishes]
    rest = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]
    return process(_PR_SET_THP_DISABLE, *rest) == 0 and all(taken)

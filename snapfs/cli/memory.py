"""Keeping the process small and quick: what the C library and Python do with memory.

For long work, and of no consequence otherwise.
"""

import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_MMAP_FROM = 1024 * 1024
_TRIM_FROM = 8 * 1024 * 1024
_COLLECT_EVERY = 20_000
"new containers after which Python looks for cycles; its own 700 is for programs that make some"


def collect_rarely() -> None:
    """Look for cycles rarely from the start: loading makes many containers, and no cycles."""
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


def end_quickly() -> None:
    """Leave what is still there to the kernel: as it ends, Python looks for cycles in all of it.

    With boto3 loaded, that takes longer than all that a short command asks of a bucket.
    """
    gc.freeze()


def use_memory_well() -> None:
    """Set up the C library's heap, and Python's collector of cycles, for an ingest or a mount.

    Packs come from the kernel and go back to it. Segments, of half a MiB, lie in one heap, as a
    page that the kernel has to clear costs more than to compress what fills it: an ingest of
    400 MB spent two thirds of its time on that. By itself glibc has a heap for each thread and
    raises the bound up to 32 MiB (mallopt(3)), and then hardly ever gives back what packs took.
    """
    import ctypes  # the quickest commands end before they come here

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        mallopt = None  # not glibc
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM)
        mallopt(_M_TRIM_THRESHOLD, _TRIM_FROM)
        mallopt(_M_ARENA_MAX, 1)
    # Modules and classes stay as long as the process.
    gc.freeze()
    collect_rarely()

"""Memory of tensors on the CPU, kept by the process from step to step."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # as malloc.h numbers them


def keep_freed_memory() -> bool:
    """Let the C library keep freed memory for this process's next tensors.

    By default glibc returns large blocks to the system as they are freed, in every step, and the
    page faults of the next step take up to a quarter of the time of a training on the CPU. The
    process then holds as much memory as it needed at most.

    Returns:
        Whether the C library is one that can be told, glibc.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    options = ((_TRIM_THRESHOLD, -1), (_MMAP_MAX, 0), (_ARENA_MAX, 1))
    return all(mallopt(number, value) == 1 for number, value in options)

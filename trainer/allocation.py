"""Memory that training frees stays with the process, for the next step to take.

glibc gives blocks of more than 32 MB back to the system at once, and fetches them anew, page by page, zeroed: a step
over large images frees and takes many of those (docs/training-speed.md). What is kept is the most ever in use.
"""

from __future__ import annotations

import ctypes
import platform

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_MOST = 2**31 - 1
_PAD = 64 << 20


def keep_freed_memory() -> bool:
    """Whether it could be arranged: with glibc alone. For the whole process, from now on."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # Threads too: an arena of their own holds no more than 64 MB.
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _MOST), (_M_TOP_PAD, _PAD))
    return all(mallopt(name, value) == 1 for name, value in settings)

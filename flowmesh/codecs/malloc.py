"""A setting of malloc that keeps the memory of a decoded frame for the next one, for processes that decode many.

OpenCV decodes into new memory each time. What is that large the C library may give back to the kernel as soon as it is
freed; then each frame of 1080p costs 1,500 page faults, which take almost as long as decoding it (measured: 10 instead
of 5.8 ms). The setting is the whole process's, so only its main program may ask for it.
"""

from __future__ import annotations

import ctypes

_LARGEST = 32 << 20  # bytes: a frame of 4K; glibc takes no more
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of malloc.h; see mallopt(3)


def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 32 MiB, 64 MiB in all for each thread; False where the C library can't be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all((mallopt(_MMAP_THRESHOLD, _LARGEST), mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)))

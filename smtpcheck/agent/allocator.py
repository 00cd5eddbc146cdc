"""glibc's malloc in the process of an agent: large blocks go back to the system when they are freed.

A page, a scrape and a configuration that is loaded again are blocks of a hundred kilobytes and more that live for a
moment. Once glibc has seen one freed, it takes the next ones from its heap (mallopt(3), M_MMAP_THRESHOLD), where small
blocks that stay soon lie above them: what was needed for a moment is kept for good.

Rule of this file: it concerns the whole process, so `smtpcheck run` uses it, which owns its process.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""
_LARGE = 128 * 1024
"""Octets; glibc's own threshold, until it raises it."""


def give_back_large_blocks() -> None:
    """Do it from now on; where the C library is another one, nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in ((_M_MMAP_THRESHOLD, _LARGE), (_M_TRIM_THRESHOLD, _LARGE), (_M_ARENA_MAX, 1)):
        mallopt(parameter, value)

"""Leaves as little in memory as possible before a snapshot, and as little as possible that a clone would write to."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress


def settle_memory() -> None:
    """Collects garbage, gives free memory back to the kernel, and takes what is left out of further collections.

    A collection writes to the header of every object that it looks at: each clone would copy the pages of all of them.
    """
    gc.collect()
    gc.freeze()
    # Not in every C library.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

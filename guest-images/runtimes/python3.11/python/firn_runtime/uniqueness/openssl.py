"""OpenSSL's generators: that of Python's own modules, and those of libraries which packages bring along."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable
from typing import Any

_ENTROPY_BYTES = 128
"""The beginning of what is read at the gate: 64 bytes of entropy, and what stands before and behind them."""


def openssl_steps(entropy: Any) -> Iterable[tuple[Any, ...]]:
    """Calls that reseed each OpenSSL in this process. Its generators of all threads take a new seed from that before their next draw."""
    for path in loaded_libraries():
        try:
            # The interpreter's lock is kept: no other thread draws meanwhile.
            add = ctypes.PyDLL(path).RAND_add
        except (OSError, AttributeError):
            continue
        add.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_double)
        add.restype = None
        yield add, entropy, _ENTROPY_BYTES, float(_ENTROPY_BYTES)


def reseed_cryptography() -> None:
    """Reseeds the OpenSSL that is a part of the package cryptography, and which no file of its own tells of."""
    rust = sys.modules.get("cryptography.hazmat.bindings._rust")
    library = getattr(getattr(rust, "_openssl", None), "lib", None)
    if library is not None:
        library.RAND_add(os.urandom(_ENTROPY_BYTES), _ENTROPY_BYTES, float(_ENTROPY_BYTES))


def loaded_libraries() -> set[str]:
    """Paths of the libcryptos that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "libcrypto" in line}
    return {path for path in paths if ".so" in path.rpartition("/")[2]}

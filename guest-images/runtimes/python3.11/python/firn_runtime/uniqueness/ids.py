"""Identifiers that are made of something that clones share."""

from __future__ import annotations

import os
import sys
import uuid


def install() -> None:
    """Makes `uuid.uuid1` take the node and the clock sequence from Python: the C library's would be the same in all clones."""
    uuid._generate_time_safe = None  # type: ignore[attr-defined]


def renew() -> None:
    """Draws anew what ids and keys of this process are made of."""
    # A random node, marked as such, as RFC 9562 has it for machines without an address of their own.
    uuid._node = int.from_bytes(os.urandom(6), "big") | 1 << 40  # type: ignore[attr-defined]
    uuid._last_timestamp = None  # type: ignore[attr-defined]
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process()._config["authkey"] = process.AuthenticationString(os.urandom(32))

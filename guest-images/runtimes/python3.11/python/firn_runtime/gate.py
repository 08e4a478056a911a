"""The gate: this process waits there from its quiescence until a clone, or the source, has a reseeded kernel and the right time."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from itertools import starmap
from operator import call
from typing import Any

from .wire.codec import FrameDecoder, decode
from .wire.messages import RuntimeResume

_BUFFER_BYTES = 64 * 1024
"""More than the agent writes."""

Step = tuple[Any, ...]
"""A function, and its arguments."""


def pass_gate(descriptor: int, reseed: Callable[[Any], Iterable[Step]]) -> RuntimeResume:
    """Blocks until the agent opens the gate. The snapshot happens in here.

    Waiting and reseeding are calls of C functions, one after the other without a byte code in between, and none of them lets go of the
    interpreter's lock. So no other thread of the function runs before all is reseeded.

    `reseed` gets a buffer that will begin with fresh entropy, and gives the calls that use it. Raises OSError or EOFError if the agent is
    gone, ProtocolError if it writes something else.
    """
    libc = ctypes.PyDLL(None, use_errno=True)
    buffer = (ctypes.c_char * _BUFFER_BYTES)()
    libc.read.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    libc.read.restype = ctypes.c_ssize_t
    steps = [(libc.read, descriptor, buffer, _BUFFER_BYTES), *reseed(buffer)]
    decoder = FrameDecoder()
    while True:
        count = list(starmap(call, steps))[0]
        if count == 0:
            raise EOFError("The agent closed the gate.")
        if count < 0:
            error = ctypes.get_errno()
            # A signal has interrupted the wait; entropy comes with the next turn.
            if error != 4:
                raise OSError(error, os.strerror(error))
            continue
        messages = decoder.push(buffer[:count])
        if messages:
            return decode(RuntimeResume, messages[0])

"""What the function prints, sent to the agent together with the invocation that printed it."""

from __future__ import annotations

import contextvars
import io
import os
import sys
from contextlib import suppress

from .wire.codec import frame
from .wire.messages import RuntimeLog

_MAX_PIECE_BYTES = 64 * 1024

invocation: contextvars.ContextVar[int] = contextvars.ContextVar("firn_invocation", default=0)
"""Id of the invocation whose code runs, also after its end; 0 for none."""

running: set[int] = set()
"""The invocations that have not ended."""

_descriptor: int | None = None


def install(descriptor: int | None) -> None:
    """Takes over `sys.stdout` and `sys.stderr`. Without a descriptor they stay as they are."""
    global _descriptor
    _descriptor = descriptor
    if descriptor is None:
        return
    # A line is out of the process when print() returns: one that is printed right before its end is not lost.
    sys.stdout = _Text(_Raw("stdout", 1))
    sys.stderr = _Text(_Raw("stderr", 2))
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr


def flush() -> None:
    """Writes what is left of a line that has not ended."""
    for stream in (sys.stdout, sys.stderr):
        # Whatever the function has put in its place.
        with suppress(Exception):
            stream.flush()


def write(text: str, level: str = "", stream: str = "stderr") -> None:
    """Writes to the function's log, whatever the function has made of `sys.stderr`. `text` ends with a line end."""
    data = text.encode("utf-8", "backslashreplace")
    if _descriptor is None:
        os.write(2, data)
    else:
        _send(stream, data, level)


def warn(text: str) -> None:
    """Writes a line of the runtime's own."""
    write(f"{text}\n", "warn")


def _current() -> int:
    """A thread that the function has started belongs to the invocation that runs, if there is just one."""
    return invocation.get() or (next(iter(running)) if len(running) == 1 else 0)


def _send(stream: str, data: bytes, level: str = "", owner: int = 0) -> None:
    current = owner if owner in running else _current()
    for at in range(0, len(data), _MAX_PIECE_BYTES):
        framed = memoryview(frame(RuntimeLog(stream, data[at : at + _MAX_PIECE_BYTES], level, current)))
        while framed:
            framed = framed[os.write(_descriptor, framed) :]


class _Raw(io.RawIOBase):
    """Bytes on their way to the agent."""

    def __init__(self, stream: str, number: int) -> None:
        self._stream = stream
        self._number = number
        self.owner = 0
        self.name = f"<{stream}>"
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        # What is written there comes to the agent too, without the invocation's id.
        return self._number

    def isatty(self) -> bool:
        return False

    def write(self, data) -> int:
        taken = bytes(data)
        _send(self._stream, taken, owner=self.owner)
        return len(taken)


class _Text(io.TextIOWrapper):
    """Text on its way to the agent. What one invocation has begun does not become a part of another one's line."""

    def __init__(self, raw: _Raw) -> None:
        super().__init__(io.BufferedWriter(raw, _MAX_PIECE_BYTES), "utf-8", "backslashreplace", line_buffering=True)
        self._raw = raw

    def write(self, text: str) -> int:
        owner = _current()
        if owner != self._raw.owner:
            self.flush()
            self._raw.owner = owner
        return super().write(text)

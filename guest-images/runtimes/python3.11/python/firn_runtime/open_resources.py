"""Watches what the function opens before a snapshot, and still has open in each clone: connections and timers."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any

from .uniqueness.caller import caller_outside
from .wire.messages import Warning

_NOTED = 200
"""How many of a kind are noted: to find who opened one takes a while."""
_NAMED = 8

Describe = Callable[[], str | None]
"""What is to be said of it now; None if it is closed."""


class OpenResources:
    def __init__(self) -> None:
        self._connections: list[tuple[str, Describe]] = []
        self._timers: list[tuple[str, Describe]] = []
        self._originals: list[tuple[Any, str]] = []

    def start(self) -> None:
        """From here on is noted what is opened."""
        if self._originals:
            return
        self._watch(socket.socket, "connect", self._connections, lambda one, _args, _made: _weakly(_peer_of, one))
        self._watch(threading.Timer, "start", self._timers, lambda one, _args, _made: _weakly(_thread_delay, one))
        # call_later() calls it, which asyncio.sleep() does.
        self._watch(asyncio.BaseEventLoop, "call_at", self._timers, lambda loop, _args, made: _weakly(_loop_delay, made, loop))

    def stop(self) -> None:
        """From here on nothing is noted, and what was is forgotten."""
        for owner, name in self._originals:
            original = getattr(owner, name).__wrapped__
            setattr(owner, name, original)
        self._originals.clear()
        self._connections.clear()
        self._timers.clear()

    def warnings(self) -> list[Warning]:
        """What to say at deploy of that which is still open."""
        connections = (
            "Connections are open at the snapshot, and will be broken in each clone: {}. "
            "Close them in a before_snapshot hook and open them in an after_restore hook."
        )
        timers = (
            "Timers run at the snapshot, and go on in each clone where they were: {}. Start in an after_restore hook what must happen "
            "at a time, and cancel what must not go on in a before_snapshot hook."
        )
        return [
            *_warning("FIRN_CONNECTION_BEFORE_SNAPSHOT", connections, self._connections),
            *_warning("FIRN_TIMER_BEFORE_SNAPSHOT", timers, self._timers),
        ]

    def _watch(self, owner: Any, name: str, noted: list[tuple[str, Describe]], describe: Callable[..., Describe]) -> None:
        original = getattr(owner, name)

        def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            if len(noted) < _NOTED:
                caller = caller_outside()
                if caller is not None:
                    noted.append((caller, describe(self, args, result)))
            return result

        watched.__wrapped__ = original  # type: ignore[attr-defined]
        watched.__name__ = name
        self._originals.append((owner, name))
        setattr(owner, name, watched)


def _weakly(describe: Callable[..., str | None], one: Any, *more: Any) -> Describe:
    held = weakref.ref(one)

    def now() -> str | None:
        found = held()
        return None if found is None else describe(found, *more)

    return now


def _warning(code: str, message: str, noted: list[tuple[str, Describe]]) -> list[Warning]:
    """Each as place and description; the same of one place only once."""
    described = ((caller, describe()) for caller, describe in noted)
    found = list(dict.fromkeys(f"{caller} ({text})" for caller, text in described if text is not None))
    if not found:
        return []
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return [Warning(code, message.format(", ".join(found[:_NAMED]) + more))]


def _peer_of(connection: socket.socket) -> str | None:
    """The other end of a connection to another machine. What is in the guest is in the snapshot, too."""
    try:
        address, port = connection.getpeername()[:2]
        # A path is that of a socket in the guest.
        return None if ipaddress.ip_address(address.split("%")[0]).is_loopback else f"{address}:{port}"
    except (OSError, ValueError, AttributeError):
        return None


def _thread_delay(timer: threading.Timer) -> str | None:
    return f"threading.Timer, {timer.interval:g} s" if timer.is_alive() and not timer.finished.is_set() else None


def _loop_delay(handle: asyncio.TimerHandle, loop: asyncio.AbstractEventLoop) -> str | None:
    left = handle.when() - loop.time()
    return f"event loop, in {left:.0f} s" if left > 0 and not handle.cancelled() else None

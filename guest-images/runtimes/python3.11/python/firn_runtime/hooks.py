"""The hooks that the function registers through the SDK, and whether it is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from .errors import FunctionError, describe

Hook = Callable[[], Any]
Wait = Callable[[Any], Any]
"""Waits for what may be awaited, and gives its result."""


class Hooks:
    """The lifecycle that `firn_guest` hands its calls to."""

    def __init__(self) -> None:
        self._warm_up: list[Hook] = []
        self._before_snapshot: list[Hook] = []
        self._after_restore: list[Hook] = []
        self.is_ready = threading.Event()
        self.is_deferred = False

    def ready(self) -> None:
        self.is_ready.set()

    def defer_ready(self) -> None:
        self.is_deferred = True

    def warm_up(self, hook: Hook) -> None:
        self._warm_up.append(hook)

    def before_snapshot(self, hook: Hook) -> None:
        self._before_snapshot.append(hook)

    def after_restore(self, hook: Hook) -> None:
        self._after_restore.append(hook)

    def run_warm_up(self, wait: Wait) -> None:
        """Runs each once, also those that a hook registers."""
        while self._warm_up:
            _run("warm_up", [self._warm_up.pop(0)], wait)

    def run_before_snapshot(self, wait: Wait) -> None:
        _run("before_snapshot", reversed(self._before_snapshot), wait)

    def run_after_restore(self, wait: Wait) -> None:
        _run("after_restore", list(self._after_restore), wait)


def _run(kind: str, hooks: Iterable[Hook], wait: Wait) -> None:
    # The agent ends a process whose hooks do not end in time.
    for hook in hooks:
        try:
            wait(hook())
        except Exception as error:
            raise FunctionError("FIRN_FUNCTION_HOOK", f"A {kind} hook failed: {describe(error)}") from error

"""The SDK for Python functions on Firn.

A function needs no SDK. It is for what only a function knows: what to warm up before its snapshot, and what to do in each clone. Outside of
Firn, for example in the function's tests, all of it does nothing.

    from firn_guest import after_restore, warm_up

    @warm_up
    def render_once():
        render("nobody")

    @after_restore
    def connect():
        global connection
        connection = open_connection()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

__all__ = ["Context", "after_restore", "before_snapshot", "defer_ready", "ready", "warm_up"]

Hook = TypeVar("Hook", bound=Callable[[], Any])


class Lifecycle(Protocol):
    """What the runtime offers to the SDK."""

    def ready(self) -> None: ...

    def defer_ready(self) -> None: ...

    def warm_up(self, hook: Callable[[], Any]) -> None: ...

    def before_snapshot(self, hook: Callable[[], Any]) -> None: ...

    def after_restore(self, hook: Callable[[], Any]) -> None: ...


class Context(Protocol):
    """The context that a handler gets: that of AWS Lambda, and what Firn adds."""

    @property
    def aws_request_id(self) -> str: ...

    @property
    def function_name(self) -> str: ...

    @property
    def function_version(self) -> str: ...

    @property
    def invoked_function_arn(self) -> str: ...

    @property
    def memory_limit_in_mb(self) -> str:
        """In MiB, as text."""

    @property
    def log_group_name(self) -> str: ...

    @property
    def log_stream_name(self) -> str: ...

    @property
    def client_context(self) -> Any:
        """What the caller sent as X-Amz-Client-Context; None without."""

    @property
    def identity(self) -> Any:
        """Nobody is known to Firn by an identity of Amazon Cognito: its parts are None."""

    @property
    def rehearsal(self) -> bool:
        """Whether this is a sample that is answered before the snapshot: nobody waits for the answer."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation times out, at least 0."""


_lifecycle: Lifecycle | None = None


def ready() -> None:
    """Says that the function is warm, which is when it is snapshotted. Needed after `defer_ready()` alone."""
    if _lifecycle is not None:
        _lifecycle.ready()


def defer_ready() -> None:
    """Postpones the snapshot until `ready()` is called, by another thread or a task. Call it while the module is imported.

    A function that does not get ready within the deploy's time limit fails with FIRN_FUNCTION_NOT_READY.
    """
    if _lifecycle is not None:
        _lifecycle.defer_ready()


def warm_up(hook: Hook) -> Hook:
    """Registers work that is done once at deploy, after the import and before the snapshot: what it fills is there in every clone.

    Hooks run in the order in which they were registered; what they return is awaited. One that raises fails the deploy with
    FIRN_FUNCTION_HOOK.
    """
    if _lifecycle is not None:
        _lifecycle.warm_up(hook)
    return hook


def before_snapshot(hook: Hook) -> Hook:
    """Registers what to do before each snapshot, such as closing connections: last in, first out, all together in a minute.

    One that raises fails the snapshot with FIRN_FUNCTION_HOOK.
    """
    if _lifecycle is not None:
        _lifecycle.before_snapshot(hook)
    return hook


def after_restore(hook: Hook) -> Hook:
    """Registers what to do in each clone before its first request: first in, first out, all together in a minute.

    Random sources are reseeded and the clock is right by then. One that raises makes the clone's invocations fail.
    """
    if _lifecycle is not None:
        _lifecycle.after_restore(hook)
    return hook

"""AWS Lambda's package for hooks of SnapStart, by its API: its hooks are Firn's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import firn_guest

__all__ = ["register_after_restore", "register_before_snapshot"]


def register_before_snapshot(func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calls `func` with these arguments before each snapshot; last in, first out."""
    firn_guest.before_snapshot(partial(func, *args, **kwargs))


def register_after_restore(func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Calls `func` with these arguments in each clone before its first request; first in, first out."""
    firn_guest.after_restore(partial(func, *args, **kwargs))

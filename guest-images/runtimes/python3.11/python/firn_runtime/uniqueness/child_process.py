"""Forked processes: no hook is run in them, so they look themselves whether the machine was resumed."""

from __future__ import annotations

import gc
import mmap
import os
import random
from collections.abc import Callable
from typing import Any

from .generators import Generators
from .openssl import openssl_steps, reseed_cryptography

GENERATION_FILE = "/run/firn/generation"
"""The agent writes another number here at each resume, before any code of the function runs. It takes a process that has these four bytes
mapped for one that reseeds itself."""

_METHODS = ("random", "getrandbits")


def install(path: str = GENERATION_FILE) -> None:
    """Makes every process that is forked from here on reseed itself in each clone: before it draws, it compares the generation."""
    os.register_at_fork(after_in_child=lambda: _follow(path))


def _follow(path: str) -> None:
    try:
        with open(path, "rb") as file:
            word = mmap.mmap(file.fileno(), 4, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        # Not in a guest of Firn.
        return
    seen = word[:4]

    def reseed() -> None:
        nonlocal seen
        if word[:4] == seen:
            return
        seen = word[:4]
        # Looked for now: most processes end without having been in a snapshot.
        generators = Generators()
        gc.unfreeze()
        generators.find()
        for function, *arguments in [*openssl_steps(os.urandom(128)), *generators.steps()]:
            function(*arguments)
        generators.reseed_numpy()
        reseed_cryptography()

    _before_draws(reseed)


def _before_draws(reseed: Callable[[], None]) -> None:
    for name in _METHODS:
        original = getattr(random.Random, name)
        setattr(random.Random, name, _after(reseed, original))
        setattr(random, name, _after(reseed, getattr(random, name)))
    try:
        import ssl
    except ImportError:
        return
    ssl.RAND_bytes = _after(reseed, ssl.RAND_bytes)


def _after(reseed: Callable[[], None], original: Callable[..., Any]) -> Callable[..., Any]:
    # A function, so that it is bound where it is a method.
    def draw(*args: Any) -> Any:
        reseed()
        return original(*args)

    draw.__name__ = original.__name__
    return draw

"""Watches who draws random numbers before a snapshot: whatever of them is kept is the same in all clones."""

from __future__ import annotations

import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ..wire.messages import Warning
from .caller import caller_outside

_LOOKED_AT = 200
"""How many draws of one source have their callers looked for: there may be millions."""

_NAMED = 8
_LESS_THAN_A_SECRET = "random."

_METHODS = ("random", "getrandbits")
"""What all other methods of a `random.Random` draw by."""


rehearsal: ContextVar[str | None] = ContextVar("firn_rehearsal", default=None)
"""The request that is rehearsed, if it is its code that runs, also after its end."""


@dataclass(slots=True)
class _Noted:
    """When a draw was made."""

    outside: bool = False
    """Whether it was made outside of rehearsals, too."""
    last: dict[str, int] = field(default_factory=dict)
    """By the request that was rehearsed: in which of its rehearsals it was made last."""


class Draws:
    """Wraps the functions that draw, from the import of the function until the snapshot."""

    def __init__(self) -> None:
        self._draws: dict[tuple[str, str], _Noted] = {}
        self._rehearsals: Counter[str] = Counter()
        self._looks: dict[str, int] = {}
        self._restore: list[tuple[Any, str, Any]] = []
        self._inside = False

    def start(self) -> None:
        if self._restore:
            return
        for owner, name, source in (
            (os, "urandom", "os.urandom"),
            # random.SystemRandom, and so secrets, have their own name for it.
            (random, "_urandom", "os.urandom"),
            (uuid, "uuid1", "uuid.uuid1"),
            (uuid, "uuid4", "uuid.uuid4"),
            (random, "random", "random.random"),
            (random, "getrandbits", "random.getrandbits"),
        ):
            self._wrap(owner, name, source)
        # Methods of a class of C, which the class of Python above it has not.
        for name in _METHODS:
            self._watch_method(name)
        ssl = sys.modules.get("ssl")
        if ssl is not None:
            self._wrap(ssl, "RAND_bytes", "ssl.RAND_bytes")

    def stop(self) -> None:
        """From here on nothing is noted, and what was is forgotten. Functions cost what they did before."""
        for owner, name, original in reversed(self._restore):
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
        self._restore.clear()
        self._draws.clear()
        self._rehearsals.clear()
        self._looks.clear()

    def begin_rehearsal(self, request_id: str) -> None:
        """A request is about to be rehearsed, perhaps once more: what its code draws from here on is told apart."""
        self._rehearsals[request_id] += 1
        self._looks.clear()
        rehearsal.set(request_id)

    def warnings(self) -> list[Warning]:
        kept = [draw for draw, noted in self._draws.items() if not self._is_drawn_anew(noted)]
        if not kept:
            return []
        # Those that matter most first.
        found = sorted(kept, key=lambda draw: draw[0].startswith(_LESS_THAN_A_SECRET))
        named = ", ".join(f"{caller} ({source})" for source, caller in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        message = (
            "Random values were drawn before the snapshot; what the function keeps of them is the same in all clones: "
            f"{named}{more}. Draw ids, tokens, keys and seeds in an after_restore hook or in each request that needs them, and leave out "
            "of warm_up hooks what draws them. Samples are answered before the snapshot, too: keep nothing that was drawn while "
            "context.rehearsal is true."
        )
        return [Warning("FIRN_RANDOM_BEFORE_SNAPSHOT", message)]

    def _wrap(self, owner: Any, name: str, source: str) -> None:
        original = getattr(owner, name)
        self._restore.append((owner, name, original))
        setattr(owner, name, self._around(source, original))

    def _watch_method(self, name: str) -> None:
        original = getattr(random.Random, name)
        around = self._around(f"random.Random.{name}", original)

        def method(self: random.Random, *args: Any) -> Any:
            return around(self, *args)

        method.__name__ = name
        self._restore.append((random.Random, name, None))
        setattr(random.Random, name, method)

    def _around(self, source: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def draw(*args: Any, **kwargs: Any) -> Any:
            if self._inside or not self._restore:
                return original(*args, **kwargs)
            self._inside = True
            try:
                result = original(*args, **kwargs)
                self._note(source)
                return result
            finally:
                self._inside = False

        draw.__name__ = source.rpartition(".")[2]
        return draw

    def _excuse_numpy(self) -> None:
        """What numpy draws for its generators is drawn anew in each clone. It draws in C, so that it looks as if its caller did."""
        module = sys.modules.get("numpy.random.bit_generator")
        randbits = getattr(module, "randbits", None)
        if randbits is None or hasattr(randbits, "_firn_excused"):
            return

        def excused(bits: int) -> int:
            outer, self._inside = self._inside, True
            try:
                return randbits(bits)
            finally:
                self._inside = outer

        excused._firn_excused = True  # type: ignore[attr-defined]
        module.randbits = excused  # type: ignore[union-attr]

    def _note(self, source: str) -> None:
        # It draws when it is imported, before anybody can make a generator.
        self._excuse_numpy()
        looks = self._looks.get(source, 0)
        if looks >= _LOOKED_AT:
            return
        self._looks[source] = looks + 1
        caller = caller_outside()
        if caller is None:
            return
        noted = self._draws.setdefault((source, caller), _Noted())
        request_id = rehearsal.get()
        if request_id is None:
            noted.outside = True
        else:
            noted.last[request_id] = self._rehearsals[request_id]

    def _is_drawn_anew(self, noted: _Noted) -> bool:
        """What was drawn in the first rehearsal and not in the last one is kept. One rehearsal alone shows nothing."""
        last = noted.last.items()
        return not noted.outside and any(number > 1 and number == self._rehearsals[request] for request, number in last)

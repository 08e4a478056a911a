"""The generators of pseudo-random numbers in this process."""

from __future__ import annotations

import _random
import gc
import random
import sys
from collections.abc import Iterable
from typing import Any


class Generators:
    """Every `random.Random`, and every generator of numpy. A seed that the function has given them is not kept."""

    def __init__(self) -> None:
        # What was found once is frozen, and the garbage collector does not name it again.
        self._plain: list[random.Random] = [random._inst]  # type: ignore[attr-defined]
        self._numpy: list[Any] = []

    def find(self) -> None:
        """Finds them among all objects."""
        numpy_random = sys.modules.get("numpy.random")
        numpy_types = () if numpy_random is None else (numpy_random.RandomState, numpy_random.BitGenerator)
        known = {id(one) for one in (*self._plain, *self._numpy)}
        for found in gc.get_objects():
            # The type is asked, not the object: a proxy would make what it stands for.
            kind = type(found)
            if id(found) in known:
                continue
            if issubclass(kind, random.Random) and not issubclass(kind, random.SystemRandom):
                self._plain.append(found)
            elif numpy_types and issubclass(kind, numpy_types):
                self._numpy.append(found)

    def steps(self) -> Iterable[tuple[Any, ...]]:
        for generator in self._plain:
            # Without a seed it asks the kernel.
            yield _random.Random.seed, generator
            yield setattr, generator, "gauss_next", None

    def reseed_numpy(self) -> None:
        for generator in self._numpy:
            if hasattr(generator, "state"):
                generator.state = type(generator)().state
            else:
                # A RandomState, whose own generator is reseeded as well, keeps half of a pair of normal numbers.
                state = generator.get_state(legacy=False)
                if "has_gauss" in state:
                    generator.set_state({**state, "has_gauss": 0, "gauss": 0.0, "state": _fresh_state(generator)})


def _fresh_state(generator: Any) -> Any:
    bits = generator._bit_generator
    return type(bits)().state["state"]

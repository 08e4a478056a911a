"""What is done for the uniqueness of clones, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..wire.messages import Invoke, Warning
from . import child_process, ids
from .draws import Draws, rehearsal
from .generators import Generators
from .openssl import openssl_steps, reseed_cryptography


class Uniqueness:
    """Keeps clones of one snapshot from drawing the same random numbers.

    What is covered: `random` and every other `random.Random` (so `tempfile` too), generators of numpy, OpenSSL (`ssl`, packages that bring
    a libcrypto, and `cryptography`), `uuid.uuid1`; in forked processes `random` and OpenSSL. `secrets`, `os.urandom` and `uuid.uuid4` ask
    the kernel, which the agent reseeds. What clones share nevertheless: address layout, the seed of `hash()` of texts, generators of
    libraries that keep their own state in C, and values that the function drew before the snapshot and keeps.
    """

    def __init__(self) -> None:
        self._draws = Draws()
        self._generators = Generators()
        ids.install()
        child_process.install()

    def watch(self) -> None:
        """A function is about to be imported: what it draws from here on, until the snapshot, is noted."""
        self._draws.start()

    def begin_invocation(self, invoke: Invoke) -> None:
        """What is drawn in this context from here on is drawn for this invocation."""
        if invoke.rehearsal:
            self._draws.begin_rehearsal(invoke.request_id)
        else:
            rehearsal.set(None)

    def warnings(self) -> list[Warning]:
        """What clones of a snapshot would share that is taken now."""
        return self._draws.warnings()

    def prepare(self) -> None:
        """Finds what has to be reseeded. To be called before objects are taken out of the garbage collector's sight."""
        self._generators.find()

    def end_watch(self) -> None:
        """From here on nothing is noted."""
        self._draws.stop()

    def steps(self, entropy: Any) -> Iterable[tuple[Any, ...]]:
        """The calls that reseed, each a function and its arguments: see `pass_gate`."""
        return [*openssl_steps(entropy), *self._generators.steps()]

    def after_restore(self) -> None:
        """Reseeds what takes more than a call of C, right after the steps. `random` has its new state by then."""
        self._generators.reseed_numpy()
        reseed_cryptography()
        ids.renew()

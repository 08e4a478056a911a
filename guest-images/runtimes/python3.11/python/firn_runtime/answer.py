"""What a function answered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass, field

from .wire.messages import Header


@dataclass(slots=True)
class Failure:
    """That an invocation has failed."""

    type: str
    message: str
    begun: bool = False
    """Whether its answer had begun, and is not complete."""


@dataclass(slots=True)
class Answer:
    """A status, headers, and a payload: as a whole, or in parts that are made one after the other."""

    status: int
    headers: list[Header] = field(default_factory=list)
    payload: bytes = b""
    failure: Failure | None = None
    chunks: Generator[bytes] | AsyncGenerator[bytes] | None = None
    fail: Callable[[Exception], Failure] = lambda error: Failure(type(error).__name__, str(error), begun=True)
    """What becomes of an error that is raised while chunks are made."""


def json_headers() -> list[Header]:
    """The headers of an answer that is JSON."""
    return [Header("content-type", "application/json")]


def refusal(status: int, text: str) -> Answer:
    """An answer of the runtime itself to a request that it cannot hand to the function."""
    return Answer(status, [Header("content-type", "text/plain; charset=utf-8")], f"{text}\n".encode())


def without_body(answer: Answer) -> Answer:
    """The answer to a HEAD request: no body, and the length that a GET would have had."""
    close = getattr(answer.chunks, "close", None)
    if close is not None:
        close()
    known = any(header.name == "content-length" for header in answer.headers)
    length = [] if known or not answer.payload else [Header("content-length", str(len(answer.payload)))]
    return Answer(answer.status, [*answer.headers, *length], b"", answer.failure)

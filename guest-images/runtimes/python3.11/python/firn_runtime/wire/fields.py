"""How the fields of messages are declared: their numbers and kinds."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from enum import Enum
from functools import cache
from typing import Any


class Kind(Enum):
    """What is in a field."""

    UINT32 = "uint32"
    BOOL = "bool"
    STRING = "string"
    BYTES = "bytes"
    TEXTS = "map<string, string>"
    MESSAGE = "message"
    MESSAGES = "repeated message"


def _declare(number: int, kind: Kind, *, default: Any = MISSING, factory: Any = MISSING, of: str = "") -> Any:
    return field(default=default, default_factory=factory, metadata={"number": number, "kind": kind, "of": of})


def uint32(number: int) -> Any:
    return _declare(number, Kind.UINT32, default=0)


def boolean(number: int) -> Any:
    return _declare(number, Kind.BOOL, default=False)


def string(number: int) -> Any:
    return _declare(number, Kind.STRING, default="")


def octets(number: int) -> Any:
    return _declare(number, Kind.BYTES, default=b"")


def texts(number: int) -> Any:
    """A map of strings to strings."""
    return _declare(number, Kind.TEXTS, factory=dict)


def message(number: int, of: str) -> Any:
    """A message of the class of this name in the same module; None if it is not there."""
    return _declare(number, Kind.MESSAGE, default=None, of=of)


def messages(number: int, of: str) -> Any:
    """A list of messages of the class of this name in the same module."""
    return _declare(number, Kind.MESSAGES, factory=list, of=of)


@cache
def fields_of(cls: type) -> dict[int, tuple[str, Kind, str]]:
    """Name, kind and class name of each field of a message, by its number."""
    return {one.metadata["number"]: (one.name, one.metadata["kind"], one.metadata["of"]) for one in fields(cls)}

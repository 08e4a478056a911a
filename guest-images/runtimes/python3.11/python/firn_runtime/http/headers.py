"""Headers of answers."""

from __future__ import annotations

import re
from typing import Any

from ..wire.messages import Header

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNSENDABLE = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


def to_header(name: str, value: str) -> Header:
    """Checks one header. Raises TypeError, naming it, if HTTP cannot carry its name or its value."""
    if not _NAME.fullmatch(name):
        raise TypeError(f"{name!r} cannot be the name of a header.")
    trimmed = value.strip("\t ")
    unsendable = _UNSENDABLE.search(trimmed)
    if unsendable:
        raise TypeError(f'The header "{name}" contains {unsendable[0]!r}, which HTTP cannot carry: encode it.')
    return Header(name.lower(), trimmed)


def from_header_fields(result: dict[Any, Any]) -> list[Header]:
    """The headers in what a handler of events returned. Those that are None are left out, a list gives several."""
    single = _entries("headers", result.get("headers"))
    multiple = _entries("multiValueHeaders", result.get("multiValueHeaders"))
    # The same in both is one header.
    return [
        *(header for header in single if header not in multiple),
        *multiple,
        *(to_header("set-cookie", value) for value in _values("cookies", result.get("cookies"))),
    ]


def _entries(field: str, headers: Any) -> list[Header]:
    if headers is None:
        return []
    if not hasattr(headers, "items"):
        raise TypeError(f"{field} is a {type(headers).__name__}: return a dict of names and values.")
    return [to_header(str(name), text) for name, value in headers.items() for text in _values(f"{field}: {name}", value)]


def _values(what: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in _values(what, one)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, (str, int, float)):
        return [str(value)]
    raise TypeError(f"{what} is a value of type {type(value).__name__}: a header is text, a number or a list.")

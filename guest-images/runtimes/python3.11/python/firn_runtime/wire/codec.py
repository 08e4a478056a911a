"""Protocol Buffers' encoding of the messages in `messages.py`, and the frames around them."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from .fields import Kind, fields_of

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest message in bytes, its length not counted."""

_PREFIX_BYTES = 4
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_UINT32_MAX = 0xFFFF_FFFF

Message = TypeVar("Message")


class ProtocolError(Exception):
    """A message is malformed, or does not fit."""


def frame(message: Any) -> bytes:
    """Encodes a message and puts its length before it. Raises ProtocolError if it is too long."""
    encoded = encode(message)
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise ProtocolError(f"A message of {len(encoded)} bytes does not fit into a frame of {MAX_MESSAGE_BYTES} bytes.")
    return len(encoded).to_bytes(_PREFIX_BYTES, "little") + encoded


def encode(message: Any) -> bytes:
    """Encodes a message without its frame. Raises ProtocolError if a number does not fit into 32 bits."""
    out = bytearray()
    for number, (name, kind, _) in fields_of(type(message)).items():
        value = getattr(message, name)
        if kind in (Kind.UINT32, Kind.BOOL):
            if not 0 <= value <= _UINT32_MAX:
                raise ProtocolError(f"Field {name} is {value}: expected an integer from 0 to {_UINT32_MAX}.")
            if value:
                out += _varint(number << 3 | _VARINT) + _varint(int(value))
        elif kind is Kind.MESSAGE:
            if value is not None:
                _put(out, number, encode(value))
        elif kind is Kind.MESSAGES:
            for one in value:
                _put(out, number, encode(one))
        elif kind is Kind.TEXTS:
            for key, text in value.items():
                entry = bytearray()
                _put(entry, 1, _utf8(key))
                _put(entry, 2, _utf8(text))
                _put(out, number, entry)
        elif value:
            _put(out, number, _utf8(value) if kind is Kind.STRING else value)
    return bytes(out)


def decode(cls: type[Message], data: bytes) -> Message:
    """Decodes a message without its frame; fields that it does not know are left out. Raises ProtocolError."""
    values: dict[str, Any] = {}
    declared = fields_of(cls)
    module = sys.modules[cls.__module__]
    for number, wire, value in _entries(data):
        if number not in declared:
            continue
        name, kind, of = declared[number]
        if wire != (_VARINT if kind in (Kind.UINT32, Kind.BOOL) else _DELIMITED):
            raise ProtocolError(f"Field {name} of {cls.__name__} has the wrong wire type.")
        if kind is Kind.UINT32:
            values[name] = value & _UINT32_MAX
        elif kind is Kind.BOOL:
            values[name] = bool(value)
        elif kind is Kind.STRING:
            values[name] = _text(value)
        elif kind is Kind.BYTES:
            values[name] = bytes(value)
        elif kind is Kind.TEXTS:
            entry = {number: _text(part) for number, _, part in _entries(value)}
            values.setdefault(name, {})[entry.get(1, "")] = entry.get(2, "")
        elif kind is Kind.MESSAGES:
            values.setdefault(name, []).append(decode(getattr(module, of), value))
        else:
            values[name] = decode(getattr(module, of), value)
    return cls(**values)


class FrameDecoder:
    """Cuts a stream of bytes into messages. Memory in use is bounded by what has arrived."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def push(self, data: bytes) -> list[bytes]:
        """Takes the next bytes; returns the messages that are now complete. Raises ProtocolError for one that is too long."""
        self._pending += data
        messages = []
        start = 0
        while len(self._pending) - start >= _PREFIX_BYTES:
            length = int.from_bytes(self._pending[start : start + _PREFIX_BYTES], "little")
            if length > MAX_MESSAGE_BYTES:
                raise ProtocolError(f"A frame announces {length} bytes, more than {MAX_MESSAGE_BYTES}.")
            end = start + _PREFIX_BYTES + length
            if len(self._pending) < end:
                break
            messages.append(bytes(self._pending[start + _PREFIX_BYTES : end]))
            start = end
        del self._pending[:start]
        return messages


def _entries(data: bytes):
    view = memoryview(data)
    at = 0
    while at < len(view):
        key, at = _read_varint(view, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(view, at)
        elif wire in (_FIXED32, _FIXED64, _DELIMITED):
            length = 4 if wire == _FIXED32 else 8
            if wire == _DELIMITED:
                length, at = _read_varint(view, at)
            if length > len(view) - at:
                raise ProtocolError("A message ends within a field.")
            value, at = view[at : at + length], at + length
        else:
            raise ProtocolError(f"A message has a field of wire type {wire}.")
        yield number, wire, value


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            break
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtocolError("A message has a number that does not end.")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _put(out: bytearray, number: int, value: bytes) -> None:
    out += _varint(number << 3 | _DELIMITED) + _varint(len(value)) + value


def _utf8(text: str) -> bytes:
    # Half of a character pair cannot be sent; it must not lose the rest.
    return text.encode("utf-8", "replace")


def _text(data: bytes) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("A message has text that is no UTF-8.") from error

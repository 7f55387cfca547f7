"""Open Sound Control 1.0: messages, and bundles of messages and bundles, both ways.

Of packets that are read every length is checked against the data; nothing is read past the end of an element.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from .packet_face import Malformed

Argument = int | float | str | bytes | bool | None

_BUNDLE = b"#bundle\0"
#: The time tag "now".
_IMMEDIATELY = bytes(7) + b"\1"
_MAX_DEPTH = 8
#: Type tags of a fixed size.
_FIXED = {
    "i": struct.Struct(">i"),
    "f": struct.Struct(">f"),
    "h": struct.Struct(">q"),
    "d": struct.Struct(">d"),
    "t": struct.Struct(">Q"),
    "c": struct.Struct(">i"),
    "r": struct.Struct(">I"),
    "m": struct.Struct(">I"),
}
_VALUE_OF_TAG: dict[str, Argument] = {"T": True, "F": False, "N": None, "I": None}


@dataclass(frozen=True)
class Message:
    """An address and its arguments."""

    address: str
    arguments: tuple[Argument, ...]


class _MalformedPacket(Exception):
    """Its text is the reason."""


def parse_osc(data: bytes) -> tuple[Message, ...] | Malformed:
    """The messages of a packet in order, those of bundles included. Time tags are ignored."""
    messages: list[Message] = []
    try:
        _element(data, 0, messages)
    except _MalformedPacket as error:
        return Malformed(str(error))
    return tuple(messages)


def _element(data: bytes, depth: int, messages: list[Message]) -> None:
    if len(data) % 4 or not data:
        raise _MalformedPacket(f"{len(data)} bytes, not a positive multiple of 4")
    if not data.startswith(_BUNDLE):
        messages.append(_message(data))
        return
    if depth >= _MAX_DEPTH:
        raise _MalformedPacket(f"more than {_MAX_DEPTH} nested bundles")
    at = len(_BUNDLE) + 8
    if len(data) < at:
        raise _MalformedPacket("a bundle truncated before its time tag")
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        if not 0 < size <= len(data) - at - 4:
            raise _MalformedPacket(f"an element of {size} bytes where {len(data) - at - 4} are left")
        _element(data[at + 4 : at + 4 + size], depth + 1, messages)
        at += 4 + size


def _message(data: bytes) -> Message:
    address, at = _text(data, 0)
    if not address.startswith("/"):
        raise _MalformedPacket("an address that does not begin with /")
    tags, at = _text(data, at)
    if not tags.startswith(","):
        raise _MalformedPacket("no type tags")
    arguments: list[Argument] = []
    for tag in tags[1:]:
        value, at = _argument(tag, data, at)
        arguments.append(value)
    if at != len(data):
        raise _MalformedPacket(f"{len(data) - at} bytes after the last argument")
    return Message(address, tuple(arguments))


def _argument(tag: str, data: bytes, at: int) -> tuple[Argument, int]:
    if tag in _VALUE_OF_TAG:
        return _VALUE_OF_TAG[tag], at
    if tag in "sS":
        return _text(data, at)
    if tag == "b":
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        end = at + 4 + size + (-size % 4)
        if size < 0 or at + 4 > len(data) or end > len(data):
            raise _MalformedPacket(f"a blob of {size} bytes where {max(len(data) - at - 4, 0)} are left")
        return data[at + 4 : at + 4 + size], end
    if tag not in _FIXED:
        raise _MalformedPacket(f"an argument of type {tag!r}")
    if at + _FIXED[tag].size > len(data):
        raise _MalformedPacket("truncated within its arguments")
    return _FIXED[tag].unpack_from(data, at)[0], at + _FIXED[tag].size


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A string that ends with a zero byte and is padded to four bytes, and the position after it."""
    end = data.find(b"\0", at)
    if end < 0:
        raise _MalformedPacket("a string without a final zero byte")
    return data[at:end].decode("utf-8", "replace"), end + 4 - end % 4


def encode_message(address: str, *arguments: str | int | float) -> bytes:
    """A message whose arguments are strings, 32-bit integers and 32-bit floats."""
    tags = ","
    values = b""
    for value in arguments:
        tag = "s" if isinstance(value, str) else "i" if isinstance(value, int) else "f"
        tags += tag
        values += _padded(value) if isinstance(value, str) else _FIXED[tag].pack(value)
    return _padded(address) + _padded(tags) + values


def encode_bundles(messages: Iterable[bytes], size: int) -> list[bytes]:
    """Bundles of messages in their order, for immediate execution, each of at most `size` bytes."""
    start = _BUNDLE + _IMMEDIATELY
    bundles = [start]
    for message in messages:
        element = len(message).to_bytes(4, "big") + message
        if len(bundles[-1]) + len(element) > size and bundles[-1] != start:
            bundles.append(start)
        bundles[-1] += element
    return bundles


def _padded(text: str) -> bytes:
    """A string with its final zero byte, padded to four bytes."""
    data = text.encode("utf-8") + b"\0"
    return data + bytes(-len(data) % 4)

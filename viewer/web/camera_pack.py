"""What a page needs to follow a camera: MediaPipe's library; its program, networks and a landmark model as one pack."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

#: The parts of the block by name, in the order in which they are stored.
PARTS = ("loader", "wasm", "task", "landmarks")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class CameraPack:
    """The camera of a page."""

    content: bytes  # compressed
    notice: str  # names the authors and the license of what is not headsplat's
    license: str  # its text
    library: str = ""  # JavaScript of MediaPipe, a CommonJS module

    @staticmethod
    def of(parts: Mapping[str, bytes], notice: str, license: str = "") -> CameraPack:
        """
        Args:
            parts: `library`, `loader` and `wasm` of MediaPipe, `task` with the networks, `landmarks` with the landmark
                model of the head.
            notice: one sentence about the authors and the license.
            license: its text.

        Returns:
            The pack. Its content is the gzip of a uint32, which is the length of the JSON list of [name, bytes] after
            it, and the parts.
        """
        index = json.dumps([[name, len(parts[name])] for name in PARTS]).encode()
        plain = _LENGTH.pack(len(index)) + index + b"".join(parts[name] for name in PARTS)
        return CameraPack(gzip.compress(plain, 9, mtime=0), notice, license, parts["library"].decode())

    def parts(self) -> dict[str, bytes]:
        """The parts of the block by name."""
        plain = gzip.decompress(self.content)
        at = _LENGTH.size + _LENGTH.unpack_from(plain)[0]
        found = {}
        for name, size in json.loads(plain[_LENGTH.size : at]):
            found[name] = plain[at : at + size]
            at += size
        return found

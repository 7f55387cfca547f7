"""What a page needs to follow a camera, as one block of bytes: MediaPipe's library, networks, landmark model."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

#: The parts by name, in the order in which they are stored.
PARTS = ("library", "loader", "wasm", "task", "landmarks")


@dataclass(frozen=True)
class CameraPack:
    """The camera of a page."""

    content: bytes  # compressed
    notice: str  # names the authors and the license of what is not headsplat's
    license: str  # its text

    @staticmethod
    def of(parts: Mapping[str, bytes], notice: str, license: str = "") -> CameraPack:
        """
        Args:
            parts: `library`, `loader` and `wasm` of MediaPipe, `task` with the networks, `landmarks` with the landmark
                model of the head.
            notice: one sentence about the authors and the license.
            license: its text.

        Returns:
            The pack: gzip of a uint32, which is the length of the JSON list of [name, bytes] after it, and the parts.
        """
        index = json.dumps([[name, len(parts[name])] for name in PARTS]).encode()
        plain = struct.pack("<I", len(index)) + index + b"".join(parts[name] for name in PARTS)
        return CameraPack(gzip.compress(plain, 9, mtime=0), notice, license)

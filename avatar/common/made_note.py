"""The sentence in the metadata of films and images that no camera filmed them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

#: What players show of a rendered film, and image viewers of a image.
NOTE = "Synthetic: an avatar rendered by headsplat, no recording of a camera."
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER_END = len(_SIGNATURE) + 12 + 13  # the chunk IHDR is the first one
_TEXT = b"tEXt"
_KEYWORD = b"Comment\0"


def noted_png(content: bytes) -> bytes:
    """A PNG file with NOTE as its comment (PNG specification, 11.3.3.2); the pixels keep their bits."""
    data = _TEXT + _KEYWORD + NOTE.encode("latin-1")
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return content[:_HEADER_END] + chunk + content[_HEADER_END:]


def has_note(path: Path) -> bool:
    """Whether a film or a PNG image says NOTE."""
    with path.open("rb") as file:
        is_png = file.read(len(_SIGNATURE)) == _SIGNATURE
        return _png_says_it(path) if is_png else _film_says_it(path)


def _png_says_it(path: Path) -> bool:
    """Reads the chunks before the pixels."""
    with path.open("rb") as file:
        file.seek(len(_SIGNATURE))
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind in (b"IDAT", b"IEND"):
                return False
            if kind == _TEXT and length == len(_KEYWORD) + len(NOTE):
                if file.read(length) == _KEYWORD + NOTE.encode("latin-1"):
                    return True
                file.seek(4, 1)
            else:
                file.seek(length + 4, 1)
    return False


def _film_says_it(path: Path) -> bool:
    from avatar.common.media import MEDIA_ERRORS, open_media

    try:
        with open_media(path) as container:
            return NOTE in (value for key, value in container.metadata.items() if key.lower() == "comment")
    except MEDIA_ERRORS:
        return False

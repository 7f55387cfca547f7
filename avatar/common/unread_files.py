"""Files that people take for a video or a photo and that are none: what they are, and what to give instead."""

from __future__ import annotations

from pathlib import Path

from avatar.common.iso_boxes import top_boxes

_HEAD = 512  # bytes
#: What a file starts with: what it is, and what to do.
_STARTS = (
    (b"PK\x03\x04", "a ZIP archive", "unpack it and give the video or the photos in it"),
    (b"Rar!", "a RAR archive", "unpack it and give the video or the photos in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and give the video or the photos in it"),
    (b"\0\x05\x16\x07", "metadata of macOS beside a file", "give the file of the same name without ._"),
)
_PAGES = (b"<!doctype html", b"<html")
#: Boxes that a MP4 or MOV file begins with.
_FIRST_BOXES = (b"ftyp", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp")


def unread_reason(path: Path) -> tuple[str, str] | None:
    """What a file is that is no video, and what to do; None where that is not known."""
    if path.name.lower().endswith(".icloud"):
        return "a placeholder of iCloud", "download the file itself first, in Files or in the Finder"
    if path.name.lower().endswith(".aae"):
        return "edits that an iPhone stores beside a photo or video", "give the file of the same name beside it"
    if not path.is_file():  # a named pipe would be waited for
        return None
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            kinds = [kind for kind, _, _ in top_boxes(stream)]
    except OSError:
        return None
    for start, words, remedy in _STARTS:
        if head.startswith(start):
            return words, remedy
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a web page", "download the file itself"
    if kinds and kinds[0] in _FIRST_BOXES and b"moov" not in kinds:
        return (
            "its index is missing: the recording was not finished, or it was copied only in part",
            "copy it again, or repair it with a tool such as untrunc and another video of the same camera",
        )
    return None

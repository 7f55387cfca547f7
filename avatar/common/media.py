"""Opening of media files for reading: by their content, in bounded time, and no other file than the one named."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import av

#: FFmpeg's demuxers that may be used. Left out are those that open further files (playlists, manifests, patterns of
#: images), devices, single images and rarities.
FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,h264,hevc,ivf,flv,asf,mxf,ogg,gif,yuv4mpegpipe,"
    "wav,w64,aiff,au,caf,mp3,aac,flac,amr"
)
#: Seconds that opening a file may take. A damaged Matroska file may otherwise be searched to its end.
TIME_LIMIT = 20.0
_POLL = 0.05  # seconds between two checks for Ctrl-C
#: What becomes of metadata that is no UTF-8. From PyAV 19 on it always becomes lone surrogates, and cannot be chosen.
_TEXT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
#: What `open_media`, and reading from what it returns, raises.
MEDIA_ERRORS = (OSError, ValueError, av.error.FFmpegError)


def open_media(path: Path) -> av.container.InputContainer:
    """Open a media file for reading; Ctrl-C interrupts it.

    Metadata in another encoding than UTF-8 is decoded with replacement characters.

    Raises:
        OSError, ValueError, av.error.FFmpegError: the file is missing, not a regular file, damaged, of none of FORMATS,
            or opening it takes longer than TIME_LIMIT; `error_words` gives the reason.
    """
    if not path.is_file():
        missing = not path.exists()
        raise OSError(errno.ENOENT if missing else errno.EINVAL, "no such file" if missing else "not a regular file")
    opening = _Opening(path)
    opening.start()
    # FFmpeg checks the limit only while it reads; a thread that does not end soon after it is abandoned.
    end = time.monotonic() + 1.5 * TIME_LIMIT
    while opening.is_alive() and time.monotonic() < end:
        opening.join(_POLL)
    if isinstance(opening.error, av.error.ArgumentError):  # what FFmpeg returns for a format outside the list
        raise OSError(errno.EINVAL, "not one of the formats that headsplat reads") from opening.error
    if opening.error is not None and not isinstance(opening.error, av.error.ExitError):
        raise opening.error
    if opening.container is None:
        raise TimeoutError(errno.ETIMEDOUT, f"opening it takes longer than {TIME_LIMIT:g} s") from opening.error
    return opening.container


class _Opening(threading.Thread):
    """Opens a file on a thread of its own: Python handles Ctrl-C on the main thread, and not inside of FFmpeg."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="open media", daemon=True)
        self._path = path
        self.container: av.container.InputContainer | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Open the file."""
        try:
            # "file:" keeps FFmpeg from taking a part of the name for a protocol.
            self.container = av.open(
                f"file:{os.fspath(self._path)}",
                container_options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
                timeout=(TIME_LIMIT, None),
                **_TEXT,
            )
        except BaseException as error:
            self.error = error

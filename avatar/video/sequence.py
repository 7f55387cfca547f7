"""Folders of numbered PNG or EXR images."""

from __future__ import annotations

import contextlib
import shutil
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatar.common.files import put_in_place
from avatar.common.image_io import encode_png
from avatar.common.made_note import noted_png
from avatar.common.temporaries import remove_orphans, temporary_path
from avatar.rendering.passes import Pass
from avatar.video.conversions import for_exr, for_png

if TYPE_CHECKING:
    import av

#: Patterns of the images in such a folder.
FRAME_FILES = ("[0-9]*.png", "[0-9]*.exr")

_PNG_LEVEL = 3  # of avatar.common.image_io.encode_png
_EXR_FORMATS = {0: "grayf32le", 3: "gbrpf32le", 4: "gbrapf32le"}


def image_name(number: int, suffix: str) -> str:
    """The file name of frame `number`."""
    return f"{number:05d}{suffix}"


class SequenceSink:
    """Writes images to a folder; a file is named by the number of its frame in the full video."""

    def __init__(self, path: Path, name: Pass, codec: str, half: bool, first_frame: int) -> None:
        """
        Args:
            path: the folder; an existing folder is replaced.
            name: the pass.
            codec: png or exr.
            half: exr: 16-bit floats, except for depth.
            first_frame: number of the first frame.
        """
        self.path = path
        self._first = first_frame
        self._suffix = f".{codec}"
        self._target = path.resolve()  # a link to a folder stays, and that folder is replaced
        self._temporary = temporary_path(self._target)
        self._convert = for_exr(name) if codec == "exr" else for_png(name)
        self._exr_options = {"format": "half" if half and name != "depth" else "float", "compression": "zip16"}
        self._encoder: av.VideoCodecContext | None = None
        self.errors = _errors(codec)

    def open(self) -> None:
        """Make the temporary folder."""
        self._target.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(self._target)
        self._temporary.mkdir()

    def write(self, image: np.ndarray, index: int, time: float | None) -> None:
        """Write the image to a file; `time` is not stored."""
        stored = self._convert(image)
        content = self._exr(stored) if self._suffix == ".exr" else _png(stored)
        (self._temporary / image_name(self._first + index, self._suffix)).write_bytes(content)

    def finish(self) -> None:
        """Rename the temporary folder to its final name."""
        put_in_place(self._temporary, self._target)

    def discard(self) -> None:
        """Remove the temporary folder."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self._temporary)

    def _exr(self, image: np.ndarray) -> bytes:
        import av

        pixels = _EXR_FORMATS[image.shape[2] if image.ndim == 3 else 0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image, np.float32), format=pixels)
        if self._encoder is None:
            context = av.CodecContext.create("exr", "w")
            assert isinstance(context, av.VideoCodecContext)
            context.width = frame.width
            context.height = frame.height
            context.pix_fmt = pixels
            context.time_base = Fraction(1, 25)  # an image ignores the time base
            context.options = self._exr_options
            context.thread_count = 1  # with more threads the encoder returns packets of earlier frames
            self._encoder = context
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))


def _errors(codec: str) -> tuple[type[Exception], ...]:
    """What writing a file of `codec` may raise; FFmpeg's libraries take long to import, and PNG files need none."""
    if codec != "exr":
        return (OSError,)
    import av

    return OSError, av.error.FFmpegError


def _png(image: np.ndarray) -> bytes:
    if image.ndim == 3:
        order = [2, 1, 0, 3][: image.shape[2]]
        image = image[..., order]
    return noted_png(encode_png(image, _PNG_LEVEL))

"""Folders of numbered PNG or EXR pictures."""

from __future__ import annotations

import contextlib
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from avatar.common.files import put_in_place, remove_orphans, temporary_path
from avatar.common.image_io import encode_png
from avatar.rendering.passes import Pass
from avatar.video.conversions import for_exr, for_png

#: What a folder of pictures holds, for avatar.common.files.check_replaceable_folder.
PICTURES = ("[0-9]*.png", "[0-9]*.exr")

_PNG_LEVEL = 3  # of avatar.common.image_io.encode_png
_EXR_FORMATS = {0: "grayf32le", 3: "gbrpf32le", 4: "gbrapf32le"}


def image_name(number: int, suffix: str) -> str:
    """The file name of frame `number`."""
    return f"{number:05d}{suffix}"


class SequenceSink:
    """Pictures in a folder, named after the number of the frame in the whole."""

    def __init__(self, path: Path, name: Pass, codec: str, half: bool, first_frame: int) -> None:
        """
        Args:
            path: the folder; one of that name is replaced as a whole.
            name: the pass.
            codec: png or exr.
            half: exr: 16-bit floats, depth aside.
            first_frame: the number of the first picture.
        """
        self.path = path
        self._first, self._suffix = first_frame, f".{codec}"
        self._temporary = temporary_path(path)
        self._convert = for_exr(name) if codec == "exr" else for_png(name)
        self._exr_options = {"format": "half" if half and name != "depth" else "float", "compression": "zip16"}
        self._encoder: av.VideoCodecContext | None = None

    def open(self) -> None:
        """Make the temporary folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        remove_orphans(self.path)
        self._temporary.mkdir()

    def write(self, picture: np.ndarray, index: int, time: float | None) -> None:
        """Write the picture to its own file; folders know no times."""
        stored = self._convert(picture)
        content = self._exr(stored) if self._suffix == ".exr" else _png(stored)
        (self._temporary / image_name(self._first + index, self._suffix)).write_bytes(content)

    def finish(self) -> None:
        """Put the folder in its place."""
        put_in_place(self._temporary, self.path)

    def discard(self) -> None:
        """Remove the temporary folder."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self._temporary)

    def _exr(self, picture: np.ndarray) -> bytes:
        pixels = _EXR_FORMATS[picture.shape[2] if picture.ndim == 3 else 0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture, np.float32), format=pixels)
        if self._encoder is None:
            context = av.CodecContext.create("exr", "w")
            assert isinstance(context, av.VideoCodecContext)
            context.width, context.height, context.pix_fmt = frame.width, frame.height, pixels
            context.time_base, context.options = Fraction(1, 25), self._exr_options  # of no meaning in a picture
            context.thread_count = 1  # with more, the encoder answers frames late
            self._encoder = context
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))


def _png(picture: np.ndarray) -> bytes:
    if picture.ndim == 3:
        order = [2, 1, 0, 3][: picture.shape[2]]
        picture = picture[..., order]
    return encode_png(picture, _PNG_LEVEL)

"""A few photos of one person as the frames of one camera.

Photos have a size and a focal length each. They are resized to one focal length and put in the middle of one canvas, so
that all that reads a video reads them too. Between two photos lie many minutes: nothing is smoothed over them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np

from avatar.common.files import path_text
from avatar.common.image_io import check_pixels, encode_jpeg, read_image
from avatar.common.media import MEDIA_ERRORS, open_media
from avatar.common.photo_files import RAW, image_format
from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from capture.heif import heif_exif, read_heif
from capture.icc import MatrixProfile, jpeg_components, profile_of
from capture.options import CaptureOptions, FaceModels, Progress
from capture.pipeline import SourceTraits, capture_frames
from capture.sources import source_digest
from capture.stages.photos import solve_photos
from capture.tracker.camera import FocalPrior, focal_prior
from capture.video.decoding import SourceFrame

MOST_PHOTOS = 20
#: Longer side of the canvas at most, pixels; seconds between photos.
CANVAS = 2048
APART = 1000.0
_JPEG = b"\xff\xd8"
_EXIF = b"Exif\0\0"
_HEIF = ("HEIC", "AVIF")
_LONGEST_EXIF = 65_000  # bytes, of one segment of a JPEG file
_LONGEST_BRANDS = 256  # bytes of the first box of an MP4 or HEIC file
_CMYK = 4
_FOCAL_KEY = "focallengthin35mmfilm"


@dataclass(frozen=True)
class PhotoSource:
    """Photos as frames; iterating reads them one after another."""

    paths: tuple[Path, ...]
    factors: tuple[float, ...]  # by which each photo is resized
    width: int  # of the canvas, pixels
    height: int
    prior: FocalPrior  # of the canvas
    priors: tuple[FocalPrior, ...]  # of each photo, in its own pixels
    sizes: tuple[tuple[int, int], ...]  # (width, height) of each photo
    rotation: int = 0  # degrees counter-clockwise by which the canvas was turned
    mirrored: bool = False
    fps: float = 1 / APART
    focal_35mm: None = None
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[SourceFrame]:
        for number, (path, factor) in enumerate(zip(self.paths, self.factors, strict=True)):
            turned = np.rot90(_on_canvas(_read(path), factor, self._upright), self.rotation // 90)
            yield SourceFrame(number, number * APART, np.ascontiguousarray(turned))

    @property
    def _upright(self) -> tuple[int, int]:
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    def with_focals(self, focals: np.ndarray) -> tuple[PhotoSource, np.ndarray]:
        """The same photos, resized anew because their focal lengths on this canvas are `focals` [K] pixels.

        Returns:
            They, and by how much each is larger than before [K].
        """
        factors = np.array(self.factors) * (focals.max() / focals)
        scale, (width, height) = _canvas(np.array(self.sizes), factors)
        if self.rotation % 180:
            width, height = height, width
        ratios = factors * scale / np.array(self.factors)
        prior = replace(self.prior, focal=float(focals.max() * scale))
        resized = tuple((factors * scale).tolist())
        return replace(self, factors=resized, width=width, height=height, prior=prior), ratios

    def with_turn(self, degrees: int) -> PhotoSource:
        """The same photos, turned counter-clockwise by `degrees` more: 90, 180 or 270."""
        width, height = (self.height, self.width) if degrees % 180 else (self.width, self.height)
        return replace(self, width=width, height=height, rotation=(self.rotation + degrees) % 360)


def open_photos(paths: Sequence[Path]) -> PhotoSource:
    """Read the sizes and focal lengths of photos.

    Args:
        paths: 1 to MOST_PHOTOS files.

    Raises:
        HeadsplatError: too many, one that is given twice, or one that cannot be read.
    """
    if len(paths) > MOST_PHOTOS:
        raise HeadsplatError(f"{len(paths)} photos: at most {MOST_PHOTOS}; choose the sharpest, or film a video")
    if twice := [path for path in paths if list(paths).count(path) > 1]:
        raise HeadsplatError(f"{twice[0]}: given twice; give each photo once")
    sizes = [(image.shape[1], image.shape[0]) for image in map(_read, paths)]
    priors = [focal_prior(*size, _focal_35mm(path)) for path, size in zip(paths, sizes, strict=True)]
    focal = max(prior.focal for prior in priors)
    factors = np.array([focal / prior.focal for prior in priors])
    shrink, canvas = _canvas(np.array(sizes), factors)
    shared = FocalPrior(focal * shrink, max(prior.log_sigma for prior in priors), priors[int(factors.argmin())].origin)
    notes = tuple(note for path in paths for note in _notes_on(path))
    return PhotoSource(
        tuple(paths), tuple((factors * shrink).tolist()), *canvas, shared, tuple(priors), tuple(sizes), warnings=notes
    )


def _canvas(sizes: np.ndarray, factors: np.ndarray) -> tuple[float, tuple[int, int]]:
    """By how much photos of `sizes` [K,2] times `factors` [K] are shrunk for a canvas, and its width and height."""
    width, height = (sizes * factors[:, None]).max(0)
    shrink = min(1.0, CANVAS / max(width, height))
    return shrink, (max(1, round(width * shrink)), max(1, round(height * shrink)))


def capture_photos(
    paths: Sequence[Path],
    out: Path,
    options: CaptureOptions | None = None,
    progress: Progress | None = None,
    models: FaceModels | None = None,
) -> Capture:
    """Capture photos of one person into a folder; see `capture.pipeline.run_capture`.

    Args:
        paths: 1 to MOST_PHOTOS photos, of any cameras, in any light.
        out: the folder to make.
        options: nothing can be held out, and each photo has a focal length of its own.
        progress: see run_capture.
        models: see run_capture.

    Raises:
        HeadsplatError: one sentence on what is wrong with the photos or the options.
    """
    options = options or CaptureOptions()
    check_options(options)
    source = open_photos(paths)
    names = [path_text(path.name) for path in paths]
    metadata = {"name": _name_of(names), "sha256": source_digest(paths), "photos": names}
    traits = SourceTraits(least_frames=1, focal=source.prior, solve=solve_photos)
    return capture_frames(source, len(source), metadata, out, options, progress, models, traits)


def check_options(options: CaptureOptions) -> None:
    """Raise HeadsplatError for options that photos cannot have."""
    given = {
        "--test-fraction": options.test_fraction,
        "--test-every": options.test_every,
        "--test-yaw": options.test_yaw,
        "--test-camera": options.test_camera,
        "--solve-cameras": options.solve_cameras or None,
        "--focal": options.focal,
        "--orbit": options.orbit or None,
    }
    reasons = {"--focal": "each has a focal length of its own", "--orbit": "a walk is a video"}
    if wrong := [name for name, value in given.items() if value is not None]:
        reason = reasons.get(wrong[0], "all are used for training")
        raise HeadsplatError(f"{wrong[0]}: not for photos, {reason}; leave it out")


def _name_of(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _read(path: Path) -> np.ndarray:
    """The photo [H,W,3] uint8 sRGB, upright by its metadata."""
    content = image_format(path)
    if content is not None and content.name in _HEIF:
        return read_heif(path)
    raw = content is not None and content.name == RAW  # the image that could be read is a small preview
    gif = content is not None and content.name == "GIF"
    image = None if raw else _read_gif(path) if gif else read_image(path, cv2.IMREAD_COLOR)
    if image is None or image.dtype != np.uint8:
        known = "" if content is None else f" ({content.name})"
        raise HeadsplatError(
            f"{path}: not a photo that can be read{known}; give a JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF or BMP file"
        )
    profile = MatrixProfile.parse(profile_of(path.read_bytes()) or b"")
    return image[..., ::-1] if profile is None else profile.to_srgb(image[..., ::-1])


def _notes_on(path: Path) -> list[str]:
    """Sentences on what of a photo is not read, or not with its colors."""
    data = path.read_bytes()
    name = path_text(path.name)
    notes = []
    if _has_video(data):
        notes.append(
            f"{name}: a motion photo; its video is not read: export it in the phone's gallery, and train from it "
            "for an avatar with the person's own expressions"
        )
    profile = profile_of(data)
    if jpeg_components(data) == _CMYK or (profile and profile[16:20] == b"RGB " and not MatrixProfile.parse(profile)):
        notes.append(
            f"{name}: its color profile (CMYK or tables) is not applied: its colors are approximate; export it as sRGB"
        )
    return notes


def _has_video(data: bytes) -> bool:
    """Whether a video follows the image of a photo, as in motion photos of Android phones."""
    at = data.find(b"ftyp", _LONGEST_BRANDS)
    while at > 0:
        if 16 <= int.from_bytes(data[at - 4 : at], "big") <= _LONGEST_BRANDS and data.find(b"moov", at) > 0:
            return True
        at = data.find(b"ftyp", at + 4)
    return False


def _read_gif(path: Path) -> np.ndarray | None:
    """The first image of a GIF file [H,W,3] uint8 BGR; None if it is damaged."""
    with path.open("rb") as stream:
        width, height = struct.unpack("<6xHH", stream.read(10).ljust(10, b"\0"))
    check_pixels(path, (width, height))
    try:
        with open_media(path) as container:
            return next(container.decode(video=0)).to_ndarray(format="bgr24")
    except (*MEDIA_ERRORS, StopIteration, IndexError):
        return None


def _focal_35mm(path: Path) -> float | None:
    """The 35 mm equivalent focal length in millimeters that the photo states, if any."""
    data = _jpeg_with_exif(path)
    if data is None:
        return None
    try:
        with av.open(io.BytesIO(data), "r", "jpeg_pipe") as container:
            stated = next(container.decode(video=0)).metadata
    except (*MEDIA_ERRORS, StopIteration, IndexError):
        return None
    for key, value in stated.items():
        if key.lower().endswith(_FOCAL_KEY):
            try:
                focal = float(value)
            except ValueError:
                return None
            return focal if 5 <= focal <= 1000 else None
    return None


def _jpeg_with_exif(path: Path) -> bytes | None:
    """A JPEG file with the photo's EXIF data: itself, or a small one with those of a HEIC file; None without them."""
    content = image_format(path)
    if content is not None and content.name in _HEIF:
        exif = heif_exif(path)
        if exif is None or len(exif) > _LONGEST_EXIF:
            return None
        small = encode_jpeg(np.zeros((8, 8), np.uint8), 50)
        body = _EXIF + exif
        return small[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + small[2:]
    data = path.read_bytes()
    return data if data.startswith(_JPEG) else None


def _on_canvas(image: np.ndarray, factor: float, size: tuple[int, int]) -> np.ndarray:
    """`image` resized and in the middle of a canvas of `size` (width, height); beyond its edges they are repeated."""
    sides = zip(size, image.shape[1::-1], strict=True)
    width, height = (max(1, min(most, round(side * factor))) for most, side in sides)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method)
    left = (size[0] - width) // 2
    top = (size[1] - height) // 2
    edges = top, size[1] - height - top, left, size[0] - width - left
    return cv2.copyMakeBorder(small, *edges, cv2.BORDER_REPLICATE)

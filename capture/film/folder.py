"""A capture folder that grows while a person is filmed, and its completion.

The film is an unfinished capture: `partial/film/` has one image for each kept frame, whose name states its number and
time, and `film.json`. There is no list that could disagree with the files, so that whatever ends the filming leaves a
film of the frames kept until then, which `finish_film` completes as a capture of any video. `shown.json` has what the
frames show, for a recording that goes on later; it may be missing or older than the frames.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.common.image_io import encode_png, read_image
from avatar.common.json_values import JsonValue, read_json_object
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.data.kept_images import KeptImages
from avatar.errors import HeadsplatError
from capture.options import CaptureOptions, FaceModels, Progress
from capture.pipeline import capture_frames
from capture.run import open_workspace
from capture.video.decoding import SourceFrame
from capture.workspace import FILM_DIR, FILM_FILE, discard, explain_errors, growing_film, write_atomically

_FRAME = re.compile(r"(\d{6,})_(\d{9,})\.png")
_SHOWN_FILE = "shown.json"
_MICROSECONDS = 1e6
#: Seconds between the parts of a recording that was interrupted: nothing is smoothed across the gap.
_GAP = 1.0
_REMEDY = "film again with --overwrite"
#: PNG effort: a frame of 1280x720 takes a fiftieth of a second.
_PNG_LEVEL = 1


def check_film(out: Path, *, overwrite: bool, resume: bool) -> Path | None:
    """The folder of the unfinished film of the capture `out`; None where there is none.

    Raises:
        HeadsplatError: as FilmFolder.
    """
    film = growing_film(out)
    if film is None and resume:
        raise HeadsplatError(f"{out}: no unfinished film is there; omit --resume to start a new one")
    if overwrite or resume:
        return film
    if film is not None:
        raise HeadsplatError(
            f"{out}: an unfinished film is there; --resume goes on filming, `headsplat train {out}` trains an avatar "
            "from it, --overwrite replaces it"
        )
    if (out / METADATA_FILE).exists():
        raise HeadsplatError(f"{out}: a finished capture is there; add --overwrite to make it again")
    return None


class FilmFolder:
    """The growing folder."""

    def __init__(self, out: Path, name: str, options: CaptureOptions, *, resume: bool = False) -> None:
        """Create the folder, or go on with one.

        Args:
            out: the capture folder.
            name: of the source, such as "webcam 0".
            options: of the capture that it becomes.
            resume: go on with the unfinished film that is there; its options stay.

        Raises:
            HeadsplatError: a capture or another film is there, and `options.overwrite` is off; or there is no
                unfinished film to go on with.
        """
        film = check_film(out, overwrite=options.overwrite, resume=resume)
        self.out = out
        self._name = name
        self._paths: dict[int, Path] = {}
        self._size: tuple[int, ...] | None = None  # of the frames, once there are some
        self.start_number = 0  # of the frames that are still to come
        self.start_time = 0.0  # seconds
        if film is not None and resume:
            self._folder = film
            self._go_on()
            return
        identity = secrets.token_hex(32)
        self._folder = open_workspace(out, identity, options).partial / FILM_DIR
        described = {"film": identity, "name": name, "consent": options.consent, "options": options.key()}
        with explain_errors(out):
            self._folder.mkdir(exist_ok=True)
            write_atomically(self._folder / FILM_FILE, json.dumps(described, indent=1).encode())

    def _go_on(self) -> None:
        """Take the frames that are there, and discard what a completion has made of them."""
        frames = _frames_in(self._folder)
        self._paths = {number: path for number, _, path in frames}
        if frames:
            number, time, path = frames[-1]
            self._size = _read(path).shape
            self.start_number, self.start_time = number + 1, time + _GAP
        with explain_errors(self.out):
            for path in self._folder.parent.glob("*.npz"):
                path.unlink()

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, number: int, time: float, rgb: np.ndarray) -> None:
        """Keep a frame [H,W,3] uint8 sRGB of `time` seconds; raises HeadsplatError if others have another size."""
        self._size = self._size or rgb.shape
        if rgb.shape != self._size:
            sizes = [f"{width}x{height}" for height, width, _ in (rgb.shape, self._size)]
            raise HeadsplatError(
                f"{self._name}: frames of {sizes[0]} pixels, those of the film have {sizes[1]}; use the same camera, "
                f"or {_REMEDY}"
            )
        path = self._folder / f"{number:06}_{round(time * _MICROSECONDS):09}.png"
        with explain_errors(self.out):
            write_atomically(path, encode_png(rgb[..., ::-1], _PNG_LEVEL))
        self._paths[number] = path

    def drop(self, number: int) -> None:
        """Remove a frame that was kept."""
        with explain_errors(self.out):
            self._paths.pop(number).unlink(missing_ok=True)

    @property
    def numbers(self) -> list[int]:
        """Of the frames."""
        return list(self._paths)

    def note(self, shown: Mapping[str, Any]) -> None:
        """Store what the frames show, as JSON values, for a recording that goes on later."""
        with explain_errors(self.out):
            write_atomically(self._folder / _SHOWN_FILE, json.dumps(shown).encode())

    def noted(self) -> Any:
        """What was stored last; None where nothing can be read."""
        try:
            return json.loads((self._folder / _SHOWN_FILE).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def discard(self) -> None:
        """Delete the film."""
        discard(self.out)


@dataclass(frozen=True)
class Film:
    """The kept frames, as a video; iterating reads them one after another."""

    frames: tuple[tuple[float, Path], ...]  # seconds and file, in the order of time
    width: int  # pixels
    height: int
    rotation: int = 0  # degrees counter-clockwise by which the frames were turned
    mirrored: bool = False
    focal_35mm: None = None
    warnings: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Kept frames per second."""
        return len(self.frames) / max(self.frames[-1][0] - self.frames[0][0], 1.0)

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[SourceFrame]:
        start = self.frames[0][0]
        for number, (time, path) in enumerate(self.frames):
            turned = np.rot90(_read(path), self.rotation // 90)
            yield SourceFrame(number, time - start, np.ascontiguousarray(turned))

    def with_turn(self, degrees: int) -> Film:
        """The same frames, turned counter-clockwise by `degrees` more: 90, 180 or 270."""
        width, height = (self.height, self.width) if degrees % 180 else (self.width, self.height)
        return replace(self, width=width, height=height, rotation=(self.rotation + degrees) % 360)


def finish_film(
    out: Path, progress: Progress | None = None, models: FaceModels | None = None, kept: KeptImages | None = None
) -> Capture | None:
    """Complete the capture of an unfinished film; None where there is none.

    Args:
        out: the capture folder.
        progress: see `capture.pipeline.run_capture`.
        models: makers of the networks.
        kept: where the training images are kept in memory, for a training that follows.

    Raises:
        HeadsplatError: the film is damaged, or has too few frames.
    """
    folder = growing_film(out)
    if folder is None:
        return None
    path = folder / FILM_FILE
    described = JsonValue(read_json_object(path, _REMEDY), str(path), _REMEDY)
    known = {item.name for item in fields(CaptureOptions)}
    stored = {name: value for name, value in dict(described["options"].value).items() if name in known}
    replaces = (out / METADATA_FILE).exists()
    options = CaptureOptions(**stored, consent=described["consent"].text(empty=True), overwrite=replaces)
    film = open_film(folder, out)
    metadata: dict[str, Any] = {"name": described["name"].text(), "sha256": described["film"].text()}
    return capture_frames(film, len(film), metadata, out, options, progress, models, kept=kept)


def open_film(folder: Path, out: Path) -> Film:
    """The frames in a folder; raises HeadsplatError, which names the capture `out`, where there are none."""
    frames = tuple((time, path) for _, time, path in _frames_in(folder))
    if not frames:
        raise HeadsplatError(f"{out}: a film without frames; {_REMEDY}")
    height, width = _read(frames[0][1]).shape[:2]
    return Film(frames, width, height)


def _frames_in(folder: Path) -> list[tuple[int, float, Path]]:
    """Number, seconds and file of each frame in a folder, in their order."""
    found = [(match, path) for path in folder.iterdir() if (match := _FRAME.fullmatch(path.name))]
    return sorted((int(match[1]), int(match[2]) / _MICROSECONDS, path) for match, path in found)


def _read(path: Path) -> np.ndarray:
    image = read_image(path, cv2.IMREAD_COLOR)
    if image is None:
        raise HeadsplatError(f"{path}: the image is damaged; delete it, the film has others")
    return image[..., ::-1]

"""A capture folder that grows while a person is filmed, and its completion.

The film is an unfinished capture: `partial/film/` has one image for each kept frame, whose name states its number and
time, and `film.json`. There is no list that could disagree with the files, so that whatever ends the filming leaves a
film of the frames kept until then, which `finish_film` completes as a capture of any video.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avatar.common.image_io import encode_png, read_image
from avatar.common.json_values import JsonValue, read_json_object
from avatar.data.capture_folder import METADATA_FILE, Capture
from avatar.errors import HeadsplatError
from capture.options import CaptureOptions, FaceModels, Progress
from capture.pipeline import capture_frames
from capture.run import open_workspace
from capture.video.decoding import SourceFrame
from capture.workspace import FILM_DIR, FILM_FILE, discard, explain_errors, growing_film, write_atomically

_FRAME = re.compile(r"(\d{6})_(\d{9})\.png")
_MICROSECONDS = 1e6
_REMEDY = "film again with --overwrite"
#: PNG effort: a frame of 1280x720 takes a fiftieth of a second.
_PNG_LEVEL = 1


class FilmFolder:
    """The growing folder."""

    def __init__(self, out: Path, name: str, options: CaptureOptions) -> None:
        """Create the folder.

        Args:
            out: the capture folder.
            name: of the source, such as "webcam 0".
            options: of the capture that it becomes.

        Raises:
            HeadsplatError: a capture or another film is there, and `options.overwrite` is off.
        """
        if not options.overwrite and growing_film(out) is not None:
            raise HeadsplatError(
                f"{out}: an unfinished film is there; `headsplat train {out}` trains an avatar from it, --overwrite "
                "replaces it"
            )
        identity = secrets.token_hex(32)
        self.out = out
        self._folder = open_workspace(out, identity, options).partial / FILM_DIR
        self._paths: dict[int, Path] = {}
        described = {"film": identity, "name": name, "consent": options.consent, "options": options.key()}
        with explain_errors(out):
            self._folder.mkdir(exist_ok=True)
            write_atomically(self._folder / FILM_FILE, json.dumps(described, indent=1).encode())

    def __len__(self) -> int:
        return len(self._paths)

    def add(self, number: int, time: float, rgb: np.ndarray) -> None:
        """Keep a frame [H,W,3] uint8 sRGB of `time` seconds."""
        path = self._folder / f"{number:06}_{round(time * _MICROSECONDS):09}.png"
        with explain_errors(self.out):
            write_atomically(path, encode_png(rgb[..., ::-1], _PNG_LEVEL))
        self._paths[number] = path

    def drop(self, number: int) -> None:
        """Remove a frame that was kept."""
        with explain_errors(self.out):
            self._paths.pop(number).unlink(missing_ok=True)

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


def finish_film(out: Path, progress: Progress | None = None, models: FaceModels | None = None) -> Capture | None:
    """Complete the capture of an unfinished film; None where there is none.

    Args:
        out: the capture folder.
        progress: see `capture.pipeline.run_capture`.
        models: makers of the networks.

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
    return capture_frames(film, len(film), metadata, out, options, progress, models)


def open_film(folder: Path, out: Path) -> Film:
    """The frames in a folder; raises HeadsplatError, which names the capture `out`, where there are none."""
    found = [(match, path) for path in sorted(folder.iterdir()) if (match := _FRAME.fullmatch(path.name))]
    if not found:
        raise HeadsplatError(f"{out}: a film without frames; {_REMEDY}")
    frames = tuple((int(match[2]) / _MICROSECONDS, path) for match, path in found)
    height, width = _read(frames[0][1]).shape[:2]
    return Film(frames, width, height)


def _read(path: Path) -> np.ndarray:
    image = read_image(path, cv2.IMREAD_COLOR)
    if image is None:
        raise HeadsplatError(f"{path}: the image is damaged; delete it, the film has others")
    return image[..., ::-1]

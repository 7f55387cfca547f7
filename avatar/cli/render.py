"""`headsplat render`: an avatar along a track, to an mp4 or a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import OptionalFloat, Out, parse_colour, parse_frames, parse_size
from avatar.cli.progress import Update, say, stage
from avatar.errors import HeadsplatError
from avatar.files import atomic_folder, check_output, check_replaceable_folder
from avatar.rasterizer import Rasterizer, check_rasterizer

if TYPE_CHECKING:
    import numpy as np

    from avatar.captured import Capture
    from avatar.cli.shots import Shot

PICTURES = ("[0-9]*.png",)


@dataclass(frozen=True)
class RenderCommand:
    """Render an avatar along a capture's track: the person's own, or another's."""

    avatar: Annotated[Positional[Path], arg(metavar="AVATAR")]
    """an .avatar file"""
    motion: Annotated[Path, arg(metavar="CAPTURE")]
    """a capture folder: its expressions and poses drive the avatar"""
    out: Out
    """an .mp4 to write, or a folder for PNG pictures"""
    size: Annotated[str | None, arg(metavar="WxH")] = None
    """picture size in pixels; default: that of the capture the avatar was trained on"""
    fps: OptionalFloat = None
    """constant frame rate; default: the capture's own timestamps, frame for frame"""
    background: str = "white"
    """white, black or #rrggbb"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """only these frames of the track, the end left out"""
    rasterizer: Rasterizer = "native"
    """what splats: our own kernels, or gsplat (CUDA; pip install gsplat)"""
    overwrite: bool = False
    """replace an output that exists"""

    def run(self) -> int:
        """Render and write; returns the exit code."""
        background = parse_colour(self.background)
        size = None if self.size is None else parse_size(self.size)
        self._check()
        from avatar.captured import Capture

        capture = Capture.load(self.motion)
        chosen = parse_frames(self.frames or ":", len(capture))
        with stage("rendering") as update:
            shot = prepare_shot(self.avatar, capture, chosen, size, self.fps)
            count = write_shot(self.out, shot, background, update, self.rasterizer)
        print(f"{self.out}: {count} frames of {shot.camera.width}x{shot.camera.height}")
        return 0

    def _check(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise HeadsplatError(f"--fps: expected more than 0 and at most 1000, got {self.fps:g}")
        if self.out.suffix not in ("", ".mp4"):
            raise HeadsplatError(f"{self.out}: cannot write {self.out.suffix}; give a name in .mp4 or a folder")
        if self.motion.is_file():
            raise HeadsplatError(
                f"{self.motion}: only capture folders can drive an avatar so far; run `headsplat capture` on a video"
            )
        check_rasterizer(self.rasterizer)
        check_output(self.out, self.overwrite)
        if not self.out.suffix and self.out.exists():
            check_replaceable_folder(self.out, PICTURES)


def prepare_shot(
    path: Path, capture: Capture, frames: range, size: tuple[int, int] | None = None, fps: float | None = None
) -> Shot:
    """The avatar file `path` along `frames` of `capture`; another person's motion is retold for the avatar's.

    Args:
        size: width and height in pixels; None: that of the avatar's own capture.
        fps: constant frame rate; None: the capture's timestamps.
    """
    from avatar.asset import load_avatar, read_header
    from avatar.cli.shots import Shot, filmed_by, fit_camera, head_of, is_own, resample, rows
    from avatar.drive import cross_drive

    header, avatar = read_header(path), load_avatar(path)
    if is_own(header, capture):
        params = capture.params(frames)
    else:
        head = head_of(capture)
        say(f"{capture.root}: not the capture of this avatar; its motion is retold for the avatar's person")
        params = rows(cross_drive(avatar, capture, head), frames)
    times = capture.track["time"][frames.start : frames.stop]
    if fps is not None:
        params, times = resample(params, times, fps)
    camera = filmed_by(header, capture)
    return Shot(avatar, params, times, fit_camera(camera, *(size or (camera.width, camera.height))))


def write_shot(
    out: Path,
    shot: Shot,
    background: tuple[float, float, float],
    update: Update,
    rasterizer: Rasterizer = "native",
) -> int:
    """Render to the mp4 or the folder `out`; returns the number of frames."""
    from avatar.cli.pictures import png_bytes
    from avatar.drive import render_track
    from avatar.output import open_output

    track = render_track(shot.avatar, shot.params, shot.camera, background, rasterizer)
    pictures = _reporting(track, len(shot), update)
    if out.suffix == ".mp4":
        with open_output(out, shot.rate) as writer:
            for picture, time in zip(pictures, shot.times - shot.times[0], strict=True):
                writer.add(picture, float(time))
    else:
        with atomic_folder(out) as folder:
            for number, picture in enumerate(pictures):
                (folder / f"{number:05d}.png").write_bytes(png_bytes(picture))
    return len(shot)


def _reporting(pictures: Iterator[np.ndarray], count: int, update: Update) -> Iterator[np.ndarray]:
    for index, picture in enumerate(pictures):
        yield picture
        update((index + 1) / count, f"frame {index + 1} of {count}")

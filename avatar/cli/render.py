"""`headsplat render`: avatars along a motion, to videos or folders of pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from avatar.cli.arguments import (
    Gain,
    OptionalFloat,
    OptionalHead,
    OptionalPath,
    Out,
    chosen_frames,
    parse_frames,
    parse_gain,
    parse_size,
)
from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.progress import say, stage
from avatar.common.files import check_output, check_replaceable_folder
from avatar.common.frame_rate import check_fps
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError
from avatar.rendering.backends import Rasterizer, check_rasterizer

if TYPE_CHECKING:
    from avatar.cli.driven_motion import Take
    from avatar.cli.frame_output import FilmWriter
    from avatar.rendering.camera_request import CameraRequest
    from avatar.rendering.settings import Look
    from avatar.video import Encoding
    from avatar.video.film import Actor
    from avatar.video.film_report import RenderReport

_DEFAULT_SIDE = 512


@dataclass(frozen=True)
class PictureOptions:
    """what the pictures show"""

    size: Annotated[str | None, arg(metavar="WxH|SIDE")] = None
    """pixels of each avatar's picture, up to 4096 a side (one number: a square); default: those of the capture it was
    trained on"""
    camera: Annotated[str, arg(metavar="CAMERA")] = "capture"
    """capture: the one that filmed the person; front; orbit[:DEGREES[,SECONDS]]: swings round the head;
    dolly[:SHARE[,SECONDS]]: in to that share of the distance and out; or a .json file (transforms.json, or K and
    world_to_cam)"""
    background: Annotated[str, arg(metavar="COLOR|PICTURE")] = "white"
    """a color's name, #rrggbb, a picture file (scaled to cover), or transparent"""
    passes: Annotated[str, arg(metavar="NAMES")] = "rgb"
    """some of rgb,alpha,depth,normals,mesh, each to a file or folder of its own"""
    supersample: Annotated[int, arg(metavar="1..4")] = 1
    """draw so many times larger and average"""
    rasterizer: Rasterizer = "native"
    """what splats: our own kernels, or gsplat (CUDA; pip install gsplat)"""


@dataclass(frozen=True)
class MotionOptions:
    """how the motion is retold; any of these retells an avatar's own capture too"""

    motion_head: OptionalHead = None
    """the head model (FLAME's file) that the motion's expressions were made for"""
    motion_fps: OptionalFloat = None
    """frame rate of a motion file that states no times"""
    neutral: Literal["resting", "as-is"] = "resting"
    """resting: the driver's resting face becomes the avatar person's; as-is: weights as they are"""
    pose: Literal["relative", "absolute", "still"] = "relative"
    """the head: about the driver's mean pose, set about the avatar's; turned as in the motion; or still"""
    travel: float = 0.5
    """share of the head's travel about its mean place"""
    soft_clamp: Annotated[bool, arg(help_behavior_hint="(default: soft clamped)")] = True
    """leave expressions and poses beyond what the avatar was trained on as they are"""
    gain: Gain = ()
    """make expressions, or brows, eyes, mouth, jaw or head, stronger or weaker"""
    smooth: Annotated[float, arg(metavar="SECONDS")] = 0.0
    """width of the window that smooths the motion"""

    def check(self) -> None:
        """Refuse what cannot be before anything is read."""
        check_fps(self.motion_fps, "--motion-fps")
        parse_gain(self.gain)


@dataclass(frozen=True)
class StorageOptions:
    """how the pictures are stored"""

    audio: OptionalPath = None
    """a file whose sound goes with the video; its start is the motion's"""
    codec: Annotated[str | None, arg(metavar="NAME")] = None
    """h264 or h265 (.mp4), prores (.mov), vp9 (.webm), png or exr (a folder)"""
    quality: OptionalFloat = None
    """the codec's CRF: smaller is better, and larger on disk"""

    @property
    def encoding(self) -> Encoding:
        """The same for avatar.video."""
        from avatar.video import Encoding

        return Encoding(codec=self.codec, crf=self.quality)


@dataclass(frozen=True)
class RenderCommand:
    """Render one avatar, or several side by side, along a motion: the person's own, or another's."""

    avatars: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="AVATAR [AVATAR ...]", help_behavior_hint="(required)")
    ]
    """avatar files; each gets a column"""
    motion: Annotated[Path, arg(metavar="MOTION")]
    """what drives the avatars: a capture folder, or a file of expressions (Live Link, ARKit, FLAME, ...)"""
    out: Out
    """a video (.mp4, .mov, .webm) to write, or a folder for pictures"""
    fps: OptionalFloat = None
    """constant frame rate, frame k at exactly k/FPS seconds; default: the motion's own times, frame for frame"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """only these frames of the whole, the end left out; such pieces join without a seam"""
    picture: Annotated[PictureOptions, arg(name="")] = field(default_factory=PictureOptions)
    retold: Annotated[MotionOptions, arg(name="")] = field(default_factory=MotionOptions)
    storage: Annotated[StorageOptions, arg(name="")] = field(default_factory=StorageOptions)
    overwrite: bool = False
    """replace outputs that exist"""

    def run(self) -> int:
        """Render and write; returns the exit code: 130 after Ctrl-C."""
        request = self._check()
        from avatar import ops
        from avatar.cli.driven_motion import Source

        # On one thread sums have one order: machines that share a job agree about means over the whole motion.
        with stage("preparing"), ops.one_thread():
            source = Source.load(self.motion, self.retold)
            takes = [source.on(path, self.fps) for path in self.avatars]
            chosen = chosen_frames(parse_frames(self.frames), len(takes[0]))
            look = self._look(takes[0])
            actors = [take.before(request, look) for take in takes]
        film = self._film(look, takes[0])
        _say_memory(actors, look)
        self._report_path.unlink(missing_ok=True)  # that of an earlier run must not stand beside these pictures
        start = time.monotonic()
        with stage("rendering") as update:
            done = film.render(actors, chosen, update)
        report = self._report(takes, film, chosen, done, time.monotonic() - start)
        report.save(self._report_path)
        print(f"{self.out}: {report.to_text()}")
        return DONE if report.finished else INTERRUPTED

    @property
    def _report_path(self) -> Path:
        return self.out.with_name(f"{self.out.name}.report.json")

    def _check(self) -> CameraRequest:
        """The camera, once all is refused that can be before anything is read."""
        from avatar.rendering.camera_request import parse_camera

        if not self.avatars:
            raise HeadsplatError("no avatar to render; name one or more .avatar files")
        check_fps(self.fps, "--fps")
        parse_frames(self.frames)
        self.retold.check()
        request = parse_camera(self.picture.camera)
        check_rasterizer(self.picture.rasterizer)
        film = self._film(self._look(None), None)
        film.writers(0)
        self._check_outputs(film)
        if not self.motion.exists():
            raise HeadsplatError(f"{self.motion}: no such capture or motion; check its path")
        return request

    def _check_outputs(self, film: FilmWriter) -> None:
        from avatar.video import PICTURES

        folders = not self.out.suffix
        for path in (self.out, self._report_path) if folders else (*film.outputs.values(), self._report_path):
            check_output(path, self.overwrite)
        if folders and self.out.exists():
            inside = [path for path in film.outputs.values() if path != self.out]
            check_replaceable_folder(self.out, (*PICTURES, *(path.name for path in inside)))
            for path in inside:
                if path.exists():
                    check_replaceable_folder(path, PICTURES)

    def _look(self, take: Take | None) -> Look:
        """What is drawn; before anything is read (None) a size that is not given is but a guess."""
        from avatar.rendering.backdrop import parse_backdrop
        from avatar.rendering.settings import LARGEST_SIDE, Look, parse_passes

        told = {} if take is None else take.header.get("capture", {})
        own = told.get("width", _DEFAULT_SIDE), told.get("height", _DEFAULT_SIDE)
        given = self.picture
        width, height = own if given.size is None else parse_size(given.size, LARGEST_SIDE)
        backdrop = parse_backdrop(given.background, width, height)
        return Look(width, height, given.supersample, backdrop, parse_passes(given.passes), given.rasterizer)

    def _film(self, look: Look, take: Take | None) -> FilmWriter:
        from avatar.cli.frame_output import FilmWriter

        rate = self.fps or (30.0 if take is None else take.rate)
        times = None if self.fps is not None or take is None else take.times
        total = 0 if take is None else len(take)
        return FilmWriter(self.out, look, rate, times, total, self.storage.encoding, self.storage.audio)

    def _report(self, takes: list[Take], film: FilmWriter, chosen: range, done: int, seconds: float) -> RenderReport:
        from avatar.video.film_report import AvatarStats, RenderReport

        facts = tuple(AvatarStats(take.name, str(take.header.get("consent", "")), take.report) for take in takes)
        return RenderReport(
            avatars=facts,
            motion=self.motion.name,
            camera=self.picture.camera,
            background=self.picture.background,
            files={name: path.name for name, path in film.outputs.items()},
            width=film.look.width * len(takes),
            height=film.look.height,
            supersample=film.look.supersample,
            first_frame=chosen.start,
            frames=done,
            frames_whole=film.total,
            frame_rate=film.rate,
            seconds_film=done / film.rate,
            seconds_drawing=seconds,
            finished=done == len(chosen),
        )


def _say_memory(actors: list[Actor], look: Look) -> None:
    from avatar.video.film import working_memory

    if len(actors) > 1 or look.width * look.height * look.supersample**2 > 1 << 22:
        say(f"drawing {counted(len(actors), 'avatar')} needs about {working_memory(actors, look) / 1e6:.0f} MB")

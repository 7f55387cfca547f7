"""Rendering avatars along a motion to videos or folders of images."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from avatar.common.files import check_name, path_text
from avatar.common.imports import uncollected
from avatar.common.jsonable import counted
from avatar.common.photo_files import is_film
from avatar.common.ranges import Between
from avatar.errors import HeadsplatError
from avatar.jobs.capturing import paths_of, track_video
from avatar.jobs.motion_options import MotionOptions
from avatar.jobs.notices import Notices, Notify, Stop, ignore
from avatar.jobs.option_types import (
    AppearanceName,
    Device,
    OptionalFloat,
    OptionalFps,
    OptionalPath,
    checked,
)
from avatar.jobs.outputs import Output, is_report, reserved
from avatar.jobs.parsing import chosen_frames, parse_frames, parse_size, requested_device
from avatar.jobs.relight_options import RelightOptions
from avatar.jobs.speech_options import SpeechOptions, speech_summary
from avatar.rendering.backends import Rasterizer, backend_of
from capture.options import CaptureOptions

if TYPE_CHECKING:
    import numpy as np

    from avatar.jobs.driven_motion import DrivenAvatar, DrivingSource
    from avatar.jobs.frame_output import FrameOutput
    from avatar.model.parts.light.relight import Relighting
    from avatar.rendering.camera_request import CameraRequest
    from avatar.rendering.settings import RenderSettings
    from avatar.video import Encoding
    from avatar.video.offline_render import Column
    from avatar.video.render_report import RenderReport

_DEFAULT_SIDE = 512
#: Frames per second of a speaking avatar where no rate is given.
SPEAKING_FPS = 30.0


@dataclass(frozen=True)
class ImageOptions:
    """size, camera and content of the frames"""

    size: Annotated[str | None, arg(metavar="WxH|SIDE")] = None
    """pixels of each avatar's column, up to 4096 per side (one number: a square); default: those of the capture that
    the first avatar was trained on"""
    camera: Annotated[str, arg(metavar="CAMERA")] = "capture"
    """capture: the camera of the capture; front; orbit[:DEGREES[,SECONDS]]: swings about the head;
    dolly[:DISTANCE[,SECONDS]]: moves to that relative distance and back; or a .json file (transforms.json, or K and
    world_to_cam)"""
    background: Annotated[str, arg(metavar="COLOR|IMAGE|FILM")] = "white"
    """a color name, #rrggbb, an image file (resized to cover), transparent, or a film of the avatar's person, in whose
    frames the face is replaced"""
    dub: Literal["auto", "mouth", "face"] = "auto"
    """what is replaced in a film. mouth: with jaw and cheeks; face: brows, lids and gaze as well; auto: mouth with
    --speak, face with --motion"""
    passes: Annotated[str, arg(metavar="NAMES")] = "rgb"
    """some of rgb,alpha,depth,normals,mesh, each written to a separate file or folder"""
    supersample: Annotated[int, arg(metavar="1..4"), Between(1, 4)] = 1
    """render this many times larger per side, then average"""
    rasterizer: Rasterizer = "native"
    """native: headsplat's kernels; own: no nvdiffrast beside them; gsplat: needs CUDA and `pip install gsplat`"""
    device: Device = "auto"
    """auto: the first GPU, if native kernels can run there, else the CPU"""


@dataclass(frozen=True)
class EncodingOptions:
    """how the frames are stored"""

    audio: OptionalPath = None
    """a file whose audio is added to the video; its start is the start of the motion"""
    codec: Annotated[str | None, arg(metavar="NAME")] = None
    """h264 or h265 (.mp4), prores (.mov), vp9 (.webm), png or exr (a folder)"""
    quality: Annotated[OptionalFloat, Between(0, 63)] = None
    """CRF of the codec: smaller means better quality and larger files"""
    credentials: bool = True
    """add signed content credentials, which say that an avatar is shown and name its note on consent, where the extra
    credentials is installed"""

    @property
    def encoding(self) -> Encoding:
        """The options as `avatar.video.Encoding`."""
        from avatar.video import Encoding

        return Encoding(codec=self.codec, crf=self.quality)


@dataclass(frozen=True)
class RenderOptions:
    """what moves the avatars"""

    motion: Annotated[Path | None, arg(metavar="MOTION")] = None
    """the motion: a film of a face, a capture folder, or an expression file (Live Link, ARKit, FLAME, ...)"""
    speak: Annotated[Path | None, arg(metavar="SOUND")] = None
    """instead of a motion: a file with sound that the avatars speak; the sound is added to the video"""
    fps: OptionalFps = None
    """constant frame rate, frame k at exactly k/FPS seconds; default: the frames and times of the motion, and 30 with
    --speak"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """render only frames A to B-1 of the motion; `headsplat join` joins such segments without re-encoding"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix; default: that of the first"""
    scene: Annotated[Path | None, arg(metavar="TOML")] = None
    """a scene file: the avatars are in one space, each AVATAR or AVATAR=MOTION moves on its own; also without the file
    where AVATAR=MOTION is given"""
    image: Annotated[ImageOptions, arg(name="")] = field(default_factory=ImageOptions)
    motion_options: Annotated[MotionOptions, arg(name="")] = field(default_factory=MotionOptions)
    speech: Annotated[SpeechOptions, arg(name="")] = field(default_factory=SpeechOptions)
    storage: Annotated[EncodingOptions, arg(name="")] = field(default_factory=EncodingOptions)
    light: Annotated[RelightOptions, arg(name="")] = field(default_factory=RelightOptions)
    overwrite: bool = False
    """replace outputs that exist"""


def render(
    avatars: str | Path | Sequence[str | Path],
    out: str | Path,
    options: RenderOptions,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
) -> RenderReport:
    """Render one avatar, or several side by side, along their own captures or another motion.

    Args:
        avatars: avatar files, one column each.
        out: the video (.mp4, .mov, .webm) or the folder of images to write; a report is written beside it.
        options: see RenderOptions; its `motion` or its `speak` is needed.
        notify: receives progress and messages.
        stop: what ends the rendering early; the frames so far are kept.

    Returns:
        The report; its `finished` is False where the rendering was ended early.

    Raises:
        HeadsplatError: an input cannot be read, an option is not valid, or an output cannot be written.
    """
    if is_scene(avatars, options):
        raise HeadsplatError("a scene is rendered by `render_scene`; call that, or leave `scene` and AVATAR=MOTION out")
    return RenderJob(paths_of(avatars), Path(out), checked(options)).run(Notices(notify), stop)


def is_scene(avatars: str | Path | Sequence[str | Path], options: RenderOptions) -> bool:
    """Whether these avatars are rendered in one space, by `avatar.jobs.scene_rendering`."""
    given = (path for path in paths_of(avatars) if ".avatar=" in str(path) and not path.exists())
    return options.scene is not None or any(given)


@dataclass(frozen=True)
class RenderJob:
    """The steps of `render`."""

    avatars: tuple[Path, ...]
    out: Path
    options: RenderOptions

    def run(self, notices: Notices, stop: Stop) -> RenderReport:
        """Render and write; returns the report."""
        request, output = self._check()
        relighting = self.options.light.relighting()
        inputs = (
            *self._driving,
            self._audio,
            self.options.image.background,
            request.path,
        )
        others = (self.options.motion_options.motion_head, self.options.light.path, *self.options.speech.inputs)
        with reserved(self._outputs(output), (*inputs, *others), overwrite=self.options.overwrite):
            return self._render(request, relighting, notices, stop)

    @property
    def _driving(self) -> tuple[Path | None, ...]:
        """The avatars, and what moves them."""
        return (*self.avatars, self.options.motion, self.options.speak)

    def _render(
        self, request: CameraRequest, relighting: Relighting | None, notices: Notices, stop: Stop
    ) -> RenderReport:
        from avatar import ops
        from avatar.video.offline_render import render_frames

        if self._film is not None:
            return self._render_onto(self._film, notices, stop)
        device = requested_device(self.options.image.device)
        # On one thread the order of sums is fixed: machines that share a job get equal means over the motion.
        with self.source(notices) as source, notices.stage("preparing"), ops.one_thread():
            driven = [source.drive(path, self.options.fps, self.options.appearance) for path in self.avatars]
            chosen = chosen_frames(parse_frames(self.options.frames), len(driven[0]), notices.say)
            settings = self._settings(driven[0])
            columns = [each.relit(relighting).column(request, settings, notices).to(device) for each in driven]
        output = self._output(settings, driven[0])
        log_memory(columns, settings, notices)
        return self._written(driven, output, chosen, render_frames(columns, settings, chosen), notices, stop)

    def _render_onto(self, film: Path, notices: Notices, stop: Stop) -> RenderReport:
        """Render the avatar into the frames of a film of its person."""
        from avatar import ops
        from avatar.jobs.film_background import dub
        from avatar.jobs.frame_output import FrameOutput

        speaks, image = self.options.speak is not None, self.options.image
        with self.source(notices) as source, notices.stage("preparing"), ops.one_thread():
            part = ("mouth" if speaks else "face") if image.dub == "auto" else image.dub
            dubbed = dub(
                film, self.avatars[0], source, part, rests=speaks, appearance=self.options.appearance, notices=notices
            )
            chosen = chosen_frames(parse_frames(self.options.frames), len(dubbed.driven), notices.say)
        times = None if dubbed.frames.constant else dubbed.frames.times
        encoding, total = self.options.storage.encoding, len(dubbed.driven)
        rate = dubbed.frames.video.fps
        output = FrameOutput(self.out, dubbed.settings, rate, times, total, encoding, self._audio)
        images = dubbed.images(chosen, image.supersample)
        return self._written([dubbed.driven], output, chosen, images, notices, stop)

    def _written(
        self,
        driven: Sequence[DrivenAvatar],
        output: FrameOutput,
        chosen: range,
        images: Iterator[dict[str, np.ndarray]],
        notices: Notices,
        stop: Stop,
    ) -> RenderReport:
        """Write the images of the frames `chosen`, and the report."""
        self._report_path.unlink(missing_ok=True)  # an old report must not remain beside new frames
        start = time.monotonic()
        with notices.stage("rendering") as update:
            done = output.render(images, chosen, update, stop=stop, notices=notices)
        if done and self.options.storage.credentials:
            self._mark(driven, output, notices)
        report = self._report(driven, output, chosen, done, time.monotonic() - start)
        report.save(self._report_path)
        return report

    @contextmanager
    def source(self, notices: Notices) -> Iterator[DrivingSource]:
        """The motion that drives the avatars; a film is tracked into a folder that is removed at the end."""
        from avatar.jobs.driven_motion import DrivingSource

        motion = self.options.motion
        if motion is None:
            yield self._speech(notices)
        elif is_film(motion):
            with tempfile.TemporaryDirectory(prefix="headsplat-film-") as folder:
                capture = track_video(motion, Path(folder) / motion.name, CaptureOptions.passes, notices)
                yield DrivingSource.load(capture, self.options.motion_options, notices)
        else:
            yield DrivingSource.load(motion, self.options.motion_options, notices)

    def _speech(self, notices: Notices) -> DrivingSource:
        """The motion of a face that speaks the sound of the options."""
        from avatar.driving.motion_source import MotionSource
        from avatar.jobs.driven_motion import DrivingSource

        assert self.options.speak is not None, "checked by _check"
        fps = self._speaking_fps()
        motion, speech = self.options.speech.speak(self.options.speak, fps, log=notices.say)
        label = path_text(self.options.speak.name)
        for note in speech.notes:
            notices.say(f"{label}: {note}")
        notices.say(f"{label}: {speech_summary(speech, motion, fps)}")
        return DrivingSource.of(MotionSource(label, motion, None, None), self.options.motion_options, notices)

    def _speaking_fps(self) -> float:
        """Frames per second of a face that speaks: a film's own, so that its frames have the closures of the lips."""
        if self.options.fps is not None or self._film is None:
            return self.options.fps or SPEAKING_FPS
        from capture.video.decoding import open_video

        return min(max(open_video(self._film).fps, SPEAKING_FPS / 2), 4 * SPEAKING_FPS)

    @property
    def _audio(self) -> Path | None:
        """The file whose audio is added: that of --audio, or the sound that is spoken, in a video."""
        own = self.options.speak or self._film_with_sound
        return self.options.storage.audio or (own if self.out.suffix else None)

    @property
    def _film(self) -> Path | None:
        """The film in whose frames the face is replaced; None for other backgrounds."""
        path = Path(self.options.image.background)
        return path if is_film(path) else None

    @cached_property
    def _film_with_sound(self) -> Path | None:
        film = self._film
        if film is None:
            return None
        from avatar.video.audio import has_audio

        return film if has_audio(film) else None

    @property
    def _report_path(self) -> Path:
        return self.out.with_name(f"{self.out.name}.report.json")

    def _check(self) -> tuple[CameraRequest, FrameOutput]:
        """The camera and the output; raises HeadsplatError for everything that can be checked before files are read."""
        from avatar.rendering.camera_request import parse_camera

        if not self.avatars:
            raise HeadsplatError("no avatar to render; name one or more .avatar files")
        check_name(self.out)
        parse_frames(self.options.frames)
        self.options.motion_options.check()
        backend_of(self.options.image.rasterizer).check()
        self._check_motion()
        self._check_film()
        request = parse_camera(self.options.image.camera)
        with uncollected():
            import avatar.jobs.driven_motion
            import avatar.jobs.frame_output  # noqa: F401
        output = self._output(self._settings(None), None)
        output.writers(0)
        return request, output

    def _check_motion(self) -> None:
        if self.options.speak is not None:
            if self.options.motion is not None:
                raise HeadsplatError("give --motion or --speak, not both: a sound moves the whole face")
            self.options.speech.check(self.options.speak)
        elif self.options.motion is None:
            raise HeadsplatError("nothing moves the avatars; give --motion FILE, or --speak SOUND")
        elif self.options.speech.given:
            raise HeadsplatError(f"{self.options.speech.given[0]} goes with --speak; leave it out with --motion")
        elif not self.options.motion.exists():
            raise HeadsplatError(f"{self.options.motion}: no such capture or motion file; check the path")

    def _check_film(self) -> None:
        """Raise HeadsplatError for options that have no meaning in the frames of a film."""
        image, defaults = self.options.image, ImageOptions()
        if self._film is None:
            if image.dub != defaults.dub:
                raise HeadsplatError("--dub goes with a film; give --background FILM, or leave it out")
            return
        if len(self.avatars) > 1:
            raise HeadsplatError("a film as --background has the face of one person; give one avatar")
        light = self.options.light != RelightOptions()
        given = {
            "--size": image.size is not None,
            "--camera": image.camera != defaults.camera,
            "--passes": image.passes != defaults.passes,
            "--fps": self.options.fps is not None,
            "--relight": light,
            "--rasterizer": image.rasterizer != defaults.rasterizer,
            "--device": image.device not in ("auto", "cpu"),
        }
        for name, wrong in given.items():
            if wrong:
                raise HeadsplatError(f"{name} does not go with a film as --background; leave it out")

    def _outputs(self, output: FrameOutput) -> Iterator[Output]:
        for path in output.outputs.values():
            yield Output(path, ours=None if path == self.out else _is_rendered)
        yield Output(self._report_path, ours=lambda path: is_report(path, "headsplat", "avatars"))

    def _settings(self, first: DrivenAvatar | None) -> RenderSettings:
        """The settings for the first avatar; None before it is read: the size is then a default if it is not given."""
        from avatar.rendering.background import parse_background
        from avatar.rendering.settings import MAX_SIDE, RenderSettings, parse_passes

        capture = {} if first is None else first.header.get("capture", {})
        default = capture.get("width", _DEFAULT_SIDE), capture.get("height", _DEFAULT_SIDE)
        given = self.options.image
        width, height = default if given.size is None else parse_size(given.size, MAX_SIDE)
        text = ImageOptions().background if self._film is not None else given.background
        background = parse_background(text, width, height)
        passes = parse_passes(given.passes)
        return RenderSettings(width, height, given.supersample, background, passes, given.rasterizer)

    def _output(self, settings: RenderSettings, first: DrivenAvatar | None) -> FrameOutput:
        """The output for the frames of the first avatar; None before it is read."""
        from avatar.jobs.frame_output import FrameOutput

        rate = self.options.fps or (SPEAKING_FPS if first is None or self.options.speak is not None else first.rate)
        times = None if self.options.fps is not None or self.options.speak is not None or first is None else first.times
        total = 0 if first is None else len(first)
        return FrameOutput(self.out, settings, rate, times, total, self.options.storage.encoding, self._audio)

    @property
    def _columns(self) -> int:
        """How many avatars are side by side."""
        return len(self.avatars)

    @property
    def _motion_name(self) -> str:
        return path_text((self.options.speak or self.options.motion or self.out).name)

    def _mark(self, driven: Sequence[DrivenAvatar], output: FrameOutput, notices: Notices) -> None:
        from avatar.common.credentials import ShownAvatar, reason_without_mark

        shown = [ShownAvatar(each.name, str(each.header.get("consent", ""))) for each in driven]
        for path in output.outputs.values():
            if reason := reason_without_mark(path, shown, composite=self._film is not None):
                notices.say(reason)

    def _report(
        self, driven: Sequence[DrivenAvatar], output: FrameOutput, chosen: range, done: int, seconds: float
    ) -> RenderReport:
        from avatar.video.render_report import RenderedAvatar, RenderReport

        rendered = (RenderedAvatar(each.name, str(each.header.get("consent", "")), each.report) for each in driven)
        return RenderReport(
            avatars=tuple(rendered),
            motion=self._motion_name,
            camera=self.options.image.camera,
            background=self.options.image.background,
            files={name: path_text(path.name) for name, path in output.outputs.items()},
            width=output.settings.width * self._columns,
            height=output.settings.height,
            supersample=output.settings.supersample,
            first_frame=chosen.start,
            frames=done,
            frames_whole=output.total,
            frame_rate=output.rate,
            seconds_film=done / output.rate,
            seconds_drawing=seconds,
            finished=done == len(chosen),
        )


def _is_rendered(path: Path) -> bool:
    from avatar.video.metadata import is_rendered

    return is_rendered(path)


def log_memory(columns: Sequence[Column], settings: RenderSettings, notices: Notices) -> None:
    """Report the memory that a large rendering needs."""
    from avatar.video.offline_render import working_memory

    count = sum(len(column.avatars) for column in columns)
    if count > 1 or settings.width * settings.height * settings.supersample**2 > 1 << 22:
        megabytes = working_memory(columns, settings) / 1e6
        notices.say(f"rendering {counted(count, 'avatar')} needs about {megabytes:.0f} MB")

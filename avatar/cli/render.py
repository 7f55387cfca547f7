"""`headsplat render`: render avatars along a motion to videos or folders of images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from avatar.cli.arguments import (
    AppearanceName,
    Between,
    Device,
    OptionalFloat,
    OptionalFps,
    OptionalPath,
    Out,
    chosen_frames,
    parse_frames,
    parse_size,
    requested_device,
)
from avatar.cli.exit_codes import DONE, INTERRUPTED
from avatar.cli.imports import uncollected
from avatar.cli.motion_options import MotionOptions
from avatar.cli.progress import say, show, stage
from avatar.cli.relight_options import RelightOptions
from avatar.cli.speech_options import SpeechOptions, speech_summary
from avatar.common.files import check_name, shown
from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError
from avatar.jobs.outputs import Output, is_report, reserved
from avatar.rendering.backends import Rasterizer, backend_of

if TYPE_CHECKING:
    from avatar.jobs.driven_motion import DrivenAvatar, DrivingSource
    from avatar.jobs.frame_output import FrameOutput
    from avatar.model.parts.light.relight import Relighting
    from avatar.rendering.camera_request import CameraRequest
    from avatar.rendering.settings import RenderSettings
    from avatar.video import Encoding
    from avatar.video.offline_render import RenderColumn
    from avatar.video.render_report import RenderReport

_DEFAULT_SIDE = 512
#: Frames per second of a speaking avatar where --fps is not given.
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
    background: Annotated[str, arg(metavar="COLOR|IMAGE")] = "white"
    """a color name, #rrggbb, an image file (resized to cover), or transparent"""
    passes: Annotated[str, arg(metavar="NAMES")] = "rgb"
    """some of rgb,alpha,depth,normals,mesh, each written to a separate file or folder"""
    supersample: Annotated[int, arg(metavar="1..4"), Between(1, 4)] = 1
    """render this many times larger per side, then average"""
    rasterizer: Rasterizer = "native"
    """native: the kernels of headsplat; gsplat: needs CUDA and `pip install gsplat`"""
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

    @property
    def encoding(self) -> Encoding:
        """The options as `avatar.video.Encoding`."""
        from avatar.video import Encoding

        return Encoding(codec=self.codec, crf=self.quality)


@dataclass(frozen=True)
class RenderCommand:
    """Render one avatar, or several side by side, along their own captures or another motion."""

    avatars: Annotated[
        Positional[tuple[Path, ...]], arg(metavar="AVATAR [AVATAR ...]", help_behavior_hint="(required)")
    ]
    """avatar files, one column each"""
    out: Out
    """the video (.mp4, .mov, .webm) or the folder of images to write"""
    motion: Annotated[Path | None, arg(metavar="MOTION")] = None
    """the motion: a capture folder, or an expression file (Live Link, ARKit, FLAME, ...)"""
    speak: Annotated[Path | None, arg(metavar="SOUND")] = None
    """instead of a motion: a file with sound that the avatars speak; the sound is added to the video"""
    fps: OptionalFps = None
    """constant frame rate, frame k at exactly k/FPS seconds; default: the frames and times of the motion, and 30 with
    --speak"""
    frames: Annotated[str | None, arg(metavar="A:B")] = None
    """render only frames A to B-1 of the motion; `headsplat join` joins such segments without re-encoding"""
    appearance: AppearanceName = None
    """of an avatar of several recordings: the look of one of them, or a mix; default: that of the first"""
    image: Annotated[ImageOptions, arg(name="")] = field(default_factory=ImageOptions)
    motion_options: Annotated[MotionOptions, arg(name="")] = field(default_factory=MotionOptions)
    speech: Annotated[SpeechOptions, arg(name="")] = field(default_factory=SpeechOptions)
    storage: Annotated[EncodingOptions, arg(name="")] = field(default_factory=EncodingOptions)
    light: Annotated[RelightOptions, arg(name="")] = field(default_factory=RelightOptions)
    overwrite: bool = False
    """replace outputs that exist"""

    def run(self) -> int:
        """Render and write; returns the exit code, 130 after Ctrl-C."""
        request, output = self._check()
        relighting = self.light.relighting()
        inputs = (*self.avatars, self.motion, self.speak, self._audio, self.image.background, request.path)
        others = (self.motion_options.motion_head, self.light.path, *self.speech.inputs)
        with reserved(self._outputs(output), (*inputs, *others), overwrite=self.overwrite):
            return self._render(request, relighting)

    def _render(self, request: CameraRequest, relighting: Relighting | None) -> int:
        from avatar import ops

        device = requested_device(self.image.device)
        # On one thread the order of sums is fixed: machines that share a job get equal means over the motion.
        with stage("preparing"), ops.one_thread():
            source = self._source()
            driven = [source.drive(path, self.fps, self.appearance) for path in self.avatars]
            chosen = chosen_frames(parse_frames(self.frames), len(driven[0]))
            settings = self._settings(driven[0])
            columns = [avatar.relit(relighting).column(request, settings).to(device) for avatar in driven]
        output = self._output(settings, driven[0])
        _log_memory(columns, settings)
        self._report_path.unlink(missing_ok=True)  # an old report must not remain beside new frames
        start = time.monotonic()
        with stage("rendering") as update:
            done = output.render(columns, chosen, update)
        report = self._report(driven, output, chosen, done, time.monotonic() - start)
        report.save(self._report_path)
        show(f"{self.out}: {report.to_text()}")
        return DONE if report.finished else INTERRUPTED

    def _source(self) -> DrivingSource:
        """The motion that drives the avatars."""
        from avatar.driving.motion_source import MotionSource
        from avatar.jobs.driven_motion import DrivingSource

        if self.speak is None:
            assert self.motion is not None, "checked by _check"
            return DrivingSource.load(self.motion, self.motion_options)
        fps = self.fps or SPEAKING_FPS
        motion, speech = self.speech.speak(self.speak, fps)
        label = shown(self.speak.name)
        for note in speech.notes:
            say(f"{label}: {note}")
        say(f"{label}: {speech_summary(speech, motion, fps)}")
        return DrivingSource.of(MotionSource(label, motion, None, None), self.motion_options)

    @property
    def _audio(self) -> Path | None:
        """The file whose audio is added: that of --audio, or the sound that is spoken, in a video."""
        return self.storage.audio or (self.speak if self.out.suffix else None)

    @property
    def _report_path(self) -> Path:
        return self.out.with_name(f"{self.out.name}.report.json")

    def _check(self) -> tuple[CameraRequest, FrameOutput]:
        """The camera and the output; raises HeadsplatError for everything that can be checked before files are read."""
        from avatar.rendering.camera_request import parse_camera

        if not self.avatars:
            raise HeadsplatError("no avatar to render; name one or more .avatar files")
        check_name(self.out)
        parse_frames(self.frames)
        self.motion_options.check()
        backend_of(self.image.rasterizer).check()
        self._check_motion()
        request = parse_camera(self.image.camera)
        with uncollected():
            import avatar.jobs.driven_motion
            import avatar.jobs.frame_output  # noqa: F401
        output = self._output(self._settings(None), None)
        output.writers(0)
        return request, output

    def _check_motion(self) -> None:
        if self.speak is not None:
            if self.motion is not None:
                raise HeadsplatError("give --motion or --speak, not both: a sound moves the whole face")
            self.speech.check(self.speak)
        elif self.motion is None:
            raise HeadsplatError("nothing moves the avatars; give --motion FILE, or --speak SOUND")
        elif self.speech.given:
            raise HeadsplatError(f"{self.speech.given[0]} goes with --speak; leave it out with --motion")
        elif not self.motion.exists():
            raise HeadsplatError(f"{self.motion}: no such capture or motion file; check the path")

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
        given = self.image
        width, height = default if given.size is None else parse_size(given.size, MAX_SIDE)
        background = parse_background(given.background, width, height)
        passes = parse_passes(given.passes)
        return RenderSettings(width, height, given.supersample, background, passes, given.rasterizer)

    def _output(self, settings: RenderSettings, first: DrivenAvatar | None) -> FrameOutput:
        """The output for the frames of the first avatar; None before it is read."""
        from avatar.jobs.frame_output import FrameOutput

        rate = self.fps or (SPEAKING_FPS if first is None or self.speak is not None else first.rate)
        times = None if self.fps is not None or self.speak is not None or first is None else first.times
        total = 0 if first is None else len(first)
        return FrameOutput(self.out, settings, rate, times, total, self.storage.encoding, self._audio)

    def _report(
        self, driven: list[DrivenAvatar], output: FrameOutput, chosen: range, done: int, seconds: float
    ) -> RenderReport:
        from avatar.video.render_report import RenderedAvatar, RenderReport

        rendered = (RenderedAvatar(each.name, str(each.header.get("consent", "")), each.report) for each in driven)
        return RenderReport(
            avatars=tuple(rendered),
            motion=shown((self.speak or self.motion or self.out).name),
            camera=self.image.camera,
            background=self.image.background,
            files={name: shown(path.name) for name, path in output.outputs.items()},
            width=output.settings.width * len(driven),
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


def _log_memory(columns: list[RenderColumn], settings: RenderSettings) -> None:
    """Report the memory that a large rendering needs."""
    from avatar.video.offline_render import working_memory

    if len(columns) > 1 or settings.width * settings.height * settings.supersample**2 > 1 << 22:
        megabytes = working_memory(columns, settings) / 1e6
        say(f"rendering {counted(len(columns), 'avatar')} needs about {megabytes:.0f} MB")

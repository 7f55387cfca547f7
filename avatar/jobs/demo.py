"""The demo: the whole pipeline on a synthetic clip; leaves an avatar, videos and a report."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from avatar.common.files import check_output, path_text, write_text
from avatar.common.folder_sign import sign_folder, signed_names
from avatar.common.ranges import Between
from avatar.common.toml_config import load_preset
from avatar.errors import HeadsplatError
from avatar.jobs.notices import Notices, Notify, Stop, ignore
from avatar.jobs.option_types import DURATION, SEED, SIDE, OptionalFloat, checked
from avatar.jobs.outputs import Output, reserved
from avatar.training.config import TrainConfig

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.jobs.demo_report import DemoReport

TEST_FRACTION = 0.2
MIN_FRAMES = 40
STAGES = 5
REPORT = "report.html"
CLIP_FRAMES = 240  # of the video in the package
#: Steps of the training: three quarters of the preset's, for a first look that is scored as well and comes sooner.
STEPS = 3000
#: Seconds of each stage, measured on two cores: for each frame of the video or each step, and the rest.
DRAWING = (0.12, 3.0)
CAPTURE = (0.06, 0.0)
TRAINING = (0.0135, 13.0)
EVALUATION = (0.075, 0.0)
FILMS = (0.014, 0.0)
#: All that the demo writes.
FILES = (
    "phone.mp4", "capture", "demo.avatar", "demo.toml", "demo.report.json", "demo.preview.png", "demo.checkpoint",
    "evaluation.json", "puppet.csv", "own_motion.mp4", "puppet.mp4", "comparison.png", "puppet.png", "report.md",
    REPORT,
)  # fmt: skip


@dataclass(frozen=True)
class DemoOptions:
    """the synthetic video and the training"""

    frames: Annotated[int, Between(MIN_FRAMES, 10_000)] = CLIP_FRAMES
    """number of frames of the synthetic video; another number than 240 is drawn anew"""
    size: Annotated[int, SIDE] = 256
    """longer side of the training images in pixels"""
    seconds: Annotated[OptionalFloat, DURATION] = 150.0
    """end the training after this wall-clock time"""
    seed: Annotated[int, SEED] = 0
    """random seed of the training (the video does not depend on it)"""
    overwrite: bool = False
    """replace the outputs of an earlier demo"""


def run_demo(
    out: str | Path, options: DemoOptions | None = None, *, notify: Notify = ignore, stop: Stop = None
) -> DemoReport:
    """Run the whole pipeline on a video of a synthetic person: capture, training, evaluation, rendering, report.

    Args:
        out: the folder for all outputs.
        options: see DemoOptions; None: those of `headsplat demo` by default.
        notify: receives progress and messages.
        stop: what ends it early.

    Raises:
        HeadsplatError: the folder has other files, or those of a demo and `overwrite` is off.
        KeyboardInterrupt: `stop` ended it.
    """
    demo = Demo(Path(out), checked(options or DemoOptions()), Notices(notify), stop)
    with reserved([Output(demo.out, folder=True, in_place=True)]):
        demo.check()
        demo.out.mkdir(exist_ok=True)
        sign_folder(demo.out, FILES)
        from avatar.jobs.demo_report import write_report

        report = demo.report()
        write_report(report, demo.out)
    return report


@dataclass(frozen=True)
class Demo:
    """The arguments of `run_demo`, and its stages."""

    out: Path
    options: DemoOptions
    notices: Notices
    stop: Stop
    seconds: dict[str, float] = field(default_factory=dict)  # by stage

    def check(self) -> None:
        """Raise HeadsplatError if the folder is not one that the demo may write."""
        if self.out.is_dir() and any(self.out.iterdir()):
            check_output(self.out, self.options.overwrite, folder=True)
            if REPORT not in (signed_names(self.out) or ()):
                raise HeadsplatError(
                    f"{path_text(self.out)}: contains files that no demo wrote (or one of an earlier version), so they "
                    "are not replaced; delete the folder yourself or choose another one with -o"
                )

    @contextmanager
    def _step(self, name: str, what: str, count: int, cost: tuple[float, float]) -> Iterator[None]:
        """Say what a stage does to `count` frames or steps and how long that will take, and measure it."""
        each, rest = cost
        self.notices.say(f"{len(self.seconds) + 1}/{STAGES} {what}: about {each * count + rest:.0f} s")
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def report(self) -> DemoReport:
        """Run all stages; returns their results."""
        from avatar.jobs.demo_report import DemoReport
        from avatar.jobs.evaluating import EvaluateOptions, evaluate_file
        from avatar.jobs.showcase import SHEET_SIZE, comparison_sheet, puppet_sheet
        from avatar.model.avatar_file import load_avatar

        video = self._video()
        capture = self._capture(video)
        path = self._train(capture)
        frames = len(capture)
        held_out = len(capture.test_indices)
        what = f"comparing the avatar with {held_out} held-out frames"
        with self._step("evaluation", what, frames, EVALUATION):
            evaluation = evaluate_file(path, capture, EvaluateOptions(full=True), notices=self.notices)
        write_text(self.out / "evaluation.json", evaluation.to_json() + "\n")
        avatar = load_avatar(path)
        self._render(path, capture)
        return DemoReport(
            evaluation=evaluation,
            seconds=dict(self.seconds),
            frames=frames,
            held_out=held_out,
            comparison=comparison_sheet(avatar, capture),
            puppet=puppet_sheet(avatar, capture.camera(SHEET_SIZE)),
            files=sorted(entry.name for entry in self.out.iterdir() if not entry.name.startswith(".")),
        )

    def _video(self) -> Path:
        from capture.synthetic.options import SyntheticOptions
        from capture.synthetic.video import DEMO_CLIP, make_video

        path = self.out / "phone.mp4"
        frames = self.options.frames
        if frames == CLIP_FRAMES:
            with self._step(
                "video", f"copying the video of a synthetic person to {path_text(path)}", frames, (0.0, 0.0)
            ):
                shutil.copyfile(DEMO_CLIP, path)
            return path
        with (
            self._step("video", f"drawing {frames} frames of a synthetic person", frames, DRAWING),
            self.notices.stage("synthetic video") as update,
        ):
            options = SyntheticOptions(frames=frames)
            make_video(path, options, lambda done, total: update(done / total, f"frame {done} of {total}"))
        return path

    def _capture(self, video: Path) -> Capture:
        from avatar.jobs.capturing import CaptureOptions, make_capture

        frames = self.options.frames
        with self._step("capture", f"tracking the face in {frames} frames", frames, CAPTURE):
            options = CaptureOptions(
                test_fraction=TEST_FRACTION, consent="a synthetic person", overwrite=self.options.overwrite
            )
            return make_capture((video,), self.out / "capture", options, self.notices)

    def _train(self, capture: Capture) -> Path:
        from avatar.jobs.training import with_flags
        from avatar.jobs.training_outputs import Outputs, train_capture

        options = self.options
        flags = {"size": options.size, "seed": options.seed, "max_seconds": options.seconds, "steps": STEPS}
        settings = with_flags(load_preset("fast", TrainConfig()), flags)
        outputs = Outputs.beside(self.out / "demo.avatar")
        with self._step("training", f"training the avatar, {STEPS} steps", STEPS, TRAINING):
            trained = train_capture(capture, settings, outputs, resume=False, notices=self.notices, stop=self.stop)
            if not trained.finished:
                self.notices.say(f"the present avatar is in {path_text(outputs.avatar)}")
                raise KeyboardInterrupt
        return outputs.avatar

    def _render(self, path: Path, capture: Capture) -> None:
        from avatar.jobs.driven_motion import DrivingSource
        from avatar.jobs.frame_output import FrameOutput
        from avatar.jobs.motion_options import MotionOptions
        from avatar.jobs.showcase import puppet_motion
        from avatar.motion import write_motion
        from avatar.rendering.camera_request import CameraRequest
        from avatar.rendering.settings import RenderSettings
        from avatar.video.offline_render import render_frames

        settings = RenderSettings(capture.metadata["width"], capture.metadata["height"])
        puppet = self.out / "puppet.csv"  # a Live Link Face file
        write_motion(puppet, puppet_motion())
        videos = [
            (name, DrivingSource.load(motion, MotionOptions(), self.notices).drive(path, None))
            for name, motion in (("own_motion.mp4", capture.root), ("puppet.mp4", puppet))
        ]
        total = sum(len(driven) for _, driven in videos)
        with (
            self._step("rendering", f"rendering two films of {total} frames in total", total, FILMS),
            self.notices.stage("rendering") as update,
        ):
            for name, driven in videos:
                count = len(driven)
                output = FrameOutput(self.out / name, settings, driven.rate, driven.times, count)
                images = render_frames([driven.column(CameraRequest(), settings)], settings)
                done = output.render(images, range(count), update, stop=self.stop, notices=self.notices)
                if done < count:
                    raise KeyboardInterrupt

"""Training an avatar from a video, from photos or from captures."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from avatar.common.photo_files import are_photos
from avatar.common.processes import own_rank
from avatar.common.toml_config import load_config, load_preset
from avatar.errors import HeadsplatError
from avatar.jobs.capturing import finish_recording, paths_of, reuse_or_capture
from avatar.jobs.head_size import GivenSize
from avatar.jobs.notices import SILENT, Notices, Notify, Stop, ignore
from avatar.jobs.option_types import (
    DURATION,
    EMBEDDED,
    INTEROCULAR,
    IRIS,
    PASSES,
    SEED,
    SIDE,
    Device,
    HeldOutEvery,
    HeldOutFraction,
    HeldOutYaw,
    OptionalFloat,
    OptionalHead,
    OptionalInt,
    OptionalPath,
    checked,
)
from avatar.jobs.outputs import Output, reserved
from avatar.jobs.training_outputs import Outputs, TrainedAvatar, train_capture
from avatar.jobs.training_processes import check_together, together, train_share, training_device
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.training.config import TrainConfig
from capture.options import CaptureOptions, Framing

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.training.snapshot import SnapshotBuffer
    from viewer.web.notebook import AvatarView

#: Options that override settings of the preset, and those that a video's capture gets.
SETTINGS = ("size", "seed", "max_seconds", "mode", "perceptual", "rasterizer")
CAPTURE_OPTIONS = ("test_fraction", "test_every", "test_yaw", "framing", "passes")
CONSENT = "Avatars are of people: train only on someone who has agreed; everything stays on this machine."


@dataclass(frozen=True)
class TrainOptions:
    """settings of the training, and the capture of a video"""

    preset: Literal["fast", "default", "quality", "hybrid", "photos", "gpu"] | None = None
    """settings of the training: faster or better; default: default, on a GPU gpu, for photos photos"""
    config: OptionalPath = None
    """a TOML file with settings that override the preset; the resolved settings are written beside the avatar"""
    size: Annotated[OptionalInt, SIDE] = None
    """longer side of the training images in pixels"""
    seed: Annotated[OptionalInt, SEED] = None
    """random seed: the same seed gives the same avatar on one machine"""
    max_seconds: Annotated[OptionalFloat, DURATION] = None
    """end the training after this wall-clock time"""
    mode: Literal["reduced", "expression", "local"] | None = None
    """blendshapes: a few learned ones (reduced), one for each expression weight (expression), or a few learned ones for
    each of brows, eyes and mouth (local)"""
    perceptual: Annotated[str | None, arg(metavar="NETWORK")] = None
    """add the LPIPS distance by this network to the loss in the last third: alex, vgg or squeeze (package lpips), or an
    ONNX file (package onnx)"""
    rasterizer: Rasterizer | None = None
    """rasterizer: headsplat's kernels (native; own: no other package), or gsplat (CUDA; pip install gsplat)"""
    device: Device = "auto"
    """auto: the first GPU, if native kernels can run there, else the CPU"""
    head: OptionalHead = None
    """the head model, as for `headsplat capture`; default for a capture: the one it was made with"""
    refine: bool = True
    """refine the poses of the frames during training, and save them in the capture folder"""
    test_fraction: HeldOutFraction = None
    """hold out this last part of a video for `headsplat eval` (a capture has its split already)"""
    test_every: HeldOutEvery = None
    """hold out every Nth frame of a video instead"""
    test_yaw: HeldOutYaw = None
    """hold out the frames whose yaw is more than this many degrees from the mean instead, such as 15"""
    framing: Framing | None = None
    """what the capture of a video stores, as for `headsplat capture`: head (default), bust or full"""
    passes: Annotated[OptionalInt, PASSES] = None
    """landmark passes of the capture of a video, as for `headsplat capture`; default: 5"""
    interocular: Annotated[OptionalFloat, INTEROCULAR] = None
    """the true distance between the pupils when they look far away (interpupillary distance), in millimeters: gives
    exports and measured lengths their true size; default: calibrated cameras, else the irises"""
    iris: Annotated[OptionalFloat, IRIS] = None
    """the diameter of the visible irises in millimeters, by which the size is measured; default: 11.7, as in adults"""
    resume: bool = False
    """continue an interrupted training"""
    overwrite: bool = False
    """replace an avatar that exists"""
    view: bool = False
    """show the avatar in a window during the training"""


def train(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    options: TrainOptions | None = None,
    *,
    notify: Notify = ignore,
    stop: Stop = None,
    widget: AvatarView | None = None,
) -> TrainedAvatar | None:
    """Train an avatar from a phone video, from a few photos, or from captures; train only on someone who has agreed.

    Args:
        source: a video or 1 to 20 photos (captured first, into a folder beside the output), a capture folder, or 2 to 8
            capture folders of one person for one avatar with an appearance for each.
        out: the avatar to write, such as me.avatar; its settings, report and preview are written beside it.
        options: see TrainOptions; None: those of `headsplat train` by default.
        notify: receives progress and messages.
        stop: what ends the training early; the present avatar is then written.
        widget: of `headsplat.widget()`, in a notebook: shows the progress, the avatar in training and at last the
            trained one. Without `stop`, an interrupt of the kernel ends the training as `stop` does.

    Returns:
        What was written; None in the processes of `torchrun` other than the first, which alone writes.

    Raises:
        HeadsplatError: an input cannot be read, an option is not valid, or an output cannot be written.
    """
    job = TrainJob(paths_of(source), Path(out), checked(options or TrainOptions()))
    if widget is None:
        return job.run(Notices(notify), stop)
    from avatar.jobs.notebook import train_in_widget

    if job.options.view:
        raise HeadsplatError("view: a training is shown in a window or in a widget; leave one of them out")
    return train_in_widget(job.run, widget, notify, stop)


@dataclass(frozen=True)
class TrainJob:
    """The steps of `train`."""

    source: tuple[Path, ...]
    out: Path
    options: TrainOptions = field(default_factory=TrainOptions)

    def run(
        self, notices: Notices = SILENT, stop: Stop = None, snapshots: SnapshotBuffer | None = None
    ) -> TrainedAvatar | None:
        """Capture if needed, train, save; `snapshots` receives the avatar in training where no window does."""
        options = self.options
        _ = self._size
        backend_of(self.resolved().rasterizer).check()
        check_together(self._folder, options.view)
        outputs = Outputs.beside(self.out)
        if own_rank() > 0:
            self._train_share(outputs, notices)
            return None
        outputs.check(options.resume, options.overwrite)
        folder = [] if self._folder else [Output(self._capture_folder, folder=True, in_place=True)]
        written = [*outputs.reserved(options.resume), *folder]
        inputs = (*self.source, options.config, options.head)
        with reserved(written, inputs, overwrite=options.overwrite or options.resume):
            return self._train(outputs, notices, stop, snapshots)

    def _train(self, outputs: Outputs, notices: Notices, stop: Stop, snapshots: SnapshotBuffer | None) -> TrainedAvatar:
        device = training_device(self.options.device)
        settings = self.resolved(on_gpu=device.type == "cuda")
        resume = self.options.resume
        head = self.options.head
        if not self.options.view:
            notices.say(CONSENT)
            capture = self._capture(notices, settings)
            settings = settings_of(capture, settings)
            with together(device) as processes:
                return train_capture(
                    capture, settings, outputs, resume=resume, head=head, device=device, processes=processes,
                    others=self._other_captures(), size=self._size, snapshots=snapshots, notices=notices, stop=stop,
                )  # fmt: skip
        from avatar.jobs.training_window import check_window, train_with_window

        check_window()
        notices.say(CONSENT)
        capture = self._capture(notices, settings)
        return train_with_window(
            capture, settings_of(capture, settings), outputs, resume=resume, head=head, device=device,
            others=self._other_captures(), size=self._size, notices=notices, stop=stop,
        )  # fmt: skip

    @property
    def _size(self) -> GivenSize:
        """What the options state about the size of the head."""
        options = self.options
        if options.interocular is not None and options.iris is not None:
            raise HeadsplatError("--iris: gives the size of the head, as --interocular does; leave one of them out")
        return GivenSize(options.interocular, options.iris)

    def _train_share(self, outputs: Outputs, notices: Notices) -> None:
        """Train with the first process, which writes."""
        device = training_device(self.options.device)
        settings = self.resolved(on_gpu=device.type == "cuda")
        capture = self._capture(notices, settings)
        train_share(
            capture, settings_of(capture, settings), outputs.checkpoint, device, resume=self.options.resume,
            head=self.options.head, others=self._other_captures(),
        )  # fmt: skip

    def resolved(self, *, on_gpu: bool = False) -> TrainConfig:
        """The settings: defaults, overridden by the preset, by --config and by the other options, in this order."""
        usual = "photos" if self._of_photos else "gpu" if on_gpu else "default"
        settings = load_preset(self.options.preset or usual, TrainConfig())
        if self.options.config is not None:
            settings = load_config(self.options.config, settings)
        settings = with_flags(settings, {name: getattr(self.options, name) for name in SETTINGS})
        return settings if self.options.refine else dataclasses.replace(settings, refine_at=1.0)

    @property
    def _folder(self) -> Path | None:
        """The source, or the first of several, if all are folders."""
        folders = [path for path in self.source if path.is_dir()]
        if len(self.source) > 1 and 0 < len(folders) < len(self.source):
            raise HeadsplatError(
                f"{folders[0]}: a folder among files; give either capture folders only, or photos only"
            )
        return folders[0] if folders else None

    @property
    def _others(self) -> tuple[Path, ...]:
        """The capture folders after the first one."""
        return self.source[1:] if self._folder is not None else ()

    def _other_captures(self) -> list[Capture]:
        from avatar.data.capture_folder import Capture

        return [Capture.load(folder) for folder in self._others]

    @property
    def _of_photos(self) -> bool:
        """Whether the source is photos or their capture."""
        if self._folder is None:
            return are_photos(self.source)
        from avatar.data.capture_metadata import read_metadata

        try:
            return "photos" in read_metadata(self._folder)["source"]
        except HeadsplatError:  # the source is checked later
            return False

    @property
    def _capture_folder(self) -> Path:
        return self.out.with_name(f"{self.out.stem}.capture")

    def _capture(self, notices: Notices, settings: TrainConfig) -> Capture:
        from avatar.data.capture_folder import Capture
        from avatar.data.kept_images import KeptImages

        options = {name: given for name in CAPTURE_OPTIONS if (given := getattr(self.options, name)) is not None}
        if self._folder is not None:
            self._check_capture(self._folder, options)
            return finish_recording(self._folder, notices, KeptImages(settings.size)) or Capture.load(self._folder)
        requested = CaptureOptions(head=self.options.head or EMBEDDED, overwrite=self.options.overwrite, **options)
        return reuse_or_capture(self.source, self._capture_folder, requested, notices, KeptImages(settings.size))

    def _check_capture(self, folder: Path, options: Collection[str]) -> None:
        """Raise HeadsplatError if options of a capture are given, or the source folder is not captured yet."""
        from capture.layouts import not_a_capture

        if any(name.startswith("test_") for name in options):
            raise HeadsplatError(
                f"{folder}: a capture has its split already; give --test-fraction, --test-every or --test-yaw "
                "to `headsplat capture` instead"
            )
        if options:
            given = " and ".join(f"--{name}" for name in options)
            raise HeadsplatError(
                f"{folder}: a capture has its frames already; give {given} to `headsplat capture` instead"
            )
        if (known := not_a_capture(folder)) is not None:
            raise HeadsplatError(known.replace("NAME.capture", f"{self.out.stem}.capture"))


def settings_of(capture: Capture, settings: TrainConfig) -> TrainConfig:
    """The settings for a capture.

    Of a person who sits still no blendshapes can be learned, and poses on which many points agree are better than
    those refined against a half-trained avatar.
    """
    if not capture.still:
        return settings
    return dataclasses.replace(
        settings, bases=0, mode="reduced", offsets="bases", pose_blendshapes=False, refine_at=1.0
    )


def with_flags(settings: TrainConfig, flags: Mapping[str, Any]) -> TrainConfig:
    """`settings` with the `flags` that are not None; an error about a value names its flag."""
    try:
        return dataclasses.replace(settings, **{name: flag for name, flag in flags.items() if flag is not None})
    except ValueError as error:
        name, rest = str(error).split(":", 1)
        raise HeadsplatError(f"--{name.replace('_', '-')}:{rest}") from error

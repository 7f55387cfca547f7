"""`headsplat train`: trains an avatar from a video or a capture."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from avatar.cli.arguments import (
    DURATION,
    EMBEDDED,
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
    Out,
)
from avatar.cli.progress import say
from avatar.cli.train_parallel import check_together, together, train_share, training_device
from avatar.cli.training_run import Outputs, train_capture
from avatar.common.photo_files import are_photos
from avatar.common.processes import own_rank
from avatar.common.toml_config import load_config, load_preset
from avatar.errors import HeadsplatError
from avatar.jobs.outputs import Output, reserved
from avatar.rendering.backends import Rasterizer, backend_of
from avatar.training.config import TrainConfig
from capture.options import CaptureOptions, Framing

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture

#: Options that a video's capture gets.
CAPTURE_OPTIONS = ("test_fraction", "test_every", "test_yaw", "framing", "passes")
CONSENT = "Avatars are of people: train only on someone who has agreed; everything stays on this machine."


@dataclass(frozen=True)
class TrainCommand:
    """Train an avatar from a phone video, from a few photos, or from a capture."""

    source: Annotated[Positional[tuple[Path, ...]], arg(metavar="VIDEO|PHOTOS|CAPTURE")]
    """a video or 1 to 20 photos (captured first, into a folder beside the output), or a folder made by `headsplat
    capture`; 2 to 8 such folders of one person give one avatar with an appearance for each"""
    out: Out
    """the avatar to write, such as me.avatar"""
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
    """rasterizer: headsplat's kernels (native), or gsplat (CUDA; pip install gsplat)"""
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
    resume: bool = False
    """continue an interrupted training"""
    overwrite: bool = False
    """replace an avatar that exists"""
    view: bool = False
    """show the avatar in a window during the training"""

    def run(self) -> int:
        """Capture if needed, train, save; returns the exit code."""
        backend_of(self.resolved().rasterizer).check()
        check_together(self._folder, self.view)
        outputs = Outputs.beside(self.out)
        if own_rank() > 0:
            return self._train_share(outputs)
        outputs.check(self.resume, self.overwrite)
        folder = [] if self._folder else [Output(self._capture_folder, folder=True, in_place=True)]
        inputs = (*self.source, self.config, self.head)
        with reserved([*outputs.reserved(self.resume), *folder], inputs, overwrite=self.overwrite or self.resume):
            return self._train(outputs)

    def _train(self, outputs: Outputs) -> int:
        device = training_device(self.device)
        settings = self.resolved(on_gpu=device.type == "cuda")
        if not self.view:
            say(CONSENT)
            capture = self._capture()
            with together(device) as processes:
                return train_capture(
                    capture, settings, outputs, resume=self.resume, head=self.head, device=device, processes=processes,
                    others=self._other_captures(),
                )  # fmt: skip
        from avatar.cli.train_view import check_window, train_with_window

        check_window()
        say(CONSENT)
        return train_with_window(
            self._capture(), settings, outputs, resume=self.resume, head=self.head, device=device,
            others=self._other_captures(),
        )  # fmt: skip

    def _train_share(self, outputs: Outputs) -> int:
        """Train with the first process, which writes; returns the exit code."""
        device = training_device(self.device)
        settings = self.resolved(on_gpu=device.type == "cuda")
        checkpoint = outputs.checkpoint
        resume = self.resume
        return train_share(
            self._capture(), settings, checkpoint, device, resume=resume, head=self.head, others=self._other_captures()
        )

    def resolved(self, *, on_gpu: bool = False) -> TrainConfig:
        """The settings: defaults, overridden by the preset, by --config and by the flags, in this order."""
        usual = "photos" if self._of_photos else "gpu" if on_gpu else "default"
        settings = load_preset(self.preset or usual, TrainConfig())
        if self.config is not None:
            settings = load_config(self.config, settings)
        flags = {
            name: getattr(self, name) for name in ("size", "seed", "max_seconds", "mode", "perceptual", "rasterizer")
        }
        settings = with_flags(settings, flags)
        return settings if self.refine else dataclasses.replace(settings, refine_at=1.0)

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

    def _capture(self) -> Capture:
        from avatar.cli.capture import reuse_or_capture
        from avatar.data.capture_folder import Capture

        options = {name: value for name in CAPTURE_OPTIONS if (value := getattr(self, name)) is not None}
        if self._folder is not None:
            self._check_capture(self._folder, options)
            return Capture.load(self._folder)
        requested = CaptureOptions(head=self.head or EMBEDDED, overwrite=self.overwrite, **options)
        return reuse_or_capture(self.source, self._capture_folder, requested)

    def _check_capture(self, folder: Path, options: Collection[str]) -> None:
        """Raise HeadsplatError if options of a capture are given, or the source folder is not captured yet."""
        from avatar.data.capture_folder import METADATA_FILE
        from capture.layouts import is_layout

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
        if not (folder / METADATA_FILE).exists() and is_layout(folder):
            raise HeadsplatError(
                f"{folder}: a folder of several cameras, not a capture; run `headsplat capture {folder} -o "
                f"{self.out.stem}.capture` first and train on that"
            )


def with_flags(settings: TrainConfig, flags: Mapping[str, Any]) -> TrainConfig:
    """`settings` with the `flags` that are not None; an error about a value names its flag."""
    try:
        return dataclasses.replace(settings, **{name: flag for name, flag in flags.items() if flag is not None})
    except ValueError as error:
        name, rest = str(error).split(":", 1)
        raise HeadsplatError(f"--{name.replace('_', '-')}:{rest}") from error

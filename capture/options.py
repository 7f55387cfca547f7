"""Options of a capture, and factories of the networks it needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from avatar.errors import HeadsplatError
from capture.tracker.camera import FocalPrior
from capture.video.crop import Framing
from capture.video.split import MIN_TRAINING, Split

#: `progress(stage, done, total)`; stages are "yaw" (by --test-yaw), "overview" (long videos), "landmarks",
#: "mattes", "track".
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class CaptureOptions:
    """How to capture a video; everything that decides the result is in here."""

    test_fraction: float | None = None  # hold out the last part of the clip, 0..0.9
    test_every: int | None = None  # hold out every Nth frame
    test_yaw: float | None = None  # degrees: hold out the frames whose yaw is farther from the mean
    test_camera: str | None = None  # hold out all of one camera of several: its name or number
    solve_cameras: bool = False  # estimate the poses of several cameras from the face, ignoring their files
    max_frames: int = 600  # training frames at most, those of a longer clip that show the most
    framing: Framing = "head"  # how much of the person the stored window shows
    max_size: int = 1024  # longer side of stored frames, pixels
    passes: int = 5  # jittered landmark passes averaged per frame
    seed: int = 0  # of the jitter
    focal: float | None = None  # pixels of the source frame; None: metadata or a guess
    mattes: Path | None = None  # folder of NNNNN.png by frame number, or a video of mattes
    head: str = "embedded"  # the head model, as `avatar.head.load_head` takes it
    consent: str = ""  # note on the person's consent; copied into every avatar trained from this capture
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.max_frames < 16:
            raise HeadsplatError(f"--max-frames: expected 16 or more, got {self.max_frames}")
        if self.framing not in get_args(Framing):
            raise HeadsplatError(f"--framing: expected {', '.join(get_args(Framing))}, got {self.framing!r}")
        if not 64 <= self.max_size <= 4096:
            raise HeadsplatError(f"--max-size: expected 64 to 4096 pixels, got {self.max_size}")
        if not 1 <= self.passes <= 64:
            raise HeadsplatError(f"--passes: expected 1 to 64, got {self.passes}")
        if self.focal is not None and not (self.focal > 0 and math.isfinite(self.focal)):
            raise HeadsplatError(f"--focal: expected a focal length in pixels above 0, got {self.focal}")
        if self.test_camera is not None and (self.test_fraction or self.test_every or self.test_yaw is not None):
            raise HeadsplatError(
                "--test-camera and --test-fraction, --test-every or --test-yaw: both given; hold out a camera or time "
                "steps"
            )
        _ = self.split

    @property
    def split(self) -> Split:
        """How frames are held out."""
        return Split(self.test_fraction, self.test_every, self.test_yaw)

    def key(self) -> dict[str, Any]:
        """What must agree for an unfinished capture to be continued."""
        return {
            "test_fraction": self.test_fraction,
            "test_every": self.test_every,
            "test_yaw": self.test_yaw,
            "test_camera": self.test_camera,
            "solve_cameras": self.solve_cameras,
            "max_frames": self.max_frames,
            "framing": self.framing,
            "max_size": self.max_size,
            "passes": self.passes,
            "seed": self.seed,
            "focal": self.focal,
            "head": self.head,
            "mattes": None if self.mattes is None else str(self.mattes),
        }


@dataclass(frozen=True)
class SourceTraits:
    """What differs between a video and other sources of frames."""

    least_frames: int = MIN_TRAINING  # training frames that show the face
    focal: FocalPrior | None = None  # pixels of its frames; None: from their size and `focal_35mm`


def _detector() -> Any:
    from capture.faces.detector import FaceDetector

    return FaceDetector()


def _landmarks() -> Any:
    from capture.faces.landmarks import LandmarkTracker

    return LandmarkTracker()


def _matting() -> Any:
    from capture.matting.network import MattingNetwork

    return MattingNetwork()


@dataclass(frozen=True)
class FaceModels:
    """Factories of the three networks; called once per thread. Tests replace them."""

    detector: Callable[[], Any] = field(default=_detector)  # -> FaceDetector
    landmarks: Callable[[], Any] = field(default=_landmarks)  # -> LandmarkTracker
    matting: Callable[[], Any] = field(default=_matting)  # -> MattingNetwork

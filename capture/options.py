"""Options of a capture, and factories of the networks it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from tyro.conf import arg

from avatar.common.ranges import Between, check_numbers
from avatar.errors import HeadsplatError

if TYPE_CHECKING:  # numpy is not loaded for the help of the command
    from capture.video.split import Split

#: `progress(stage, done, total)`; stages are "yaw" (by --test-yaw), "overview" (long videos), "landmarks",
#: "mattes", "track".
Progress = Callable[[str, int, int], None]
#: head: head and shoulders; bust: head and chest; full: the whole frame.
Framing = Literal["head", "bust", "full"]


@dataclass(frozen=True)
class CaptureOptions:
    """How to capture a video; everything that decides the result."""

    test_fraction: Annotated[float | None, Between(0, 0.9)] = None
    """hold out this last part of the frames, such as 0.2; identity, camera and smoothing do not use them"""
    test_every: Annotated[int | None, Between(2, 1_000_000)] = None
    """hold out every Nth frame instead, such as 5"""
    test_yaw: Annotated[float | None, Between(1, 60)] = None
    """hold out the frames whose yaw is more than this many degrees from the mean instead, such as 15"""
    test_camera: Annotated[str | None, arg(metavar="NAME")] = None
    """hold out one of several cameras instead: its name or number"""
    solve_cameras: bool = False
    """estimate the poses of several cameras from the face, ignoring those in the folder"""
    orbit: bool | None = None
    """the camera is carried around a person who sits still (--orbit), or it is not (--no-orbit); default: found out"""
    max_frames: Annotated[int, Between(16, 100_000)] = 600
    """maximum number of training frames; of a longer video the most varied ones"""
    framing: Framing = "head"
    """head: stores head and shoulders in a window that follows the head; bust: head and chest; full: the whole frame"""
    max_size: Annotated[int, Between(64, 4096)] = 1024
    """maximum longer side of the stored frames in pixels"""
    passes: Annotated[int, Between(1, 64)] = 5
    """jittered landmark passes averaged per frame; more passes are steadier and slower"""
    focal: Annotated[float | None, Between(10, 1_000_000)] = None
    """focal length in pixels of the video's frames; default: from the file's metadata, or an estimate"""
    mattes: Path | None = None
    """your mattes: a folder of NNNNN.png by frame number, or a video of them"""
    head: Annotated[str, arg(metavar="embedded|FILE")] = "embedded"
    """embedded, embedded-half, a FLAME or SMPL-X file, or ICT-FaceKit's folder"""
    consent: str = ""
    """a note on the person's consent; stored in the capture and in every avatar trained from it"""
    interocular: Annotated[float | None, Between(10, 300)] = None
    """the true distance between the person's pupils when they look far away (interpupillary distance), in millimeters;
    stored in the capture, and gives every avatar trained from it its true size"""
    overwrite: bool = False
    """replace an existing capture; the old one is kept until the new one is complete"""

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.framing not in get_args(Framing):
            raise HeadsplatError(f"--framing: expected {', '.join(get_args(Framing))}, got {self.framing!r}")
        if (self.test_fraction, self.test_every, self.test_yaw) == (None, None, None):
            return
        if self.test_camera is not None and (self.test_fraction or self.test_every or self.test_yaw is not None):
            raise HeadsplatError(
                "--test-camera and --test-fraction, --test-every or --test-yaw: both given; hold out a camera or time "
                "steps"
            )
        _ = self.split

    @property
    def split(self) -> Split:
        """How frames are held out."""
        from capture.video.split import Split

        return Split(self.test_fraction, self.test_every, self.test_yaw)

    def key(self) -> dict[str, Any]:
        """What must agree for an unfinished capture to be continued, as JSON types; stored in capture.json."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        for name in ("consent", "interocular", "overwrite"):
            del values[name]  # do not change the frames and the track
        mattes = None if self.mattes is None else str(self.mattes)
        return {**values, "mattes": mattes, "seed": 0}  # the seed was an option once


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

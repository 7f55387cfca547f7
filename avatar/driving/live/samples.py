"""Records of the live path: what a pose source produces and what the window renders.

Sources (`capture.live`) and the window (`viewer`) exchange these records and do not import each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from avatar.model.torso import MeasuredTorso
from avatar.types import JOINT_NAMES, HeadParams

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class OwnFace:
    """The avatar's state in a frame that shows its person, from the avatar as its own tracker."""

    weights: Floats  # [E] of the avatar's expressions
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats  # [3] meters, of the pivot that the head turns about
    correlation: float  # -1..1, of the frame and the avatar's render
    amount: float  # above 0, up to 1: its share beside the landmarks' face, in a crossfade


@dataclass(frozen=True, eq=False)
class Sample:
    """A face at one time step, as a camera or a socket delivered it.

    Rotations are as in `avatar.types.Motion`: the head's is the root's, in world axes; those of jaw and eyes are the
    part that the expression weights do not already produce.
    """

    time: float  # seconds, time.monotonic(), of capture or arrival
    names: tuple[str, ...]  # of the expression weights; the same in every sample of a source
    space: str  # of the names, "arkit52", "flame", ...
    weights: Floats  # [E]
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats  # [3] meters, of the pivot that the head turns about
    confidence: float  # 0..1 of the tracker; 0 where it found no face
    stamps: dict[str, float] = field(default_factory=dict)  # stage -> seconds, time.monotonic(), when it was completed
    source_time: float | None = None  # seconds of the source's clock (a file's, a phone's), where it sends one
    #: [3] motion of the torso from a reference of the source: of the chest along +x and +y of the world (meters), and
    #: about +z (radians); None where it is not measured
    torso: Floats | None = None
    torso_confidence: float = 0.0  # 0..1
    own: OwnFace | None = None  # where the avatar's person is before the camera
    hidden: tuple[str, ...] = ()  # regions (avatar.head.arkit.HIDEABLE) behind a hand or another thing
    shown: Floats | None = None  # [E] changed by the pixels of the frame before, for readings; None: not looked at

    def __post_init__(self) -> None:
        expected = {"weights": (len(self.names),), "joint_rot": (len(JOINT_NAMES), 3), "translation": (3,)}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"Sample.{name}: expected {list(shape)}, got {list(getattr(self, name).shape)}")
        if self.torso is not None and self.torso.shape != (3,):
            raise ValueError(f"Sample.torso: expected [3], got {list(self.torso.shape)}")

    def as_lost(self, time: float, source_time: float | None = None) -> Sample:
        """This sample marked as lost at `time` seconds: confidence 0, which returns the avatar to its neutral pose."""
        return replace(
            self, time=time, confidence=0.0, stamps={}, source_time=source_time, torso_confidence=0.0, own=None
        )


@dataclass(frozen=True, eq=False)
class AvatarPose:
    """Parameters to render now, and the sample they come from."""

    params: HeadParams  # [1] of the avatar
    phase: str = ""  # of a live source: waiting, calibrating, driving or lost
    fresh: bool = False  # whether it differs from the pose before; live: whether it contains a new sample with a face
    sample: Sample | None = None  # of a live source: the newest, smoothed; confidence 0 where the face is lost
    #: stage -> seconds, time.monotonic(), of the newest sample with a face; the window adds "drawn" and "shown"
    stamps: Mapping[str, float] = field(default_factory=dict)
    torso: MeasuredTorso | None = None  # [1] where the performer's is measured


@dataclass(frozen=True, eq=False)
class CameraPreview:
    """What a camera source tracked last."""

    image: np.ndarray  # [H,W,3] uint8 sRGB; the camera's frame or a small copy
    landmarks: np.ndarray | None  # [n,3] pixels of `image`; None where no face was found


class SourceStats(TypedDict, total=False):
    """Counters of a pose source since its start, in JSON's types; a source has those keys that apply to it."""

    input: str  # the source's name
    rate: float  # samples or frames per second, recent
    received: int  # frames or packets
    dropped: int  # replaced by newer ones, or late
    malformed: int  # packets
    ended: str | None  # why no more samples will come
    phase: str  # of a camera source: stopped, looking, learning or tracking
    tracked: int  # frames
    without_face: int  # frames
    learned: float  # 0..1, progress of the identity fit
    reprojection: float  # of the newest frame, fraction of the inter-ocular distance
    own_face: float  # 0..1, share of the avatar as its own tracker; only where that is on or may turn on
    hidden: str  # "mouth hidden", "eyes and mouth hidden": regions of the newest frame that are held; empty: none
    memory_mb: float | None  # of the worker process
    host: str
    port: int
    samples: int
    replaced: int  # samples that were not read before the next one came
    late: int  # packets older than the newest
    foreign: int  # packets of other senders
    lost: int  # frames that the sender's clock counted and that never came
    silences: int
    greetings: int  # packets sent to the phone
    sender: str | None  # address
    last_malformed: str  # reason
    ignored_names: list[str]
    unused: str  # what arrives and is not used, and why, after some seconds; empty: all is used, or nothing arrives


class CalibrationStats(TypedDict, total=False):
    """State of the neutral calibration."""

    movement: float | None  # of the window that the neutral was taken from; None before a full window was seen
    still: bool  # whether that counts as a resting face
    note: str  # advice for the driver; empty where there is none


class LiveStats(TypedDict, total=False):
    """State of a live source and its pipeline, in JSON's types; empty for sliders and motion files."""

    input: SourceStats
    phase: str
    calibrated: float  # 0..1
    calibration: CalibrationStats
    gains: dict[str, float]
    not_finite: int  # samples
    latency: dict[str, Any]  # of LatencyReport.to_json

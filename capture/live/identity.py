"""Identity and focal length, fitted to the first seconds of a face and then fixed."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from avatar.geometry.numpy_rotations import yaw_pitch
from avatar.head.model import HeadModel
from capture.live.camera import Lens
from capture.live.fit import MAX_ERROR, Fit, Fitter
from capture.live.torso import TorsoMotion
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Observations, Person, TrackerOptions, fit_person, network_rotations
from capture.tracker.identity import IdentityOptions, choose_key_frames
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole


@dataclass(frozen=True)
class LearnOptions:
    """Parameters of the identity fit."""

    seconds: float = 2.0  # of tracked face that are collected
    min_frames: int = 16
    key_frames: int = 10  # of the collected frames that are fitted; takes most of a second on one core
    focal: float | None = None  # pixels; None: from the file's metadata, or a typical camera's
    tracker: TrackerOptions = field(default_factory=lambda: TrackerOptions(identity=IdentityOptions(iterations=8)))


@dataclass(frozen=True, eq=False)
class LandmarkFrame:
    """The landmarks of one frame."""

    points: np.ndarray  # [478,3]
    presence: float
    time: float  # seconds, time.monotonic()
    source_time: float | None  # seconds of the source's clock
    torso: TorsoMotion | None = None
    hidden: tuple[str, ...] = ()  # regions whose landmarks are missing

    @property
    def clock(self) -> float:
        """Seconds of the source's clock where it has one."""
        return self.time if self.source_time is None else self.source_time


@dataclass(frozen=True, eq=False)
class Learned:
    """The fitter of a person, and the fits to the collected frames."""

    fitter: Fitter
    earlier: tuple[tuple[LandmarkFrame, Fit], ...]


class Learner:
    """Collects landmarks until there are enough, then fits the person's identity."""

    def __init__(self, head: HeadModel, lens: Lens, options: LearnOptions, *, wait: bool = False) -> None:
        """Args: the head model; the source's optics; options; wait: `add` waits for the fit."""
        self._head = head
        self._lens = lens
        self._options = options
        self._wait = wait
        self._model = LandmarkModel.from_head(head)
        self._frames: list[LandmarkFrame] = []
        self._result: Future[Learned] | None = None

    def restart(self) -> None:
        """Discard all frames: another person is in front of the camera."""
        self._frames = []
        self._result = None

    @property
    def progress(self) -> float:
        """0..1, collected fraction of the frames needed."""
        if self._result is not None:
            return 1.0
        if len(self._frames) < 2:
            return 0.0
        seconds = self._frames[-1].clock - self._frames[0].clock
        return min(seconds / self._options.seconds, len(self._frames) / self._options.min_frames, 1.0)

    def add(self, landmarks: LandmarkFrame) -> Learned | None:
        """Add the landmarks of a frame; returns the person once the fit is done."""
        if self._result is None:
            self._frames.append(landmarks)
            if self.progress < 1:
                return None
            pool = ThreadPoolExecutor(1, thread_name_prefix="learn")
            self._result = pool.submit(self._learn, self._frames)
            self._frames = []
            pool.shutdown(wait=self._wait)
        if not self._result.done():
            return None
        if isinstance(self._result.exception(), np.linalg.LinAlgError):  # degenerate frames: collect others
            self._result = None
            return None
        learned = self._result.result()
        if all(fit.error > MAX_ERROR for _, fit in learned.earlier):  # the frames show no person
            self._result = None
            return None
        return learned

    def _learn(self, frames: list[LandmarkFrame]) -> Learned:
        fitter = Fitter.of(self._person(frames), self._head)
        earlier = []
        fit = None
        for frame in frames:
            fit = fitter(frame.points, fit)
            earlier.append((frame, fit))
        return Learned(fitter, tuple(earlier))

    def _person(self, frames: list[LandmarkFrame]) -> Person:
        lens = self._lens
        options = self._options
        points = np.stack([frame.points for frame in frames])
        observed = Observations(
            points,
            np.zeros(points.shape[:2]),
            np.array([frame.presence for frame in frames]),
            np.array([frame.clock for frame in frames]),
        )
        prior = focal_prior(lens.width, lens.height, lens.focal_35mm, options.focal)
        center = lens.width / 2, lens.height / 2
        angles = yaw_pitch(network_rotations(self._model, observed, Pinhole(prior.focal, *center)))
        keys = np.sort(choose_key_frames(observed.points, angles, options.key_frames))
        return fit_person(self._model, observed[keys], prior, center, options.tracker)

"""Who is in front of the camera: identity and focal length from the first seconds, and then kept."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from avatar.head.model import HeadModel
from capture.faces.landmarks import Landmarks
from capture.live.camera import Lens, LiveFrame
from capture.live.fit import Fit, Fitter
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Observations, Person, TrackerOptions, fit_person, network_rotations
from capture.tracker.identity import IdentityOptions, choose_key_frames
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole
from capture.tracker.rotation import yaw_pitch


@dataclass(frozen=True)
class LearnOptions:
    """How a face is learned."""

    seconds: float = 2.0  # of a face that is seen
    least_frames: int = 16
    key_frames: int = 10  # of those seen, what the fit looks at: it takes most of a second on one core
    focal: float | None = None  # pixels; None: what the file says or a typical camera's
    tracker: TrackerOptions = field(default_factory=lambda: TrackerOptions(identity=IdentityOptions(iterations=8)))


@dataclass(frozen=True, eq=False)
class Seen:
    """The landmarks of one frame."""

    points: np.ndarray  # [478,3]
    presence: float
    time: float  # seconds, time.monotonic()
    source_time: float | None  # seconds of a file's own clock

    @property
    def clock(self) -> float:
        """Seconds of the file's clock where there is one."""
        return self.time if self.source_time is None else self.source_time


@dataclass(frozen=True, eq=False)
class Learned:
    """A person, and what their face did while they were learned."""

    fitter: Fitter
    earlier: tuple[tuple[Seen, Fit], ...]


class Learner:
    """Collects landmarks until there are enough and fits the person to them."""

    def __init__(self, head: HeadModel, lens: Lens, options: LearnOptions, *, wait: bool = False) -> None:
        """Args: the head; the source's optics; how; wait: fit in the caller's thread."""
        self._head, self._lens, self._options, self._wait = head, lens, options, wait
        self._model = LandmarkModel.from_head(head)
        self._seen: list[Seen] = []
        self._result: Future[Learned] | None = None

    def again(self) -> None:
        """Forget all that was seen: another person sat down."""
        self._seen, self._result = [], None

    @property
    def progress(self) -> float:
        """0..1, how much of what is needed has been seen."""
        if self._result is not None:
            return 1.0
        if len(self._seen) < 2:
            return 0.0
        seconds = self._seen[-1].clock - self._seen[0].clock
        return min(seconds / self._options.seconds, len(self._seen) / self._options.least_frames, 1.0)

    def see(self, found: Landmarks, frame: LiveFrame) -> Learned | None:
        """Look at the landmarks of a frame; the person once they are known."""
        if self._result is None:
            self._seen.append(Seen(found.points, found.presence, frame.time, frame.source_time))
            if self.progress < 1:
                return None
            pool = ThreadPoolExecutor(1, thread_name_prefix="learn")
            self._result = pool.submit(self._learned, self._seen)
            self._seen = []
            pool.shutdown(wait=self._wait)
        if not self._result.done():
            return None
        if isinstance(self._result.exception(), np.linalg.LinAlgError):  # what was seen determines nobody: look on
            self._result = None
            return None
        return self._result.result()

    def _learned(self, seen: list[Seen]) -> Learned:
        fitter = Fitter.of(self._person(seen), self._head)
        earlier, fit = [], None
        for row in seen:
            fit = fitter(row.points, fit)
            earlier.append((row, fit))
        return Learned(fitter, tuple(earlier))

    def _person(self, seen: list[Seen]) -> Person:
        lens, options = self._lens, self._options
        points = np.stack([row.points for row in seen])
        observed = Observations(
            points,
            np.zeros(points.shape[:2]),
            np.array([row.presence for row in seen]),
            np.array([row.clock for row in seen]),
        )
        prior = focal_prior(lens.width, lens.height, lens.focal_35mm, options.focal)
        middle = lens.width / 2, lens.height / 2
        angles = yaw_pitch(network_rotations(self._model, observed, Pinhole(prior.focal, *middle)))
        keys = np.sort(choose_key_frames(observed.points, angles, options.key_frames))
        return fit_person(self._model, observed[keys], prior, middle, options.tracker)

"""Who is in front of the camera: identity and focal length from the first seconds, and then kept."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from capture.live.camera import Lens
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Observations, Person, TrackerOptions, fit_person, network_rotations
from capture.tracker.identity import IdentityOptions, choose_key_frames
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole
from capture.tracker.rotation import yaw_pitch


@dataclass(frozen=True)
class LearnOptions:
    """How a face is learnt."""

    seconds: float = 2.0  # of a face that is seen
    least_frames: int = 16
    key_frames: int = 10  # of those seen, what the fit looks at: it takes most of a second on one core
    focal: float | None = None  # pixels; None: what the file says or a typical camera's
    tracker: TrackerOptions = field(default_factory=lambda: TrackerOptions(identity=IdentityOptions(iterations=8)))


class Learner:
    """Collects landmarks until there are enough and fits the person to them."""

    def __init__(self, model: LandmarkModel, lens: Lens, options: LearnOptions, *, wait: bool = False) -> None:
        """Args: landmark model of the head; the source's optics; how; wait: fit in the caller's thread."""
        self._model, self._lens, self._options, self._wait = model, lens, options, wait
        self._points: list[np.ndarray] = []
        self._presence: list[float] = []
        self._time: list[float] = []
        self._fit: Future[Person] | None = None

    @property
    def progress(self) -> float:
        """0..1, how much of what is needed has been seen."""
        if self._fit is not None:
            return 1.0
        if len(self._time) < 2:
            return 0.0
        seen = (self._time[-1] - self._time[0]) / self._options.seconds
        return min(seen, len(self._time) / self._options.least_frames, 1.0)

    def see(self, points: np.ndarray, presence: float, time: float) -> Person | None:
        """Look at landmarks [478,3] at `time` seconds; the person once they are known."""
        if self._fit is None:
            self._points.append(points)
            self._presence.append(presence)
            self._time.append(time)
            if self.progress < 1:
                return None
            self._begin()
        assert self._fit is not None
        if not self._fit.done():
            return None
        if isinstance(self._fit.exception(), np.linalg.LinAlgError):  # what was seen determines nobody: look on
            self._fit = None
            return None
        return self._fit.result()

    def _begin(self) -> None:
        seen = Observations(
            np.stack(self._points), np.zeros((len(self._points), 478)), np.array(self._presence), np.array(self._time)
        )
        for kept in (self._points, self._presence, self._time):
            kept.clear()
        pool = ThreadPoolExecutor(1, thread_name_prefix="learn")
        self._fit = pool.submit(self._person, seen)
        pool.shutdown(wait=self._wait)

    def _person(self, seen: Observations) -> Person:
        lens, options = self._lens, self._options
        prior = focal_prior(lens.width, lens.height, lens.focal_35mm, options.focal)
        middle = lens.width / 2, lens.height / 2
        angles = yaw_pitch(network_rotations(self._model, seen, Pinhole(prior.focal, *middle)))
        keys = np.sort(choose_key_frames(seen.points, angles, options.key_frames))
        return fit_person(self._model, seen[keys], prior, middle, options.tracker)

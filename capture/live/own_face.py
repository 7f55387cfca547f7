"""The avatar as its own tracker, live: as long as the face before the camera is that of the avatar's person."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar import ops
from avatar.driving.live.samples import OwnFace
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.model.torso import TorsoBelowHead
from avatar.refine.step import ABOVE, StepTracker
from avatar.types import NECK, Camera, HeadParams
from capture.live.camera import Lens
from capture.live.fit import MAX_ERROR, Fit, Fitter
from capture.live.focal_fit import FocalFit, at_focal
from capture.live.identity import LandmarkFrame, Learner, LearnOptions

#: Correlation of frame and render above which the face is the avatar's for so many seconds before it drives, and below
#: which it is not for so many seconds before it stops, half as many at twice `_CLEARLY` below; seconds of a crossfade.
ABOVE_SECONDS = 1.0
BELOW = 0.78
BELOW_SECONDS = 0.25
_CLEARLY = 0.1
FADE = 0.2
#: Error of the landmarks with the avatar's head, relative to that with a head fitted to them, above which one higher
#: threshold is used: a person who only looks alike has another shape. Seconds of its average.
_OTHER_SHAPE = 1.15
_ALIKE = 0.92
_SHAPE_SECONDS = 0.3
#: While it does not drive, one frame in so many is compared.
_RARELY = 3
#: Frames from one render to the next, at least; with 1 the head gains up to .1 dB, and the window waits for cores.
_RENDERS = 2
#: Seconds without a face after which it may be another person's.
_GONE = 0.5


@dataclass(frozen=True)
class OwnFaceOptions:
    """Which avatar tracks its own person."""

    avatar: Path
    always: bool = False  # without a look at the correlation

    def open(self, lens: Lens, learn: LearnOptions, wait: bool) -> OwnFaceTracker | None:
        """The tracker, None for a head without landmarks; raises HeadsplatError where the file is no avatar."""
        avatar = load_avatar(self.avatar)
        if not len(avatar.head.landmark_faces):
            return None
        return OwnFaceTracker(avatar, lens, learn, always=self.always, wait=wait)


class Switch:
    """Whether the step drives the avatar, by the correlation of frame and render."""

    def __init__(self, always: bool = False) -> None:
        self._always = always
        self.reset()

    def reset(self) -> None:
        """Off, without a crossfade: the face may be another person's."""
        self.on = self._always
        self.amount = 0.0
        self._asked = 0.0  # seconds that the correlation has asked for the other state
        self._last: float | None = None
        self._shape: float | None = None

    def __call__(self, correlation: float, time: float, shape: float = 1.0) -> float:
        """The share 0..1 of the step.

        Args:
            correlation: of frame and render.
            time: seconds.
            shape: error of the landmarks with the avatar's head, relative to that with a head fitted to them.
        """
        passed = 0.0 if self._last is None else max(0.0, time - self._last)
        self._last = time
        if not self._always:
            share = 1.0 if self._shape is None else min(1.0, passed / _SHAPE_SECONDS)
            self._shape = shape if self._shape is None else self._shape + share * (shape - self._shape)
            self._asked = self._asked_for(correlation, passed)
            if self._asked >= (BELOW_SECONDS if self.on else ABOVE_SECONDS):
                self.on = not self.on
                self._asked = 0.0
        change = passed / FADE
        self.amount = min(1.0, self.amount + change) if self.on else max(0.0, self.amount - change)
        return self.amount

    def _asked_for(self, correlation: float, passed: float) -> float:
        """Seconds, weighted while on, that the other state has been asked for, `passed` seconds after the last call."""
        other = self._shape is not None and self._shape > _OTHER_SHAPE
        if self.on:
            below = (_ALIKE if other else BELOW) - correlation
            return self._asked + passed * max(1.0, below / _CLEARLY) if below > 0 else 0.0
        return self._asked + passed if correlation > (_ALIKE if other else ABOVE) else 0.0


class OwnFaceTracker:
    """Fits the head of one avatar to landmarks, and corrects the fit by the avatar's own render.

    What need not precede the result of a frame is left to `finish`.
    """

    def __init__(
        self, avatar: Avatar, lens: Lens, learn: LearnOptions, *, always: bool = False, wait: bool = False
    ) -> None:
        """
        Args:
            avatar: the avatar, on the CPU.
            lens: the source's optics; the focal length is fitted to the first seconds.
            learn: of that fit.
            always: the face is the avatar's, whatever the correlation.
            wait: the call with the last of these frames waits for the result.
        """
        self.names = avatar.head.expression_names
        self._avatar = avatar
        self._lens = lens
        self._learner = Learner(avatar.head, lens, learn, wait=wait)
        self._tracker = StepTracker(avatar)
        self._switch = Switch(always)
        self._fitter: Fitter | None = None
        self._focal: FocalFit  # of the fitter
        self._restart()

    @property
    def amount(self) -> float:
        """0..1, share of the newest frame."""
        return self._switch.amount

    @property
    def focal(self) -> float | None:
        """Focal length of the camera as used, pixels; None before the first fit."""
        return None if self._fitter is None else self._fitter.person.camera.focal

    def learn_again(self) -> None:
        """Another person is in front of the camera."""
        self._learner.restart()
        self._fitter = None
        self._restart()

    def _restart(self) -> None:
        self._fit: Fit | None = None
        self._face_at: float | None = None  # seconds, of the last frame with a face
        self._stepped_at: float | None = None
        self._pending: tuple[np.ndarray, LandmarkFrame, float | None] | None = None
        self._frames = 0
        self._rendered = -_RENDERS  # number of the frame after which the avatar was rendered last
        self._correlation = 0.0
        self._switch.reset()
        self._tracker.reset()

    def __call__(self, rgb: np.ndarray, landmarks: LandmarkFrame, error: float | None = None) -> OwnFace | None:
        """The avatar's state in a frame with a face; None where the step does not drive it.

        Args:
            rgb: [H,W,3] uint8.
            landmarks: of the frame.
            error: of the fit of a head that was fitted to this person; None: not known.
        """
        time = landmarks.clock
        self._pending = None
        if self._face_at is not None and not 0 <= time - self._face_at <= _GONE:
            self._restart()
        self._face_at = time
        if self._fitter is None:
            learned = self._learner.add(landmarks)
            if learned is not None:
                self._fitter, self._focal = learned.fitter, FocalFit(learned.fitter)
            return None
        self._frames += 1
        if not self._switch.on and self._switch.amount == 0:
            self._pending = None if self._frames % _RARELY else (rgb, landmarks, error)
            return None
        params = self._compare(self._fitter, rgb, landmarks, error)
        return None if params is None or self._switch.amount == 0 else self._own(params, self._switch.amount)

    def finish(self) -> None:
        """Compare a frame that no result waits for, or render the avatar for the next one."""
        if self._pending is not None and self._fitter is not None:
            self._compare(self._fitter, *self._pending)
            self._pending = None
        elif self._fit is not None and self._frames >= self._rendered + _RENDERS:
            self._rendered = self._frames
            with ops.one_thread():
                self._tracker.render_ahead()

    def _compare(
        self, fitter: Fitter, rgb: np.ndarray, landmarks: LandmarkFrame, error: float | None
    ) -> HeadParams | None:
        """The avatar's state [1] in a frame, None where the landmarks fit no face; sets the share of the step."""
        time = landmarks.clock
        self._fit = fitter(landmarks.points, self._fit)
        if self._fit.error > MAX_ERROR:
            self._fit = None
            self._tracker.reset()
            self._switch(0.0, time)
            return None
        elapsed = 1 / 30 if self._stepped_at is None else time - self._stepped_at
        self._stepped_at = time
        camera = Camera.facing(fitter.person.camera.focal, self._lens.width, self._lens.height)
        with_focal = self._switch.on and not self._focal.done
        with ops.one_thread():
            step = self._tracker(
                rgb,
                camera,
                fitter.params(self._avatar.head, self._fit),
                torso=TorsoBelowHead(),
                elapsed=elapsed,
                with_focal=with_focal,
            )
        if with_focal and step.correlation > ABOVE:
            ratio = self._focal.add(step)
            self._fitter, self._fit = at_focal(fitter, self._avatar.head, self._fit, ratio)
            self._tracker.change_focal(ratio)
        self._correlation = step.correlation
        self._switch(step.correlation, time, 1.0 if error is None else self._fit.error / max(error, 1e-6))
        return step.params

    def _own(self, params: HeadParams, amount: float) -> OwnFace:
        head = self._avatar.head
        rotation, translation = head.skull_pose(params)
        neck = head.joint_locations(params.identity)[NECK]
        position = rotation[0] @ neck + translation[0]
        return OwnFace(
            params.expression[0].numpy(), params.joint_rot[0].numpy(), position.numpy(), self._correlation, amount
        )

"""A driver's face, picture by picture: landmarks, then a warm-started fit of pose and expression."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from avatar.geometry import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.motion.from_capture import space_of
from avatar.records import JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT
from capture.landmarks import Landmarks
from capture.live.camera import Lens, LiveFrame
from capture.live.follow import LiveFollower
from capture.live.learning import Learner, LearnOptions
from capture.live.sample import Sample
from capture.options import FaceModels
from capture.tracker.clip import Observations, Person
from capture.tracker.frame import frame_error, initial_state, solve_frame
from capture.tracker.gaze import eye_angles, eye_rotations
from capture.tracker.indices import inter_ocular
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import FrameProblem, State
from capture.tracker.rotation import log_rotation

#: Reprojection (fraction of the inter-ocular distance) beyond which the face is looked for anew.
LOST = 0.06
#: Gauss-Newton steps from nothing, and the pull of expressions towards the frame before. Single landmark passes leave
#: some expressions nearly free: without the pull they jump by half their range from frame to frame, at a larger
#: reprojection error; with it what landmarks do show is a third of a frame late.
_FIRST_ITERATIONS, _PREVIOUS_WEIGHT = 10, 100.0
#: A step from the frame before that is larger than this (weight, radians) is followed by another.
_FAR, _FAR_TURN = 0.25, 0.05
#: Where the lids are closed by more than this the iris is guessed, and the gaze stays.
_BLIND = 0.6

Phase = Literal["looking", "learning", "tracking"]


@dataclass(frozen=True, eq=False)
class Fitter:
    """Pose, expression and gaze of single frames of a known person."""

    person: Person
    problem: FrameProblem
    weights: np.ndarray  # [468]

    @staticmethod
    def of(person: Person) -> Fitter:
        """The fitter for `person`."""
        problem = person.problem()
        return Fitter(person, problem, problem.weights(None))

    def fit(self, points: np.ndarray, previous: State | None) -> tuple[State, float]:
        """State of landmarks [478,3] and its reprojection error as a fraction of the inter-ocular distance."""
        seen = Observations(points[None], np.zeros((1, len(points))), np.ones(1), np.zeros(1))
        target, attitude = seen.targets[0], self.person.attitudes(seen)[0]
        if previous is None:
            start = initial_state(self.problem, target)
            state = solve_frame(self.problem, start, target, self.weights, _FIRST_ITERATIONS, attitude=attitude)
        else:
            state = solve_frame(self.problem, previous, target, self.weights, 1, _PREVIOUS_WEIGHT, attitude)
            if _far(previous, state):
                state = solve_frame(self.problem, state, target, self.weights, 1, _PREVIOUS_WEIGHT, attitude)
        # The problem's unit is the size the person was learnt at; they may have come nearer or gone since.
        size = max(float(inter_ocular(points)), 0.3 * self.person.inter_ocular)
        return state, float(frame_error(self.problem, state, target).mean()) * self.person.inter_ocular / size

    def gaze(self, points: np.ndarray, state: State) -> np.ndarray:
        """Yaw and pitch [2] radians of both eyes."""
        person = self.person
        angles: np.ndarray = eye_angles(person.model, person.identity, person.camera, [state], points[None])[0]
        return angles


def _far(first: State, second: State) -> bool:
    turn = np.linalg.norm(log_rotation(second.rotation @ first.rotation.T))
    return bool(turn > _FAR_TURN or np.abs(second.expression - first.expression).max() > _FAR)


class FaceTracker:
    """Turns pictures into samples; learns who it is from the first seconds."""

    def __init__(
        self, head: HeadModel, lens: Lens, models: FaceModels, options: LearnOptions, *, wait: bool = False
    ) -> None:
        """
        Args:
            head: the head model samples are told in (not baked).
            lens: the source's optics.
            models: makers of the networks.
            options: how the face is learnt.
            wait: let the picture that completes the learning wait for the result.
        """
        self._head, self._model = head, LandmarkModel.from_head(head)
        self._follower = LiveFollower(models)
        self._space = space_of(head)
        self._start = lens, options, wait
        self._blinks = [k for k, name in enumerate(self._model.names) if name.startswith(("eyeBlink", "eyelid"))]
        self.learn_again()

    def learn_again(self) -> None:
        """Forget who it is: another person sat down."""
        lens, options, wait = self._start
        self._learner = Learner(self._model, lens, options, wait=wait)
        self._fitter: Fitter | None = None
        self._neck = np.zeros(3)
        self._state: State | None = None
        self._gaze = np.zeros(2)
        self.phase: Phase = "looking"
        self.points: np.ndarray | None = None  # [478,3] of the newest picture, None where there is no face
        self.reprojection = 0.0  # of the newest picture, fraction of the inter-ocular distance

    @property
    def learnt(self) -> float:
        """0..1, how far learning has come."""
        return 1.0 if self._fitter is not None else self._learner.progress

    def __call__(self, frame: LiveFrame) -> Sample | None:
        """The sample of a picture, confidence 0 where it shows no face; None while the person is not known yet."""
        stamps = {"camera": frame.time, "taken": time.monotonic()}
        clock = frame.time if frame.source_time is None else frame.source_time
        found = self._follower(frame.rgb, clock)
        stamps["landmarks"] = time.monotonic()
        self.points = None if found is None else found.points
        if self._fitter is None:
            self._learn(found, clock)
            return None
        confidence = 0.0 if found is None else self._track(self._fitter, found, frame, clock)
        stamps["fit"] = time.monotonic()
        return self._sample(frame, confidence, stamps)

    def _learn(self, found: Landmarks | None, clock: float) -> None:
        self.phase = "looking" if found is None else "learning"
        if found is None:
            return
        person = self._learner.see(found.points, found.presence, clock)
        if person is not None:
            self._fitter = Fitter.of(person)
            identity = torch.from_numpy(person.identity).to(self._head.v_template.dtype)
            self._neck = self._head.joint_locations(identity)[NECK].double().numpy()

    def _track(self, fitter: Fitter, found: Landmarks, frame: LiveFrame, clock: float) -> float:
        """Fit the newest state; returns the confidence 0..1."""
        state, error = fitter.fit(found.points, self._state)
        if error > LOST:  # the region may have slid off, or the fit have gone astray: look anew, once
            self._follower.forget()
            again = self._follower(frame.rgb, clock)
            if again is not None:
                found, self.points = again, again.points
                state, error = fitter.fit(found.points, None)
        self.reprojection = error
        if error > LOST:
            self._follower.forget()
            self.phase, self._state = "looking", None
            return 0.0
        self.phase, self._state = "tracking", state
        if not self._blinks or state.expression[self._blinks].max() < _BLIND:
            self._gaze = fitter.gaze(found.points, state)
        return float(found.presence / (1 + (error / LOST) ** 2))

    def _sample(self, frame: LiveFrame, confidence: float, stamps: dict[str, float]) -> Sample:
        weights = np.zeros(len(self._head.expression_names), np.float32)
        joint_rot = np.zeros((len(JOINT_NAMES), 3), np.float32)
        translation = np.zeros(3, np.float32)
        if confidence <= 0:
            self.phase, self._state = "looking", None
        elif self._state is not None:
            state = self._state
            weights[self._model.columns] = state.expression
            joint_rot[ROOT] = matrix_to_axis_angle(torch.from_numpy(state.rotation)).numpy()
            joint_rot[[LEFT_EYE, RIGHT_EYE]] = eye_rotations(self._gaze[None])[0]
            translation[:] = state.rotation @ self._neck + state.translation
        names = self._head.expression_names
        return Sample(
            frame.time, names, self._space, weights, joint_rot, translation, confidence, stamps, frame.source_time
        )

"""Pose, expression and gaze of a known person, fitted to the landmarks of one frame from the previous fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from avatar.geometry.numpy_rotations import log_rotation
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams
from capture.tracker.clip import Observations, Person
from capture.tracker.gaze import eye_angles, eye_rotations
from capture.tracker.indices import FACE_COUNT, inter_ocular
from capture.tracker.problem import FrameProblem, State
from capture.tracker.robust import fit_without_outliers, trimmed_mean

#: Reprojection error (fraction of the inter-ocular distance) beyond which a fit counts as failed.
MAX_ERROR = 0.06
#: From this fraction of it on a frame is fitted without the previous one, too; that fit must have this part of it.
_DOUBTFUL = 0.6
_CLEARLY_BETTER = 0.7
#: Gauss-Newton steps of a fit without a previous one, and weight of the prior that keeps expressions near the previous
#: frame's. One landmark pass leaves some expressions nearly undetermined: without the prior they jump by half their
#: range from frame to frame, at a larger reprojection error; with it visible expressions lag by a third of a frame.
_FIRST_ITERATIONS = 10
_PREVIOUS_WEIGHT = 100.0
#: A change from the previous frame larger than this (weight, radians) gets a second step.
_FAR = 0.25
_FAR_TURN = 0.05
#: Blink weight above which the iris is not visible, and the previous gaze is kept.
_IRIS_HIDDEN = 0.6


@dataclass(frozen=True, eq=False)
class Fit:
    """The fit to one frame."""

    state: State
    gaze: np.ndarray  # [2] yaw and pitch of both eyes, radians
    error: float  # reprojection of the landmarks that are no outliers, fraction of the inter-ocular distance

    def confidence(self, presence: float) -> float:
        """0..1, from the network's `presence`; 0 where the fit failed."""
        return 0.0 if self.error > MAX_ERROR else float(presence / (1 + (self.error / MAX_ERROR) ** 2))


@dataclass(frozen=True, eq=False)
class Fitter:
    """Fits single frames of a known person."""

    person: Person
    problem: FrameProblem
    neck: np.ndarray  # [3] meters, skull frame: the pivot that the head turns about
    expressions: int  # E of the whole head; the fit has only those that landmarks determine
    lids: np.ndarray  # [L] int, columns of a state's expression that close lids

    @staticmethod
    def of(person: Person, head: HeadModel) -> Fitter:
        """The fitter for `person`, with results in expressions of `head` (not baked)."""
        problem = person.problem()
        identity = torch.from_numpy(person.identity).to(head.v_template.dtype)
        neck = head.joint_locations(identity)[NECK].double().numpy()
        lids = [k for k, name in enumerate(person.model.names) if name.startswith(("eyeBlink", "eyelid"))]
        return Fitter(person, problem, neck, len(head.expression_names), np.array(lids, dtype=int))

    def __call__(self, points: np.ndarray, previous: Fit | None) -> Fit:
        """The fit to landmarks [478,3], of which some may be missing (NaN)."""
        fit = self._fit(points, previous)
        if previous is None or fit.error < _DOUBTFUL * MAX_ERROR:
            return fit
        # After a jump the fit from the previous frame can take the part of the face that it misses for outliers.
        first = self._fit(points, None)
        return first if first.error < _CLEARLY_BETTER * fit.error else fit

    def _fit(self, points: np.ndarray, previous: Fit | None) -> Fit:
        target = np.asarray(points[:FACE_COUNT, :2], dtype=np.float64)

        def fit(used: np.ndarray) -> State:
            observed = Observations(used[None], np.zeros((1, len(used))), np.ones(1), np.zeros(1))
            if previous is None:
                return self.person.solve(self.problem, None, observed, _FIRST_ITERATIONS)
            state = self.person.solve(self.problem, previous.state, observed, 1, _PREVIOUS_WEIGHT)
            if _is_far(previous.state, state):
                state = self.person.solve(self.problem, state, observed, 1, _PREVIOUS_WEIGHT)
            return state

        def distance(state: State) -> np.ndarray:
            # The problem's unit is the face size during learning; the distance to the camera may have changed since.
            reprojected = self.problem.reproject(state)
            size = max(float(inter_ocular(reprojected)), 0.3 * self.person.inter_ocular)
            return np.linalg.norm(reprojected - target, axis=1) / size

        state, used, distances = fit_without_outliers(fit, distance, points)
        return Fit(state, self._gaze(used, state, previous), trimmed_mean(distances))

    def parameters(self, fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expression weights [E] of the head, joint rotations [5,3] axis-angle and neck position [3], float32."""
        weights = np.zeros(self.expressions, np.float32)
        joint_rot = np.zeros((len(JOINT_NAMES), 3), np.float32)
        weights[self.person.model.columns] = fit.state.expression
        joint_rot[ROOT] = matrix_to_axis_angle(torch.from_numpy(fit.state.rotation)).numpy()
        joint_rot[[LEFT_EYE, RIGHT_EYE]] = eye_rotations(fit.gaze[None])[0]
        return weights, joint_rot, (fit.state.rotation @ self.neck + fit.state.translation).astype(np.float32)

    def params(self, head: HeadModel, fit: Fit) -> HeadParams:
        """A fit as parameters [1] of the baked `head` of the person."""
        expression, joint_rot, _ = (torch.from_numpy(part)[None] for part in self.parameters(fit))
        pose = (torch.from_numpy(part).float()[None] for part in (fit.state.rotation, fit.state.translation))
        params = HeadParams(torch.zeros(0), expression, joint_rot, torch.zeros(1, 3))
        return replace(params, translation=head.root_translation(params.identity, *pose))

    def _gaze(self, points: np.ndarray, state: State, previous: Fit | None) -> np.ndarray:
        if len(self.lids) and state.expression[self.lids].max() >= _IRIS_HIDDEN:
            return np.zeros(2) if previous is None else previous.gaze
        person = self.person
        angles: np.ndarray = eye_angles(person.model, person.identity, person.camera, [state], points[None])[0]
        if np.isnan(angles).any():
            return np.zeros(2) if previous is None else previous.gaze
        return angles


def _is_far(first: State, second: State) -> bool:
    turn = np.linalg.norm(log_rotation(second.rotation @ first.rotation.T))
    return bool(turn > _FAR_TURN or np.abs(second.expression - first.expression).max() > _FAR)

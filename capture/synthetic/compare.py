"""What the truth and a capture say about one head, in the one form that `score` compares."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.captured import Capture
from avatar.head.model import HeadModel
from avatar.records import NECK, HeadParams
from avatar.rigid import rigid_fit
from capture.synthetic.score import HeadMotion
from capture.synthetic.truth import SyntheticTruth

Array = NDArray[np.floating]

_FACE = ("face", "forehead", "nose", "lips", "eyelids")
_LIDS = ((386, 374), (159, 145))  # MediaPipe's middle of the upper and the lower lid, left and right
_LANDMARKS = 468  # without the irises
_BATCH = 32  # time steps


class Comparison:
    """Measures the truth's head and a tracker's at the same points: vertices of a shared mesh, else landmarks."""

    def __init__(self, truth: SyntheticTruth, true_head: HeadModel, head: HeadModel) -> None:
        """`true_head` is the model that `truth` was made with, `head` the tracker's."""
        self._truth, self._true_head, self._head = truth, true_head, head
        self._same = truth.head == head.model_id

    def true_motion(self, steps: NDArray[np.int64]) -> HeadMotion:
        """The truth at time `steps` [n]."""
        truth = self._truth
        posed = (truth.vertices(int(step))[None] for step in steps)
        return self._measured(
            self._true_head,
            (truth.expression_names, truth.expression[steps]),
            (truth.skull_rotation[steps], truth.skull_translation[steps]),
            truth.neutral_vertices,
            [np.asarray(each) for each in posed],
        )

    def found_motion(self, params: HeadParams) -> HeadMotion:
        """A track of the tracker's head."""
        head = self._head
        rotations, places = head.joint_transforms(params)
        starts = range(0, len(params), _BATCH)
        posed = [head.skull_vertices(params[start : start + _BATCH]).numpy() for start in starts]
        neutral = head.skull_vertices(_at_rest(head, params))[0].numpy()
        return self._measured(
            head,
            (head.expression_names, params.expression.numpy()),
            (rotations[:, NECK].numpy(), places[:, NECK].numpy()),
            neutral,
            posed,
        )

    def _measured(
        self,
        head: HeadModel,
        expression: tuple[tuple[str, ...], Array],
        pose: tuple[Array, Array],
        neutral: Array,
        posed: list[Array],
    ) -> HeadMotion:
        """The motion of `head` with resting vertices [V,3] and batches of posed ones [n,V,3] in the skull's frame."""
        marks = [head.landmarks(torch.from_numpy(batch.astype(np.float32))).numpy() for batch in posed]
        rest_marks = head.landmarks(torch.from_numpy(neutral.astype(np.float32))[None])[0].numpy()
        landmarks = np.concatenate(marks)
        apertures = [np.linalg.norm(landmarks[:, upper] - landmarks[:, lower], axis=1) for upper, lower in _LIDS]
        eyes = [np.flatnonzero(head.regions[name].numpy()) for name in ("left_eyeball", "right_eyeball")]
        gaze = [[_gaze(neutral[eye], each[eye]) for eye in eyes] for batch in posed for each in batch]
        face = np.any([head.regions[name].numpy() for name in _FACE if name in head.regions], axis=0)
        return HeadMotion(
            *expression,
            *pose,
            neutral[face] if self._same else rest_marks[:_LANDMARKS],
            np.concatenate([batch[:, face] for batch in posed]) if self._same else landmarks[:, :_LANDMARKS],
            np.stack(apertures, 1),
            np.array(gaze),
        )


def _at_rest(head: HeadModel, params: HeadParams) -> HeadParams:
    rest = head.neutral_params(1)
    return HeadParams(params.identity, rest.expression, rest.joint_rot, rest.translation)


def _gaze(rest: Array, posed: Array) -> Array:
    """Where an eyeball looks [3]: its vertices [n,3] at rest look along +z."""
    turn, _ = rigid_fit(rest.astype(np.float64), posed.astype(np.float64))
    return turn[:, 2]


def first_rows(capture: Capture) -> NDArray[np.int64]:
    """Rows [n] of the capture, one for each time step: the cameras of one moment share the head."""
    _, rows = np.unique(capture.track["time_step"], return_index=True)
    return rows

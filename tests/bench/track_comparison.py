"""Head motions of the ground truth and of a capture, in the common form that `score` compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.data.capture_folder import Capture
from avatar.geometry.similarity import fit_similarity
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.types import NECK, HeadParams
from capture.faces.landmarks import HeadDetector
from capture.synthetic.truth import SyntheticTruth
from tests.bench.track_score import HeadMotion, TruthScore, constant_pose, score, shuffled_expressions

Array = NDArray[np.floating]

_FACE = ("face", "forehead", "nose", "lips", "eyelids")
_LIDS = ((386, 374), (159, 145))  # MediaPipe's centers of the upper and the lower lid, left and right
_LANDMARKS = 468  # without the irises
_BATCH = 32  # time steps


class Comparison:
    """Head motions of truth and tracker at the same points: vertices of a shared mesh, otherwise landmarks."""

    def __init__(self, truth: SyntheticTruth, true_head: HeadModel, head: HeadModel) -> None:
        """`true_head` is the model that `truth` was made with, `head` the tracker's."""
        self._truth = truth
        self._true_head = true_head
        self._head = head
        self._same = truth.head == head.model_id

    def true_motion(self, steps: NDArray[np.int64]) -> HeadMotion:
        """Motion of the truth at time `steps` [n]."""
        truth = self._truth
        posed = (truth.vertices(int(step))[None] for step in steps)
        return self._motion(
            self._true_head,
            (truth.expression_names, truth.expression[steps]),
            (truth.skull_rotation[steps], truth.skull_translation[steps]),
            truth.neutral_vertices,
            [np.asarray(each) for each in posed],
        )

    def track_motion(self, params: HeadParams) -> HeadMotion:
        """Motion of a track of the tracker's head."""
        head = self._head
        rotations, translations = head.joint_transforms(params)
        starts = range(0, len(params), _BATCH)
        posed = [head.skull_vertices(params[start : start + _BATCH]).numpy() for start in starts]
        neutral = head.skull_vertices(_neutral_params(head, params))[0].numpy()
        return self._motion(
            head,
            (head.expression_names, params.expression.numpy()),
            (rotations[:, NECK].numpy(), translations[:, NECK].numpy()),
            neutral,
            posed,
        )

    def _motion(
        self,
        head: HeadModel,
        expression: tuple[tuple[str, ...], Array],
        pose: tuple[Array, Array],
        neutral: Array,
        posed: list[Array],
    ) -> HeadMotion:
        """The motion of a head.

        Args:
            head: the head model.
            expression: names and weights [T,E].
            pose: rotations [T,3,3] and translations [T,3] of the skull.
            neutral: resting vertices [V,3], meters, skull frame.
            posed: batches of posed vertices [n,V,3], meters, skull frame.
        """
        batches = [head.landmarks(torch.from_numpy(batch.astype(np.float32))).numpy() for batch in posed]
        neutral_landmarks = head.landmarks(torch.from_numpy(neutral.astype(np.float32))[None])[0].numpy()
        landmarks = np.concatenate(batches)
        apertures = [np.linalg.norm(landmarks[:, upper] - landmarks[:, lower], axis=1) for upper, lower in _LIDS]
        eyes = [np.flatnonzero(head.regions[name].numpy()) for name in ("left_eyeball", "right_eyeball")]
        gaze = [[_gaze(neutral[eye], each[eye]) for eye in eyes] for batch in posed for each in batch]
        face = np.any([head.regions[name].numpy() for name in _FACE if name in head.regions], axis=0)
        return HeadMotion(
            *expression,
            *pose,
            neutral[face] if self._same else neutral_landmarks[:_LANDMARKS],
            np.concatenate([batch[:, face] for batch in posed]) if self._same else landmarks[:, :_LANDMARKS],
            np.stack(apertures, 1),
            np.array(gaze),
        )


def _neutral_params(head: HeadModel, params: HeadParams) -> HeadParams:
    rest = head.neutral_params(1)
    return HeadParams(params.identity, rest.expression, rest.joint_rot, rest.translation)


def _gaze(rest: Array, posed: Array) -> Array:
    """Direction [3] of an eyeball: its vertices [n,3] at rest face +z."""
    rotation, _ = fit_similarity(rest.astype(np.float64), posed.astype(np.float64))
    return rotation[:, 2]


def score_tracks(
    capture: Capture,
    truth: SyntheticTruth,
    tracks: Mapping[str, HeadParams],
    rows: str = "all",
    detector: HeadDetector | None = None,
) -> dict[str, TruthScore]:
    """Scores of tracks of a capture, and of baselines made from the first track.

    Args:
        capture: of the synthetic capture that `truth` belongs to: one or several cameras.
        truth: the ground truth.
        tracks: parameters by name, a row for each of `first_rows(capture)`.
        rows: "all", "train" or "test": the rows to score. The constants always come from training rows.
        detector: finds the landmarks of a user-defined head; the built-in heads need none.
    """
    first = first_rows(capture)
    several = len(capture.metadata["cameras"]) > 1
    steps = np.asarray(capture.track["time_step" if several else "frame_number"][first], np.int64)
    train = _trained_on(capture)
    scored = {"all": np.ones(len(train), bool), "train": train, "test": ~train}[rows]
    comparison = Comparison(truth, load_head(), load_head(capture.metadata["head"]["source"], detector))
    true = comparison.true_motion(steps)
    motions = {name: comparison.track_motion(params) for name, params in tracks.items()}
    name, motion = next(iter(motions.items()))
    motions[f"{name}, constant pose"] = constant_pose(motion, train)
    motions[f"{name}, expressions shuffled"] = shuffled_expressions(motion)
    ratio = _focal_ratio(capture, truth)
    scores = {name: score(each, true, train, scored, calibrated=several) for name, each in motions.items()}
    return {name: replace(each, focal_ratio=ratio) for name, each in scores.items()}


def _trained_on(capture: Capture) -> NDArray[np.bool_]:
    """Mask [n] of the time steps with at least one training view."""
    _, steps = np.unique(capture.track["time_step"], return_inverse=True)
    return np.bincount(steps, ~capture.track["is_test"]) > 0


def _focal_ratio(capture: Capture, truth: SyntheticTruth) -> float:
    """The capture's focal length over the truth's; NaN for several cameras, which have one crop each."""
    cameras = capture.metadata["cameras"]
    if len(cameras) > 1:
        return float("nan")
    return float(cameras[0]["K"][0][0] / capture.metadata["crop"]["scale"] / truth.K[0, 0, 0])


def first_rows(capture: Capture) -> NDArray[np.int64]:
    """Rows [n] of the capture, the first of each time step: all cameras of a time step share the head."""
    _, rows = np.unique(capture.track["time_step"], return_index=True)
    return rows

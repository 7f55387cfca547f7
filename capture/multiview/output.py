"""Arrays and quality statistics of a capture by several cameras, one row per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT
from capture.layouts import View
from capture.multiview.canvas import Canvas
from capture.multiview.fit import HeadFit
from capture.multiview.rig import CameraObservation, from_square_pixels
from capture.multiview.track import TimeSteps
from capture.tracker.gaze import eye_rotations
from capture.tracker.indices import EYES, FACE_COUNT, LIPS, OVAL
from capture.tracker.output import jitter
from capture.tracker.problem import State

#: Spread, as a fraction of the inter-ocular distance, of landmarks that were projected from the head, not detected.
_UNSEEN_SPREAD = 0.1


@dataclass(frozen=True)
class Row:
    """One image of the capture."""

    number: int
    view: View
    step: int  # index of the time step in the capture
    state: State  # of the head in the world
    gaze: np.ndarray  # [2] radians
    observation: CameraObservation | None  # detected landmarks, square source pixels


def row_arrays(head: HeadModel, fit: HeadFit, rows: Sequence[Row], canvases: Sequence[Canvas]) -> dict[str, np.ndarray]:
    """The arrays of track.npz; rows of one time step share one head.

    Args:
        head: the head model.
        fit: person and cameras.
        rows: images of the capture, in the order of the arrays.
        canvases: stored rectangle of each row.
    """
    model = fit.problem.model
    rotation = torch.from_numpy(np.stack([row.state.rotation for row in rows]))
    offset = torch.from_numpy(np.stack([row.state.translation for row in rows]))
    expression = np.zeros((len(rows), len(head.expression_names)))
    expression[:, model.columns] = np.stack([row.state.expression for row in rows])
    joint_rot = np.zeros((len(rows), len(JOINT_NAMES), 3))
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation).numpy()
    joint_rot[:, LEFT_EYE] = joint_rot[:, RIGHT_EYE] = eye_rotations(np.stack([row.gaze for row in rows]))
    root = head.joint_locations(torch.from_numpy(fit.identity).to(head.v_template.dtype))[ROOT].double()
    points, spread = zip(*(_landmarks(fit, *pair) for pair in zip(rows, canvases, strict=True)), strict=True)
    error = np.array([_error(fit, row) for row in rows])
    presence = np.array([row.observation.presence if row.observation else 0.0 for row in rows])
    return {
        "frame_number": np.array([row.number for row in rows], dtype=np.int64),
        "time": np.array([row.view.time for row in rows]),
        "is_test": np.array([bool(row.view.is_test) for row in rows]),
        "identity": fit.identity,
        "expression": expression,
        "joint_rot": joint_rot,
        "translation": (offset - root + rotation @ root).numpy(),
        "landmarks": np.stack(points).astype(np.float32),
        "landmark_spread": np.stack(spread).astype(np.float32),
        "confidence": presence / (1 + (error / 0.06) ** 2),
        "reprojection": error,
        "camera": np.array([row.view.camera for row in rows], dtype=np.int64),
        "time_step": np.array([row.step for row in rows], dtype=np.int64),
        "principal_point": np.stack([_center(*pair) for pair in zip(rows, canvases, strict=True)]),
    }


def project_head(fit: HeadFit, state: State, view: View) -> np.ndarray:
    """Landmarks [468,2] of the head in a view's source pixels."""
    assert view.K is not None
    camera = fit.problem.cameras[view.camera]
    pixels = fit.problem.problems[view.camera].reproject(camera.to_camera(state))
    return from_square_pixels(pixels, view.K, camera.pinhole)


def _center(row: Row, canvas: Canvas) -> np.ndarray:
    """Principal point [2] of a row's stored image, pixels."""
    assert row.view.K is not None
    center: np.ndarray = canvas.intrinsics(row.view.K)[:2, 2]
    return center


def _landmarks(fit: HeadFit, row: Row, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [478,3] and their spread [478] in stored pixels; projected from the head where none were detected."""
    assert row.view.K is not None
    if row.observation is not None:
        pinhole = fit.problem.cameras[row.view.camera].pinhole
        points = from_square_pixels(row.observation.points, row.view.K, pinhole)
        return canvas.points(points), row.observation.spread * canvas.scale[1]
    points = np.zeros((478, 3))
    points[:FACE_COUNT, :2] = project_head(fit, row.state, row.view)
    for start, lids in ((468, (33, 133)), (473, (263, 362))):  # irises: center of the eye corners
        points[start : start + 5] = points[list(lids)].mean(0)
    unit = 100 * fit.problem.problems[row.view.camera].unit
    return canvas.points(points), np.full(478, _UNSEEN_SPREAD * unit * canvas.scale[1])


def _error(fit: HeadFit, row: Row) -> float:
    """Mean landmark distance, a fraction of the inter-ocular distance; 0 where none were detected."""
    return 0.0 if row.observation is None else float(fit.problem.error(row.state, row.observation).mean())


def rig_quality(fit: HeadFit, training: TimeSteps) -> dict[str, Any]:
    """Reprojection (percent of the inter-ocular distance) and jitter of training time steps, also by camera."""
    errors: dict[int, list[np.ndarray]] = {}
    for state, observations in zip(fit.training.states, training.observations, strict=True):
        for observation in observations:
            errors.setdefault(observation.camera, []).append(100 * fit.problem.error(state, observation))
    all_errors = np.concatenate([np.stack(errors[camera]) for camera in sorted(errors)])
    units = [100 * fit.problem.problems[camera].unit for camera in sorted(errors)]
    return {
        "reprojection_percent_iod": {
            "median": float(np.median(all_errors.mean(1))),
            "all": float(all_errors.mean()),
            "lips": float(all_errors[:, LIPS].mean()),
            "eyes": float(all_errors[:, EYES].mean()),
            "oval": float(all_errors[:, OVAL].mean()),
        },
        "reprojection_by_camera": {str(camera): float(np.mean(errors[camera])) for camera in sorted(errors)},
        "inter_ocular_px": float(np.median(units)),
        "jitter_per_frame": jitter(fit.training.unsmoothed_states, training.time),
        "jitter": jitter(fit.training.states, training.time),
        "key_frames": [int(row) for row in fit.key_steps],
    }

"""The arrays and the quality of a capture by several cameras, a row for each image."""

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
from capture.multiview.rig import Sighting
from capture.multiview.track import Moments
from capture.tracker.gaze import eye_rotations
from capture.tracker.indices import EYES, FACE_COUNT, LIPS, OVAL
from capture.tracker.output import jitter
from capture.tracker.problem import State

#: Spread, as a fraction of the inter-ocular distance, of landmarks that were not seen but projected from the head.
_UNSEEN_SPREAD = 0.1


@dataclass(frozen=True)
class Row:
    """One image of the capture."""

    number: int
    view: View
    step: int  # index of the moment in the capture
    state: State  # of the head in the world
    gaze: np.ndarray  # [2] radians
    sighting: Sighting | None  # what the landmark network saw in it, square source pixels


def row_arrays(head: HeadModel, fit: HeadFit, rows: Sequence[Row], canvases: Sequence[Canvas]) -> dict[str, np.ndarray]:
    """The arrays of track.npz for `rows`, in their order; rows of one moment share one head."""
    model = fit.problem.model
    rotation = torch.from_numpy(np.stack([row.state.rotation for row in rows]))
    offset = torch.from_numpy(np.stack([row.state.translation for row in rows]))
    expression = np.zeros((len(rows), len(head.expression_names)))
    expression[:, model.columns] = np.stack([row.state.expression for row in rows])
    joint_rot = np.zeros((len(rows), len(JOINT_NAMES), 3))
    joint_rot[:, ROOT] = matrix_to_axis_angle(rotation).numpy()
    joint_rot[:, LEFT_EYE] = joint_rot[:, RIGHT_EYE] = eye_rotations(np.stack([row.gaze for row in rows]))
    root = head.joint_locations(torch.from_numpy(fit.identity).to(head.v_template.dtype))[ROOT].double()
    points, spread = zip(*(_landmarks(fit, row, canvases[row.view.camera]) for row in rows), strict=True)
    error = np.array([_error(fit, row) for row in rows])
    presence = np.array([row.sighting.presence if row.sighting else 0.0 for row in rows])
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
    }


def project_head(fit: HeadFit, state: State, view: View) -> np.ndarray:
    """Landmarks [468,2] of the head in a view's source pixels."""
    assert view.K is not None
    camera = fit.problem.cameras[view.camera]
    pixels = fit.problem.problems[view.camera].reproject(camera.seen(state))
    pixels[:, 0] *= view.K[0, 0] / view.K[1, 1]
    return pixels


def _landmarks(fit: HeadFit, row: Row, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [478,3] and their spread [478] in stored pixels; projected from the head where none were seen."""
    assert row.view.K is not None
    squeeze = row.view.K[0, 0] / row.view.K[1, 1]
    if row.sighting is not None:
        points = row.sighting.points.copy()
        points[:, 0] *= squeeze
        return canvas.points(points), row.sighting.spread * canvas.scale[1]
    points = np.zeros((478, 3))
    points[:FACE_COUNT, :2] = project_head(fit, row.state, row.view)
    for start, lids in ((468, (33, 133)), (473, (263, 362))):  # irises: between the corners of their eyes
        points[start : start + 5] = points[list(lids)].mean(0)
    unit = 100 * fit.problem.problems[row.view.camera].unit
    return canvas.points(points), np.full(478, _UNSEEN_SPREAD * unit * canvas.scale[1])


def _error(fit: HeadFit, row: Row) -> float:
    """Mean landmark distance, a fraction of the inter-ocular distance; 0 where nothing was seen."""
    return 0.0 if row.sighting is None else float(fit.problem.error(row.state, row.sighting).mean())


def rig_quality(fit: HeadFit, training: Moments) -> dict[str, Any]:
    """Reprojection (percent of the inter-ocular distance) and jitter of training moments, with every camera's own."""
    errors: dict[int, list[np.ndarray]] = {}
    for state, sightings in zip(fit.training.states, training.sightings, strict=True):
        for sighting in sightings:
            errors.setdefault(sighting.camera, []).append(100 * fit.problem.error(state, sighting))
    every = np.concatenate([np.stack(errors[camera]) for camera in sorted(errors)])
    units = [100 * fit.problem.problems[camera].unit for camera in sorted(errors)]
    return {
        "reprojection_percent_iod": {
            "median": float(np.median(every.mean(1))),
            "all": float(every.mean()),
            "lips": float(every[:, LIPS].mean()),
            "eyes": float(every[:, EYES].mean()),
            "oval": float(every[:, OVAL].mean()),
        },
        "reprojection_by_camera": {str(camera): float(np.mean(errors[camera])) for camera in sorted(errors)},
        "inter_ocular_px": float(np.median(units)),
        "jitter_per_frame": jitter(fit.training.frame_states, training.time),
        "jitter": jitter(fit.training.states, training.time),
        "key_frames": [int(row) for row in fit.key_moments],
    }

"""The tracker alone: a capture tracked anew from the true landmarks, as if the network never erred."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.head import load_head
from capture.synthetic.truth import SyntheticTruth
from capture.tracker.camera import focal_prior
from capture.tracker.clip import Observations, fit_person, track_held_out, track_training
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.output import track_arrays

_SPREAD = 0.3  # pixels, what the jittered passes of a clear picture differ by


def exact_capture(capture: Capture, truth: SyntheticTruth) -> Capture:
    """The same frames and split of a phone's clip, tracked from `truth`; its pictures stay where they are."""
    head, scale = load_head(), capture.metadata["crop"]["scale"]
    steps, test = capture.track["frame_number"], capture.track["is_test"]
    seen = _observed(truth, steps, scale, capture.track["time"])
    rows = np.flatnonzero(~test), np.flatnonzero(test)
    prior = focal_prior(truth.width, truth.height).at_scale(scale)
    training, held_out = (seen[each] for each in rows)
    center = truth.width / 2 * scale, truth.height / 2 * scale
    person = fit_person(LandmarkModel.from_head(head), training, prior, center)
    track = track_training(person, training)
    parts = [track_arrays(head, person, steps[rows[0]], training, track, is_test=False)]
    if len(held_out):
        late = track_held_out(person, training, track, held_out)
        parts.append(track_arrays(head, person, steps[rows[1]], held_out, late, is_test=True))
    return replace(capture, metadata=_with_focal(capture, person.camera.focal), track=_joined(capture, parts))


def _observed(truth: SyntheticTruth, steps: np.ndarray, scale: float, time: np.ndarray) -> Observations:
    points = np.stack([np.c_[truth.landmarks[0, step], _depths(truth, int(step))] for step in steps])
    spread = np.full(points.shape[:2], _SPREAD)
    return Observations(points * scale, spread, np.ones(len(steps)), time.astype(np.float64))


def _depths(truth: SyntheticTruth, step: int) -> np.ndarray:
    """How far the landmarks [478] lie behind their middle, in pixels there, as the landmark network gives it."""
    world = truth.vertices(step) @ truth.skull_rotation[step].T + truth.skull_translation[step]
    view = truth.world_to_cam[0]
    seen = torch.from_numpy((world @ view[:3, :3].T + view[:3, 3]).astype(np.float32))
    depth = load_head().landmarks(seen[None])[0, :, 2].numpy()
    return np.asarray((depth / depth.mean() - 1) * truth.K[0, 0, 0])


def _with_focal(capture: Capture, focal: float) -> dict[str, Any]:
    camera = capture.metadata["cameras"][0]
    K = np.array(camera["K"])
    K[0, 0] = K[1, 1] = focal
    return {**capture.metadata, "cameras": [{**camera, "K": K.tolist()}]}


def _joined(capture: Capture, parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    order = np.argsort(np.concatenate([part["frame_number"] for part in parts]))
    names = ("expression", "joint_rot", "translation")
    tracked = {name: np.concatenate([part[name] for part in parts])[order] for name in names}
    return {**capture.track, **tracked, "identity": parts[0]["identity"]}

"""Poses of the torso before the first refinement: they follow a large motion in the image, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.training.prepared_frames import with_initial_torso


def moved(capture: Capture, motion: np.ndarray, confidence: float = 1.0) -> tuple[Capture, TrainingFrames]:
    """The capture with this motion [T,2] of the torso (face heights), and training frames with first torso poses."""
    track = {
        **capture.track,
        "torso_motion": np.tile(motion, 3),
        "torso_confidence": np.full(len(capture), confidence),
    }
    changed = replace(capture, track=track)
    person = bake_identity(load_head(), torch.from_numpy(capture.track["identity"]).float())
    frames = load_frames(changed, capture.train_indices, 64, person)
    return changed, with_initial_torso(changed, capture.train_indices, frames)


def travel(count: int, size: float) -> np.ndarray:
    phase = np.linspace(0, 2 * np.pi, count)
    return size * np.stack([np.sin(phase), 0.3 * np.cos(phase)], 1)


def test_a_torso_far_from_rest_is_seen_where_the_image_shows_it(tiny: Capture) -> None:
    motion = travel(len(tiny), 1.0)
    _, frames = moved(tiny, motion)
    torso = frames.states.torso
    assert torso is not None
    seen = frames.camera.to_camera(torso.translation[frames.step][:, None])[:, 0]
    pixels = (frames.camera.K @ (seen / seen[:, 2:])[..., None])[:, :2, 0].numpy()
    landmarks = tiny.track["landmarks"][tiny.train_indices]
    face = np.median(landmarks[:, 152, 1] - landmarks[:, 10, 1])
    expected = motion[tiny.train_indices] * face
    found = pixels - np.median(pixels, 0) + np.median(expected, 0)
    assert np.abs(found - expected).max() < 0.08 * np.ptp(expected)


def test_the_torso_keeps_its_distance_from_the_camera(tiny: Capture) -> None:
    _, frames = moved(tiny, travel(len(tiny), 1.0))
    assert frames.states.torso is not None
    distance = frames.camera.to_camera(frames.states.torso.translation[frames.step][:, None])[:, 0].norm(dim=-1)
    torch.testing.assert_close(distance, distance[:1].expand(len(distance)), rtol=1e-4, atol=0)


def test_a_small_or_uncertain_motion_is_left_to_the_refinement(tiny: Capture) -> None:
    assert moved(tiny, travel(len(tiny), 0.2))[1].states.torso is None
    assert moved(tiny, travel(len(tiny), 1.0), confidence=0.3)[1].states.torso is None

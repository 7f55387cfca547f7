"""The frames of a capture and the head of its person, ready for an avatar to be built and trained on them."""

from __future__ import annotations

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import check_head
from avatar.data.foreground import take_foreground_colors
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.model.avatar import baked
from avatar.training.config import TrainConfig
from avatar.training.eye_directions import with_eye_directions
from avatar.training.initial_torso import with_initial_torso
from avatar.training.iris_size import with_fitted_irises
from avatar.training.teeth_placement import with_placed_teeth

MIN_FRAMES = 8


def prepared_frames(capture: Capture, head: HeadModel, config: TrainConfig) -> tuple[HeadModel, TrainingFrames]:
    """The baked head of the person of `capture`, and its training frames in the poses of the tracker.

    Args:
        capture: a finished capture.
        head: the head model with which it was tracked.
        config: the settings of the training.

    Raises:
        HeadsplatError: too few training frames, or a capture of another head.
    """
    indices = capture.train_indices
    if len(indices) < MIN_FRAMES and config.bases:
        raise HeadsplatError(
            f"{capture.root}: {len(indices)} training frames, at least {MIN_FRAMES} are needed; capture a longer "
            "video, or train without blendshapes: --preset photos"
        )
    check_head(capture, head)
    person = baked(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    if config.has_layer:
        person = with_eye_directions(capture, indices, person)
    frames = load_frames(capture, indices, config.size, person)
    take_foreground_colors(frames.rgb.numpy(), frames.alpha.numpy())
    frames = with_initial_torso(capture, indices, frames)
    if config.has_layer:
        person, frames = with_placed_teeth(*with_fitted_irises(person, frames))
    return person, frames

"""The frames of a capture and the head of its person, ready for an avatar to be built and trained on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import check_head
from avatar.data.foreground import take_foreground_colors
from avatar.data.recordings import joined, with_baked_identity
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


def prepared_frames(
    capture: Capture,
    head: HeadModel,
    config: TrainConfig,
    others: Sequence[Capture] = (),
    report: Callable[[str], None] = lambda part: None,
) -> tuple[HeadModel, TrainingFrames]:
    """The baked head of the person of `capture`, and its training frames in the poses of the tracker.

    Args:
        capture: a finished capture.
        head: the head model with which it was tracked.
        config: the settings of the training.
        others: further recordings of the same person, whose frames follow; the head is that of `capture`.
        report: called with each part of the work as it begins, one of `avatar.training.progress.PREPARING`.

    Raises:
        HeadsplatError: too few training frames, or a capture of another head.
    """
    for each in (capture, *others):
        if len(each.train_indices) < MIN_FRAMES and config.bases:
            raise HeadsplatError(
                f"{each.root}: {len(each.train_indices)} training frames, at least {MIN_FRAMES} are needed; capture a "
                "longer video, or train without blendshapes: --preset photos"
            )
        check_head(each, head)
    person = baked(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    if config.has_layer:
        person = with_eye_directions(capture, capture.train_indices, person)
    frames = _frames(capture, config, person, report)
    if others:
        moved = (with_baked_identity(each, person, head) for each in others)
        frames = joined([frames, *(_frames(each, config, person, report) for each in moved)])
    if config.has_layer:
        report("searching irises")
        person, frames = with_fitted_irises(person, frames)
        report("placing teeth")
        person, frames = with_placed_teeth(person, frames)
    return person, frames


def _frames(capture: Capture, config: TrainConfig, person: HeadModel, report: Callable[[str], None]) -> TrainingFrames:
    """The training frames of a capture on the host, for the baked head `person`."""
    report("decoding frames")
    frames = load_frames(capture, capture.train_indices, config.size, person)
    report("foreground colors")
    take_foreground_colors(frames.rgb.numpy(), frames.alpha.numpy())
    return with_initial_torso(capture, capture.train_indices, frames)

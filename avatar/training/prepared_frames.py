"""The frames of a capture and the head of its person, ready for an avatar to be built and trained on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.data.capture_head import check_head
from avatar.data.foreground import take_foreground_colors
from avatar.data.recordings import join_recordings, with_baked_identity
from avatar.data.training_frames import TrainingFrames, load_frames
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.refine.measured_torso import measured_motion
from avatar.training.config import TrainConfig
from avatar.training.eye_directions import with_eye_directions
from avatar.training.iris_size import with_fitted_irises
from avatar.training.matte_sampling import mean_pose
from avatar.training.teeth_placement import with_placed_teeth
from avatar.types import TorsoPose

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
    person = bake_identity(head, torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    if config.has_layer:
        person = with_eye_directions(capture, capture.train_indices, person)
    frames = _frames(capture, config, person, report)
    if others:
        moved = (with_baked_identity(each, person, head) for each in others)
        frames = join_recordings([frames, *(_frames(each, config, person, report) for each in moved)])
    if config.has_layer:
        report("searching irises")
        person, frames = with_fitted_irises(person, frames)
        report("placing teeth")
        person, frames = with_placed_teeth(person, frames)
    return person, frames


def _frames(capture: Capture, config: TrainConfig, person: HeadModel, report: Callable[[str], None]) -> TrainingFrames:
    """The training frames of a capture on the host, for the baked head `person`."""
    report("decoding frames")
    rows = capture.train_indices
    kept = None
    if capture.kept is not None:
        kept = capture.kept.take(capture.track["frame_number"][rows].tolist(), capture.size_at(config.size))
    frames = load_frames(capture, rows, config.size, person, kept)
    if kept is None:
        report("foreground colors")
        take_foreground_colors(frames.rgb.numpy(), frames.alpha.numpy())
    return with_initial_torso(capture, capture.train_indices, frames)


#: Confidence from which on a motion counts; between such frames it is interpolated in time.
_CONFIDENT = 0.7
#: Range of the motion (5 to 95 %, heights of the face) up to which the refinement finds the torso from rest.
_SMALL = 0.8
_CHIN = 152
_FOREHEAD = 10


def with_initial_torso(capture: Capture, indices: np.ndarray, frames: TrainingFrames) -> TrainingFrames:
    """Training frames with poses of the torso that follow a large motion in the image; unchanged if it is not known.

    Before the first refinement the torso is taken to be at rest before the camera, at the mean pose of the skull. A
    camera that pans, or a person who sways, moves it in the image: to first order, as a rotation about the camera does.

    Args:
        capture: the capture.
        indices: [n] int, rows of the training frames.
        frames: these frames.
    """
    motion, confidence = (value.double().numpy() for value in measured_motion(capture, indices))
    known = confidence >= _CONFIDENT
    if known.mean() < 0.5:
        return frames
    center = np.stack([np.interp(frames.time, frames.time[known], motion[known, axis]) for axis in (0, 1)], 1)
    if np.ptp(np.quantile(center, [0.05, 0.95], axis=0), axis=0).max() < _SMALL:
        return frames
    landmarks = capture.track["landmarks"][capture.train_indices]
    face = float(np.median(landmarks[:, _CHIN, 1] - landmarks[:, _FOREHEAD, 1]))
    focal = np.array(capture.metadata["cameras"][0]["K"])[[0, 1], [0, 1]]
    angle = np.arctan((center - np.median(center, 0)) * face / focal)
    turn = axis_angle_to_matrix(torch.from_numpy(np.stack([-angle[:, 1], angle[:, 0], 0 * angle[:, 0]], 1)))
    view = frames.camera.world_to_cam[0].double()
    to_camera = view[:3, :3]
    origin = -view[:3, :3].T @ view[:3, 3]
    turn = to_camera.T @ turn @ to_camera
    rotation, translation = (torch.from_numpy(value) for value in mean_pose(frames))
    moved = (turn @ (translation - origin)[:, None])[..., 0] + origin
    torso = TorsoPose((turn @ rotation).float().contiguous(), moved.float().contiguous())
    return replace(frames, states=replace(frames.states, torso=torso))

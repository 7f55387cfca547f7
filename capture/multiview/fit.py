"""Fit of the head at every time step, with several cameras or with the only one that shows the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from capture.multiview.rig import RigCamera, RigProblem
from capture.multiview.track import (
    RigTrack,
    TimeSteps,
    fit_rig_person,
    head_distances,
    track_rig,
    track_rig_held_out,
)
from capture.tracker.camera import FocalPrior
from capture.tracker.clip import ClipTrack, Observations, fit_person, track_held_out, track_training
from capture.tracker.landmark_model import LandmarkModel


@dataclass(frozen=True)
class HeadFit:
    """One person, and the head at every time step."""

    problem: RigProblem
    identity: np.ndarray  # [S]
    key_steps: np.ndarray  # rows of the training time steps
    training: RigTrack
    held_out: RigTrack | None


def fit_head(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    training: TimeSteps,
    held_out: TimeSteps,
    progress: Callable[[int], None] | None = None,
) -> HeadFit:
    """Identity from the training time steps, then pose, expression and gaze of all time steps.

    Args:
        model: landmark model of the head.
        cameras: calibrated, meters.
        training: observations of training views.
        held_out: observations at held-out time steps; may be empty. They affect only their own track.
        progress: called with the number of training time steps done.
    """
    if len({observation.camera for observations in training.observations for observation in observations}) == 1:
        return _fit_one_camera(model, cameras, training, held_out, progress)
    person = fit_rig_person(model, cameras, training)
    track = track_rig(person, training, progress)
    held_out_track = track_rig_held_out(person, training, track, held_out) if len(held_out) else None
    return HeadFit(person.problem, person.identity, person.key_steps, track, held_out_track)


def _fit_one_camera(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    training: TimeSteps,
    held_out: TimeSteps,
    progress: Callable[[int], None] | None,
) -> HeadFit:
    """The single-camera tracker, in the axes of the camera; it uses the depth of the landmark network."""
    index = training.observations[0][0].camera
    camera = cameras[index]
    observations = _observations(training, index)
    prior = FocalPrior(camera.pinhole.focal, 0.01, "given")
    person = fit_person(model, observations, prior, (camera.pinhole.cx, camera.pinhole.cy))
    local = track_training(person, observations, (lambda done, _: progress(done)) if progress else None)
    track = _to_world(camera, local)
    held_out_track = None
    if len(held_out):
        held_out_track = _to_world(camera, track_held_out(person, observations, local, _observations(held_out, index)))
    positions = np.stack([state.translation for state in track.states])
    distances = head_distances(cameras, positions)
    problem = RigProblem.create(model, person.identity, cameras, distances, person.options.fit)
    return HeadFit(problem, person.identity, person.key_frames, track, held_out_track)


def _observations(steps: TimeSteps, camera: int) -> Observations:
    chosen = [next(s for s in observations if s.camera == camera) for observations in steps.observations]
    return Observations(
        np.stack([observation.points for observation in chosen]),
        np.stack([observation.spread for observation in chosen]),
        np.array([observation.presence for observation in chosen]),
        steps.time,
    )


def _to_world(camera: RigCamera, track: ClipTrack) -> RigTrack:
    return RigTrack(
        tuple(camera.to_world(state) for state in track.states),
        tuple(camera.to_world(state) for state in track.unsmoothed_states),
        track.raw_gaze,
        track.gaze,
    )

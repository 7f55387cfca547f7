"""The head of every moment, by all cameras that saw it, or by the one camera that did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from capture.multiview.rig import RigCamera, RigProblem
from capture.multiview.track import (
    Moments,
    RigTrack,
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
    """One person and their head at every moment."""

    problem: RigProblem
    identity: np.ndarray  # [S]
    key_moments: np.ndarray  # indices into the training moments
    training: RigTrack
    held_out: RigTrack | None


def fit_head(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    training: Moments,
    held_out: Moments,
    progress: Callable[[int], None] | None = None,
) -> HeadFit:
    """Identity from the training moments, then pose, expression and gaze of all moments.

    Args:
        model: landmark model of the head.
        cameras: calibrated, meters.
        training: what training views saw.
        held_out: what was seen at held-out moments; may be none. It reaches nothing but its own track.
        progress: told after each training moment.
    """
    if len({sighting.camera for sightings in training.sightings for sighting in sightings}) == 1:
        return _fit_one_camera(model, cameras, training, held_out, progress)
    person = fit_rig_person(model, cameras, training)
    track = track_rig(person, training, progress)
    unseen = track_rig_held_out(person, training, track, held_out) if len(held_out) else None
    return HeadFit(person.problem, person.identity, person.key_moments, track, unseen)


def _fit_one_camera(
    model: LandmarkModel,
    cameras: Sequence[RigCamera],
    training: Moments,
    held_out: Moments,
    progress: Callable[[int], None] | None,
) -> HeadFit:
    """The single-camera tracker in the camera's own axes, which leans on the landmark network's depth."""
    which = training.sightings[0][0].camera
    camera = cameras[which]
    seen = _observations(training, which)
    prior = FocalPrior(camera.pinhole.focal, 0.01, "given")
    person = fit_person(model, seen, prior, (camera.pinhole.cx, camera.pinhole.cy))
    own = track_training(person, seen, (lambda done, _: progress(done)) if progress else None)
    track = _to_world(camera, own)
    unseen = None
    if len(held_out):
        unseen = _to_world(camera, track_held_out(person, seen, own, _observations(held_out, which)))
    places = np.stack([state.translation for state in track.states])
    distances = head_distances(cameras, places)
    problem = RigProblem.create(model, person.identity, cameras, distances, person.options.fit)
    return HeadFit(problem, person.identity, person.key_frames, track, unseen)


def _observations(moments: Moments, camera: int) -> Observations:
    chosen = [next(s for s in sightings if s.camera == camera) for sightings in moments.sightings]
    return Observations(
        np.stack([sighting.points for sighting in chosen]),
        np.stack([sighting.spread for sighting in chosen]),
        np.array([sighting.presence for sighting in chosen]),
        moments.time,
    )


def _to_world(camera: RigCamera, track: ClipTrack) -> RigTrack:
    return RigTrack(
        tuple(camera.unseen(state) for state in track.states),
        tuple(camera.unseen(state) for state in track.frame_states),
        track.raw_gaze,
        track.gaze,
    )

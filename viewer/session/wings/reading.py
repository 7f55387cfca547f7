"""The reading of the face that drives, for the reading panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avatar.driving.live.samples import AvatarPose
from avatar.export.posed import head_turn
from avatar.geometry.rotations import matrix_to_axis_angle
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import ARKIT
from avatar.performance.facs.emotions import chosen_labels
from avatar.performance.facs.units import arkit_columns, arkit_weights
from avatar.performance.readout.live import LiveReader, Reading
from avatar.performance.readout.signals import mean_pose, resting_face, rotation_matrices
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT, Motion
from viewer.session.pose_sources import AvatarPoseSource, LivePoseSource, MotionPoseSource
from viewer.session.state import FaceReading, Sliders, State
from viewer.session.wings.action_units import table, unit_records

Floats = NDArray[np.floating]

_REASONS_PERIOD = 0.5  # seconds between two lists of contributions
_JUMP = 0.5  # seconds of a motion from one reading to the next, beyond which the timeline has jumped
_REASONS = 5  # contributions that are listed
#: Seconds over which the numbers of a live source are averaged: a tracker's noise would move them too fast to read.
_AVERAGED = 0.15
_MAX_REST_FRAMES = 3000  # of a motion, from which its resting face is learned
_LEAST_NAMES = len(ARKIT_52) // 2  # ARKit's names in a space of another name
NO_WEIGHTS = "no ARKit weights: this source has expressions of another head model, which action units are not read from"
NO_FACE = "no face"


@dataclass(frozen=True, eq=False)
class Face:
    """What drives in one frame."""

    names: tuple[str, ...]
    weights: Floats  # [E]
    joint_rot: Floats  # [J,3] axis-angle radians
    time: float  # seconds of the source's own clock
    confidence: float = 1.0


class SourceReader:
    """Reads the face of one pose source after the other."""

    def __init__(self) -> None:
        self._source: AvatarPoseSource | None = None
        self._reader: LiveReader | None = None
        self._reasons_at = -math.inf  # seconds
        self._time = -math.inf  # of the last face
        self._reasons: tuple[tuple[str, float], ...] = ()
        self._reasons_of = ""  # label
        self._averaged: Reading | None = None

    def restart(self) -> None:
        """Learn the resting face again."""
        self._source = None

    def read(self, source: AvatarPoseSource, pose: AvatarPose, state: State, now: float) -> FaceReading | None:
        """The reading of a source's pose; None for a motion that is paused.

        Args:
            source: the active one.
            pose: its newest.
            state: with the sliders and the frame of the timeline.
            now: seconds.
        """
        if source is not self._source:
            self._source = source
            self._reader = _reader_of(source)
            self._time = -math.inf
            self._reasons_at = -math.inf
            self._reasons = ()
            self._averaged = None
        face = _face(source, pose, state, now)
        if face is None:
            return FaceReading(note=NO_FACE)
        if self._reader is None or not _has_arkit(face.names, _space(source, pose)):
            return FaceReading(note=NO_WEIGHTS)
        if face.time == self._time and face.confidence > 0:
            return None  # a motion that is paused
        if not 0 <= face.time - self._time <= _JUMP:
            self._reader.read(face.names, face.weights, face.joint_rot, face.time, confidence=0.0)  # forget the past
            self._averaged = None
        elapsed = face.time - self._time
        self._time = face.time
        reading = self._reader.read(face.names, face.weights, face.joint_rot, face.time, face.confidence)
        if isinstance(source, LivePoseSource):
            reading = self._averaged = average(self._averaged, reading, elapsed)
        if reading.face and (now - self._reasons_at >= _REASONS_PERIOD or reading.label != self._reasons_of):
            self._reasons_at = now
            self._reasons_of = reading.label
            self._reasons = contributions(reading)
        return record(reading, self._reasons)


def average(before: Reading | None, reading: Reading, elapsed: float) -> Reading:
    """Intensities, probabilities, valence and arousal averaged with those before, `elapsed` seconds ago."""
    if before is None or not (before.face and reading.face):
        return reading
    fraction = 1 - math.exp(-elapsed / _AVERAGED)
    distribution = before.distribution + fraction * (reading.distribution - before.distribution)
    return replace(
        reading,
        weights=before.weights + fraction * (reading.weights - before.weights),
        sides=before.sides + fraction * (reading.sides - before.sides),
        distribution=distribution,
        label=reading.table.labels[int(chosen_labels(distribution[None])[0])],
        valence=before.valence + fraction * (reading.valence - before.valence),
        arousal=before.arousal + fraction * (reading.arousal - before.arousal),
    )


def record(reading: Reading, reasons: tuple[tuple[str, float], ...] = ()) -> FaceReading:
    """A reading for the panel."""
    if not reading.face:
        return FaceReading(note=NO_FACE)
    units = tuple(unit for unit in unit_records(np.asarray(reading.sides)) if unit.letter)
    return FaceReading(
        label=reading.label,
        distribution=tuple(zip(reading.table.labels, reading.distribution.tolist(), strict=True)),
        affect=(reading.valence, reading.arousal),
        units=units,
        reasons=reasons,
        gaze=f"{reading.looking} ({_degrees(*reading.gaze)})",
        lids=reading.lids,
        head=_degrees(*reading.head),
        gesture=reading.gesture,
        speech=reading.speech,
        learning=reading.learning,
    )


def contributions(reading: Reading) -> tuple[tuple[str, float], ...]:
    """The weights that add most to the score of the leading label, largest first."""
    row = reading.contributions()[reading.table.labels.index(reading.label)]
    named = [*ARKIT_52, "at rest"]
    order = sorted(range(len(named)), key=lambda column: -abs(float(row[column])))[:_REASONS]
    return tuple((named[column], float(row[column])) for column in order if abs(row[column]) >= 0.005)


def _face(source: AvatarPoseSource, pose: AvatarPose, state: State, now: float) -> Face | None:
    """What drives now; None where a live source has no sample yet."""
    if isinstance(source, MotionPoseSource):
        motion = source.motion
        frame = state.timeline.frame
        confidence = 1.0 if motion.confidence is None else float(motion.confidence[frame])
        rotations = motion.joint_rot[frame].numpy()
        return Face(motion.names, motion.weights[frame].numpy(), rotations, source.times[frame], confidence)
    if isinstance(source, LivePoseSource):
        sample = pose.sample
        if sample is None:
            return None
        weights = sample.weights if sample.shown is None else sample.shown
        return Face(sample.names, weights, sample.joint_rot, sample.time, sample.confidence)
    return _of_sliders(state.sliders, now)


def _of_sliders(sliders: Sliders, now: float) -> Face:
    rotations = np.zeros((len(JOINT_NAMES), 3), np.float32)
    rotations[ROOT] = matrix_to_axis_angle(head_turn(sliders.head)[None])[0].numpy()
    left, up = np.radians(sliders.gaze)
    rotations[[LEFT_EYE, RIGHT_EYE], :2] = -up, left
    weights = np.array([sliders.weights.get(name, 0.0) for name in ARKIT_52])
    return Face(ARKIT_52, weights, rotations, now)


def _reader_of(source: AvatarPoseSource) -> LiveReader | None:
    """A reader with what is known of the resting face and of the head's mean pose; None for a motion it cannot read.

    Sliders are at rest at 0. Those of a motion are taken from all of it, those of a live source are learned.
    """
    if isinstance(source, LivePoseSource):
        return LiveReader(table())
    if isinstance(source, MotionPoseSource):
        return _reader_of_motion(source.motion)
    return _without_learning()


def _reader_of_motion(motion: Motion) -> LiveReader | None:
    if not _has_arkit(motion.names, motion.space):
        return None
    frames = np.arange(0, len(motion), max(1, len(motion) // _MAX_REST_FRAMES))
    if motion.confidence is not None:
        has_face = motion.confidence.numpy()[frames] > 0
        frames = frames[has_face]
    if not len(frames):
        return _without_learning()
    weights = arkit_weights(motion.weights.numpy()[frames], arkit_columns(motion.names))
    pose = mean_pose(rotation_matrices(motion.joint_rot.numpy()[frames, ROOT]))
    resting = np.zeros(len(ARKIT_52)) if motion.resting == "zero" else resting_face(weights)
    return LiveReader(table(), resting=resting, reference=pose)


def _without_learning() -> LiveReader:
    return LiveReader(table(), resting=np.zeros(len(ARKIT_52)), reference=np.eye(3))


def _space(source: AvatarPoseSource, pose: AvatarPose) -> str:
    if isinstance(source, MotionPoseSource):
        return source.motion.space
    return pose.sample.space if pose.sample is not None else ARKIT


def _has_arkit(names: Sequence[str], space: str) -> bool:
    """Whether weights have ARKit's meaning."""
    return space == ARKIT or len(set(names) & set(ARKIT_52)) >= _LEAST_NAMES


def _degrees(*angles: float) -> str:
    return f"{', '.join(f'{round(angle)}' for angle in angles)} deg"

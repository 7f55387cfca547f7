"""A take read frame by frame, and its events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.emotions import EmotionReader, chosen_labels
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader, arkit_columns, arkit_weights
from avatar.performance.readout.events import Event, emotion_events, gesture_events, lid_events, unit_events
from avatar.performance.readout.signals import (
    MIN_RESTING_FRAMES,
    frame_rate,
    gaze_angles,
    head_angles,
    lip_speech,
    mean_pose,
    own_range,
    resting_face,
    rotation_matrices,
    sound_speech,
    without_resting,
)
from avatar.types import ROOT, Motion

Floats = NDArray[Any]  # float32: one hour has 216 000 frames

_CHUNK = 4096  # frames: memory stays flat beside the arrays of a take
#: Units that no event reports: lids and gaze have their own.
_NO_EVENTS = ("AU43", "AU61", "AU62", "AU63", "AU64")
#: Speech activity from which a short event of the mouth is speech and no micro-expression.
_TALKS = 0.3
_LIDS = [ARKIT_52.index("eyeBlinkLeft"), ARKIT_52.index("eyeBlinkRight")]


@dataclass(frozen=True)
class ReadOptions:
    """How a motion is read."""

    resting: bool = True  # remove the resting face of the person, learned from the take
    own_range: bool = False  # scale every weight by how far it goes in the take


@dataclass(frozen=True, eq=False)
class Loudness:
    """Level of the sound of a take."""

    time: NDArray[np.float64]  # [S] seconds on the clock of the frames
    decibels: NDArray[np.float64]  # [S]


@dataclass(frozen=True, eq=False)
class Take:
    """T frames of readings; values of frames without a face are 0."""

    table: FacsTable
    time: NDArray[np.float64]  # [T] seconds
    face: NDArray[np.bool_]  # [T] whether there is a face
    rest: NDArray[np.float64]  # [52] weights of the resting face, which are removed
    reach: NDArray[np.float64]  # [52] weights that count as 1; 1 without own_range
    weights: Floats  # [T,52] above the resting face, over `reach`
    sides: Floats  # [T,U,2]
    gap: Floats  # [T] millimeters between the lips
    speech: Floats  # [T] 0..1
    speech_source: str  # lips, or sound and lips
    distribution: Floats  # [T,L]
    valence: Floats  # [T]
    arousal: Floats  # [T]
    gaze: Floats  # [T,2] degrees
    head: Floats  # [T,3] degrees from the mean pose
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.time)

    @property
    def seconds(self) -> float:
        """Duration."""
        return float(self.time[-1] - self.time[0])

    @cached_property
    def rate(self) -> float:
        """Frames per second."""
        return frame_rate(self.time)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """All events by their onset."""
        names = [key for key in self.table.keys if key not in _NO_EVENTS]
        found = [
            *unit_events(self.sides, self.time, self.table.keys, names, self.table.letters[1]),
            *emotion_events(self.distribution, self.time, self.table.labels, self.rate),
            *lid_events(np.asarray(self.weights[:, _LIDS], np.float64), self.time),
            *gesture_events(np.asarray(self.head, np.float64), self.time, self.rate),
        ]
        spoken = {key for key, unit in zip(self.table.keys, self.table.units, strict=True) if unit.speech}
        found = [
            replace(event, micro=False)
            if event.micro and (event.name in spoken or event.kind == "emotion") and self.speech[event.frame] > _TALKS
            else event
            for event in found
        ]
        return tuple(sorted(found, key=lambda event: (event.onset, event.kind, event.name)))

    def labels(self) -> NDArray[np.int64]:
        """The label [T] of each frame, as `chosen_labels`; unknown where there is no face."""
        return np.where(self.face, chosen_labels(self.distribution), len(self.table.labels) - 1)

    def contributions(self, frame: int) -> Floats:
        """What each weight adds to the score of each label, [L,53], in one frame; the last column is the constant."""
        row = slice(frame, frame + 1)
        reader = EmotionReader(self.table)
        return reader.contributions(self.weights[row], self.sides[row], float(self.speech[frame]))[0]


def read_take(
    motion: Motion,
    table: FacsTable | None = None,
    options: ReadOptions | None = None,
    loudness: Loudness | None = None,
) -> Take:
    """Read a motion.

    Args:
        motion: T frames with ARKit's names.
        table: None: headsplat's own.
        options: None for the defaults.
        loudness: of the take's sound; None: speech is read from the lips only.

    Raises:
        HeadsplatError: a motion without frames, or without any of ARKit's expressions.
    """
    table = table or FacsTable.load()
    options = options or ReadOptions()
    if not len(motion):
        raise HeadsplatError("the motion has no frames; give another file")
    columns = arkit_columns(motion.names)
    known = int((columns < len(motion.names)).sum())
    if not known:
        raise HeadsplatError(
            f"motion in {motion.space}: none of its expressions has one of ARKit's names, which action units are read "
            "from; give the head model it was made for with --motion-head FILE"
        )
    notes = list(motion.notes)
    if known < len(ARKIT_52):
        notes.append(f"{len(ARKIT_52) - known} of ARKit's 52 expressions are not in this motion and count as 0")
    if motion.resting == "zero":
        options = replace(options, resting=False)
    time = motion.time.numpy().astype(np.float64)
    joint_rot = motion.joint_rot.numpy()
    face = np.ones(len(time), bool) if motion.confidence is None else motion.confidence.numpy() > 0
    raw = np.concatenate(
        [arkit_weights(motion.weights[part].numpy(), columns).astype(np.float32) for part in _parts(len(time))]
    )
    raw[~face] = 0
    if options.resting and face.sum() < MIN_RESTING_FRAMES:
        notes.append("too few frames with a face to learn the resting face; weights are read as they are")
    reference = mean_pose(rotation_matrices(joint_rot[face, ROOT])) if face.any() else np.eye(3)
    frames = _Frames(table, options, time, face, raw, joint_rot, reference, tuple(notes))
    return frames.read(loudness)


@dataclass(frozen=True, eq=False)
class _Frames:
    """The input of a take."""

    table: FacsTable
    options: ReadOptions
    time: NDArray[np.float64]  # [T]
    face: NDArray[np.bool_]  # [T]
    raw: Floats  # [T,52]
    joint_rot: Floats  # [T,J,3]
    reference: NDArray[np.float64]  # [3,3] mean pose of the head
    notes: tuple[str, ...]

    def read(self, loudness: Loudness | None) -> Take:
        """Read all frames."""
        table = self.table
        time = self.time
        count = len(self.time)
        units = UnitReader(table)
        emotions = EmotionReader(table)
        gap = units.gap(self.raw).astype(np.float32)
        lips = lip_speech(gap.astype(np.float64), frame_rate(time))
        speech = lips if loudness is None else sound_speech(loudness.decibels, loudness.time, time, lips)
        rest, reach, weights = self._calibrated()
        sides = np.zeros((count, len(table.units), 2), np.float32)
        distribution = np.zeros((count, len(table.labels)), np.float32)
        affect = np.zeros((2, count), np.float32)
        for part in _parts(count):
            sides[part] = units.sides(weights[part])
            read = emotions(sides[part], speech[part])
            distribution[part] = read.distribution
            affect[0, part] = read.valence
            affect[1, part] = read.arousal
        gaze = gaze_angles(self.raw, self.joint_rot).astype(np.float32)
        head = head_angles(self.joint_rot, self.reference).astype(np.float32)
        for values in (weights, sides, distribution, affect.T, gaze, head):
            values[~self.face] = 0
        speech = np.where(self.face, speech, 0.0).astype(np.float32)
        source = "lips" if loudness is None else "sound and lips"
        return Take(
            table,
            time,
            self.face,
            rest,
            reach,
            weights,
            sides,
            gap,
            speech,
            source,
            distribution,
            affect[0],
            affect[1],
            gaze,
            head,
            self.notes,
        )

    def _calibrated(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Floats]:
        """The resting face [52], the range of the weights [52], and the weights [T,52] relative to both."""
        none = np.zeros(len(ARKIT_52))
        weights = np.empty_like(self.raw)
        rest = resting_face(self.raw[self.face]) if self.options.resting else none
        for part in _parts(len(weights)):
            weights[part] = without_resting(self.raw[part], rest)
        reach = own_range(weights[self.face]) if self.options.own_range else none + 1
        for part in _parts(len(weights)):
            weights[part] = np.minimum(weights[part] / reach, 1)
        return rest, reach, weights


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))

"""Reading a face live, frame by frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.emotions import EmotionReader, chosen_labels
from avatar.performance.facs.table import FacsTable
from avatar.performance.facs.units import UnitReader, arkit_columns, arkit_weights
from avatar.performance.readout.events import BLINK_SECONDS, gesture_events
from avatar.performance.readout.signals import (
    MIN_RESTING_FRAMES,
    SPEECH_WINDOW,
    gaze_angles,
    gaze_words,
    head_angles,
    lip_speech,
    mean_pose,
    resting_face,
    rotation_matrices,
    without_resting,
)
from avatar.types import ROOT

Floats = NDArray[np.float64]

#: Frames from which the resting face is learned, and how many pass between two updates of the slow signals.
_LEARNED = 150
_EVERY = 4
_HISTORY = 2.5  # seconds that gestures are looked for in
_CLOSED = 0.5
_LIDS = [ARKIT_52.index("eyeBlinkLeft"), ARKIT_52.index("eyeBlinkRight")]


@dataclass(frozen=True, eq=False)
class Reading:
    """What one frame shows."""

    time: float  # seconds
    face: bool  # whether there is a face; without one all values are 0 and the label is unknown
    table: FacsTable
    weights: Floats  # [52] above the resting face
    sides: Floats  # [U,2] intensities of the action units, left and right
    distribution: Floats  # [L] of `table.labels`
    label: str  # the most probable one, as `chosen_labels`
    valence: float
    arousal: float
    gaze: tuple[float, float]  # yaw, pitch in degrees relative to the head
    looking: str  # the same in words
    lids: str  # open, closed, blink, wink left or wink right
    head: tuple[float, float, float]  # yaw, pitch, roll in degrees from the reference pose
    gesture: str  # nod, shake, tilt left, tilt right or empty
    speech: float  # 0..1
    learning: bool  # whether the resting face is still being learned

    def units(self) -> dict[str, tuple[float, str]]:
        """Intensity and letter of the units that are scored, by their key."""
        strongest = self.sides.max(1)
        scored = np.flatnonzero(strongest >= self.table.threshold)
        return {self.table.keys[k]: (float(strongest[k]), self.table.letter(float(strongest[k]))) for k in scored}

    def contributions(self) -> Floats:
        """What each weight adds to the score of each label, [L,53]; the last column is the constant."""
        found = EmotionReader(self.table).contributions(self.weights[None], self.sides[None], self.speech)
        return np.asarray(found[0])


@dataclass(eq=False)
class LiveReader:
    """Reads frames as they come; it learns the resting face and the pose of the head from the first ones."""

    table: FacsTable | None = None
    resting: Floats | None = None  # [52] known weights of the resting face; None: learned
    reference: Floats | None = None  # [3,3] known mean pose of the head; None: learned
    _names: tuple[str, ...] = ()
    _columns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    _first: list[Floats] = field(default_factory=list)
    _poses: list[Floats] = field(default_factory=list)
    _gaps: deque[tuple[float, float]] = field(default_factory=deque)
    _angles: deque[tuple[float, Floats]] = field(default_factory=deque)
    _count: int = 0
    _speech: float = 0.0
    _gesture: str = ""
    _closed_since: float | None = None

    def __post_init__(self) -> None:
        self.table = self.table or FacsTable.load()
        self._units = UnitReader(self.table)
        self._emotions = EmotionReader(self.table)
        self._rest = np.zeros(len(ARKIT_52)) if self.resting is None else np.asarray(self.resting, np.float64)
        self._emotions(self._units.sides(np.zeros((1, len(ARKIT_52)))))  # prepares what the first frame would wait for
        self._pose = np.eye(3) if self.reference is None else np.asarray(self.reference, np.float64)

    def read(
        self, names: Sequence[str], weights: ArrayLike, joint_rot: ArrayLike, time: float, confidence: float = 1.0
    ) -> Reading:
        """Read one frame.

        Args:
            names: of the expressions [E]; best the same object every time.
            weights: [E].
            joint_rot: [J,3] axis-angle radians.
            time: seconds, increasing.
            confidence: of the tracker; 0: there is no face.
        """
        if names is not self._names and tuple(names) != self._names:
            self._columns = arkit_columns(names)
        self._names = names if isinstance(names, tuple) else tuple(names)
        rotation = np.asarray(joint_rot, np.float64)[None]
        if confidence <= 0 or not np.isfinite(rotation).all():
            return self._lost(time)
        raw = arkit_weights(np.asarray(weights, np.float64)[None], self._columns)
        self._learn(raw[0], rotation)
        net = without_resting(raw, self._rest)
        sides = self._units.sides(net)
        head = head_angles(rotation, self._pose)[0]
        self._follow(time, float(self._units.gap(raw)[0]), head)
        affect = self._emotions(sides, self._speech)
        yaw, pitch = gaze_angles(raw, rotation)[0].tolist()
        assert self.table is not None
        return Reading(
            time,
            True,
            self.table,
            net[0],
            sides[0],
            affect.distribution[0],
            self.table.labels[int(chosen_labels(affect.distribution)[0])],
            float(affect.valence[0]),
            float(affect.arousal[0]),
            (yaw, pitch),
            gaze_words(yaw, pitch),
            self._lids(net[0, _LIDS], time),
            (float(head[0]), float(head[1]), float(head[2])),
            self._gesture,
            self._speech,
            self.resting is None and len(self._first) < _LEARNED,
        )

    def _lost(self, time: float) -> Reading:
        assert self.table is not None
        self._gaps.clear()
        self._angles.clear()
        self._speech = 0.0
        self._gesture = ""
        self._closed_since = None
        distribution = np.zeros(len(self.table.labels))
        distribution[-1] = 1.0
        return Reading(
            time,
            False,
            self.table,
            np.zeros(len(ARKIT_52)),
            np.zeros((len(self.table.units), 2)),
            distribution,
            self.table.labels[-1],
            0.0,
            0.0,
            (0.0, 0.0),
            "",
            "",
            (0.0, 0.0, 0.0),
            "",
            0.0,
            False,
        )

    def _learn(self, raw: Floats, rotation: Floats) -> None:
        """Learn the resting face and the pose from the first frames; updated now and then, so that it costs little."""
        if len(self._first) >= _LEARNED or (self.resting is not None and self.reference is not None):
            return
        self._first.append(raw)
        self._poses.append(rotation_matrices(rotation[:, ROOT])[0])
        count = len(self._first)
        if count == 1 or count % MIN_RESTING_FRAMES == 0:
            if self.reference is None:
                self._pose = mean_pose(np.stack(self._poses))
            if self.resting is None:
                self._rest = resting_face(np.stack(self._first))

    def _follow(self, time: float, gap: float, head: Floats) -> None:
        """Update speech and gestures, every few frames."""
        self._gaps.append((time, gap))
        self._angles.append((time, head))
        for history, seconds in ((self._gaps, 1.5 * SPEECH_WINDOW), (self._angles, _HISTORY)):
            while history and (time - history[0][0] > seconds or len(history) > 600):
                history.popleft()
        self._count += 1
        if self._count % _EVERY or len(self._gaps) < 8:
            return
        span = self._gaps[-1][0] - self._gaps[0][0]
        rate = (len(self._gaps) - 1) / span if span > 0 else 30.0
        if self._count % (2 * _EVERY):
            activity = lip_speech(np.array([value for _, value in self._gaps]), rate)
            # The centered window sees only its first half: its middle is the newest moment that is certain.
            self._speech = float(activity[-max(1, round(0.5 * SPEECH_WINDOW * rate)) :].max())
            return
        times = np.array([moment for moment, _ in self._angles])
        found = gesture_events(np.stack([angles for _, angles in self._angles]), times, rate)
        recent = [event for event in found if time - event.offset < 0.5]
        self._gesture = f"{recent[-1].kind} {recent[-1].name}".strip() if recent else ""

    def _lids(self, closure: Floats, time: float) -> str:
        closed = closure > _CLOSED
        if not closed.any():
            self._closed_since = None
            return "open"
        if self._closed_since is None:
            self._closed_since = time
        if not closed.all() and closure.min() < 0.4 * closure.max():
            return f"wink {('left', 'right')[int(closure.argmax())]}"
        return "blink" if time - self._closed_since < BLINK_SECONDS else "closed"

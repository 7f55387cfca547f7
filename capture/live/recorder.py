"""Records samples as a motion file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch

from avatar.common.files import check_output
from avatar.driving.live import Sample
from avatar.errors import HeadsplatError
from avatar.motion import write_motion
from avatar.motion.files.names import ARKIT
from avatar.motion.files.write import STORED
from avatar.types import JOINT_NAMES, Motion

_log = logging.getLogger(__name__)

#: An hour at 60 samples per second is 66 MB.
_MAX_BYTES = 1 << 30
_FIRST_ROWS = 1024
#: Seconds; the source's clock is used as long as it differs less than this from the arrival times.
_MAX_CLOCK_ERROR = 0.25
#: Minimum seconds between two frames, where the source's clock was ahead.
_MIN_STEP = 1e-3
_POSE = len(JOINT_NAMES) * 3 + 3


@dataclass(frozen=True)
class RecorderStats:
    """What a recorder has collected."""

    frames: int
    dropped: int  # samples
    seconds: float
    megabytes: float  # of memory
    full: bool  # whether the memory limit is reached
    notes: tuple[str, ...]  # what a written format cannot store


class MotionRecorder:
    """Collects samples and writes them when its block ends, also after Ctrl-C or an error.

        with MotionRecorder(["take.csv", "take.motion.npz"]) as recorder:
            recorder.add(sample)

    Names and space are those of the first sample; weights of later ones are matched by name, samples of another space
    are dropped. Files are written at the end, completely or not at all.
    """

    def __init__(self, paths: Sequence[str | Path], *, overwrite: bool = False) -> None:
        """
        Args:
            paths: `.csv` (Live Link Face), `.json` or `.motion.npz`, all from the same samples.
            overwrite: whether existing files may be replaced.

        Raises:
            HeadsplatError: another suffix, an existing file, a folder that cannot be created.
        """
        for path in paths:
            if not str(path).lower().endswith((".csv", ".json", STORED)):
                raise HeadsplatError(
                    f"{path}: a motion is recorded as .csv (Live Link Face), .json or {STORED}; use such a name"
                )
        self.paths = tuple(check_output(path, overwrite) for path in paths)
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._space = ""
        self._column_map: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
        self._rows, self._times = np.zeros((0, 0), np.float32), np.zeros(0)
        self._count = self._dropped = 0
        self._arrived = -np.inf  # seconds, time.monotonic(), of the last sample kept
        self._offset: float | None = None  # seconds from the source's clock to time.monotonic()
        self._resets = 0  # of the offset
        self._full = False
        self._notes: tuple[str, ...] = ()

    def __enter__(self) -> MotionRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = error is None or isinstance(error, KeyboardInterrupt)
        if not (ended or self._count):
            return
        try:
            self.write()
        except HeadsplatError as failure:
            if ended:
                raise
            _log.warning("%s", failure)  # do not replace the error that ended the block

    def add(self, sample: Sample) -> None:
        """Add a sample; one that is not later than the last, not finite, or of another space is dropped.

        Raises:
            HeadsplatError: one of the file formats cannot store the space of the first sample.
        """
        with self._lock:
            if not self._names:
                self._initialize(sample)
            late = sample.time <= self._arrived
            if late or sample.space != self._space or not _is_finite(sample) or not self._reserve():
                self._dropped += 1
                return
            row = self._rows[self._count]
            weights, pose = row[: len(self._names)], row[len(self._names) :]
            target, source = self._columns(sample.names)
            weights[target] = sample.weights[source]
            pose[:-4], pose[-4:-1], pose[-1] = sample.joint_rot.reshape(-1), sample.translation, sample.confidence
            last = self._times[self._count - 1] + _MIN_STEP if self._count else -np.inf
            self._times[self._count], self._arrived = max(self._time_of(sample), last), sample.time
            self._count += 1

    def stats(self) -> RecorderStats:
        """What was collected so far."""
        with self._lock:
            seconds = float(self._times[self._count - 1] - self._times[0]) if self._count else 0.0
            megabytes = (self._rows.nbytes + self._times.nbytes) / 1e6
            return RecorderStats(self._count, self._dropped, seconds, megabytes, self._full, self._notes)

    def motion(self) -> Motion:
        """The motion recorded so far, its first frame at 0; frames without a face repeat the last one with a face.

        Raises:
            HeadsplatError: no sample with a face.
        """
        with self._lock:
            count, names = self._count, self._names
            rows, times = self._rows[:count].copy(), self._times[:count].copy()
        tracked = rows[:, -1] > 0 if count else np.zeros(0, bool)
        if not tracked.any():
            raise HeadsplatError(
                f"{self._where()}: no face was tracked, so nothing is recorded; check the source and try again"
            )
        held = np.maximum.accumulate(np.where(tracked, np.arange(count), int(np.argmax(tracked))))
        pose, confidence = rows[held, len(names) :], rows[:, -1]
        return Motion(
            time=torch.from_numpy(times - times[0]),
            names=names,
            weights=torch.from_numpy(rows[held, : len(names)]),
            space=self._space,
            joint_rot=torch.from_numpy(pose[:, :-4].reshape(count, len(JOINT_NAMES), 3).copy()),
            translation=torch.from_numpy(pose[:, -4:-1].copy()),
            confidence=None if (confidence == 1).all() else torch.from_numpy(confidence.copy()),
        )

    def write(self) -> tuple[str, ...]:
        """Write every file; returns a sentence for everything that a format cannot store.

        Raises:
            HeadsplatError: nothing was recorded, or writing fails.
        """
        motion, notes, failures = self.motion(), [], []
        for path in self.paths:
            try:
                notes += [f"{path.name}: {note}" for note in write_motion(path, motion)]
            except HeadsplatError as failure:
                failures.append(failure)  # still write the others
        self._notes = tuple(notes)
        if failures:
            raise failures[0]
        return self._notes

    def _where(self) -> str:
        return str(self.paths[0]) if self.paths else "recording"

    def _initialize(self, sample: Sample) -> None:
        unsuitable = [path for path in self.paths if not str(path).lower().endswith(STORED)]
        if sample.space != ARKIT and unsuitable:
            raise HeadsplatError(
                f"{unsuitable[0]}: stores ARKit weights only, the source sends {sample.space}; record to {STORED}"
            )
        self._names, self._space = sample.names, sample.space

    def _columns(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Columns of the recording, and the columns of a sample with these names that go there."""
        if names not in self._column_map:
            source = [column for column, name in enumerate(names) if name in self._names]
            self._column_map[names] = [self._names.index(names[column]) for column in source], source
        return self._column_map[names]

    def _time_of(self, sample: Sample) -> float:
        """Seconds of time.monotonic(), from the source's clock plus an offset, since packets arrive unevenly.

        The arrival time where the source has no clock, or its offset was reset twice. One reset is normal (the clock
        was set, or the sender changed), but some senders count frames at a wrong rate.
        """
        if sample.source_time is None or self._resets > 1:
            return sample.time
        if self._offset is None or abs(sample.source_time + self._offset - sample.time) > _MAX_CLOCK_ERROR:
            self._resets += self._offset is not None
            self._offset = sample.time - sample.source_time
        return sample.source_time + self._offset

    def _reserve(self) -> bool:
        """Double the memory if it is used up; returns whether there is memory for one more sample."""
        if self._count < len(self._times):
            return True
        width, rows = len(self._names) + _POSE + 1, max(2 * len(self._times), _FIRST_ROWS)
        self._full = 4 * rows * width > _MAX_BYTES
        if not self._full:
            larger = np.zeros((rows, width), np.float32)
            larger[: self._count] = self._rows.reshape(-1, width)
            self._rows, self._times = larger, np.concatenate([self._times, np.zeros(rows - len(self._times))])
        return not self._full


def _is_finite(sample: Sample) -> bool:
    return all(bool(np.isfinite(part).all()) for part in (sample.weights, sample.joint_rot, sample.translation))

"""Records samples as a motion file."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from avatar.common.files import check_output
from avatar.driving.live.motion_journal import MotionJournal
from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.motion import write_motion
from avatar.motion.files.journal import read_journal
from avatar.motion.files.names import ARKIT
from avatar.motion.files.text import LARGEST
from avatar.motion.files.write import STORED
from avatar.types import JOINT_NAMES, Motion

_log = logging.getLogger(__name__)

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
    notes: tuple[str, ...]  # what a written format cannot store


class MotionRecorder:
    """Collects samples and writes them when its block ends, also after Ctrl-C or an error.

        with MotionRecorder(["take.csv", "take.motion.npz"]) as recorder:
            recorder.add(sample)

    Names and space are those of the first sample; weights of later ones are matched by name, samples of another space
    are dropped. The samples are in a partial file beside the first path (take.partial.csv), not in memory; the files
    are written from it at the end, completely or not at all, and it is removed once all of them are complete.
    """

    def __init__(self, paths: Sequence[str | Path], *, overwrite: bool = False) -> None:
        """
        Args:
            paths: `.csv` (Live Link Face), `.json` or `.motion.npz`, at least one, all from the same samples.
            overwrite: whether existing files may be replaced.

        Raises:
            HeadsplatError: another suffix, an existing file, a folder that cannot be created.
        """
        if not paths:
            raise ValueError("paths: expected at least one")
        for path in paths:
            if not str(path).lower().endswith((".csv", ".json", STORED)):
                raise HeadsplatError(
                    f"{path}: a motion is recorded as .csv (Live Link Face), .json or {STORED}; use such a name"
                )
        self.paths = tuple(check_output(path, overwrite) for path in paths)
        self._lock = threading.Lock()
        self._file: MotionJournal | None = None
        self._names: tuple[str, ...] = ()
        self._space = ""
        self._column_map: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
        self._first = self._last = 0.0  # seconds, time.monotonic()
        self._count = self._dropped = self._faces = 0
        self._arrived = -np.inf  # seconds, time.monotonic(), of the last sample kept
        self._offset: float | None = None  # seconds from the source's clock to time.monotonic()
        self._resets = 0  # of the offset
        self._failure: HeadsplatError | None = None  # of the partial file, once it was raised
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

    @property
    def lost(self) -> bool:
        """Whether no further sample can be recorded."""
        return not self.paths or self._failure is not None

    def add(self, sample: Sample) -> None:
        """Add a sample; one that is not later than the last, not valid, or of another space is dropped. Never waits.

        Raises:
            HeadsplatError: once, where a file format cannot store the space of the first sample, and once, where the
                partial file cannot be written any more. The other files go on, and what was written stays.
        """
        with self._lock:
            unsuitable = [] if self._names else self._initialize(sample)
            if not self.lost:
                self._store(sample)
            if unsuitable:
                names = ", ".join(map(str, unsuitable))
                raise HeadsplatError(
                    f"{names}: stores ARKit weights only, the source sends {sample.space}; record to {STORED}"
                )

    def stats(self) -> RecorderStats:
        """What was collected so far."""
        with self._lock:
            return RecorderStats(self._count, self._dropped, self._last - self._first, self._notes)

    def write(self) -> tuple[str, ...]:
        """Write every file; returns a sentence for everything that a format cannot store.

        Raises:
            HeadsplatError: nothing was recorded, or writing fails; the partial file stays then.
        """
        results = self.complete()
        for result in results.values():
            if isinstance(result, HeadsplatError):
                raise result
        return self._notes

    def complete(self) -> dict[Path, tuple[str, ...] | HeadsplatError]:
        """Write every file, and remove the partial one if none fails.

        Returns:
            For each path a sentence for everything that its format cannot store, or why it was not written; empty where
            `add` has raised that already.
        """
        with self._lock:
            if self._file is not None:
                self._file.close()
            if self._file is None and self._failure is not None:
                return {}
            if self._file is None or not self._faces:
                self._remove_partial()
                return {path: _no_face(path) for path in self.paths}
            results = self._write_all()
            if not any(isinstance(result, HeadsplatError) for result in results.values()):
                self._remove_partial()
            self._notes = tuple(note for notes in results.values() if isinstance(notes, tuple) for note in notes)
            return results

    def _write_all(self) -> dict[Path, tuple[str, ...] | HeadsplatError]:
        """Write every file from the partial one."""
        assert self._file is not None
        results: dict[Path, tuple[str, ...] | HeadsplatError] = {}
        kept = f"; what was recorded is in {self._file.path}"
        try:
            motion: Motion = read_journal(self._file.path).to_motion()
        except (HeadsplatError, OSError) as error:
            return {path: HeadsplatError(f"{path}: not written ({error}){kept}") for path in self.paths}
        # fewer after a failure
        self._count = len(motion)
        self._last = self._first + float(motion.time[-1])
        for path in self.paths:
            try:
                results[path] = tuple(f"{path.name}: {note}" for note in write_motion(path, motion))
            except HeadsplatError as failure:
                results[path] = self._failure or HeadsplatError(f"{failure}{kept}")
        return results

    def _remove_partial(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.path.unlink(missing_ok=True)

    def _initialize(self, sample: Sample) -> list[Path]:
        """Use the first sample's names and space; returns the paths that cannot store it, which are left out."""
        unsuitable = [path for path in self.paths if not str(path).lower().endswith(STORED)]
        unsuitable = unsuitable if sample.space != ARKIT else []
        self.paths = tuple(path for path in self.paths if path not in unsuitable)
        self._names = sample.names
        self._space = sample.space
        return unsuitable

    def _store(self, sample: Sample) -> None:
        late = sample.time <= self._arrived
        if late or sample.space != self._space or not _is_valid(sample):
            self._dropped += 1
            return
        file = self._open_journal()
        values = np.zeros(1 + len(self._names) + _POSE, np.float32)
        target, source = self._columns(sample.names)
        values[0] = sample.confidence
        values[1:-_POSE][target] = sample.weights[source]
        values[-_POSE:-3] = sample.joint_rot.reshape(-1)
        values[-3:] = sample.translation
        time = self._time_of(sample)
        self._first = self._first if self._count else time
        self._last = max(time, self._last + _MIN_STEP) if self._count else time
        self._arrived = sample.time
        self._count += 1
        self._faces += sample.confidence > 0
        file.add(self._last - self._first, values)

    def _open_journal(self) -> MotionJournal:
        """The partial file, created at first; raises HeadsplatError where it cannot be written any more."""
        try:
            if self._file is None:
                self._file = MotionJournal(self.paths[0], self._names, self._space)
            if self._file.failure is not None:
                raise HeadsplatError(f"{self._file.failure}; what was recorded is in {self._file.path}")
        except HeadsplatError as failure:
            self._failure = failure
            raise
        return self._file

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


def _no_face(path: Path) -> HeadsplatError:
    return HeadsplatError(f"{path}: no face was tracked, so nothing is recorded; check the source and try again")


def _is_valid(sample: Sample) -> bool:
    """Whether all numbers are finite and small enough for the readers of motion files."""
    parts = (sample.weights, sample.joint_rot, sample.translation)
    return all(bool((np.abs(part) <= LARGEST).all()) for part in parts)

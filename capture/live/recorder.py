"""A run's samples as a motion on the disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from avatar.common.files import check_output
from avatar.errors import HeadsplatError
from avatar.motion import write_motion
from avatar.motion.files.names import ARKIT
from avatar.motion.files.write import STORED
from avatar.types import JOINT_NAMES, Motion
from capture.live.sample import Sample

_log = logging.getLogger(__name__)

#: An hour at 60 samples a second is 66 MB.
_MOST_BYTES = 1 << 30
_FIRST_ROWS = 1024
#: Seconds; the source's clock is believed as long as it stays this near to ours.
_TRUST = 0.25
#: Seconds between two frames at least, where a source's clock ran ahead.
_LEAST_STEP = 1e-3
_POSE = len(JOINT_NAMES) * 3 + 3


class Recorder:
    """Collects samples and writes them when its block ends, by Ctrl-C or an error too.

        with Recorder(["take.csv", "take.motion.npz"]) as recorder:
            recorder.add(sample)

    Names and space are those of the first sample; later ones are matched by name, another space is left out. Nothing
    is on the disk before the end; a file appears whole or not at all.
    """

    def __init__(self, paths: Sequence[str | Path], *, overwrite: bool = False) -> None:
        """
        Args:
            paths: `.csv` (Live Link Face), `.json` or `.motion.npz`, all from the same samples.
            overwrite: whether files that exist may be replaced.

        Raises:
            HeadsplatError: another suffix, a file that exists, a folder that cannot be.
        """
        for path in paths:
            if not str(path).lower().endswith((".csv", ".json", STORED)):
                raise HeadsplatError(
                    f"{path}: a take is recorded as .csv (Live Link Face), .json or {STORED}; name it so"
                )
        self.paths = tuple(check_output(path, overwrite) for path in paths)
        self._lock = threading.Lock()
        self._names: tuple[str, ...] = ()
        self._space = ""
        self._places: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}
        self._rows, self._times = np.zeros((0, 0), np.float32), np.zeros(0)
        self._count = self._dropped = 0
        self._arrived = -np.inf  # seconds, our clock, when the last one kept came
        self._offset: float | None = None  # of the source's clock from ours
        self._astray = 0  # how often it was set anew
        self._full = False
        self._notes: tuple[str, ...] = ()

    def __enter__(self) -> Recorder:
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
            _log.warning("%s", failure)  # the error that ended the run matters more

    def add(self, sample: Sample) -> None:
        """Keep a sample; one that is not later than the last is left out, and so is another space.

        Raises:
            HeadsplatError: the first sample is of a space that one of the files cannot hold.
        """
        with self._lock:
            if not self._names:
                self._begin(sample)
            late = sample.time <= self._arrived
            if late or sample.space != self._space or not _is_finite(sample) or not self._has_room():
                self._dropped += 1
                return
            row = self._rows[self._count]
            weights, pose = row[: len(self._names)], row[len(self._names) :]
            into, taken = self._columns(sample.names)
            weights[into] = sample.weights[taken]
            pose[:-4], pose[-4:-1], pose[-1] = sample.joint_rot.reshape(-1), sample.translation, sample.confidence
            last = self._times[self._count - 1] + _LEAST_STEP if self._count else -np.inf
            self._times[self._count], self._arrived = max(self._time_of(sample), last), sample.time
            self._count += 1

    def stats(self) -> dict[str, Any]:
        """`frames` kept and `dropped`, `seconds`, `megabytes` of memory, `full` once no more is kept, `notes`."""
        with self._lock:
            seconds = float(self._times[self._count - 1] - self._times[0]) if self._count else 0.0
            return {
                "frames": self._count,
                "dropped": self._dropped,
                "seconds": seconds,
                "megabytes": (self._rows.nbytes + self._times.nbytes) / 1e6,
                "full": self._full,
                "notes": self._notes,
            }

    def motion(self) -> Motion:
        """What has been recorded so far, its first frame at 0; frames without a face hold the last one seen.

        Raises:
            HeadsplatError: no sample with a face.
        """
        with self._lock:
            count, names = self._count, self._names
            rows, times = self._rows[:count].copy(), self._times[:count].copy()
        seen = rows[:, -1] > 0 if count else np.zeros(0, bool)
        if not seen.any():
            raise HeadsplatError(
                f"{self._where()}: no face was seen, so nothing is recorded; check the input and try again"
            )
        held = np.maximum.accumulate(np.where(seen, np.arange(count), int(np.argmax(seen))))
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
        """Write every file; returns what a format cannot carry, a sentence each.

        Raises:
            HeadsplatError: nothing was recorded, or the disk refuses.
        """
        motion, notes, failures = self.motion(), [], []
        for path in self.paths:
            try:
                notes += [f"{path.name}: {note}" for note in write_motion(path, motion)]
            except HeadsplatError as failure:
                failures.append(failure)  # a full disk under one file need not cost the other
        self._notes = tuple(notes)
        if failures:
            raise failures[0]
        return self._notes

    def _where(self) -> str:
        return str(self.paths[0]) if self.paths else "recording"

    def _begin(self, sample: Sample) -> None:
        unfit = [path for path in self.paths if not str(path).lower().endswith(STORED)]
        if sample.space != ARKIT and unfit:
            raise HeadsplatError(
                f"{unfit[0]}: takes ARKit's weights only, the input's are of {sample.space}; record to {STORED}"
            )
        self._names, self._space = sample.names, sample.space

    def _columns(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Columns of ours, and which weights of a sample with these names go there."""
        if names not in self._places:
            taken = [place for place, name in enumerate(names) if name in self._names]
            self._places[names] = [self._names.index(names[place]) for place in taken], taken
        return self._places[names]

    def _time_of(self, sample: Sample) -> float:
        """Seconds: the source's own clock, set to ours, since packets come unevenly.

        Ours where it has none, or one that went astray twice: it may be set once, or another sender take over, but some
        count frames at a rate that is not theirs.
        """
        if sample.source_time is None or self._astray > 1:
            return sample.time
        if self._offset is None or abs(sample.source_time + self._offset - sample.time) > _TRUST:
            self._astray += self._offset is not None
            self._offset = sample.time - sample.source_time
        return sample.source_time + self._offset

    def _has_room(self) -> bool:
        """Make room for a sample more, twice what there was, unless that is too much."""
        if self._count < len(self._times):
            return True
        width, rows = len(self._names) + _POSE + 1, max(2 * len(self._times), _FIRST_ROWS)
        self._full = 4 * rows * width > _MOST_BYTES
        if not self._full:
            grown = np.zeros((rows, width), np.float32)
            grown[: self._count] = self._rows.reshape(-1, width)
            self._rows, self._times = grown, np.concatenate([self._times, np.zeros(rows - len(self._times))])
        return not self._full


def _is_finite(sample: Sample) -> bool:
    return all(bool(np.isfinite(part).all()) for part in (sample.weights, sample.joint_rot, sample.translation))

"""First pass over the video: the landmarks of the training frames, and who in the picture they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.landmarks import Roi
from capture.options import FaceModels, Progress
from capture.tracker.indices import inter_ocular
from capture.workers import PerThread, Pool, ahead
from capture.workspace import Workspace

#: Least presence of a face for its landmarks to count.
PRESENT = 0.5
#: Every so many training frames the whole picture is searched for other people.
_SURVEY_STEP = 10
_SAVE_STEP = 200
PARTIAL = "landmarks.npz"


@dataclass
class LandmarkTable:
    """Landmarks of frames in the order they were found; a row per frame that shows the face, source pixels."""

    number: list[int] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    points: list[np.ndarray] = field(default_factory=list)  # [478,3] float32
    spread: list[np.ndarray] = field(default_factory=list)  # [478] float32
    presence: list[float] = field(default_factory=list)
    segment: list[int] = field(default_factory=list)  # counts up whenever the face was lost in between
    roi: list[np.ndarray] = field(default_factory=list)  # [4] centre, size, angle: where the next frame starts
    survey: list[np.ndarray] = field(default_factory=list)  # rows of frame number, main face's height, other's height
    seen: int = 0  # frames looked at, with or without a face

    def __len__(self) -> int:
        return len(self.number)

    def arrays(self) -> dict[str, np.ndarray]:
        """The table as arrays for a file."""
        return {
            "number": np.array(self.number, dtype=np.int64),
            "time": np.array(self.time, dtype=np.float64),
            "points": np.array(self.points, dtype=np.float32).reshape(-1, 478, 3),
            "spread": np.array(self.spread, dtype=np.float32).reshape(-1, 478),
            "presence": np.array(self.presence, dtype=np.float64),
            "segment": np.array(self.segment, dtype=np.int64),
            "roi": np.array(self.roi, dtype=np.float64).reshape(-1, 4),
            "survey": np.array(self.survey, dtype=np.float64).reshape(-1, 3),
            "seen": np.array(self.seen),
        }

    @staticmethod
    def from_arrays(stored: dict[str, np.ndarray]) -> LandmarkTable:
        """The inverse of `arrays`."""
        table = LandmarkTable(**{name: list(stored[name]) for name in stored if name != "seen"})
        table.seen = int(stored["seen"])
        return table

    def keep(self, rows: np.ndarray) -> LandmarkTable:
        """The rows `rows` [n] int; the survey stays whole."""
        names = ("number", "time", "points", "spread", "presence", "segment", "roi")
        picked = {name: [getattr(self, name)[row] for row in rows] for name in names}
        return LandmarkTable(**picked, survey=self.survey, seen=self.seen)


class FaceFollower:
    """Finds the same face from frame to frame; averaging over jittered regions runs on worker threads."""

    def __init__(self, models: FaceModels, passes: int, seed: int) -> None:
        self._detector = models.detector()
        self._tracker = PerThread(models.landmarks)
        self._passes, self._seed = passes, seed

    def follow(self, rgb: np.ndarray, previous: np.ndarray | None, last_box: np.ndarray | None) -> Any | None:
        """Landmarks of one frame, or None where there is no face.

        Args:
            rgb: [H,W,3] uint8.
            previous: region [4] the frame before leaves, if it showed the face.
            last_box: region [4] where the face was last seen, to choose among several.
        """
        if previous is not None:
            found = self._tracker.get().locate(rgb, _roi(previous))
            if found.presence >= PRESENT:
                return found
        for detection in self._ordered(rgb, last_box):
            found = self._tracker.get().locate(rgb, Roi.from_detection(detection))
            found = self._tracker.get().locate(rgb, Roi.from_landmarks(found.points))
            if found.presence >= PRESENT:
                return found
        return None

    def average(self, rgb: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Averaged points [478,3], spread [478] and presence; every frame gets the same jitter: tracks stay still."""
        rng = np.random.default_rng(self._seed)
        return self._tracker.get().locate_averaged(rgb, Roi.from_landmarks(points), self._passes, rng)

    def other_heights(self, rgb: np.ndarray, points: np.ndarray) -> tuple[float, float]:
        """Heights of the followed face's detection (0 if not detected) and of the largest other one (0 if none)."""
        center = points[:468, :2].mean(0)
        main = other = 0.0
        for detection in self._detector.detect(rgb, thorough=False):
            x0, y0, x1, y1 = detection.box
            if x0 <= center[0] <= x1 and y0 <= center[1] <= y1:
                main = max(main, detection.height)
            else:
                other = max(other, detection.height)
        return main, other

    def _ordered(self, rgb: np.ndarray, last_box: np.ndarray | None) -> list[Any]:
        found = self._detector.detect(rgb)
        if last_box is None:
            return found
        return sorted(found, key=lambda face: float(np.linalg.norm(_center(face) - last_box[:2])))


def find_training_landmarks(
    frames: Iterable[Any],
    wanted: np.ndarray,
    follower: FaceFollower,
    workspace: Workspace,
    progress: Progress | None,
) -> LandmarkTable:
    """Landmarks of the training frames `wanted` [n] (source numbers), continued where an earlier run stopped.

    Args:
        frames: the source's SourceFrames.
        wanted: training frames only; nothing else is looked at.
        follower: finds the face.
        workspace: keeps what is done so far.
        progress: told after every frame.
    """
    stored = workspace.load_partial(PARTIAL)
    table = LandmarkTable.from_arrays(stored) if stored else LandmarkTable()
    if table.seen >= len(wanted):
        return table
    order = {int(number): position for position, number in enumerate(wanted)}
    waiting: list[tuple[int, Future[tuple[np.ndarray, np.ndarray, float]]]] = []

    def save() -> None:
        for row, future in waiting:
            table.points[row], table.spread[row], table.presence[row] = future.result()
        waiting.clear()
        workspace.save_partial(PARTIAL, table.arrays())

    last = table.roi[-1] if table.roi else None
    lost = bool(stored) and bool(stored["seen"]) and not _shows(table, int(wanted[table.seen - 1]))
    with Pool() as pool:
        for frame in ahead(frame for frame in frames if order.get(frame.number, -1) >= table.seen):
            found = follower.follow(frame.rgb, None if lost else last, last)
            lost = found is None
            if found is not None:
                table_row(table, frame, found, last)
                waiting.append((len(table) - 1, pool.submit(follower.average, frame.rgb, found.points)))
                last = table.roi[-1]
                if order[frame.number] % _SURVEY_STEP == 0:
                    table.survey.append(np.array([frame.number, *follower.other_heights(frame.rgb, found.points)]))
            table.seen = order[frame.number] + 1
            if progress:
                progress("landmarks", table.seen, len(wanted))
            if table.seen % _SAVE_STEP == 0:
                save()
            if table.seen == len(wanted):
                break
        table.seen = len(wanted)
        save()
    return table


def table_row(table: LandmarkTable, frame: Any, found: Any, last: np.ndarray | None) -> None:
    """Append `frame` with the landmarks `found`; a face far from the `last` region [4] begins a new segment."""
    region = Roi.from_landmarks(found.points)
    row = np.array([*region.center, region.size, region.angle])
    near = last is not None and np.linalg.norm(row[:2] - last[:2]) < 0.6 * max(row[2], last[2])
    segment = (table.segment[-1] + (not near)) if table.segment else 0
    table.number.append(frame.number)
    table.time.append(frame.time)
    table.points.append(found.points)
    table.spread.append(np.zeros(len(found.points), np.float32))
    table.presence.append(found.presence)
    table.segment.append(int(segment))
    table.roi.append(row)


def choose_person(table: LandmarkTable, name: str, asked: int) -> tuple[LandmarkTable, list[str]]:
    """Keep the largest consistent face; raises HeadsplatError where the clip cannot be used.

    Args:
        table: landmarks of training frames.
        name: of the video, for messages.
        asked: training frames that were looked at.

    Returns:
        The rows of that face, and warnings.
    """
    if not len(table):
        raise HeadsplatError(f"{name}: no face found in any frame; film one face from the front, well lit and upright")
    warnings = _check_others(table, name)
    segments = np.array(table.segment)
    height = np.array([np.ptp(points[:468, 1]) for points in table.points])
    weight = np.bincount(segments, weights=height)
    main = int(np.argmax(weight))
    typical = np.median(height[segments == main])
    rows = np.flatnonzero(
        (segments == main) | (np.abs(np.log(height / typical)) < np.log(1.6) if not warnings else False)
    )
    if len(rows) < len(table):
        warnings.append(f"{name}: {len(table) - len(rows)} frames show another face than the largest one; left out")
    kept = table.keep(rows)
    if asked - len(kept) > 0.02 * asked:
        warnings.append(f"{name}: the face is missing in {asked - len(kept)} of {asked} training frames; left out")
    distance = float(np.median(inter_ocular(np.stack(kept.points))))
    if distance < 24:
        raise HeadsplatError(
            f"{name}: the face is too small ({distance:.0f} pixels between the eyes' outer corners, at least 24 are "
            "needed); film closer or at a higher resolution"
        )
    if len(kept) < 16:
        raise HeadsplatError(
            f"{name}: only {len(kept)} training frames show the face, at least 16 are needed; give a longer clip"
        )
    return kept, warnings


def _check_others(table: LandmarkTable, name: str) -> list[str]:
    survey = np.array([row for row in table.survey if row[1] > 0]).reshape(-1, 3)
    if not len(survey):
        return []
    ratio = survey[:, 2] / survey[:, 1]
    if np.mean(ratio > 0.6) > 0.5:
        raise HeadsplatError(
            f"{name}: several people of similar size are in the picture for most of the clip; "
            "crop or trim the video to one"
        )
    if np.mean(ratio > 0.3) > 0.1:
        return [
            f"{name}: other faces are in the picture in {np.mean(ratio > 0.3):.0%} of the clip; the largest was taken"
        ]
    return []


def _shows(table: LandmarkTable, number: int) -> bool:
    return bool(table.number) and table.number[-1] == number


def _roi(row: np.ndarray) -> Roi:
    return Roi((float(row[0]), float(row[1])), float(row[2]), float(row[3]))


def _center(detection: Any) -> np.ndarray:
    return np.array([detection.box[0] + detection.box[2], detection.box[1] + detection.box[3]]) / 2

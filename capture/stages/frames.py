"""Second pass over the video: stored frames and mattes of all frames, and the landmarks of held-out ones.

Held-out frames start from the results of the training frames and do not influence them. In particular a training
frame's matte is smoothed in time with neighboring training frames only, and its window follows training frames only.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from avatar.data.capture_folder import FRAMES_DIR, MATTES_DIR, frame_name
from capture.faces.people import People
from capture.matting.user_matte import MatteFolder, MatteVideo
from capture.options import FaceModels, Progress
from capture.quality.frame_statistics import ClipStatistics, FrameStatistics, measure_frame
from capture.stages.images import SmallImages
from capture.stages.landmarks import FaceFollower, LandmarkTable
from capture.stages.workers import PerThread, Pool, ahead
from capture.video.crop import Crop, MovingWindow
from capture.video.decoding import wanted_frames
from capture.video.split import FramePlan
from capture.workspace import Workspace

if TYPE_CHECKING:
    from avatar.data.kept_images import KeptImages

PARTIAL = "held_out.npz"
STATISTICS = "statistics.npz"
_SAVE_STEP = 200
#: Frames that are read again when a run is continued.
_REREAD = 12
#: Number of frames nearest in time that define the person's appearance.
_REMEMBERED = 15
#: Frames farther apart than this (seconds) are not used to smooth the matte.
_NEIGHBOR_SECONDS = 0.15


@dataclass
class _Row:
    """One frame on its way through the stage."""

    number: int
    time: float
    rgb: np.ndarray  # stored
    points: np.ndarray  # [478,3] stored pixels
    crop: Crop
    is_test: bool
    raw: Future[np.ndarray]
    written: bool = False


class ImageStage:
    """Writes frames and mattes in the plan's order; at most a handful of frames are in memory."""

    def __init__(
        self,
        plan: FramePlan,
        training: LandmarkTable,
        window: MovingWindow,
        follower: FaceFollower,
        models: FaceModels,
        workspace: Workspace,
        mattes: MatteFolder | MatteVideo | None,
        turn: int = 0,
        kept: KeptImages | None = None,
    ) -> None:
        """
        Args:
            plan: all frames.
            training: landmarks of the training frames that count, source pixels.
            window: what is stored of a frame; its training frames are the rows of `training`.
            follower: finds the face in held-out frames.
            models: for mattes.
            workspace: where everything goes.
            mattes: mattes of the user, used instead of the network's.
            turn: degrees counter-clockwise by which the frames of the file were turned; the user's mattes are not yet.
            kept: where training images are kept in memory, too.
        """
        self._plan = plan
        self._window = window
        self._follower = follower
        self._workspace = workspace
        self._matting = PerThread(models.matting)
        self._mattes = mattes
        self._turn = turn
        self._kept = kept
        if kept is not None:
            kept.expect(training.number, window.stored_size)
        self._training = {number: row for row, number in enumerate(training.number)}
        self._table = training
        self.held_out = LandmarkTable()
        self.statistics: dict[int, FrameStatistics] = {}  # by frame number
        self.crops: dict[int, Crop] = {}  # by frame number
        self.small = SmallImages(workspace.root, window.stored_size)
        self._pending: list[_Row] = []
        self._first_new = 0
        self._waiting: list[tuple[int, Future[Any]]] = []

    def run(self, video: Any, progress: Progress | None) -> LandmarkTable:
        """Go through the frames of `video`; returns the landmarks of held-out frames in source pixels."""
        numbers = self._plan.numbers
        done = self._resume()
        if done == len(numbers):
            return self.held_out
        order = {int(number): row for row, number in enumerate(numbers)}
        self._first_new = int(numbers[done])
        with Pool() as pool:
            for frame in ahead(wanted_frames(video, numbers[max(done - _REREAD, 0) :])):
                row = order[frame.number]
                self._take(pool, frame, bool(self._plan.is_test[row]))
                self._write_ready(pool, frame.time)
                if progress:
                    progress("mattes", row + 1, len(numbers))
                if row >= done and (row + 1) % _SAVE_STEP == 0:
                    self._save(
                        pool, min([row + 1, *(order[item.number] for item in self._pending if not item.written)])
                    )
            self._write_ready(pool, np.inf)
            self._save(pool, len(numbers))
        return self.held_out

    def _resume(self) -> int:
        """Load what an earlier run did; returns the row of the plan from which on images are missing."""
        stored = self._workspace.load_partial(PARTIAL)
        statistics = self._workspace.load_partial(STATISTICS)
        if not stored or not statistics:
            return 0
        numbers = statistics.pop("number")
        corners = statistics.pop("corner").tolist()
        window = self._window
        self.crops = {
            number: Crop(x, y, *window.size, window.scale)
            for number, (x, y) in zip(numbers.tolist(), corners, strict=True)
        }
        self.statistics = dict(zip(numbers.tolist(), ClipStatistics(**statistics).frames(), strict=True))
        table = LandmarkTable.from_arrays(stored)
        done = table.seen
        if done < len(self._plan):
            # The frames just before are followed again: their mattes are neighbors of the first missing ones.
            table = table.keep(np.flatnonzero(np.array(table.number) < self._plan.numbers[max(done - _REREAD, 0)]))
        self.held_out = table
        return done

    def _take(self, pool: Pool, frame: Any, is_test: bool) -> None:
        """Find the frame's landmarks and start its rough matte; frames without the face are left out."""
        if is_test:
            points = self._follow(pool, frame)
            crop = None if points is None else self._window.crop_of(frame.time, points)
        else:
            row = self._training.get(frame.number)
            points = None if row is None else self._table.points[row]
            crop = None if row is None else self._window.crop_at(row)
        if points is None or crop is None:
            return
        self.crops[frame.number] = crop
        rgb = crop.apply(frame.rgb)
        points = crop.points(points)
        write = (self._workspace.write_image, FRAMES_DIR, frame_name(frame.number), rgb)
        if self._mattes is not None:
            pool.submit(*write)
            if frame.number >= self._first_new:
                matte = self._user_matte(frame, crop)
                pool.submit(self._store_matte, frame.number, rgb, matte)
                pool.submit(self._measure, frame.number, rgb, points, matte.astype(np.float32) / 255)
            return
        # First what the mattes of neighbors wait for.
        raw = pool.submit(self._raw, frame.number, rgb, points)
        pool.submit(*write)
        self._pending.append(_Row(frame.number, frame.time, rgb, points, crop, is_test, raw))

    def _user_matte(self, frame: Any, crop: Crop) -> np.ndarray:
        assert self._mattes is not None
        height, width = frame.rgb.shape[:2]
        matte = self._mattes.matte(frame.number, (height, width) if self._turn % 180 else (width, height))
        return crop.apply(np.rot90(matte, self._turn // 90))

    def _raw(self, number: int, rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
        face = points[:468, :2]
        raw = self._matting.get().raw(rgb, np.concatenate([face.min(0), face.max(0)]))
        self._measure(number, rgb, points, raw)
        return raw

    def _measure(self, number: int, rgb: np.ndarray, points: np.ndarray, matte: np.ndarray) -> None:
        self.statistics[number] = measure_frame(rgb, points, matte)

    def _follow(self, pool: Pool, frame: Any) -> np.ndarray | None:
        """Landmarks of a held-out frame, from the frames nearest in time that show the face."""
        near = [
            (abs(time - frame.time), table, row)
            for table in (self._table, self.held_out)
            for row, time in enumerate(table.time)
        ]
        near = sorted(near, key=lambda entry: entry[0])[:_REMEMBERED][::-1]
        people = People((0, table.roi[row], table.signature[row]) for _, table, row in near)
        seen = self._follower.find_again(frame.rgb, people)
        if seen is None:
            return None
        self.held_out.add(frame, seen)
        job = pool.submit(self._follower.average, frame.rgb, seen.landmarks.points)
        self._waiting.append((len(self.held_out) - 1, job))
        return seen.landmarks.points

    def _write_ready(self, pool: Pool, now: float) -> None:
        """Refine mattes whose following neighbors are known at time `now`; release frames that are no longer needed."""
        for position, row in enumerate(self._pending):
            after = self._neighbor(self._pending[position + 1 :], row)
            if row.written or (after is None and now - row.time <= _NEIGHBOR_SECONDS):
                continue
            before = self._neighbor(self._pending[:position][::-1], row)
            if row.number >= self._first_new:
                pool.submit(self._refine, row, [before or row, row, after or row])
            row.written = True
        self._pending = [row for row in self._pending if not row.written or now - row.time <= _NEIGHBOR_SECONDS]

    @staticmethod
    def _neighbor(rows: list[_Row], row: _Row) -> _Row | None:
        """The next of `rows` near in time that may influence `row`: training frames depend on training frames only."""
        for candidate in rows:
            if abs(candidate.time - row.time) > _NEIGHBOR_SECONDS:
                return None
            if row.is_test or not candidate.is_test:
                return candidate
        return None

    def _refine(self, row: _Row, window: list[_Row]) -> None:
        from capture.matting.network import refine, smooth_in_time

        matte = refine(row.rgb, smooth_in_time([_raw_in(each, row.crop) for each in window]), row.points)
        self._store_matte(row.number, row.rgb, matte)

    def _store_matte(self, number: int, rgb: np.ndarray, matte: np.ndarray) -> None:
        self._workspace.write_image(MATTES_DIR, frame_name(number), matte)
        self.small.add(number, rgb, matte)
        if self._kept is not None:
            self._kept.add(number, rgb, matte)

    def _save(self, pool: Pool, seen: int) -> None:
        pool.drain()
        for row, future in self._waiting:
            points, spread, presence = future.result()
            self.held_out.points[row] = points
            self.held_out.spread[row] = spread
            self.held_out.presence[row] = presence
        self._waiting.clear()
        self.held_out.seen = seen
        numbers = sorted(self.statistics)
        arrays = vars(ClipStatistics.of([self.statistics[number] for number in numbers]))
        corners = np.array([(self.crops[number].x, self.crops[number].y) for number in numbers], np.int64)
        windows = {"number": np.array(numbers, np.int64), "corner": corners.reshape(-1, 2)}
        self._workspace.save_partial(STATISTICS, {**windows, **arrays})
        self._workspace.save_partial(PARTIAL, self.held_out.arrays())


def _raw_in(row: _Row, crop: Crop) -> np.ndarray:
    """The rough matte [h,w] of a row, moved to where its pixels are in the stored image of another `crop`."""
    raw = row.raw.result()
    if (row.crop.x, row.crop.y) == (crop.x, crop.y):
        return raw
    height, width = raw.shape
    shift = (np.array([row.crop.x, row.crop.y]) - [crop.x, crop.y]) * [width / crop.width, height / crop.height]
    matrix = np.column_stack([np.eye(2), shift])
    return cv2.warpAffine(raw, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

"""First pass over the video: the landmarks of the training frames, and the person they belong to."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.faces.face_pose import eyes_above_mouth
from capture.faces.landmarks import Roi
from capture.faces.people import SIGNATURE, People, signature
from capture.options import FaceModels, Progress
from capture.stages.workers import PerThread, Pool, ahead
from capture.tracker.indices import inter_ocular
from capture.video.decoding import wanted_frames
from capture.video.split import MIN_TRAINING
from capture.workspace import Workspace

#: Minimum presence score of a face for its landmarks to be used.
PRESENT = 0.5
#: Every so many training frames the whole image is searched for other people.
_SURVEY_STEP = 10
_SEED = 0  # of the jitter of landmark passes
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
    person: list[int] = field(default_factory=list)  # whose face, numbered as they appear
    signature: list[np.ndarray] = field(default_factory=list)  # capture.faces.people.SIGNATURE, how the face looks
    roi: list[np.ndarray] = field(default_factory=list)  # [4] center, size, angle: where the next frame starts
    survey: list[np.ndarray] = field(default_factory=list)  # rows of frame number, main face's height, other's height
    seen: int = 0  # frames processed, with or without a face

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
            "person": np.array(self.person, dtype=np.int64),
            "signature": np.array(self.signature, dtype=np.float32).reshape(-1, *SIGNATURE),
            "roi": np.array(self.roi, dtype=np.float64).reshape(-1, 4),
            "survey": np.array(self.survey, dtype=np.float64).reshape(-1, 3),
            "seen": np.array(self.seen),
        }

    def add(self, frame: Any, seen: Sighting) -> None:
        """Append what was seen in `frame`."""
        self.number.append(frame.number)
        self.time.append(frame.time)
        self.points.append(seen.landmarks.points)
        self.spread.append(np.zeros(len(seen.landmarks.points), np.float32))
        self.presence.append(seen.landmarks.presence)
        self.person.append(seen.person)
        self.signature.append(seen.appearance)
        self.roi.append(seen.roi)

    @staticmethod
    def from_arrays(stored: dict[str, np.ndarray]) -> LandmarkTable:
        """The inverse of `arrays`."""
        columns: dict[str, Any] = {name: list(stored[name]) for name in stored if name != "seen"}
        table = LandmarkTable(**columns)
        table.seen = int(stored["seen"])
        return table

    def keep(self, rows: np.ndarray) -> LandmarkTable:
        """The rows `rows` [n] int; the survey stays whole."""
        names = ("number", "time", "points", "spread", "presence", "person", "signature", "roi")
        picked = {name: [getattr(self, name)[row] for row in rows] for name in names}
        return LandmarkTable(**picked, survey=self.survey, seen=self.seen)


@dataclass(frozen=True)
class Sighting:
    """A face in a frame."""

    landmarks: Any  # Landmarks
    roi: np.ndarray  # [4] center, size, angle
    appearance: np.ndarray  # signature
    person: int

    @staticmethod
    def of(rgb: np.ndarray, landmarks: Any, people: People, followed: bool) -> Sighting:
        """The landmarks of a frame, and whose they are.

        Args:
            rgb: [H,W,3] uint8.
            landmarks: Landmarks of a face in it.
            people: known so far; the sighting is not added.
            followed: whether the search began where the frame before showed the face.
        """
        region = Roi.from_landmarks(landmarks.points)
        roi = np.array([*region.center, region.size, region.angle])
        appearance = signature(rgb, landmarks.points)
        return Sighting(landmarks, roi, appearance, people.recognize(roi, appearance, followed))


class FaceFollower:
    """Finds the same face from frame to frame; averaging over jittered regions runs on worker threads."""

    def __init__(self, models: FaceModels, passes: int, *, thorough: bool = True) -> None:
        """
        Args:
            models: makers of the networks.
            passes: jittered passes of `average`.
            thorough: search an image without a face tile by tile (0.2 s), for faces that are small in it.
        """
        self._detector = models.detector()
        self._thorough = thorough
        self._tracker = PerThread(models.landmarks)
        self._passes = passes

    def follow(self, rgb: np.ndarray, previous: np.ndarray | None, last_box: np.ndarray | None) -> Any | None:
        """Landmarks of one frame, or None where there is no face.

        Args:
            rgb: [H,W,3] uint8.
            previous: region [4] the frame before leaves, if it showed the face.
            last_box: region [4] where the face was last seen, to choose among several.
        """
        if previous is not None:
            landmarks = self._tracker.get().locate(rgb, _roi(previous))
            if landmarks.presence >= PRESENT:
                return landmarks
        for detection in self._detect_nearest_first(rgb, last_box):
            landmarks = self._at(rgb, detection)
            if landmarks is not None:
                return landmarks
        return None

    def find(self, rgb: np.ndarray, people: People, lost: bool) -> Sighting | None:
        """The clip's main person in one frame, or else the person followed; None if there is no face.

        Args:
            rgb: [H,W,3] uint8.
            people: known so far; the sighting is not added.
            lost: the frame before showed no face.
        """
        main = people.main
        if main is None:
            landmarks = self.follow(rgb, None, None)
            return None if landmarks is None else Sighting.of(rgb, landmarks, people, False)
        start = people.where(people.last)
        landmarks = self.follow(rgb, None if lost else start, people.where(main))
        seen = None if landmarks is None else Sighting.of(rgb, landmarks, people, not lost)
        if seen is None or seen.person == main:
            return seen
        return self._main_person(rgb, people, main) or seen

    def find_again(self, rgb: np.ndarray, people: People) -> Sighting | None:
        """The only known person in another frame; None if other people, or none, are visible."""
        start = people.where(0)
        landmarks = self.follow(rgb, start, start)
        if landmarks is None:
            return None
        seen = Sighting.of(rgb, landmarks, people, True)
        return seen if seen.person == 0 else self._main_person(rgb, people, 0)

    def _main_person(self, rgb: np.ndarray, people: People, main: int) -> Sighting | None:
        """The face whose appearance matches person `main`, nearest to their last position."""
        for detection in self._detect_nearest_first(rgb, people.where(main)):
            landmarks = self._at(rgb, detection)
            if landmarks is not None:
                seen = Sighting.of(rgb, landmarks, people, False)
                if people.resembles(main, seen.appearance):
                    return replace(seen, person=main)
        return None

    def _at(self, rgb: np.ndarray, detection: Any) -> Any | None:
        landmarks = self._tracker.get().locate(rgb, Roi.from_detection(detection))
        landmarks = self._tracker.get().locate(rgb, Roi.from_landmarks(landmarks.points))
        return landmarks if landmarks.presence >= PRESENT else None

    def upright_score(self, rgb: np.ndarray, thorough: bool) -> float:
        """Score 0..1 of the detector for the largest upright face with landmarks in an image; 0 where there is none.

        Args:
            rgb: [H,W,3] uint8.
            thorough: search tile by tile where the whole image shows no face.
        """
        for detection in self._detector.detect(rgb, thorough=thorough):
            landmarks = self._at(rgb, detection)
            if landmarks is not None and eyes_above_mouth(landmarks.points[None])[0]:
                return float(detection.score)
        return 0.0

    def average(self, rgb: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Averaged points [478,3], spread [478] and presence; the jitter is the same in every frame."""
        rng = np.random.default_rng(_SEED)
        return self._tracker.get().locate_averaged(rgb, Roi.from_landmarks(points), self._passes, rng)

    def other_heights(self, rgb: np.ndarray, points: np.ndarray) -> tuple[float, float]:
        """Heights of the followed face's detection (0 if not detected) and of the largest other one (0 if none)."""
        center = points[:468, :2].mean(0)
        followed = largest_other = 0.0
        for detection in self._detector.detect(rgb, thorough=False):
            x0, y0, x1, y1 = detection.box
            if x0 <= center[0] <= x1 and y0 <= center[1] <= y1:
                followed = max(followed, detection.height)
            else:
                largest_other = max(largest_other, detection.height)
        return followed, largest_other

    def _detect_nearest_first(self, rgb: np.ndarray, last_box: np.ndarray | None) -> list[Any]:
        detections = self._detector.detect(rgb, thorough=self._thorough)
        if last_box is None:
            return detections
        return sorted(detections, key=lambda face: float(np.linalg.norm(_center(face) - last_box[:2])))


def find_training_landmarks(
    video: Any,
    wanted: np.ndarray,
    follower: FaceFollower,
    workspace: Workspace,
    progress: Progress | None,
) -> LandmarkTable:
    """Landmarks of the training frames `wanted` [n] (source numbers), continued where an earlier run stopped.

    Args:
        video: a VideoSource, or an iterable of SourceFrames that starts anew each time.
        wanted: training frames only; no other frame is processed.
        follower: finds the face.
        workspace: keeps what is done so far.
        progress: called after every frame.
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

    people = known_people(table)
    lost = bool(stored and stored["seen"]) and not _shows(table, int(wanted[table.seen - 1]))
    with Pool() as pool:
        for frame in ahead(wanted_frames(video, wanted[table.seen :])):
            seen = follower.find(frame.rgb, people, lost)
            lost = seen is None
            if seen is not None:
                people.see(seen.person, seen.roi, seen.appearance)
                table.add(frame, seen)
                waiting.append((len(table) - 1, pool.submit(follower.average, frame.rgb, seen.landmarks.points)))
                if order[frame.number] % _SURVEY_STEP == 0:
                    heights = follower.other_heights(frame.rgb, seen.landmarks.points)
                    table.survey.append(np.array([frame.number, *heights]))
            table.seen = order[frame.number] + 1
            if progress:
                progress("landmarks", table.seen, len(wanted))
            if table.seen % _SAVE_STEP == 0:
                save()
        table.seen = len(wanted)
        save()
    return table


def known_people(table: LandmarkTable) -> People:
    """The people in the rows of a table."""
    return People(zip(table.person, table.roi, table.signature, strict=True))


def choose_person(
    table: LandmarkTable, name: str, asked: int, least: int = MIN_TRAINING
) -> tuple[LandmarkTable, list[str]]:
    """Keep the largest consistent face; raises HeadsplatError where the clip cannot be used.

    Args:
        table: landmarks of training frames.
        name: of the video, for messages.
        asked: number of training frames that were processed.
        least: frames with the face that are needed.

    Returns:
        The rows of that face, and warnings.
    """
    if not len(table):
        raise HeadsplatError(f"{name}: no face found in any frame; film one face from the front, well lit and upright")
    warnings = _check_others(table, name)
    height = np.array([np.ptp(points[:468, 1]) for points in table.points])
    main = int(np.argmax(np.bincount(table.person, weights=height)))
    rows = np.flatnonzero(np.array(table.person) == main)
    if others := len(table) - len(rows):
        warnings.append(
            f"{name}: {others} frames show another person than the one seen largest and longest, or the same one "
            "with a mask or glasses on; left out"
        )
    upright = eyes_above_mouth(np.stack([table.points[row] for row in rows]))
    if not upright.all():
        warnings.append(f"{name}: the eyes are not above the mouth in {np.count_nonzero(~upright)} frames; left out")
    chosen = table.keep(rows[upright])
    if not len(chosen):
        raise HeadsplatError(f"{name}: the face is not upright in any frame; film with the phone upright")
    chosen.person = [0] * len(chosen)
    if asked - len(table) > 0.02 * asked:
        warnings.append(f"{name}: the face is missing in {asked - len(table)} of {asked} training frames; left out")
    distance = float(np.median(inter_ocular(np.stack(chosen.points))))
    if distance < 24:
        raise HeadsplatError(
            f"{name}: the face is too small ({distance:.0f} pixels between the eyes' outer corners, at least 24 are "
            "needed); film closer or at a higher resolution"
        )
    if len(chosen) < least:
        raise HeadsplatError(
            f"{name}: only {len(chosen)} training frames show the face, at least {least} are needed; give a longer clip"
        )
    return chosen, warnings


def _check_others(table: LandmarkTable, name: str) -> list[str]:
    survey = np.array([row for row in table.survey if row[1] > 0]).reshape(-1, 3)
    if not len(survey):
        return []
    ratio = survey[:, 2] / survey[:, 1]
    if np.mean(ratio > 0.6) > 0.5:
        raise HeadsplatError(
            f"{name}: several people of similar size are in the image for most of the clip; crop or trim it to one"
        )
    if np.mean(ratio > 0.3) > 0.1:
        return [
            f"{name}: other faces are in the image in {np.mean(ratio > 0.3):.0%} of the clip; the largest was taken"
        ]
    return []


def _shows(table: LandmarkTable, number: int) -> bool:
    return bool(table.number) and table.number[-1] == number


def _roi(row: np.ndarray) -> Roi:
    return Roi((float(row[0]), float(row[1])), float(row[2]), float(row[3]))


def _center(detection: Any) -> np.ndarray:
    return np.array([detection.box[0] + detection.box[2], detection.box[1] + detection.box[3]]) / 2

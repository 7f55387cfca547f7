"""Selection of frames of a long video: a fast pass over some of them, then those that show something new.

Only training frames are examined. The selection consists of short runs of consecutive frames, because tracks and mattes
are smoothed in time.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from capture.faces.face_pose import face_features
from capture.faces.people import SIGNATURE, People
from capture.options import Progress
from capture.quality.frame_statistics import sharpness
from capture.stages.landmarks import FaceFollower
from capture.stages.workers import ahead
from capture.video.decoding import wanted_frames
from capture.workspace import Workspace

PARTIAL = "overview.npz"
#: Maximum number of frames examined, and the length of the runs that are selected.
_LOOKED = 1500
_RUN = 8
#: Fraction of the runs that are spread evenly over the clip, so that common poses remain common.
_EVEN = 1 / 3
#: A frame this much less sharp (log) than the clip's median, or with a face less present, is no discovery.
_BLURRED = 0.6
_PRESENT = 0.9
#: Longer side, in pixels, of the images that are examined.
_SIDE = 640
_SAVE_STEP = 200


def choose_frames(
    video: Any,
    candidates: np.ndarray,
    most: int,
    follower: FaceFollower,
    workspace: Workspace,
    progress: Progress | None,
) -> np.ndarray:
    """Numbers [<= most] of the frames to use, out of more `candidates` than that.

    Args:
        video: a VideoSource, or an iterable of SourceFrames that starts anew each time.
        candidates: numbers of training frames, increasing.
        most: how many may be chosen.
        follower: finds the face.
        workspace: stores the results for a later run.
        progress: called after every frame examined, as stage "overview".
    """
    looked = np.arange(0, len(candidates), max(1, -(-len(candidates) // _LOOKED)))
    rows = _look(video, candidates[looked], follower, workspace, progress)
    return candidates[choose_runs(looked[rows["row"]], rows, len(candidates), most)]


def choose_runs(positions: np.ndarray, rows: dict[str, np.ndarray], count: int, most: int) -> np.ndarray:
    """Positions [<= most] of runs of frames out of `count`, increasing.

    Args:
        positions: [n] of the frames that were examined and show a face.
        rows: of those frames: "features" [n,8], "sharpness" [n], "presence" [n], "person" [n], "size" [n].
        count: frames there are.
        most: frames to choose.
    """
    runs = most // _RUN
    even = np.linspace(0, count - _RUN, max(1, round(_EVEN * runs))).round().astype(int)
    taken = np.zeros(count, dtype=bool)
    for start in even:
        taken[start : start + _RUN] = True
    usable = _usable(rows)
    positions = positions[usable]
    features = rows["features"][usable]
    starts = np.clip(positions - _RUN // 2, 0, count - _RUN)
    distance = np.full(len(positions), np.inf)
    for place in np.flatnonzero(taken[positions]):
        distance = np.minimum(distance, np.linalg.norm(features - features[place], axis=1))
    if len(positions) and not np.isfinite(distance).all():
        distance = np.linalg.norm(features - np.median(features, axis=0), axis=1)
    while len(positions) and taken.sum() + _RUN <= most and distance.max() > 0:
        farthest = int(np.argmax(distance))
        taken[starts[farthest] : starts[farthest] + _RUN] = True
        distance = np.minimum(distance, np.linalg.norm(features - features[farthest], axis=1))
    return np.flatnonzero(taken)


def _usable(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Mask [n] of frames that show the main person well."""
    if not len(rows["person"]):
        return np.zeros(0, dtype=bool)
    main = np.argmax(np.bincount(rows["person"], weights=rows["size"]))
    sharp = rows["sharpness"] > np.median(rows["sharpness"]) - _BLURRED
    return (rows["person"] == main) & sharp & (rows["presence"] > _PRESENT)


def _look(
    video: Any, numbers: np.ndarray, follower: FaceFollower, workspace: Workspace, progress: Progress | None
) -> dict[str, np.ndarray]:
    """What the frames `numbers` show: rows of those with a face, as `choose_runs` takes them, and their "row"."""
    stored = workspace.load_partial(PARTIAL)
    rows = {name: list(stored[name]) for name in _COLUMNS} if stored else {name: [] for name in _COLUMNS}
    seen_before = int(stored["seen"]) if stored else 0
    people = People(zip(rows["person"], rows["roi"], rows["appearance"], strict=True))
    lost = seen_before > 0 and (not rows["row"] or rows["row"][-1] != seen_before - 1)

    def save(seen: int) -> None:
        workspace.save_partial(PARTIAL, {**_arrays(rows), "seen": np.array(seen)})

    order = {int(number): row for row, number in enumerate(numbers)}
    for frame in ahead(wanted_frames(video, numbers[seen_before:])):
        row = order[frame.number]
        image = smaller(frame.rgb)
        seen = follower.find(image, people, lost)
        lost = seen is None
        if seen is not None:
            people.see(seen.person, seen.roi, seen.appearance)
            points = seen.landmarks.points
            feature = face_features(points[None])[0]
            values = (row, feature, sharpness(image, points), seen.landmarks.presence, seen.person, seen.roi[2])
            for name, value in zip(_COLUMNS, (*values, seen.roi, seen.appearance), strict=True):
                rows[name].append(value)
        if progress:
            progress("overview", row + 1, len(numbers))
        if (row + 1) % _SAVE_STEP == 0:
            save(row + 1)
    save(len(numbers))
    return _arrays(rows)


_COLUMNS = ("row", "features", "sharpness", "presence", "person", "size", "roi", "appearance")


def _arrays(rows: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    shapes = {"features": (-1, 8), "roi": (-1, 4), "appearance": (-1, *SIGNATURE)}
    whole = ("row", "person")
    return {
        name: np.array(values, dtype=np.int64 if name in whole else np.float64).reshape(shapes.get(name, (-1,)))
        for name, values in rows.items()
    }


def smaller(rgb: np.ndarray) -> np.ndarray:
    """An image [H,W,3] with a longer side of at most _SIDE pixels, for fast passes."""
    scale = _SIDE / max(rgb.shape[:2])
    if scale >= 1:
        return rgb
    return cv2.resize(rgb, (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)), interpolation=cv2.INTER_AREA)

"""Selection of frames of a long video: a fast pass over some of them, then those that show something new.

Only training frames are examined.
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
from capture.video.selection import FrameSelection
from capture.workspace import Workspace

PARTIAL = "overview.npz"
#: Maximum number of frames examined.
_LOOKED = 1500
#: Blur (0..1) by which a frame that is less sharp by 1 (log) counts as more blurred.
_BLUR = 0.2
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
    return candidates[choose_varied(looked[rows["row"]], rows, len(candidates), most)]


def choose_varied(positions: np.ndarray, rows: dict[str, np.ndarray], count: int, most: int) -> np.ndarray:
    """Positions [<= most] of frames out of `count`, increasing: those that differ most, the others spread evenly.

    Args:
        positions: [n] of the frames that were examined and show a face.
        rows: of those frames: "features" [n,8], "sharpness" [n], "presence" [n], "person" [n], "size" [n].
        count: frames there are.
        most: frames to choose.
    """
    usable = np.flatnonzero(_usable(rows))
    selection = FrameSelection(most)
    for row in usable.tolist():
        selection.offer(row, rows["features"][row], -_BLUR * float(rows["sharpness"][row]))
    varied = positions[selection.numbers]
    others = np.setdiff1d(positions[usable] if len(usable) else np.arange(count), varied)
    spread = np.linspace(0, len(others) - 1, min(most - len(varied), len(others))).round().astype(int)
    return np.union1d(varied, others[spread])


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

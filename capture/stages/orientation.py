"""The orientation of the face in a clip: whether frames must be turned, and the yaw of the head for a split by it.

A face that lies on its side or stands on its head is found, so that frames can be turned. The detector finds
upside-down faces too, with a lower score, and the landmark network fits an upright face to them with full presence:
only the comparison with the turned image shows the error.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.faces.face_pose import TURNS, face_angles
from capture.faces.people import People
from capture.options import Progress
from capture.stages.landmarks import FaceFollower
from capture.stages.workers import ahead
from capture.video.decoding import wanted_frames
from capture.video.overview import smaller
from capture.workspace import Workspace

_TURN_FILE = "orientation.npz"  # among the partial results
_YAW_FILE = "yaw.npz"
#: Frames in which the turn is examined at most, among the first so many, until this number of them has shown a face.
_TURN_FRAMES = 24
_FIRST_FRAMES = 600
_ENOUGH_FACES = 4
#: An upright face with this score needs no comparison: upside-down faces reach 0.8, upright ones are rarely below 0.9.
_CERTAIN = 0.9
#: The mean score of a turned image must be better than that of the image itself by this.
_BETTER = 0.1
#: Frames in which the yaw is measured at most; that of those between is interpolated.
_YAW_FRAMES = 1500


def find_turn(video: Any, numbers: np.ndarray, follower: FaceFollower, workspace: Workspace) -> int:
    """Degrees counter-clockwise (one of TURNS) by which the frames must be turned for the face to be upright.

    Args:
        video: a VideoSource, or an iterable of SourceFrames that starts anew each time.
        numbers: training frames, increasing; some of the first are examined.
        follower: finds faces.
        workspace: stores the result for a later run.
    """
    stored = workspace.load_partial(_TURN_FILE)
    if stored is not None and int(stored["turn"]) in TURNS:
        return int(stored["turn"])
    chosen = numbers[np.unique(np.linspace(0, min(len(numbers), _FIRST_FRAMES) - 1, _TURN_FRAMES).round().astype(int))]
    scores = []
    first = None
    for frame in wanted_frames(video, chosen):
        first = frame.rgb if first is None else first
        score = _scores(frame.rgb, follower, thorough=False)
        scores += [score] if any(score) else []
        if len(scores) == _ENOUGH_FACES:
            break
    if not scores and first is not None:
        scores = [_scores(first, follower, thorough=True)]
    mean = np.mean(scores, axis=0) if scores else np.zeros(len(TURNS))
    best = int(np.argmax(mean))
    turn = TURNS[best] if mean[best] > mean[0] + _BETTER else 0
    workspace.save_partial(_TURN_FILE, {"turn": np.array(turn)})
    return turn


def _scores(rgb: np.ndarray, follower: FaceFollower, thorough: bool) -> list[float]:
    """Scores of an upright face in the image turned by each of TURNS."""
    scores = [follower.upright_score(rgb, thorough)]
    for quarters in range(1, len(TURNS)):
        certain = scores[0] >= _CERTAIN
        turned = None if certain else np.ascontiguousarray(np.rot90(rgb, quarters))
        scores.append(0.0 if turned is None else follower.upright_score(turned, thorough))
    return scores


def find_yaw(
    video: Any,
    numbers: np.ndarray,
    follower: FaceFollower,
    workspace: Workspace,
    progress: Progress | None,
    name: str,
) -> np.ndarray:
    """Yaw [n] in radians, to the right of the image, of the main person in the frames `numbers` [n].

    One pass of the landmarks on small images; frames without the face get the yaw between their neighbors.

    Args:
        video: a VideoSource, or an iterable of SourceFrames that starts anew each time.
        numbers: source frame numbers, increasing.
        follower: finds the face.
        workspace: stores the result for a later run.
        progress: called after every frame examined, as stage "yaw".
        name: of the video, for messages.

    Raises:
        HeadsplatError: no frame shows a face.
    """
    stored = workspace.load_partial(_YAW_FILE)
    if stored is not None and np.array_equal(stored["number"], numbers):
        return stored["yaw"]
    looked = numbers[:: max(1, -(-len(numbers) // _YAW_FRAMES))]
    order = {int(number): row for row, number in enumerate(looked)}
    people = People([])
    lost = False
    sightings: list[tuple[int, float, int, float]] = []  # frame number, yaw, person, size
    for frame in ahead(wanted_frames(video, looked)):
        image = smaller(frame.rgb)
        seen = follower.find(image, people, lost)
        lost = seen is None
        if seen is not None:
            people.see(seen.person, seen.roi, seen.appearance)
            angle = float(face_angles(seen.landmarks.points[None])[0, 0])
            sightings.append((frame.number, angle, seen.person, float(seen.roi[2])))
        if progress:
            progress("yaw", order[frame.number] + 1, len(looked))
    if not sightings:
        raise HeadsplatError(f"{name}: no face found in any frame; film one face from the front, well lit and upright")
    number, yaw, person, size = (np.array(column) for column in zip(*sightings, strict=True))
    main = person == np.argmax(np.bincount(person.astype(int), weights=size))
    every = np.interp(numbers, number[main], yaw[main])
    workspace.save_partial(_YAW_FILE, {"number": numbers, "yaw": every})
    return every

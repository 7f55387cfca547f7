"""The yaw of the head in every frame, estimated fast from landmarks, for a split by it; nothing else is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.faces.face_pose import face_angles
from capture.faces.people import People
from capture.options import Progress
from capture.stages.landmarks import FaceFollower
from capture.stages.workers import ahead
from capture.video.decoding import wanted_frames
from capture.video.overview import smaller
from capture.workspace import Workspace

PARTIAL = "yaw.npz"
#: Frames that are examined at most; the yaw of those between is interpolated.
_EXAMINED = 1500


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
    stored = workspace.load_partial(PARTIAL)
    if stored is not None and np.array_equal(stored["number"], numbers):
        return stored["yaw"]
    looked = numbers[:: max(1, -(-len(numbers) // _EXAMINED))]
    order = {int(number): row for row, number in enumerate(looked)}
    people, lost = People([]), False
    found: list[tuple[int, float, int, float]] = []  # frame number, yaw, person, size
    for frame in ahead(wanted_frames(video, looked)):
        image = smaller(frame.rgb)
        seen = follower.find(image, people, lost)
        lost = seen is None
        if seen is not None:
            people.see(seen.person, seen.roi, seen.appearance)
            angle = float(face_angles(seen.found.points[None])[0, 0])
            found.append((frame.number, angle, seen.person, float(seen.roi[2])))
        if progress:
            progress("yaw", order[frame.number] + 1, len(looked))
    if not found:
        raise HeadsplatError(f"{name}: no face found in any frame; film one face from the front, well lit and upright")
    number, yaw, person, size = (np.array(column) for column in zip(*found, strict=True))
    main = person == np.argmax(np.bincount(person.astype(int), weights=size))
    every = np.interp(numbers, number[main], yaw[main])
    workspace.save_partial(PARTIAL, {"number": numbers, "yaw": every})
    return every

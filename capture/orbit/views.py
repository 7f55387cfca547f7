"""The frames of a walk around a person as views of one time step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from capture.faces.face_pose import face_angles
from capture.faces.landmarks import Roi
from capture.layouts.views import ORBIT, View, ViewSet
from capture.options import CaptureOptions, FaceModels, Progress
from capture.orbit.points import PointFollower, Tracks, small_gray
from capture.orbit.walk import Walk, solve_walk
from capture.stages.landmarks import FaceFollower
from capture.tracker.camera import focal_prior
from capture.tracker.landmark_model import LandmarkModel
from capture.video.decoding import VideoSource, wanted_frames
from capture.video.split import Split, split_frames

#: Frames that become views, at most: each is a camera, and a circle of these has one every two degrees.
MOST_VIEWS = 180
#: Frames that must show the face, and that must be found, at least.
_LEAST = 16
#: Largest difference of the face's yaw (radians) between the end of a walk and a frame of its beginning that show the
#: same side, and the views before and after them in which points are followed.
_SAME_SIDE = np.radians(15)
_OVERLAP = 15


def orbit_views(
    video: VideoSource, head: HeadModel, options: CaptureOptions, models: FaceModels, progress: Progress | None
) -> ViewSet:
    """The views of a video in which the camera is carried around a person who sits still.

    Points of person and room are followed from frame to frame, held-out ones too: the pose of the camera is found for
    all of them together.

    Args:
        video: the video.
        head: the head model.
        options: of the capture.
        models: makers of the networks.
        progress: called as `progress("walk", done, total)`.

    Raises:
        HeadsplatError: too few frames show the face, or their cameras are not found.
    """
    numbers, _ = split_frames(len(video), video.fps, Split())
    step = -(-len(numbers) // min(MOST_VIEWS, options.max_frames))
    found = _look(video, numbers, step, models, progress)
    if len(found.faces) < _LEAST:
        raise HeadsplatError(
            f"{video.name}: {len(found.faces)} of {len(found.numbers)} frames of the walk show the face, at least "
            f"{_LEAST} are needed; begin or end the walk before the face"
        )
    size = (video.width, video.height)
    prior = focal_prior(*size, video.focal_35mm, options.focal)
    walk = solve_walk(LandmarkModel.from_head(head), found.tracks, found.faces, len(found.numbers), size, prior)
    placed = np.flatnonzero(walk.placed)
    if len(placed) < _LEAST:
        raise HeadsplatError(
            f"{video.name}: the camera was found in {len(placed)} of {len(found.numbers)} frames of the walk; walk "
            "slowly around a person who sits still, in good light"
        )
    notes = []
    if lost := len(found.numbers) - len(placed):
        notes.append(f"{video.name}: the camera was not found in {lost} of {len(found.numbers)} frames; left out")
    return ViewSet(video.path.parent, ORBIT, _names(found, placed), _views(video.path, size, found, walk), tuple(notes))


@dataclass(frozen=True)
class _Found:
    """What the frames that become views show."""

    numbers: np.ndarray  # [n] of the frames
    time: np.ndarray  # [n] seconds
    faces: dict[int, np.ndarray]  # landmarks [478,3] by index of the frame
    tracks: Tracks


def _look(video: VideoSource, numbers: np.ndarray, step: int, models: FaceModels, progress: Progress | None) -> _Found:
    """Follow points through the frames `numbers`, and find the face in every `step`-th of them."""
    points = PointFollower()
    face = FaceFollower(models, 1, thorough=False)
    order = {int(number): row for row, number in enumerate(numbers)}
    faces: dict[int, np.ndarray] = {}
    kept: list[tuple[int, float]] = []
    images: list[np.ndarray] = []
    scale = 1.0
    region: np.ndarray | None = None
    for frame in wanted_frames(video, numbers):
        row = order[frame.number]
        is_view = row % step == 0
        gray, scale = small_gray(frame.rgb)
        points.add(gray, len(kept) if is_view else None)
        if is_view:
            images.append(gray)
            landmarks = face.follow(frame.rgb, region, region)
            region = None
            if landmarks is not None:
                roi = Roi.from_landmarks(landmarks.points)
                region = np.array([*roi.center, roi.size, roi.angle])
                faces[len(kept)] = landmarks.points
            kept.append((frame.number, frame.time))
        if progress:
            progress("walk", row + 1, len(numbers))
    chosen = np.array([number for number, _ in kept], np.int64)
    tracks = [points.tracks(scale)]
    if (closing := close_circle(images, faces, scale)) is not None:
        tracks.append(closing)
    return _Found(chosen, np.array([time for _, time in kept]), faces, Tracks.joined(tracks))


def close_circle(images: list[np.ndarray], faces: dict[int, np.ndarray], scale: float) -> Tracks | None:
    """Points followed from the end of the walk into its beginning; None where the two are not seen from one side.

    Args:
        images: [n] each [h,w] uint8.
        faces: landmarks [478,3] by index of the frame, of images `scale` times as large.
        scale: see above.
    """
    if not faces:
        return None
    rows = np.array(sorted(faces))
    angles = dict(zip(rows.tolist(), face_angles(np.stack([faces[row] for row in rows]))[:, 0].tolist(), strict=True))
    last = int(rows[-1])
    early = rows[rows < last - len(images) // 3]
    if not len(early):
        return None
    first = int(min(early, key=lambda row: abs(angles[int(row)] - angles[last])))
    if abs(angles[first] - angles[last]) > _SAME_SIDE:
        return None
    jump = cv2.estimateAffinePartial2D(faces[last][:468, :2] / scale, faces[first][:468, :2] / scale)[0]
    follower = PointFollower()
    for row in range(max(0, last - _OVERLAP), last + 1):
        follower.add(images[row], row)
    for row in range(first, min(first + _OVERLAP + 1, last - _OVERLAP)):
        follower.add(images[row], row, jump if row == first else None)
    return follower.tracks(scale)


def _names(found: _Found, placed: np.ndarray) -> tuple[str, ...]:
    return tuple(f"{number:05d}" for number in found.numbers[placed])


def _views(path: Path, size: tuple[int, int], found: _Found, walk: Walk) -> tuple[View, ...]:
    K = np.array([[walk.focal, 0, size[0] / 2], [0, walk.focal, size[1] / 2], [0, 0, 1.0]])
    return tuple(
        View(path, int(found.numbers[row]), camera, 0, float(found.time[row]), K, walk.world_to_cam[row], size)
        for camera, row in enumerate(np.flatnonzero(walk.placed))
    )

"""Motion of the torso in the image: each stored frame registered to one training frame, the reference.

Training frames depend on training frames only: the reference is one of them, and each starts from the warp of its
neighbor on the way to the reference. A held-out frame starts from the solved frame nearest in time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.types import ROOT
from capture.stages.images import SmallImages
from capture.stages.workers import Pool
from capture.tracker.torso_registration import TorsoTemplate, matted_pyramid, torso_region

Array = NDArray[np.floating]

#: Confidence below which a warp is no start for the next frame.
_LOST = 0.5
_CHIN = 152
_FOREHEAD = 10


@dataclass(frozen=True)
class TorsoFrames:
    """What the registration needs to know of T frames of one camera, in the order of their time."""

    images: Callable[[int], tuple[np.ndarray, np.ndarray]]  # row -> luma and matte, [h,w] uint8
    landmarks: Array  # [T,478,2+] stored pixels
    principal: Array  # [T,2] stored pixels
    time: Array  # [T] seconds, increasing
    is_test: NDArray[np.bool_]  # [T]
    scale: float = 1.0  # pixels of the images per stored pixel


def track_torso(small: SmallImages, track: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays `torso_motion` and `torso_confidence` of a capture of one camera.

    Args:
        small: images of the stored frames.
        track: the other arrays, in the order of time.
    """
    numbers = track["frame_number"]

    def images(row: int) -> tuple[np.ndarray, np.ndarray]:
        number = int(numbers[row])
        return small.luma(number), small.matte(number)

    points = track["landmarks"]
    center = track["principal_point"]
    frames = TorsoFrames(images, points, center, track["time"], track["is_test"], small.scale)
    poses = np.concatenate([track["joint_rot"][:, ROOT], track["translation"]], 1)
    motion, confidence = torso_motion(frames, choose_reference(poses, np.flatnonzero(~track["is_test"])))
    return {"torso_motion": motion, "torso_confidence": confidence}


def torso_motion(frames: TorsoFrames, reference: int) -> tuple[Array, Array]:
    """Motion of the torso relative to one frame.

    Args:
        frames: the frames.
        reference: row of the reference, a training frame.

    Returns:
        Motion [T,6] of three points of the torso (x, y of each) from their positions in the reference, relative to the
        principal point, in units of the typical height of the face, and its confidence [T] 0..1; zero everywhere if
        the reference does not show a torso.
    """
    registration = _Registration.of(frames, reference)
    count = len(frames.time)
    if registration is None:
        return np.zeros((count, 6)), np.zeros(count)
    return registration.run()


def choose_reference(poses: Array, candidates: NDArray[np.int64]) -> int:
    """The row whose pose is nearest to the median.

    Args:
        poses: [T,6] rotation (radians) and translation (meters) of the skull.
        candidates: [n] int, rows of training frames.
    """
    chosen = poses[candidates] / np.array([0.2, 0.2, 0.2, 0.05, 0.05, 0.05])
    return int(candidates[np.linalg.norm(chosen - np.median(chosen, 0), axis=1).argmin()])


class _Registration:
    def __init__(self, frames: TorsoFrames, reference: int, template: TorsoTemplate, face: float) -> None:
        self._frames = frames
        self._reference = reference
        self._template = template
        self._face = face
        self._warp = np.zeros((len(frames.time), 2, 3))
        self._confidence = np.zeros(len(frames.time))

    @staticmethod
    def of(frames: TorsoFrames, reference: int) -> _Registration | None:
        """Prepare the reference; None if it shows no torso."""
        luma, matte = frames.images(reference)
        training = frames.landmarks[~frames.is_test]
        face = float(np.median(training[:, _CHIN, 1] - training[:, _FOREHEAD, 1])) * frames.scale
        mask = torso_region(matte, frames.landmarks[reference, _CHIN, 1] * frames.scale, face)
        if mask is None:
            return None
        template = TorsoTemplate(matted_pyramid(luma, matte), mask)
        return _Registration(frames, reference, template, face)

    def run(self) -> tuple[Array, Array]:
        """Register all frames; the results of `torso_motion`."""
        training = np.flatnonzero(~self._frames.is_test)
        at = int(np.searchsorted(training, self._reference))
        with Pool() as pool:
            pool.submit(self._follow, training[at:], None)
            pool.submit(self._follow, training[: at + 1][::-1], None)
            pool.drain()
            known = training[self._confidence[training] >= _LOST]
            for group in _held_out_groups(self._frames.is_test):
                pool.submit(self._follow, group, self._nearest(known, group))
            pool.drain()
        return self._motion(), self._confidence

    def _nearest(self, known: NDArray[np.int64], group: NDArray[np.int64]) -> int:
        """The registered training frame nearest in time to the first frame of a group."""
        time = self._frames.time
        return int(known[np.abs(time[known] - time[group[0]]).argmin()]) if len(known) else self._reference

    def _follow(self, rows: NDArray[np.int64], start: int | None) -> None:
        """Register frames one after another.

        Args:
            rows: the frames.
            start: a registered frame, from whose warp the first starts; None: the first is the reference.
        """
        last = self._reference if start is None else start
        warp = np.eye(2, 3) if start is None else self._warp[start]
        for row in rows:
            luma, matte = self._frames.images(int(row))
            begin = warp.copy()
            begin[:, 2] += self._frames.scale * (self._frames.principal[row] - self._frames.principal[last])
            fitted, confidence = self._template.register(matted_pyramid(luma, matte), begin)
            self._warp[row] = fitted
            self._confidence[row] = confidence
            if confidence >= _LOST:
                warp = fitted
                last = int(row)

    def _motion(self) -> Array:
        """Motion [T,6] of the center of the region, and of points left of it and above it."""
        frames = self._frames
        face = self._face
        points = self._template.center + face * np.array([[0.0, 0.0], [-1.0, 0.0], [0.0, -0.5]])
        moved = np.einsum("tij,pj->tpi", self._warp, np.column_stack([points, np.ones(3)]))
        middle = frames.scale * frames.principal
        still = points - middle[self._reference]
        return ((moved - middle[:, None] - still) / face).reshape(len(moved), 6)


def _held_out_groups(is_test: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Runs of held-out frames without a training frame between them."""
    rows = np.flatnonzero(is_test)
    return [group for group in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(group)]

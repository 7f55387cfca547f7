"""Frames of a capture tracked as `headsplat live` does: one pass of the landmark network a frame, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from avatar.data.capture_folder import Capture
from avatar.head.model import HeadModel
from avatar.types import HeadParams
from capture.live.camera import Lens
from capture.live.face_tracker import LiveFollower
from capture.live.fit import Fit
from capture.live.identity import LandmarkFrame, Learner, LearnOptions
from capture.options import FaceModels

#: Frames before those that are wanted, from which the tracker starts, and how many images are read at a time.
_BEFORE = 15
_BLOCK = 32


def replayed(
    head: HeadModel,
    capture: Capture,
    rows: np.ndarray,
    models: FaceModels | None = None,
    learn: LearnOptions | None = None,
) -> HeadParams | None:
    """States [T] of frames of the person of a baked head, by the landmarks of each frame and those before it.

    The focal length is that of the capture; its training frames are learned from.

    Args:
        head: the baked head.
        capture: a capture of its person with one camera.
        rows: [T] int, in the order of time.
        models: factories of the networks; None: those of `headsplat live`.
        learn: of the fit to the first frames; the focal length is replaced.

    Returns:
        None where no face is found in the training frames.
    """
    models = models or FaceModels()
    width, height = capture.metadata["width"], capture.metadata["height"]
    focal = float(capture.camera(max(width, height), rows[:1]).K[0, 0, 0])
    learner = Learner(head, Lens(width, height), replace(learn or LearnOptions(), focal=focal), wait=True)
    learned = None
    for seen in _landmarks(capture, capture.train_indices, models):
        learned = None if seen is None else learner.add(seen)
        if learned is not None:
            break
    if learned is None:
        return None
    first = int(rows[0])
    before = np.arange(max(first - _BEFORE, 0), first)
    fit: Fit | None = None
    found = []
    for seen in _landmarks(capture, np.concatenate([before, rows]), models):
        if seen is not None:
            fit = learned.fitter(seen.points, fit)
        found.append(learned.fitter.params(head, fit or learned.earlier[-1][1]))
    found = found[len(before) :]
    parts = (torch.cat([getattr(each, part) for each in found]) for part in ("expression", "joint_rot", "translation"))
    return HeadParams(torch.zeros(0), *parts)


def _landmarks(capture: Capture, rows: np.ndarray, models: FaceModels) -> Iterator[LandmarkFrame | None]:
    """Landmarks of frames, with the optical axis in the middle of the image; None without a face."""
    width, height = capture.metadata["width"], capture.metadata["height"]
    follower = LiveFollower(models)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        for row, image in zip(block, capture.images(block, max(width, height))[0], strict=True):
            time = float(capture.track["time"][row])
            landmarks = follower(image, time)
            if landmarks is None:
                yield None
                continue
            points = landmarks.points.copy()
            points[:, :2] += np.array([width, height]) / 2 - capture.track["principal_point"][row]
            yield LandmarkFrame(points, landmarks.presence, time, time)

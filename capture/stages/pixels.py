"""Changes of the expressions of a clip by what the pixels of its stored frames show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.geometry.numpy_rotations import exp_rotation, yaw_pitch
from avatar.head.arkit import ARKIT_52, region_columns
from avatar.head.model import HeadModel
from avatar.types import ROOT
from capture.pixels.correction import Reference, SeenFaces
from capture.pixels.crops import Pose
from capture.pixels.network import PixelNetwork
from capture.stages.images import SmallImages
from capture.stages.workers import Pool
from capture.tracker.held import interpolated
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole

Floats = NDArray[np.floating]

#: Standard deviation in seconds of the low-pass filter of the changes: the network sees each frame by itself.
_SMOOTH = 0.04


def track_pixels(
    head: HeadModel,
    images: SmallImages,
    track: Mapping[str, np.ndarray],
    focal: float,
    hidden: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The array `expression_change` of a capture of one camera; zeros for a head without ARKit's expressions.

    Changes of training frames depend on training frames only.

    Args:
        head: the head model.
        images: the stored frames.
        track: the arrays of the capture, in the order of time.
        focal: pixels of the stored frames.
        hidden: masks [T] by region of avatar.head.arkit.HIDEABLE: changes of hidden regions lie between those of the
            frames before and after.
    """
    expression = np.asarray(track["expression"], np.float64)
    changes = np.zeros(expression.shape)
    if not set(ARKIT_52) <= set(head.expression_names):
        return {"expression_change": changes}
    columns = np.array([head.expression_names.index(name) for name in ARKIT_52])
    network = PixelNetwork.load()
    neutral = LandmarkModel.from_head(head).neutral(np.asarray(track["identity"], np.float64))
    identity = torch.from_numpy(np.asarray(track["identity"])).to(head.v_template.dtype)
    root = head.joint_locations(identity)[ROOT].double().numpy()
    rotation = exp_rotation(np.asarray(track["joint_rot"], np.float64)[:, ROOT])
    offset = np.asarray(track["translation"], np.float64) + root - rotation @ root

    def features(row: int) -> Floats:
        camera = Pinhole(focal, *np.asarray(track["principal_point"][row], np.float64))
        luma = images.stored_luma(int(track["frame_number"][row]))
        return network.features(network.grid.sample(luma, neutral, Pose(rotation[row], offset[row]), camera))

    with Pool() as pool:
        found = [pool.submit(features, row) for row in range(len(expression))]
        seen = SeenFaces(np.stack([each.result() for each in found]), expression[:, columns], yaw_pitch(rotation))
    training = ~np.asarray(track["is_test"], bool)
    reference = Reference.of(network, _rows(seen, training))
    for rows, sources in ((training, training), (~training, training | ~training)):
        change = reference.changes_of(_rows(seen, sources))
        for region, mask in (hidden or {}).items():
            for column in region_columns(ARKIT_52, region):
                change[:, column] = interpolated(change[:, column], mask[sources], track["time"][sources])
        smooth = _smoothed(change, track["time"][sources], track["time"][rows])
        changes[np.ix_(rows, columns)] = smooth.clip(-1, 1)
    return {"expression_change": changes}


def _rows(seen: SeenFaces, rows: NDArray[np.bool_]) -> SeenFaces:
    return SeenFaces(*(values[rows] for values in vars(seen).values()))


def _smoothed(values: Floats, time: Floats, at: Floats) -> Floats:
    """Means [M,n] of values [N,n] at increasing times [N] around the times `at` [M], in seconds."""
    first = np.searchsorted(time, at - 3 * _SMOOTH)
    last = np.searchsorted(time, at + 3 * _SMOOTH, side="right")
    means = np.empty((len(at), values.shape[1]))
    for row, (start, end, middle) in enumerate(zip(first, last, at, strict=True)):
        weights = np.exp(-0.5 * ((time[start:end] - middle) / _SMOOTH) ** 2)
        means[row] = weights @ values[start:end] / weights.sum()
    return means

"""Coverage of the training frames: views, expressions, blinks, light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.data.capture_folder import Capture
from avatar.head.arkit import is_mode
from capture.quality.hidden import hidden_shares, region_scores
from capture.report.face_pixels import PixelStatistics
from capture.report.geometry import TrackedGeometry
from capture.tracker.indices import (
    BROWS,
    LEFT_CORNER,
    LEFT_LIDS,
    LIP_GAP,
    MOUTH_CORNERS,
    RIGHT_CORNER,
    RIGHT_LIDS,
    inter_ocular,
)

#: Inner eye corners.
_RIGHT_INNER = 133
_LEFT_INNER = 362
#: Percentile of a range at either end: extremes of single frames are mostly tracking errors.
_TAIL = 1.0
#: A lid is closed below the first fraction of its usual opening, and open again above the second.
_CLOSED = 0.45
_REOPENED = 0.7
#: Fraction of its usual width above which a mouth counts as wide.
_WIDE = 1.05
#: Minimum training weight of an image: images with less have little effect.
_TRUSTED = 0.3
#: Yaw (degrees) up to which a face shows both eyes and the whole mouth.
_FRONTAL = 35.0
#: Edges of the cells of views, degrees.
YAW_EDGES = np.arange(-67.5, 68, 15.0)
PITCH_EDGES = np.arange(-37.5, 38, 15.0)


@dataclass(frozen=True)
class Coverage:
    """Statistics of the training frames; ranges are [1st, 99th percentile]."""

    frames: int  # training images
    seconds: float  # from the first to the last
    yaw: tuple[float, float]  # degrees to the person's left, relative to the camera
    pitch: tuple[float, float]  # degrees up
    views: tuple[tuple[int, ...], ...]  # images in each cell, pitch (up first) by yaw (the person's right first)
    expressions: dict[str, tuple[float, float]]  # weights of the named expressions
    mouth_gap_mm: tuple[float, float]  # between the inner edges of the lips, at the size of the tracked head
    mouth_width: float  # maximum over median
    gap_when_wide_mm: float  # between the lips while the mouth is wide
    brows_mm: float  # range of the brows' height
    gaze: tuple[float, float]  # degrees, range of the eyes sideways and up and down
    lids: dict[str, tuple[float, float]]  # opening over eye width, by the person's side
    blinks: dict[str, int]
    face_pixels: float  # between the outer eye corners
    blur: tuple[float, float]  # median and 90th percentile, 0..1
    exposure: tuple[float, float]  # range of the gain relative to the typical light
    brightness: float  # 0..1, of the face
    clipped: float  # overexposed fraction of the face
    side_light: float  # brighter half of the face over the darker one
    hidden: dict[str, float]  # "eyes", "mouth": share of the frames in which something is before them

    @staticmethod
    def of(capture: Capture, geometry: TrackedGeometry, pixels: PixelStatistics) -> Coverage:
        """Measure the training images of `capture` with enough training weight.

        Args:
            capture: the capture.
            geometry: its tracked heads.
            pixels: statistics of its training images.
        """
        rows = capture.train_indices
        trusted = capture.track["weight"][rows] >= _TRUSTED
        rows = rows[trusted] if trusted.any() else rows
        steps = rows[np.unique(capture.track["time_step"][rows], return_index=True)[1]]
        steps = steps[np.argsort(capture.track["time"][steps], kind="stable")]
        face = geometry.skull[steps]
        gap = 1e3 * _distance(face, *LIP_GAP)
        width = 1e3 * _distance(face, *MOUTH_CORNERS)
        corners = [RIGHT_CORNER, LEFT_CORNER, _RIGHT_INNER, _LEFT_INNER]
        brows = 1e3 * (face[:, BROWS, 1].mean(1) - face[:, corners, 1].mean(1))
        lids = {side: opening(face, side) for side in ("left", "right")}
        side_ratio = float(np.median(pixels.sides))
        gaze = geometry.gaze[steps]
        gain = capture.track["exposure"][rows].mean(1)
        return Coverage(
            frames=len(rows),
            seconds=float(np.ptp(capture.track["time"][rows])),
            yaw=_range(geometry.yaw[rows]),
            pitch=_range(geometry.pitch[rows]),
            views=count_views(geometry.yaw[rows], geometry.pitch[rows]),
            expressions=_expressions(capture.expression_names, geometry.expression[steps]),
            mouth_gap_mm=_range(gap),
            mouth_width=_range(width)[1] / float(np.median(width)),
            gap_when_wide_mm=float(np.percentile(gap[width >= min(_WIDE * np.median(width), width.max())], 90)),
            brows_mm=float(np.ptp(_range(brows))),
            gaze=(float(np.ptp(_range(gaze[:, 0]))), float(np.ptp(_range(gaze[:, 1])))),
            lids={side: _range(value) for side, value in lids.items()},
            blinks={side: count_blinks(value) for side, value in lids.items()},
            face_pixels=float(np.median(inter_ocular(geometry.projected[rows]))),
            blur=(float(np.median(pixels.blur)), float(np.percentile(pixels.blur, 90))),
            exposure=_range(gain),
            brightness=float(np.median(pixels.brightness)),
            clipped=float(np.median(pixels.clipped)),
            side_light=max(side_ratio, 1 / side_ratio),
            hidden=_hidden(capture, geometry, pixels),
        )


def _hidden(capture: Capture, geometry: TrackedGeometry, pixels: PixelStatistics) -> dict[str, float]:
    """Share of hidden eyes and mouths in the measured images that show the face from the front."""
    seen = (np.abs(geometry.yaw[pixels.rows]) < _FRONTAL) & np.isfinite(pixels.light).all((1, 2))
    rows = pixels.rows[seen]
    points = capture.track["landmarks"][rows]
    spread = capture.track["landmark_spread"][rows] / inter_ocular(points)[:, None]
    sequences = None if "photos" in capture.metadata["source"] else capture.track["camera"][rows]
    return hidden_shares(region_scores(pixels.light[seen], spread, points), sequences)


def opening(face: np.ndarray, side: str) -> np.ndarray:
    """Opening of the lids over eye width [T] of landmarks `face` [T,478,3]; `side` is the person's."""
    lids, corners = (
        (LEFT_LIDS, (LEFT_CORNER, _LEFT_INNER)) if side == "left" else (RIGHT_LIDS, (RIGHT_CORNER, _RIGHT_INNER))
    )
    return _distance(face, *lids) / _distance(face, *corners)


def count_blinks(opened: np.ndarray) -> int:
    """Number of times that a lid with openings [T], in order of time, closed and opened again."""
    usual = float(np.percentile(opened, 75))
    blinks = 0
    closed = False
    for value in opened / max(usual, 1e-6):
        if not closed and value < _CLOSED:
            closed = True
        elif closed and value > _REOPENED:
            blinks = blinks + 1
            closed = False
    return blinks


def cell_of(yaw: np.ndarray, pitch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row (up first) and column (the person's right first) of views in degrees; border cells include views outside."""
    column = np.clip(np.digitize(yaw, YAW_EDGES) - 1, 0, len(YAW_EDGES) - 2)
    row = np.clip(np.digitize(pitch, PITCH_EDGES) - 1, 0, len(PITCH_EDGES) - 2)
    return len(PITCH_EDGES) - 2 - row, column


def count_views(yaw: np.ndarray, pitch: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Images in each cell of the map of views."""
    counts = np.zeros((len(PITCH_EDGES) - 1, len(YAW_EDGES) - 1), dtype=int)
    np.add.at(counts, cell_of(yaw, pitch), 1)
    return tuple(tuple(int(count) for count in line) for line in counts)


def _expressions(names: tuple[str, ...], weights: np.ndarray) -> dict[str, tuple[float, float]]:
    """Ranges of the expressions, of weights [n,E], that are named and tracked."""
    return {
        name: _range(weights[:, column])
        for column, name in enumerate(names)
        if not is_mode(name) and not name.startswith(("eyeLook", "tongueOut", "eyelid"))
    }


def _distance(face: np.ndarray, first: int, second: int) -> np.ndarray:
    return np.linalg.norm(face[:, first] - face[:, second], axis=-1)


def _range(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL])
    return float(low), float(high)

"""Drift of exposure and white balance: a gain of the stored sRGB values, per frame and color channel.

Two sources are used. The background does not rotate, so its cells give the gain to within a percent, independent of the
person's motion. Skin does rotate: its shading changes by 15 % over a glance to the side, ten times the drift to be
measured, so the part explained by its angles is removed first, and skin is used only where no background is visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capture.faces.face_pose import face_angles
from capture.quality.frame_statistics import BRIGHTEST, DARKEST, ClipStatistics
from capture.tracker.indices import EYES, FACE_COUNT, LIPS, OVAL

#: Background cells that must be visible in a frame, and the fraction of the training frames in which each must be.
_LEAST_CELLS = 12
_SEEN = 0.3
#: Largest disagreement of background cells (median deviation of the log) for the background to be used: a camera
#: that walks past things.
_AGREE = 0.04
#: Drift (of the log gain of linear light) up to which a source measures only its noise, and from which it is reliable.
_BACKGROUND_NOISE = (0.012, 0.02)
_SKIN_NOISE = (0.05, 0.08)
#: Standard deviation of the smoothing in time, seconds: the background's noise is small, that of skin is not.
_BACKGROUND_SMOOTH = 0.06
_SKIN_SMOOTH = 0.25
_ROUNDS = 12
#: Light is about the stored value to this power, and gains of stored values are what images are corrected by.
DISPLAY_EXPONENT = 2.2
_BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_SKIN = np.setdiff1d(np.arange(FACE_COUNT), np.concatenate([LIPS, EYES, OVAL, _BROWS]))


@dataclass(frozen=True)
class LightReference:
    """The typical light of the training frames, from one source."""

    source: str  # "background", "skin" or "none"
    places: np.ndarray  # which cells or landmarks
    coefficients: np.ndarray  # [1+P,n,3] log color of each place: typical, and by the face's angles
    limits: np.ndarray  # [2,3] radians, the angles of the training frames: beyond them nothing is known

    def gains(self, statistics: ClipStatistics, points: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Gains [T,3] of sRGB values (those of light to the power of 1/2.2); 1 where drift is not above the noise.

        Args:
            statistics: of T frames.
            points: their landmarks [T,478,3].
            time: [T] seconds, increasing.
        """
        if self.source == "none" or not len(time):
            return np.ones((len(time), 3))
        background = self.source == "background"
        logs = self._drift(_log_colors(statistics, self.source, self.places), _basis(points, self.source, self.limits))
        logs = _smooth(logs, time, _BACKGROUND_SMOOTH if background else _SKIN_SMOOTH)
        low, high = _BACKGROUND_NOISE if background else _SKIN_NOISE
        size = float(np.percentile(np.abs(logs).max(1), 90))
        return np.exp(logs * (np.clip((size - low) / (high - low), 0, 1) / DISPLAY_EXPONENT))

    def _drift(self, colors: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Log gains [T,3]: the median over all places; NaN where too few are visible."""
        expected = np.einsum("tp,pnc->tnc", basis, self.coefficients)
        return _middle(colors - expected)


def light_reference(statistics: ClipStatistics, points: np.ndarray) -> LightReference:
    """The typical light of training frames: their statistics and landmarks [T,478,3]."""
    limits = np.quantile(face_angles(points), (0.02, 0.98), axis=0)
    for source in ("background", "skin"):
        places = _places(statistics, source)
        if len(places) < _LEAST_CELLS:
            continue
        colors = _log_colors(statistics, source, places)
        basis = _basis(points, source, limits)
        drift = np.zeros((len(statistics), 3))
        for _ in range(_ROUNDS):
            coefficients = _fit(colors - drift[:, None], basis)
            residual = _middle(colors - np.einsum("tp,pnc->tnc", basis, coefficients))
            drift = np.nan_to_num(residual - np.nanmedian(residual, 0))
        deviation = np.abs(colors - np.einsum("tp,pnc->tnc", basis, coefficients) - drift[:, None])
        if source == "skin" or np.nanmedian(deviation) < _AGREE:
            return LightReference(source, places, coefficients, limits)
    return LightReference("none", np.zeros(0, int), np.zeros((1, 0, 3)), limits)


def _places(statistics: ClipStatistics, source: str) -> np.ndarray:
    if source == "background":
        return np.flatnonzero(np.isfinite(statistics.background[..., 0]).mean(0) > _SEEN)
    face = statistics.face[:, _SKIN]
    usable = (face.max(-1) < BRIGHTEST) & (face.min(-1) > DARKEST)
    return _SKIN[usable.mean(0) > 0.8]


def _log_colors(statistics: ClipStatistics, source: str, places: np.ndarray) -> np.ndarray:
    """Log linear light [T,n,3], NaN where a place cannot be seen."""
    if source == "background":
        return np.log(statistics.background[:, places].astype(np.float64))
    return np.log(np.maximum(statistics.face[:, places].astype(np.float64), DARKEST))


def _basis(points: np.ndarray, source: str, limits: np.ndarray) -> np.ndarray:
    """What the color of a place depends on besides the light, [T,1+P]: nothing for the background, angles for skin."""
    constant = np.ones((len(points), 1))
    if source == "background":
        return constant
    yaw, pitch, roll = (4 * np.clip(face_angles(points), *limits)).T
    return np.column_stack([constant, yaw, pitch, roll, yaw * yaw, pitch * pitch, yaw * pitch, yaw**3])


def _fit(colors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Coefficients [P,n,3] of log colors [T,n,3] on `basis` [T,P]."""
    if basis.shape[1] == 1:
        return np.nanmedian(colors, axis=0)[None]
    count, places = colors.shape[:2]
    ridge = 1e-3 * len(basis) * np.eye(basis.shape[1])
    solved = np.linalg.solve(basis.T @ basis + ridge, basis.T @ colors.reshape(count, -1))
    return solved.reshape(-1, places, 3)


def _middle(residual: np.ndarray) -> np.ndarray:
    """Median [T,3] over the places of residuals [T,n,3]; NaN for frames where too few can be seen."""
    enough = np.isfinite(residual[..., 0]).sum(1) >= _LEAST_CELLS
    middle = np.full((len(residual), 3), np.nan)
    if enough.any():
        middle[enough] = np.nanmedian(residual[enough], axis=1)
    return middle


def _smooth(logs: np.ndarray, time: np.ndarray, sigma: float) -> np.ndarray:
    """Weighted means [T,3] of neighbors in time, over gaps first bridged by straight lines; zero if all is gap."""
    known = np.isfinite(logs[:, 0])
    if not known.any():
        return np.zeros_like(logs)
    logs = np.stack([np.interp(time, time[known], logs[known, channel]) for channel in range(3)], axis=1)
    near = np.exp(-0.5 * np.square((time[:, None] - time[None]) / sigma))
    return near @ logs / near.sum(1, keepdims=True)

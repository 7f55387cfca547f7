"""Drift of exposure and white balance: a gain of the stored sRGB values, per frame and color channel.

Two witnesses. What lies behind the person does not turn, so its cells give the gain to within a percent whatever the
person does. Skin does turn: its shading changes by 15 % over a glance to the side, ten times the drift that is looked
for, so what its angles explain is taken out first, and it only decides where no background can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from capture.faces.face_pose import face_angles
from capture.quality.frame_statistics import BRIGHTEST, DARKEST, Looks
from capture.tracker.indices import EYES, FACE_COUNT, LIPS, OVAL

#: Cells of background that must be seen in a frame, and in this share of the training frames each.
_LEAST_CELLS, _SEEN = 12, 0.3
#: How far background cells may disagree (median deviation of the log) before the background is no witness: a camera
#: that walks past things.
_AGREE = 0.04
#: Drift (of the log gain of linear light) up to which a witness sees its own noise, and from which it is believed.
_BACKGROUND_NOISE, _SKIN_NOISE = (0.012, 0.02), (0.05, 0.08)
#: Standard deviation of the smoothing in time, seconds: the background's own noise is small, skin's is not.
_BACKGROUND_SMOOTH, _SKIN_SMOOTH = 0.06, 0.25
_ROUNDS = 12
#: Light is about the stored value to this power, and gains of stored values are what images are corrected by.
DISPLAY_EXPONENT = 2.2
_BROWS = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_SKIN = np.setdiff1d(np.arange(FACE_COUNT), np.concatenate([LIPS, EYES, OVAL, _BROWS]))


@dataclass(frozen=True)
class LightReference:
    """The typical light of the training frames, by one witness."""

    witness: str  # "background", "skin" or "none"
    places: np.ndarray  # which cells or landmarks
    coefficients: np.ndarray  # [1+P,n,3] log color of each place: typical, and by the face's angles
    limits: np.ndarray  # [2,3] radians, the angles of the training frames: beyond them nothing is known

    def gains(self, looks: Looks, points: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Gains [T,3] of sRGB values (light's own to the power of 1/2.2); 1 where drift cannot be told from noise.

        Args:
            looks: of T frames.
            points: their landmarks [T,478,3].
            time: [T] seconds, increasing.
        """
        if self.witness == "none" or not len(time):
            return np.ones((len(time), 3))
        still = self.witness == "background"
        logs = self._drift(_log_colors(looks, self.witness, self.places), _basis(points, self.witness, self.limits))
        logs = _smooth(logs, time, _BACKGROUND_SMOOTH if still else _SKIN_SMOOTH)
        low, high = _BACKGROUND_NOISE if still else _SKIN_NOISE
        size = float(np.percentile(np.abs(logs).max(1), 90))
        return np.exp(logs * (np.clip((size - low) / (high - low), 0, 1) / DISPLAY_EXPONENT))

    def _drift(self, colors: np.ndarray, basis: np.ndarray) -> np.ndarray:
        """Log gains [T,3]: the middle of what all places say; NaN where too few say anything."""
        expected = np.einsum("tp,pnc->tnc", basis, self.coefficients)
        return _middle(colors - expected)


def light_reference(looks: Looks, points: np.ndarray) -> LightReference:
    """The typical light of training frames: their looks and landmarks [T,478,3]."""
    limits = np.quantile(face_angles(points), (0.02, 0.98), axis=0)
    for witness in ("background", "skin"):
        places = _places(looks, witness)
        if len(places) < _LEAST_CELLS:
            continue
        colors, basis = _log_colors(looks, witness, places), _basis(points, witness, limits)
        drift = np.zeros((len(looks), 3))
        for _ in range(_ROUNDS):
            coefficients = _fit(colors - drift[:, None], basis)
            found = _middle(colors - np.einsum("tp,pnc->tnc", basis, coefficients))
            drift = np.nan_to_num(found - np.nanmedian(found, 0))
        apart = np.abs(colors - np.einsum("tp,pnc->tnc", basis, coefficients) - drift[:, None])
        if witness == "skin" or np.nanmedian(apart) < _AGREE:
            return LightReference(witness, places, coefficients, limits)
    return LightReference("none", np.zeros(0, int), np.zeros((1, 0, 3)), limits)


def _places(looks: Looks, witness: str) -> np.ndarray:
    if witness == "background":
        return np.flatnonzero(np.isfinite(looks.background[..., 0]).mean(0) > _SEEN)
    face = looks.face[:, _SKIN]
    usable = (face.max(-1) < BRIGHTEST) & (face.min(-1) > DARKEST)
    return _SKIN[usable.mean(0) > 0.8]


def _log_colors(looks: Looks, witness: str, places: np.ndarray) -> np.ndarray:
    """Log linear light [T,n,3], NaN where a place cannot be seen."""
    if witness == "background":
        return np.log(looks.background[:, places].astype(np.float64))
    return np.log(np.maximum(looks.face[:, places].astype(np.float64), DARKEST))


def _basis(points: np.ndarray, witness: str, limits: np.ndarray) -> np.ndarray:
    """What a place's color may depend on besides the light, [T,1+P]: nothing for the background, angles for skin."""
    constant = np.ones((len(points), 1))
    if witness == "background":
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

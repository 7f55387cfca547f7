"""Prior on the focal length, and whether a clip can determine it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.errors import HeadsplatError

#: Diagonal of 35 mm film in millimeters: EXIF's equivalent focal length refers to the diagonal.
FILM_DIAGONAL = 43.27
#: Aspect ratios cameras record; any other frame shape is a crop.
RECORDED_ASPECTS = (16 / 9, 3 / 2, 4 / 3, 2.0, 19.5 / 9, 18 / 9, 21 / 9)
#: Smallest and largest focal length that a user may give, relative to the longer side of the frame.
_FOCAL_RANGE = (0.2, 30.0)
#: Yaw the training frames must span before the focal length may move: with less, focal length and depth of the face
#: are ambiguous.
RELEASE_YAW_SPAN = np.radians(40.0)


@dataclass(frozen=True)
class FocalPrior:
    """A log-normal prior on the focal length in pixels of the source frame."""

    focal: float
    log_sigma: float
    origin: str  # "given", "metadata", "typical camera", "cropped image"

    def at_scale(self, scale: float) -> FocalPrior:
        """The same prior for frames resized by `scale`."""
        return FocalPrior(self.focal * scale, self.log_sigma, self.origin)


def focal_prior(width: int, height: int, focal_35mm: float | None = None, given: float | None = None) -> FocalPrior:
    """Prior on the focal length of a `width` x `height` pixel source frame.

    A given focal length has almost no uncertainty, a 35 mm equivalent from the file's metadata little. Otherwise the
    prior is typical of phones and webcams, 1.4 x the shorter side. A frame whose aspect ratio no camera records is a
    crop, and crops of heads are taken from farther away: 3 x the longer side.

    Args:
        width: pixels.
        height: pixels.
        focal_35mm: 35 mm equivalent focal length in mm from the file's metadata, if it has one.
        given: focal length in pixels stated by the user, if any.

    Raises:
        HeadsplatError: the given one is that of no camera.
    """
    if given is not None:
        low, high = (factor * max(width, height) for factor in _FOCAL_RANGE)
        if not low <= given <= high:
            raise HeadsplatError(
                f"--focal: {given:g} pixels is no focal length for a frame of {width}x{height}; give {low:.0f} to "
                f"{high:.0f}"
            )
        return FocalPrior(float(given), 0.01, "given")
    if focal_35mm:
        return FocalPrior(float(np.hypot(width, height)) * focal_35mm / FILM_DIAGONAL, 0.05, "metadata")
    aspect = max(width, height) / min(width, height)
    if min(abs(aspect / known - 1) for known in RECORDED_ASPECTS) < 0.03:
        return FocalPrior(1.4 * min(width, height), 0.35, "typical camera")
    return FocalPrior(3.0 * max(width, height), 0.35, "cropped image")


def may_release_focal(yaw: np.ndarray) -> bool:
    """Whether training frames with `yaw` [T] radians turn far enough to estimate the focal (2nd to 98th percentile)."""
    return bool(np.ptp(np.percentile(yaw, [2, 98])) >= RELEASE_YAW_SPAN)

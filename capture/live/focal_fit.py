"""Focal length of a camera, from the first frames that an avatar's person is compared with.

Landmarks of a face that hardly turns do not determine it: its depth is that of an average head. The avatar's is known,
and so is what perspective does to its image.
"""

from __future__ import annotations

import math
from dataclasses import replace

from avatar.head.model import HeadModel
from avatar.refine.step import Step
from capture.live.fit import Fit, Fitter

#: Compared frames until the focal length is kept; frames in a row err alike, so that each counts as less.
_FRAMES = 60
_COUNTS = 0.1
#: Largest change of its logarithm by a frame, and in all.
_STEP = 0.1
_MOST = math.log(2.0)


class FocalFit:
    """The focal length of the camera before which one person is."""

    def __init__(self, fitter: Fitter) -> None:
        """Args: fits the landmarks, with a first guess."""
        self._information = fitter.person.focal_log_sigma**-2.0
        self._frames = 0
        self._change = 0.0

    @property
    def done(self) -> bool:
        """Whether the focal length is kept."""
        return self._frames >= _FRAMES

    def add(self, step: Step) -> float:
        """The factor of the focal length after a frame that was compared with the one used so far."""
        information, derivative = step.focal
        self._frames += 1
        self._information += _COUNTS * information
        change = min(max(-_COUNTS * derivative / self._information, -_STEP), _STEP)
        change = min(max(self._change + change, -_MOST), _MOST) - self._change
        self._change += change
        return math.exp(change)


def at_focal(fitter: Fitter, head: HeadModel, fit: Fit, ratio: float) -> tuple[Fitter, Fit]:
    """Fitter and last fit at `ratio` times the focal length and the distance."""
    camera = fitter.person.camera
    person = replace(fitter.person, camera=replace(camera, focal=ratio * camera.focal))
    translation = fit.state.translation.copy()
    translation[2] *= ratio
    return Fitter.of(person, head), replace(fit, state=replace(fit.state, translation=translation))

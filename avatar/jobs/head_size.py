"""The true size of the head in a capture: as given, by calibrated cameras, by the irises, or the head model's mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avatar.model.true_size import TrueSize

if TYPE_CHECKING:
    from avatar.data.capture_folder import Capture
    from avatar.head.model import HeadModel

#: Relative standard deviation of lengths from calibrated cameras, and of a diameter of irises that somebody measured.
_CAMERAS = 0.01
_MEASURED = 0.01
#: Sizes of heads relative to the mean beyond which irises of 11.7 mm are an error, or those of a drawing.
_PLAUSIBLE = (0.8, 1.25)
_UNITS = ("metres", "centimetres", "millimetres")


@dataclass(frozen=True)
class GivenSize:
    """What a user knows about the size of a head, in millimeters."""

    interocular: float | None = None  # between the pupils when they look far away
    iris: float | None = None  # diameter of the visible irises


def size_of(capture: Capture, head: HeadModel, given: GivenSize | None = None) -> TrueSize:
    """The true size of the head in a capture.

    Args:
        capture: the capture.
        head: its head model.
        given: what the user knows; it comes before what the capture states.

    Raises:
        HeadsplatError: the given distance is not one of this head.
    """
    from avatar.data.iris_size import USUAL, USUAL_SIGMA, measure_irises
    from avatar.model.avatar import bake_identity
    from avatar.model.head_lengths import HeadLengths, size_from_interocular

    given = given or GivenSize()
    metadata = capture.metadata
    interocular = given.interocular or (None if given.iris else metadata.get("interocular"))
    if interocular is not None:
        baked = bake_identity(head, capture.params(range(1)).identity)
        return size_from_interocular(HeadLengths.of(baked), interocular)
    if given.iris is None and metadata.get("world", {}).get("unit") in _UNITS:
        return TrueSize(1.0, _CAMERAS, "calibrated cameras")
    expected = given.iris or USUAL
    found = measure_irises(capture, head, expected)
    scale = 1.0 if found is None else expected / 1000 / found.diameter
    if found is None or (given.iris is None and not _PLAUSIBLE[0] <= scale <= _PLAUSIBLE[1]):
        return TrueSize()
    sigma = math.hypot(found.sigma, _MEASURED if given.iris else USUAL_SIGMA)
    return TrueSize(scale, sigma, f"irises of {expected:g} mm")


def size_sentence(size: TrueSize, head: HeadModel) -> str:
    """What is known about the size of a baked head, for people."""
    from avatar.model.head_lengths import INTERPUPILLARY, HeadLengths

    length = HeadLengths.of(head).millimeters(size)[INTERPUPILLARY]
    return f"true size: {length:.1f} +- {length * size.sigma:.1f} mm between the pupils ({size.source})"

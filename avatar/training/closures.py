"""Frames of closed eyes: a clip has few of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

BLINKS = ("eyeBlinkLeft", "eyeBlinkRight")
#: An eye is closed from this blink on: 0 is the person's usual one, 1 a full one.
CLOSED = 0.4
#: A clip shows enough of closed eyes where they are this part of its frames. Otherwise, training takes these frames so
#: much more often that they are this part of all, but at most MOST times.
ENOUGH = 0.15
MOST = 6
#: Fewer frames of closed eyes than these tell nothing about closed lids in general.
FEWEST = 3


def closed_eyes(features: Tensor, names: Sequence[str]) -> Tensor:
    """Whether an eye is closed [T] in images with features [T,F], the expressions `names` [E] first."""
    if not set(BLINKS) <= set(names) or not len(features):
        return features.new_zeros(len(features)).bool()
    blinks = features[:, [names.index(name) for name in BLINKS]]
    usual = blinks.median(0).values
    return ((blinks - usual) / (1 - usual).clamp_min(1e-3)).amax(1) > CLOSED


def images_with_closures(features: Tensor, names: Sequence[str]) -> list[int]:
    """Indices of the T images for one pass of a training: all of them, those of closed eyes several times.

    Args:
        features: [T,F] of the images.
        names: [E] of the expressions, the first features.
    """
    closed = closed_eyes(features, names).nonzero()[:, 0].tolist()
    times = round(ENOUGH * len(features) / len(closed)) if len(closed) >= FEWEST else 1
    return [*range(len(features)), *closed * (min(max(times, 1), MOST) - 1)]

"""Exposure and reliability of every image, relative to the training frames alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError
from capture.quality.frame_statistics import ClipStatistics, FrameStatistics, flat_share
from capture.quality.hidden_regions import hidden_frames, region_patterns, usual_colors
from capture.quality.light import light_reference
from capture.quality.trust import doubtful_spread, trust_reference
from capture.tracker.clip import Observations

#: Share of the landmarks of one brightness above which a face is none of a photo.
FLAT = 0.3


@dataclass(frozen=True)
class Assessment:
    """Exposure and weight of T images."""

    exposure: np.ndarray  # [T,3] gains of sRGB values
    weight: np.ndarray  # [T] 0..1
    flagged: tuple[dict[str, Any], ...]  # frames that count less: frame, reason, weight
    observations: Observations  # the landmarks; occluded ones have a larger spread, and hidden regions are marked


def assess_frames(
    statistics: Mapping[int, FrameStatistics],
    training: Observations,
    training_numbers: Sequence[int],
    held_out: Observations | None,
    held_out_numbers: Sequence[int],
) -> list[Assessment]:
    """Assess the training frames and, if there are any, the held-out frames.

    Args:
        statistics: of every frame, by frame number.
        training: landmarks of the training frames.
        training_numbers: their numbers.
        held_out: landmarks of the held-out frames; they do not influence the references.
        held_out_numbers: their numbers.
    """
    seen = ClipStatistics.of([statistics[number] for number in training_numbers])
    light = light_reference(seen, training.points)
    usual = trust_reference(seen, training.points, training.spread)
    colors = {region: usual_colors(each) for region, each in region_patterns(seen.face, training.points).items()}
    assessments = []
    for observed, numbers in ((training, training_numbers), (held_out, held_out_numbers)):
        if observed is None:
            continue
        own = ClipStatistics.of([statistics[number] for number in numbers])
        patterns = region_patterns(own.face, observed.points)
        hidden = {region: hidden_frames(each, colors[region], observed.time) for region, each in patterns.items()}
        trust = usual.assess(own, observed.points, observed.spread, observed.presence)
        assessments.append(
            Assessment(
                light.gains(own, observed.points, observed.time),
                trust.weight,
                tuple(trust.flags(list(numbers))),
                replace(observed, spread=doubtful_spread(observed.spread, observed.points, trust.doubt), hidden=hidden),
            )
        )
    return assessments


def check_photographed(statistics: Iterable[FrameStatistics], name: str) -> None:
    """Raise HeadsplatError where most faces have one flat color; the networks find faces in drawings, too.

    Args:
        statistics: of the training frames.
        name: of the source.
    """
    shares = [flat_share(each.face) for each in statistics]
    if shares and np.median(shares) > FLAT:
        raise HeadsplatError(
            f"{name}: {np.median(shares):.0%} of the face has the same brightness, as in a drawing, in a badly "
            "overexposed image or on a headset; give photos or a video of a person in soft light, with nothing before "
            "the face"
        )


def flagged_sentence(flagged: Sequence[Mapping[str, Any]]) -> str:
    """One sentence about frames with a reduced weight."""
    counts = Counter(entry["reason"] for entry in flagged).most_common()
    reasons = ", ".join(f"{count} {reason}" for reason, count in counts)
    return f"{len(flagged)} frames count less in training ({reasons}); they are listed in capture.json under `flagged`"

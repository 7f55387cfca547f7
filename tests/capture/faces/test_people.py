"""Who is followed: the main person, through a passer-by in front and an absence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from capture.faces.people import SIGNATURE, People, difference
from capture.options import FaceModels
from capture.stages.landmarks import FaceFollower, choose_person, find_training_landmarks
from capture.synthetic import SyntheticOptions, SyntheticScene
from capture.video.decoding import SourceFrame
from capture.workspace import Workspace

#: Another white balance.
WARMER = np.array([0.5, 0, -0.5], np.float32)
HERE, THERE = np.array([100.0, 100, 80, 0]), np.array([180.0, 90, 120, 0])


def looks(seed: int) -> np.ndarray:
    """A signature; another seed is another person."""
    return np.random.default_rng(seed).normal(-1, 0.6, SIGNATURE).astype(np.float32)


def test_the_first_face_is_person_0_and_a_stranger_the_next() -> None:
    people = People()
    assert people.main is None and people.recognize(HERE, looks(1), False) == 0
    people.see(0, HERE, looks(1))
    assert people.recognize(THERE, looks(2), True) == 1


def test_a_person_is_recognized_elsewhere() -> None:
    people = People([(0, HERE, looks(1)), (1, THERE, looks(2))])
    assert people.recognize(THERE + 50, looks(1) + 0.1, False) == 0


def test_a_face_that_stays_in_place_is_the_same_in_another_light() -> None:
    people = People([(0, HERE, looks(1))])
    assert people.recognize(HERE + 1, looks(1) + WARMER, True) == 0
    assert people.recognize(HERE + 1, looks(1) + WARMER, False) == 1


def test_size_times_duration_decides_who_the_main_person_is() -> None:
    short_but_large = [(1, THERE * 2, looks(2))] * 3
    assert People([(0, HERE, looks(1))] * 10 + short_but_large).main == 0


def test_a_hand_before_less_than_half_of_a_face_changes_nobody() -> None:
    covered = looks(1)
    covered[:8] += 0.6
    assert difference(looks(1), covered) < 0.35


class Street:
    """A person who sits still, and one who walks past in front, nearer and larger; then nobody for a second."""

    width, height, fps, rotation, focal_35mm = 288, 288, 30.0, 0, None
    crossing, away, count = range(14, 34), range(40, 48), 56

    def __init__(self) -> None:
        small, large = (
            SyntheticScene(SyntheticOptions(width=side, height=288, frames=1, person=name, exposure_drift=0)).frame(0)
            for side, name in ((192, "noor"), (216, "kofi"))
        )
        self.warnings: list[str] = []
        self.sitting = np.full((288, 288, 3), 150, np.uint8)
        self.sitting[:, 48:240] = small
        self.walking = cv2.resize(large, (270, 360))[:288]

    def __iter__(self) -> Iterator[SourceFrame]:
        for number in range(self.count):
            rgb = self.sitting.copy()
            if number in self.away:
                rgb[:] = 150
            if number in self.crossing:
                x = -270 + (number - self.crossing.start) * 29
                start, end = max(x, 0), min(x + 270, 288)
                rgb[:, start:end] = self.walking[:, start - x : end - x]
            yield SourceFrame(number, number / self.fps, rgb)


@pytest.mark.slow
@pytest.mark.usefixtures("face_models")
def test_a_passer_by_in_front_is_left_out_and_the_main_person_found_again(tmp_path: Path) -> None:
    street = Street()
    workspace = Workspace(tmp_path / "clip")
    workspace.open({}, overwrite=False)
    numbers = np.arange(street.count)
    table = find_training_landmarks(street, numbers, FaceFollower(FaceModels(), 1), workspace, None)
    kept, warnings = choose_person(table, "street.mp4", street.count)
    centers = np.array([points[:468, :2].mean(0) for points in kept.points])
    assert np.abs(centers - np.median(centers, axis=0)).max() < 12  # pixels; the other face is 30 and more away
    before, after = set(range(street.crossing.start)), set(range(street.away.stop, street.count))
    assert before | after | set(range(34, 40)) <= set(kept.number)
    assert not set(kept.number) & set(street.away)
    assert any("another person than the one seen largest and longest" in text for text in warnings)

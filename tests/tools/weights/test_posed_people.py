"""Posed people, and what the shipped network sees of one that it has not learned from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.facs.table import FacsTable
from capture.pixels.correction import SeenFaces, clip_changes
from capture.pixels.network import PixelNetwork
from tools.weights.pixels import FIRST
from tools.weights.posed_people import BLIND, CropTracker, PosedPerson, TrackedCrops, random_expression

#: Not among those that the network is trained with.
SEED = FIRST - 1
IMAGES = 16
_NOT_SHOWN = ("eyeLook", "tongue")


@pytest.fixture(scope="module")
def person() -> PosedPerson:
    return PosedPerson.drawn(SEED, IMAGES)


@pytest.fixture(scope="module")
def tracked(person: PosedPerson) -> TrackedCrops:
    return CropTracker(PixelNetwork.load().grid)(person)


def test_random_faces_show_everything_and_rest_often() -> None:
    rng, table = np.random.default_rng(0), FacsTable.load()
    faces = np.stack([random_expression(rng, table) for _ in range(400)])
    assert faces.min() >= 0 and faces.max() <= 1
    shown = (faces > 0.3).mean(0)
    named = {
        name: part for name, part in zip(ARKIT_52, shown, strict=True) if not name.startswith(("eyeLook", "tongue"))
    }
    assert np.mean([part > 0 for part in named.values()]) > 0.9
    assert all(0.03 < part < 0.3 for name, part in named.items() if name.startswith(BLIND))
    columns = [ARKIT_52.index(name) for name in named]
    assert (faces[:, columns].max(1) < 0.3).mean() > 0.05


def test_one_sided_faces_are_of_both_sides_alike() -> None:
    rng, table = np.random.default_rng(1), FacsTable.load()
    faces = np.stack([random_expression(rng, table) for _ in range(600)])
    left, right = (faces[:, ARKIT_52.index(f"mouthSmile{side}")] for side in ("Left", "Right"))
    alone = (left > 0.3) & (right < 0.1), (right > 0.3) & (left < 0.1)
    assert all(each.sum() >= 5 for each in alone)


def test_the_person_depends_on_the_seed_alone(person: PosedPerson) -> None:
    again = PosedPerson.drawn(SEED, 2)
    assert len(person.images) == IMAGES and len(again.images) == 2
    np.testing.assert_array_equal(PosedPerson.drawn(SEED, 2).images[1], again.images[1])
    assert cv2.imdecode(person.images[0], cv2.IMREAD_COLOR).shape == (400, 320, 3)


def test_the_network_finds_in_an_unseen_person_what_landmarks_do_not(tracked: TrackedCrops) -> None:
    network = PixelNetwork.load()
    features = np.stack([network.features(crops) for crops in tracked.crops])
    seen = SeenFaces(features, tracked.tracked, tracked.yaw_pitch)
    changed = tracked.tracked + clip_changes(network, seen)
    blind = [column for column, name in enumerate(ARKIT_52) if name.startswith(BLIND)]

    def error(weights: np.ndarray) -> float:
        wrong = (weights - tracked.true)[:, blind]
        return float(np.abs(wrong - wrong[seen.calm()].mean(0)).mean())

    assert len(tracked.true) > 0.8 * IMAGES
    assert error(changed) < 0.75 * error(tracked.tracked)

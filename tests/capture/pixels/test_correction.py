"""Changes relative to the calm frames of a person."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from capture.pixels.correction import Reference, RunningChanges, SeenFaces, clip_changes
from capture.pixels.network import PixelNetwork

SMILE = ARKIT_52.index("mouthSmileLeft")


@pytest.fixture(scope="module")
def clip() -> SeenFaces:
    """A person at rest in 60 of 100 frames, who smiles and turns in the others."""
    rng = np.random.default_rng(0)
    weights = np.clip(0.2 + rng.normal(0, 0.01, (100, 52)), 0, 1)
    features = rng.normal(0, 0.1, (100, 2, 48)) + rng.normal(0, 1, (2, 48))
    turned = rng.normal(0, 0.02, (100, 2))
    weights[60:, SMILE] = 0.9
    features[60:] += 1.0
    turned[80:, 0] = 0.6
    return SeenFaces(features, weights, turned)


def test_calm_frames_are_usual_and_face_the_camera(clip: SeenFaces) -> None:
    calm = clip.calm()
    assert len(calm) == 25 and calm.max() < 60


def test_calm_frames_do_not_change_on_the_mean(clip: SeenFaces) -> None:
    changes = clip_changes(PixelNetwork.load(), clip)
    np.testing.assert_allclose(changes[clip.calm()].mean(0), 0, atol=1e-6)
    assert np.abs(changes[60:]).max() > 0.02


def test_live_changes_begin_with_the_calm_face_and_become_those_of_a_clip(clip: SeenFaces) -> None:
    network = PixelNetwork.load()
    running = RunningChanges(network)
    found = [running(SeenFaces(*(value[k : k + 1] for value in vars(clip).values())), 0.25 * k) for k in range(100)]
    assert (np.stack(found[:9]) == 0).all()
    np.testing.assert_allclose(found[-1], Reference.of(network, clip).changes_of(clip)[-1], atol=1e-6)


def test_live_frames_of_a_moment_count_once(clip: SeenFaces) -> None:
    running = RunningChanges(PixelNetwork.load())
    one = SeenFaces(*(value[:1] for value in vars(clip).values()))
    assert all((running(one, 0.01 * k) == 0).all() for k in range(19))


def test_another_person_starts_anew(clip: SeenFaces) -> None:
    running = RunningChanges(PixelNetwork.load())
    frames = [SeenFaces(*(value[k : k + 1] for value in vars(clip).values())) for k in range(60, 75)]
    before = [running(frame, 0.3 * k) for k, frame in enumerate(frames)]
    running.reset()
    after = [running(frame, 0.3 * k) for k, frame in enumerate(frames)]
    np.testing.assert_array_equal(before, after)

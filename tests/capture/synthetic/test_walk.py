"""A drawn walk around a person: the truth is relative to the camera, the person stays in their light."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.video import SyntheticScene


@pytest.fixture(scope="module")
def scene(sparse: str) -> SyntheticScene:
    options = SyntheticOptions(person=sparse, performance="orbit", frames=4, width=96, height=128, noise=0)
    return SyntheticScene(options)


def test_the_camera_goes_once_around_the_head(scene: SyntheticScene) -> None:
    forward = scene.truth().skull_rotation[:, :, 2]
    around = np.degrees(np.unwrap(np.arctan2(forward[:, 0], forward[:, 2])))
    np.testing.assert_allclose(np.abs(around), [0, 90, 180, 270], atol=40)
    assert np.abs(around[2]) > 120


def test_the_truth_is_where_the_person_is_drawn(scene: SyntheticScene) -> None:
    truth = scene.truth()
    for step in (0, 2):
        matte = scene.record(step)[0].matte
        x, y = truth.landmarks[0, step, 168].astype(int)  # between the eyes
        assert matte[y, x] > 200
        assert matte[:, 0].max() < 200  # beside the head there is room


def test_the_room_moves_behind_the_person(scene: SyntheticScene) -> None:
    first, second = (scene.record(step)[0] for step in (0, 1))
    behind = (first.matte == 0) & (second.matte == 0)
    assert np.abs(first.rgb[behind].astype(int) - second.rgb[behind].astype(int)).mean() > 10


@pytest.mark.parametrize("option", [{"cameras": 2}, {"held_out": True}], ids=["cameras", "held_out"])
def test_options_of_moving_people_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(HeadsplatError, match=f"{next(iter(option))}: not for the performance orbit"):
        SyntheticOptions(performance="orbit", **option)

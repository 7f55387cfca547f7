"""Changes of the expressions of a clip by what its stored frames show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from avatar.data.capture_folder import FRAMES_DIR, frame_name
from avatar.head import load_head
from avatar.head.arkit import ARKIT_52
from avatar.head.model import HeadModel
from capture.stages.images import SmallImages
from capture.stages.pixels import track_pixels

ROWS, SIDE, FOCAL = 24, 160, 200.0
HELD_OUT = np.arange(ROWS) % 6 == 5
Clip = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


@pytest.fixture
def changes(head: HeadModel, tmp_path: Path) -> Clip:
    """The changes of a clip of noise; `other` are rows with other noise and other expressions."""

    def of(
        other: np.ndarray | None = None, model: HeadModel = head, hidden: dict[str, np.ndarray] | None = None
    ) -> np.ndarray:
        rng = np.random.default_rng(0)
        expression = rng.uniform(0, 0.3, (ROWS, len(model.expression_names)))
        noise = rng.integers(0, 256, (ROWS, SIDE, SIDE), dtype=np.uint8)
        if other is not None:
            expression[other] = 0.7
            noise[other] = noise[other][:, ::-1]
        folder = tmp_path / FRAMES_DIR
        folder.mkdir(exist_ok=True)
        for row in range(ROWS):
            image = cv2.cvtColor(cv2.GaussianBlur(noise[row], (0, 0), 3), cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / frame_name(row)), image)
        track = {
            "frame_number": np.arange(ROWS),
            "time": np.arange(ROWS) / 30,
            "is_test": HELD_OUT,
            "identity": np.zeros(head.shapedirs.shape[2]),
            "expression": expression,
            "joint_rot": np.zeros((ROWS, 5, 3)),
            "translation": np.tile([0.0, 0.04, -0.45], (ROWS, 1)),
            "principal_point": np.full((ROWS, 2), SIDE / 2),
        }
        return track_pixels(model, SmallImages(tmp_path, (SIDE, SIDE)), track, FOCAL, hidden)["expression_change"]

    return of


def test_only_expressions_that_pixels_show_change(changes: Clip, head: HeadModel) -> None:
    found = changes()
    assert found.shape == (ROWS, len(head.expression_names)) and np.abs(found).max() <= 1
    still = [name for name, column in zip(head.expression_names, found.T, strict=True) if not column.any()]
    assert set(still) >= {name for name in head.expression_names if name.startswith(("eyeLook", "tongue", "eyelid"))}
    assert not {"cheekPuff", "eyeWideLeft", "mouthPressRight"} & set(still)


def test_training_frames_depend_on_training_frames_only(changes: Clip) -> None:
    before, after = changes(), changes(HELD_OUT)
    np.testing.assert_array_equal(before[~HELD_OUT], after[~HELD_OUT])
    assert np.abs(before[HELD_OUT] - after[HELD_OUT]).max() > 0.01


def test_changes_follow_time_smoothly(changes: Clip) -> None:
    found = changes()[~HELD_OUT]
    assert np.abs(np.diff(found, axis=0)).mean() < 0.7 * found.std()


def test_a_head_without_these_expressions_has_no_changes(changes: Clip, head: HeadModel) -> None:
    names = tuple(name.replace("cheekPuff", "puff") for name in head.expression_names)
    assert "cheekPuff" in ARKIT_52
    assert not changes(None, replace(head, expression_names=names)).any()


def test_changes_of_a_hidden_mouth_lie_between_those_before_and_after(changes: Clip, head: HeadModel) -> None:
    mask = (np.arange(ROWS) >= 6) & (np.arange(ROWS) < 23)
    free, held = changes(), changes(None, head, {"mouth": mask})
    puff, wide = (head.expression_names.index(name) for name in ("cheekPuff", "eyeWideLeft"))
    np.testing.assert_array_equal(free[:, wide], held[:, wide])
    middle = slice(12, 17)  # training frames away from those that are smoothed with visible ones
    assert np.abs(np.diff(held[middle, puff], 2)).max() < 0.02 < np.abs(np.diff(free[middle, puff], 2)).max()

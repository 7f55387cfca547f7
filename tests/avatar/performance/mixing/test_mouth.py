"""The opening of the mouth in millimeters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.head import load_head
from avatar.motion.lip_gap import LipGap
from avatar.performance.mixing.mouth import Opening, mouth_model, soft_limit
from avatar.performance.mixing.regions import NAMES, REGIONS
from tests.avatar.performance.mixing.made_up import padded, talking

OTHERS = [index for index, name in enumerate(NAMES) if name not in (*REGIONS["lips"], *REGIONS["jaw"])]


def test_the_model_is_the_lip_gap_of_the_embedded_head() -> None:
    head, motion = load_head(), talking()
    gap = LipGap.of(head)
    assert gap is not None
    columns = [head.expression_index(name) for name in motion.names]
    expected = 1000 * (gap.at_rest + motion.weights @ gap.opening[torch.tensor(columns)])
    assert np.allclose(mouth_model().gap(padded(motion)), expected.numpy(), atol=0.06)


@given(st.floats(0, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_any_face_can_get_any_opening_within_bounds(target: float, seed: int) -> None:
    face = np.random.default_rng(seed).random((1, len(NAMES))) * np.random.default_rng(seed + 1).random()
    face[0, NAMES.index("mouthClose")] *= 0.2
    found = mouth_model().with_gap(face, np.array([target]))
    assert found.min() >= 0 and found.max() <= 1
    assert mouth_model().gap(found)[0] == pytest.approx(target, abs=0.02)


def test_opening_a_closed_mouth_moves_jaw_and_lips() -> None:
    found = mouth_model().with_gap(np.zeros((1, len(NAMES))), np.array([12.0]))[0]
    moved = {name for name, weight in zip(NAMES, found, strict=True) if weight > 0}
    assert {"jawOpen", "mouthLowerDownLeft", "mouthUpperUpRight"} <= moved
    assert mouth_model().opening[NAMES.index("jawOpen")] * found[NAMES.index("jawOpen")] > 8


def test_a_wider_mouth_does_not_show_more_tongue() -> None:
    face = np.zeros((1, len(NAMES)))
    face[0, [NAMES.index("jawOpen"), NAMES.index("tongueOut")]] = 0.2, 0.3
    assert mouth_model().with_gap(face, np.array([15.0]))[0, NAMES.index("tongueOut")] == 0.3


def test_a_constant_opening_is_met_in_every_frame() -> None:
    weights = padded(talking())
    found = Opening(set_mm=8.0).apply(weights, np.arange(len(weights)) / 30)
    assert np.allclose(mouth_model().gap(found), 8, atol=0.01)
    assert np.array_equal(found[:, OTHERS], weights[:, OTHERS])


def test_a_keyframed_opening_follows_its_keys() -> None:
    weights, times = padded(talking()), np.arange(121) / 30
    found = mouth_model().gap(Opening(set_mm=[[0, 0], [2, 20], [4, 5]]).apply(weights, times))
    assert found[[0, 60, 120]] == pytest.approx([0, 20, 5], abs=0.02) and (np.diff(found[:60]) > -1e-9).all()


def test_a_peak_scales_all_openings() -> None:
    weights = padded(talking())
    before = mouth_model().gap(weights)
    found = mouth_model().gap(Opening(peak_mm=18.0).apply(weights, np.arange(len(weights)) / 30))
    assert found.max() == pytest.approx(18, abs=0.02) and np.allclose(found, before * 18 / before.max(), atol=0.02)


def test_a_limit_is_never_exceeded_and_leaves_small_openings() -> None:
    weights = padded(talking())
    before = mouth_model().gap(weights)
    found = Opening(limit_mm=5.0).apply(weights, np.arange(len(weights)) / 30)
    assert mouth_model().gap(found).max() <= 5
    assert np.array_equal(found[before < 3.5], weights[before < 3.5])


def test_a_limit_of_0_closes_the_mouth() -> None:
    assert soft_limit(np.array([3.0, 0.0]), 0).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peak_mm": 50.0}, "`opening.peak_mm` is 50, expected 0 to 45 mm"),
        ({"limit_mm": float("nan")}, "`opening.limit_mm` is nan, expected 0 to 45 mm"),
        ({"set_mm": -1.0}, "`opening.set_mm` expects [seconds, mm] pairs with 0 to 45 mm"),
        ({"set_mm": [[0.0, 1.0, 2.0]]}, "`opening.set_mm` expects [seconds, mm] pairs with 0 to 45 mm"),
        ({"set_mm": [[0.0, 1.0], [0.0, 2.0]]}, "`opening.set_mm`: two keys at 0 s; keep one of them"),
        ({"set_mm": []}, "`opening.set_mm`: no keys; give at least one"),
    ],
)
def test_bad_openings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Opening(**values)  # type: ignore[arg-type]
    assert str(caught.value) == message

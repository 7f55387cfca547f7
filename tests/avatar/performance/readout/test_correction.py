"""The correction of tracked weights, and how it is learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from avatar.performance.readout import correction
from avatar.performance.readout.correction import KEPT, corrected
from avatar.performance.readout.signals import MIRROR
from tools.weights.correction import fit, write


def weights(**values: float) -> np.ndarray:
    """One row [1,52]; a name without a side stands for both."""
    row = np.zeros((1, 52))
    for name, value in values.items():
        row[0, [k for k, known in enumerate(ARKIT_52) if known in (name, f"{name}Left", f"{name}Right")]] = value
    return row


def test_a_face_at_rest_stays_at_rest_and_results_are_weights() -> None:
    assert (corrected(np.zeros((3, 52))) == 0).all()
    found = corrected(np.random.default_rng(0).uniform(0, 1, (100, 52)))
    assert found.min() >= 0 and found.max() <= 1


def test_gaze_and_closed_lids_stay_as_they_are() -> None:
    given = np.random.default_rng(1).uniform(0, 1, (20, 52))
    np.testing.assert_array_equal(corrected(given)[:, KEPT], given[:, KEPT])


@pytest.mark.parametrize("name", ["mouthSmile", "browOuterUp", "noseSneer", "mouthDimple"])
def test_what_one_side_shows_stays_on_that_side(name: str) -> None:
    left, right = (ARKIT_52.index(f"{name}{side}") for side in ("Left", "Right"))
    half = corrected(weights(**{f"{name}Left": 0.7}))[0]
    assert half[left] > 4 * half[right] and half[left] > 0.3


def test_left_and_right_are_treated_alike() -> None:
    given = np.random.default_rng(2).uniform(0, 1, (20, 52))
    np.testing.assert_allclose(corrected(given[:, MIRROR])[:, MIRROR], corrected(given), atol=2e-3)


@pytest.mark.parametrize("name", ["mouthSmile", "jawOpen", "browOuterUp", "mouthPucker", "mouthFrown", "eyeBlink"])
def test_a_clear_expression_stays_the_strongest(name: str) -> None:
    found = corrected(weights(**{name: 0.6}))[0]
    assert ARKIT_52[int(found.argmax())].startswith(name) and found.max() > 0.3


def test_a_known_response_of_a_tracker_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    shown = rng.uniform(0, 0.5, (6000, 52)) * (rng.uniform(size=(6000, 52)) < 0.2)
    shown = np.maximum(shown, shown[:, MIRROR])
    response = 0.5 * np.eye(52)
    smile, jaw = (ARKIT_52.index(name) for name in ("mouthSmileLeft", "jawOpen"))
    response[jaw, [smile, MIRROR[smile]]] = 0.2  # an open jaw is seen as a smile too
    write(tmp_path / "correction.csv", fit(shown @ response, shown, np.ones(len(shown))))
    monkeypatch.setattr(correction, "FILE", tmp_path / "correction.csv")
    correction.correction.cache_clear()
    try:
        found = corrected(shown @ response)
    finally:
        correction.correction.cache_clear()
    assert np.abs(found - shown)[:, ~KEPT].max() < 0.1
    assert np.abs((shown @ response - shown)[:, smile]).max() > 0.2


def test_an_expression_that_was_never_shown_is_never_read() -> None:
    shown = np.random.default_rng(4).uniform(0, 1, (500, 52))
    shown[:, ARKIT_52.index("cheekPuff")] = 0
    assert not fit(0.5 * shown, shown, np.ones(500))[:, ARKIT_52.index("cheekPuff")].any()

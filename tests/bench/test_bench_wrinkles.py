"""The wrinkle bench holds out mixtures that no trained expression shows, with the head as in training."""

from __future__ import annotations

import numpy as np

from tests.bench.bench_wrinkles import EXTREMES, MIXTURES, error, mixture, script


def test_a_mixture_has_the_brows_of_one_and_the_mouth_of_the_other() -> None:
    found = mixture({"browInnerUp": 1.0, "jawOpen": 0.7}, {"browDown": 0.5, "mouthSmile": 0.9})
    assert found == {"browInnerUp": 1.0, "mouthSmile": 0.9}


def test_no_mixture_is_an_extreme() -> None:
    assert all(mixture(EXTREMES[a], EXTREMES[b]) not in EXTREMES for a, b in MIXTURES)


def test_the_head_turns_as_far_in_a_held_out_part_as_in_a_trained_one() -> None:
    head = script().head
    assert len(head) == len(EXTREMES) + len(MIXTURES) + 1
    assert np.array_equal(np.abs(np.diff(head[:, 1:], axis=0)), np.tile([[16.0, 4.0, 0.0]], (len(head) - 1, 1)))


def test_the_error_counts_only_pixels_with_lines() -> None:
    plain = np.full((32, 32, 3), 0.5)
    lined, wrong = plain.copy(), plain.copy()
    lined[8, :] -= 0.3
    wrong[24, :] -= 0.3
    truth, without = [(lined, plain[..., 0])], [(plain, plain[..., 0])]
    rows = np.array([0])
    assert error(truth, truth, without, rows) == 0
    assert error(without, truth, without, rows) > 10
    assert error([(lined + wrong - plain, plain[..., 0])], truth, without, rows) < 0.1

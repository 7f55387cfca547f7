"""Landmarks of lids and lips, against those of the whole mesh of the embedded head."""

from __future__ import annotations

import torch

from avatar.head import load_head
from avatar.motion.correspondence import LID_PAIRS, landmark_columns, landmark_mirror, neutral_landmarks
from avatar.motion.lip_gap import LipGap


def test_the_lids_of_the_left_eye_mirror_those_of_the_right_one() -> None:
    mirror = landmark_mirror()
    right, left = LID_PAIRS
    assert [tuple(mirror[list(pair)]) for pair in right] == list(left)


def test_the_lip_gap_is_that_of_the_motion_of_all_vertices() -> None:
    head = load_head()
    gap = LipGap.of(head)
    assert gap is not None
    fields, points = landmark_columns(head, head.expression_motion())[:, 1], neutral_landmarks(head)[:, 1]
    upper, lower = [13, 82, 312], [14, 87, 317]
    expected = torch.from_numpy((fields[upper] - fields[lower]).mean(0)).float()
    assert torch.allclose(gap.opening, expected, atol=1e-8)
    assert float(gap.at_rest) == torch.tensor((points[upper] - points[lower]).mean()).float()
    assert float(gap.opening[head.expression_index("jawOpen")]) > 0.02

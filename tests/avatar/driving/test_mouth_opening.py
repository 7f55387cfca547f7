"""The widest opening of a mouth, set in millimeters of the avatar's own mesh."""

from __future__ import annotations

import pytest
import torch

from avatar.driving.mouth_opening import with_peak_opening
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.types import HeadParams


def millimeters(head: HeadModel, params: HeadParams) -> torch.Tensor:
    """Gaps [T] of the middle three pairs of the inner lips, from all landmarks of the posed mesh."""
    upward = head.skull_landmarks(params)[..., 1]
    return 1000 * (upward[:, [13, 82, 312]] - upward[:, [14, 87, 317]]).mean(1)


def speaking(head: HeadModel) -> HeadParams:
    """Closed, half open, open with raised lips, and pressed lips over an open jaw."""
    params = head.neutral_params(4)
    for row, weights in enumerate(
        (
            {"mouthPressLeft": 0.3},
            {"jawOpen": 0.25},
            {"jawOpen": 0.6, "mouthUpperUpLeft": 0.5},
            {"jawOpen": 0.3, "mouthClose": 0.9},
        )
    ):
        for name, weight in weights.items():
            params.expression[row, head.expression_index(name)] = weight
    params.expression[:, head.expression_index("mouthLowerDownLeft")] += 0.1  # a resting face that parts the lips
    return params


@pytest.mark.parametrize("wanted", [2, 5, 12, 20, 30])
def test_the_widest_mouth_opens_as_far_as_asked_for_and_others_in_proportion(wanted: float) -> None:
    head = load_head()
    params = speaking(head)
    before = millimeters(head, params)
    found, widest = with_peak_opening(head, params, wanted)
    after = millimeters(head, found)
    assert widest == pytest.approx(wanted, rel=0.01) and float(after.max()) == pytest.approx(wanted, rel=0.01)
    opened = before > 0
    assert after[opened] == pytest.approx(before[opened] * wanted / before.max(), rel=0.01, abs=0.02)
    assert torch.equal(found.expression[~opened], params.expression[~opened])
    assert float(found.expression.min()) >= 0 and float(found.expression.max()) <= 1


def test_what_no_head_can_show_is_as_wide_as_it_gets() -> None:
    head = load_head()
    found, widest = with_peak_opening(head, speaking(head), 45)
    assert 30 < widest < 45 and float(millimeters(head, found).max()) == pytest.approx(widest, abs=0.01)


def test_a_mouth_that_never_opens_is_refused() -> None:
    head = load_head()
    with pytest.raises(HeadsplatError, match=r"--mouth-mm: the mouth opens by at most 0\.[0-9] mm in this motion"):
        with_peak_opening(head, head.neutral_params(2), 10)

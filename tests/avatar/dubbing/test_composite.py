"""A frame with a part replaced: what stays of the film to the bit, and how new pixels fit it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatar.dubbing.composite import composite
from avatar.dubbing.motion_field import MotionField

SIDE = 96
Y, X = np.mgrid[:SIDE, :SIDE].astype(np.float32)
GRID = np.stack([X, Y], -1)
#: A disc of skin in front of a wall, and the mouth in it.
SKIN = np.hypot(X - 48, Y - 48) < 36
MOUTH = (np.abs(X - 48) < 14) & (np.abs(Y - 58) < 8)
FIELD = MotionField(
    GRID, np.ones((SIDE, SIDE), np.float32), MOUTH.astype(np.float32),
    np.clip((30 - np.hypot(X - 48, Y - 52)) / 6, 0, 1),
)  # fmt: skip


def render(mouth: tuple[int, int, int]) -> np.ndarray:
    color = np.where(SKIN[..., None], np.float32([190, 150, 130]), 0)
    color = np.where(MOUTH[..., None], np.float32(mouth), color)
    return np.concatenate([color, 255 * SKIN[..., None]], 2).astype(np.uint8)


def film(seed: int = 0, noise: float = 2.0) -> np.ndarray:
    """What the avatar shows with a closed mouth, in other light and with grain, before a blue wall."""
    closed = render((150, 60, 60)).astype(np.float32)
    lit = closed[..., :3] * (0.8 + 0.2 * X[..., None] / SIDE)
    image = np.where(SKIN[..., None], lit, np.float32([40, 60, 160]))
    return np.clip(image + noise * np.random.default_rng(seed).standard_normal((SIDE, SIDE, 1)), 0, 255).astype(
        np.uint8
    )


def test_the_film_s_own_face_is_the_film() -> None:
    closed = render((150, 60, 60))
    made = composite(film(), closed, closed, FIELD, 3)
    assert np.array_equal(made.image, film())


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_outside_of_the_mask_every_bit_stays(strength: float) -> None:
    made = composite(film(), render((150, 60, 60)), render((30, 10, 10)), FIELD, 3, strength)
    outside = made.mask == 0
    assert outside.mean() > 0.4 and np.array_equal(made.image[outside], film()[outside])
    assert 0 < made.mask.max() <= strength + 1e-6
    changed = np.abs(made.image.astype(int) - film()).max(2) > 30
    assert changed[MOUTH].mean() > 0.7 and not changed[~MOUTH & (np.hypot(X - 48, Y - 58) > 24)].any()


def test_a_new_mouth_has_the_light_of_its_place() -> None:
    made = composite(film(noise=0), render((150, 60, 60)), render((100, 90, 90)), FIELD, 3)
    inner = (np.abs(X - 48) < 9) & (np.abs(Y - 58) < 4)
    expected = np.float32([100, 90, 90]) * (0.8 + 0.2 * X[..., None] / SIDE)
    assert np.abs(made.image.astype(np.float32) - expected)[inner].max() < 5


def test_a_new_mouth_has_the_grain_of_the_film() -> None:
    made = composite(film(noise=4), render((150, 60, 60)), render((100, 90, 90)), FIELD, 3)
    inner = made.image[54:62, 39:57, 1].astype(np.float32)
    assert (inner - inner.mean(0)).std() == pytest.approx(4, rel=0.3)
    again = composite(film(noise=4), render((150, 60, 60)), render((100, 90, 90)), FIELD, 3)
    assert np.array_equal(made.image, again.image)


def test_no_seam_crosses_the_border_of_the_mask() -> None:
    """Steps between neighbors where the mask falls are those of the film, though avatar and film differ there."""
    made = composite(film(), render((150, 60, 60)), render((30, 10, 10)), FIELD, 3)
    border = (made.mask > 0.02) & (made.mask < 0.98) & (np.hypot(X - 48, Y - 58) > 22)
    steps = [np.abs(np.diff(image.astype(np.float32), axis=0)).mean(2)[border[1:]] for image in (made.image, film())]
    assert steps[0].mean() == pytest.approx(steps[1].mean(), rel=0.05)


def test_what_the_film_does_not_show_is_the_avatar_s() -> None:
    hidden = (np.abs(X - 48) < 20) & (np.abs(Y - 76) < 3)
    field = replace(FIELD, seen=1 - hidden.astype(np.float32))
    with_beard = film(noise=0)
    with_beard[hidden] = 20  # the film's chin was there
    made = composite(with_beard, render((150, 60, 60)), render((150, 60, 60)), field, 3)
    middle = (np.abs(X - 48) < 12) & (Y == 76)
    assert made.image[middle][:, 0].min() > 100
    assert made.kept[middle].max() < 0.01

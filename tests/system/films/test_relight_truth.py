"""Relit avatars of a procedural person against images of that person in the other light."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.model.parts.light.head_light import GAMMA, HeadLight
from avatar.model.parts.light.lights import Light
from avatar.model.parts.light.relight import Relighting, relit
from avatar.rendering.animator import Animator
from avatar.training.config import TrainConfig
from avatar.types import Camera
from capture.synthetic.exact_capture import write_exact_capture
from capture.synthetic.options import SyntheticOptions
from capture.synthetic.video import SyntheticScene
from tests.support.build_cache import cached_avatar
from tests.support.parts import required
from tests.support.room_light import room_coefficients

SIZE, FRAMES = 96, 20
EXACT = {"width": SIZE, "height": SIZE, "frames": FRAMES, "noise": 0.0, "exposure_drift": 0.0, "handheld": 0.0}


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A person in a strong light from the right. Read only."""
    scene = SyntheticScene(SyntheticOptions(light="right", **EXACT))  # type: ignore[arg-type]
    return write_exact_capture(tmp_path_factory.mktemp("light") / "right.capture", scene)


@pytest.fixture(scope="module")
def trained(filmed: Capture) -> Avatar:
    """An avatar of that person with the light of the clip. Read only."""
    config = TrainConfig(size=SIZE, steps=150, gaussians=2000, light=True, refine_at=1.0)
    return cached_avatar("relight", filmed, config)


@pytest.fixture(scope="module")
def from_left() -> SyntheticScene:
    """The same person and motion in a strong light from the left."""
    return SyntheticScene(SyntheticOptions(light="left", **EXACT))  # type: ignore[arg-type]


def view(filmed: Capture) -> Camera:
    stored = filmed.metadata["cameras"][0]
    K, pose = (torch.tensor(stored[key], dtype=torch.float32)[None] for key in ("K", "world_to_cam"))
    return Camera(K, pose, SIZE, SIZE)


def head_image(avatar: Avatar, filmed: Capture, frame: int) -> tuple[Tensor, Tensor]:
    """Image [H,W,3] and mask [H,W] of the head, without clothes."""
    animator = Animator(avatar, SIZE, SIZE, (0, 0, 0))
    animator.render(filmed.params(np.array([frame])), view(filmed))
    torso = animator.blend_features(avatar.rig.skin[:, None].repeat(1, 3))[..., 0]
    return animator.rgb.clone(), (animator.alpha > 0.95) & (torso < 0.2)


def psnr(images: list[Tensor], truths: list[Tensor], masks: list[Tensor]) -> float:
    """Over the pixels of the masks, after the best common exposure in linear light."""
    pixels = torch.cat([image[mask] for image, mask in zip(images, masks, strict=True)]).clamp(0, 1) ** GAMMA
    truth = torch.cat([image[mask] for image, mask in zip(truths, masks, strict=True)])
    errors = [
        ((pixels * gain).clamp(0, 1) ** (1 / GAMMA) - truth).square().mean() for gain in np.linspace(0.4, 2.5, 60)
    ]
    return -10 * float(torch.stack(errors).min().log10())


@pytest.mark.slow
def test_relit_images_are_3_db_nearer_to_the_truth(filmed: Capture, trained: Avatar, from_left: SyntheticScene) -> None:
    assert trained.part(HeadLight) is not None
    other = relit(trained, Relighting(Light("left", torch.from_numpy(room_coefficients("left")).float())))
    frames = (2, 11)
    truths = [torch.from_numpy(from_left.frame(frame).copy()).float() / 255 for frame in frames]
    shown = [head_image(other, filmed, frame) for frame in frames]
    before = [head_image(trained, filmed, frame)[0] for frame in frames]
    masks = [mask for _, mask in shown]
    assert psnr([image for image, _ in shown], truths, masks) > psnr(before, truths, masks) + 3


@pytest.mark.slow
def test_the_trained_light_comes_from_the_right(trained: Avatar) -> None:
    assert trained.part(HeadLight) is not None
    shape = required(trained, HeadLight).shape.mean(1)
    assert float(shape[2]) < -0.2  # the term of -x


def test_the_light_of_a_capture_is_an_option_that_knows_its_names(tmp_path: Path) -> None:
    from avatar.errors import HeadsplatError

    with pytest.raises(
        HeadsplatError, match=r"SyntheticOptions\.light: expected room, left, right, below, albedo, found"
    ):
        SyntheticOptions(light="disco")


def test_albedo_has_no_shading(from_left: SyntheticScene) -> None:
    """The same skin on both sides of the face: in a room the one near the window is brighter."""
    unlit = SyntheticScene(SyntheticOptions(light="albedo", **EXACT))  # type: ignore[arg-type]
    images = {"left": from_left.frame(0).astype(float), "albedo": unlit.frame(0).astype(float)}
    sides = {name: (image[48:54, 38:43].mean(), image[48:54, 55:60].mean()) for name, image in images.items()}
    assert sides["left"][0] > 1.15 * sides["left"][1]
    assert sides["albedo"][0] == pytest.approx(sides["albedo"][1], rel=0.1)

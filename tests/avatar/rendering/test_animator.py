"""The path of a render loop: the same images as the training path, in reused memory."""

from __future__ import annotations

import pytest
import torch

from avatar import ops, reference
from avatar.data.capture_folder import Capture
from avatar.model.avatar import Avatar
from avatar.rendering.animator import Animator
from avatar.rendering.render import render, to_uint8
from avatar.types import Camera

CAMERA = Camera.facing(200.0, 72, 56)


def test_an_animator_renders_the_images_of_the_training_path(tiny_avatar: Avatar, tiny: Capture) -> None:
    animator = Animator(tiny_avatar, 72, 56, (0.2, 0.5, 0.9), with_depth=True)
    for frame in (2, 5):
        params = tiny.params([frame])
        with torch.no_grad():
            out = render(tiny_avatar(tiny_avatar.with_identity(params)), CAMERA, (0.2, 0.5, 0.9))
        image = animator.render(params, CAMERA)
        assert (image.int() - to_uint8(out.rgb[0]).int()).abs().max() <= 1  # the basis is read in half precision
        assert animator.depth is not None and out.depth is not None
        torch.testing.assert_close(animator.depth, out.depth[0], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(animator.alpha, out.alpha[0], rtol=0, atol=2e-3)


def test_an_animator_renders_into_the_same_memory_without_gradients(tiny_avatar: Avatar, tiny: Capture) -> None:
    animator = Animator(tiny_avatar, 72, 56)
    first = animator.render(tiny.params([2]), CAMERA)
    kept = first.clone()
    second = animator.render(tiny.params([9]), CAMERA)
    assert first.data_ptr() == second.data_ptr()
    assert not torch.equal(kept, second)
    assert animator.depth is None
    assert torch.equal(animator.render(tiny.params([2]), CAMERA), kept)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (40, 64)])
def test_bytes_of_an_image_match_the_reference(height: int, width: int) -> None:
    source = torch.Generator().manual_seed(0)
    alpha = torch.rand(2, height, width, generator=source)
    rgb = torch.rand(2, height, width, 3, generator=source) * 1.2 - 0.1
    rgb[0, 0, 0, 1], alpha[1, 0, 0] = torch.nan, torch.nan
    background = torch.tensor([0.1, 0.5, 0.9])
    found = ops.to_bytes(rgb, alpha, background)
    expected = reference.to_bytes(rgb.double(), alpha.double(), background.double())
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).float().mean() < 0.01


def test_bytes_refuse_images_of_another_dtype() -> None:
    rgb, alpha = torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match=r"out: expected uint8, got torch.float32"):
        ops.to_bytes(rgb, alpha, torch.zeros(3), torch.zeros(1, 4, 4, 3))

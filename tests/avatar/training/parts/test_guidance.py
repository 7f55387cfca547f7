"""A guidance of the caller changes what no frame shows, and nothing else calls for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.head import load_head
from avatar.model.avatar import bake_identity
from avatar.training.initialization import build_avatar
from avatar.training.parts.guidance import ELEVATION, EVERY, YAW, GuidanceTraining, GuidedView, orbit_camera
from avatar.training.trainer import Trainer
from avatar.types import Camera
from tests.avatar.training.test_relocation import CONFIG


def trained(capture: Capture, guidance: Any, steps: int = 24) -> Trainer:
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))
    frames = load_frames(capture, capture.train_indices, CONFIG.size, person)
    further = [] if guidance is None else [partial(GuidanceTraining, guidance=guidance)]
    trainer = Trainer(build_avatar(person, frames, CONFIG), frames, CONFIG, further=further)
    trainer.initialize()
    for step in range(steps):
        trainer.step(step / 1000)
    return trainer


def test_a_guidance_colors_the_back_of_the_head(tiny: Capture) -> None:
    """Everything that is seen from beyond the ears is to be green; the frames show the front."""
    green = torch.tensor([0.0, 1.0, 0.0])

    def wanted(view: GuidedView) -> Tensor | None:
        if abs(view.yaw) < 80:
            return None
        return (view.rgb - view.alpha[..., None] * green).abs().mean()

    plain, guided = (trained(tiny, guidance, 60) for guidance in (None, wanted))
    head = plain.avatar.head
    places = (head.v_template[plain.avatar.rig.triangles] * plain.avatar.rig.bary[..., None]).sum(1)
    back = places[:, 2] < -0.12

    def distance(trainer: Trainer, rows: Tensor) -> float:
        return float((trainer.avatar.colors.detach()[rows] - green).abs().mean())

    assert back.sum() > 20
    assert distance(guided, back) < distance(plain, back) - 0.05


def test_views_are_rendered_from_all_sides(tiny: Capture) -> None:
    seen: list[GuidedView] = []

    def looks(view: GuidedView) -> None:
        seen.append(view)

    trained(tiny, looks, 20 * EVERY)
    assert len(seen) == 20
    yaw, elevation = (np.array([getattr(view, name) for view in seen]) for name in ("yaw", "elevation"))
    assert yaw.min() < -YAW / 2 and yaw.max() > YAW / 2 and np.abs(elevation).max() <= ELEVATION
    for view in seen:
        assert view.rgb.shape == (64, 64, 3) and view.alpha.shape == (64, 64)
        assert view.alpha.max() > 0.9 and 0 <= view.fraction < 1


def test_a_guidance_that_abstains_changes_no_bit(tiny: Capture) -> None:
    plain, silent = trained(tiny, None), trained(tiny, lambda view: None)
    assert torch.equal(plain.avatar.colors, silent.avatar.colors)
    assert torch.equal(plain.avatar.offsets, silent.avatar.offsets)


@pytest.mark.parametrize(("value", "words"), [(torch.zeros(2), r"a tensor \[2\]"), (0.5, "float")])
def test_a_loss_must_be_a_scalar(tiny: Capture, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=f"guidance: expected a tensor with one value or None, got {words}"):
        trained(tiny, lambda view: value, 1)


def test_the_camera_turns_around_the_head() -> None:
    camera = Camera.facing(100.0, 64, 64)
    rotation, translation = torch.eye(3), torch.tensor([0.0, 0.0, -0.5])
    center = torch.tensor([0.0, 0.0, -0.58])
    left = orbit_camera(camera, rotation, translation, 90.0, 0.0)
    eye = -left.world_to_cam[0, :3, :3].T @ left.world_to_cam[0, :3, 3]
    before = -camera.world_to_cam[0, :3, :3].T @ camera.world_to_cam[0, :3, 3]
    assert torch.allclose(eye - center, torch.tensor([1.0, 0, 0]) * (before - center).norm(), atol=1e-5)
    assert torch.allclose(left.project(center[None]), camera.project(center[None]), atol=1e-3)
    above = orbit_camera(camera, rotation, translation, 0.0, 60.0)
    assert (-above.world_to_cam[0, :3, :3].T @ above.world_to_cam[0, :3, 3])[1] > 0.4
    assert torch.equal(orbit_camera(camera, rotation, translation, 0.0, 0.0).world_to_cam, camera.world_to_cam)

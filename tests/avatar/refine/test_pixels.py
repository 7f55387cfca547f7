"""The changes of pixels by the controls are those of the Gaussians and of the layer that the pixels show."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.model.avatar import assemble
from avatar.refine.controls import NAMES, Controls
from avatar.refine.crops import face_crop
from avatar.refine.pixels import ControlMotion, PixelMotion, layer_features
from avatar.refine.targets import Targets, render_targets
from avatar.types import Camera, Gaussians, PosedLayer
from tests.avatar.ops.layer_scenes import HEIGHT, WIDTH, intrinsics, layer_scene
from tests.avatar.refine.conftest import SIZE, Trained
from tests.avatar.refine.made_up import first


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft"])
def test_flow_is_the_blended_motion_of_the_projected_gaussians(trained: Trained, name: str) -> None:
    avatar = trained.avatar
    few = first(trained.frames, 3)
    states = few.states
    controls = Controls.of(avatar.head)
    targets = face_crop(avatar, Targets.of(few, SIZE), states, few.step)
    center = controls.read(states.params).clamp(controls.low, controls.high)
    step = torch.zeros_like(center)
    step[:, NAMES.index(name)] = 0.02

    @torch.no_grad()
    def posed(values: Tensor) -> Gaussians:
        moved = HeadStates.of(controls.write(states.params, values), avatar.head)
        head = avatar.rig.posed_head(moved.vertices, states.rotation, states.translation, states.torso)
        return assemble(avatar, head, avatar.blendshapes(avatar.weights(moved.features)))

    gaussians = posed(center)
    rendered = render_targets(gaussians, targets)
    ends = [targets.camera.project(posed(center + side * step).means) for side in (0.5, -0.5)]
    motion = torch.nn.functional.pad((ends[0] - ends[1]) / 0.02, (0, 1))
    expected = ops.splat_features(rendered.prepared, motion)[..., :2].flatten(1, 2)
    change = ControlMotion.of(avatar, controls.write(states.params, center)[:1], controls)
    turn = targets.camera.world_to_cam[:, :3, :3] @ states.rotation
    pixels = PixelMotion.of(change, gaussians, rendered, targets, few.step, turn)
    found = pixels.flow[..., NAMES.index(name)]
    expected = expected.gather(1, pixels.chosen[..., None].expand(-1, -1, 2))
    assert expected.norm(dim=-1).max() > 1
    error = (found - expected).norm() / expected.norm()
    assert error < 0.15  # by the components that are left out, and by differences of another size


def test_the_pixels_of_a_layer_have_the_values_of_the_surface_that_they_show() -> None:
    vertices, shade, texels, mesh = layer_scene(2)
    camera = Camera(intrinsics(2), torch.eye(4).expand(2, 4, 4), WIDTH, HEIGHT)
    pose = torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3)
    posed = PosedLayer(mesh, vertices, *pose, shade, texels, torch.ones(1))
    images = ops.layer(vertices, shade, texels, mesh, camera.K, WIDTH, HEIGHT)
    features = layer_features(vertices[0], posed, images, camera)
    coverage = images.coverage[0]
    shown = coverage > 0.99
    assert shown.sum() > 50
    torch.testing.assert_close(features[0, shown, 2], features[0, shown, 3], rtol=1e-3, atol=1e-3)
    assert not features[0, coverage == 0].any()

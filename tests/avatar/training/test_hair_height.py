"""The height of hair above the scalp, from mattes of a head with hair of a known height."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates, TrainingFrames
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals
from avatar.model.avatar import bake_identity
from avatar.training.hair_height import HIGHEST, hair_heights, hair_vertices, spread_frames
from avatar.training.initialization import LIFTED, lift_hair
from avatar.training.matte_sampling import sample_matte, uncovered_pixels
from avatar.training.mesh_sampling import sample_mesh
from avatar.types import NECK, Camera, HeadParams

SIZE, COUNT, YAW = 192, 9, 0.5
HEIGHT = 0.02  # meters


@pytest.fixture(scope="module")
def head() -> HeadModel:
    model = load_head()
    return bake_identity(model, torch.zeros(model.shapedirs.shape[2]))


def haired(head: HeadModel, height: float) -> HeadModel:
    """The head whose scalp is `height` meters higher: what it looks like with hair."""
    mask = hair_vertices(head)[:, None]
    normals = vertex_normals(head.v_template, head.faces)
    return replace(head, v_template=head.v_template + height * mask * normals)


def filmed(head: HeadModel, seen: HeadModel) -> TrainingFrames:
    """Frames of the head that turns from side to side, tracked without error; the mattes are of the head `seen`."""
    expression = torch.zeros(COUNT, len(head.expression_names))
    turn = torch.zeros(COUNT, 5, 3)
    turn[:, NECK, 1] = torch.linspace(-YAW, YAW, COUNT)
    place = torch.tensor([0.0, 0.05, -0.6]).expand(COUNT, 3)
    params = HeadParams(torch.zeros(0), expression, turn, place)
    camera = Camera.facing(1.6 * SIZE, SIZE, SIZE).repeated(COUNT)
    states, shown = HeadStates.of(params, head), HeadStates.of(params, seen)
    world = shown.vertices @ shown.rotation.transpose(1, 2) + shown.translation[:, None]
    posed = torch.stack([camera[k].to_camera(world[k]) for k in range(COUNT)])
    face_id, _, _ = ops.mesh(posed, head.faces, camera.K, SIZE, SIZE)
    alpha = ((face_id >= 0) * 255).to(torch.uint8)
    rgb = torch.full((COUNT, SIZE, SIZE, 3), 90, dtype=torch.uint8)
    step = torch.arange(COUNT)
    return TrainingFrames(rgb, alpha, camera, states, step, step.numpy() / 30, torch.ones(COUNT))


def on_outlines(head: HeadModel, frames: TrainingFrames) -> Tensor:
    """Mask [V] of the vertices of the top of the head, whose outline all frames show."""
    heights = head.v_template[:, 1]
    hair = hair_vertices(head)
    return hair & (heights > heights[hair].quantile(0.9))


@pytest.mark.parametrize("height", [0.01, HEIGHT])
def test_hair_of_one_height_is_measured(head: HeadModel, height: float) -> None:
    found = hair_heights(head, filmed(head, haired(head, height)))
    hair = hair_vertices(head).numpy()
    assert (found[~hair] == 0).all() and found.min() >= 0 and found.max() <= HIGHEST
    assert np.median(found[hair]) == pytest.approx(height, abs=0.004)
    top = on_outlines(head, filmed(head, head)).numpy()
    assert found[top].mean() == pytest.approx(height, abs=0.005)


def test_a_bald_head_has_no_hair(head: HeadModel) -> None:
    found = hair_heights(head, filmed(head, head))
    assert np.quantile(found, 0.99) < 0.006


def test_more_hair_is_never_lower(head: HeadModel) -> None:
    low, high = (hair_heights(head, filmed(head, haired(head, height))) for height in (0.008, 0.03))
    assert (high >= low - 1e-3).mean() > 0.99


def test_a_head_without_regions_of_hair_has_none(head: HeadModel) -> None:
    regions = {name: mask for name, mask in head.regions.items() if name not in ("scalp", "hair_cap")}
    bare = replace(head, regions=regions)
    assert not hair_heights(bare, filmed(head, haired(head, HEIGHT))).any()


def test_mattes_without_a_person_say_nothing(head: HeadModel) -> None:
    frames = filmed(head, head)
    assert not hair_heights(head, replace(frames, alpha=torch.zeros_like(frames.alpha))).any()
    whole = torch.full_like(frames.alpha, 255)
    assert not hair_heights(head, replace(frames, alpha=whole)).any()


def test_frames_are_spread_over_the_yaw(head: HeadModel) -> None:
    chosen = spread_frames(filmed(head, head))
    assert chosen == list(range(COUNT))


def test_points_off_the_mesh_lie_at_the_outline_of_the_head(head: HeadModel) -> None:
    """A face wider than the mesh: points beside its jaw lie there, not at the depth of the head's center."""
    wide = replace(head, v_template=head.v_template + 0.01 * vertex_normals(head.v_template, head.faces))
    frames = filmed(head, wide)
    pixels, depth, away = uncovered_pixels(head, frames, COUNT // 2)
    assert len(pixels) == len(depth) == len(away) > 100 and (depth > 0.4).all() and (away >= 1).all()
    points = sample_matte(head, frames, 3000, np.random.default_rng(0))
    chin, mouth = (head.v_template[:, 1][head.faces[head.landmark_faces[k]]].mean().item() for k in (152, 13))
    beside = ~points.torso & (points.position[:, 1] > chin) & (points.position[:, 1] < mouth)
    distance = torch.cdist(torch.from_numpy(points.position[beside]), wide.v_template.double()).amin(1)
    assert beside.sum() > 20
    assert distance.quantile(0.9) < 0.0105


def test_a_frame_without_the_head_has_no_outline(head: HeadModel) -> None:
    frames = filmed(head, head)
    away = replace(frames, states=replace(frames.states, translation=frames.translation + 10))
    assert np.isinf(uncovered_pixels(head, away, 0)[2]).all()
    assert np.isfinite(sample_matte(head, away, 50, np.random.default_rng(0)).position).all()


def test_gaussians_of_hair_start_below_its_surface(head: HeadModel) -> None:
    samples = sample_mesh(head, 4000, np.random.default_rng(0))
    heights = np.where(hair_vertices(head).numpy(), HEIGHT, 0.0)
    found = lift_hair(samples, head, heights, np.random.default_rng(1))
    on_hair = hair_vertices(head).numpy()[head.faces.numpy()[found.face]].all(1)
    low, high = (part * HEIGHT for part in LIFTED)
    assert on_hair.sum() > 50
    assert ((found.offset[on_hair, 2] >= low) & (found.offset[on_hair, 2] <= high)).all()
    off = ~hair_vertices(head).numpy()[head.faces.numpy()[found.face]].any(1)
    assert (found.offset[off] == samples.offset[off]).all()
    assert (found.offset[:, :2] == samples.offset[:, :2]).all()


def test_a_bald_head_keeps_its_samples(head: HeadModel) -> None:
    samples = sample_mesh(head, 500, np.random.default_rng(0))
    found = lift_hair(samples, head, np.zeros(len(head.v_template)), np.random.default_rng(1))
    assert (found.offset == samples.offset).all()

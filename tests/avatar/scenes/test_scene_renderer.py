"""Avatars in one space: a scene of one is the single rendering, and avatars hide and leave each other alone."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.model.avatar import Avatar
from avatar.rendering.settings import RenderSettings
from avatar.scenes.placement import Placement
from avatar.scenes.scene_renderer import Actor, SceneColumn, SceneGaussians
from avatar.types import Camera, HeadParams
from avatar.video.offline_render import RenderColumn, render_frames

SETTINGS = RenderSettings(128, 64, passes=("rgb", "alpha", "depth", "normals"))


def at(avatar: Avatar, params: HeadParams, *place: float, yaw: float = 0.0) -> Actor:
    x, y, z = place
    return Actor("anna", avatar, params, placement=Placement.of(avatar, (x, y, z), yaw, 1.0))


def images(camera: Camera, *actors: Actor, frame: int = 5) -> dict[str, np.ndarray]:
    return next(iter(render_frames([SceneColumn(actors, camera)], SETTINGS, [frame])))


def test_a_scene_of_one_is_the_single_rendering(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    view = camera.world_to_cam.clone()
    view[:, 2, 3] = 0
    camera = replace(camera, world_to_cam=view)
    alone = next(iter(render_frames([RenderColumn(layered, params, camera)], SETTINGS, [5])))
    scene = images(camera, Actor("me", layered, params))
    for name, image in alone.items():
        assert np.array_equal(scene[name], image), name


def test_swapped_motions_are_swapped_renderings(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    other = params[torch.arange(7, -1, -1)]
    places = (-0.3, 0.0, 0.0), (0.3, 0.0, 0.0)
    left, right = (at(layered, params, *place, yaw=20) for place in places)
    left_swapped, right_swapped = (at(layered, other, *place, yaw=20) for place in places)
    both, swapped = images(camera, left, right_swapped), images(camera, left_swapped, right)
    alone = [images(camera, actor) for actor in (left, right_swapped, left_swapped, right)]
    half = camera.width // 2
    for name in both:
        expected = [np.concatenate([alone[k][name][:, :half], alone[k + 1][name][:, half:]], 1) for k in (0, 2)]
        assert np.array_equal(both[name], expected[0]), name
        assert np.array_equal(swapped[name], expected[1]), name
    assert not np.array_equal(both["rgb"], swapped["rgb"])
    assert (alone[0]["alpha"][:, half:] == 0).all() and (alone[1]["alpha"][:, :half] == 0).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_who_is_in_front_hides_who_is_behind(
    layered: Avatar, params: HeadParams, camera: Camera, order: tuple[int, int]
) -> None:
    front, behind = at(layered, params, 0.0, 0.0, 0.0), at(layered, params, 0.03, 0.02, -0.4, yaw=30)
    both = [front, behind]
    scene = images(camera, *(both[k] for k in order))
    alone = images(camera, front)
    solid = alone["alpha"] >= 254
    assert solid.sum() > 200
    difference = np.abs(scene["rgb"][solid].astype(int) - alone["rgb"][solid])
    assert np.percentile(difference, 99) <= 2
    far = images(camera, behind)
    free = (alone["alpha"] == 0) & (far["alpha"] > 0)
    assert free.sum() > 20
    assert np.abs(scene["rgb"][free].astype(int) - far["rgb"][free]).max() <= 1


def test_the_mouth_behind_fades_no_hair_before_it(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    """The stencil of a layer acts on the Gaussians of its own avatar only."""
    behind = at(layered, params, 0.0, 0.0, -0.2)
    shoulder = at(layered, params, -0.13, 0.0, 0.05)
    scene, alone = images(camera, behind, shoulder), images(camera, shoulder)
    solid = alone["alpha"] >= 254
    assert np.percentile(np.abs(scene["rgb"][solid].astype(int) - alone["rgb"][solid]), 99) <= 2


def test_different_dilations_become_one(layered: Avatar, params: HeadParams, camera: Camera) -> None:
    gaussians = at(layered, params, 0, 0, 0).placement.gaussians(layered(params[0]))  # type: ignore[union-attr]
    wide = dataclasses.replace(gaussians, dilation=0.3)
    scene = SceneGaussians.of([gaussians, wide])
    scales = scene.dilated(camera).scales[0]
    assert scene.dilation == gaussians.dilation < wide.dilation
    assert torch.equal(scales[: len(gaussians)], gaussians.scales[0])
    depth = camera.to_camera(wide.means[0])[:, 2:]
    pixels = scales[len(gaussians) :] * camera.K[0, 0, 0] / depth
    before = gaussians.scales[0] * camera.K[0, 0, 0] / depth
    assert torch.allclose(pixels**2 - before**2, torch.tensor(wide.dilation - gaussians.dilation), atol=1e-3)


def test_a_placement_is_a_similarity(layered: Avatar) -> None:
    placement = Placement.of(layered, (0.2, 0.1, -0.3), 40.0, 1.5)
    points = torch.rand(5, 3)
    placed = placement.points(points)
    assert torch.allclose(placement.inverse(placed), points, atol=1e-5)
    assert torch.allclose(torch.pdist(placed), 1.5 * torch.pdist(points), atol=1e-5)
    torso = layered.rig.torso
    forward = placement.rotation @ torso.mean_rotation[:, 2]
    assert torch.atan2(forward[0], forward[2]).rad2deg() == pytest.approx(40, abs=0.01)

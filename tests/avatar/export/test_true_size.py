"""Exports in true size: every format is the usual one times the factor, and no image changes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.export.glb import write_glb
from avatar.export.mesh import SurfacePoints, seen_colors, views_of
from avatar.export.obj import write_obj
from avatar.export.placement import Placement
from avatar.export.ply import placed
from avatar.export.posed import posed
from avatar.export.rigged_ply import write_rigged_ply
from avatar.model.avatar import Avatar
from avatar.model.true_size import TrueSize
from avatar.rendering.render import render
from avatar.types import Camera, HeadParams
from tests.avatar.export.readers import Glb, Ply, columns

SCALE = 1.25


@pytest.fixture
def larger(tiny_avatar: Avatar) -> Avatar:
    result = copy.copy(tiny_avatar)
    result.true_size = TrueSize(SCALE, 0.01, "a test")
    return result


def turned(avatar: Avatar) -> HeadParams:
    return posed(avatar, {"jawOpen": 0.5}, (20, 5, -3))


def test_it_changes_no_image(tiny_avatar: Avatar, larger: Avatar) -> None:
    camera = Camera.facing(90.0, 64, 64)
    images = [render(avatar(turned(avatar)), camera).rgb for avatar in (tiny_avatar, larger)]
    assert torch.equal(*images)


def test_gaussians_are_larger_and_look_the_same_from_as_much_farther(tiny_avatar: Avatar, larger: Avatar) -> None:
    usual, scaled = (placed(avatar, turned(avatar)) for avatar in (tiny_avatar, larger))
    torch.testing.assert_close(scaled.means, SCALE * usual.means)
    torch.testing.assert_close(scaled.scales, SCALE * usual.scales)
    assert torch.equal(scaled.quats, usual.quats)


def test_the_layer_of_a_placed_avatar_is_larger(tiny_avatar: Avatar, larger: Avatar) -> None:
    usual, scaled = (
        Placement.centered(avatar).gaussians(avatar(posed(avatar))).layer for avatar in (tiny_avatar, larger)
    )
    if usual is None or scaled is None:
        pytest.skip("the avatar has no mesh layer")
    torch.testing.assert_close(scaled.vertices, SCALE * usual.vertices)
    torch.testing.assert_close(scaled.translation, SCALE * usual.translation)


def test_a_mesh_in_one_pose(tiny_avatar: Avatar, larger: Avatar, tmp_path: Path) -> None:
    points = []
    for index, avatar in enumerate((tiny_avatar, larger)):
        path = tmp_path / f"{index}.obj"
        write_obj(path, avatar, turned(avatar))
        rows = [line.split()[1:4] for line in path.read_text().splitlines() if line.startswith("v ")]
        points.append(np.array(rows, float))
    np.testing.assert_allclose(points[1], SCALE * points[0], atol=2e-6)


def lengths(path: Path) -> list[np.ndarray]:
    """All that has a length in a glTF file of a mesh with joints."""
    glb = Glb.read(path)
    (primitive,) = glb.json["meshes"][0]["primitives"]
    matrices = glb.values(glb.json["skins"][0]["inverseBindMatrices"])
    return [
        glb.values(primitive["attributes"]["POSITION"]),
        *(glb.values(target["POSITION"]) for target in primitive["targets"]),
        np.array([node["translation"] for node in glb.json["nodes"] if "translation" in node]),
        matrices[:, 12:15],
    ]


def test_a_mesh_with_joints(
    tiny_avatar: Avatar, larger: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avatar.export.glb.material", lambda *_: {"materials": [{}]})  # the texture takes seconds
    found = []
    for index, avatar in enumerate((tiny_avatar, larger)):
        write_glb(tmp_path / f"{index}.glb", avatar, turned(avatar))
        found.append(lengths(tmp_path / f"{index}.glb"))
    for usual, scaled in zip(*found, strict=True):
        np.testing.assert_allclose(scaled, SCALE * usual, atol=1e-6)


def test_gaussians_in_the_frames_of_their_triangles(tiny_avatar: Avatar, larger: Avatar, tmp_path: Path) -> None:
    files = []
    for index, avatar in enumerate((tiny_avatar, larger)):
        write_rigged_ply(tmp_path / f"{index}.ply", avatar)
        files.append(Ply.read(tmp_path / f"{index}.ply").elements)
    for element, names in (("vertex", "xyz"), ("rigged_gaussian", ("offset_0", "offset_1", "offset_2"))):
        usual, scaled = (columns(file[element], *names) for file in files)
        np.testing.assert_allclose(scaled, SCALE * usual, atol=1e-6)
    usual, scaled = (columns(file["rigged_gaussian"], "scale_0", "scale_1", "scale_2") for file in files)
    np.testing.assert_allclose(np.exp(scaled), SCALE * np.exp(usual), rtol=1e-4)
    assert (files[0]["rigged_gaussian"]["bary_0"] == files[1]["rigged_gaussian"]["bary_0"]).all()


def test_colors_of_a_mesh_do_not_depend_on_its_size(tiny_avatar: Avatar, larger: Avatar) -> None:
    rows = torch.arange(0, len(tiny_avatar.head.v_template), 40)[:, None].expand(-1, 3)
    points = SurfacePoints(rows, torch.tensor([[1.0, 0.0, 0.0]]).expand(len(rows), 3))
    assert torch.equal(seen_colors(views_of(tiny_avatar), points), seen_colors(views_of(larger), points))

"""Gaussians in glTF: the extension's attributes, equal to those of the PLY, and the points of other programs."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from avatar.export import posed, write_ply, write_splat_glb
from avatar.export.ply import ply_bytes
from avatar.export.splat_glb import splat_glb_bytes
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.rendering.render import render
from tests.avatar.export.readers import Glb, Ply, columns, rotations, splatted
from tests.avatar.export.splat_readers import glb_splats
from tests.avatar.export.test_ply import from_front, random_gaussians
from tests.avatar.export.test_spz import QUATS, opacities
from tests.support.parts import required

UINT16 = 5123


@pytest.mark.parametrize("terms", [1, 4, 9, 16])
def test_values_are_those_of_the_ply(tmp_path: Path, terms: int) -> None:
    gaussians = random_gaussians(100, terms)
    (tmp_path / "a.glb").write_bytes(splat_glb_bytes(gaussians))
    (tmp_path / "a.ply").write_bytes(ply_bytes(gaussians))
    found, expected = glb_splats(Glb.read(tmp_path / "a.glb")), Ply.read(tmp_path / "a.ply").elements["vertex"]
    names = [name for name in expected.dtype.names or () if name not in ("nx", "ny", "nz", "opacity")]
    assert len(names) == 10 + 3 * terms
    for name in names:
        assert found[name] == pytest.approx(expected[name], abs=1e-5), name
    assert opacities(found) == pytest.approx(opacities(expected), abs=1e-6)


def test_a_posed_avatar_with_a_mesh_layer_has_the_gaussians_of_the_ply(tiny_avatar: Avatar, tmp_path: Path) -> None:
    avatar = deepcopy(tiny_avatar)
    avatar.add_part(MeshLayer(avatar.head).requires_grad_(False))
    params = posed(avatar, {"jawOpen": 0.5}, (20, 5, 0))
    write_splat_glb(tmp_path / "a.glb", avatar, params, "Given by the person.")
    write_ply(tmp_path / "a.ply", avatar, params, "up")
    glb, expected = Glb.read(tmp_path / "a.glb"), Ply.read(tmp_path / "a.ply").elements["vertex"]
    found = glb_splats(glb)
    assert len(found) == len(avatar) + len(required(avatar, MeshLayer).mesh.faces)
    assert columns(found, "x", "y", "z") == pytest.approx(columns(expected, "x", "y", "z"), abs=1e-6)
    turned = rotations(columns(found, *QUATS)) - rotations(columns(expected, *QUATS))
    assert np.abs(turned).max() < 1e-5
    extras = glb.json["asset"]["extras"]
    assert extras == {"consent": "Given by the person.", "dilation": avatar.sampling.dilation}


def test_an_independent_rasterizer_renders_the_image_of_the_avatar(tiny_avatar: Avatar, tmp_path: Path) -> None:
    from avatar.export.placement import Placement

    params, camera = posed(tiny_avatar, {"jawOpen": 0.5}, (20, 5, 0)), from_front(48)
    expected = render(Placement.centered(tiny_avatar).gaussians(tiny_avatar(params)), camera).rgb[0].detach().numpy()
    write_splat_glb(tmp_path / "a.glb", tiny_avatar, params)
    rows, view = glb_splats(Glb.read(tmp_path / "a.glb")), camera.world_to_cam[0].double().numpy()
    image = splatted(rows, camera.K[0].double().numpy(), view, 48, tiny_avatar.sampling.dilation)
    assert np.abs(image - expected).max() < 2e-3  # see test_ply
    assert expected.min() < 0.6  # the image is not empty


def test_points_have_the_linear_color_and_the_opacity_of_their_gaussian(tmp_path: Path) -> None:
    gaussians = random_gaussians(100, 4)
    (tmp_path / "a.glb").write_bytes(splat_glb_bytes(gaussians))
    glb = Glb.read(tmp_path / "a.glb")
    row = glb.json["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]
    accessor = glb.json["accessors"][row]
    assert (accessor["type"], accessor["componentType"], accessor["normalized"]) == ("VEC4", UINT16, True)
    linear = glb.values(row)[:, :3] / 65535
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    expected = (0.5 + 0.28209479 * gaussians.sh[0, :, 0].numpy()).clip(0, 1)
    assert srgb == pytest.approx(expected, abs=1e-3)
    assert glb.values(row)[:, 3] / 65535 == pytest.approx(gaussians.opacities[0].numpy(), abs=1e-4)


def test_a_program_without_the_extension_shows_points(tiny_avatar: Avatar, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh", reason="needs trimesh (pip install trimesh)")
    write_splat_glb(tmp_path / "a.glb", tiny_avatar, posed(tiny_avatar))
    (points,) = trimesh.load(tmp_path / "a.glb").geometry.values()
    assert isinstance(points, trimesh.PointCloud)
    rows = glb_splats(Glb.read(tmp_path / "a.glb"))
    assert np.asarray(points.vertices) == pytest.approx(columns(rows, "x", "y", "z"), abs=1e-6)

"""The mesh layer in exported files: a textured mouth and eyes in glTF and OBJ, flat Gaussians in a rigged PLY."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.export import posed, write_glb, write_rigged_ply
from avatar.export.layer_gaussians import with_layer
from avatar.export.mesh import vertex_colors
from avatar.export.placement import Placement
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.ops import TEXEL_NODES
from tests.avatar.export.readers import Glb, Ply, columns, rotations
from tests.support.parts import required

WEIGHTS = torch.tensor([(i, j, 4 - i - j) for i, j in TEXEL_NODES]) / 4


def pattern(points: Tensor) -> Tensor:
    """Colors [...,3] of points in meters, equal on both sides of the head, as the texture of the eyes is."""
    return 0.5 + 0.4 * torch.sin(150 * torch.cat([points[..., :1].abs(), points[..., 1:]], -1))


@pytest.fixture(scope="module")
def layered(tiny_avatar: Avatar) -> Avatar:
    """The avatar with a layer whose texels have a color by their position."""
    avatar = deepcopy(tiny_avatar)
    layer = MeshLayer(avatar.head).requires_grad_(False)
    avatar.add_part(layer)
    places = torch.einsum("nk,fkc->fnc", WEIGHTS, avatar.head.v_template[layer.mesh.faces])
    texels = torch.zeros_like(layer.start)
    texels[layer.mesh.texel_ids.flatten()] = pattern(places.flatten(0, 1))
    layer.set_texels(texels)
    return avatar


@pytest.fixture(scope="module")
def textured(layered: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Glb:
    path = tmp_path_factory.mktemp("glb") / "me.glb"
    write_glb(path, layered, posed(layered))
    return Glb.read(path)


def open_shade(avatar: Avatar) -> Tensor:
    assert avatar.part(MeshLayer) is not None
    return required(avatar, MeshLayer).shade(avatar.head.skull_vertices(posed(avatar, {"jawOpen": 0.5})))[0]


def found_colors(glb: Glb, weights: Tensor) -> NDArray[np.float32]:
    """Colors [F,n,3] 0..1 of a viewer at points of all triangles of the file with barycentric `weights` [n,3]."""
    (primitive,) = glb.json["meshes"][0]["primitives"]
    uv = glb.values(primitive["attributes"]["TEXCOORD_0"])[glb.values(primitive["indices"]).reshape(-1, 3)]
    image = glb.image()
    at = (np.einsum("nk,fkc->fnc", weights.numpy(), uv) * image.shape[0] - 0.5).astype(np.float32)
    sampled = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, np.float32) / np.float32(255)


def test_the_texture_has_the_texels_of_the_layer_in_the_light_of_an_open_mouth(layered: Avatar, textured: Glb) -> None:
    assert layered.part(MeshLayer) is not None
    inner = WEIGHTS[WEIGHTS.amin(1) > 0]
    faces = layered.head.faces
    rows = {tuple(corners): row for row, corners in enumerate(faces.tolist())}
    of_layer = torch.tensor([rows[tuple(corners)] for corners in required(layered, MeshLayer).mesh.faces.tolist()])
    found = torch.from_numpy(found_colors(textured, inner))[of_layer]
    corners = faces[of_layer]
    places = torch.einsum("nk,fkc->fnc", inner, layered.head.v_template[corners])
    light = torch.einsum("nk,fk->fn", inner, open_shade(layered)[corners])
    error = (found - pattern(places) * light[..., None]).abs().amax(-1)
    assert light.min() < 0.4 and light.max() > 0.9  # a texture without the light would be found
    # pixels are as large as the smallest sub-triangles, and the pattern of both eyes is that of the left one
    assert error.quantile(0.5) < 0.01 and error.quantile(0.98) < 0.05


def test_the_texture_is_used_by_the_material_and_covers_the_image(textured: Glb) -> None:
    (material,), (texture,) = textured.json["materials"], textured.json["textures"]
    assert material["pbrMetallicRoughness"]["baseColorTexture"] == {"index": 0} and texture["source"] == 0
    (primitive,) = textured.json["meshes"][0]["primitives"]
    assert "COLOR_0" not in primitive["attributes"]  # would be multiplied
    assert (textured.image().max(2) > 0).mean() > 0.999


def test_the_skin_of_the_texture_has_the_colors_of_the_images(layered: Avatar, textured: Glb) -> None:
    nose = layered.head.regions["nose"][layered.head.faces].all(1)
    found = torch.from_numpy(found_colors(textured, torch.full((1, 3), 1 / 3)))[nose, 0]
    expected = 0.85 * layered.head.colors[layered.head.regions["nose"]].mean(0)  # see `test_mesh`
    assert (found.mean(0) - expected).abs().max() < 0.12


def test_a_head_without_texture_coordinates_has_colors_of_vertices(layered: Avatar, tmp_path: Path) -> None:
    avatar = deepcopy(layered)
    avatar.head = replace(avatar.head, uv=torch.zeros(1, 2), uv_faces=torch.zeros_like(avatar.head.uv_faces))
    write_glb(tmp_path / "me.glb", avatar, posed(avatar))
    glb = Glb.read(tmp_path / "me.glb")
    assert "images" not in glb.json and "baseColorTexture" not in glb.json["materials"][0]["pbrMetallicRoughness"]
    attributes = glb.json["meshes"][0]["primitives"][0]["attributes"]
    colors = glb.values(attributes["COLOR_0"])
    assert colors.shape == glb.values(attributes["POSITION"]).shape
    assert colors.min() >= 0 and colors.max() <= 1 and colors.std() > 0.05


def test_vertices_of_mouth_and_eyes_have_the_colors_of_the_layer(layered: Avatar) -> None:
    assert layered.part(MeshLayer) is not None
    colors, vertices = vertex_colors(layered), required(layered, MeshLayer).mesh.faces.unique()
    vertices = vertices[layered.head.v_template[vertices, 0] > 0.001]  # the right eye has the pattern of the left one
    expected = pattern(layered.head.v_template[vertices]) * open_shade(layered)[vertices, None]
    assert layered.head.mask(*INSIDE)[vertices].all() and len(vertices) > 1000
    assert (colors[vertices] - expected).abs().amax(1).quantile(0.98) < 0.01


def test_a_placed_layer_is_where_its_gaussians_are(layered: Avatar) -> None:
    gaussians = layered(posed(layered, head_pose=(30, 0, 0)))
    placement = Placement.centered(layered)
    placed = placement.gaussians(gaussians).layer
    assert placed is not None and gaussians.layer is not None
    world = [layer.vertices[0] @ layer.rotation[0].T + layer.translation[0] for layer in (gaussians.layer, placed)]
    expected = world[0] @ placement.rotation.T + placement.translation
    assert (world[0] - expected).abs().max() > 0.1
    torch.testing.assert_close(world[1], expected, atol=1e-6, rtol=0)


def test_a_rigged_file_ends_with_a_gaussian_for_each_face_of_the_layer(layered: Avatar, tmp_path: Path) -> None:
    assert layered.part(MeshLayer) is not None
    write_rigged_ply(tmp_path / "rig.ply", layered)
    found = Ply.read(tmp_path / "rig.ply")
    rows, vertices = found.elements["rigged_gaussian"], columns(found.elements["vertex"], "x", "y", "z")
    gaussians = with_layer(layered(posed(layered)))
    count = len(gaussians) - len(layered)
    assert len(rows) == len(gaussians) and count == len(required(layered, MeshLayer).mesh.faces)
    assert f"the last {count} rigged_gaussian stand for the mesh layer (teeth, tongue, eyes)" in found.comments
    gaussians, rows = Placement.centered(layered).gaussians(gaussians), rows[len(layered) :]
    corners = vertices[found.elements["face"]["vertex_indices"][rows["face"]]]
    means = (columns(rows, "bary_0", "bary_1", "bary_2")[..., None] * corners).sum(1)
    assert means == pytest.approx(gaussians.means[0, -count:].numpy(), abs=2e-5)
    assert not columns(rows, "offset_0", "offset_1", "offset_2", "torso").any()
    assert (rotations(columns(rows, "rot_0", "rot_1", "rot_2", "rot_3")) == np.eye(3)).all()
    scales = np.exp(columns(rows, "scale_0", "scale_1", "scale_2"))
    assert scales == pytest.approx(gaussians.scales[0, -count:].numpy(), rel=1e-3)
    colors = 0.5 + 0.28209479 * columns(rows, "f_dc_0", "f_dc_1", "f_dc_2")
    light = open_shade(layered)[required(layered, MeshLayer).mesh.faces].mean(1, keepdim=True).numpy()
    expected = (
        required(layered, MeshLayer).texels()[required(layered, MeshLayer).mesh.texel_ids].mean(1).numpy() * light
    )
    assert colors == pytest.approx(expected, abs=1e-5)

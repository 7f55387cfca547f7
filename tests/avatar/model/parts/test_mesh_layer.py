"""The mesh layer of an avatar: its texture, its poses, its file, and its training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.evaluation.double_size import count_needles
from avatar.export.layer_gaussians import with_layer
from avatar.head import load_head
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar, bake_identity
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.parts.mesh_layer import (
    EYES,
    MOUTH,
    SKIN_FEATURES,
    SKIN_FLAT,
    SKIN_FRONT,
    MeshLayer,
    Part,
    has_parts,
    skin_vertices,
)
from avatar.ops import TEXEL_NODES
from avatar.rendering.animator import Animator
from avatar.rendering.backends import backend_of
from avatar.rendering.frame_renderer import FrameRenderer
from avatar.rendering.layer import splat_layer
from avatar.rendering.render import render
from avatar.rendering.settings import RenderSettings
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import DETAILED, build_avatar
from avatar.training.mesh_sampling import THIN
from avatar.types import HeadParams
from tests.support.parts import required


@pytest.fixture(scope="module")
def layer() -> MeshLayer:
    head = load_head()
    return MeshLayer(bake_identity(head, torch.zeros(head.shapedirs.shape[2])))


@pytest.fixture(scope="module")
def trained(tiny: Capture) -> Avatar:
    config = TrainConfig(size=64, steps=12, gaussians=1500, bases=2, layer=True, refine_at=0.5)
    return fit(tiny, load_head(), config).avatar


def open_mouth(avatar: Avatar, params: HeadParams) -> HeadParams:
    expression = params.expression.clone()
    expression[:, avatar.head.expression_index("jawOpen")] = 1.0
    return replace(params, expression=expression)


def test_faces_share_the_texels_of_their_edges_and_both_eyes_share_theirs(layer: MeshLayer) -> None:
    faces, ids = layer.mesh.faces, layer.mesh.texel_ids
    assert ids.shape == (len(faces), len(TEXEL_NODES)) and ids.unique().tolist() == list(range(len(layer.start)))
    assert len(layer.start) < 0.6 * ids.numel()
    # A corner of a face is a node with one weight: all faces of a vertex have the same texel there.
    corner = [k for k, node in enumerate(TEXEL_NODES) if node in ((4, 0), (0, 4), (0, 0))]
    by_vertex = torch.full((int(faces.max()) + 1,), -1)
    for k in corner:
        i, j = TEXEL_NODES[k]
        vertices = faces[:, 0 if i else 1 if j else 2]
        known = by_vertex[vertices]
        assert bool(((known < 0) | (known == ids[:, k])).all())
        by_vertex[vertices] = ids[:, k]
    eye = (layer.part == Part.SCLERA) | (layer.part == Part.IRIS)
    uses = torch.bincount(ids.flatten(), minlength=len(layer.start))
    assert bool((uses[eye] >= 2).all())


def test_the_texture_starts_from_the_colors_of_the_head(layer: MeshLayer) -> None:
    torch.testing.assert_close(layer.texels(), layer.start)
    assert set(layer.part.unique().tolist()) == set(range(Part.SKIN))
    brightness = [
        float(layer.start[layer.part == part].mean()) for part in (Part.CROWN, Part.CAVITY, Part.SCLERA, Part.IRIS)
    ]
    assert brightness[0] > 1.5 * brightness[1] and brightness[2] > 2 * brightness[3]


def test_the_cavity_has_one_color_that_only_the_light_darkens(layer: MeshLayer) -> None:
    head = load_head()
    cavity = layer.start[layer.part == Part.CAVITY]
    painted = head.colors[head.mask("mouth_interior")]
    assert bool((cavity == cavity[0]).all())
    torch.testing.assert_close(cavity[0], painted.amax(0), atol=1e-6, rtol=0)
    assert painted.amin() < 0.1 < 2 * cavity.amin()


@pytest.mark.parametrize("of_light", [False, True])
def test_the_tongue_takes_no_hue_of_a_gain_and_half_of_that_of_the_light_and_teeth_take_all(
    layer: MeshLayer, of_light: bool
) -> None:
    with torch.no_grad():
        if of_light:
            layer.light[0] = 0.3
        else:
            layer.gains[[Part.CROWN, Part.TONGUE], 0] = 0.3
    try:
        ratio = (layer.texels() / layer.start.clamp_min(1e-3)).log()
    finally:
        torch.nn.init.zeros_(layer.gains)
        torch.nn.init.zeros_(layer.light)
    bright = layer.start.amin(1) > 0.01
    crown, tongue = (ratio[(layer.part == part) & bright].mean(0) for part in (Part.CROWN, Part.TONGUE))
    torch.testing.assert_close(crown, torch.tensor([0.3, 0.0, 0.0]), atol=1e-4, rtol=0)
    expected = [0.2, 0.05, 0.05] if of_light else [0.1, 0.1, 0.1]
    torch.testing.assert_close(tongue, torch.tensor(expected), atol=1e-4, rtol=0)


def test_skin_belongs_to_the_layer_where_it_is_asked_for() -> None:
    head = load_head()
    layer = MeshLayer(head, skin=True)
    inside, skin = head.mask(*MOUTH, *EYES), skin_vertices(head)
    opaque = layer.mesh.fades.eq(0).all(1)
    assert torch.equal(opaque, ~inside[layer.mesh.faces].all(1)) and not len(layer.mesh.skin)
    of_skin = skin[head.faces].all(1) & ~inside[head.faces].all(1)
    assert int(opaque.sum()) >= int(of_skin.sum()) > 1000
    assert set(layer.part.unique().tolist()) == set(Part)
    torch.testing.assert_close(layer.texels(), layer.start)


def test_the_outline_of_the_head_is_no_skin_of_the_layer() -> None:
    head = load_head()
    skin, normals = skin_vertices(head), vertex_normals(head.v_template, head.faces)
    jaw, cheeks = (head.faces[head.landmark_faces[list(rows)]][:, 0] for rows in ((172, 397, 132, 361), (50, 280, 101)))
    assert not skin[jaw].any() and skin[cheeks].all()
    for name in ("lips", "eyelids", "nose"):
        assert skin[head.regions[name]].all()  # features are whole, whichever way their parts face
    features = head.mask(*SKIN_FEATURES)
    assert float(normals[skin & ~features, 2].min()) > SKIN_FRONT


def test_the_inner_side_of_lips_and_lids_takes_the_gain_of_the_skin_around() -> None:
    layer = MeshLayer(load_head(), skin=True)
    with torch.no_grad():
        layer.gains[Part.LIP] = 0.2
        layer.gains[Part.LIP_INNER] = -0.3
    ratio = layer.texels() / layer.start.clamp_min(1e-3)
    bright = layer.start.amin(1) > 0.05
    for part, gain in ((Part.LIP, 0.2), (Part.LIP_INNER, 0.2), (Part.SKIN, 0.0), (Part.LID_INNER, 0.0)):
        rows = ratio[(layer.part == part) & bright]
        torch.testing.assert_close(rows, torch.full_like(rows, gain).exp(), atol=1e-4, rtol=0)


def test_the_mouth_is_darker_the_deeper_and_the_more_closed(layer: MeshLayer) -> None:
    head = load_head()
    closed = head.v_template[None]
    wide = open_vertices()
    shades = [layer.shade(vertices)[0] for vertices in (closed, wide)]
    inside = layer.mouth
    assert bool((shades[0][inside] <= 1).all()) and shades[1][inside].mean() > 1.2 * shades[0][inside].mean()
    depth = wide[0, inside, 2]
    front, back = depth > depth.quantile(0.9), depth < depth.quantile(0.1)
    assert shades[1][inside][front].mean() > 1.5 * shades[1][inside][back].mean()


def open_vertices() -> torch.Tensor:
    head = load_head()
    expression = torch.zeros(1, len(head.expression_names))
    expression[0, head.expression_index("jawOpen")] = 1.0
    identity = torch.zeros(head.shapedirs.shape[2])
    return head.skull_vertices(HeadParams(identity, expression, torch.zeros(1, 5, 3), torch.zeros(1, 3)))


def test_only_gaussians_in_front_of_the_face_are_exempt_from_the_stencil(layer: MeshLayer) -> None:
    head = load_head()
    lid = int(head.regions["eyelids"].nonzero()[0])
    neck = int((head.regions["neck"] & ~head.regions["face"]).nonzero()[0])
    triangles = torch.tensor([[lid] * 3, [lid] * 3, [lid] * 3, [neck] * 3])
    offsets = torch.tensor([[0, 0, 0.02], [0, 0, 0.02], [0, 0, -0.02], [0, 0, 0.02]])
    assert layer.fades(triangles, offsets, 1).tolist() == [1, 0, 1, 1]


def test_training_gives_the_layer_a_texture_and_no_gaussians(trained: Avatar) -> None:
    layer = trained.part(MeshLayer)
    assert layer is not None
    inside = torch.zeros(len(trained.head.v_template), dtype=torch.bool)
    for name in MOUTH + EYES:
        inside |= trained.head.regions[name]
    mesh_bound = trained.rig.triangles[: trained.blendshapes.count]
    assert not bool(inside[mesh_bound].all(1).any())
    assert float(layer.delta.abs().max()) > 1e-3 and float(layer.light.abs().max()) > 1e-3
    assert bool(((layer.texels() >= -0.1) & (layer.texels() <= 1.1)).all())


def test_an_avatar_with_skin_is_the_same_after_writing_and_reading(tiny: Capture, tmp_path: Path) -> None:
    config = TrainConfig(size=64, steps=12, gaussians=800, bases=2, layer=True, skin=True, refine_at=1)
    avatar = fit(tiny, load_head(), config).avatar
    save_avatar(tmp_path / "a.avatar", avatar)
    read = load_avatar(tmp_path / "a.avatar")
    assert avatar.part(MeshLayer) is not None and read.part(MeshLayer) is not None and required(read, MeshLayer).skin
    torch.testing.assert_close(
        required(read, MeshLayer).texels(), required(avatar, MeshLayer).texels(), atol=1e-3, rtol=0
    )
    params, camera = open_mouth(avatar, tiny.params([3])), tiny.camera(64)
    with torch.no_grad():
        images = [render(one(params), camera).rgb[0] for one in (avatar, read)]
    assert (images[0] - images[1]).abs().max() < 0.02
    skin = required(avatar, MeshLayer).part >= Part.SKIN
    assert float(required(avatar, MeshLayer).delta[skin].abs().max()) > 1e-3


def test_an_animator_renders_a_layer_like_the_avatar_itself(trained: Avatar, tiny: Capture) -> None:
    params, camera = open_mouth(trained, tiny.params([3])), tiny.camera(64)
    with torch.no_grad():
        gaussians = trained(params)
        expected = render(gaussians, camera).rgb[0]
        without = render(replace(gaussians, layer=None), camera).rgb[0]
    found = Animator(trained, camera.width, camera.height).render(params, camera).float() / 255
    assert (found - expected.clamp(0, 1)).abs().max() < 0.02
    assert (expected - without).abs().max() > 0.1


def test_passes_show_the_layer(trained: Avatar, tiny: Capture) -> None:
    params, camera = open_mouth(trained, tiny.params([3])), tiny.camera(64)
    settings = RenderSettings(camera.width, camera.height, passes=("rgb", "alpha", "depth", "normals"))
    animator = Animator(trained, camera.width, camera.height, with_depth=True)
    frame = animator.frame(animator.poses(params), 0)
    passes = {
        name: torch.from_numpy(image.copy())
        for name, image in FrameRenderer(animator, settings).render(frame, camera).items()
    }
    layer = splat_layer(frame.gaussians, camera)
    assert layer is not None
    images = layer.images
    x, y = images.origin[0].tolist()
    solid = images.stencil[0] > 0.99
    assert solid.sum() > 3
    height, width = solid.shape
    part = {name: image[y : y + height, x : x + width][solid] for name, image in passes.items()}
    assert bool((part["alpha"] > 250).all())
    torch.testing.assert_close(part["depth"], images.depth[0][solid], atol=2e-3, rtol=0)
    torch.testing.assert_close(part["normals"].norm(dim=1), torch.ones(len(part["normals"])), atol=1e-3, rtol=0)
    assert int(count_needles(frame.gaussians, camera)[0]) >= 0


def test_an_exported_ply_shows_the_layer_as_gaussians(trained: Avatar, tiny: Capture) -> None:
    params, camera = open_mouth(trained, tiny.params([3])), tiny.camera(64)
    with torch.no_grad():
        gaussians = trained(params)
        exported = with_layer(gaussians)
        without, shown = (render(each, camera) for each in (replace(gaussians, layer=None), exported))
    layer = splat_layer(gaussians, camera)
    assert layer is not None and trained.part(MeshLayer) is not None
    assert len(gaussians) < len(exported) <= len(gaussians) + len(required(trained, MeshLayer).mesh.faces)
    x, y = layer.images.origin[0].tolist()
    solid = layer.images.stencil[0] > 0.99
    height, width = solid.shape
    alpha, before = (each.alpha[0, y : y + height, x : x + width][solid] for each in (shown, without))
    assert alpha.min() > 0.95 > before.min()
    torch.testing.assert_close(with_layer(replace(gaussians, layer=None)).means, gaussians.means)


def test_an_avatar_that_gsplat_trains_has_no_layer(tiny: Capture) -> None:
    head = load_head()
    frames = load_frames(tiny, tiny.train_indices, 32, bake_identity(head, tiny.params([0]).identity))
    for rasterizer in ("native", "gsplat"):
        config = TrainConfig(size=32, gaussians=500, bases=2, rasterizer=rasterizer)
        avatar = build_avatar(bake_identity(head, tiny.params([0]).identity), frames, config)
        assert (avatar.part(MeshLayer) is not None) == (rasterizer == "native")


def test_skin_of_the_layer_has_fewer_gaussians_but_not_its_brows_and_lips(tiny: Capture) -> None:
    head = bake_identity(load_head(), tiny.params([0]).identity)
    frames, counts = load_frames(tiny, tiny.train_indices, 32, head), []
    detailed = head.mask(*DETAILED)
    plain = skin_vertices(head) & head.mask(*SKIN_FLAT) & ~detailed
    for skin in (False, True):
        avatar = build_avatar(head, frames, TrainConfig(size=32, gaussians=4000, bases=2, extra_share=0, skin=skin))
        counts.append([int(mask[avatar.rig.triangles[:, 0]].sum()) for mask in (plain, detailed)])
    factors = [after / before for before, after in zip(*counts, strict=True)]
    # what the flat skin saves goes to all others
    assert factors[1] > 1 and factors[0] / factors[1] == pytest.approx(THIN, rel=0.2)


def test_gsplat_refuses_an_avatar_with_a_layer(trained: Avatar, tiny: Capture) -> None:
    with pytest.raises(HeadsplatError, match="gsplat cannot render the mesh layer"):
        backend_of("gsplat").rasterize(trained(tiny.params([3])), tiny.camera(64))


def test_a_stored_layer_renders_the_same_pixels(trained: Avatar, tiny: Capture, tmp_path: Path) -> None:
    path, plain = tmp_path / "me.avatar", tmp_path / "plain.avatar"
    assert trained.part(MeshLayer) is not None
    with torch.no_grad():
        required(trained, MeshLayer).eye_light.reflections.copy_(
            torch.rand(required(trained, MeshLayer).eye_light.reflections.shape)
        )
    save_avatar(path, trained)
    loaded = load_avatar(path)
    assert loaded.part(MeshLayer) is not None and read_header(path)["version"] == 5
    light, stored = required(trained, MeshLayer).eye_light, required(loaded, MeshLayer).eye_light
    torch.testing.assert_close(stored.reflections.detach(), light.reflections.detach())
    torch.testing.assert_close(stored.shadow, light.shadow)
    params, camera = open_mouth(trained, tiny.params([3])), tiny.camera(64)
    first, second = (Animator(each, 64, 64).render(params, camera) for each in (trained, loaded))
    assert (first.int() - second.int()).abs().max() <= 1  # texels are stored in half precision
    layer = trained.part(MeshLayer)
    trained.remove_part(MeshLayer)
    try:
        save_avatar(plain, trained)
    finally:
        trained.add_part(layer)
    assert 0 < path.stat().st_size - plain.stat().st_size < 500_000
    save_avatar(tmp_path / "again.avatar", loaded)
    assert (tmp_path / "again.avatar").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("damage", ["short", "nan", "old"])
def test_a_damaged_layer_is_refused(trained: Avatar, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, trained)
    tensors, metadata = load_file(path), path.read_bytes()
    length = int.from_bytes(metadata[:8], "little")
    header = json.loads(json.loads(metadata[8 : 8 + length])["__metadata__"]["headsplat"])
    del header["tensors_sha256"]
    if damage == "short":
        tensors["layer.texels"] = tensors["layer.texels"][1:]
    elif damage == "nan":
        tensors["layer.texels"][5, 1] = float("nan")
    else:
        header["version"] = 3
        newer = ("avatar.rig.stretch", "layer.shadow", "layer.reflections", "avatar.blendshapes.network.")
        tensors = {name: values for name, values in tensors.items() if not name.startswith(newer)}
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match=r"damaged avatar file \(layer\.texels"):
        load_avatar(path)


def test_a_layer_stored_without_light_has_eyes_without_shadow(trained: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "early.avatar"
    save_avatar(path, trained)
    tensors, content = load_file(path), path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["headsplat"])
    del header["tensors_sha256"], tensors["layer.shadow"], tensors["layer.reflections"]
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    layer = load_avatar(path).part(MeshLayer)
    assert layer is not None and not layer.eye_light.reflections.any()
    eyes = layer.eye_light.eyes.flatten()
    assert bool((layer.shade(trained.head.v_template[None])[0, eyes] == 1).all())


def test_a_head_without_the_parts_has_no_layer() -> None:
    head = load_head()
    assert has_parts(head)
    none = {name: mask for name, mask in head.regions.items() if name not in MOUTH + EYES}
    assert not has_parts(replace(head, regions=none))

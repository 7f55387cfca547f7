"""The mesh as OBJ and glTF: conformance to the formats, and morph targets, skin and animation equal to the head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.export import glb as glb_module
from avatar.export import mesh, posed, write_glb, write_obj
from avatar.export.glb import ArkitFace
from avatar.export.mesh import vertex_colors
from avatar.export.placement import Placement
from avatar.head import load_head
from avatar.model.avatar import Avatar, bake_identity
from avatar.types import JAW, JOINT_NAMES, HeadParams
from tests.avatar.export.readers import Glb, rotations
from tests.avatar.motion.made_up import flame_head

ARKIT = load_head().expression_names[:52]


@pytest.fixture(scope="module", autouse=True)
def gray() -> Iterator[None]:
    """Textures are tested in test_layer.py and test_comparison.py; here they would only take time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glb_module, "mesh_colors", lambda avatar: torch.full((8, 8, 3), 0.5))
        yield


@pytest.fixture(scope="module")
def still(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Glb:
    """The neutral expression."""
    path = tmp_path_factory.mktemp("glb") / "me.glb"
    write_glb(path, tiny_avatar, posed(tiny_avatar), consent="Given.")
    return Glb.read(path)


@pytest.fixture(scope="module")
def moving(tiny: Capture, tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Glb:
    """Six frames of the capture, the jaw joint rotated beyond the expression."""
    path = tmp_path_factory.mktemp("glb") / "me.glb"
    write_glb(path, tiny_avatar, track(tiny), torch.from_numpy(tiny.track["time"][:6]) + 3)
    return Glb.read(path)


def track(capture: Capture) -> HeadParams:
    params = capture.params(range(6))
    params.joint_rot[:, JAW, 1] = 0.05
    return params


def morphed(glb: Glb, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners [M,3] of the unskinned mesh with weights [E]."""
    (primitive,) = glb.json["meshes"][0]["primitives"]
    targets = np.stack([glb.values(target["POSITION"]) for target in primitive["targets"]])
    return glb.values(primitive["attributes"]["POSITION"]) + np.einsum("e,emc->mc", weights, targets)


def skinned(glb: Glb, points: NDArray[np.float64], turns: NDArray[np.float64], root: NDArray[np.float64]) -> NDArray:
    """Corners [M,3] of `points` with joint rotations xyzw `turns` [J,4] and the root at `root` [3]."""
    nodes, skin = glb.json["nodes"], glb.json["skins"][0]
    inverse = glb.values(skin["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
    local = np.tile(np.eye(4), (len(turns), 1, 1))
    local[:, :3, :3] = rotations(turns[:, [3, 0, 1, 2]].astype(np.float64))
    local[:, :3, 3] = [node["translation"] for node in nodes[: len(turns)]]
    local[0, :3, 3] = root
    world = local.copy()
    for parent, node in enumerate(nodes):
        for child in node.get("children", []):
            world[child] = world[parent] @ local[child]
    attributes = glb.json["meshes"][0]["primitives"][0]["attributes"]
    joints, weights = glb.values(attributes["JOINTS_0"]), glb.values(attributes["WEIGHTS_0"])
    blend = (weights[..., None, None] * (world @ inverse)[joints]).sum(1)
    return (blend @ np.pad(points, ((0, 0), (0, 1)), constant_values=1)[..., None])[:, :3, 0]


def corners_of(avatar: Avatar, glb: Glb, vertices: torch.Tensor) -> NDArray[np.float64]:
    """Our vertices [V,3] at the corners [M,3] of the file, matched by the order of the triangles."""
    rows = np.zeros((glb.json["accessors"][0]["count"], 3))
    rows[triangles(glb).reshape(-1)] = vertices[avatar.head.faces].reshape(-1, 3).numpy()
    return rows


def triangles(glb: Glb) -> NDArray[np.uint32]:
    found: NDArray[np.uint32] = glb.values(glb.json["meshes"][0]["primitives"][0]["indices"]).reshape(-1, 3)
    return found


def test_every_accessor_is_inside_the_buffer_and_has_exact_bounds(moving: Glb) -> None:
    assert moving.json["buffers"] == [{"byteLength": len(moving.data)}]
    for number, accessor in enumerate(moving.json["accessors"]):
        values = moving.values(number)
        assert len(values) == accessor["count"] and np.isfinite(values).all()
        if "min" in accessor:
            assert np.atleast_1d(values.min(0)).tolist() == accessor["min"]
            assert np.atleast_1d(values.max(0)).tolist() == accessor["max"]


def test_attributes_and_targets_have_a_row_for_each_corner(tiny_avatar: Avatar, still: Glb) -> None:
    (primitive,) = still.json["meshes"][0]["primitives"]
    counts = {still.json["accessors"][number]["count"] for number in primitive["attributes"].values()}
    counts |= {still.json["accessors"][target["POSITION"]]["count"] for target in primitive["targets"]}
    assert len(counts) == 1
    assert triangles(still).shape == tuple(tiny_avatar.head.faces.shape) and triangles(still).max() == counts.pop() - 1
    weights = still.values(primitive["attributes"]["WEIGHTS_0"])
    assert weights.sum(1) == pytest.approx(1, abs=1e-6)
    assert not still.values(primitive["attributes"]["JOINTS_0"])[weights == 0].any()
    for number in (primitive["attributes"]["POSITION"], *(target["POSITION"] for target in primitive["targets"])):
        assert "min" in still.json["accessors"][number]


def test_texture_coordinates_are_those_of_the_head_with_v_down(tiny_avatar: Avatar, still: Glb) -> None:
    uv = still.values(still.json["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"])[triangles(still)]
    expected = tiny_avatar.head.uv[tiny_avatar.head.uv_faces].numpy()
    assert uv[..., 0] == pytest.approx(expected[..., 0]) and uv[..., 1] == pytest.approx(1 - expected[..., 1], abs=1e-6)


def test_the_targets_have_arkits_names(still: Glb) -> None:
    mesh = still.json["meshes"][0]
    assert tuple(mesh["extras"]["targetNames"][:52]) == ARKIT
    assert len(mesh["weights"]) == len(mesh["extras"]["targetNames"]) == len(mesh["primitives"][0]["targets"])


def test_license_and_consent_are_in_the_asset(still: Glb) -> None:
    asset = still.json["asset"]
    assert asset["version"] == "2.0" and "Apache-2.0" in asset["copyright"]
    assert asset["extras"] == {"headModel": "embedded", "headModelLicence": "Apache-2.0", "consent": "Given."}


@pytest.mark.parametrize("name", ["jawOpen", "eyeLookUpLeft", "mouthSmileRight", "eyeBlinkLeft"])
def test_a_target_at_weight_one_is_the_expression_with_joint_rotations(
    tiny_avatar: Avatar, still: Glb, name: str
) -> None:
    head, row = tiny_avatar.head, tiny_avatar.head.expression_index(name)
    params = head.neutral_params()
    params.expression[0, row] = 1
    expected = corners_of(tiny_avatar, still, head.vertices(params)[0])
    assert morphed(still, np.eye(len(head.expression_names))[row]) == pytest.approx(expected, abs=1e-6)


def test_small_weights_of_many_targets_add_up_to_the_vertices(tiny_avatar: Avatar, still: Glb) -> None:
    head = tiny_avatar.head
    params = head.neutral_params()
    names = ("jawOpen", "mouthSmileLeft", "browInnerUp", "eyeLookOutRight", "cheekPuff", "jawLeft")
    params.expression[0, [head.expression_index(name) for name in names]] = 0.05
    expected = corners_of(tiny_avatar, still, head.vertices(params)[0])
    found = morphed(still, params.expression[0].double().numpy())
    moved = np.linalg.norm(expected - morphed(still, np.zeros(len(head.expression_names))), axis=1).max()
    # the chord of jawOpen's 21 degree arc deviates from it by at most a fifth of the motion
    assert moved > 1e-3 and np.linalg.norm(found - expected, axis=1).max() < 0.2 * moved


def test_the_default_pose_is_the_given_one(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = posed(tiny_avatar, {"browInnerUp": 0.4, "jawOpen": 1}, (25, -5, 5))
    write_glb(tmp_path / "me.glb", tiny_avatar, params)
    glb = Glb.read(tmp_path / "me.glb")
    turns = np.array([node["rotation"] for node in glb.json["nodes"][: len(JOINT_NAMES)]])
    found = skinned(
        glb,
        morphed(glb, np.array(glb.json["meshes"][0]["weights"])),
        turns,
        np.array(glb.json["nodes"][0]["translation"]),
    )
    centered = Placement.centered(tiny_avatar).params(tiny_avatar, params)
    expected = corners_of(tiny_avatar, glb, tiny_avatar.head.vertices(centered)[0])
    # the head model rotates the jaw of the displaced mesh, a target displaces the mesh with a rotated jaw
    assert np.linalg.norm(found - expected, axis=1).max() < 2.5e-3


def test_the_animation_is_the_motion_without_double_rotations(tiny: Capture, tiny_avatar: Avatar, moving: Glb) -> None:
    (animation,) = moving.json["animations"]
    keys = {}
    for channel in animation["channels"]:
        sampler, target = animation["samplers"][channel["sampler"]], channel["target"]
        keys[target["node"], target["path"]] = moving.values(sampler["output"])
        assert moving.values(sampler["input"]) == pytest.approx(np.arange(6) / 30, abs=1e-6)
    weights = keys[len(JOINT_NAMES), "weights"].reshape(6, -1)
    expected = Placement.centered(tiny_avatar).params(tiny_avatar, track(tiny))
    vertices = tiny_avatar.head.vertices(expected)
    assert float(expected.expression[5, tiny_avatar.head.expression_index("jawOpen")]) > 0.2
    resting = np.array([node["rotation"] for node in moving.json["nodes"][: len(JOINT_NAMES)]])
    for frame in range(6):
        turns = np.stack(
            [keys[joint, "rotation"][frame] if (joint, "rotation") in keys else resting[joint] for joint in range(5)]
        )
        found = skinned(moving, morphed(moving, weights[frame]), turns, keys[0, "translation"][frame])
        # half-open, the chord of the chin is 1.6 mm off its arc; a doubly rotated jaw would be centimeters off
        assert np.linalg.norm(found - corners_of(tiny_avatar, moving, vertices[frame]), axis=1).max() < 2.5e-3


def test_quaternions_of_consecutive_keyframes_are_in_one_hemisphere(moving: Glb) -> None:
    (animation,) = moving.json["animations"]
    for channel in animation["channels"]:
        if channel["target"]["path"] == "rotation":
            keys = moving.values(animation["samplers"][channel["sampler"]]["output"])
            assert ((keys[1:] * keys[:-1]).sum(1) > 0).all() and np.linalg.norm(keys, axis=1) == pytest.approx(1)


def test_frames_without_increasing_times_are_refused(tiny: Capture, tiny_avatar: Avatar, tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match="animation of 6 frames needs as many increasing times"):
        write_glb(tmp_path / "me.glb", tiny_avatar, track(tiny), torch.zeros(6))
    assert not list(tmp_path.iterdir())


@pytest.fixture
def flame_avatar(tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Avatar:
    """An avatar on a head that has numbered modes and jaw and eyes as joints only."""
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    head = flame_head()
    avatar = object.__new__(Avatar)
    torch.nn.Module.__init__(avatar)
    avatar.head = bake_identity(head, head.neutral_params().identity)
    avatar.neutral = torch.zeros(len(head.expression_names))
    avatar.neutral[0] = 0.3
    avatar.rig = tiny_avatar.rig  # for its torso
    return avatar


def test_an_arkit_name_poses_a_head_without_it(flame_avatar: Avatar) -> None:
    head = flame_avatar.head
    rest, opened = (head.vertices(posed(flame_avatar, weights)) for weights in ({}, {"jawOpen": 1, "expr0": 0.5}))
    assert float((head.landmarks(rest) - head.landmarks(opened))[0, 152, 1]) > 0.015  # meters, the chin
    assert float(posed(flame_avatar, {"expr0": 0.5}).expression[0, 0]) == pytest.approx(0.8)


def test_a_head_without_arkit_names_gets_their_targets_through_the_bridge(flame_avatar: Avatar) -> None:
    face = ArkitFace.of(flame_avatar)
    assert face.names[:52] == ARKIT
    chin = flame_avatar.head.landmarks(face.neutral_mesh[None])[0, 152]
    opened = flame_avatar.head.landmarks((face.neutral_mesh + face.targets[face.names.index("jawOpen")])[None])[0, 152]
    assert float(chin[1] - opened[1]) > 0.015  # meters


def test_parameters_of_a_head_without_arkit_names_become_arkit_weights(flame_avatar: Avatar) -> None:
    face, head = ArkitFace.of(flame_avatar), flame_avatar.head
    params = head.neutral_params()
    params.expression[:] = flame_avatar.neutral
    params.joint_rot[0, JAW, 0] = 0.2
    weights, joint_rot = face.weights(params)
    assert float(weights[0, face.names.index("jawOpen")]) == pytest.approx(0.2 / 0.3648, abs=0.1)
    assert float(joint_rot[0, JAW].norm()) < 0.01


def test_obj_has_the_vertices_colors_and_triangles_of_the_head(tiny_avatar: Avatar, tmp_path: Path) -> None:
    head, params = tiny_avatar.head, posed(tiny_avatar, {"jawOpen": 0.5})
    write_obj(tmp_path / "me.obj", tiny_avatar, params)
    rows: dict[str, list[list[str]]] = {}
    for words in map(str.split, (tmp_path / "me.obj").read_text().splitlines()):
        rows.setdefault(words[0], []).append(words[1:])
    rows_v = np.array(rows["v"], float)
    expected = head.vertices(Placement.centered(tiny_avatar).params(tiny_avatar, params))[0]
    assert rows_v[:, :3] == pytest.approx(expected.numpy(), abs=1e-6)
    assert rows_v[:, 3:].min() >= 0 and rows_v[:, 3:].max() <= 1
    assert (len(rows["vt"]), len(rows["vn"])) == (len(head.uv), len(rows_v))
    faces = np.array([[corner.split("/") for corner in face] for face in rows["f"]], int) - 1
    assert (faces[..., 0] == head.faces.numpy()).all() and (faces[..., 1] == head.uv_faces.numpy()).all()
    assert (faces[..., 2] == faces[..., 0]).all()
    assert any("Apache-2.0" in " ".join(words) for words in rows["#"])


def test_the_mesh_has_the_colors_of_the_images(tiny_avatar: Avatar) -> None:
    colors, head = vertex_colors(tiny_avatar), tiny_avatar.head
    nose = head.regions["nose"]
    # the capture's images show the lit colors of the head model, which the avatar learned
    assert (colors[nose].mean(0) - 0.85 * head.colors[nose].mean(0)).abs().max() < 0.12
    inside = head.regions["mouth_interior"]
    assert (colors[inside] == head.colors[inside]).all(-1).float().mean() > 0.8


def test_a_view_along_the_surface_gives_no_color(tiny_avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    before = vertex_colors(tiny_avatar)
    bright = torch.nonzero(before.amax(1) > 0.3)[::20, 0]
    real = mesh.seen_colors

    def grazing(avatar: Avatar, points: mesh.SurfacePoints) -> Tensor:
        total = real(avatar, points)
        total[bright] *= 1e-12
        return total

    monkeypatch.setattr(mesh, "seen_colors", grazing)
    after = vertex_colors(tiny_avatar)
    assert len(bright) > 50 and float(after[bright].amax(1).min()) > 0.02
    assert float((after - before)[bright].abs().median()) < 0.1

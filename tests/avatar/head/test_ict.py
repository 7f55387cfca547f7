"""ICT-FaceKit's folder is loaded as a HeadModel; tested on a made-up folder, as the release is not bundled."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import HeadModel, load_head
from avatar.head.ict import load_ict
from avatar.head.ict.appearance import pack_tiles
from avatar.head.ict.load import ARKIT
from avatar.head.ict.obj import Mesh, read_mesh
from avatar.head.ict.parts import FULL_COUNT, find_parts
from avatar.motion.bridge import Bridge
from avatar.motion.bridge_fit import fit_bridge
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE

from .made_up_ict import person, write_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ict") / "FaceXModel")


@pytest.fixture(scope="module")
def head(folder: Path) -> HeadModel:
    return load_ict(folder)


def origin() -> torch.Tensor:
    """The point between the eyeballs of the embedded head."""
    model = load_head()
    return model.joint_locations(torch.zeros(model.shapedirs.shape[2]))[[LEFT_EYE, RIGHT_EYE]].mean(0)


def posed(head: HeadModel, names: dict[str, float]) -> torch.Tensor:
    params = head.neutral_params()
    for name, weight in names.items():
        params.expression[0, head.expression_index(name)] = weight
    return head.vertices(params)[0] - head.v_template


def test_neutral_is_the_files_in_meters_with_the_origin_between_the_eyeballs(head: HeadModel) -> None:
    torch.testing.assert_close(head.v_template, load_head().v_template - origin(), atol=5e-5, rtol=0)


def test_layers_over_the_eyes_are_dropped(head: HeadModel) -> None:
    assert torch.equal(head.faces.sort(0).values, load_head().faces.sort(0).values)


def test_names_are_arkits(head: HeadModel) -> None:
    assert head.expression_names == ARKIT
    assert len(ARKIT) == 51 and "tongueOut" not in ARKIT


def test_every_shape_ends_where_its_file_ends(head: HeadModel) -> None:
    model = load_head()
    columns = [model.expression_index(name) for name in ARKIT]
    error = (head.expression_motion() - model.expression_motion()[:, :, columns]).norm(dim=1).amax(0)
    wrong = {name: float(value) for name, value in zip(ARKIT, error, strict=True) if value > 5e-6}
    assert set(wrong) <= {"mouthClose"}  # made for an open jaw


def test_mouth_close_on_an_open_jaw_is_the_sum_of_both_files(head: HeadModel) -> None:
    model = load_head()
    motion = model.expression_motion()
    files = sum(motion[:, :, model.expression_index(name)] for name in ("jawOpen", "mouthClose"))
    torch.testing.assert_close(posed(head, {"jawOpen": 1, "mouthClose": 1}), files, atol=5e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "joint"), [("jawOpen", JAW), ("jawLeft", JAW), ("eyeLookUpLeft", LEFT_EYE), ("eyeLookInRight", RIGHT_EYE)]
)
def test_joint_rotations_are_fitted_to_the_blendshapes(head: HeadModel, name: str, joint: int) -> None:
    model = load_head()
    found = head.joint_dirs[:, :, head.expression_index(name)]
    torch.testing.assert_close(found, model.joint_dirs[:, :, model.expression_index(name)], atol=1e-3, rtol=0)
    assert found[joint].norm() > 0.05


def test_half_open_jaw_is_on_an_arc(head: HeadModel) -> None:
    teeth = head.regions["teeth_lower"]
    rest, half = head.v_template[teeth], head.v_template[teeth] + posed(head, {"jawOpen": 0.5})[teeth]
    stretch = torch.pdist(half) - torch.pdist(rest)
    assert stretch.abs().max() < 1e-4  # teeth are rigid; linear interpolation would shrink them


def test_jaw_moves_lower_teeth_and_tongue_but_not_the_upper_teeth(head: HeadModel) -> None:
    weight = head.lbs_weights[:, JAW]
    assert weight[head.regions["teeth_lower"]].min() == 1
    assert weight[head.regions["teeth_upper"]].max() == 0
    assert weight[head.regions["tongue"]].max() > 0.8
    assert weight[head.regions["scalp"]].max() < 0.02


def test_weights_sum_to_one_and_joints_come_from_the_mesh(head: HeadModel) -> None:
    torch.testing.assert_close(head.lbs_weights.sum(1), torch.ones(len(head.v_template)), atol=1e-6, rtol=0)
    joints = head.joint_locations(torch.zeros(2))
    torch.testing.assert_close(joints[[LEFT_EYE, RIGHT_EYE]].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert joints[JAW, 1] < -0.01 and joints[JAW, 2] < -0.02


def test_identity_files_are_modes(head: HeadModel) -> None:
    torch.testing.assert_close(head.shapedirs, load_head().shapedirs[:, :, :2], atol=2e-6, rtol=0)


def test_landmarks_are_those_of_the_source_head(head: HeadModel) -> None:
    model = load_head()
    expected = model.landmarks(model.v_template[None])[0] - origin()
    assert (head.landmarks(head.v_template[None])[0] - expected).norm(dim=1).max() < 5e-4


@pytest.mark.parametrize(("marked", "limit"), [(True, 0.6e-3), (False, 3e-3)])
def test_landmarks_of_another_person_are_near(tmp_path: Path, marked: bool, limit: float) -> None:
    other = write_folder(tmp_path / "other", identities=0, identity=person())
    if not marked:
        (other / "vertex_indices.json").unlink()
    head, model = load_ict(other), load_head()
    expected = model.landmarks(model.identity_vertices(person())[None])[0, :468]
    found = head.landmarks(head.v_template[None])[0, :468]
    error = (found - found.mean(0)) - (expected - expected.mean(0))
    assert error.norm(dim=1).mean() < limit
    assert head.shapedirs.shape[2] == 0


def test_lower_lips_landmarks_open_with_the_jaw(head: HeadModel) -> None:
    opened = head.landmarks((head.v_template + posed(head, {"jawOpen": 1}))[None])[0]
    assert (opened[13] - opened[14]).norm() > 0.025


def test_regions_and_capabilities_are_known(head: HeadModel) -> None:
    model = load_head()
    for name in ("face", "nose", "scalp", "neck", "left_ear", "teeth_upper", "left_eyeball", "tongue"):
        both = (head.regions[name] & model.regions[name]).sum()
        assert both > 0.8 * (head.regions[name] | model.regions[name]).sum(), name
    assert {"arkit", "teeth", "tongue"} <= head.capabilities


def test_texture_tiles_do_not_overlap_on_the_head(head: HeadModel) -> None:
    assert head.uv.min() >= 0 and head.uv.max() <= 1
    corners = head.uv[head.uv_faces]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    assert (area.abs() > 0).float().mean() > 0.99
    centers = {
        name: corners.mean(1)[head.regions[name][head.faces].all(1)] for name in ("nose", "left_eyeball", "tongue")
    }
    assert centers["nose"].max() < 2 / 3  # the face's tile is the large one
    boxes = [(points.min(0).values, points.max(0).values) for points in centers.values()]
    for one in range(3):
        for two in range(one):
            separate = (boxes[one][0] > boxes[two][1]) | (boxes[two][0] > boxes[one][1])
            assert separate.any()


@pytest.mark.parametrize("tiles", [1, 2, 4, 9, 12])
def test_no_two_tiles_overlap(tiles: int) -> None:
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    uv = np.vstack([square * 0.98 + 0.01 + [tile, 0] for tile in range(tiles)])
    faces = np.vstack([np.array([[0, 1, 2], [0, 2, 3]]) + 4 * tile for tile in range(tiles)])
    coordinates, new_faces = pack_tiles(uv, faces)
    corners = coordinates[new_faces].reshape(tiles, 6, 2)
    low, high = corners.min(1), corners.max(1)
    separate = ((low[:, None] >= high[None]) | (low[None] >= high[:, None])).any(-1) | np.eye(tiles, dtype=bool)
    assert separate.all()
    assert low.min() >= 0 and high.max() <= 1


def test_coordinate_on_the_border_of_two_tiles_is_duplicated() -> None:
    uv = np.array([[0.5, 0.0], [1.0, 0.0], [0.5, 1.0], [1.5, 0.0], [1.5, 1.0]])
    coordinates, faces = pack_tiles(uv, np.array([[0, 1, 2], [1, 3, 4]]))
    assert len(coordinates) == 6
    for face, expected in zip(faces, ([[0.5, 0], [1, 0], [0.5, 1]], [[0, 0], [0.5, 0], [0.5, 1]]), strict=True):
        moved = coordinates[face] - np.array(expected) / 2  # two tiles: both are half as large
        np.testing.assert_allclose(moved - moved[0], 0, atol=1e-12)


def test_bridge_to_the_embedded_head_matches_names(head: HeadModel) -> None:
    bridge = Bridge(head.expression_names, load_head().expression_names, fit_bridge(head, load_head()))
    weights, _ = bridge(torch.eye(51), torch.zeros(51, 5, 3))
    assert weights[head.expression_index("mouthPucker"), load_head().expression_index("mouthPucker")] == 1
    assert weights.sum() == 51


def test_parent_folder_is_accepted(folder: Path) -> None:
    assert load_ict(folder.parent).model_id == load_ict(folder).model_id


def test_ranges_of_the_release_are_those_of_its_documentation() -> None:
    none = np.zeros((0, 3), np.int64)
    mesh = Mesh(np.zeros((FULL_COUNT, 3)), none, np.zeros((1, 2)), none, (), np.zeros(0, np.int64))
    sizes = {part: int(mask.sum()) for part, mask in find_parts(mesh, "neutral").items()}
    assert sizes == {
        "face": 9409, "head_and_neck": 1839, "mouth_socket": 2046, "eye_socket_left": 384, "eye_socket_right": 384,
        "gums_and_tongue": 2977, "teeth": 4412, "eyeball_left": 1570, "eyeball_right": 1570, "overlays": 2128,
    }  # fmt: skip


def test_quads_become_two_triangles(tmp_path: Path) -> None:
    path = tmp_path / "quad.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1 4/1\n")
    assert read_mesh(path).faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _scaled(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line.replace(".", "", 1) if line.startswith("v ") else line for line in lines))


DAMAGE = {
    "no neutral": (lambda f: (f / "generic_neutral_mesh.obj").unlink(), "no generic_neutral_mesh.obj there; give the"),
    "no smile": (lambda f: (f / "mouthSmile_L.obj").unlink(), r"1 of its expression files are missing \(mouthSmile_L"),
    "cut short": (
        lambda f: (f / "jawOpen.obj").write_text((f / "jawOpen.obj").read_text()[:5000]),
        r"jawOpen\.obj: (has \d+ vertices, the neutral mesh \d+|a vertex is not three numbers)",
    ),
    "words": (
        lambda f: (f / "eyeBlink_L.obj").write_text("v one two three\n"),
        r"eyeBlink_L\.obj: a vertex is not three numbers",
    ),
    "empty": (lambda f: (f / "eyeBlink_L.obj").write_bytes(b""), r"eyeBlink_L\.obj: not a Wavefront mesh"),
    "infinite": (lambda f: (f / "identity001.obj").write_text("v 0 inf 0\n"), r"identity001\.obj: not a Wavefront"),
    "other materials": (
        lambda f: _rewrite(f / "generic_neutral_mesh.obj", "M_Sclera", "M_Wheel"),
        "expected the 26719 vertices of ICT-FaceKit or its materials.*no eyeball_left",
    ),
    "face without vertex": (
        lambda f: _rewrite(f / "generic_neutral_mesh.obj", "usemtl M_Teeth", "f 1/1 2/1 99999/1\nusemtl M_Teeth"),
        r"its faces do not match its \d+ vertices",
    ),
    "odd units": (lambda f: _scaled(f / "generic_neutral_mesh.obj"), "which is not a head in meters, centimeters"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_malformed_folder_is_an_error_on_one_line(folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "FaceXModel"
    shutil.copytree(folder, copy)
    spoil, sentence = DAMAGE[damage]
    spoil(copy)
    with pytest.raises(HeadsplatError, match=sentence) as found:
        load_ict(copy)
    assert "\n" not in str(found.value)


def test_landmarks_that_match_no_face_are_ignored(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "FaceXModel"
    shutil.copytree(folder, copy)
    (copy / "vertex_indices.json").write_text('{"idx_to_landmark_verts": [' + ",".join(map(str, range(68))) + "]}")
    head = load_ict(copy)
    nose = head.landmarks(head.v_template[None])[0, 1]
    model = load_head()
    assert (nose - (model.landmarks(model.v_template[None])[0, 1] - origin())).norm() < 3e-3

"""The embedded head fulfills HeadModel's contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.head import HeadModel, load_head
from avatar.head.regions import Region
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE
from tools.head.expressions import NAMES

REGIONS = get_args(Region)
JOINTS_AT = ((0, -0.22, -0.10), (0, -0.16, -0.096), (0, -0.013, -0.063))  # meters: root, neck, jaw


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head()


def test_the_same_source_gives_the_same_object() -> None:
    assert load_head("embedded") is load_head("embedded")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("flame2023.pkl", r"flame2023\.pkl: no such head file; give FLAME's"),
        (
            "metahuman",
            r"head 'metahuman': give embedded, embedded-half, a FLAME file \(\.pkl or \.npz\) or ICT-FaceKit's folder",
        ),
        (".", r"\.: no head model in this folder \(ICT-FaceKit's has generic_neutral_mesh\.obj\)"),
    ],
)
def test_an_unknown_source_is_refused_with_a_remedy(source: str, sentence: str) -> None:
    with pytest.raises(HeadsplatError, match=sentence):
        load_head(source)


def test_a_mask_is_the_union_of_its_regions(head: HeadModel) -> None:
    assert torch.equal(head.mask("lips", "nose"), head.regions["lips"] | head.regions["nose"])
    assert not head.mask().any()
    toothless = replace(head, regions={name: mask for name, mask in head.regions.items() if "teeth" not in name})
    assert not toothless.mask("teeth_upper").any()


def test_a_misspelt_region_is_an_error(head: HeadModel) -> None:
    with pytest.raises(ValueError, match=r"regions: expected names among boundary, .*, torso, got 'lip'"):
        head.mask("lip")  # type: ignore[arg-type]


def test_the_torso_weight_is_zero_inside_the_head(head: HeadModel) -> None:
    assert head.torso_weight().max() == 1
    assert not head.torso_weight()[head.mask("tongue", "left_eyeball", "mouth_interior")].any()


def test_the_embedded_head_has_every_region(head: HeadModel) -> None:
    assert set(head.regions) == set(REGIONS)


def test_half_density_is_the_same_head_with_fewer_triangles(head: HeadModel) -> None:
    """Landmarks, joints and expressions agree; the skin vertices are on the same surface."""
    half = load_head("embedded-half")
    assert len(half.faces) < 0.3 * len(head.faces) and 2000 < len(half.v_template) < 4000
    params = head.neutral_params(2)
    params.expression[0, [head.expression_index(name) for name in ("jawOpen", "mouthSmileLeft")]] = 0.7
    params.expression[1, [head.expression_index(name) for name in ("eyeBlinkRight", "eyeLookUpLeft")]] = 0.5
    params.joint_rot[:, 1, 1] = 0.4
    params.identity[:] = torch.randn(len(params.identity), generator=torch.Generator().manual_seed(1))
    found, expected = (model.landmarks(model.vertices(params)) for model in (half, head))
    assert (found - expected).norm(dim=2).max() < 5e-4  # joints are regressed from fewer vertices
    assert torch.allclose(
        half.joint_locations(params.identity)[2:], head.joint_locations(params.identity)[2:], atol=5e-4
    )


def test_texture_coordinates_next_to_a_flame_file_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr("avatar.head.flame.load_flame", lambda path, detector, uv, on_message: found.append(uv))
    for name in ("generic_model.pkl", "head_template.obj"):
        (tmp_path / name).write_bytes(b"")
        load_head(tmp_path / "generic_model.pkl")
        (tmp_path / "generic_model.pkl").write_bytes(b"another")
    assert found == [None, tmp_path / "head_template.obj"]


def test_expressions_are_arkit_in_live_link_order_and_two_lids(head: HeadModel) -> None:
    assert head.expression_names == NAMES and len(NAMES) == 54
    assert NAMES[0] == "eyeBlinkLeft" and NAMES[51:] == ("tongueOut", "eyelidLeft", "eyelidRight")


def test_the_boundary_is_the_busts_border(head: HeadModel) -> None:
    edges = torch.cat([head.faces[:, [0, 1]], head.faces[:, [1, 2]], head.faces[:, [2, 0]]]).sort(1).values
    unique, uses = edges.unique(dim=0, return_counts=True)
    border = torch.zeros(len(head.v_template), dtype=torch.bool)
    border[unique[uses == 1].ravel()] = True
    assert torch.equal(head.regions["boundary"], border & head.regions["torso"])


def test_eyeballs_are_iris_and_sclera(head: HeadModel) -> None:
    balls = head.regions["left_eyeball"] | head.regions["right_eyeball"]
    assert torch.equal(head.regions["iris"] ^ head.regions["sclera"], balls)
    assert not (head.regions["iris"] & head.regions["sclera"]).any()


def test_hair_grows_above_the_brows_and_not_on_ears_or_face(head: HeadModel) -> None:
    hair = head.regions["hair_cap"]
    for name in ("face", "left_ear", "right_ear", "torso", "mouth_interior"):
        assert not (hair & head.regions[name]).any(), name
    top = head.v_template[:, 1] > 0.09
    assert hair[top].all()
    assert head.v_template[hair & (head.v_template[:, 2] > -0.04), 1].min() > 0.02


def test_inner_lips_are_wet_rows_at_the_contact_line(head: HeadModel) -> None:
    inner = head.regions["lips_inner"]
    assert inner[[13, 14, 78, 308]].all() and not inner[[0, 17, 61, 291]].any()
    assert (inner & head.regions["mouth_interior"]).any()


def test_joints_lie_where_the_specification_puts_them(head: HeadModel) -> None:
    joints = head.joint_locations(torch.zeros(head.shapedirs.shape[2]))
    assert torch.allclose(joints[:3], torch.tensor(JOINTS_AT), atol=1e-4)
    for joint, name in ((LEFT_EYE, "left_eyeball"), (RIGHT_EYE, "right_eyeball")):
        distance = (head.v_template[head.regions[name]] - joints[joint]).norm(dim=1)
        assert distance.min() > 0.0119 and distance.max() < 0.0126


def test_eye_joints_follow_the_eyeballs_of_another_person(head: HeadModel) -> None:
    identity = torch.randn(head.shapedirs.shape[2], generator=torch.Generator().manual_seed(0))
    vertices, joints = head.identity_vertices(identity), head.joint_locations(identity)
    for joint, name in ((LEFT_EYE, "left_eyeball"), (RIGHT_EYE, "right_eyeball")):
        distance = (vertices[head.regions[name]] - joints[joint]).norm(dim=1)
        assert distance.min() > 0.0118 and distance.max() < 0.0127


def test_skin_weights_sum_to_one_with_at_most_three_joints(head: HeadModel) -> None:
    assert (head.lbs_weights.sum(1) - 1).abs().max() < 1e-6
    assert head.lbs_weights.min() >= 0
    assert (head.lbs_weights > 1e-4).sum(1).max() <= 3
    assert head.lbs_weights.shape[1] == len(JOINT_NAMES)


def test_neutral_parameters_give_the_template(head: HeadModel) -> None:
    vertices = head.vertices(head.neutral_params(2))
    assert torch.allclose(vertices, head.v_template.expand(2, -1, -1), atol=1e-6)


def test_the_jaw_joint_lowers_the_chin_but_not_the_upper_teeth(head: HeadModel) -> None:
    params = head.neutral_params()
    params.joint_rot[0, 2, 0] = 0.3
    moved = (head.vertices(params)[0] - head.v_template).norm(dim=1)
    assert moved[head.regions["teeth_lower"]].min() > 0.01
    assert moved[head.regions["teeth_upper"]].max() < 1e-6


def test_irises_lie_on_their_eyeballs_right_first(head: HeadModel) -> None:
    irises = head.landmarks(head.v_template[None])[0, 468:].reshape(2, 5, 3)
    assert irises[0, 0, 0] < 0 < irises[1, 0, 0]
    for iris in irises:
        assert ((iris[1:, :2] - iris[0, :2]).norm(dim=1) - 0.0059).abs().max() < 2e-4
    assert torch.allclose(irises[0, 1, :2] - irises[0, 0, :2], torch.tensor([0.0059, 0.0]), atol=2e-4)
    assert torch.allclose(irises[1, 1, :2] - irises[1, 0, :2], torch.tensor([0.0059, 0.0]), atol=2e-4)


def test_identity_moves_the_face_but_not_the_collar(head: HeadModel) -> None:
    size = head.shapedirs.norm(dim=1).amax(0)
    assert head.shapedirs.shape[2] >= 100 and size.min() > 3e-4 and size.max() < 0.012
    collar = head.v_template[:, 1] < -0.21
    assert head.shapedirs[collar].abs().max() < 1e-4


def test_identity_modes_contain_no_rigid_motion_or_scaling_of_the_face(head: HeadModel) -> None:
    face = torch.arange(468)
    offset = head.v_template[face] - head.v_template[face].mean(0)
    axes = torch.eye(3)
    motions = [axis.expand(468, 3) for axis in axes]
    motions += [torch.linalg.cross(axis.expand(468, 3), offset) for axis in axes] + [offset]
    basis = torch.stack([motion / motion.norm() for motion in motions]).reshape(7, -1)
    modes = head.shapedirs[face].reshape(-1, head.shapedirs.shape[2])
    assert ((basis @ modes).abs() <= 0.02 * modes.norm(dim=0) + 1e-6).all()


def test_no_frames_give_no_vertices() -> None:
    head = load_head()
    assert head.vertices(head.neutral_params(0)).shape == (0, *head.v_template.shape)


@pytest.mark.parametrize("source", ["embedded", "embedded-half"])
def test_some_vertices_are_those_of_all(source: str) -> None:
    head, random = load_head(source), torch.Generator().manual_seed(2)
    params = head.neutral_params(3)
    params.identity[:] = torch.randn(len(params.identity), generator=random)
    params.expression[:] = torch.rand(params.expression.shape, generator=random)
    params.joint_rot[:] = 0.3 * torch.randn(params.joint_rot.shape, generator=random)
    rows = torch.randint(len(head.v_template), (40,), generator=random)
    assert torch.allclose(head.vertices(params, rows), head.vertices(params)[:, rows], atol=1e-6)
    assert torch.allclose(head.expression_motion(rows), head.expression_motion()[rows], atol=1e-6)
    landmarks = head.skull_landmarks(params)
    assert torch.allclose(landmarks, head.landmarks(head.skull_vertices(params)), atol=1e-6)

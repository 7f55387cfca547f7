"""The contract that every head model must fulfill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.head import HeadModel, load_head
from avatar.head.anatomy.indices import LID_LOWER, LID_UPPER
from avatar.model.avatar import Avatar, bake_identity
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.rig import Rig
from avatar.model.torso import TorsoMap
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Binding, LocalGaussians

from .flame import made_up
from .measures import normals, posed, region, template
from .test_interface import REGIONS

HEADS = ("embedded", "embedded-half", "flame 2020", "flame 2023", "flame 2023 Open", "partial FLAME 2023 Open")
_BESIDE = Path(__file__).parents[4] / "shared" / "data" / "heads" / "flame2023open_partial.npz"
PARTIAL = Path(os.environ.get("HEADSPLAT_FLAME_PARTIAL", _BESIDE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for made-up files, with a separate cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSPLAT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield tmp_path_factory.mktemp("heads")


@pytest.fixture(scope="module", params=HEADS)
def head(request: pytest.FixtureRequest, folder: Path) -> HeadModel:
    if request.param.startswith("embedded"):
        return load_head(request.param)
    if request.param.startswith("partial"):
        if not PARTIAL.is_file():
            pytest.skip("the partial FLAME 2023 Open is absent (HEADSPLAT_FLAME_PARTIAL)")
        return load_head(PARTIAL)
    version = request.param.removeprefix("flame ")
    return load_head(made_up.write(folder, version, ".npz" if version == "2023" else ".pkl"))


def _landmarks(head: HeadModel, vertices: np.ndarray) -> np.ndarray:
    return head.landmarks(torch.from_numpy(vertices)[None].float())[0].double().numpy()


def test_weights_sum_to_one_and_are_not_negative(head: HeadModel) -> None:
    assert (head.lbs_weights.sum(1) - 1).abs().max() < 1e-5
    assert head.lbs_weights.min() >= 0
    assert (head.J_regressor.sum(1) - 1).abs().max() < 1e-4


def test_joints_are_flames_at_plausible_positions(head: HeadModel) -> None:
    assert head.parents == (-1, 0, 1, 1, 1) and head.J_regressor.shape[0] == len(JOINT_NAMES)
    joints = head.joint_locations(head.neutral_params().identity)
    assert joints[LEFT_EYE, 0] > 0.025 and joints[RIGHT_EYE, 0] < -0.025
    assert joints[ROOT, 1] < joints[NECK, 1] < 0 and joints[JAW, 1] < 0
    assert joints[JAW, 2] < joints[LEFT_EYE, 2] - 0.03
    assert joints[[LEFT_EYE, RIGHT_EYE]].mean(0).norm() < 0.013


def test_neutral_parameters_give_the_template(head: HeadModel) -> None:
    vertices = head.vertices(head.neutral_params(2))
    assert torch.allclose(vertices, head.v_template.expand(2, -1, -1), atol=1e-6)


def test_posing_another_person_is_finite(head: HeadModel) -> None:
    params = head.neutral_params(3)
    random = torch.Generator().manual_seed(0)
    params.joint_rot[:] = 0.2 * torch.randn(params.joint_rot.shape, generator=random)
    params.expression[:] = torch.rand(params.expression.shape, generator=random)
    vertices = head.vertices(params)
    assert vertices.isfinite().all() and vertices.abs().max() < 1


def test_expression_motion_is_finite_and_every_control_moves(head: HeadModel) -> None:
    motion = head.expression_motion()
    assert motion.isfinite().all()
    named = [i for i, name in enumerate(head.expression_names) if not name.startswith("expr")]
    assert motion[:, :, named].norm(dim=1).amax(0).min() > 5e-4


def test_jaw_open_by_name_separates_the_lips_and_lowers_the_lower_teeth(head: HeadModel) -> None:
    landmarks = _landmarks(head, posed(head, {"jawOpen": 1.0}))
    assert 2.8 < np.linalg.norm(landmarks[13] - landmarks[14]) < 4.2
    moved = np.linalg.norm(posed(head, {"jawOpen": 1.0}) - template(head), axis=1)
    assert moved[region(head, "teeth_lower")].min() > 0.8
    assert moved[region(head, "teeth_upper")].max() < 0.01


def test_jaw_open_by_name_rotates_the_jaw_joint(head: HeadModel) -> None:
    params = head.neutral_params()
    params.joint_rot[0] = head.joint_dirs[:, :, head.expression_index("jawOpen")]
    by_joint = head.vertices(params)[0].double().numpy() * 100
    by_name = posed(head, {"jawOpen": 1.0})
    assert params.joint_rot[0, JAW, 0] > 0.2
    chin = region(head, "teeth_lower")
    assert np.abs(by_joint - by_name)[chin].max() < 0.45  # the embedded head's jaw also translates a little


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_looking_sideways_rotates_only_that_eyeball(head: HeadModel, side: str) -> None:
    move = posed(head, {f"eyeLookOut{side}": 1.0}) - template(head)
    own, other = (
        region(head, f"{side.lower()}_eyeball"),
        region(head, "right_eyeball" if side == "Left" else "left_eyeball"),
    )
    front = own & (template(head)[:, 2] > template(head)[own, 2].max() - 0.05)
    assert (move[front, 0] * (1 if side == "Left" else -1)).min() > 0.3
    assert np.abs(move[other]).max() < 0.01


def test_lids_meet_when_closed_and_stay_outside_the_eyeball(head: HeadModel) -> None:
    joint = head.joint_locations(head.neutral_params().identity)[RIGHT_EYE].double().numpy() * 100
    ball = np.linalg.norm(template(head)[region(head, "right_eyeball")] - joint, axis=1).max()
    upper, lower = list(LID_UPPER[2:-2]), list(LID_LOWER[2:-2])
    for weight in (0.25, 0.5, 0.75, 1.0):
        landmarks = _landmarks(head, posed(head, {"eyelidRight": weight}))
        assert np.linalg.norm(landmarks[upper + lower] - joint, axis=1).min() > ball + 0.015
    gap = np.linalg.norm(landmarks[upper] - landmarks[lower], axis=1)
    assert gap.max() < 0.2  # detected landmarks of a pair need not lie opposite each other
    assert np.abs(landmarks[upper, 1] - landmarks[lower, 1]).max() < 0.1


def test_landmarks_lie_on_the_face_and_are_nearly_symmetric(head: HeadModel) -> None:
    assert head.landmark_faces.shape == (478,) and head.landmark_bary.shape == (478, 3)
    assert (head.landmark_bary.sum(1) - 1).abs().max() < 1e-5 and head.landmark_bary.min() > -1e-4
    landmarks = _landmarks(head, template(head))
    middle = (landmarks[33] + landmarks[263]) / 2
    assert np.abs(landmarks - middle).max() < 13
    for right, left in ((33, 263), (133, 362), (61, 291), (234, 454), (159, 386), (78, 308)):
        assert np.linalg.norm(landmarks[right] * [-1, 1, 1] - landmarks[left]) < 0.35
    assert (
        landmarks[10, 1]
        > landmarks[9, 1]
        > landmarks[1, 1]
        > landmarks[13, 1]
        >= landmarks[14, 1] - 0.05
        > landmarks[152, 1]
    )


@pytest.mark.parametrize("name", REGIONS)
def test_every_required_region_has_vertices(head: HeadModel, name: str) -> None:
    assert head.regions[name].shape == (len(head.v_template),) and head.regions[name].dtype == torch.bool
    assert head.regions[name].any() and not head.regions[name].all()


def test_sides_are_those_of_the_subject(head: HeadModel) -> None:
    for part in ("eyeball", "ear", "eye_region"):
        assert head.v_template[head.regions[f"left_{part}"], 0].mean() > 0.02
        assert head.v_template[head.regions[f"right_{part}"], 0].mean() < -0.02


def test_every_triangle_has_a_positive_area_in_the_texture(head: HeadModel) -> None:
    assert head.uv.min() >= 0 and head.uv.max() <= 1
    assert head.uv_faces.shape == head.faces.shape
    a, b, c = head.uv.double()[head.uv_faces].unbind(1)
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert area.min() > 0


def test_capabilities_are_the_parts_it_has(head: HeadModel) -> None:
    assert {"eyelids", "teeth", "tongue", "mouth_interior"} <= head.capabilities
    assert ("arkit" in head.capabilities) == ("mouthSmileLeft" in head.expression_names)


def test_no_tooth_shows_through_closed_lips(head: HeadModel) -> None:
    """In the front view the lips occlude everything in the mouth."""
    from avatar.head.sheets import View, rasterize_view

    view = View(center=(0, -0.06, 0), extent=0.12)
    _, face, _ = rasterize_view(head.faces, head.v_template, view, 500)
    visible = head.faces[face[face >= 0].long().unique()]
    for name in ("teeth_upper", "teeth_lower", "tongue"):
        assert not head.regions[name][visible].all(1).any(), name


def test_teeth_face_outward(head: HeadModel) -> None:
    for name in ("teeth_upper", "teeth_lower"):
        faces = head.faces.numpy()[region(head, name)[head.faces.numpy()].all(1)]
        vertices = template(head)
        across = normals(vertices, faces)
        front = vertices[faces].mean(1)[:, 2] > vertices[region(head, name), 2].max() - 0.3
        assert across[front, 2].sum() > 0


def test_the_identity_of_the_geometry_is_stable(head: HeadModel) -> None:
    again = HeadModel(**{name: getattr(head, name) for name in HeadModel.__dataclass_fields__})
    assert head.model_id == again.model_id and len(head.model_id) == 16


def test_license_and_name_are_set(head: HeadModel) -> None:
    assert head.name and head.license


def test_an_avatar_of_it_passes_the_checks_of_its_file(head: HeadModel, tmp_path: Path) -> None:
    own = bake_identity(head, head.neutral_params().identity)
    torso = TorsoMap(torch.eye(3), torch.zeros(3), own.joint_locations(torch.zeros(0))[NECK])
    rig = Rig(Binding(own.faces[:6], torch.full((6, 3), 1 / 3), torch.zeros(6)), torso)
    shapes = Blendshapes("reduced", torch.rand(4, len(own.expression_names) + 9), 2, 3)
    scales, colors = torch.full((6, 3), -6.0), torch.rand(6, 3)
    local = LocalGaussians(torch.zeros(6, 3), torch.ones(6, 4), scales, torch.ones(6), colors)
    neutral = torch.zeros(len(own.expression_names))
    save_avatar(tmp_path / "me.avatar", Avatar(own, rig, shapes, local, neutral))
    loaded = load_avatar(tmp_path / "me.avatar").head
    assert loaded.expression_names == head.expression_names and torch.equal(loaded.lbs_weights, head.lbs_weights)

"""Splat files: layout, values, and the image of an independent reader and rasterizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.export import posed, write_ply, write_plys, write_rigged_ply
from avatar.export.placement import Placement, upside_down
from avatar.export.ply import ply_bytes
from avatar.export.posed import out_of_range
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar
from avatar.rendering.render import render
from avatar.types import NECK, ROOT, Camera, Gaussians
from tests.avatar.export.readers import Ply, columns, rotations, splatted

NAMES = (
    "x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2", "rot_0",
    "rot_1", "rot_2", "rot_3",
)  # fmt: skip


def random_gaussians(count: int, terms: int) -> Gaussians:
    random = torch.Generator().manual_seed(terms)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(1, count, *shape, generator=random)

    quats = torch.nn.functional.normalize(numbers(4), dim=-1)
    return Gaussians(numbers(3), quats, (numbers(3) - 4).exp(), torch.sigmoid(numbers()), numbers(terms, 3))


def from_front(size: int) -> Camera:
    """A camera [1] 0.6 m in front of an exported head, y up."""
    camera = Camera.facing(2.2 * size, size, size)
    camera.world_to_cam[0, 2, 3] = 0.6
    return camera


@pytest.mark.parametrize("terms", [1, 4, 16])
def test_the_file_stores_logarithms_logits_and_wxyz_quaternions(tmp_path: Path, terms: int) -> None:
    gaussians = random_gaussians(50, terms)
    (tmp_path / "a.ply").write_bytes(ply_bytes(gaussians))
    rows = Ply.read(tmp_path / "a.ply").elements["vertex"]
    rest = [f"f_rest_{index}" for index in range(3 * (terms - 1))]
    assert rows.dtype.names == (*NAMES[:9], *rest, *NAMES[9:])
    assert not columns(rows, "nx", "ny", "nz").any()
    assert columns(rows, "x", "y", "z") == pytest.approx(gaussians.means[0].numpy())
    assert columns(rows, "rot_0", "rot_1", "rot_2", "rot_3") == pytest.approx(gaussians.quats[0].numpy(), abs=1e-6)
    assert np.exp(columns(rows, "scale_0", "scale_1", "scale_2")) == pytest.approx(gaussians.scales[0].numpy())
    assert 1 / (1 + np.exp(-rows["opacity"])) == pytest.approx(gaussians.opacities[0].numpy(), abs=1e-6)
    assert columns(rows, "f_dc_0", "f_dc_1", "f_dc_2") == pytest.approx(gaussians.sh[0, :, 0].numpy())
    if rest:
        by_channel = columns(rows, *rest).reshape(50, 3, terms - 1)
        assert by_channel == pytest.approx(gaussians.sh[0, :, 1:].numpy().swapaxes(1, 2))


def test_extreme_opacities_and_scales_stay_finite(tmp_path: Path) -> None:
    splats = random_gaussians(2, 1)
    solid = Gaussians(splats.means, splats.quats, torch.zeros(1, 2, 3), torch.tensor([[0.0, 1.0]]), splats.sh)
    (tmp_path / "a.ply").write_bytes(ply_bytes(solid))
    rows = Ply.read(tmp_path / "a.ply").elements["vertex"]
    assert all(np.isfinite(rows[name]).all() for name in NAMES)


def test_the_header_has_axes_and_consent(tiny_avatar: Avatar, tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", tiny_avatar, posed(tiny_avatar), consent="Given by the\nperson, 2024.")
    comments = Ply.read(tmp_path / "a.ply").comments
    assert {"Vertical axis: y", "SplatRenderMode: default", "Given by the person, 2024."} <= set(comments)
    assert any("meters, y points down" in line for line in comments)


def test_an_independent_rasterizer_renders_the_same_image_from_the_file(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params, camera = posed(tiny_avatar, {"jawOpen": 0.5}, (20, 5, 0)), from_front(48)
    expected = render(Placement.centered(tiny_avatar).gaussians(tiny_avatar(params)), camera).rgb[0].detach().numpy()
    write_ply(tmp_path / "a.ply", tiny_avatar, params, "up")
    file, view = Ply.read(tmp_path / "a.ply"), camera.world_to_cam[0].double().numpy()
    remark = next(line for line in file.comments if line.startswith("trained with "))
    image = splatted(file.elements["vertex"], camera.K[0].double().numpy(), view, 48, float(remark.split()[2]))
    # float32 against float64, and the native kernels stop below a transmittance of 0.0001
    assert np.abs(image - expected).max() < 2e-3
    assert expected.min() < 0.6  # the image is not empty


def test_y_down_is_y_up_rotated_by_180_degrees_about_z(tiny_avatar: Avatar, tmp_path: Path) -> None:
    for y_axis in ("up", "down"):
        write_ply(tmp_path / f"{y_axis}.ply", tiny_avatar, posed(tiny_avatar), y_axis)
    up, down = (Ply.read(tmp_path / f"{name}.ply").elements["vertex"] for name in ("up", "down"))
    rotation = np.diag([-1.0, -1.0, 1.0])
    assert columns(down, "x", "y", "z") == pytest.approx(columns(up, "x", "y", "z") @ rotation)
    quats = ("rot_0", "rot_1", "rot_2", "rot_3")
    assert rotations(columns(down, *quats)) == pytest.approx(rotation @ rotations(columns(up, *quats)), abs=1e-5)
    assert Ply.read(tmp_path / "up.ply").comments[1] == "Vertical axis: 0 1 0"


def test_spherical_harmonics_rotate_with_the_gaussians() -> None:
    splats = random_gaussians(6, 9)
    flipped = Placement(torch.eye(3), torch.zeros(3)).rotated(upside_down()).gaussians(splats)
    camera = from_front(24)
    turned = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    other = Camera(camera.K, camera.world_to_cam @ turned, 24, 24)
    assert torch.allclose(render(splats, camera).rgb, render(flipped, other).rgb, atol=1e-4)


def test_the_head_is_upright_at_the_origin(tiny_avatar: Avatar) -> None:
    head, placement = tiny_avatar.head, Placement.centered(tiny_avatar)
    rotation, translation = head.skull_pose(placement.params(tiny_avatar, posed(tiny_avatar)))
    assert torch.allclose(rotation[0], torch.eye(3), atol=1e-5)
    assert translation.abs().max() < 1e-5


def test_mesh_and_gaussians_have_the_same_transform(tiny_avatar: Avatar) -> None:
    params, placement = posed(tiny_avatar, {"jawOpen": 1}, (30, 10, -5)), Placement.centered(tiny_avatar)
    params.joint_rot[:, NECK] = torch.tensor([0.1, 0.2, 0.0])
    transformed = tiny_avatar.head.vertices(placement.params(tiny_avatar, params))
    original = tiny_avatar.head.vertices(tiny_avatar.with_identity(params))
    head = tiny_avatar.head.lbs_weights[:, ROOT] == 0
    assert torch.allclose(
        (original @ placement.rotation.T + placement.translation)[:, head], transformed[:, head], atol=1e-5
    )


def test_the_bust_of_the_mesh_does_not_rotate_with_the_head(tiny_avatar: Avatar) -> None:
    placement, bust = Placement.centered(tiny_avatar), tiny_avatar.head.lbs_weights[:, ROOT] == 1

    def shoulders(*degrees: float) -> torch.Tensor:
        params = placement.params(tiny_avatar, posed(tiny_avatar, head_pose=degrees))
        vertices = tiny_avatar.head.vertices(params)[0, bust]
        return vertices - vertices.mean(0)

    rest, rotated = shoulders(0, 0, 0), shoulders(30, 0, 0)
    rotated_with_head = rest @ axis_angle_to_matrix(torch.tensor([0.0, 30.0, 0.0]).deg2rad()).T
    assert (rotated - rest).norm() < 0.7 * (rotated_with_head - rest).norm()


def test_yaw_turns_left_pitch_down_roll_right(tiny_avatar: Avatar) -> None:
    placement = Placement.centered(tiny_avatar)

    def axes(*degrees: float) -> torch.Tensor:
        params = placement.params(tiny_avatar, posed(tiny_avatar, head_pose=degrees))
        return tiny_avatar.head.skull_pose(params)[0][0].T  # rows: directions of the head's x, y, z

    assert axes(30, 0, 0)[2, 0] == pytest.approx(0.5, abs=1e-4)
    assert axes(0, 30, 0)[2, 1] == pytest.approx(-0.5, abs=1e-4)
    assert axes(0, 0, 30)[1, 0] == pytest.approx(-0.5, abs=1e-4)


def test_weights_are_added_to_the_neutral_within_limits(tiny_avatar: Avatar) -> None:
    row = tiny_avatar.head.expression_index("jawOpen")
    rest = float(tiny_avatar.neutral[row])
    assert float(posed(tiny_avatar, {"jawOpen": 0.25}).expression[0, row]) == pytest.approx(rest + 0.25)
    assert float(posed(tiny_avatar, {"jawOpen": 1.0}).expression[0, row]) == 1.0
    assert float(posed(tiny_avatar, {"jawOpen": 1.5}).expression[0, row]) == 1.5


def test_weights_far_beyond_training_are_reported(tiny_avatar: Avatar) -> None:
    # jawOpen reaches 0.5 in the capture
    assert out_of_range(tiny_avatar, {"jawOpen": 0.5, "browInnerUp": 0.2}) == []
    (message,) = out_of_range(tiny_avatar, {"jawOpen": 1.0})
    assert message.startswith("jawOpen: 1.00 with the neutral expression, trained up to 0.50")
    (message,) = out_of_range(tiny_avatar, {"jawOpen": -0.5})
    assert message == "jawOpen=-0.5 is outside 0..1: the face is extrapolated"


def test_an_unknown_expression_is_refused_with_similar_names(tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="unknown expression 'jawopen'; similar names: jawOpen"):
        posed(tiny_avatar, {"jawopen": 1})
    with pytest.raises(HeadsplatError, match="`headsplat info AVATAR` lists the names"):
        posed(tiny_avatar, {"xyzzy": 1})


def test_numbered_files_equal_single_files(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = posed(tiny_avatar, {"jawOpen": 0.5})[torch.tensor([0, 0])]
    params.expression[0] = 0
    count: list[int] = []
    total = write_plys(tmp_path / "take", tiny_avatar, params, first=7, update=count.append)
    files = sorted((tmp_path / "take").glob("*.ply"))
    assert [path.name for path in files] == ["00007.ply", "00008.ply"] and count == [1, 2]
    assert total == sum(path.stat().st_size for path in files)
    write_ply(tmp_path / "one.ply", tiny_avatar, params[1])
    assert files[1].read_bytes() == (tmp_path / "one.ply").read_bytes()


def test_a_rigged_file_says_so_and_has_no_gaussians_for_splat_viewers(tiny_avatar: Avatar, tmp_path: Path) -> None:
    write_rigged_ply(tmp_path / "rig.ply", tiny_avatar)
    found = Ply.read(tmp_path / "rig.ply")
    assert found.comments[0].startswith("RIGGED: not a scene")
    assert found.elements["vertex"].dtype.names == ("x", "y", "z")
    assert len(found.elements["rigged_gaussian"]) == len(tiny_avatar)


def test_a_rigged_file_applied_to_its_mesh_gives_the_gaussians_of_the_neutral(
    tiny_avatar: Avatar, tmp_path: Path
) -> None:
    write_rigged_ply(tmp_path / "rig.ply", tiny_avatar)
    found = Ply.read(tmp_path / "rig.ply").elements
    rows, vertices = found["rigged_gaussian"], columns(found["vertex"], "x", "y", "z")
    corners = vertices[found["face"]["vertex_indices"][rows["face"]]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    e, n = first / np.linalg.norm(first, axis=1)[:, None], np.cross(first, second)
    n /= np.linalg.norm(n, axis=1)[:, None]
    frame = np.stack([e, np.cross(n, e), n], -1)
    offset = columns(rows, "offset_0", "offset_1", "offset_2")
    means = (columns(rows, "bary_0", "bary_1", "bary_2")[..., None] * corners).sum(1) + (frame @ offset[..., None])[
        ..., 0
    ]
    bound_rotations = frame @ rotations(columns(rows, "rot_0", "rot_1", "rot_2", "rot_3"))
    with torch.no_grad():
        gaussians = Placement.centered(tiny_avatar).gaussians(tiny_avatar(posed(tiny_avatar)))
    skull = tiny_avatar.rig.skin.numpy() == 0
    expected_rotations = rotations(gaussians.quats[0].double().numpy())
    assert skull.sum() > 500
    assert means[skull] == pytest.approx(gaussians.means[0].numpy()[skull], abs=2e-5)
    assert bound_rotations[skull] == pytest.approx(expected_rotations[skull], abs=2e-3)

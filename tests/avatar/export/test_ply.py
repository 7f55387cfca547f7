"""Splat files: layout, values, and the picture an independent reader and splatting make of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.export import posed, write_ply, write_plys, write_rigged_ply
from avatar.export.placement import Place, upside_down
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


def made_up(count: int, terms: int) -> Gaussians:
    random = torch.Generator().manual_seed(terms)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(1, count, *shape, generator=random)

    quats = torch.nn.functional.normalize(numbers(4), dim=-1)
    return Gaussians(numbers(3), quats, (numbers(3) - 4).exp(), torch.sigmoid(numbers()), numbers(terms, 3))


def from_front(size: int) -> Camera:
    """A camera [1] half a meter before the head of an export, y up."""
    camera = Camera.facing(2.2 * size, size, size)
    camera.world_to_cam[0, 2, 3] = 0.6
    return camera


@pytest.mark.parametrize("terms", [1, 4, 16])
def test_the_file_holds_logs_logits_and_wxyz_and_gives_them_back(tmp_path: Path, terms: int) -> None:
    gaussians = made_up(50, terms)
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
    splats = made_up(2, 1)
    solid = Gaussians(splats.means, splats.quats, torch.zeros(1, 2, 3), torch.tensor([[0.0, 1.0]]), splats.sh)
    (tmp_path / "a.ply").write_bytes(ply_bytes(solid))
    rows = Ply.read(tmp_path / "a.ply").elements["vertex"]
    assert all(np.isfinite(rows[name]).all() for name in NAMES)


def test_the_header_names_axes_and_consent(tiny_avatar: Avatar, tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", tiny_avatar, posed(tiny_avatar), consent="Given by the\nperson, 2024.")
    said = Ply.read(tmp_path / "a.ply").comments
    assert {"Vertical axis: y", "SplatRenderMode: default", "Given by the person, 2024."} <= set(said)
    assert any("meters, y points down" in line for line in said)


def test_an_independent_splatting_of_the_file_shows_the_same_picture(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params, camera = posed(tiny_avatar, {"jawOpen": 0.5}, (20, 5, 0)), from_front(48)
    own = render(Place.centered(tiny_avatar).splats(tiny_avatar(params)), camera).rgb[0].detach().numpy()
    write_ply(tmp_path / "a.ply", tiny_avatar, params, "up")
    rows, view = Ply.read(tmp_path / "a.ply").elements["vertex"], camera.world_to_cam[0].double().numpy()
    # float32 against float64, and our kernels leave out what more than 0.9999 hides
    assert np.abs(splatted(rows, camera.K[0].double().numpy(), view, 48) - own).max() < 2e-3
    assert own.min() < 0.6  # there is something to see


def test_y_down_is_y_up_turned_half_about_z(tiny_avatar: Avatar, tmp_path: Path) -> None:
    for y_axis in ("up", "down"):
        write_ply(tmp_path / f"{y_axis}.ply", tiny_avatar, posed(tiny_avatar), y_axis)
    up, down = (Ply.read(tmp_path / f"{name}.ply").elements["vertex"] for name in ("up", "down"))
    turn = np.diag([-1.0, -1.0, 1.0])
    assert columns(down, "x", "y", "z") == pytest.approx(columns(up, "x", "y", "z") @ turn)
    quats = ("rot_0", "rot_1", "rot_2", "rot_3")
    assert rotations(columns(down, *quats)) == pytest.approx(turn @ rotations(columns(up, *quats)), abs=1e-5)
    assert Ply.read(tmp_path / "up.ply").comments[1] == "Vertical axis: 0 1 0"


def test_colors_that_depend_on_the_view_turn_with_the_splats() -> None:
    splats = made_up(6, 9)
    flipped = Place(torch.eye(3), torch.zeros(3)).then(upside_down()).splats(splats)
    camera = from_front(24)
    turned = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0]))
    other = Camera(camera.K, camera.world_to_cam @ turned, 24, 24)
    assert torch.allclose(render(splats, camera).rgb, render(flipped, other).rgb, atol=1e-4)


def test_the_head_is_upright_at_the_origin(tiny_avatar: Avatar) -> None:
    head, place = tiny_avatar.head, Place.centered(tiny_avatar)
    rotation, translation = head.skull_pose(place.params(tiny_avatar, posed(tiny_avatar)))
    assert torch.allclose(rotation[0], torch.eye(3), atol=1e-5)
    assert translation.abs().max() < 1e-5


def test_mesh_and_splats_are_brought_to_the_same_place(tiny_avatar: Avatar) -> None:
    params, place = posed(tiny_avatar, {"jawOpen": 1}, (30, 10, -5)), Place.centered(tiny_avatar)
    params.joint_rot[:, NECK] = torch.tensor([0.1, 0.2, 0.0])
    there = tiny_avatar.head.vertices(place.params(tiny_avatar, params))
    here = tiny_avatar.head.vertices(tiny_avatar.with_identity(params))
    head = tiny_avatar.head.lbs_weights[:, ROOT] == 0
    assert torch.allclose((here @ place.rotation.T + place.translation)[:, head], there[:, head], atol=1e-5)


def test_the_bust_of_the_mesh_does_not_turn_with_the_head(tiny_avatar: Avatar) -> None:
    place, bust = Place.centered(tiny_avatar), tiny_avatar.head.lbs_weights[:, ROOT] == 1

    def shoulders(*degrees: float) -> torch.Tensor:
        params = place.params(tiny_avatar, posed(tiny_avatar, head_pose=degrees))
        vertices = tiny_avatar.head.vertices(params)[0, bust]
        return vertices - vertices.mean(0)

    rest, turned = shoulders(0, 0, 0), shoulders(30, 0, 0)
    as_far_as_the_head = rest @ axis_angle_to_matrix(torch.tensor([0.0, 30.0, 0.0]).deg2rad()).T
    assert (turned - rest).norm() < 0.7 * (as_far_as_the_head - rest).norm()


def test_yaw_turns_left_pitch_down_roll_right(tiny_avatar: Avatar) -> None:
    place = Place.centered(tiny_avatar)

    def axes(*degrees: float) -> torch.Tensor:
        params = place.params(tiny_avatar, posed(tiny_avatar, head_pose=degrees))
        return tiny_avatar.head.skull_pose(params)[0][0].T  # rows: where the head's x, y, z point

    assert axes(30, 0, 0)[2, 0] == pytest.approx(0.5, abs=1e-4)
    assert axes(0, 30, 0)[2, 1] == pytest.approx(-0.5, abs=1e-4)
    assert axes(0, 0, 30)[1, 0] == pytest.approx(-0.5, abs=1e-4)


def test_weights_are_added_to_the_resting_face_within_limits(tiny_avatar: Avatar) -> None:
    row = tiny_avatar.head.expression_index("jawOpen")
    rest = float(tiny_avatar.neutral[row])
    assert float(posed(tiny_avatar, {"jawOpen": 0.25}).expression[0, row]) == pytest.approx(rest + 0.25)
    assert float(posed(tiny_avatar, {"jawOpen": 1.0}).expression[0, row]) == 1.0
    assert float(posed(tiny_avatar, {"jawOpen": 1.5}).expression[0, row]) == 1.5


def test_weights_far_beyond_training_are_told(tiny_avatar: Avatar) -> None:
    # the capture's jaw opens to 0.5
    assert out_of_range(tiny_avatar, {"jawOpen": 0.5, "browInnerUp": 0.2}) == []
    (said,) = out_of_range(tiny_avatar, {"jawOpen": 1.0})
    assert said.startswith("jawOpen: with the resting face 1.00, and training showed up to 0.50")
    (said,) = out_of_range(tiny_avatar, {"jawOpen": -0.5})
    assert said == "jawOpen=-0.5 lies outside 0..1: the face is extrapolated"


def test_an_unknown_expression_names_the_nearest(tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="no expression 'jawopen'; near: jawOpen"):
        posed(tiny_avatar, {"jawopen": 1})
    with pytest.raises(HeadsplatError, match="`headsplat info AVATAR` lists the names"):
        posed(tiny_avatar, {"xyzzy": 1})


def test_numbered_files_are_the_single_ones(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params = posed(tiny_avatar, {"jawOpen": 0.5})[torch.tensor([0, 0])]
    params.expression[0] = 0
    count: list[int] = []
    total = write_plys(tmp_path / "take", tiny_avatar, params, first=7, update=count.append)
    files = sorted((tmp_path / "take").iterdir())
    assert [path.name for path in files] == ["00007.ply", "00008.ply"] and count == [1, 2]
    assert total == sum(path.stat().st_size for path in files)
    write_ply(tmp_path / "one.ply", tiny_avatar, params[1])
    assert files[1].read_bytes() == (tmp_path / "one.ply").read_bytes()


def test_a_rigged_file_says_so_and_has_no_splats_to_show(tiny_avatar: Avatar, tmp_path: Path) -> None:
    write_rigged_ply(tmp_path / "rig.ply", tiny_avatar)
    found = Ply.read(tmp_path / "rig.ply")
    assert found.comments[0].startswith("RIGGED: not a scene")
    assert found.elements["vertex"].dtype.names == ("x", "y", "z")
    assert len(found.elements["rigged_gaussian"]) == len(tiny_avatar)


def test_a_rigged_file_put_on_its_mesh_gives_the_splats_of_the_resting_face(
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
    turned = frame @ rotations(columns(rows, "rot_0", "rot_1", "rot_2", "rot_3"))
    with torch.no_grad():
        splats = Place.centered(tiny_avatar).splats(tiny_avatar(posed(tiny_avatar)))
    skull = tiny_avatar.rig.skin.numpy() == 0
    own = rotations(splats.quats[0].double().numpy())
    assert skull.sum() > 500
    assert means[skull] == pytest.approx(splats.means[0].numpy()[skull], abs=2e-5)
    assert turned[skull] == pytest.approx(own[skull], abs=2e-3)

"""SPZ files: layout, values within the steps of the format, the rendered image, and other programs that read them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.export import SpzVersion, posed, write_ply, write_splat_glb, write_spz
from avatar.export.ply import ply_bytes
from avatar.export.splat_glb import EXTENSION
from avatar.export.spz import spz_bytes
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.types import Gaussians
from tests.avatar.export.readers import Glb, Ply, columns, rotations, splatted
from tests.avatar.export.splat_readers import Spz
from tests.avatar.export.test_ply import from_front, random_gaussians
from tests.support.parts import required

VERSIONS: tuple[SpzVersion, ...] = (2, 3, 4)
POSITIONS, SCALES, COLORS = ("x", "y", "z"), ("scale_0", "scale_1", "scale_2"), ("f_dc_0", "f_dc_1", "f_dc_2")
QUATS = ("rot_0", "rot_1", "rot_2", "rot_3")
#: Half a step of the format in each value: 16 fractional bits; ln in sixteenths; bytes of 0.15 f_dc; bytes; 1/128.
STEPS = {"position": 2**-17, "scale": 1 / 32, "color": 0.5 / (0.15 * 255), "opacity": 0.5 / 255, "sh": 1 / 256}
#: Of a rotation matrix: three components with half a step of sqrt(1/2) / 511 each and the fourth from their sum.
ROTATION_STEP = 6 * 0.5**0.5 / 511
#: The same of version 2: x, y, z with half a step of 1/127.5, w >= 1/2 from their sum of squares.
ROTATION_STEP_V2 = 0.028


@pytest.fixture(scope="module")
def layered(tiny_avatar: Avatar) -> Avatar:
    """The avatar with a mesh layer in the colors of the head model."""
    avatar = deepcopy(tiny_avatar)
    avatar.add_part(MeshLayer(avatar.head).requires_grad_(False))
    return avatar


def opacities(rows: NDArray[Any]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-rows["opacity"].astype(np.float64)))


def rotation_step(version: SpzVersion) -> float:
    return ROTATION_STEP_V2 if version == 2 else ROTATION_STEP


def assert_close(found: NDArray[Any], expected: NDArray[Any], version: SpzVersion = 4, margin: float = 1e-5) -> None:
    """The values are those of a PLY within half a step of the format; scales below its range are its smallest."""
    assert len(found) == len(expected)
    differences = {
        "position": columns(found, *POSITIONS) - columns(expected, *POSITIONS),
        "scale": columns(found, *SCALES) - np.maximum(columns(expected, *SCALES), -10),
        "color": columns(found, *COLORS) - columns(expected, *COLORS),
        "opacity": opacities(found) - opacities(expected),
    }
    rest = [name for name in expected.dtype.names or () if name.startswith("f_rest")]
    assert rest == [name for name in found.dtype.names or () if name.startswith("f_rest")]
    if rest:
        differences["sh"] = columns(found, *rest) - columns(expected, *rest)
    for name, difference in differences.items():
        assert np.abs(difference).max() < STEPS[name] + margin, name
    found_axes, axes = rotations(columns(found, *QUATS)), rotations(columns(expected, *QUATS))
    signs = np.sign((found_axes * axes).sum(1, keepdims=True))  # a Gaussian is the same with an axis reversed
    assert np.abs(found_axes * signs - axes).max() < rotation_step(version)


def turned(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows of degree 0 with right, up, back rotated by 180 degrees about y to left, up, front, those of a y-up PLY."""
    rotated = rows.copy()
    for name in ("x", "z"):
        rotated[name] = -rows[name]
    for name, other, sign in (("rot_0", "rot_2", -1), ("rot_1", "rot_3", 1), ("rot_2", "rot_0", 1)):
        rotated[name] = sign * rows[other]  # the quaternion j times the rotation
    rotated["rot_3"] = -rows["rot_1"]
    return rotated


def image_of(rows: NDArray[Any], dilation: float) -> NDArray[np.float64]:
    camera = from_front(48)
    return splatted(rows, camera.K[0].double().numpy(), camera.world_to_cam[0].double().numpy(), 48, dilation)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("terms", [1, 4, 9, 16])
def test_values_are_within_half_a_step_of_the_ply(tmp_path: Path, terms: int, version: SpzVersion) -> None:
    gaussians = random_gaussians(300, terms)
    gaussians.sh.clamp_(-0.99, 0.99)
    (tmp_path / "a.spz").write_bytes(spz_bytes(gaussians, (), version))
    (tmp_path / "a.ply").write_bytes(ply_bytes(gaussians))
    found = Spz.read(tmp_path / "a.spz")
    assert (found.version, found.text) == (version, "")
    assert_close(found.rows, Ply.read(tmp_path / "a.ply").elements["vertex"], version)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_posed_avatar_with_a_mesh_layer_has_the_gaussians_of_the_ply(
    layered: Avatar, tmp_path: Path, version: SpzVersion
) -> None:
    params = posed(layered, {"jawOpen": 0.5}, (20, 5, 0))
    write_spz(tmp_path / "a.spz", layered, params, version)
    write_ply(tmp_path / "a.ply", layered, params, "up")
    found, expected = turned(Spz.read(tmp_path / "a.spz").rows), Ply.read(tmp_path / "a.ply").elements["vertex"]
    assert layered.part(MeshLayer) is not None and len(found) == len(layered) + len(
        required(layered, MeshLayer).mesh.faces
    )
    assert_close(found, expected, version)


def test_an_independent_rasterizer_renders_the_image_of_the_ply(tiny_avatar: Avatar, tmp_path: Path) -> None:
    params, dilation = posed(tiny_avatar, {"jawOpen": 0.5}, (20, 5, 0)), tiny_avatar.sampling.dilation
    write_spz(tmp_path / "a.spz", tiny_avatar, params)
    write_ply(tmp_path / "a.ply", tiny_avatar, params, "up")
    expected = image_of(Ply.read(tmp_path / "a.ply").elements["vertex"], dilation)
    found = image_of(turned(Spz.read(tmp_path / "a.spz").rows), dilation)
    assert expected.min() < 0.6  # the image is not empty
    assert -10 * np.log10(np.square(found - expected).mean()) > 45


def test_the_ranges_of_the_format_clamp_what_is_outside(tmp_path: Path) -> None:
    splats = random_gaussians(2, 4)
    sh = torch.tensor([[[9.0, -9, 0]] * 4, [[-9.0, 9, 0]] * 4])[None]
    solid = Gaussians(
        splats.means, splats.quats, torch.tensor([[[0.0] * 3, [1e3] * 3]]), torch.tensor([[0.0, 1.0]]), sh
    )
    (tmp_path / "a.spz").write_bytes(spz_bytes(solid))
    rows = Spz.read(tmp_path / "a.spz").rows
    assert columns(rows, *SCALES) == pytest.approx(np.array([[-10.0] * 3, [255 / 16 - 10] * 3]))
    assert opacities(rows) == pytest.approx([0, 1], abs=1e-5)
    assert columns(rows, *COLORS)[0] == pytest.approx([0.5 / 0.15, -0.5 / 0.15, 0], abs=STEPS["color"] * 1.01)
    assert columns(rows, "f_rest_0", "f_rest_3", "f_rest_6") == pytest.approx(
        np.array([[127 / 128, -1, 0], [-1, 127 / 128, 0]])
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_largest_component_and_sign_of_a_rotation_is_restored(tmp_path: Path, version: SpzVersion) -> None:
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    sizes = torch.cat([0.1 + 0.8 * torch.eye(4), torch.ones(1, 4), torch.eye(4)])
    quats = torch.nn.functional.normalize((signs[:, None] * sizes).flatten(0, 1), dim=-1)[None]
    base = random_gaussians(quats.shape[1], 1)
    splats = Gaussians(base.means, quats, base.scales, base.opacities, base.sh)
    (tmp_path / "a.spz").write_bytes(spz_bytes(splats, (), version))
    found, expected = (
        rotations(columns(Spz.read(tmp_path / "a.spz").rows, *QUATS)),
        rotations(quats[0].double().numpy()),
    )
    if version == 2:  # turned by half a turn about an axis of the Gaussian
        found *= np.where((found * expected).sum(1, keepdims=True) < 0, -1, 1)
    assert np.abs(found - expected).max() < rotation_step(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_file_contains_axes_and_consent_as_lines_of_text(
    tiny_avatar: Avatar, tmp_path: Path, version: SpzVersion
) -> None:
    write_spz(tmp_path / "a.spz", tiny_avatar, posed(tiny_avatar), version, "Given by the\nperson, 2024.\0")
    found = Spz.read(tmp_path / "a.spz")
    lines = found.text.split("\n")
    assert lines[0].startswith("Exported from headsplat ") and lines[-1].startswith("Given by the person, 2024.")
    assert any("meters, x points to the person's right, y up, the face looks along -z" in line for line in lines)
    assert found.fractional_bits == 16


@pytest.mark.parametrize(("version", "size"), [(2, 19), (3, 20)])
def test_versions_2_and_3_are_plain_gzip_and_do_not_depend_on_the_time(
    tiny_avatar: Avatar, tmp_path: Path, version: SpzVersion, size: int
) -> None:
    for name in ("a.spz", "b.spz"):
        write_spz(tmp_path / name, tiny_avatar, posed(tiny_avatar), version)
    content = (tmp_path / "a.spz").read_bytes()
    assert content == (tmp_path / "b.spz").read_bytes()
    assert len(gzip.decompress(content)) == 16 + size * len(tiny_avatar)


def test_the_bytes_of_a_gaussian_in_version_2() -> None:
    """By the format's description: header, position, alpha, color, scale, x y z of the quaternion."""
    half = 0.5**0.5
    splat = Gaussians(
        torch.tensor([[[1.0, -1.0, 0.5]]]),
        torch.tensor([[[-half, -half, 0.0, 0.0]]]),  # as half, half, 0, 0
        torch.tensor([[[1.0, torch.e**-1, torch.e**-2]]]),
        torch.tensor([[1.0]]),
        torch.tensor([[[[0.0, 10.0, -10.0]]]]),
    )
    assert gzip.decompress(spz_bytes(splat, (), 2)) == (
        b"NGSP\x02\0\0\0\x01\0\0\0\0\x10\0\0\0\0\x01\0\0\xff\0\x80\0\xff\x80\xff\0\xa0\x90\x80\xda\x80\x80"
    )


def test_a_rotation_with_a_small_w_is_as_accurate_as_any_in_version_2(tmp_path: Path) -> None:
    """Such as (0, 1, 0, 0) and its neighbors, whose w readers would find wrong by .09."""
    quats = torch.nn.functional.normalize(torch.tensor([[[0.02, 1.0, 0.03, -0.01], [-0.01, 0.6, -0.6, 0.5]]]), dim=-1)
    base = random_gaussians(2, 1)
    splats = Gaussians(base.means, quats, base.scales, base.opacities, base.sh)
    (tmp_path / "a.spz").write_bytes(spz_bytes(splats, (), 2))
    found, expected = (
        rotations(columns(Spz.read(tmp_path / "a.spz").rows, *QUATS)),
        rotations(quats[0].double().numpy()),
    )
    shapes = [axes * splats.scales[0].double().numpy()[:, None] for axes in (found, expected)]
    covariances = [shape @ shape.swapaxes(1, 2) for shape in shapes]
    assert np.abs(covariances[0] - covariances[1]).max() < 0.03 * np.abs(covariances[1]).max()


def test_a_file_is_less_than_a_third_of_the_ply(tiny_avatar: Avatar, tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", tiny_avatar, posed(tiny_avatar))
    for version in VERSIONS:
        write_spz(tmp_path / "a.spz", tiny_avatar, posed(tiny_avatar), version)
        assert (tmp_path / "a.spz").stat().st_size < (tmp_path / "a.ply").stat().st_size / 3


def test_gaussians_that_the_format_cannot_store_are_refused(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = posed(tiny_avatar)
    monkeypatch.setattr("avatar.export.spz.MAX_COUNT_GZIP", 1000)
    for version in (2, 3):
        message = rf"a\.spz: 1500 Gaussians, version {version} of \.spz stores up to 1000; use version 4$"
        with pytest.raises(HeadsplatError, match=message):
            write_spz(tmp_path / "a.spz", tiny_avatar, params, version)
    params.translation[0, 0] += 200
    with pytest.raises(HeadsplatError, match=r"a Gaussian is 200 m from the origin, \.spz stores up to 127 m; export"):
        write_spz(tmp_path / "a.spz", tiny_avatar, params)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", VERSIONS)
def test_splat_transform_makes_our_ply_and_our_glb_from_it(
    layered: Avatar, tmp_path: Path, version: SpzVersion
) -> None:
    """PlayCanvas's converter knows the axes of all three formats."""
    program = shutil.which("splat-transform")
    if program is None:
        pytest.skip("needs splat-transform (npm install -g @playcanvas/splat-transform)")
    params = posed(layered, {"jawOpen": 0.5}, (20, 5, 0))
    write_spz(tmp_path / "a.spz", layered, params, version)
    write_ply(tmp_path / "a.ply", layered, params)
    write_splat_glb(tmp_path / "a.glb", layered, params)
    for name in ("read.ply", "read.glb"):
        subprocess.run([program, tmp_path / "a.spz", tmp_path / name], check=True, capture_output=True)
    assert_close(*(Ply.read(tmp_path / f"{name}.ply").elements["vertex"] for name in ("read", "a")), version)
    found, expected = (Glb.read(tmp_path / f"{name}.glb") for name in ("read", "a"))
    assert found.json["extensionsUsed"] == expected.json["extensionsUsed"]
    primitives = [glb.json["meshes"][0]["primitives"][0] for glb in (found, expected)]
    assert primitives[0]["extensions"] == primitives[1]["extensions"]
    for name, margin in (("POSITION", STEPS["position"]), (f"{EXTENSION}:OPACITY", STEPS["opacity"])):
        values = [glb.values(item["attributes"][name]) for glb, item in zip((found, expected), primitives, strict=True)]
        assert np.abs(values[0] - values[1]).max() < margin + 1e-6, name


@pytest.mark.parametrize("version", VERSIONS)
def test_gsply_reads_the_same_values(tiny_avatar: Avatar, tmp_path: Path, version: SpzVersion) -> None:
    gsply = pytest.importorskip("gsply", reason="needs gsply (pip install gsply zstandard)")
    write_spz(tmp_path / "a.spz", tiny_avatar, posed(tiny_avatar), version)
    found, expected = gsply.read_spz(str(tmp_path / "a.spz")), Spz.read(tmp_path / "a.spz").rows
    assert found.means == pytest.approx(columns(expected, *POSITIONS), abs=1e-6)
    assert found.scales == pytest.approx(columns(expected, *SCALES), abs=1e-6)
    assert found.sh0 == pytest.approx(columns(expected, *COLORS), abs=1e-6)
    assert rotations(found.quats.astype(np.float64)) == pytest.approx(rotations(columns(expected, *QUATS)), abs=1e-5)

"""The container of a page: layout, quantization, and what it says about the person."""

from __future__ import annotations

import json
import zlib
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avatar.driving.driver import DEFAULT_TRAVEL
from avatar.driving.live.calibration import CalibrationOptions
from avatar.driving.live.presence import PresenceOptions
from avatar.driving.live.smoothing import SmoothingOptions
from avatar.errors import HeadsplatError
from avatar.export.posed import posed
from avatar.export.web import WebMotion, web_container
from avatar.export.web_blocks import ALIGNMENT, PREAMBLE, Blocks
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar
from avatar.model.blendshapes import Blendshapes
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.pose_blendshapes import TERMS, TURN, WIDTH, PoseBlendshapes
from avatar.rendering.cameras import framing, front_camera, subject_of

HEADER = {
    "consent": "said yes",
    "capture": {"name": "me", "fingerprint": "12", "camera": {"K": 1}},
    "tensors_sha256": "ab",
    "settings": {"steps": 3},
}
DTYPES = {"i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "u32": "<u4", "f16": "<f2", "f32": "<f4"}


def read(container: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and blocks, dequantized, by the specification in docs/formats/web.md."""
    magic, version, size, total, checksum = PREAMBLE.unpack_from(container)
    assert (magic, version, total) == (b"HSPLTWEB", 2, len(container))
    assert zlib.crc32(container[24:]) == checksum
    header = json.loads(container[24 : 24 + size])
    blocks = {}
    for entry in header["blocks"]:
        assert entry["offset"] % ALIGNMENT == 0 and (24 + size) % ALIGNMENT == 0
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(container, DTYPES[entry["dtype"]], count, 24 + size + entry["offset"])
        values = values.reshape(entry["shape"])
        if "scale" in entry:
            values = np.array(entry["scale"])[:, None] * values + np.array(entry["zero"])[:, None]
        blocks[entry["name"]] = values
    return header, blocks


@pytest.fixture(scope="module")
def layered(tiny_avatar: Avatar) -> Avatar:
    avatar = deepcopy(tiny_avatar).requires_grad_(False)
    avatar.add_part(MeshLayer(avatar.head).requires_grad_(False))
    avatar.blendshapes.basis += 0.1 * torch.randn(avatar.blendshapes.basis.shape)
    return avatar


@pytest.fixture(scope="module")
def found(layered: Avatar) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    return read(web_container(layered, HEADER, "me"))


@pytest.mark.parametrize("name", ["offsets", "quats", "log_scales", "colors"])
def test_gaussians_are_within_half_a_step_of_16_bits(
    layered: Avatar, found: tuple[dict[str, Any], dict[str, NDArray[Any]]], name: str
) -> None:
    expected = getattr(layered, name).T.numpy()
    steps = (expected.max(1) - expected.min(1)) / 65534
    assert (np.abs(found[1][f"gaussians.{name}"] - expected) <= 0.501 * steps[:, None] + 1e-9).all()


def test_bases_are_within_half_a_step_of_8_bits_in_meters_and_logits(
    layered: Avatar, found: tuple[dict[str, Any], dict[str, NDArray[Any]]]
) -> None:
    shapes = layered.blendshapes
    expected = (shapes.basis * shapes.units).transpose(1, 2).flatten(0, 1).numpy()
    steps = np.abs(expected).max(1) / 127
    assert (np.abs(found[1]["gaussians.basis"] - expected) <= 0.501 * steps[:, None]).all()


def test_a_basis_of_expressions_contains_its_mask(layered: Avatar) -> None:
    avatar = deepcopy(layered)
    features = torch.rand(9, layered.blendshapes.mean.shape[0])
    mask = torch.zeros(features.shape[1], 7)
    mask[:, 2] = 0.5
    avatar.blendshapes = Blendshapes("expression", features, 0, 7, mask).requires_grad_(False)
    avatar.blendshapes.basis.fill_(1)
    header, blocks = read(web_container(avatar, HEADER, "me"))
    basis = blocks["gaussians.basis"].reshape(-1, 11, 7)
    assert header["gaussians"]["mode"] == "expression"
    expected = np.broadcast_to(0.5 * avatar.blendshapes.units.numpy(), basis.shape[:2])
    np.testing.assert_allclose(basis[:, :, 2], expected, rtol=1e-6)
    assert not basis[:, :, [0, 1, 3, 4, 5, 6]].any()


def test_the_bases_of_the_mesh_are_exact(
    layered: Avatar, found: tuple[dict[str, Any], dict[str, NDArray[Any]]]
) -> None:
    head, blocks = layered.head, found[1]
    expected = torch.cat([head.exprdirs, head.curvedirs, head.posedirs], 2).permute(2, 0, 1).numpy()
    bases = np.repeat(np.arange(len(expected)), blocks["head.base_counts"])
    rebuilt = np.zeros_like(expected)
    rebuilt[bases, blocks["head.base_vertices"]] = blocks["head.base_offsets"]
    np.testing.assert_array_equal(rebuilt, expected)


def test_bases_by_the_pose_of_the_head_are_within_half_a_step_of_8_bits(layered: Avatar) -> None:
    avatar = deepcopy(layered)
    count = avatar.blendshapes.count
    basis = torch.randn(TERMS, len(avatar), WIDTH, generator=torch.Generator().manual_seed(2))
    avatar.add_part(PoseBlendshapes(basis).requires_grad_(False))
    header, blocks = read(web_container(avatar, HEADER, "me"))
    assert header["pose_blendshapes"] == {"turn": TURN}
    for name, expected in (("positions", 0.01 * basis[:, count:, :3]), ("colors", basis[..., 3:])):
        rows = expected.transpose(1, 2).flatten(0, 1).numpy()
        steps = np.abs(rows).max(1) / 127
        assert (np.abs(blocks[f"pose_blendshapes.{name}"] - rows) <= 0.501 * steps[:, None]).all()


def test_an_avatar_without_bases_by_the_pose_has_no_blocks_of_them(
    found: tuple[dict[str, Any], dict[str, NDArray[Any]]],
) -> None:
    header, blocks = found
    assert header["pose_blendshapes"] is None
    assert not [name for name in blocks if name.startswith("pose_blendshapes.")]


def test_texels_of_the_layer_and_fades_are_kept(
    layered: Avatar, found: tuple[dict[str, Any], dict[str, NDArray[Any]]]
) -> None:
    layer = layered.part(MeshLayer)
    assert layer is not None
    np.testing.assert_array_equal(found[1]["layer.texel_ids"], layer.mesh.texel_ids)
    np.testing.assert_array_equal(found[1]["layer.texels"], layer.texels().half())
    np.testing.assert_array_equal(found[1]["layer.faces"], layer.mesh.faces)


def test_an_avatar_without_a_layer_has_no_blocks_of_one(tiny_avatar: Avatar) -> None:
    avatar = deepcopy(tiny_avatar)
    avatar.remove_part(MeshLayer)
    header, blocks = read(web_container(avatar, HEADER, "me"))
    assert header["layer"] is None
    assert not [name for name in blocks if name.startswith(("layer.", "motion."))]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_avatars_of_older_files_have_finite_headers(version: int) -> None:
    avatar = load_avatar(Path(__file__).parents[2] / "data" / f"version{version}.avatar")
    header, _ = read(web_container(avatar, HEADER, "me"))  # JSON that allows neither NaN nor infinity
    assert header["driving"]["lids"] is None  # the eyes of its head have no opening


def test_the_constants_of_the_live_pipeline_are_in_the_header(
    found: tuple[dict[str, Any], dict[str, NDArray[Any]]],
) -> None:
    options = found[0]["driving"]["options"]
    smoothing = SmoothingOptions()
    assert options["smoothing"]["lids"] == [smoothing.lids.mincutoff, smoothing.lids.beta]
    assert options["presence"] == asdict(PresenceOptions())
    assert options["calibration"].items() >= asdict(CalibrationOptions()).items()
    assert options["retargeting"]["travel"] == DEFAULT_TRAVEL
    assert options["lips"]["apart"] > options["lips"]["touching"] > 0


def test_consent_provenance_and_the_note_are_in_the_header(
    found: tuple[dict[str, Any], dict[str, NDArray[Any]]],
) -> None:
    header = found[0]
    assert header["consent"] == "said yes"
    assert "synthetic rendering" in header["note"]
    assert header["provenance"] == {"capture": {"name": "me", "fingerprint": "12"}, "tensors_sha256": "ab"}


def test_the_view_frames_what_the_front_camera_shows(
    layered: Avatar, found: tuple[dict[str, Any], dict[str, NDArray[Any]]]
) -> None:
    subject, view = subject_of(layered, posed(layered)), found[0]["view"]
    K = front_camera(subject, 800, 600).K[0]
    frame = framing(subject)
    assert view["bottom"] == frame.bottom and view["left"] == frame.left
    assert float(K[0, 0] * view["bottom"] + K[1, 2]) == pytest.approx(600, abs=0.01)


def test_a_motion_is_stored_frame_by_frame(layered: Avatar) -> None:
    single = posed(layered, {"jawOpen": 0.3})
    params = replace(
        single,
        expression=single.expression * torch.tensor([[0.0], [0.5], [1.0]]),
        joint_rot=single.joint_rot.expand(3, -1, -1),
        translation=single.translation + torch.tensor([[0.0], [0.1], [0.2]]),
    )
    header, blocks = read(web_container(layered, HEADER, "me", WebMotion("take", np.arange(3) / 30, params)))
    assert header["motion"] == {"name": "take", "frames": 3, "torso": False}
    np.testing.assert_allclose(blocks["motion.expression"].T, params.expression, atol=2e-5)
    np.testing.assert_array_equal(blocks["motion.translation"].T, params.translation)
    np.testing.assert_allclose(blocks["motion.times"], [0, 1 / 30, 2 / 30], atol=1e-7)


def test_a_head_with_too_many_vertices_is_refused(layered: Avatar) -> None:
    avatar = deepcopy(layered)
    avatar.head = replace(
        avatar.head,
        v_template=torch.zeros(70000, 3),
        shapedirs=torch.zeros(70000, 3, 0),
        exprdirs=torch.zeros(70000, 3, len(avatar.head.expression_names)),
        curvedirs=torch.zeros(70000, 3, 0),
        curve_columns=torch.zeros(0, dtype=torch.int64),
        posedirs=torch.zeros(70000, 3, 0),
        J_regressor=torch.zeros(5, 70000),
        lbs_weights=torch.zeros(70000, 5),
        colors=torch.zeros(70000, 3),
    )
    with pytest.raises(HeadsplatError, match="70000 vertices, a page takes at most 65536; train on another head model"):
        web_container(avatar, HEADER, "me")


@pytest.mark.parametrize(("dtype", "steps"), [(np.int16, 65534), (np.int8, 254)])
def test_a_constant_row_and_a_row_of_zeros_are_exact(dtype: type[np.signedinteger[Any]], steps: int) -> None:
    rows = np.array([[0.0, 0.0, 0.0], [-3.0, -3.0, -3.0], [1.0, 0.0, -1.0]])
    blocks = Blocks()
    blocks.add_quantized("rows", rows, dtype)
    values = read(blocks.container({}))[1]["rows"]
    np.testing.assert_allclose(values, rows, atol=1e-12)


def test_large_indices_are_stored_in_32_bits() -> None:
    blocks = Blocks()
    blocks.add_indices("small", np.array([0, 65535]))
    blocks.add_indices("large", np.array([0, 65536]))
    header, values = read(blocks.container({}))
    assert [entry["dtype"] for entry in header["blocks"]] == ["u16", "u32"]
    np.testing.assert_array_equal(values["large"], [0, 65536])

"""Presets and environment maps, and the sentences about maps that cannot be used."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from avatar.common.radiance_image import read_radiance
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import SH_C0
from avatar.model.parts.light.harmonics import open_transfer
from avatar.model.parts.light.lights import light_named, project, read_environment
from avatar.model.parts.light.relight import Relighting


def patch(azimuth: float, value: float = 50.0) -> np.ndarray:
    """A map [64,128,3] with one bright patch, `azimuth` degrees to the right of its middle."""
    image = np.full((64, 128, 3), 0.01, np.float32)
    column = int((azimuth / 360 + 0.5) * 128) % 128
    image[28:36, column : column + 4] = value
    return image


def test_a_uniform_map_is_ambient_light() -> None:
    found = project(np.full((32, 64, 3), 0.7, np.float32))
    assert torch.allclose(found[0] * SH_C0, torch.full((3,), 0.7), atol=1e-3)
    assert float(found[1:].abs().max()) < 2e-3


def test_a_projected_map_lights_normals_as_the_sum_over_its_pixels() -> None:
    rng = np.random.default_rng(5)
    image = cv2.GaussianBlur(rng.random((64, 128, 3)).astype(np.float32), (0, 0), 12) * 4
    polar, turn = np.pi * (np.arange(64) + 0.5) / 64, 2 * np.pi * (np.arange(128) + 0.5) / 128 - np.pi
    area = np.sin(polar)[:, None] * (np.pi / 64) * (2 * np.pi / 128)
    rays = np.stack(
        np.broadcast_arrays(
            np.sin(polar)[:, None] * np.sin(turn), np.cos(polar)[:, None], -np.sin(polar)[:, None] * np.cos(turn)
        ),
        -1,
    )
    normals = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0], [-0.6, 0, 0.8]])
    cosine = np.clip(np.einsum("nc,hwc->nhw", normals, rays), 0, None)
    expected = np.einsum("nhw,hw,hwc->nc", cosine, area, image) / np.pi
    found = open_transfer(torch.from_numpy(normals)) @ project(image).double()
    assert np.allclose(found.numpy(), expected, rtol=0.05)


@pytest.mark.parametrize(("azimuth", "axis"), [(0, (0, 0, -1)), (90, (1, 0, 0)), (-90, (-1, 0, 0)), (180, (0, 0, 1))])
def test_the_middle_of_a_map_is_behind_the_person(azimuth: float, axis: tuple[int, ...]) -> None:
    light = project(patch(azimuth))
    toward = torch.tensor([axis], dtype=torch.float32)
    lit, away = open_transfer(toward) @ light, open_transfer(-toward) @ light
    assert float(lit.mean()) > 4 * float(away.mean())


def test_a_turn_of_90_degrees_brings_the_front_to_the_right_of_the_image() -> None:
    light = light_named("underlight").turned(90)
    right, front = open_transfer(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])) @ light
    assert float(right.mean()) > float(front.mean())


@pytest.mark.parametrize("suffix", [".hdr", ".exr", ".png", ".jpg"])
def test_maps_of_every_format_are_read(tmp_path: Path, suffix: str) -> None:
    path, image = tmp_path / f"map{suffix}", np.linspace(0.1, 0.9, 64 * 128 * 3, dtype=np.float32).reshape(64, 128, 3)
    if suffix == ".exr":
        path.write_bytes(as_exr(image))
    elif suffix == ".hdr":
        path.write_bytes(cv2.imencode(suffix, image[..., ::-1])[1].tobytes())
    else:
        srgb = np.where(image <= 0.0031308, 12.92 * image, 1.055 * image ** (1 / 2.4) - 0.055)
        path.write_bytes(cv2.imencode(suffix, (srgb[..., ::-1] * 255 + 0.5).astype(np.uint8))[1].tobytes())
    found = read_radiance(path)
    assert found.shape == image.shape and np.allclose(found, image, atol=0.02)
    assert bool(read_environment(path).isfinite().all())


def as_exr(image: np.ndarray) -> bytes:
    context = av.CodecContext.create("exr", "w")
    height, width = image.shape[:2]
    context.width, context.height, context.pix_fmt = width, height, "gbrpf32le"
    context.time_base = Fraction(1, 25)
    frame = av.VideoFrame(width, height, "gbrpf32le")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        rows = np.zeros((height, plane.line_size // 4), np.float32)
        rows[:, :width] = image[..., channel]
        plane.update(rows.tobytes())
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("square.png", np.full((64, 64, 3), 200, np.uint8), "equirectangular, twice as wide as high"),
        ("black.png", np.zeros((32, 64, 3), np.uint8), "the map is black everywhere; give one with light"),
    ],
)
def test_maps_that_cannot_be_used(tmp_path: Path, name: str, image: np.ndarray, message: str) -> None:
    cv2.imwrite(str(tmp_path / name), image)
    with pytest.raises(HeadsplatError, match=message):
        light_named(str(tmp_path / name))


def test_a_map_with_a_nan_is_refused(tmp_path: Path) -> None:
    image = np.ones((32, 64, 3), np.float32)
    image[3, 4] = math.nan
    (tmp_path / "map.exr").write_bytes(as_exr(image))
    with pytest.raises(HeadsplatError, match="no numbers"):
        light_named(str(tmp_path / "map.exr"))


@pytest.mark.parametrize("suffix", [".hdr", ".exr", ".png", ".jpg"])
def test_a_damaged_map_is_one_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_bytes(b"#?RADIANCE\n\n-Y 32 +X 64\n" + bytes(7))
    with pytest.raises(HeadsplatError, match=f"not a {suffix} image, or a damaged one"):
        light_named(str(path))


def test_a_huge_declared_size_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "map.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 180000\n")
    with pytest.raises(HeadsplatError, match="100 million is the most"):
        read_radiance(path)


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(HeadsplatError, match=r"--relight: expected studio, .* or an environment map, got 'disco'"):
        light_named("disco")
    with pytest.raises(HeadsplatError, match="no such image"):
        light_named(str(tmp_path / "none.hdr"))
    with pytest.raises(HeadsplatError, match=r"cannot read \.gif"):
        light_named(str(tmp_path / "map.gif"))


@pytest.mark.parametrize("values", [{"turn": 400.0}, {"strength": 1.5}, {"strength": math.nan}])
def test_numbers_out_of_range(values: dict[str, float]) -> None:
    with pytest.raises(HeadsplatError, match="expected"):
        Relighting(light_named("studio"), **values)

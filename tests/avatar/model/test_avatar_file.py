"""The .avatar file: what is stored is rendered to the same pixels; damaged and foreign files are refused."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.data.capture_folder import Capture
from avatar.driving.driver import DriveOptions, drive
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import MAGIC, VERSION, load_avatar, read_header, save_avatar
from avatar.model.parts.person import TorsoRegression
from avatar.model.parts.weight_network import WeightNetwork
from avatar.model.sampling import Sampling
from avatar.motion.from_capture import motion_of
from avatar.rendering.animator import render_track
from avatar.types import HeadParams
from tests.support.sample_avatar import CAMERA, small_avatar
from tests.support.tiny import tiny_capture

DATA = Path(__file__).parents[2] / "data"


def driven_by(avatar: Avatar, driver: Capture, head: HeadModel) -> HeadParams:
    """`avatar` driven by another person's capture, which was tracked with `head`."""
    return drive(avatar, motion_of(driver, head), DriveOptions(motion_head=head)).params


def test_a_stored_avatar_renders_the_same_pixels(tiny: Capture, tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar, {"note": "tiny"})
    loaded = load_avatar(path)
    params, camera = tiny.params([2, 7]), tiny.camera(64)
    first = list(render_track(tiny_avatar, params, camera))
    second = list(render_track(loaded, params, camera))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_an_avatar_is_loaded_on_a_device(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar, {})
    assert load_avatar(path).offsets.device.type == "cpu"
    loaded = load_avatar(path, device=torch.device("meta"))
    assert {value.device.type for value in (*loaded.parameters(), *loaded.buffers(), loaded.head.faces)} == {"meta"}
    with pytest.raises(HeadsplatError, match="device gpu: not known"):
        load_avatar(path, device="gpu")


def test_the_header_describes_the_file(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    header = read_header(path)
    assert header["magic"] == MAGIC and header["version"] == VERSION
    assert {"axes", "units", "consent", "expression_names", "head", "training"} <= set(header)
    assert header["head"]["licence"] and "agreed" in header["consent"]


def test_saving_twice_gives_the_same_bytes(tiny_avatar: Avatar, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_avatar(tmp_path / f"{name}.avatar", tiny_avatar)
    assert (tmp_path / "a.avatar").read_bytes() == (tmp_path / "b.avatar").read_bytes()


def test_a_truncated_file_is_refused(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(HeadsplatError, match="not an avatar file, or a damaged one"):
        load_avatar(path)


def test_other_and_missing_files_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "x.avatar"
    save_file({"a": torch.zeros(1)}, other)
    with pytest.raises(HeadsplatError, match="but not a headsplat avatar"):
        load_avatar(other)
    with pytest.raises(HeadsplatError, match="no such avatar file"):
        load_avatar(tmp_path / "none.avatar")


def test_the_error_of_a_newer_version_names_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "new.avatar"
    header = json.dumps({"magic": MAGIC, "version": VERSION + 1})
    save_file({"a": torch.zeros(1)}, path, metadata={"headsplat": header})
    with pytest.raises(HeadsplatError, match=f"avatar version {VERSION + 1}, this headsplat reads up to {VERSION}"):
        load_avatar(path)


def test_a_missing_tensor_is_damage(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    header = read_header(path)
    save_file({"avatar.offsets": torch.zeros(3, 3)}, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match="damaged avatar file"):
        load_avatar(path)


def test_a_missing_head_tensor_is_damage(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    header, tensors = read_header(path), load_file(path)
    del tensors["head.faces"]
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match="damaged avatar file"):
        load_avatar(path)


@pytest.mark.parametrize("changed", [{"head": None}, {"blendshapes": []}, {"training": 3}])
def test_a_malformed_header_is_damage(tiny_avatar: Avatar, tmp_path: Path, changed: dict[str, object]) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar, changed)
    with pytest.raises(HeadsplatError, match="damaged avatar file"):
        load_avatar(path)


def test_cross_driving_keeps_the_person_in_place_and_bounded(
    tiny_avatar: Avatar, tiny: Capture, tmp_path: Path
) -> None:
    driver = tiny_capture(tmp_path / "driver", frames=8, seed=3)
    params = driven_by(tiny_avatar, driver, load_head())
    with torch.no_grad():
        gaussians = tiny_avatar(params)
    center = gaussians.means.mean(1)
    trained = tiny_avatar(tiny.params(tiny.train_indices[:1])).means.mean(1)
    assert (center - trained).norm(dim=-1).max() < 0.05
    assert torch.isfinite(gaussians.means).all() and gaussians.scales.max() < 0.1
    frame = next(iter(render_track(tiny_avatar, params[0], tiny.camera(64))))
    assert frame.shape == (64, 64, 3) and (frame < 250).any()


def test_a_driver_with_another_head_is_retargeted_by_a_bridge(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSPLAT_CACHE", str(tmp_path / "cache"))
    driver, head = tiny_capture(tmp_path / "driver", frames=8, seed=3), load_head()
    backwards = torch.arange(len(head.expression_names)).flip(0)
    other = replace(
        head,
        expression_names=head.expression_names[::-1],
        exprdirs=head.exprdirs[:, :, backwards],
        joint_dirs=head.joint_dirs[:, :, backwards],
        curve_columns=len(backwards) - 1 - head.curve_columns,
    )
    reordered = replace(driver, track={**driver.track, "expression": driver.track["expression"][:, ::-1]})
    assert torch.allclose(
        driven_by(tiny_avatar, reordered, other).expression, driven_by(tiny_avatar, driver, head).expression, atol=1e-6
    )


def test_cross_driving_keeps_the_sign_of_principal_components(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = tiny_avatar.head
    names = ("expr0", *head.expression_names[1:])
    monkeypatch.setattr(tiny_avatar, "head", replace(head, expression_names=names))
    driver = tiny_capture(tmp_path / "driver", frames=8, seed=3)
    weights = driver.track["expression"].copy()
    weights[:, 0] = np.linspace(-2, 2, 8)
    driver = replace(driver, track={**driver.track, "expression": weights})
    params = driven_by(tiny_avatar, driver, replace(load_head(), expression_names=names))
    assert params.expression[:, 0].min() < -0.5


def test_an_avatar_of_version_2_gives_the_same_gaussians_and_pixels_as_before() -> None:
    """The same artificial avatar, written by the last program of version 2, and what it rendered."""
    avatar = load_avatar(DATA / "version2.avatar")
    joints = torch.linspace(-0.2, 0.2, 15).reshape(1, 5, 3)
    params = HeadParams(torch.zeros(0), torch.tensor([[0.3, 0.7]]), joints, torch.tensor([[0.0, 0.01, -0.5]]))
    expected = torch.tensor([[0.0136, 0.0039, 0.0055], [0.0034, 0.0238, 0.0035]])
    assert torch.allclose(avatar(params).scales[0, [0, 5]], expected, atol=5e-5)
    image = next(iter(render_track(avatar, params, CAMERA))).astype(int)
    assert np.abs(image.sum((0, 1)) - [254226, 251252, 257396]).max() < 100


def test_an_avatar_of_version_3_gives_the_same_gaussians_and_pixels_as_before() -> None:
    """The same artificial avatar with a sampling, written by the last program of version 3, and what it rendered."""
    avatar = load_avatar(DATA / "version3.avatar")
    assert avatar.rig.stretch is None
    joints = torch.linspace(-0.2, 0.2, 15).reshape(1, 5, 3)
    params = HeadParams(torch.zeros(0), torch.tensor([[0.3, 0.7]]), joints, torch.tensor([[0.0, 0.01, -0.5]]))
    gaussians = avatar(params)
    expected = torch.tensor([[0.0272406, 0.070272, -0.5085567], [-0.1328248, -0.006095, -0.4329683]])
    assert torch.allclose(gaussians.means[0, [0, 5]], expected, atol=1e-6)
    expected = torch.tensor([[0.0137345, 0.0043525, 0.0058213], [0.00398, 0.0238496, 0.0040488]])
    assert torch.allclose(gaussians.scales[0, [0, 5]], expected, atol=1e-6)
    image = next(iter(render_track(avatar, params, CAMERA))).astype(int)
    assert np.abs(image.sum((0, 1)) - [254541, 251638, 257684]).max() < 100


def test_an_avatar_of_version_4_gives_the_same_gaussians_and_pixels_as_before() -> None:
    """The artificial avatar of version 1, saved by the last program of version 4, and what it rendered."""
    avatar = load_avatar(DATA / "version4.avatar")
    assert avatar.part(WeightNetwork) is None
    joints = torch.linspace(-0.2, 0.2, 15).reshape(1, 5, 3)
    params = HeadParams(torch.zeros(0), torch.tensor([[0.3, 0.7]]), joints, torch.tensor([[0.0, 0.01, -0.5]]))
    expected = torch.tensor([[0.0272406, 0.070272, -0.5085567], [-0.1328248, -0.006095, -0.4329683]])
    assert torch.allclose(avatar(params).means[0, [0, 5]], expected, atol=1e-6)
    image = next(iter(render_track(avatar, params, CAMERA))).astype(int)
    assert np.abs(image.sum((0, 1)) - [254226, 251252, 257396]).max() < 100


@pytest.mark.parametrize("version", [1, 2])
def test_avatars_of_earlier_versions_have_no_filter_and_the_former_dilation(version: int) -> None:
    avatar = load_avatar(DATA / f"version{version}.avatar")
    assert avatar.sampling == Sampling(0.0, 0.3)
    scales = avatar.log_scales.exp()
    assert avatar.sampling.widened(scales) is scales


def test_the_sampling_of_an_avatar_is_stored_exactly(tmp_path: Path) -> None:
    avatar = small_avatar("reduced")
    avatar.sampling = Sampling(1 / 3e3, 0.1).rounded()
    assert avatar.sampling.filter_scale == pytest.approx(1 / 3e3, rel=1e-6)
    save_avatar(tmp_path / "me.avatar", avatar)
    assert load_avatar(tmp_path / "me.avatar").sampling == avatar.sampling


@pytest.mark.parametrize(
    ("filter_scale", "dilation"),
    [(-1e-3, 0.1), (0.0, -0.1), (math.nan, 0.1), (0.0, math.nan), (math.inf, 0.1), (0.0, math.inf), (0.0, 1e3)],
)
def test_a_sampling_without_meaning_is_damage(tmp_path: Path, filter_scale: float, dilation: float) -> None:
    avatar = small_avatar("reduced")
    avatar.sampling = Sampling(filter_scale, dilation)
    save_avatar(tmp_path / "me.avatar", avatar)
    with pytest.raises(HeadsplatError, match=r"damaged avatar file \(avatar\.sampling: expected numbers in 0..100"):
        load_avatar(tmp_path / "me.avatar")


def test_an_avatar_of_version_1_gives_the_same_means_as_before() -> None:
    """An artificial avatar of six Gaussians, written by the last program of version 1, and the means it computed."""
    avatar = load_avatar(DATA / "version1.avatar")
    assert not avatar.head.joint_dirs.any() and not len(avatar.head.curve_columns)
    joints = torch.linspace(-0.2, 0.2, 15).reshape(1, 5, 3)
    params = HeadParams(torch.zeros(0), torch.tensor([[0.3, 0.7]]), joints, torch.tensor([[0.0, 0.01, -0.5]]))
    expected = torch.tensor([[0.0264327, 0.0693228, -0.5093092], [-0.1336318, -0.0070458, -0.4337177]])
    assert torch.allclose(avatar(params).means[0, [0, 5]], expected, atol=2e-6)


def with_regression(avatar: Avatar) -> Avatar:
    """A copy with a torso regression."""
    other = copy.deepcopy(avatar)
    weight = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    other.add_part(TorsoRegression("0123456789abcdef", weight, torch.ones(7)))
    return other


def test_a_torso_regression_is_loaded_as_it_was_saved(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path, avatar = tmp_path / "me.avatar", with_regression(tiny_avatar)
    save_avatar(path, avatar)
    expected, found = avatar.part(TorsoRegression), load_avatar(path).part(TorsoRegression)
    assert expected is not None and found is not None and found.capture == expected.capture
    assert torch.equal(found.weight, expected.weight) and torch.equal(found.limit, expected.limit)


def test_the_checksum_of_an_older_program_does_not_cover_the_regression(tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "without.avatar", tiny_avatar)
    save_avatar(tmp_path / "with.avatar", with_regression(tiny_avatar))
    sums = {read_header(tmp_path / f"{name}.avatar")["tensors_sha256"] for name in ("with", "without")}
    assert len(sums) == 1
    assert load_avatar(tmp_path / "without.avatar").part(TorsoRegression) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("person.torso.weight", None, "person.torso.weight: this tensor is missing"),
        ("person.torso.weight", torch.zeros(6, 6), r"person.torso.weight: expected \[6,7\], got \[6,6\]"),
        ("person.torso.limit", torch.full((7,), float("nan")), "person.torso.limit: expected numbers in"),
        ("person.torso.limit", torch.zeros(7), "do not match their checksum"),
        ("person.other", torch.zeros(7), "person.other: a tensor that this format does not have"),
    ],
)
def test_a_damaged_torso_regression_is_refused(
    tiny_avatar: Avatar, tmp_path: Path, name: str, value: torch.Tensor | None, message: str
) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, with_regression(tiny_avatar))
    header, tensors = read_header(path), load_file(path)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match=message):
        load_avatar(path)


def test_a_torso_regression_without_its_entry_in_the_header_is_refused(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, with_regression(tiny_avatar))
    header, tensors = read_header(path), load_file(path)
    save_file(tensors, path, metadata={"headsplat": json.dumps({**header, "person": {}})})
    with pytest.raises(HeadsplatError, match=r"no entry 'person\.capture'"):
        load_avatar(path)

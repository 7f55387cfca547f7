"""Gaussians of an avatar stretch with its mesh, where expressions and the jaw move it, and on every path alike."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.model.avatar import Avatar, bake_identity
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.stretch import RIGID, stretching_vertices
from avatar.rendering.animator import Animator
from avatar.types import HeadParams


def with_open_jaw(avatar: Avatar, capture: Capture) -> HeadParams:
    """A frame of the capture in which the jaw is wide open."""
    params = avatar.with_identity(capture.params([3]))
    expression = params.expression.clone()
    expression[:, avatar.head.expression_names.index("jawOpen")] = 1.0
    return replace(params, expression=expression)


def without(avatar: Avatar) -> Avatar:
    still = copy.deepcopy(avatar)
    still.rig.stretch = None
    return still


def test_lips_and_lids_stretch_and_skull_teeth_and_eyeballs_do_not() -> None:
    head = load_head("embedded")
    person = bake_identity(head, head.shapedirs.new_zeros(head.shapedirs.shape[2]))
    mask = stretching_vertices(person)
    assert mask[head.mask("lips")].all()
    assert mask[head.mask("eyelids")].float().mean() > 0.85
    assert not mask[head.mask(*RIGID, "scalp", "torso")].any()
    assert 0.2 < mask.float().mean() < 0.6


def test_an_open_jaw_widens_gaussians_of_the_mouth_and_leaves_others_alone(tiny_avatar: Avatar, tiny: Capture) -> None:
    assert tiny_avatar.rig.stretch is not None
    params, still = with_open_jaw(tiny_avatar, tiny), without(tiny_avatar)
    found, plain = tiny_avatar(params), still(params)
    moves = (tiny_avatar.rig.stretch.rows[tiny_avatar.rig.triangles] >= 0).any(1)
    assert torch.equal(found.scales[0, ~moves], plain.scales[0, ~moves])
    assert torch.equal(found.means[0, ~moves], plain.means[0, ~moves])
    assert torch.equal(found.quats, plain.quats)
    lips = tiny_avatar.head.mask("lips").numpy()[tiny_avatar.rig.triangles.numpy()].all(1)
    assert (found.scales / plain.scales)[0, torch.from_numpy(lips)].amax() > 1.25


def test_the_neutral_mesh_leaves_all_gaussians_as_they_are(tiny_avatar: Avatar) -> None:
    names = len(tiny_avatar.head.expression_names)
    params = HeadParams(torch.zeros(0), torch.zeros(1, names), torch.zeros(1, 5, 3), torch.zeros(1, 3))
    found, plain = tiny_avatar(params), without(tiny_avatar)(params)
    torch.testing.assert_close(found.scales, plain.scales, atol=0, rtol=1e-5)
    torch.testing.assert_close(found.means, plain.means, atol=1e-7, rtol=0)


def test_the_animator_stretches_like_the_avatar(tiny_avatar: Avatar, tiny: Capture) -> None:
    params, animator = with_open_jaw(tiny_avatar, tiny), Animator(tiny_avatar, 32, 32)
    poses = animator.poses(params)
    found, expected = animator.frame(poses, 0).gaussians, tiny_avatar(params)
    torch.testing.assert_close(found.scales, expected.scales, atol=1e-6, rtol=2e-3)
    torch.testing.assert_close(found.means, expected.means, atol=2e-5, rtol=0)


def test_the_stretch_of_an_avatar_is_stored(tiny_avatar: Avatar, tiny: Capture, tmp_path: Path) -> None:
    params = with_open_jaw(tiny_avatar, tiny)
    for name, avatar in (("with", tiny_avatar), ("without", without(tiny_avatar))):
        save_avatar(tmp_path / name, avatar)
        loaded = load_avatar(tmp_path / name)
        assert (loaded.rig.stretch is None) == (name == "without")
        assert torch.equal(loaded(params).scales, avatar(params).scales)
        assert torch.equal(loaded(params).means, avatar(params).means)


def test_a_damaged_mask_is_named(tiny_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, tiny_avatar)
    header = read_header(path)
    tensors = load_file(path)
    tensors["avatar.rig.stretch"][5] = 2
    header.pop("tensors_sha256")
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match=r"avatar\.rig\.stretch: expected numbers in 0\.\.1, got 0\.\.2"):
        load_avatar(path)

"""Wrinkles by local strain: nothing without strain, limits, file, training, animator."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from avatar import ops
from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.model.avatar import Avatar, bake_identity
from avatar.model.avatar_file import load_avatar, save_avatar
from avatar.model.parts.wrinkles import MARGIN, Wrinkles
from avatar.rendering.animator import Animator
from avatar.training.checkpoints import restore, state_of
from avatar.training.config import TrainConfig
from avatar.training.initialization import build_avatar
from avatar.training.relocation import relocate
from avatar.training.trainer import Trainer
from avatar.training.visibility import measure
from avatar.types import HeadParams
from tests.support.parts import required

CONFIG = TrainConfig(size=64, steps=30, gaussians=900, refine_at=1.0, layer=False, wrinkles=True)


@pytest.fixture
def wrinkled(tiny_avatar: Avatar) -> Avatar:
    """The tiny avatar with strong wrinkles."""
    avatar = copy.deepcopy(tiny_avatar)
    avatar.add_part(Wrinkles(avatar.blendshapes.count))
    source = torch.Generator().manual_seed(4)
    required(avatar, Wrinkles).coefficients.data = torch.randn(
        required(avatar, Wrinkles).coefficients.shape, generator=source
    )
    return avatar.requires_grad_(False)


def raised(avatar: Avatar, weight: float = 1.0) -> HeadParams:
    params = avatar.head.neutral_params(1)
    params.expression[:, avatar.head.expression_index("browInnerUp")] = weight
    return params


def vertices_of(avatar: Avatar, params: HeadParams) -> Tensor:
    return avatar.head.skull_vertices(avatar.with_identity(params))


def test_without_strain_the_avatar_is_the_one_without_wrinkles_to_the_bit(
    tiny_avatar: Avatar, wrinkled: Avatar
) -> None:
    still = wrinkled.head.neutral_params(1)
    one, other = tiny_avatar(still), wrinkled(still)
    assert torch.equal(one.sh, other.sh)
    assert torch.equal(one.opacities, other.opacities)
    assert not torch.equal(tiny_avatar(raised(wrinkled)).sh, wrinkled(raised(wrinkled)).sh)
    assert torch.equal(tiny_avatar(raised(wrinkled)).means, wrinkled(raised(wrinkled)).means)


def test_a_rigid_motion_makes_no_wrinkle(wrinkled: Avatar) -> None:
    assert wrinkled.part(Wrinkles) is not None
    turn = axis_angle_to_matrix(torch.tensor([0.4, -1.9, 0.3]))
    moved = wrinkled.head.v_template @ turn.T + torch.tensor([0.1, 0.2, -0.3])
    assert not required(wrinkled, Wrinkles).features(wrinkled.rig.vertex_stretch(moved[None]), wrinkled.rig).any()


def test_the_stretch_of_a_frame_is_computed_once(wrinkled: Avatar, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, stretch = [], ops.vertex_stretch
    monkeypatch.setattr(ops, "vertex_stretch", lambda *given: calls.append(1) or stretch(*given))
    animator, params = Animator(wrinkled, 32, 32), raised(wrinkled)
    wrinkled(params)
    poses = animator.poses(params)
    animator.frame(poses, 0)
    assert len(calls) == 2


def test_features_stop_at_the_limit_of_the_training_frames(wrinkled: Avatar) -> None:
    wrinkles = wrinkled.part(Wrinkles)
    assert wrinkles is not None
    half, whole = (vertices_of(wrinkled, raised(wrinkled, weight)) for weight in (0.2, 1.0))
    wrinkles.learn_limits(half, wrinkled.rig)
    rig = wrinkled.rig
    shown, beyond = (wrinkles.features(rig.vertex_stretch(vertices), rig) for vertices in (half, whole))
    assert torch.equal(wrinkles.limit, MARGIN * shown[0])
    assert (beyond <= wrinkles.limit).all()
    assert (beyond == wrinkles.limit)[0, wrinkles.limit[:, 0] > 0.01, 0].float().mean() > 0.9


def test_a_wrinkle_follows_the_strain_and_a_mole_the_skin(wrinkled: Avatar) -> None:
    """Swapped expressions: the change is that of the strain alone, whatever color the skin has there."""
    params = raised(wrinkled)
    blank = copy.deepcopy(wrinkled)
    blank.colors[:] = 0.5
    still = wrinkled.head.neutral_params(1)
    torch.testing.assert_close(
        wrinkled(params).sh - wrinkled(still).sh, blank(params).sh - blank(still).sh, atol=1e-5, rtol=0
    )


def test_the_animator_shows_what_the_avatar_does(wrinkled: Avatar) -> None:
    animator, params = Animator(wrinkled, 32, 32), raised(wrinkled)
    poses = animator.poses(params)
    shown, expected = animator.frame(poses, 0).gaussians, wrinkled(params)
    torch.testing.assert_close(shown.sh, expected.sh, atol=5e-3, rtol=0)
    torch.testing.assert_close(shown.opacities, expected.opacities, atol=5e-3, rtol=0)


def test_training_learns_wrinkles_and_relocation_takes_them_along(tiny: Capture) -> None:
    person = bake_identity(load_head(), torch.from_numpy(np.asarray(tiny.track["identity"], np.float32)))
    frames = load_frames(tiny, tiny.train_indices, 64, person)
    trainer = Trainer(build_avatar(person, frames, CONFIG), frames, CONFIG)
    trainer.initialize()
    for step in range(6):
        trainer.step(step / 1000)
    wrinkles, avatar = trainer.avatar.part(Wrinkles), trainer.avatar
    assert wrinkles is not None
    assert wrinkles.coefficients.any()
    features = wrinkles.features(avatar.rig.vertex_stretch(frames.states.vertices), avatar.rig)
    assert not wrinkles.coefficients[(features == 0).all(0).all(1)].any()
    state, limit = copy.deepcopy(state_of(trainer)), wrinkles.limit.clone()
    use = measure(avatar, trainer.full, 0)
    before = {tuple(row) for row in wrinkles.coefficients.detach().flatten(1).tolist()}
    relocate(avatar, trainer.anchors, trainer.optimizer, use, 0.1, np.random.default_rng(1), trainer.parts)
    assert {tuple(row) for row in wrinkles.coefficients.detach().flatten(1).tolist()} <= before
    assert not torch.equal(wrinkles.limit, limit)
    restore(trainer, state)
    assert torch.equal(wrinkles.limit, limit)
    trainer.step(0.1)


def test_a_file_has_them_and_programs_without_them_see_the_rest(wrinkled: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "a.avatar"
    save_avatar(path, wrinkled)
    found = load_avatar(path)
    assert torch.equal(found(raised(found)).sh, wrinkled(raised(wrinkled)).sh)
    with safe_open(path, "pt") as file:
        assert {name for name in file.keys() if "wrinkles" in name} == {"wrinkles.coefficients", "wrinkles.limit"}  # noqa: SIM118


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("wrinkles.coefficients", None, "wrinkles.coefficients: this tensor is missing"),
        ("wrinkles.other", torch.zeros(2), "wrinkles.other: a tensor that this format does not have"),
        ("wrinkles.limit", 0.5, "do not match their checksum"),
    ],
)
def test_damage_is_named(
    wrinkled: Avatar, tmp_path: Path, name: str, value: Tensor | float | None, reason: str
) -> None:
    path = tmp_path / "a.avatar"
    save_avatar(path, wrinkled)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value if isinstance(value, Tensor) else torch.full_like(tensors[name], value)
    save_file(tensors, path, metadata)
    with pytest.raises(HeadsplatError, match=reason):
        load_avatar(path)


@pytest.mark.parametrize("damage", ["shape", "range", "finite"])
def test_values_are_checked_behind_the_checksum(wrinkled: Avatar, tmp_path: Path, damage: str) -> None:
    assert wrinkled.part(Wrinkles) is not None
    if damage == "shape":
        required(wrinkled, Wrinkles).limit = required(wrinkled, Wrinkles).limit[1:]
    else:
        required(wrinkled, Wrinkles).limit[0, 0] = -1.0 if damage == "range" else float("nan")
    save_avatar(tmp_path / "a.avatar", wrinkled)
    with pytest.raises(HeadsplatError, match=r"wrinkles\.limit: expected"):
        load_avatar(tmp_path / "a.avatar")


def test_wrinkles_need_stretch() -> None:
    with pytest.raises(ValueError, match="set stretch = true"):
        TrainConfig(stretch=False, wrinkles=True)


def test_the_header_names_them(wrinkled: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "a.avatar", wrinkled)
    with safe_open(tmp_path / "a.avatar", "pt") as file:
        header = json.loads(file.metadata()["headsplat"])
    assert header["wrinkles"]["gaussians"] == wrinkled.blendshapes.count

"""A part that no product file names: stored, copied, removed, joined and blended with the Gaussians of its avatar."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.data.capture_folder import Capture
from avatar.data.training_frames import load_frames
from avatar.editing.blend import blend_avatars
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, AvatarPart, bake_identity
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.model.parts import registry
from avatar.model.parts.wrinkles import Wrinkles
from avatar.rendering.animator import Animator
from avatar.training.checkpoints import restore, state_of
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.training.initialization import build_avatar
from avatar.training.parts import registry as trainings
from avatar.training.relocation import relocate
from avatar.training.trainer import Trainer
from avatar.training.visibility import measure
from tests.avatar.model.parts.made_up_part import Glow, GlowTraining, glowing
from tests.support.parts import required

CONFIG = TrainConfig(size=64, steps=30, gaussians=900, refine_at=1.0, layer=False)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The part is registered in this test only."""
    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    registry.register(Glow)
    yield


def baked_head(capture: Capture) -> HeadModel:
    """The head with the identity of a capture."""
    return bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))


def glow_of(avatar: Avatar) -> torch.Tensor:
    return required(avatar, Glow).amount.detach()


def test_it_changes_frames_of_the_avatar_and_of_an_animator(tiny_avatar: Avatar) -> None:
    avatar, params = glowing(tiny_avatar), tiny_avatar.head.neutral_params(1)
    added = glow_of(avatar)[None, :, None, None] * torch.tensor([1.0, 0.5, 0.25])
    assert torch.equal(avatar(params).sh, tiny_avatar(params).sh + added)
    animator = Animator(avatar, 32, 32)
    shown = animator.frame(animator.poses(params), 0).gaussians.sh
    torch.testing.assert_close(shown, avatar(params).sh, atol=5e-3, rtol=0)


def test_a_file_keeps_it_to_the_bit_and_programs_without_it_ignore_it(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, plain = tmp_path / "glow.avatar", tmp_path / "plain.avatar"
    save_avatar(path, glowing(tiny_avatar))
    save_avatar(plain, tiny_avatar, read_header(path))
    found = required(load_avatar(path), Glow)
    assert torch.equal(found.amount, tiny_avatar.rig.bary[:, 0])
    assert not found.amount.requires_grad
    assert read_header(path)["tensors_sha256"] == read_header(plain)["tensors_sha256"]
    assert "glow" in read_header(path) and "glow" not in read_header(plain)
    monkeypatch.setattr(registry, "_KINDS", {key: kind for key, kind in registry._KINDS.items() if kind is not Glow})
    assert "glow" not in load_avatar(path).parts


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("glow.amount", None, "glow.amount: this tensor is missing"),
        ("glow.amount", torch.zeros(3), r"glow.amount: expected \[1500\], got \[3\]"),
        ("glow.amount", torch.full((1500,), 11.0), "glow.amount: expected numbers in -10..10, got 11..11"),
        ("glow.amount", torch.zeros(1500).double(), "glow.amount: the dtype F64"),
        ("glow.amount", torch.zeros(1500), "the tensors of its entry 'glow' do not match their checksum"),
        ("glow.gain", torch.zeros(3), "glow.gain: expected a color that is not black"),
        ("glow.more", torch.zeros(3), "glow.more: a tensor that this format does not have"),
    ],
)
def test_damage_is_named(
    tiny_avatar: Avatar, tmp_path: Path, name: str, value: torch.Tensor | None, reason: str
) -> None:
    path = tmp_path / "glow.avatar"
    save_avatar(path, glowing(tiny_avatar))
    header, tensors = read_header(path), load_file(path)
    assert len(tensors["glow.amount"]) == 1500
    tensors.pop(name, None)
    if value is not None:
        tensors[name] = value
    save_file(tensors, path, {"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match=f"damaged avatar file .{reason}"):
        load_avatar(path)


def test_a_part_that_files_do_not_keep_is_not_lost_in_silence(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_KINDS", {key: kind for key, kind in registry._KINDS.items() if kind is not Glow})
    with pytest.raises(ValueError, match=r"part 'glow': a file would lose it; call `register\(Glow\)` first"):
        save_avatar(tmp_path / "glow.avatar", glowing(tiny_avatar))
    assert not (tmp_path / "glow.avatar").exists()


@pytest.mark.parametrize("entry", [None, [], "x"])
def test_its_entry_is_an_object(tiny_avatar: Avatar, tmp_path: Path, entry: object) -> None:
    path = tmp_path / "glow.avatar"
    save_avatar(path, glowing(tiny_avatar))
    save_file(load_file(path), path, {"headsplat": json.dumps({**read_header(path), "glow": entry})})
    with pytest.raises(HeadsplatError, match="its header has no entry 'glow' or a wrong one"):
        load_avatar(path)


def test_relocation_takes_it_along(tiny: Capture) -> None:
    person = baked_head(tiny)
    frames = load_frames(tiny, tiny.train_indices, 64, person)
    trainer = Trainer(glowing(build_avatar(person, frames, CONFIG)), frames, CONFIG)
    trainer.initialize()
    for step in range(3):
        trainer.step(step / 1000)
    avatar, before = trainer.avatar, trainer.avatar.rig.bary.clone()
    relocate(
        avatar, trainer.anchors, trainer.optimizer, measure(avatar, trainer.full, 0), 0.1, np.random.default_rng(1)
    )
    assert (avatar.rig.bary != before).any()
    assert torch.equal(glow_of(avatar), avatar.rig.bary[:, 0])


def test_it_is_trained_by_its_term_of_the_loss_and_continues_from_a_checkpoint(
    tiny: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "_PARTS", list(trainings._PARTS))
    trainings.register(GlowTraining)
    config = replace(CONFIG, relocate=0.1)
    result = fit(tiny, load_head(), config)
    glow = glow_of(result.avatar)
    assert len(glow) == config.gaussians
    assert ((glow - 0.5).abs() < 0.25).float().mean() > 0.9  # nearer to a half than at first
    save_avatar(tmp_path / "glow.avatar", result.avatar)
    assert torch.equal(required(load_avatar(tmp_path / "glow.avatar"), Glow).amount, glow)

    person = baked_head(tiny)
    frames = load_frames(tiny, tiny.train_indices, 64, person)
    trainer, again = (Trainer(build_avatar(person, frames, config), frames, config) for _ in range(2))
    trainer.initialize()
    trainer.step(0.0)
    restore(again, state_of(trainer))
    assert trainer.step(0.1) == again.step(0.1)
    assert torch.equal(glow_of(trainer.avatar), glow_of(again.avatar))


def test_an_edit_keeps_the_rows_of_what_it_keeps_and_fills_those_that_it_adds(tiny_avatar: Avatar) -> None:
    avatar = glowing(tiny_avatar)
    own = GaussianSet.of(avatar)
    mask = torch.arange(len(avatar)) % 3 > 0
    fewer = with_gaussians(avatar, own.rows(mask))
    assert torch.equal(glow_of(fewer), fewer.rig.bary[:, 0]) and len(fewer) == int(mask.sum())
    new = GaussianSet(own.binding, own.local, own.basis)  # no part knows these
    more = with_gaussians(avatar, GaussianSet.joined([own.rows(mask), new]))
    known = glow_of(more) == more.rig.bary[:, 0]
    assert int(known.sum()) >= int(mask.sum())
    assert (glow_of(more)[~known] == 0.25).all()
    assert torch.equal(glow_of(avatar), tiny_avatar.rig.bary[:, 0])  # the original is as it was


def test_a_blend_has_the_rows_of_both(tiny_avatar: Avatar) -> None:
    first = glowing(tiny_avatar)
    second = glowing(copy.deepcopy(tiny_avatar))
    required(second, Glow).gain.copy_(torch.tensor([3.0, 0.5, 0.25]))
    mixed = blend_avatars(first, second, 0.25)
    assert torch.equal(glow_of(mixed), mixed.rig.bary[:, 0])
    torch.testing.assert_close(required(mixed, Glow).gain, torch.tensor([1.5, 0.5, 0.25]))


def test_in_a_blend_with_an_avatar_without_it_the_others_are_filled(tiny_avatar: Avatar) -> None:
    mixed = blend_avatars(tiny_avatar, glowing(tiny_avatar), 0.5)
    glow = glow_of(mixed)
    assert ((glow == mixed.rig.bary[:, 0]) | (glow == 0.25)).all()
    assert (glow == 0.25).float().mean() > 0.4
    assert torch.equal(required(mixed, Glow).gain, torch.tensor([1.0, 0.5, 0.25]))


@pytest.mark.parametrize("name", ["key", "entry", "prefix"])
def test_names_of_other_parts_are_taken(name: str) -> None:
    kind: type[AvatarPart] = type("Other", (Glow,), {"key": "other", "entry": "other", "prefix": "other."})
    setattr(kind, name, getattr(Wrinkles, name))
    with pytest.raises(ValueError, match="is that of Wrinkles"):
        registry.register(kind)


@pytest.mark.parametrize("prefix", ["other", "avatar.other.", "layer."])
def test_a_prefix_is_of_its_own(prefix: str) -> None:
    with pytest.raises(ValueError, match="expected an entry of the header and a prefix of its own"):
        registry.register(type("Other", (Glow,), {"key": "other", "entry": "other", "prefix": prefix}))

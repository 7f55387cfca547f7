"""Appearances: mixing, and their part of the .avatar file."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.layout import checksum
from avatar.model.parts.appearance import (
    CHANGED,
    Appearances,
    RecordingEntry,
    in_recording,
    parse_appearance,
    unique_names,
    with_appearance,
)
from avatar.model.parts.registry import part_kinds
from tests.support.parts import required

RECORDINGS = (RecordingEntry("plain", "a" * 16, "agreed"), RecordingEntry("beard", "b" * 16))


@pytest.fixture
def looks(tiny_avatar: Avatar) -> Avatar:
    """A copy of the tiny avatar with two appearances."""
    result = copy.deepcopy(tiny_avatar)
    result.add_part(Appearances(RECORDINGS, len(result)).requires_grad_(False))
    torch.manual_seed(0)
    for name in CHANGED:
        table = required(result, Appearances).table(name)
        table[1] = 0.1 * torch.randn(table[1].shape)
    required(result, Appearances).round()
    return result


def test_one_recording_is_reproduced_exactly(looks: Avatar, tiny_avatar: Avatar) -> None:
    plain, beard = with_appearance(looks, {"plain": 1}), with_appearance(looks, {"beard": 2 / 2})
    assert plain.part(Appearances) is None and looks.part(Appearances) is not None
    for name in CHANGED:
        own = getattr(tiny_avatar, name)
        assert torch.equal(getattr(plain, name), own)
        assert torch.equal(getattr(beard, name), own + required(looks, Appearances).table(name)[1])
        assert torch.equal(getattr(in_recording(looks, 1), name), getattr(beard, name))


def test_mixes_are_linear_and_normalized(looks: Avatar) -> None:
    beard = with_appearance(looks, {"beard": 1})
    for weights in ({"plain": 0.7, "beard": 0.3}, {"plain": 0.35, "beard": 0.15}):
        mix = with_appearance(looks, weights)
        for name in CHANGED:
            expected = 0.7 * getattr(looks, name).double() + 0.3 * getattr(beard, name).double()
            assert torch.allclose(getattr(mix, name).double(), expected, atol=1e-6)


def test_what_all_share_moves_without_a_change_of_any_look(looks: Avatar) -> None:
    assert looks.part(Appearances) is not None
    before = [in_recording(looks, index).colors.clone() for index in (0, 1)]
    required(looks, Appearances).make_relative_to(looks, None)
    assert required(looks, Appearances).table("colors").mean(0).abs().max() < 1e-7
    required(looks, Appearances).make_relative_to(looks, 0)
    assert not required(looks, Appearances).table("colors")[0].any()
    for index in (0, 1):
        assert torch.allclose(in_recording(looks, index).colors, before[index], atol=1e-6)


@pytest.mark.parametrize("weights", [{}, {"plain": 0.0}, {"plain": -1.0, "beard": 2.0}, {"beard": float("nan")}])
def test_weights_that_are_no_mix_are_refused(looks: Avatar, weights: dict[str, float]) -> None:
    with pytest.raises(HeadsplatError, match="expected weights"):
        with_appearance(looks, weights)


def test_an_unknown_name_lists_the_names(looks: Avatar, tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="'hat' is none of this avatar: plain, beard"):
        with_appearance(looks, {"hat": 1})
    with pytest.raises(HeadsplatError, match="no appearances"):
        with_appearance(tiny_avatar, {"plain": 1})


def test_the_option_and_the_names() -> None:
    assert parse_appearance("beard") == {"beard": 1}
    assert parse_appearance("plain=.7, beard=.3") == {"plain": 0.7, "beard": 0.3}
    for text in ("", "plain,beard", "plain=x", "plain=1,plain=2", "=1"):
        with pytest.raises(HeadsplatError, match="is not a mix"):
            parse_appearance(text)
    assert unique_names(["me", "me", "a=b,c", ""]) == ("me", "me-2", "a-b-c", "recording")


def test_the_file_keeps_appearances_and_old_programs_show_the_first(
    looks: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, looks)
    found = load_avatar(path)
    assert found.part(Appearances) is not None and looks.part(Appearances) is not None
    assert required(found, Appearances).recordings == RECORDINGS
    for name in CHANGED:
        assert torch.equal(required(found, Appearances).table(name), required(looks, Appearances).table(name))
    tensors, header = _content(path)
    del header["appearances"]  # an old program knows neither the entry nor the prefix
    _write(path, tensors, header)
    others = {kind.key: kind for kind in part_kinds() if kind is not Appearances}
    monkeypatch.setattr("avatar.model.parts.registry._KINDS", others)
    assert torch.equal(load_avatar(path).colors, looks.colors)


def test_a_plain_copy_is_stored_without_a_trace(looks: Avatar, tiny_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "looks.avatar", looks)
    header = read_header(tmp_path / "looks.avatar")
    save_avatar(tmp_path / "one.avatar", with_appearance(looks, {"plain": 1}), {"appearances": header["appearances"]})
    save_avatar(tmp_path / "two.avatar", tiny_avatar)
    assert (tmp_path / "one.avatar").read_bytes() == (tmp_path / "two.avatar").read_bytes()


def _content(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as stored:
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        return tensors, json.loads(stored.metadata()["headsplat"])


def _write(path: Path, tensors: dict[str, torch.Tensor], header: dict[str, Any]) -> None:
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("missing", "missing"), ("first", "zeros for the first"), ("nan", "expected numbers"),
        ("shape", "expected .A,"), ("dtype", "expected torch"), ("checksum", "checksum"), ("extra", "does not have"),
        ("names", "must differ"), ("one", "recordings"), ("text", "recordings"), ("entry", "does not have"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(looks: Avatar, tmp_path: Path, damage: str, sentence: str) -> None:
    path, key = tmp_path / "me.avatar", "appearance.colors"
    save_avatar(path, looks)
    tensors, header = _content(path)
    entry, colors = header["appearances"], tensors[key].clone()
    if damage == "first":
        colors[0, 0] = 1
    elif damage in ("nan", "checksum"):
        colors[1, 0] = float("nan") if damage == "nan" else 3.0
    tensors[key] = {"shape": colors[:, 1:].contiguous(), "dtype": colors.float()}.get(damage, colors)
    if damage == "missing":
        del tensors[key]
    elif damage == "extra":
        tensors["appearance.more"] = torch.zeros(1)
    elif damage == "names":
        entry["recordings"][1]["name"] = "plain"
    elif damage == "one":
        del entry["recordings"][1]
    elif damage == "text":
        entry["recordings"][1]["consent"] = 3
    elif damage == "entry":
        del header["appearances"]
    if damage != "checksum" and damage != "entry":
        entry["tensors_sha256"] = checksum(tensors, "appearance.")
    _write(path, tensors, header)
    with pytest.raises(HeadsplatError, match=sentence):
        load_avatar(path)

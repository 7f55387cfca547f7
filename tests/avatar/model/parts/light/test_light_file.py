"""The light of a clip in an .avatar file: stored and read again, ignored by older programs, refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from avatar.errors import HeadsplatError
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.parts.light.head_light import HeadLight
from tests.support.parts import required


def test_a_light_is_loaded_as_it_was_saved(bright_avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.avatar", bright_avatar)
    found = load_avatar(tmp_path / "me.avatar").part(HeadLight)
    assert found is not None and bright_avatar.part(HeadLight) is not None
    assert torch.allclose(found.coefficients, required(bright_avatar, HeadLight).coefficients, rtol=1e-5)
    assert torch.equal(found.transfer, required(bright_avatar, HeadLight).transfer.half().float())
    assert torch.equal(found.surface, required(bright_avatar, HeadLight).surface.half().float())


def test_the_checksum_of_an_older_program_does_not_cover_the_light(
    bright_avatar: Avatar, tiny_avatar: Avatar, tmp_path: Path
) -> None:
    save_avatar(tmp_path / "without.avatar", tiny_avatar)
    save_avatar(tmp_path / "with.avatar", bright_avatar)
    headers = [read_header(tmp_path / f"{name}.avatar") for name in ("with", "without")]
    assert headers[0]["tensors_sha256"] == headers[1]["tensors_sha256"]
    assert "light" not in headers[1] and load_avatar(tmp_path / "without.avatar").part(HeadLight) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("light.transfer", None, "light.transfer: this tensor is missing"),
        ("light.transfer", torch.zeros(5, 9).half(), r"light.transfer: expected \["),
        ("light.coefficients", torch.full((9, 3), float("nan")), "light.coefficients: expected numbers in"),
        ("light.coefficients", torch.zeros(9, 3), "expected a mean light above 0"),
        ("light.coefficients", torch.ones(9, 3), "do not match their checksum"),
        ("light.other", torch.zeros(7), "light.other: a tensor that this format does not have"),
    ],
)
def test_a_damaged_light_is_refused(
    bright_avatar: Avatar, tmp_path: Path, name: str, value: torch.Tensor | None, message: str
) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, bright_avatar)
    header, tensors = read_header(path), load_file(path)
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value
    save_file(tensors, path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match=message):
        load_avatar(path)


def test_tensors_of_a_light_without_its_entry_are_refused(bright_avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "me.avatar"
    save_avatar(path, bright_avatar)
    header = {key: value for key, value in read_header(path).items() if key != "light"}
    save_file(load_file(path), path, metadata={"headsplat": json.dumps(header)})
    with pytest.raises(HeadsplatError, match="a tensor that this format does not have"):
        load_avatar(path)

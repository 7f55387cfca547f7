"""The bundle for LAM by a reader of its own; LAM's renderer reads it in tests/system/web."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import HeadsplatError
from avatar.export import lam, posed, write_lam
from avatar.export.lam import EYE_HEIGHT
from avatar.export.ply import placed
from avatar.model.avatar import Avatar
from tests.avatar.export.readers import Glb, Ply, columns

NAMES = ("jawOpen", "eyeBlinkLeft", "browInnerUp")


@pytest.fixture(scope="module")
def folder(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with three expressions, which is faster, unpacked."""
    path = tmp_path_factory.mktemp("lam")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lam, "ARKIT_52", NAMES)
        write_lam(path / "me.zip", tiny_avatar, "Given by the person.")
    with zipfile.ZipFile(path / "me.zip") as archive:
        assert archive.namelist()[0] == "avatar/"  # the renderer looks for an entry of the folder
        archive.extractall(path)
    return path / "avatar"


@torch.no_grad()
def test_vertices_and_targets_are_the_centers_of_the_gaussians(folder: Path, tiny_avatar: Avatar) -> None:
    skin = Glb.read(folder / "skin.glb")
    (primitive,) = skin.json["meshes"][0]["primitives"]
    names = skin.json["meshes"][0]["extras"]["targetNames"]
    assert names == list(NAMES)
    still = skin.values(primitive["attributes"]["POSITION"])
    lift = np.array([0, EYE_HEIGHT, 0])
    assert still == pytest.approx(placed(tiny_avatar, posed(tiny_avatar)).means[0].numpy() + lift, abs=1e-6)
    moved = still + skin.values(primitive["targets"][names.index("jawOpen")]["POSITION"])
    expected = placed(tiny_avatar, posed(tiny_avatar, {"jawOpen": 1.0})).means[0].numpy() + lift
    assert moved == pytest.approx(expected, abs=1e-6)
    assert np.abs(moved - still).max() > 0.005
    assert json.loads((folder / "vertex_order.json").read_text()) == list(range(len(still)))


@torch.no_grad()
def test_offsets_are_zero_and_colors_are_no_coefficients(folder: Path, tiny_avatar: Avatar) -> None:
    rows = Ply.read(folder / "offset.ply").elements["vertex"]
    assert not columns(rows, "x", "y", "z").any()
    gaussians = placed(tiny_avatar, posed(tiny_avatar))
    colors = np.clip(0.5 + 0.28209479 * gaussians.sh[0, :, 0].numpy(), 0, 1)
    cut = np.floor(columns(rows, "f_dc_0", "f_dc_1", "f_dc_2") * 255) / 255  # as the renderer does
    assert np.abs(cut - colors).max() < 0.5 / 255 + 1e-5
    assert columns(rows, "scale_0")[:, 0] == pytest.approx(gaussians.scales[0, :, 0].log().numpy(), abs=1e-5)


def test_bones_and_clips_have_the_names_and_numbers_that_the_renderer_needs(folder: Path) -> None:
    animation = Glb.read(folder / "animation.glb").json
    assert [node["name"] for node in animation["nodes"]] == ["hip", "head"]
    assert len(animation["animations"]) == 2 + 1 + 6 + 3
    skin = Glb.read(folder / "skin.glb")
    assert [skin.json["nodes"][joint]["name"] for joint in skin.json["skins"][0]["joints"]] == ["hip", "head"]
    assert skin.json["asset"]["extras"]["consent"] == "Given by the person."


def test_more_gaussians_than_the_renderer_stores_are_refused(
    tiny_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lam, "_TEXELS", 530)
    with pytest.raises(HeadsplatError, match=r"a\.zip: LAM's renderer stores up to 10 Gaussians, the avatar has"):
        write_lam(tmp_path / "a.zip", tiny_avatar)
    assert not list(tmp_path.iterdir())

"""Layers, styles and their command: what they change, files, and the sentences for wrong input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from avatar.cli.command_line import run
from avatar.editing.edit import Edit, edited
from avatar.editing.edits import Edits, with_edits
from avatar.editing.layers import LAYERS, layers_of, with_layer_from, without_layers
from avatar.editing.style import Mark, Style, combined, presets, read_style, write_style
from avatar.editing.surface_map import SIZE
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import triangle_frames
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import load_avatar, read_header, save_avatar
from avatar.model.avatar_header import RecordingEntry
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.model.parts.appearance import Appearances
from avatar.model.parts.light.harmonics import ambient, directional
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.wrinkles import Wrinkles
from avatar.model.segmentation import Regions, places_of
from avatar.types import Binding, LocalGaussians
from tests.support.parts import required


@pytest.fixture(scope="module")
def stored(tiny_avatar: Avatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the tiny avatar, whose hair is dark. Read only."""
    path = tmp_path_factory.mktemp("edits") / "me.avatar"
    save_avatar(path, haired(tiny_avatar), {"consent": "Agreed."})
    return path


def haired(avatar: Avatar) -> Avatar:
    """A copy with dark hair, bare skin elsewhere."""
    result = with_gaussians(avatar, GaussianSet.of(avatar))
    regions = Regions(places_of(result))
    hair = torch.from_numpy(regions._cover[: len(result)] > 0.9)
    result.colors[:] = torch.tensor([0.75, 0.55, 0.45])
    result.colors[hair] = torch.tensor([0.1, 0.07, 0.05])
    return result


def painting(path: Path, shape: tuple[int, ...] = (256, 256, 4), alpha: int = 255) -> Path:
    image = np.zeros(shape, np.uint8)
    if len(shape) == 3 and shape[2] == 4:
        image[80:150, 100:150] = (0, 0, 255, alpha)
    cv2.imwrite(str(path), image)
    return path


def test_layers_cover_all_gaussians_and_know_the_hair(stored: Path) -> None:
    avatar = load_avatar(stored)
    layers = layers_of(avatar)
    assert layers.shape == (len(avatar),)
    dark = (avatar.colors[:, 0] < 0.3).numpy()
    assert (layers[dark] == LAYERS.index("hair")).mean() > 0.8


def test_without_hair_there_is_skin_in_its_place(stored: Path) -> None:
    avatar = load_avatar(stored)
    layers = layers_of(avatar)
    result = without_layers(avatar, ["hair"], layers)
    kept = int((layers != LAYERS.index("hair")).sum())
    assert len(result) > kept
    own = GaussianSet.of(avatar).rows(torch.from_numpy(layers != LAYERS.index("hair")))
    moving = own.basis.shape[1]
    assert torch.equal(result.colors[:moving], own.local.colors[:moving])
    added = result.colors[kept:]
    assert (added - torch.tensor([0.75, 0.55, 0.45])).abs().max() < 0.15


def test_hair_of_another_avatar_replaces_the_own(stored: Path) -> None:
    avatar, other = load_avatar(stored), load_avatar(stored)
    red = torch.tensor([0.5, 0.1, 0.05])
    other.colors[other.colors[:, 0] < 0.3] = red
    result = with_layer_from(avatar, other, "hair")
    assert int(((result.colors - red).abs().max(1).values < 0.05).sum()) > 20
    assert int((result.colors[:, 0] < 0.2).sum()) < 0.3 * int((avatar.colors[:, 0] < 0.2).sum())


def test_what_stands_before_the_eyes_and_is_not_skin_is_glasses(stored: Path) -> None:
    avatar, count = load_avatar(stored), 300
    marks = avatar.head.landmarks(avatar.head.v_template[None])[0]
    own = GaussianSet.of(avatar)
    face = avatar.head.faces[avatar.head.landmark_faces[168]]  # between the eyes
    corners = avatar.head.v_template[face]
    frame = triangle_frames(corners)
    x = torch.linspace(float(marks[33, 0]), float(marks[263, 0]), count)
    at = torch.stack([x, marks[33, 1].expand(count), (marks[168, 2] + 0.012).expand(count)], 1)
    last = own.rows(torch.arange(len(own)) >= len(own) - count)
    local = LocalGaussians(
        (at - corners.mean(0)) @ frame,
        last.local.quats,
        torch.full((count, 3), 0.0015).log(),
        torch.full((count,), 4.0),
        torch.full((count, 3), 0.05),
    )
    binding = Binding(face.expand(count, 3), torch.full((count, 3), 1 / 3), torch.zeros(count))
    bars = replace(last, binding=binding, local=local)
    wearing = with_gaussians(avatar, GaussianSet.joined([own, bars]))
    found = layers_of(wearing) == LAYERS.index("glasses")
    assert found[-count:].mean() > 0.8 and found[:-count].mean() < 0.05
    assert len(without_layers(wearing, ["glasses"])) < len(wearing)
    moved = with_layer_from(avatar, wearing, "glasses")
    assert len(moved) > len(avatar) + 0.8 * count


def test_what_cannot_be_moved_or_hidden_is_said(stored: Path) -> None:
    avatar = load_avatar(stored)
    with pytest.raises(HeadsplatError, match="the other avatar has no glasses"):
        with_layer_from(avatar, avatar, "glasses")
    with pytest.raises(HeadsplatError, match="the avatar has no glasses; leave glasses out"):
        without_layers(avatar, ["glasses"])
    with pytest.raises(HeadsplatError, match="nothing of the avatar would be left"):
        without_layers(avatar, ["hair"], np.full(len(avatar), LAYERS.index("hair")))
    other = load_avatar(stored)
    other.head = replace(other.head, faces=other.head.faces.flip(0))
    with pytest.raises(HeadsplatError, match="the heads have other meshes"):
        with_layer_from(avatar, other, "hair")


def test_gray_takes_the_color_out_of_everything(stored: Path) -> None:
    result = with_edits(load_avatar(stored), Edits(read_style("film-noir")))
    assert (result.colors - result.colors[:, :1]).abs().max() < 1e-5
    basis = result.blendshapes.basis[..., 7:10]
    assert (basis - basis[..., :1]).abs().max() < 1e-5


def lit_and_wrinkled(path: Path) -> Avatar:
    """The avatar of a file with a light, wrinkles and two recordings."""
    avatar = load_avatar(path)
    torch.manual_seed(0)
    surface = torch.rand(len(avatar.head.v_template), 9)
    coefficients = ambient(torch.ones(3)) + directional(torch.tensor([1.0, 0.2, 0.4]), torch.tensor([1.5, 1.4, 1.3]))
    light = HeadLight(torch.rand(len(avatar), 9), surface, coefficients, avatar.rig.torso.mean_rotation)
    wrinkles = Wrinkles(avatar.blendshapes.count)
    wrinkles.coefficients.data.normal_()
    appearances = Appearances([RecordingEntry("plain", "a"), RecordingEntry("hat", "b")], len(avatar))
    appearances.table("colors").data[1] = torch.rand(len(avatar), 3)
    for part in (light, wrinkles, appearances):
        avatar.add_part(part.requires_grad_(False))
    return avatar


def test_other_gaussians_keep_the_rows_of_all_parts(stored: Path) -> None:
    avatar = lit_and_wrinkled(stored)
    mask = torch.arange(len(avatar)) % 4 > 0
    result = with_gaussians(avatar, GaussianSet.of(avatar).rows(mask))
    moving = mask[: avatar.blendshapes.count]
    assert set(result.parts) == set(avatar.parts)
    assert torch.equal(required(result, HeadLight).transfer, required(avatar, HeadLight).transfer[mask])
    assert torch.equal(required(result, HeadLight).coefficients, required(avatar, HeadLight).coefficients)
    assert torch.equal(required(result, Wrinkles).coefficients, required(avatar, Wrinkles).coefficients[moving])
    colors = required(avatar, Appearances).table("colors")
    assert torch.equal(required(result, Appearances).table("colors"), colors[:, mask])
    params = avatar.head.neutral_params(1)
    params.joint_rot[:, 0, 1] = 0.5
    params.expression[:, avatar.head.expression_index("browInnerUp")] = 1
    assert torch.equal(result(params).sh, avatar(params).sh[:, mask])


def test_a_copy_with_the_same_gaussians_shares_no_rows(stored: Path) -> None:
    avatar = lit_and_wrinkled(stored)
    result = with_gaussians(avatar, GaussianSet.of(avatar))
    before = {name: value.clone() for name, value in avatar.state_dict().items()}
    for part in result.parts.values():
        for value in part.state_dict().values():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in avatar.state_dict().items())


def test_skin_under_hidden_hair_has_the_light_of_the_mesh_there(stored: Path) -> None:
    avatar = lit_and_wrinkled(stored)
    kept = int((layers_of(avatar) != LAYERS.index("hair")).sum())
    result = without_layers(avatar, ["hair"])
    light, rig = required(result, HeadLight), result.rig
    expected = (light.surface[rig.triangles[kept:]] * rig.bary[kept:, :, None]).sum(1)
    torch.testing.assert_close(light.transfer[kept:], expected)
    assert required(result, Wrinkles).count == result.blendshapes.count
    assert not required(result, Appearances).table("colors")[:, kept:].any()


def test_lent_hair_brings_its_rows_but_no_wrinkles_and_no_recordings(stored: Path) -> None:
    avatar, other = lit_and_wrinkled(stored), lit_and_wrinkled(stored)
    required(other, HeadLight).transfer.fill_(0.375)
    result = with_layer_from(avatar, other, "hair")
    lent = int((layers_of(other) == LAYERS.index("hair")).sum())
    assert (required(result, HeadLight).transfer[-lent:] == 0.375).all()
    assert not required(result, Appearances).table("colors")[:, -lent:].any()
    assert required(result, Wrinkles).count == result.blendshapes.count


def test_paint_and_styles_keep_light_and_wrinkles(stored: Path) -> None:
    avatar = lit_and_wrinkled(stored)
    result = with_edits(avatar, Edits(replace(read_style("film-noir"), marks=read_style("lipstick").marks)))
    assert len(result) > len(avatar)
    assert required(result, HeadLight).transfer.shape == (len(result), 9)
    wrinkles = required(result, Wrinkles).coefficients
    assert wrinkles[..., :3].any() and (wrinkles[..., :3] - wrinkles[..., :1]).abs().max() < 1e-5


def test_a_color_that_a_wrinkle_adds_changes_by_the_slope_of_the_edit(stored: Path) -> None:
    avatar = lit_and_wrinkled(stored)
    avatar.blendshapes.basis[..., 7:10] = 1
    result = edited(avatar, Edit(skin=0.4))
    before, after = (required(each, Wrinkles).coefficients for each in (avatar, result))
    slope = result.blendshapes.basis[0, :, None, 7:10]
    assert (slope != 1).any()
    torch.testing.assert_close(after[..., :3], before[..., :3] * slope)
    assert torch.equal(after[..., 3], before[..., 3])


def test_the_command_says_that_an_edit_is_of_one_recording(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "looks.avatar", tmp_path / "edited.avatar"
    save_avatar(path, lit_and_wrinkled(stored))
    assert run(["edit", str(path), "-o", str(out), "--style", "film-noir"]) == 0
    assert "without the appearances of its other recordings: an edit is of one" in "".join(capsys.readouterr())
    assert set(load_avatar(out).parts) == {"light", "wrinkles", *load_avatar(stored).parts}
    assert run(["edit", str(stored), "-o", str(tmp_path / "plain.avatar"), "--style", "film-noir"]) == 0
    assert "without" not in "".join(capsys.readouterr())


def test_all_presets_can_be_read() -> None:
    assert set(presets()) == {"film-noir", "freckles", "lipstick", "makeup", "pale", "tan"}
    assert all(read_style(name).content() for name in presets())


def test_a_style_file_comes_back(tmp_path: Path) -> None:
    paint = np.zeros((SIZE, SIZE, 4), np.uint8)
    paint[10:20, 30:60] = (1, 2, 3, 200)
    style = Style(Edit(hair="red", skin=0.2), ("clothes",), (Mark("lips", (1, 2, 3), 0.5, 4),), 0.5, paint)
    write_style(tmp_path / "a.style.json", style)
    found = read_style(str(tmp_path / "a.style.json"))
    assert found.content() == style.content()
    assert found.paint is not None and np.array_equal(found.paint, paint)


def test_of_two_styles_the_second_wins() -> None:
    first = Style(Edit(hair="red", eyes="blue"), gray=0.3, marks=(Mark("lips", (9, 9, 9), 1.0),))
    both = combined(first, Style(Edit(hair="black")))
    assert (both.edit.hair, both.edit.eyes, both.gray, len(both.marks)) == ("black", "blue", 0.3, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", 'no entry "headsplat": "style"'),
        ('{"headsplat": "style", "version": 7}', "version 7"),
        ('{"headsplat": "style", "version": 1, "gray": 2}', "gray: expected 0 to 1"),
        ('{"headsplat": "style", "version": 1, "hat": 2}', "unknown entry 'hat'"),
        ('{"headsplat": "style", "version": 1, "hide": ["ears"]}', "hide: expected some of"),
        ('{"headsplat": "style", "version": 1, "edit": {"hair": "mauve"}}', "mauve"),
        ('{"headsplat": "style", "version": 1, "marks": [{"place": "hat", "color": [1, 2, 3], "opacity": 1}]}', "hat"),
        ('{"headsplat": "style", "version": 1, "marks": [{"place": "lips", "color": [1, 2], "opacity": 1}]}', "color"),
        ('{"headsplat": "style", "version": 1, "paint": "AAAA"}', "not an image"),
    ],
)
def test_a_damaged_style_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.style.json").write_text(content)
    with pytest.raises(HeadsplatError, match=r"not a style, or a damaged one") as error:
        read_style(str(tmp_path / "a.style.json"))
    assert reason in str(error.value)


def test_the_command_paints_hides_and_lists_its_edits(stored: Path, tmp_path: Path) -> None:
    out, style = tmp_path / "out.avatar", tmp_path / "s.style.json"
    image = painting(tmp_path / "paint.png")
    code = run(
        ["edit", str(stored), "--paint", str(image), "--hide", "hair", "--style", "lipstick", "--style-out", str(style),
         "-o", str(out)]
    )  # fmt: skip
    assert code == 0
    header = read_header(out)
    entry = header["training"]["edits"][-1]
    assert entry["hide"] == ["hair"] and entry["paint"] > 0 and entry["marks"][0]["place"] == "lips"
    assert header["consent"] == "Agreed."
    assert load_avatar(out).blendshapes.count > load_avatar(stored).blendshapes.count
    assert json.loads(style.read_text())["hide"] == ["hair"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "nothing to change"),
        (["--hide", "ears"], "no layer 'ears'"),
        (["--hide", ","], "no layer is named"),
        (["--style", "cubism"], "no style 'cubism'"),
        (["--paint", "missing.png"], "no such image"),
        (["--paint", "gray.png"], "no alpha"),
        (["--paint", "wide.png"], "300x256 pixels"),
        (["--paint", "empty.png"], "nothing is painted"),
        (["--paint", "text.png"], "not an image"),
        (["--hair-from", "missing.avatar"], "no such avatar file"),
    ],
)
def test_wrong_input_gets_one_sentence(
    stored: Path, tmp_path: Path, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    painting(tmp_path / "gray.png", (256, 256))
    painting(tmp_path / "wide.png", (256, 300, 4))
    painting(tmp_path / "empty.png", alpha=0)
    (tmp_path / "text.png").write_text("no image")
    assert run(["edit", str(stored), *options, "-o", "out.avatar"]) != 0
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out.avatar").exists()

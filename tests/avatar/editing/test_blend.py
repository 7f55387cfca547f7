"""Blending of two avatars: the ends are the avatars, solid stays solid, everybody's motion stays right."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avatar.cli.command_line import run
from avatar.editing.blend import MIN_OPACITY, blend_avatars, blended_extras, left_out, shared_logits
from avatar.errors import HeadsplatError
from avatar.head import load_head
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar, save_avatar
from avatar.model.parts.light.harmonics import ambient
from avatar.model.parts.light.head_light import HeadLight
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.person import TorsoRegression
from avatar.model.parts.wrinkles import Wrinkles
from avatar.rendering.render import render
from avatar.training.config import TrainConfig
from avatar.training.fit import fit
from avatar.types import Camera, HeadParams
from tests.support.parts import required
from tests.support.tiny import tiny_capture

CAMERA = Camera.facing(150, 64, 64)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Avatar, Avatar]:
    """Two people with a mesh layer, trained for a moment. Read only."""
    settings = TrainConfig(size=64, steps=60, gaussians=1500)
    folder = tmp_path_factory.mktemp("pair")
    avatars = (fit(tiny_capture(folder / str(seed), seed=seed), load_head(), settings).avatar for seed in (1, 2))
    first, second = (avatar.requires_grad_(False) for avatar in avatars)
    return first, second


def _poses(avatar: Avatar) -> HeadParams:
    """Three frames in front of CAMERA: neutral, an open mouth with a turn, and a smile."""
    params = avatar.head.neutral_params(3)
    params.expression[1, avatar.head.expression_index("jawOpen")] = 0.5
    params.expression[2, avatar.head.expression_index("mouthSmileLeft")] = 0.6
    params.joint_rot[1, 0, 1] = 0.2
    params.translation[:] = torch.tensor([0.0, 0.0, -0.6])
    return params


def _alpha(avatar: Avatar) -> torch.Tensor:
    params = _poses(avatar)
    return torch.stack([render(avatar(params[frame]), CAMERA).alpha[0] for frame in range(3)])


@pytest.mark.parametrize("at", [0, 1])
def test_the_ends_are_the_avatars(pair: tuple[Avatar, Avatar], at: int) -> None:
    params, mixed = _poses(pair[0]), blend_avatars(*pair, at)
    for frame in range(3):
        whole = render(pair[at](params[frame]), CAMERA)
        found = render(mixed(params[frame]), CAMERA)
        assert (found.rgb - whole.rgb).abs().max() < 2 / 255
        assert (found.alpha - whole.alpha).abs().max() < 2 / 255


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8])
def test_no_holes_between(pair: tuple[Avatar, Avatar], at: float) -> None:
    both = torch.minimum(_alpha(pair[0]), _alpha(pair[1]))
    mixed = _alpha(blend_avatars(*pair, at))
    inside = both > 0.97
    assert inside.float().mean() > 0.1
    assert mixed[inside].min() > 0.9


def test_the_head_and_the_texels_are_between(pair: tuple[Avatar, Avatar]) -> None:
    mixed = blend_avatars(*pair, 0.25)
    first, second = (avatar.head.v_template for avatar in pair)
    torch.testing.assert_close(mixed.head.v_template, torch.lerp(first, second, 0.25))
    assert mixed.part(MeshLayer) is not None
    assert pair[0].part(MeshLayer) is not None
    assert pair[1].part(MeshLayer) is not None
    texels = torch.lerp(required(pair[0], MeshLayer).texels(), required(pair[1], MeshLayer).texels(), 0.25)
    torch.testing.assert_close(required(mixed, MeshLayer).texels(), texels, atol=1e-5, rtol=1e-5)


def test_of_an_avatar_with_itself_it_is_the_avatar(pair: tuple[Avatar, Avatar]) -> None:
    avatar = pair[0]
    mixed = blend_avatars(avatar, copy.deepcopy(avatar), 0.5)
    params = _poses(avatar)
    for frame in range(3):
        found, whole = (render(each(params[frame]), CAMERA).rgb for each in (mixed, avatar))
        assert (found - whole).abs().mean() < 0.015
    weights = torch.randn(4, avatar.blendshapes.mean.numel(), generator=torch.Generator().manual_seed(3)) * 0.3
    offsets = avatar.blendshapes(avatar.weights(weights))
    kept = mixed.blendshapes(mixed.weights(weights))[:, : avatar.blendshapes.count]
    if kept.shape == offsets.shape:
        torch.testing.assert_close(kept[..., :10], offsets[..., :10], atol=1e-5, rtol=1e-4)


def test_shared_opacities_multiply_to_the_whole() -> None:
    logits = torch.linspace(-8, 12, 50)
    left = (1 - shared_logits(logits, 0.3).sigmoid()) * (1 - shared_logits(logits, 0.7).sigmoid())
    torch.testing.assert_close(left, 1 - logits.sigmoid(), atol=1e-6, rtol=2e-2)


def test_invisible_gaussians_are_left_out(pair: tuple[Avatar, Avatar]) -> None:
    faint = copy.deepcopy(pair[1])
    faint.logit_opacities[-100:] = -9.0
    mixed = blend_avatars(pair[0], faint, 0.5)
    assert len(mixed) <= len(pair[0]) + len(faint) - 100
    assert (mixed.logit_opacities[mixed.blendshapes.count :].sigmoid() > MIN_OPACITY * 0.99).all()


def test_other_layers_and_heads_are_refused(pair: tuple[Avatar, Avatar], tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match="one avatar has a mesh layer without skin, the other no mesh layer"):
        blend_avatars(pair[0], tiny_avatar, 0.5)
    other = copy.copy(pair[1])
    other.head = replace(other.head, name="another")
    with pytest.raises(HeadsplatError, match=r"the avatars have different head models, .* and another"):
        blend_avatars(pair[0], other, 0.5)


def _wrinkled(avatar: Avatar) -> Avatar:
    """A view with strong wrinkles, a light and a torso regression."""
    torch.manual_seed(3)
    wrinkles = Wrinkles(avatar.blendshapes.count)
    wrinkles.coefficients.data.normal_()
    mean = avatar.rig.torso.mean_rotation
    surface = torch.zeros(len(avatar.head.v_template), 9)
    light = HeadLight(torch.zeros(len(avatar), 9), surface, ambient(torch.ones(3)), mean)
    torso = TorsoRegression("capture", torch.zeros(6, 7), torch.ones(7))
    own = avatar.view()
    for part in (wrinkles, light, torso):
        own.add_part(part.requires_grad_(False))
    return own


def test_wrinkles_are_blended_as_their_gaussians(pair: tuple[Avatar, Avatar]) -> None:
    first = _wrinkled(pair[0])
    params = _poses(pair[0])
    whole = blend_avatars(first, pair[1], 0)
    without = blend_avatars(pair[0], pair[1], 0)
    torch.testing.assert_close(required(whole, Wrinkles).coefficients, required(first, Wrinkles).coefficients)
    change = whole(params).sh - without(params).sh
    assert change.abs().max() > 0.01
    half = blend_avatars(first, pair[1], 0.5)
    wrinkles = required(half, Wrinkles)
    assert wrinkles.count == half.blendshapes.count
    # Of the second one's Gaussians, which have none, the limit is 0 too.
    none = (wrinkles.limit == 0).all(1)
    assert 0.3 < none.float().mean() < 0.7 and not wrinkles.coefficients[none].any()
    # Half of the depth of a Gaussian that is nearly transparent is half of its opacity: the logit changes as much.
    color, opacity = wrinkles.coefficients[~none][..., :3], wrinkles.coefficients[~none][..., 3]
    assert color.abs().mean() == pytest.approx(0.8, abs=0.05)  # mean of |x| of a normal distribution
    assert 0.5 * 0.8 < opacity.abs().mean() < 0.8


def test_what_a_blend_lacks_is_reported(pair: tuple[Avatar, Avatar]) -> None:
    first = _wrinkled(pair[0])
    mixed = blend_avatars(first, pair[1], 0.5)
    assert set(mixed.parts) == {"layer", "weight_network", "wrinkles"}
    light, torso = left_out(first, pair[1], 0.5)
    assert light.startswith("without the light of the clip: the colors of the two avatars are of different lights")
    assert torso.startswith("without the registration of the torso") and torso.endswith("one person only")
    assert not any("light" in sentence for sentence in left_out(first, pair[1], 1))


def test_the_file_names_both_people() -> None:
    first = {"training": {"psnr": 1}, "consent": "A agreed.", "capture": {"name": "a", "fingerprint": "x"}}
    second = {"training": {"psnr": 2}, "consent": "B agreed."}
    extras = blended_extras(first, second, 0.25)
    assert extras["consent"] == "A agreed. B agreed."
    assert [person["share"] for person in extras["people"]] == [0.75, 0.25]
    assert extras["capture"] == {"name": "a"}
    again = blended_extras(extras, second, 0.5)
    assert [person["share"] for person in again["people"]] == [0.375, 0.125, 0.5]
    assert blended_extras(first, second, 0)["consent"] == "A agreed."


def test_the_command_writes_an_avatar(
    pair: tuple[Avatar, Avatar], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / name for name in ("a.avatar", "b.avatar", "mixed.avatar")]
    for path, avatar in zip(paths, pair, strict=False):
        save_avatar(path, avatar, {"consent": f"{path.stem} agreed."})
    command = ["blend", str(paths[0]), str(paths[1]), "--at", "0.5", "-o", str(paths[2])]
    assert run(command) == 0
    header, loaded = read_avatar(paths[2])
    assert header["consent"] == "a agreed. b agreed."
    assert len(loaded) > 1500
    assert "without" not in "".join(capsys.readouterr())  # of these avatars nothing is lost
    save_avatar(paths[0], _wrinkled(pair[0]))
    assert run([*command, "--overwrite"]) == 0
    assert "mixed.avatar: without the registration of the torso" in "".join(capsys.readouterr())
    assert (_alpha(loaded) - _alpha(blend_avatars(*pair, 0.5))).abs().max() < 2 / 255
    assert run(command) != 0
    assert run([*command[:-3], "1.5", *command[-2:]]) != 0
    assert "--at: expected 0 to 1, got 1.5" in capsys.readouterr().err

"""Named attributes of an avatar: each changes its region only, to the color that was requested."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.cli.command_line import run
from avatar.editing.edit import Edit, edited, edited_extras
from avatar.editing.irises import iris_texels
from avatar.errors import HeadsplatError
from avatar.head.hair_regions import BROWS, brow_distance, hair_cover
from avatar.head.human_colors import DARKEST, LIGHTEST
from avatar.model.avatar import Avatar
from avatar.model.avatar_file import read_avatar, save_avatar
from avatar.model.parts.mesh_layer import EYES, MeshLayer
from avatar.model.prior import from_log, to_log
from avatar.model.segmentation import Places, Regions, places_of, rest_offsets
from avatar.training.config import TrainConfig
from tests.support.build_cache import cached_avatar
from tests.support.parts import required
from tests.support.tiny import tiny_capture

SKIN, HAIR, CLOTH = (0.72, 0.55, 0.46), (0.22, 0.16, 0.12), (0.15, 0.25, 0.60)
ATTRIBUTES = {
    "hair": Edit(hair="blond"),
    "brows": Edit(brows="red"),
    "eyes": Edit(eyes="blue"),
    "skin": Edit(skin=0.3),
    "beard": Edit(beard=1.0),
}


def _areas(places: Places) -> dict[str, np.ndarray]:
    """Masks of the parts that `person` was painted by."""
    marks, (_, y, z) = places.landmarks, places.surface.T
    cover = hair_cover(places.bound, marks) * (1 - places.region["ears"])
    brow = np.minimum(*(brow_distance(places.surface, marks, line) for line in BROWS)) < 0.45
    cloth = (places.torso > 0.8) & (places.points[:, 1] < marks[152, 1] - 4.5)
    hair = (cover > 0.9) & (places.torso < 0.5)
    face = (places.torso < 0.3) & (z > marks[[234, 454], 2].mean() + 3) & (y < marks[10, 1] - 1) & ~brow & ~hair
    return {"hair": hair, "brows": brow & (cover < 0.01), "cloth": cloth, "face": face}


@pytest.fixture(scope="module", params=[False, True], ids=["gaussians", "layer with skin"])
def person(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    """An avatar with dark hair and brows, bare skin and a blue shirt, trained for a moment and painted. Read only."""
    settings = TrainConfig(size=64, steps=60, gaussians=3000, skin=request.param)
    capture = tiny_capture(tmp_path_factory.mktemp("edit") / "1", seed=1)
    avatar = cached_avatar(f"edit_{'skin' if request.param else 'gaussians'}", capture, settings)
    places = places_of(avatar)
    areas, rng = _areas(places), np.random.default_rng(4)
    colors = np.tile(SKIN, (len(places.points), 1))
    for name, color in (("hair", HAIR), ("brows", HAIR), ("cloth", CLOTH)):
        colors[areas[name]] = color
    colors *= rng.uniform(0.85, 1.1, len(colors))[:, None]
    count = len(avatar)
    avatar.colors.copy_(torch.from_numpy(colors[:count]))
    avatar.blendshapes.basis[:, :, 7:10] = 0.01 * torch.randn(avatar.blendshapes.basis[:, :, 7:10].shape)
    avatar.colors.sub_(rest_offsets(avatar))
    if avatar.part(MeshLayer) is not None and required(avatar, MeshLayer).skin:
        surface = torch.from_numpy(places.region["inside"][count:] < 0.5)
        texels = torch.where(
            surface[:, None], torch.from_numpy(colors[count:]).float(), required(avatar, MeshLayer).texels()
        )
        required(avatar, MeshLayer).set_texels(texels)
    avatar.provenance = {"psnr": 30.0}
    return avatar


@lru_cache(maxsize=2)
def _places(avatar: Avatar) -> Places:
    """The places of an avatar that stays as it is."""
    return places_of(avatar)


def _resting(avatar: Avatar) -> np.ndarray:
    """Colors of the places, logarithms."""
    return _places(avatar).colors


def _changed(before: Avatar, after: Avatar) -> np.ndarray:
    """Mask of the places that differ in any bit."""
    rows = (before.colors != after.colors).any(1)
    basis = (before.blendshapes.basis != after.blendshapes.basis).any(2).any(0)
    rows[: len(basis)] |= basis
    if before.part(MeshLayer) is not None and after.part(MeshLayer) is not None and required(before, MeshLayer).skin:
        rows = torch.cat([rows, (required(before, MeshLayer).texels() != required(after, MeshLayer).texels()).any(1)])
    return rows.numpy()


@pytest.mark.parametrize("name", ["hair", "brows", "skin", "beard"])
def test_an_attribute_changes_its_region_only(person: Avatar, name: str) -> None:
    changed, areas = _changed(person, edited(person, ATTRIBUTES[name])), _areas(_places(person))
    others = {
        "hair": areas["face"] | areas["cloth"],
        "brows": areas["hair"] | areas["cloth"],
        "skin": areas["hair"] | areas["cloth"],
        "beard": areas["hair"] | areas["cloth"] | areas["brows"],
    }[name]
    own = {"hair": areas["hair"], "brows": areas["brows"], "skin": areas["face"]}
    places = _places(person)
    inside = places.region["inside"] > 0.5
    assert not changed[others & ~inside].any()
    assert not changed[inside].any()
    if name in own:
        assert changed[own[name] & ~inside].mean() > 0.95
    else:
        low = places.surface[:, 1] < places.landmarks[2, 1]
        assert changed.any() and low[changed].all()


def test_everything_but_colors_is_kept(person: Avatar) -> None:
    before, after = person.state_dict(), edited(person, Edit("red", "black", "green", 0.2, 0.5)).state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert set(before) - same == {"colors", "blendshapes.basis", "parts.layer.delta"}
    basis = "blendshapes.basis"
    assert torch.equal(before[basis][..., :7], after[basis][..., :7])
    assert torch.equal(before[basis][..., 10:], after[basis][..., 10:])


def test_the_original_is_not_changed(person: Avatar) -> None:
    before = copy.deepcopy(person.state_dict())
    result = edited(person, Edit(hair="white", skin=-0.1))
    assert all(torch.equal(value, before[name]) for name, value in person.state_dict().items())
    assert person.provenance == {"psnr": 30.0}
    again = edited(result, Edit(beard=0.4))
    assert again.provenance == {
        "psnr": 30.0,
        "edits": [{"hair": "white", "skin": -0.1, "amount": 1.0}, {"beard": 0.4, "amount": 1.0}],
    }


def test_the_eyes_change_on_the_irises_only(person: Avatar) -> None:
    result = edited(person, ATTRIBUTES["eyes"])
    assert torch.equal(result.colors, person.colors)
    assert person.part(MeshLayer) is not None and result.part(MeshLayer) is not None
    weight = iris_texels(person)
    before, after = required(person, MeshLayer).texels(), required(result, MeshLayer).texels()
    assert torch.equal(before[weight == 0], after[weight == 0])
    color = after[weight > 0.9].mean(0)
    assert color[2] > 1.15 * color[0]


def test_eyes_of_gaussians_change_too(tiny_avatar: Avatar) -> None:
    result = edited(tiny_avatar, Edit(eyes="30,200,30"))
    changed = (result.colors != tiny_avatar.colors).any(1)
    eye = tiny_avatar.head.mask(*EYES)[tiny_avatar.rig.triangles].all(1)
    assert changed.any() and eye[changed].all()
    shown = (result.colors + rest_offsets(result))[changed]
    assert (shown[:, 1] > shown[:, 0]).float().mean() > 0.9


def _mean(avatar: Avatar, mask: np.ndarray, area: np.ndarray) -> np.ndarray:
    return np.average(_resting(avatar)[mask], axis=0, weights=area[mask])


@pytest.mark.parametrize("color", ["210,170,110", "20,18,16", "150,60,30"])
def test_the_mean_of_the_hair_is_the_color_as_it_is_seen(person: Avatar, color: str) -> None:
    places = _places(person)
    hair = Regions(places).hair() > 0.999
    target = to_log(np.array([int(part) for part in color.split(",")]) / 255)
    found = _mean(edited(person, Edit(hair=color)), hair, places.area)
    np.testing.assert_allclose(found, target, atol=0.04)


def test_darker_hair_keeps_the_differences_within_it(person: Avatar) -> None:
    hair = Regions(_places(person)).hair() > 0.999
    before, after = (_resting(each)[hair] for each in (person, edited(person, Edit(hair="48,34,26"))))
    np.testing.assert_allclose(after - after.mean(0), before - before.mean(0), atol=2e-3)


def test_the_same_color_again_changes_little(person: Avatar) -> None:
    edit = Edit(hair="red", brows="red", eyes="green")
    once = edited(person, edit)
    twice = edited(once, edit)
    assert np.abs(_resting(twice) - _resting(once)).mean() < 0.02
    assert once.part(MeshLayer) is not None and twice.part(MeshLayer) is not None
    assert (required(once, MeshLayer).texels() - required(twice, MeshLayer).texels()).abs().mean() < 0.01


def test_lighter_skin_undoes_darker_skin(person: Avatar) -> None:
    back = edited(edited(person, Edit(skin=0.2)), Edit(skin=-0.2))
    difference = np.abs(from_log(_resting(back)) - from_log(_resting(person))).max(1)
    assert np.quantile(difference, 0.95) < 3 / 255


def test_darker_skin_moves_by_the_part_of_the_range(person: Avatar) -> None:
    bare = Regions(_places(person)).skin() > 0.999
    change = (_resting(edited(person, Edit(skin=0.25))) - _resting(person))[bare]
    np.testing.assert_allclose(change.mean(0), 0.25 * (np.log(DARKEST) - np.log(LIGHTEST)), atol=0.02)


def test_skin_ends_at_the_lightest_and_the_darkest(person: Avatar) -> None:
    bare = Regions(_places(person)).skin() > 0.999
    light, dark = (from_log(_resting(edited(person, Edit(skin=step)))[bare]).mean() for step in (-1, 1))
    assert light < 0.97
    assert dark > 0.05
    assert (_resting(edited(person, Edit(skin=1.0))) == _resting(edited(person, Edit(skin=0.99)))).all()


def test_the_amount_is_a_part_of_the_way(person: Avatar) -> None:
    assert not _changed(person, edited(person, Edit("blond", "red", "blue", 0.3, 0.8, amount=0.0))).any()
    start, half, whole = (
        _resting(each) for each in (person, *(edited(person, Edit("blond", amount=part)) for part in (0.5, 1.0)))
    )
    clear = whole < 0  # the others became white
    assert clear.mean() > 0.9
    np.testing.assert_allclose(half[clear], ((start + whole) / 2)[clear], atol=5e-3)


def test_expressions_change_the_new_color_as_the_old_one(person: Avatar) -> None:
    gain = 0.3 * (np.log(DARKEST) - np.log(LIGHTEST))
    after, count = edited(person, Edit(skin=0.3)), person.blendshapes.count
    full = torch.from_numpy(Regions(_places(person)).skin()[:count] > 0.9999)

    def shown(avatar: Avatar) -> np.ndarray:
        features = avatar.blendshapes.mean + 0.5 * avatar.blendshapes.spread
        extra = avatar.blendshapes(avatar.weights(features[None]))[0, :, 7:10]
        return (avatar.colors[:count] + extra * avatar.blendshapes.units[7:10])[full].double().numpy()

    expected = from_log(to_log(shown(person)) + gain)
    assert np.abs(from_log(to_log(shown(after))) - expected).mean() < 1 / 255


def test_a_shirt_of_the_color_of_the_hair_is_no_hair(person: Avatar) -> None:
    dark = copy.deepcopy(person)
    cloth = torch.from_numpy(_areas(_places(person))["cloth"][: len(person)])
    dark.colors[cloth] = torch.tensor(HAIR)
    changed = torch.from_numpy(_changed(dark, edited(dark, Edit(hair="blond")))[: len(dark)])
    assert cloth.any() and not changed[cloth].any()


def test_a_beard_grows_on_the_chin_in_the_color_of_the_hair(person: Avatar) -> None:
    places = _places(person)
    marks = places.landmarks
    chin = np.linalg.norm(places.surface - marks[152], axis=1) < 1.0
    chin &= (places.torso < 0.1) & (places.region["inside"] < 0.5)
    levels = [_resting(edited(person, Edit(beard=part)))[chin].mean() for part in (0.0, 0.4, 1.0)]
    assert levels[0] > levels[1] + 0.2 > levels[2] + 0.4
    white = _resting(edited(person, Edit(hair="white", beard=1.0)))[chin].mean()
    assert white > levels[2] + 0.5


def test_a_bald_scalp_has_no_hair_color(tiny_avatar: Avatar) -> None:
    with pytest.raises(HeadsplatError, match=r"^hair: .* omit --hair$"):
        edited(tiny_avatar, Edit(hair="red"))


def test_a_head_without_irises_has_no_eye_color(tiny_avatar: Avatar) -> None:
    other = copy.copy(tiny_avatar)
    regions = {name: mask for name, mask in other.head.regions.items() if name != "iris"}
    other.head = replace(other.head, regions=regions)
    with pytest.raises(HeadsplatError, match=r"^eyes: .* omit --eyes$"):
        edited(other, Edit(eyes="blue"))


def test_a_head_that_the_prior_does_not_know_has_light_of_one(person: Avatar) -> None:
    other = copy.copy(person)
    other.head = replace(other.head, name="another")
    assert _changed(other, edited(other, Edit(hair="blond"))).any()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"hair": "mauve"}, "hair: expected black, brown, dark-blond, .* or R,G,B with 0 to 255 each, got 'mauve'"),
        ({"hair": "1,2"}, "hair: .* got '1,2'"),
        ({"brows": "0,0,256"}, "brows: .* got '0,0,256'"),
        ({"eyes": "blond"}, "eyes: expected brown, blue, green, gray or R,G,B"),
        ({"skin": 1.5}, "skin: expected -1 to 1, got 1.5"),
        ({"beard": -0.1}, "beard: expected 0 to 1, got -0.1"),
        ({"amount": float("nan")}, "amount: expected 0 to 1, got nan"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(HeadsplatError, match=text):
        Edit(**values)  # type: ignore[arg-type]


def test_the_command_keeps_the_rest_of_the_file(
    person: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "me.avatar", tmp_path / "new.avatar"
    extras = {
        "consent": "I agreed.",
        "settings": {"steps": 60},
        "track": {"model": "a"},
        "capture": {
            "name": "a",
            "fingerprint": "x",
            "width": 64,
            "height": 64,
            "camera": {"K": torch.eye(3).tolist(), "world_to_cam": torch.eye(4).tolist()},
        },
    }
    save_avatar(source, person, extras)
    command = ["edit", str(source), "--hair", "red", "--skin", "0.1", "-o", str(target)]
    assert run(command) == 0
    (old, before), (new, after) = read_avatar(source), read_avatar(target)
    assert new["training"] == old["training"] | {"edits": [{"hair": "red", "skin": 0.1, "amount": 1.0}]}
    differing = {key for key in old | new if old.get(key) != new.get(key)}
    assert differing == {"training", "tensors_sha256"}
    assert after.provenance["edits"]
    changed = _changed(before, after)
    assert 0 < changed.sum() < len(changed)
    assert run(command) != 0
    assert "--overwrite" in capsys.readouterr().err


def test_the_command_refuses_what_changes_nothing(
    tiny_avatar: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "me.avatar", tmp_path / "new.avatar"
    save_avatar(source, tiny_avatar)
    for arguments, text in (
        ([], "nothing to change; give --hair, --brows, --eyes, --skin, --beard, --paint"),
        (["--hair", "mauve"], "hair: expected black"),
        (["--skin", "2"], "--skin: expected -1 to 1, got 2"),
        (["--hair", "red"], "hair: the avatar has none"),
    ):
        assert run(["edit", str(source), *arguments, "-o", str(target)]) != 0
        assert text in capsys.readouterr().err
        assert not target.exists()


def test_the_entries_of_an_older_file_are_kept(person: Avatar) -> None:
    header = {"people": [{"share": 1.0}], "consent": "All agreed.", "tensors_sha256": "x", "person": {}, "magic": "y"}
    assert edited_extras(header, person) == {"people": [{"share": 1.0}], "consent": "All agreed."}

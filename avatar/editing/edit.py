"""Named attributes of an avatar: the color of its hair, brows and eyes, the tone of its skin, a beard.

Each changes the colors of its region only, in logarithms of linear light, where light and shading are sums: the mean of
the region moves, what differs from the mean stays.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from avatar.editing.colors import Change, changed_colors, moved_mean, multiplied
from avatar.editing.irises import iris_gaussians, iris_texels
from avatar.errors import HeadsplatError
from avatar.head.human_colors import DARKEST, HAIR, IRIS, LIGHTEST, Color
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.avatar_file import describe
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.parts.registry import part_kinds
from avatar.model.prior import FLOOR, applies_to, head_prior, to_log
from avatar.model.segmentation import ENOUGH, Floats, Regions, places_of, rest_offsets

#: Hair is darker than a surface of its albedo: strands shade each other.
_HAIR_SHADE = 0.9
#: Irises lie in the shadow of the lids.
_EYE_SHADE = 0.8
#: Largest logarithm of the exposure, and part of the tint of the light that is believed: dark skin in bright light
#: looks almost like light skin.
_EXPOSURE = 0.7
_TINT = 0.7
#: A scalp whose color differs less from the skin, root mean square of the logarithms, has no hair.
_HAIR_DIFFERENCE = 0.25
#: The brightest channel of the mean color of skin, linear light.
_WHITE = 0.85
#: How far a whole beard takes the color of the skin to that of hair; stubble lets the skin through.
_BEARD = 0.88
#: Brightness of a beard relative to the hair of the head.
_BEARD_SHADE = 0.9


@dataclass(frozen=True)
class Edit:
    """What to change; the defaults change nothing."""

    hair: str | None = None
    """black, brown, dark-blond, blond, red, gray, white, or R,G,B: its mean color as it is seen, 0 to 255"""
    brows: str | None = None
    """as `hair`"""
    eyes: str | None = None
    """color of the irises: brown, blue, green, gray, or R,G,B"""
    skin: float = 0.0
    """-1 to 1: 1 darkens by the whole range from the lightest to the darkest skin, -1 lightens by it"""
    beard: float = 0.0
    """0 to 1: from none to a short full beard, in the color of the hair"""
    amount: float = 1.0
    """0 to 1: how much of all changes"""

    def __post_init__(self) -> None:
        """Raise HeadsplatError for an unknown color, or a number out of its range."""
        for name, low in (("skin", -1), ("beard", 0), ("amount", 0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= 1):
                raise HeadsplatError(f"{name}: expected {low} to 1, got {value:g}")
        for name, known in (("hair", HAIR), ("brows", HAIR), ("eyes", IRIS)):
            parse_color(name, getattr(self, name), known)

    def changes(self) -> dict[str, Any]:
        """The attributes that change something, and the amount."""
        return {name: value for name, value in asdict(self).items() if name == "amount" or value not in (None, 0.0)}


def parse_color(option: str, text: str | None, known: Mapping[str, Color]) -> tuple[Color, bool] | None:
    """A named albedo in linear light and False, or a display color R,G,B as 0..1 and True; None for None.

    Raises:
        HeadsplatError: neither.
    """
    if text is None:
        return None
    if text in known:
        return known[text], False
    try:
        red, green, blue = (int(part) for part in text.split(","))
    except ValueError:
        red = green = blue = -1
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        shown = text if len(text) <= 40 else f"{text[:40]}..."
        names = ", ".join(known)
        raise HeadsplatError(f"{option}: expected {names} or R,G,B with 0 to 255 each, got {shown!r}")
    return (red / 255, green / 255, blue / 255), True


def edited(avatar: Avatar, edit: Edit) -> Avatar:
    """A copy of `avatar` with the changes of `edit`; everything outside of their regions is equal, bit for bit.

    Its provenance has one more entry in the list `edits`.

    Raises:
        HeadsplatError: the avatar has no such region: no hair on the scalp, no brows, no skin or no irises.
    """
    result = copy.deepcopy(avatar.view(parts=editable_parts(avatar))).requires_grad_(False)
    regions = Regions(places_of(result))
    light = _light(result, regions)
    changes = _changes(regions, edit, light)
    if changes:
        _recolor(result, regions.places.colors, changes)
    if edit.eyes is not None:
        _recolor_irises(result, edit, light)
    earlier = avatar.provenance.get("edits", [])
    result.provenance = {**avatar.provenance, "edits": [*earlier, edit.changes()]}
    return result


def editable_parts(avatar: Avatar) -> list[AvatarPart]:
    """The parts that an edited avatar keeps; `left_out` names the others."""
    return [part for part in avatar.parts.values() if not part.not_edited]


def left_out(avatar: Avatar) -> list[str]:
    """What the edited avatar lacks of the optional parts of `avatar`, and why; a sentence each."""
    return [f"without {part.title}: {part.not_edited}" for part in avatar.parts.values() if part.not_edited]


def edited_extras(header: Mapping[str, Any], avatar: Avatar) -> dict[str, Any]:
    """Further entries of the header of an edited file, from that of the original: all that describe no tensors."""
    of_tensors = {*describe(avatar), "tensors_sha256", *(kind.entry for kind in part_kinds())}
    kept = {key: value for key, value in header.items() if key not in of_tensors}
    return kept | {"consent": header.get("consent", "")}


def _changes(regions: Regions, edit: Edit, light: Floats) -> list[Change]:
    """The changes of hair, brows, skin and beard, to be applied in this order."""
    found = []
    colors = regions.places.colors
    hair = _mean_hair(regions)
    for name, text in (("hair", edit.hair), ("brows", edit.brows)):
        target = _target(name, text, HAIR, light + math.log(_HAIR_SHADE))
        if target is None:
            continue
        weight = regions.hair() if name == "hair" else regions.brows()
        core = regions.core(weight)
        if core.sum() < ENOUGH or (name == "hair" and hair is None):
            raise HeadsplatError(f"{name}: the avatar has none that its color could change; omit --{name}")
        # Places that are hair in part say less about its color.
        found.append(moved_mean(colors, edit.amount * weight, regions.places.area * weight**4 * core, target))
        if name == "hair" and hair is not None:
            hair = hair + edit.amount * (target - hair)
    if edit.skin or edit.beard:
        skin = regions.skin()
        core = regions.core(skin)
        if core.sum() < ENOUGH:
            raise HeadsplatError("skin: the avatar has no visible skin; omit --skin and --beard")
        mean = np.median(colors[core], 0)
        gain = edit.amount * _tone_gain(mean, edit.skin, light)
        if edit.skin:
            found.append(multiplied(skin, gain))
        if edit.beard:
            if hair is None:
                hair = to_log(np.zeros(3))
            found.append(_grown_beard(regions, edit.amount * edit.beard, hair + math.log(_BEARD_SHADE), mean + gain))
    return found


def _tone_gain(mean: Floats, steps: float, light: Floats) -> Floats:
    """Logarithm [3] of the gain for skin of the mean color `mean` [3], which ends at the lightest and darkest skin."""
    lightest = np.log(LIGHTEST) + light
    darkest = np.log(DARKEST) + light
    whole = darkest - lightest
    gain = steps * whole
    if not steps:
        return gain
    end = darkest if steps > 0 else lightest
    room = max(0.0, float((end - mean).mean() / gain.mean()))
    if steps < 0:
        room = min(room, max(0.0, float((math.log(_WHITE) - mean).min() / gain.max())))
    return gain * min(1.0, room)


def _mean_hair(regions: Regions) -> Floats | None:
    """Mean color [3] of the hair; None where the scalp is as the skin."""
    hair = regions.hair_model
    return None if hair is None or regions.hair_difference() < _HAIR_DIFFERENCE else hair.mean


def _target(option: str, text: str | None, known: Mapping[str, Color], light: Floats) -> Floats | None:
    """The color [3] of an option as a logarithm of linear light, names in the light of the video."""
    parsed = parse_color(option, text, known)
    if parsed is None:
        return None
    color, seen = parsed
    if seen:
        return to_log(np.array(color))
    return np.log(np.clip(np.array(color) * np.exp(light), 0, 0.9) + FLOOR)


def _grown_beard(regions: Regions, density: float, hair: Floats, skin: Floats) -> Change:
    """Bare skin takes the ratio of the mean colors [3] of hair to skin, which keeps its shading."""
    grain = 0.85 + 0.3 * _grain(len(regions.places.points))
    weight = np.clip(_BEARD * density * regions.beard() * grain, 0, 1)[:, None] * regions.bare(hair, skin)
    return multiplied(np.ones(len(weight)), np.log1p(weight * np.expm1(hair - skin)))


def _grain(count: int) -> Floats:
    """Random numbers [count] in 0..1, the same for the same number."""
    return np.random.default_rng(1711).random(count)


def _light(avatar: Avatar, regions: Regions) -> Floats:
    """Logarithm [3] of the light on the face, by the prior of heads from the bare skin; 0 for heads unknown to it."""
    if not applies_to(avatar.head):
        return np.zeros(3)
    prior = head_prior()
    places = regions.places
    rows = np.flatnonzero(regions.bare_skin() & (places.area > 0.01))
    vertex = regions.nearest_vertices(avatar, rows, prior.vertices)
    total = np.bincount(vertex, places.area[rows], len(prior.vertices))
    sums = [np.bincount(vertex, places.area[rows] * color, len(total)) for color in places.colors[rows].T]
    colors = np.stack(sums, 1) / np.maximum(total, 1e-9)[:, None]
    light = prior.light(prior.posterior(colors, np.clip(total, 0, 1)))
    return np.clip(light.mean(), -_EXPOSURE, _EXPOSURE) + _TINT * (light - light.mean())


@torch.no_grad()
def _recolor(avatar: Avatar, colors: Floats, changes: list[Change]) -> None:
    """Apply `changes` to the resting `colors` [P,3] of the places: Gaussians with their blendshapes, then texels."""
    delta, slope = changed_colors(colors, changes)
    rows = (delta != 0).any(1)
    count = len(avatar)
    shape = avatar.blendshapes
    of_splats = torch.from_numpy(rows[:count])
    offset = rest_offsets(avatar)[of_splats]
    change = torch.from_numpy(delta[:count]).float()[of_splats]
    steep = torch.from_numpy(slope[:count]).float()[of_splats]
    # The color at rest changes by `change`, and what an expression adds to it by the slope there.
    avatar.colors[of_splats] += change - (steep - 1) * offset
    moving = of_splats[: shape.count]
    shape.basis[:, moving, 7:10] *= steep[: int(moving.sum())]
    for part in avatar.parts.values():
        part.scale_colors(torch.from_numpy(slope[:count]).float())
    layer = avatar.part(MeshLayer)
    if layer is not None and len(rows) > count:
        layer.delta.add_(torch.from_numpy(delta[count:]).float())


@torch.no_grad()
def _recolor_irises(avatar: Avatar, edit: Edit, light: Floats) -> None:
    """Move the mean color of the irises, texels or Gaussians, to that of `edit`."""
    target = _target("eyes", edit.eyes, IRIS, light + math.log(_EYE_SHADE))
    assert target is not None
    layer = avatar.part(MeshLayer)
    weight = iris_gaussians(avatar) if layer is None else iris_texels(avatar)
    shown = avatar.colors + rest_offsets(avatar) if layer is None else layer.texels()
    colors = to_log(shown.double().numpy())
    core = weight * (weight > 0.5)
    if core.sum() < 1:
        raise HeadsplatError("eyes: the head of the avatar has no irises; omit --eyes")
    change = moved_mean(colors, edit.amount * weight, core, target)
    if layer is None:
        _recolor(avatar, colors, [change])
    else:
        layer.delta.add_(torch.from_numpy(changed_colors(colors, [change])[0]).float())

"""Layers of an avatar: skin, brows, hair, glasses and clothes; hidden, or taken from another avatar."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import triangle_frames
from avatar.head.hair_regions import smoothstep
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.model.prior import from_log, to_log
from avatar.model.resting import resting_vertices
from avatar.model.segmentation import ENOUGH, Floats, Regions, places_of
from avatar.types import Binding, LocalGaussians

LAYERS = ("skin", "brows", "hair", "glasses", "clothes")
#: Centimeters over the skin, and difference of colors from the skin around, at which a Gaussian before the eyes or
#: beside the temples may be glasses; square millimeters of them that glasses have at least.
_GLASSES_HEIGHT = (0.25, 0.45)
_GLASSES_DIFFERENCE = (0.25, 0.5)
_GLASSES_AREA = 150.0
#: Centimeters beside the middle of the face, and square millimeters that glasses have there: on faces without glasses
#: specks of the lids and the nose stand off the mesh, 30 to 90.
_BRIDGE = 2.0
_BRIDGE_AREA = 150.0
#: Weight from which on a Gaussian is hair; centimeters from the mesh from which on one beside the head is.
_HAIR = 0.25
_LOOSE = 0.8
#: Meters from lent hair within which the scalp below takes its color.
_SHADE_REACH = 0.008
#: Least square millimeters of hair that can be moved.
_HAIR_AREA = 500.0
#: Skin under a hidden layer: meters below the mesh, opacity, size relative to the faces, neighbors of its color.
_FILL_DEPTH = 0.0005
_FILL_OPACITY = 0.97
_FILL_SIZE = 0.55
_FILL_NEIGHBORS = 60
_MAX_LIGHT = 0.7  # largest logarithm of the gain between the light of two avatars


def layers_of(avatar: Avatar) -> NDArray[np.int64]:
    """The layer [N] of each Gaussian, an index of LAYERS."""
    regions = Regions(places_of(avatar))
    count = len(avatar)
    places = regions.places
    hair = regions.hair()[:count]
    brows = regions.brows()[:count]
    # What floats beside the head and is neither skin nor clothes is a strand that no neighbor confirms.
    loose = (places.height[:count] > _LOOSE) & (places.torso[:count] < 0.5) & (regions.skin()[:count] < 0.5)
    loose &= np.abs(places.points[:count, 0]) > 0.75 * np.abs(places.landmarks[[234, 454], 0]).mean()
    layer = np.zeros(count, np.int64)
    layer[brows > 0.5] = LAYERS.index("brows")
    chin = places.landmarks[152, 1]
    cloth = (places.torso[:count] > 0.5) & (places.points[:count, 1] < chin - 2.0)
    layer[cloth & (regions.skin()[:count] < 0.5)] = LAYERS.index("clothes")
    layer[(hair > _HAIR) | (loose & (places.points[:count, 1] > chin))] = LAYERS.index("hair")
    glasses = _glasses(regions)[:count]
    middle = glasses & (np.abs(places.points[:count, 0]) < _BRIDGE)
    if places.area[:count][glasses].sum() > _GLASSES_AREA and places.area[:count][middle].sum() > _BRIDGE_AREA:
        layer[glasses] = LAYERS.index("glasses")
    return layer


def _glasses(regions: Regions) -> NDArray[np.bool_]:
    """Mask [P] of what stands off the skin around the eyes or beside the temples and does not look like skin."""
    place = regions.places
    marks = regions.places.landmarks
    x, y, z = place.points.T
    level = marks[[33, 263, 133, 362], 1].mean()
    near = (np.abs(y - level) < 3.2) & (z > marks[[234, 454], 2].mean()) & (place.torso < 0.5)
    off = smoothstep(*_GLASSES_HEIGHT, place.height)
    before = place.points[:, 2] >= place.surface[:, 2] - 0.1
    beside = np.abs(x) > np.abs(marks[[33, 263], 0]).mean()
    unlike = smoothstep(*_GLASSES_DIFFERENCE, regions.unlike_near(_GLASSES_HEIGHT[0]))
    weight = off * unlike * near * (before | beside) * (place.region["inside"] < 0.5)
    return (weight > 0.5) & (regions.hair() < 0.5)


def parse_layers(text: str) -> tuple[str, ...]:
    """Names of layers, separated by commas.

    Raises:
        HeadsplatError: an unknown layer.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in LAYERS:
            raise HeadsplatError(f"--hide: no layer {name[:40]!r}; give some of {', '.join(LAYERS)}, with commas")
    if not names:
        raise HeadsplatError(f"--hide: no layer is named; give some of {', '.join(LAYERS)}, with commas")
    return names


@torch.no_grad()
def without_layers(avatar: Avatar, names: Iterable[str], layers: NDArray[np.int64] | None = None) -> Avatar:
    """A copy of `avatar` without layers; where hair, brows or glasses were, skin in the color of that around is added.

    Args:
        avatar: to change.
        names: of LAYERS.
        layers: `layers_of(avatar)`, if it is known.

    Raises:
        HeadsplatError: the avatar has nothing in such a layer, or nothing else.
    """
    layers = layers_of(avatar) if layers is None else layers
    hidden = np.zeros(len(avatar), bool)
    for name in names:
        rows = layers == LAYERS.index(name)
        if not rows.any():
            raise HeadsplatError(f"hide: the avatar has no {name}; leave {name} out")
        hidden |= rows
    if hidden.all():
        raise HeadsplatError("hide: nothing of the avatar would be left; hide fewer layers")
    return with_gaussians(avatar, GaussianSet.joined(_kept_and_filled(avatar, hidden, layers, "skin" not in names)))


def _kept_and_filled(
    avatar: Avatar, hidden: NDArray[np.bool_], layers: NDArray[np.int64], fill: bool
) -> list[GaussianSet]:
    """The Gaussians that are not `hidden` [N], and on request skin in the place of those."""
    own = GaussianSet.of(avatar)
    keep = torch.from_numpy(~hidden)
    covered = hidden & (layers != LAYERS.index("clothes")) & (layers != LAYERS.index("skin"))
    sets = [own.rows(keep)]
    if covered.any() and fill:
        sets.append(_skin_under(avatar, covered))
    return sets


def _skin_under(avatar: Avatar, covered: NDArray[np.bool_]) -> GaussianSet:
    """Opaque skin on the faces of the mesh below the Gaussians of a mask [N], one on each face."""
    head = avatar.head
    regions = Regions(places_of(avatar))
    rest, means = resting_vertices(avatar, head)
    near = _faces_below(avatar, rest, means[torch.from_numpy(covered)])
    triangles = head.faces[near]
    corners = rest[triangles]
    points = corners.mean(1)
    frames = triangle_frames(corners)
    bare = np.flatnonzero(regions.bare_skin()[: len(avatar)] & (regions.places.area[: len(avatar)] > 0.01) & ~covered)
    if len(bare) < ENOUGH:
        raise HeadsplatError("hide: the avatar has no bare skin to put in the place of the layer; hide other layers")
    span = min(_FILL_NEIGHBORS, len(bare))
    around = cKDTree(regions.places.surface[bare]).query(points.double().numpy() * 100, k=span)[1]
    colors = torch.from_numpy(from_log(np.median(regions.places.colors[bare][around], 1))).float()
    plane = (corners - points[:, None]) @ frames[..., :2]
    values, axes = torch.linalg.eigh(plane.mT @ plane / 3)
    half = torch.atan2(axes[:, 1, 0], axes[:, 0, 0]) / 2
    quats = torch.stack([half.cos(), 0 * half, 0 * half, half.sin()], 1)
    scales = torch.cat([values.clamp_min(1e-8).sqrt() * 2 * _FILL_SIZE, torch.full_like(half, 2e-4)[:, None]], 1)
    count = len(near)
    basis = avatar.blendshapes.basis
    offsets = torch.zeros(count, 3)
    offsets[:, 2] = -_FILL_DEPTH
    logit = math.log(_FILL_OPACITY / (1 - _FILL_OPACITY))
    binding = Binding(triangles, torch.full((count, 3), 1 / 3), torch.zeros(count))
    local = LocalGaussians(offsets, quats, scales.log(), torch.full((count,), logit), colors)
    return GaussianSet(binding, local, basis.new_zeros(len(basis), 0, basis.shape[2]))


def _faces_below(avatar: Avatar, rest: Tensor, points: Tensor) -> Tensor:
    """Faces [F] of the outer skin of the head that lie below points [P,3] near the mesh."""
    head = avatar.head
    outside = ~head.mask(*INSIDE, "eyelids", "lid_interior", "torso", "neck", "boundary")
    faces = outside[head.faces].all(1).nonzero()[:, 0]
    centers = rest[head.faces[faces]].mean(1)
    distance, _ = cKDTree(points.numpy()).query(centers.numpy())
    return faces[torch.from_numpy(distance < 0.012)]


@torch.no_grad()
def with_layer_from(avatar: Avatar, other: Avatar, name: str) -> Avatar:
    """A copy of `avatar` with hair or glasses of `other` in the place of its own, in its own light.

    Args:
        avatar: that gets the layer.
        other: that lends it; a head of the same topology.
        name: "hair" or "glasses".

    Raises:
        HeadsplatError: the heads differ, or `other` has no such layer.
    """
    check_movable(avatar, other, name)
    theirs = Regions(places_of(other))
    lent = layers_of(other)
    take = lent == LAYERS.index(name)
    least = _HAIR_AREA if name == "hair" else _GLASSES_AREA
    if theirs.places.area[: len(other)][take].sum() < least:
        raise HeadsplatError(f"--{name}-from: the other avatar has no {name}; give an avatar with {name}")
    layers = layers_of(avatar)
    mine = Regions(places_of(avatar))
    lent_set = _still(other, GaussianSet.of(other), len(avatar.blendshapes.basis)).rows(torch.from_numpy(take))
    colors = _in_light(lent_set.local.colors, _light_gain(theirs, mine))
    lent_set = replace(lent_set, local=replace(lent_set.local, colors=colors))
    hidden = layers == LAYERS.index(name)
    sets = _kept_and_filled(avatar, hidden, layers, True) if hidden.any() else [GaussianSet.of(avatar)]
    if len(sets) > 1 and name == "hair":
        sets[1] = _shaded(avatar, sets[1], lent_set)
    return with_gaussians(avatar, GaussianSet.joined([*sets, lent_set]))


def _shaded(avatar: Avatar, scalp: GaussianSet, hair: GaussianSet) -> GaussianSet:
    """The scalp in the color of hair over it, which would let it through at a parting."""
    rest = resting_vertices(avatar, avatar.head)[0]

    def places(gaussians: GaussianSet) -> NDArray[np.floating]:
        binding = gaussians.binding
        points: NDArray[np.floating] = (rest[binding.triangles] * binding.bary[..., None]).sum(1).numpy()
        return points

    solid = hair.rows((hair.local.logit_opacities > 0) & (hair.local.offsets.norm(dim=1) < 0.02))
    if not len(solid):
        return scalp
    distance, near = cKDTree(places(solid)).query(places(scalp), k=min(8, len(solid)))
    distance = distance.reshape(len(scalp), -1)
    near = near.reshape(len(scalp), -1)
    share = torch.from_numpy(smoothstep(_SHADE_REACH, 0.5 * _SHADE_REACH, distance.mean(1)))[:, None]
    own = scalp.local.colors
    over = solid.local.colors[torch.from_numpy(near)].mean(1)
    return replace(scalp, local=replace(scalp.local, colors=own + share * (over - own)))


def check_movable(avatar: Avatar, other: Avatar, name: str) -> None:
    """Raise HeadsplatError unless a layer of `other` fits the mesh of `avatar`."""
    same = avatar.head.faces.shape == other.head.faces.shape and torch.equal(avatar.head.faces, other.head.faces)
    if not same or len(avatar.head.v_template) != len(other.head.v_template):
        raise HeadsplatError(
            f"--{name}-from: the heads have other meshes ({avatar.head.name} and {other.head.name}); give avatars of "
            "one head model"
        )


def _still(avatar: Avatar, gaussians: GaussianSet, bases: int) -> GaussianSet:
    """The Gaussians at rest, without blendshape offsets: the bases of another avatar mean other expressions."""
    params = avatar.head.neutral_params(1)
    params.expression[:] = avatar.neutral
    shape = avatar.blendshapes
    extra = (shape(avatar.weights(expression_features(params)))[0] * shape.units).detach()
    added = torch.nn.functional.pad(extra, (0, 0, 0, len(gaussians) - len(extra)))
    local = gaussians.local
    still = LocalGaussians(
        local.offsets + added[:, :3],
        local.quats + added[:, 3:7],
        local.log_scales,
        local.logit_opacities + added[:, 10],
        local.colors + added[:, 7:10],
    )
    # Rows of a part are lent unless they have another axis of the lender's own, such as its recordings.
    parts = {
        key: rows.still()
        for key, rows in gaussians.parts.items()
        if all(layout.axes.split()[0] in ("N", "M") for layout in rows.layout.values())
    }
    return GaussianSet(gaussians.binding, still, extra.new_zeros(bases, 0, extra.shape[1]), parts)


def _light_gain(theirs: Regions, mine: Regions) -> Floats:
    """Logarithm [3] of the gain from the light of one avatar to that of the other, from the mean color of the skin."""
    if theirs.skin_model is None or mine.skin_model is None:
        return np.zeros(3)
    difference: Floats = mine.skin_model.mean - theirs.skin_model.mean
    # Skin differs between people; only half of the brightness and of the hue is taken to be light.
    return np.clip(0.5 * difference, -_MAX_LIGHT, _MAX_LIGHT)


def _in_light(colors: Tensor, gain: Floats) -> Tensor:
    """Display colors [N,3] in a light that is stronger by the logarithm `gain` [3]."""
    return torch.from_numpy(from_log(to_log(colors.double().numpy()) + gain)).float()

"""Which Gaussians and texels of an avatar are hair, skin, beard, brows and irises, as soft weights.

A place is a Gaussian, or a texel of a mesh layer with skin. Where it is on the resting head says what it can be; its
color, against the colors of the places that certainly are hair, skin and clothes, says what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.head.hair_regions import BROWS, beard_cover, brow_distance, hair_cover, smoothstep
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.model.parts.mesh_layer import EYES, MOUTH, NODE_WEIGHTS, MeshLayer
from avatar.model.prior import to_log
from avatar.model.resting import resting_vertices

Floats = NDArray[np.float64]

#: Distances from the mesh at which a Gaussian is on the skin, and at which it cannot be, centimeters: training moves
#: those of the face by up to 2 cm, mostly along the view.
_ON_SKIN = 1.6, 2.8
#: Distance from the mesh above which hair of the head is placed by where it is, not by where it is bound.
_RAISED = 0.4
#: A weight below the first is 0, one above the second is 1.
_EDGE = 0.12, 0.80
#: Neighbors over which weights are compared, and the distance over which they count less, centimeters.
_NEIGHBORS = 20
_REACH = 0.8
#: Standard deviations that each color model has at least: of the brightness and of the hue, logarithms of linear light.
_BRIGHTNESS = 0.35
_HUE = 0.10
#: Degrees of freedom of the Student distribution of colors: highlights are far from the mean.
_FREEDOM = 3.0
#: Difference of colors from the skin around at which a place starts to be brow, and that brows have at least; the part
#: of the places where brows grow that are not all hair; and differences of what keeps its color when the skin changes.
_BROW = (0.12, 0.40)
_PURE = 0.85
_BROW_OF_SKIN = (0.4, 1.1)
#: Part of the way from the mean color of the skin to that of hair at which a place starts to be hair, and is.
_HAIR_PART = 0.2, 0.6
#: Difference of hair from skin from which on the way from one to the other counts fully, and up to which it does not:
#: gray hair has strands as bright as skin.
_ALIKE = 1.4, 0.6
#: Hair starts at most so far above its usual line, centimeters.
_HAIRLINE = 1.5
#: Below the ears, hair is followed down in slices of this height, centimeters, as long as there is so much of it, in
#: the unit of `Places.area`: too little, and enough.
_SLICE = 1.5
_SLICES = 14
_STRAND = (40.0, 150.0)
#: Mean difference of clothes from hair below which they are taken to be hair.
_SAME = 0.6
ENOUGH = 20  # places that a color model needs


@dataclass(frozen=True)
class Places:
    """P places on the resting head; lengths are centimeters in the skull frame."""

    points: Floats  # [P,3] centers
    bound: Floats  # [P,3] where they are bound to the mesh
    surface: Floats  # [P,3] the nearest points of the mesh, about
    colors: Floats  # [P,3] logarithms of linear light at rest, see `to_log`
    area: Floats  # [P] square millimeters times opacity
    torso: Floats  # [P] 0..1
    region: dict[str, Floats]  # [P] 0..1, of the head's regions
    landmarks: Floats  # [L,3]

    @property
    def height(self) -> Floats:
        """Distances [P] from the mesh."""
        distance: Floats = np.linalg.norm(self.points - self.surface, axis=1)
        return distance


_REGIONS: dict[str, tuple[Region, ...]] = {
    "ears": ("left_ear", "right_ear"),
    "neck": ("neck", "torso", "boundary"),
    "scalp": ("scalp", "hair_cap"),
    "lips": ("lips", "lips_inner"),
    "lids": ("eyelids", "lid_interior"),
    "inside": (*MOUTH, *EYES),
    "skin": ("skin", "lid_interior", "lips_inner"),
}


@torch.no_grad()
def rest_offsets(avatar: Avatar) -> Tensor:
    """What the resting expression adds to the color [N,3] of each Gaussian, display sRGB."""
    params = avatar.head.neutral_params(1)
    params.expression[:] = avatar.neutral
    shape = avatar.blendshapes
    added = torch.zeros_like(avatar.colors)
    extra = shape(avatar.weights(expression_features(params)))[0, :, 7:10]
    added[: shape.count] = extra * shape.units[7:10]
    return added


@torch.no_grad()
def places_of(avatar: Avatar) -> Places:
    """The Gaussians of the avatar, then the texels of its layer, if that has skin."""
    head = avatar.head
    rig = avatar.rig
    vertices, means = resting_vertices(avatar, head)
    masks = {name: head.mask(*names).float() for name, names in _REGIONS.items()}

    def bound(values: Tensor) -> Tensor:
        return (values[rig.triangles] * rig.bary[..., None]).sum(1)

    widest = avatar.log_scales.sort(1).values[:, 1:].sum(1).exp() * 1e6
    parts = [
        (
            means,
            bound(vertices),
            avatar.colors + rest_offsets(avatar),
            widest * avatar.logit_opacities.sigmoid(),
            rig.skin,
        )
    ]
    regions = [torch.stack([bound(mask[:, None])[:, 0] for mask in masks.values()])]
    layer = avatar.part(MeshLayer)
    if layer is not None and layer.skin:
        place = texel_values(avatar, vertices)
        size = torch.full((len(place),), 1.0)
        parts.append((place, place, layer.texels(), size, torch.zeros_like(size)))
        regions.append(torch.stack([texel_values(avatar, mask[:, None])[:, 0] for mask in masks.values()]))
    points, binding, colors, area, torso = (torch.cat(values).double().numpy() for values in zip(*parts, strict=True))
    mesh = torch.cat([vertices, vertices[head.faces].mean(1)]).double().numpy()
    return Places(
        points=points * 100,
        bound=binding * 100,
        surface=mesh[cKDTree(mesh).query(points)[1]] * 100,
        colors=to_log(colors),
        area=area,
        torso=torso,
        region=dict(zip(masks, torch.cat(regions, 1).double().numpy(), strict=True)),
        landmarks=head.landmarks(vertices[None])[0].double().numpy() * 100,
    )


def texel_values(avatar: Avatar, values: Tensor) -> Tensor:
    """Vertex values [V,C] at the texels [T,C] of the avatar's layer."""
    layer = avatar.part(MeshLayer)
    assert layer is not None
    mesh = layer.mesh
    nodes = torch.einsum("kc,fcd->fkd", NODE_WEIGHTS.to(values), values[mesh.faces])
    texels = values.new_zeros(len(layer.start), values.shape[1])
    texels[mesh.texel_ids.flatten()] = nodes.flatten(0, 1)
    return texels


@dataclass(frozen=True, eq=False)
class ColorModel:
    """A distribution of colors: Student's t around a mean."""

    mean: Floats  # [3]
    precision: Floats  # [3,3]
    volume: float  # logarithm of the square root of the determinant of the precision

    @classmethod
    def of(cls, colors: Floats, weight: Floats) -> ColorModel:
        """From colors [n,3] and their weights [n]; outliers count less."""
        mean = np.median(colors, 0)
        trust = np.ones(len(colors))
        for _ in range(4):
            shares = weight * trust / (weight * trust).sum()
            mean = shares @ colors
            away = colors - mean
            gray = np.full((3, 3), 1 / 3)
            least = _BRIGHTNESS**2 * gray + _HUE**2 * (np.eye(3) - gray)
            precision = np.linalg.inv((shares[:, None] * away).T @ away + least)
            trust = (_FREEDOM + 3) / (_FREEDOM + np.einsum("ni,ij,nj->n", away, precision, away))
        return cls(mean, precision, 0.5 * float(np.linalg.slogdet(precision)[1]))

    def log_density(self, colors: Floats) -> Floats:
        """Logarithm [n] of the density at colors [n,3], but for a constant."""
        away = colors - self.mean
        squared = np.einsum("ni,ij,nj->n", away, self.precision, away)
        density: Floats = self.volume - 0.5 * (_FREEDOM + 3) * np.log1p(squared / _FREEDOM)
        return density


class Regions:
    """The weights of one avatar; each is computed from the same models of its colors."""

    def __init__(self, places: Places) -> None:
        self.places = places
        distances, self._near = cKDTree(places.points).query(places.points, k=min(_NEIGHBORS, len(places.points)))
        self._weight = np.exp(-((distances / _REACH) ** 2)) * (places.area[self._near] + 1e-6)
        self._weight /= self._weight.sum(1, keepdims=True)
        outside = (places.region["inside"] < 0.5) & (places.region["skin"] > 0.5)
        self._on_skin = smoothstep(*_ON_SKIN[::-1], places.height) * outside
        self._cover = self._scalp_cover()
        self._beard = self._beard_place()
        self._brow = self._brow_place()
        self.skin_model = self._model(self.bare_skin())
        self.hair_model = self._model((self._cover > 0.9) & (places.torso < 0.5))
        cloth = (places.torso > 0.8) & (places.points[:, 1] < places.landmarks[152, 1] - 6.0)
        shirt = self._model(cloth & (np.abs(places.points[:, 0]) < 20))
        hair = self.hair_model
        # Long hair hangs down over the clothes: what has its color does not count against it.
        alike = shirt is not None and hair is not None and np.abs(shirt.mean - hair.mean).mean() < _SAME
        self.cloth_model = None if alike else shirt

    def hair(self) -> Floats:
        """Weights [P] of hair on the head and of what hangs down from it."""
        place = self.places
        x, y, z = place.points.T
        marks = place.landmarks
        chin = marks[152]
        top = marks[10]
        off = smoothstep(0.25, 0.7, place.height)  # stands off the mesh
        beside = smoothstep(0.75, 0.95, np.abs(x) / np.abs(marks[[234, 454], 0]).mean())
        ears = marks[[234, 454], 2].mean()
        behind = smoothstep(ears + 0.5, ears - 1.5, z)
        above = smoothstep(top[1] - 2.0, top[1] - 0.5, y)
        loose = np.maximum.reduce([beside, behind, above]) * smoothstep(chin[1] - 16, chin[1] - 6, y)
        loose *= smoothstep(18.0, 13.0, np.abs(x))
        chance = np.where(place.torso < 0.5, 0.5, 0.3) * loose * np.maximum(off, place.torso > 0.5)
        chance = np.maximum(chance, 0.4 * place.region["ears"] * (place.torso < 0.5))
        chance = np.maximum(chance, 0.97 * self._cover * (place.torso < 0.5))
        chance[place.region["inside"] > 0.5] = 0
        weight = self._smooth(self._posterior(self.hair_model, chance), self._cover > 0.5, chance)
        return self._hanging(weight * self._unlike_skin())

    def _hanging(self, weight: Floats) -> Floats:
        """The weights [P] of hair, less where nothing connects it to the head: clothes may have the color of hair."""
        place = self.places
        ear = self.places.landmarks[[234, 454], 1].mean()
        loose = self._cover < 0.5
        level = np.clip((ear - place.points[:, 1]) / _SLICE, 0, _SLICES).astype(int)
        below = loose & (place.points[:, 1] < ear)
        areas = np.bincount(level[below], (place.area * weight)[below], _SLICES + 1).astype(float)
        reached = np.concatenate([[1.0], np.minimum.accumulate(smoothstep(*_STRAND, areas).astype(float))])
        # Up to the next slice below the last one with hair, where its tips are.
        return weight * np.where(below, reached[level], 1)

    def _unlike_skin(self) -> Floats:
        """Factor [P]: at the hairline and below, 0 for the color of skin, 1 for that of hair or hair around; else 1."""
        along = self._toward_hair()
        around = (self._weight * along[self._near]).sum(1)
        below = self.places.surface - np.array([0.0, _HAIRLINE, 0.0])
        deep = hair_cover(below, self.places.landmarks) * (1 - self.places.region["ears"]) * self._cover
        alike = smoothstep(*_ALIKE, np.array(self.hair_difference()))
        return np.maximum.reduce(
            [smoothstep(*_HAIR_PART, np.maximum(along, 1.6 * around - 0.6)), deep, 0 * deep + alike]
        )

    def hair_difference(self) -> float:
        """Difference of the mean colors of hair and skin, root mean square; 0 without either."""
        if self.hair_model is None or self.skin_model is None:
            return 0.0
        return float(np.sqrt(((self.hair_model.mean - self.skin_model.mean) ** 2).mean()))

    def _toward_hair(self) -> Floats:
        """How far each color [P] is on the way from the mean color of skin, 0, to that of hair, 1."""
        if self.hair_model is None or self.skin_model is None:
            return np.ones(len(self.places.points))
        way = self.hair_model.mean - self.skin_model.mean
        along: Floats = (self.places.colors - self.skin_model.mean) @ way
        return np.clip(along / (float(way @ way) + 1e-6), 0, 1)

    def skin(self) -> Floats:
        """Weights [P] of skin: face, ears, neck, lips and lids; without hair, brows, lashes, beard and clothes."""
        place = self.places
        chance = 0.95 * self._on_skin
        neck = (place.region["neck"] > 0.5) | (place.torso > 0.3)
        x, y, _ = place.points.T
        chin = place.landmarks[152, 1]
        throat = smoothstep(chin - 9, chin - 5, y) * smoothstep(11.0, 8.0, np.abs(x))
        chance = np.where(neck, (0.2 + 0.4 * throat) * (place.region["inside"] < 0.5), chance)
        chance = chance * (1 - 0.98 * self._cover)
        weight = self._posterior(self.skin_model, chance)
        face = (self._on_skin > 0.5) & ~neck & (self._cover < 0.05)
        return self._smooth(weight, face & (self._brow < 0.05) & (self._beard < 0.3), chance) * (
            1 - 0.8 * self._brow * smoothstep(*_BROW_OF_SKIN, self.unlike_near())
        )

    def beard(self) -> Floats:
        """Density [P] 0..1 of a full beard where one grows, whether there is one or not."""
        return self._beard

    def brows(self) -> Floats:
        """Weights [P] of brows: how much of each place is hair, the rest is the skin between; 0 without brows."""
        unlike = self.unlike_near()
        place = self._brow > 0.5
        pure = float(np.quantile(unlike[place], _PURE)) if place.any() else 0.0
        if pure < _BROW[1]:
            return np.zeros(len(unlike))
        return self._brow * np.clip((unlike - _BROW[0]) / (pure - _BROW[0]), 0, 1)

    def unlike_near(self, highest: float = math.inf) -> Floats:
        """Difference [P] of the color from the bare skin around, root mean square.

        Args:
            highest: centimeters from the mesh up to which a place is taken for skin.
        """
        difference: Floats = np.sqrt(((self.places.colors - self._skin_near(highest)) ** 2).mean(1))
        return difference

    def bare(self, hair: Floats, skin: Floats) -> Floats:
        """Weights [P,3] of each channel of what a beard would cover: skin, less so where it has the color of a beard.

        Args:
            hair: [3] color of the beard, logarithm of linear light.
            skin: [3] mean color of the skin.
        """
        way = hair - skin
        there = ((self.places.colors - skin) * np.sign(way) / np.maximum(np.abs(way), 0.05)).clip(0, 1)
        around = (self._weight[..., None] * there[self._near]).sum(1)
        return self.skin()[:, None] * (1 - around)

    def nearest_vertices(
        self, avatar: Avatar, rows: NDArray[np.int64], vertices: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Index into `vertices` [K] of the one nearest to each of the places `rows` [n]."""
        resting = resting_vertices(avatar, avatar.head)[0].double().numpy()[vertices] * 100
        return cKDTree(resting).query(self.places.surface[rows])[1]

    def core(self, weight: Floats) -> NDArray[np.bool_]:
        """Mask [P] of the visible places with a weight of more than one half."""
        return (weight > 0.5) & (self.places.area > 0.01)

    def _skin_near(self, highest: float) -> Floats:
        """Color [P,3] of the bare skin around each place, up to `highest` centimeters from the mesh."""
        rows = np.flatnonzero(self.bare_skin() & (self.places.height <= highest))
        if len(rows) < ENOUGH:
            return np.broadcast_to(np.median(self.places.colors, 0), self.places.colors.shape)
        # Several places lie at each vertex or middle of a face.
        surface, which = np.unique(self.places.surface, axis=0, return_inverse=True)
        _, near = cKDTree(self.places.surface[rows]).query(surface, k=ENOUGH)
        around: Floats = np.median(self.places.colors[rows[near]], 1)
        return around[which.reshape(-1)]

    def bare_skin(self) -> NDArray[np.bool_]:
        place = self.places
        feature = np.maximum.reduce([place.region[name] for name in ("lips", "lids", "ears", "neck", "scalp")])
        bare = (
            (self._on_skin > 0.9) & (self._cover < 0.01) & (self._brow < 0.01) & (self._beard < 0.02) & (feature < 0.01)
        )
        return bare & (place.torso < 0.5) & (place.points[:, 2] > place.landmarks[[234, 454], 2].mean() + 3)

    def _scalp_cover(self) -> Floats:
        place = self.places
        bound = hair_cover(place.bound, place.landmarks).astype(float)
        raised = np.where(place.height > _RAISED, hair_cover(place.points, place.landmarks), 0)
        return np.maximum(bound, raised) * (1 - place.region["ears"])

    def _beard_place(self) -> Floats:
        place = self.places
        cover = beard_cover(place.surface, place.landmarks) * (1 - place.region["lips"]) * (1 - place.region["ears"])
        chin = place.landmarks[152, 1]
        cover = cover * smoothstep(chin - 3.5, chin - 0.5, place.points[:, 1])
        near = self._on_skin * (place.region["scalp"] < 0.5)
        return cover * near * smoothstep(0.5, 0.2, place.torso)

    def _brow_place(self) -> Floats:
        place = self.places
        near = [brow_distance(place.surface, place.landmarks, brow) for brow in BROWS]
        return smoothstep(0.85, 0.5, np.minimum(*near)) * self._on_skin

    def _model(self, rows: NDArray[np.bool_]) -> ColorModel | None:
        rows = rows & (self.places.area > 0.01)
        if rows.sum() < ENOUGH:
            return None
        return ColorModel.of(self.places.colors[rows], self.places.area[rows])

    def _posterior(self, model: ColorModel | None, chance: Floats) -> Floats:
        """Probability [P] of `model` against the other ones, for prior probabilities `chance` [P]."""
        if model is None:
            return chance
        models = (self.skin_model, self.hair_model, self.cloth_model)
        colors = self.places.colors
        others = [each.log_density(colors) for each in models if each is not None and each is not model]
        against = np.max(others, 0) if others else np.zeros(len(colors))
        ratio = np.exp(np.clip(against - model.log_density(colors), -30, 30))
        return chance / (chance + (1 - chance) * ratio)

    def _smooth(self, weight: Floats, sure: NDArray[np.bool_], chance: Floats) -> Floats:
        """Weights without spots: fewer where no neighbor agrees, more inside the mask `sure` [P]; 0 at chance 0."""
        around = (self._weight * weight[self._near]).sum(1)
        mixed = np.where(sure, np.maximum(weight, around), weight * smoothstep(0.1, 0.5, around))
        return smoothstep(*_EDGE, mixed).astype(float) * (chance > 1e-3)

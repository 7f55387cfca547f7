"""An avatar between two people: one head, the Gaussians of both, and a texture between theirs.

Gaussians of two avatars do not correspond to each other, triangles of their heads do. So both sets are bound to the
interpolated head, move by their own blendshapes, take each other's color at the same place of the head, and share the
opacity so that the transmittance of the whole is the geometric mean of both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.nn.functional import softplus

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, BlendSource
from avatar.model.blendshapes import CLAMP, Blendshapes
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.model.resting import resting_means
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.stretch import Stretch
from avatar.model.torso import TorsoMap
from avatar.model.true_size import mixed_size
from avatar.types import LocalGaussians, map_tensors

#: Gaussians that no expression makes more opaque than this are left out.
MIN_OPACITY = 0.004
#: Blendshape weights have a variance of about 1; more than this many times the basis is not added.
_LARGE_WEIGHT = 2.0
#: The channel of a basis that is added to the logit of the opacity.
_OPACITY = 10
_SIZE_LIMITS = 0.7, 1.4  # of a Gaussian on a larger or smaller triangle, relative

#: Nearest Gaussians of the other avatar that a color of a blend is taken from.
_NEIGHBORS = 6
#: Meters over which their weight falls, beyond the nearest one; and over which the whole color's weight falls.
_SPREAD = 0.0015
_REACH = 0.012
#: Gaussians less opaque than this lend no color.
_VISIBLE = 0.1

_TORSO_POINTS = ("mean_translation", "pivot")

Parts = Sequence[tuple[Avatar, float]]  # avatars with their shares, which are above 0 and sum to 1


def blend_avatars(a: Avatar, b: Avatar, at: float) -> Avatar:
    """The avatar between `a` and `b`: `a` for `at` 0, `b` for 1, without the parts that `left_out` names.

    Args:
        a: an avatar on the host.
        b: another one.
        at: 0..1.

    Raises:
        HeadsplatError: the avatars do not fit together.
    """
    _check(a, b)
    parts = [(avatar, share) for avatar, share in ((a, 1 - at), (b, at)) if share > 0]
    with torch.no_grad():
        parts = [(_without(avatar, _kept(avatar, share)), share) for avatar, share in parts]
        head = _head(parts)
        split = [avatar.blendshapes.count for avatar, _ in parts]

        def joined(values: Sequence[Tensor]) -> Tensor:
            """Per-Gaussian values of all parts: first those of Gaussians with blendshapes, then the others."""
            first = [value[:count] for value, count in zip(values, split, strict=True)]
            return torch.cat(first + [value[count:] for value, count in zip(values, split, strict=True)])

        rig = _rig(parts, head, joined)
        local = LocalGaussians(
            joined([avatar.offsets for avatar, _ in parts]),
            joined([avatar.quats for avatar, _ in parts]),
            joined([avatar.log_scales + _growth(avatar, head) for avatar, _ in parts]),
            joined([shared_logits(avatar.logit_opacities, share) for avatar, share in parts]),
            joined(_shared_colors(parts, head)),
        )
        neutral = _mean(parts, lambda avatar: avatar.neutral)
        blendshapes = _blendshapes(parts, local, neutral)
        mixed = Avatar(head, rig, blendshapes, local, neutral)
        mixed.sampling = Sampling.of(_mean(parts, lambda avatar: avatar.sampling.tensor()))
        mixed.true_size = mixed_size([(avatar.true_size, share) for avatar, share in parts])
        sources = [_source(avatar, share, mixed) for avatar, share in parts]
        for kind in dict.fromkeys(type(part) for avatar, _ in parts for part in avatar.parts.values()):
            if (part := kind.blend(sources, mixed)) is not None:
                mixed.add_part(part)
    return mixed.requires_grad_(False)


def left_out(a: Avatar, b: Avatar, at: float) -> list[str]:
    """What the blend of two avatars lacks of their optional parts, and why; a sentence for each reason."""
    blended = [avatar for avatar, share in ((a, 1 - at), (b, at)) if share > 0]
    titles: dict[str, dict[str, None]] = {}
    for part in (part for avatar in blended for part in avatar.parts.values() if part.not_blended):
        titles.setdefault(part.not_blended, {})[part.title] = None
    return [f"without {' and '.join(names)}: {reason}" for reason, names in titles.items()]


def _source(avatar: Avatar, share: float, mixed: Avatar) -> BlendSource:
    line = None
    if avatar.blendshapes.mode == "reduced":
        line = _standard_line(avatar.blendshapes, mixed.blendshapes, mixed.neutral - avatar.neutral)
    return BlendSource(avatar, share, _logit_slope(avatar.logit_opacities, share), line)


def _kept(avatar: Avatar, share: float) -> Tensor:
    """Mask [N] of the Gaussians that some expression makes more opaque than MIN_OPACITY."""
    logits = avatar.logit_opacities.clone()
    shape = avatar.blendshapes
    logits[: shape.count] += _LARGE_WEIGHT * shape.basis[:, :, _OPACITY].abs().sum(0) * shape.units[_OPACITY]
    return shared_logits(logits, share).sigmoid() > MIN_OPACITY


def _without(avatar: Avatar, kept: Tensor) -> Avatar:
    """The avatar with the Gaussians of the mask `kept` [N] only."""
    if bool(kept.all()):
        return avatar
    count = avatar.blendshapes.count
    fewer = avatar.view(map_tensors(lambda values: nn.Parameter(values[kept], False), avatar.local))
    shapes = copy.deepcopy(avatar.blendshapes)
    shapes.basis = nn.Parameter(shapes.basis[:, kept[:count]], False)
    shapes.mask = shapes.mask[:, kept[:count]]
    fewer.blendshapes = shapes
    rig = avatar.rig
    fewer.rig = Rig(map_tensors(lambda values: values[kept], rig.binding), rig.torso)
    fewer.rig.stretch = rig.stretch
    parts = [part for part in avatar.parts.values() if not part.not_blended]
    return fewer.view(parts=[part.with_rows(part.rows(len(avatar)).select(kept), fewer) for part in parts])


def shared_logits(logits: Tensor, share: float) -> Tensor:
    """Logits of opacities 1 - (1 - o)^share, for the logits of opacities o.

    A region that is solid in both avatars stays solid: its transmittance is the geometric mean of both.
    """
    depth = share * softplus(logits)  # -log of the transmittance
    return torch.log(torch.expm1(depth).clamp_min(1e-30)) if share < 1 else logits


def _check(a: Avatar, b: Avatar) -> None:
    """Raise HeadsplatError unless both have the same kind of head, layer and blendshapes."""
    same = a.head.name == b.head.name and a.head.expression_names == b.head.expression_names
    same = same and a.head.v_template.shape == b.head.v_template.shape and torch.equal(a.head.faces, b.head.faces)
    if not same or not torch.equal(a.head.curve_columns, b.head.curve_columns):
        raise HeadsplatError(
            f"blend: the avatars have different head models, {a.head.name} and {b.head.name}; train both with one"
        )
    if _layer_kind(a) != _layer_kind(b):
        raise HeadsplatError(
            f"blend: one avatar has {_layer_kind(a)}, the other {_layer_kind(b)}; train both with one preset"
        )
    if a.blendshapes.mode != b.blendshapes.mode:
        raise HeadsplatError(
            f"blend: the avatars have blendshapes of different modes, {a.blendshapes.mode} and {b.blendshapes.mode}; "
            "train both with one preset"
        )


def _layer_kind(avatar: Avatar) -> str:
    layer = avatar.part(MeshLayer)
    if layer is None:
        return "no mesh layer"
    return "a mesh layer with skin" if layer.skin else "a mesh layer without skin"


def _mean(parts: Parts, value: Callable[[Avatar], Tensor]) -> Tensor:
    """The mean of a tensor of each avatar, weighted by the shares."""
    if len(parts) == 1:
        return value(parts[0][0]).clone()
    (a, _), (b, share) = parts
    return torch.lerp(value(a), value(b), share)


def _head(parts: Parts) -> HeadModel:
    """The interpolated head; its bases have half precision, as those of every baked head."""
    head = parts[0][0].head
    changed: dict[str, Any] = {}
    for field in fields(HeadModel):
        value = getattr(head, field.name)
        if isinstance(value, Tensor) and value.is_floating_point():
            changed[field.name] = _mean(parts, lambda avatar, name=field.name: getattr(avatar.head, name))  # type: ignore[misc]
    halves = {name: changed[name].half().float() for name in ("exprdirs", "curvedirs", "posedirs")}
    return replace(head, **(changed | halves))


def _growth(avatar: Avatar, head: HeadModel) -> Tensor:
    """Logarithm [N,1] of the growth of each Gaussian's triangle from the avatar's head to `head`, as a length."""

    def area(vertices: Tensor) -> Tensor:
        a, b, c = vertices[avatar.rig.triangles].unbind(1)
        return torch.linalg.cross(b - a, c - a).norm(dim=-1).clamp_min(1e-12)

    ratio = (area(head.v_template) / area(avatar.head.v_template)).sqrt()
    return ratio.clamp(*_SIZE_LIMITS).log()[:, None]


def _rig(parts: Parts, head: HeadModel, joined: Callable[[Sequence[Tensor]], Tensor]) -> Rig:
    turned = _mean_rotation([avatar.rig.torso.mean_rotation for avatar, _ in parts], parts[-1][1])
    moved, pivot = (_mean(parts, lambda avatar, name=name: getattr(avatar.rig.torso, name)) for name in _TORSO_POINTS)  # type: ignore[misc]
    torso = TorsoMap(turned, moved, pivot)
    torso.limit.copy_(_mean(parts, lambda avatar: avatar.rig.torso.limit))
    torso.weight.copy_(_mean(parts, lambda avatar: avatar.rig.torso.weight))
    binding = map_tensors(lambda *values: joined(values), *(avatar.rig.binding for avatar, _ in parts))
    rig = Rig(binding, torso)
    masks = [avatar.rig.stretch.mask for avatar, _ in parts if avatar.rig.stretch is not None]
    if masks:
        rig.stretch = Stretch(head, torch.stack(masks).any(0), rig.triangles)
    return rig


def _mean_rotation(rotations: Sequence[Tensor], share: float) -> Tensor:
    """The rotation [3,3] between the first and the last one, `share` of the way."""
    if len(rotations) == 1:
        return rotations[0].clone()
    first, last = rotations
    turn = matrix_to_axis_angle((last @ first.T)[None])[0]
    return axis_angle_to_matrix(share * turn[None])[0] @ first


def _blendshapes(parts: Parts, local: LocalGaussians, neutral: Tensor) -> Blendshapes:
    """Blendshapes that give each avatar's Gaussians the offsets of that avatar.

    Modes "expression" have the same weights. Those of "reduced" are put side by side. The weights depend on the
    distance of the features from their mean in training, over its spread; both become those in between. Where one
    avatar's own mean differs, the constant part of its offsets is added to `local`, in place.

    Args:
        parts: the avatars with their shares.
        local: the joined Gaussians; changed.
        neutral: [E] of the blend.
    """
    shapes = [avatar.blendshapes for avatar, _ in parts]
    mode = shapes[0].mode
    count = sum(shape.count for shape in shapes)
    limits = {
        name: _mean(parts, lambda avatar, name=name: getattr(avatar.blendshapes, name))  # type: ignore[misc]
        for name in ("mean", "spread", "low", "high")
    }
    sizes = [shape.basis.shape[0] for shape in shapes]
    total = sum(sizes) if mode == "reduced" else sizes[0]
    mixed = Blendshapes(mode, limits["mean"].expand(2, -1), total, count)
    for name, value in limits.items():
        getattr(mixed, name).copy_(value)
    row = 0
    bases = []
    masks = []
    constants = []
    for (avatar, share), size in zip(parts, sizes, strict=True):
        shape = avatar.blendshapes
        basis = shape.basis.clone()
        mask = shape.mask
        basis[:, :, _OPACITY] *= _logit_slope(avatar.logit_opacities[: shape.count], share)
        if mode == "reduced":
            start, slope = _standard_line(shape, mixed, neutral - avatar.neutral)
            block = slice(row, row + size)
            mixed.components[:, block] = shape.components * slope[:, None]
            mixed.mix[block, block] = shape.mix
            weights = shape.mix @ (start @ shape.components)
            constants.append((weights @ basis.flatten(1)).reshape(basis.shape[1:]) * shape.units)
            alone = basis
            basis = basis.new_zeros(total, *basis.shape[1:])
            basis[block] = alone
            mask = mask.new_ones(total, mask.shape[1])
            row += size
        bases.append(basis)
        masks.append(mask)
    mixed.basis.copy_(torch.cat(bases, 1))
    mixed.mask.copy_(torch.cat(masks, 1))
    if constants:
        offsets, quats, colors, logits = torch.cat(constants).split((3, 4, 3, 1), 1)
        local.offsets[:count] += offsets
        local.quats[:count] += quats
        local.colors[:count] += colors
        local.logit_opacities[:count] += logits[:, 0]
    return mixed


def _standard_line(shape: Blendshapes, mixed: Blendshapes, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Standardized features of `shape` as a line over those of the blend `mixed`: value at their mean and slope [F].

    The resting face of the blend is that of the avatar, too: its expression weights are higher there by `shift` [E].
    The slope is at most 1, so that no avatar is extrapolated beyond the range of its training.
    """
    own_mean = mixed.mean.clone()
    own_mean[: len(shift)] -= shift
    start = shape.standardized(own_mean)
    slope = (mixed.spread / shape.spread).clamp_max(1) * (1 - (start / CLAMP).square())
    return start, slope


def _logit_slope(logits: Tensor, share: float) -> Tensor:
    """Derivative [N] of `shared_logits` by its logits [N]."""
    depth = share * softplus(logits)
    return share * logits.sigmoid() / -torch.expm1(-depth).clamp_max(-1e-30)


def blended_extras(first: Mapping[str, Any], second: Mapping[str, Any], at: float) -> dict[str, Any]:
    """Further entries of the header of a blend, from the headers of both files.

    `people` has the share, training, capture and consent of every person in it, `consent` the sentences of all; camera
    and image size are those of the nearer avatar, without the fingerprint of its capture: it is no longer its person.
    """
    people = [*_people(first, 1 - at), *_people(second, at)]
    nearer = first if at <= 0.5 else second
    extras = {key: nearer[key] for key in ("settings", "track") if key in nearer}
    if "capture" in nearer:
        extras["capture"] = {key: value for key, value in nearer["capture"].items() if key != "fingerprint"}
    sentences = dict.fromkeys(person["consent"] for person in people if person["consent"])
    return extras | {"people": people, "consent": " ".join(sentences)}


def _people(header: Mapping[str, Any], share: float) -> list[dict[str, Any]]:
    """The people of an avatar's file, those of a blend one by one; without the ones that have no share."""
    if "people" in header:
        inner = [person | {"share": person["share"] * share} for person in header["people"]]
    else:
        kept = {key: header[key] for key in ("training", "capture") if key in header}
        inner = [{"share": share, "consent": header.get("consent", "")} | kept]
    return [person for person in inner if person["share"] > 0]


def _shared_colors(parts: Sequence[tuple[Avatar, float]], head: HeadModel) -> list[Tensor]:
    """Colors [N,3] of the Gaussians of each avatar, mixed with those of the other one by their shares.

    Both are placed on the resting `head`, so that an eyebrow takes the color of the other eyebrow. What is far from
    anything of the other avatar, as long hair beside a bare neck, keeps its color.
    """
    if len(parts) == 1:
        return [parts[0][0].colors]
    means = [resting_means(avatar, head) for avatar, _ in parts]
    mixed = []
    for own, other in ((0, 1), (1, 0)):
        avatar = parts[own][0]
        (lender, share) = parts[other]
        color, trust = _colors_at(means[own], lender, means[other])
        mixed.append(torch.lerp(avatar.colors, color, share * trust[:, None]))
    return mixed


def _colors_at(points: Tensor, lender: Avatar, means: Tensor) -> tuple[Tensor, Tensor]:
    """Color [P,3] of `lender`, whose centers are `means` [N,3], at `points` [P,3], and its weight [P] 0..1."""
    opacity = lender.logit_opacities.sigmoid()
    seen = (opacity > _VISIBLE).nonzero()[:, 0]
    if len(seen) < _NEIGHBORS:
        return points.clone(), points.new_zeros(len(points))
    distances, rows = cKDTree(means[seen].numpy()).query(points.numpy(), k=_NEIGHBORS)
    distance = torch.from_numpy(distances).float()
    near = seen[torch.from_numpy(rows)]
    weight = opacity[near] * torch.exp(-((distance - distance[:, :1]) / _SPREAD).square())
    color = (lender.colors[near] * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
    return color, torch.exp(-(distance[:, 0] / _REACH).square())

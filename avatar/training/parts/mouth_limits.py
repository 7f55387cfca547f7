"""Limits on the Gaussians around a mouth whose inside is a mesh layer.

Where the video shows teeth, the loss is as content with lips as pale as teeth, with Gaussians of the chin that float
inside the head, and with transparent lips, as it is with the layer. All three show as a pale or brown line along the
lips as soon as the mouth opens otherwise than in the video.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar.data.training_frames import TrainingFrames
from avatar.geometry.rotations import triangle_frames
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer, has_mouth
from avatar.model.to_device import move_attributes
from avatar.training.constraints import REACH, blend_extent, motion, scale_blendshapes, scale_motion
from avatar.training.memo import Memo
from avatar.training.parts.part import PartTraining, Training
from avatar.types import HeadParams

LIPS: tuple[Region, ...] = ("lips", "lips_inner")
INNER: tuple[Region, ...] = ("lips_inner",)
#: Parts that span the inside of the mouth, where no Gaussian may be.
SPAN: tuple[Region, ...] = ("teeth_upper", "teeth_lower", "tongue")
#: A Gaussian of the skin within FAR of the lips may sit this much farther from its triangle per distance from them:
#: beards need some room, and nothing between the lips and their skin is seen. Distances are in meters.
REACH_SLOPE = 0.25
FAR = 0.04
#: ... but no farther than this into the head: `ops.splat` skips Gaussians behind the layer, and then it shows there.
INWARD = 1e-3
#: Colors of the lips where no frame shows teeth: of Gaussians at least this far from the inner edge of the lips.
INNER_EDGE = 0.002
#: Brightest and darkest Gaussian relative to the lips around it (`LipTone`), on the inner edge and
#: elsewhere, where lips may shine. Closed lips meet in a dark line, which is no color of open ones.
EDGE_BRIGHTEST = 1.05
BRIGHTEST = 1.25
EDGE_DARKEST = 0.85
DARKEST = 0.55
#: A channel differs from the color of the lips around, made as bright, by at most this part of the brightness, on the
#: inner edge and elsewhere: teeth leave gray there, and what makes up for it is glaring red.
EDGE_TINT = 0.08
TINT = 0.12
#: Blendshapes change no channel by more than this part of the brightness of the lips, on the inner edge and elsewhere.
EDGE_SHADE = 0.1
SHADE = 0.2
#: The limits of the inner edge count in full up to this distance from it, meters, and not at all from the second on:
#: the dark line between closed lips is wider at the corners, and would be a dark blot as soon as they part.
EDGE_FADE = (0.001, 0.004)
#: Fewer Gaussians than these do not tell the color of the lips.
MIN_SAMPLES = 12
#: Pixels: a Gaussian of the lips that covers fewer in the frames that give initial colors has none from them.
MIN_COVERAGE = 4.0
#: Logit of the smallest opacity of a Gaussian on the inner edge of the lips and elsewhere on them, and of those inside
#: the mouth. The layer shows as dark dots through an edge that is less opaque.
OPAQUE_EDGE = 3.0
OPAQUE = 2.0
GONE = -6.0
#: No axis of a Gaussian of the lips is smaller than this fraction of its initial one: smaller ones leave gaps as soon
#: as the lips stretch.
SMALLEST = 0.9
#: Standard deviation of the smoothing, meters.
SMOOTHING = 0.003
#: Number of Gaussians of the median color at every vertex: far from all others the lips have that.
PRIOR = 1e-3
# channels of a basis
_COLOR = slice(7, 10)
_OPACITY = slice(10, 11)
_COLOR_AND_OPACITY = slice(7, 11)


class MouthTraining(PartTraining):
    """The limits in the training of an avatar whose layer has a mouth."""

    key = "mouth"

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._limits = MouthLimits(training.avatar.head)

    @classmethod
    def of(cls, training: Training) -> MouthTraining | None:
        """None for an avatar whose mouth has Gaussians."""
        return cls(training) if has_mouth(training.avatar.part(MeshLayer)) else None

    def to(self, device: torch.device) -> None:
        """Move the limits."""
        self._limits.to(device)

    def color_hidden(self, coverage: Tensor) -> None:
        """See `MouthLimits`."""
        self._limits.color_hidden(self.training.avatar, coverage)

    def limit_motion(self, weights: Tensor) -> None:
        """Apply all limits."""
        self._limits.apply(self.training.avatar, self.training.anchors.initial, weights)

    def correct(self, frames: TrainingFrames, contribution: Tensor) -> Tensor:
        """Closed lips hide Gaussians that an open mouth needs."""
        return self._limits.usable_contribution(self.training.avatar, contribution)


class MouthLimits:
    """The limits for one head."""

    def __init__(self, head: HeadModel) -> None:
        """Args: a baked head."""
        points = head.v_template.numpy()
        lips = head.mask(*LIPS).numpy()
        inner = head.mask(*INNER).numpy()
        self.reach = torch.full((len(points),), torch.inf)  # [V] meters
        self.lips = torch.from_numpy(lips)  # [V] bool
        self.inner = torch.from_numpy(inner)  # [V] bool
        self.from_edge = torch.full((len(points),), EDGE_FADE[1])  # [V] meters from the inner edge, at most
        self.outer = self.lips.clone()  # [V] bool, away from the inner edge
        if lips.any():
            distance = torch.from_numpy(cKDTree(points[lips]).query(points)[0]).float()
            near = head.mask("face", *LIPS) & (distance < FAR)
            self.reach[near] = REACH + REACH_SLOPE * distance[near]
        if inner.any():
            away = torch.from_numpy(cKDTree(points[inner]).query(points)[0])
            self.outer &= away >= INNER_EDGE
            self.from_edge = away.float().clamp_max(EDGE_FADE[1])
        self.tone = LipTone(head, self.lips)
        span = points[head.mask(*SPAN).numpy()]
        bounds = (span.min(0), span.max(0)) if len(span) else (np.zeros(3), np.zeros(3))
        self.low, self.high = (torch.from_numpy(np.asarray(edge, np.float32)) for edge in bounds)  # [3] meters
        self._near: Memo[_Near] = Memo()
        self._on_lips: Memo[_Lips] = Memo()
        self._distances: Memo[tuple[Tensor, Tensor]] = Memo()

    def to(self, device: torch.device) -> None:
        """Move to the device of the avatar."""
        move_attributes(self, device)
        move_attributes(self.tone, device)

    @torch.no_grad()
    def color_hidden(self, avatar: Avatar, coverage: Tensor) -> None:
        """Color the Gaussians of the lips that the frames hardly show like those that they show.

        Args:
            avatar: with the initial colors from the frames, changed in place.
            coverage: [N] pixels that each Gaussian covers in those frames.
        """
        corners = avatar.rig.triangles
        visible = self.outer[corners].all(1) & (coverage >= MIN_COVERAGE)
        hidden = self.lips[corners].any(1) & (coverage < MIN_COVERAGE)
        if int(visible.sum()) < MIN_SAMPLES:
            return
        rows = hidden.nonzero()[:, 0]
        avatar.colors[rows] = self.tone.at(avatar, visible.nonzero()[:, 0], avatar.colors[visible], rows)

    def usable_contribution(self, avatar: Avatar, contribution: Tensor) -> Tensor:
        """`contribution` [N] as relocation shall see it: closed lips hide Gaussians that an open mouth needs."""
        return contribution.masked_fill(self.lips[avatar.rig.triangles].any(1), torch.inf)

    @torch.no_grad()
    def apply(self, avatar: Avatar, initial: Mapping[str, Tensor], weights: Tensor) -> None:
        """Scale offsets and blendshapes of the Gaussians beyond the limits, and clamp colors, sizes and opacities.

        Args:
            avatar: changed in place.
            initial: parameters before the first step: `colors` [N,3], means of the pixels that a Gaussian covers in
                some frames, and `log_scales` [N,3].
            weights: [T,K] of the blendshapes in the frames whose motion and colors count.
        """
        rig = avatar.rig
        colors = initial["colors"]
        corners = rig.triangles[: avatar.blendshapes.count]
        near = self._near(lambda: self._near_lips(corners), rig.triangles)
        lips = self._on_lips(lambda: self._lips_of(avatar, corners, colors), rig.triangles, rig.bary, colors)
        self._limit_reach(avatar, weights, near)
        changes = blend_extent(avatar, weights, lips.rows, _COLOR_AND_OPACITY)
        if lips.tone is not None:
            largest = changes.high.maximum(-changes.low)[:, :3].amax(1, keepdim=True)
            _limit_colors(avatar, lips, lips.tone, largest)
        _close(avatar, lips, initial["log_scales"], changes.low[:, 3])
        self._empty(avatar)

    def _near_lips(self, corners: Tensor) -> _Near:
        """The Gaussians of the skin around the lips, by the vertices [M,3] of their triangles."""
        reach = self.reach[corners].amin(1)
        rows = reach.isfinite().nonzero()[:, 0]
        return _Near(rows, reach[rows])

    def _lips_of(self, avatar: Avatar, corners: Tensor, initial: Tensor) -> _Lips:
        """The Gaussians of the lips, and their limits of color by the `initial` colors [N,3].

        Args:
            avatar: the avatar.
            corners: [M,3] int, vertices of the triangles of the Gaussians with blendshapes.
            initial: see `apply`.
        """
        rows = self.lips[corners].any(1).nonzero()[:, 0]
        edge = self.inner[corners[rows]].any(1, keepdim=True)
        least = torch.where(edge[:, 0], OPAQUE_EDGE, OPAQUE)
        known = self.outer[corners].all(1).nonzero()[:, 0]
        if len(known) < MIN_SAMPLES:
            return _Lips(rows, least, None)
        color = self.tone.at(avatar, known, initial[known], rows).clamp_min(1e-3)
        level = color.mean(1, keepdim=True)
        near = self._near_edge(avatar, corners[rows], rows).maximum(edge.float())

        def limit(on_edge: float, elsewhere: float) -> Tensor:
            return elsewhere + (on_edge - elsewhere) * near

        low, high, shade = limit(EDGE_DARKEST, DARKEST), limit(EDGE_BRIGHTEST, BRIGHTEST), limit(EDGE_SHADE, SHADE)
        return _Lips(
            rows, least, _Tone(color / level, low * level, high * level, limit(EDGE_TINT, TINT), shade * level)
        )

    def _near_edge(self, avatar: Avatar, corners: Tensor, rows: Tensor) -> Tensor:
        """How far the limits of the inner edge count for Gaussians `rows` [M] on `corners` [M,3]: 0..1, [M,1]."""
        away = (self.from_edge[corners] * avatar.rig.bary[rows]).sum(1, keepdim=True)
        return ((EDGE_FADE[1] - away) / (EDGE_FADE[1] - EDGE_FADE[0])).clamp(0, 1)

    def _limit_reach(self, avatar: Avatar, weights: Tensor, near: _Near) -> None:
        moved = motion(avatar, weights, near.rows)
        size = moved.square.sqrt()
        shrink = (near.reach / size.maximum(near.reach))[:, None]
        lowest = moved.low[:, 2] * shrink[:, 0]
        flat = lowest.new_ones(len(near.rows), 3)
        flat[:, 2] = INWARD / (-lowest).clamp_min(INWARD)
        scale_motion(avatar, near.rows, shrink * flat)

    def _empty(self, avatar: Avatar) -> None:
        """Make the Gaussians without blendshapes that are inside the mouth invisible."""
        rows = self._maybe_inside(avatar)
        corners = avatar.head.v_template[avatar.rig.triangles[rows]]
        position = (corners * avatar.rig.bary[rows, :, None]).sum(1)
        position += (triangle_frames(corners) @ avatar.offsets[rows, :, None])[..., 0]
        inside = ((position > self.low) & (position < self.high)).all(1)
        avatar.logit_opacities[rows[inside]] = GONE

    def _maybe_inside(self, avatar: Avatar) -> Tensor:
        """Gaussians [M] without blendshapes that may be inside the mouth, by the lengths of offsets and edges."""
        count = avatar.blendshapes.count
        triangles = avatar.rig.triangles
        edge, away = self._distances(lambda: self._to_mouth(avatar.head.v_template[triangles[count:]]), triangles)
        return count + (away <= edge + avatar.offsets[count:].norm(dim=1)).nonzero()[:, 0]

    def _to_mouth(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Longest edge [M] of triangles [M,3,3] at their first corner, and distance [M] of that from the mouth."""
        first, *others = corners.unbind(1)
        edge = torch.stack([(corner - first).square().sum(1) for corner in others]).amax(0).sqrt()
        return edge, (first - first.clamp(self.low, self.high)).square().sum(1).sqrt()


@dataclass(frozen=True)
class _Near:
    """Gaussians of the skin around the lips."""

    rows: Tensor  # [M] int
    reach: Tensor  # [M] meters


@dataclass(frozen=True)
class _Tone:
    """Limits of the colors of Gaussians of the lips."""

    color: Tensor  # [M,3] of the lips around, of mean 1
    low: Tensor  # [M,1] brightness
    high: Tensor  # [M,1] brightness
    tint: Tensor  # [M,1] largest difference of a channel from `color`, relative to the brightness
    shade: Tensor  # [M,1] largest change of a channel by blendshapes


@dataclass(frozen=True)
class _Lips:
    """Gaussians of the lips."""

    rows: Tensor  # [M] int
    least: Tensor  # [M] smallest logit of the opacity
    tone: _Tone | None  # None where too few Gaussians tell the color of the lips


def _limit_colors(avatar: Avatar, lips: _Lips, tone: _Tone, largest: Tensor) -> None:
    """Clamp colors, and what blendshapes change of them, at most `largest` [M,1], to `tone`."""
    rows = lips.rows
    color = avatar.colors[rows]
    brightness = color.mean(1, keepdim=True).clamp_min(1e-3)
    limited = brightness.clamp(tone.low, tone.high)
    wanted = tone.color * limited
    tint = limited * tone.tint
    avatar.colors[rows] = (color / brightness * limited).clamp(wanted - tint, wanted + tint)
    scale_blendshapes(avatar, rows, _COLOR, tone.shade / largest.clamp_min(1e-9))


def _close(avatar: Avatar, lips: _Lips, initial: Tensor, lowest: Tensor) -> None:
    """Keep lips opaque, and their Gaussians not much smaller than `initial` [N,3]: a surface without gaps.

    Args:
        avatar: changed in place.
        lips: its Gaussians of the lips.
        initial: log of meters.
        lowest: [M] what blendshapes add to the logit of the opacity at least.
    """
    rows = lips.rows
    avatar.log_scales[rows] = avatar.log_scales[rows].maximum(initial[rows] + math.log(SMALLEST))
    logit = avatar.logit_opacities[rows].maximum(lips.least)
    avatar.logit_opacities[rows] = logit
    room = (logit - lips.least).clamp_min(0)
    scale_blendshapes(avatar, rows, _OPACITY, (room / -lowest.clamp_max(-1e-9))[:, None])


class LipTone:
    """Smooths colors over the vertices of the lips of one head.

    Distances are those of an open mouth: the lips touch when it is closed, and differ in color.
    """

    def __init__(self, head: HeadModel, lips: Tensor) -> None:
        """
        Args:
            head: a baked head.
            lips: [V] bool, vertices of the lips.
        """
        rows = lips.nonzero()[:, 0]
        self._place = torch.full((len(lips),), -1)  # [V] row in the field, -1 beyond the lips
        self._place[rows] = torch.arange(len(rows))
        points = _open_mouth(head)[rows]
        self._kernel = (-torch.cdist(points, points).square() / (2 * SMOOTHING**2)).exp()  # [n,n]

    def at(self, avatar: Avatar, known: Tensor, colors: Tensor, rows: Tensor) -> Tensor:
        """Color [M,3] of the lips at Gaussians, from those of others around them.

        Args:
            avatar: its rig says where the Gaussians are.
            known: [K] int, Gaussians on the lips whose colors are known, at least one.
            colors: [K,3] of these.
            rows: [M] int, Gaussians with a vertex on the lips.
        """
        place = self._place[avatar.rig.triangles[known]]
        bary = avatar.rig.bary[known]
        values = torch.cat([colors, colors.new_ones(len(colors), 1)], 1)
        sums = colors.new_zeros(len(self._kernel), 4)
        for corner in range(3):
            weight = (place[:, corner] >= 0) * bary[:, corner]
            sums.index_add_(0, place[:, corner].clamp_min(0), values * weight[:, None])
        median = torch.cat([colors.median(0).values, colors.new_ones(1)])
        sums = self._kernel @ sums + PRIOR * median
        place = self._place[avatar.rig.triangles[rows]]
        weight = (place >= 0) * avatar.rig.bary[rows].clamp_min(1e-6)
        field = (sums[:, :3] / sums[:, 3:])[place.clamp_min(0)]
        return (field * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)


def _open_mouth(head: HeadModel) -> Tensor:
    """Vertices [V,3] with the jaw open, meters, skull frame; at rest for a head without that expression."""
    expression = torch.zeros(1, len(head.expression_names))
    if "jawOpen" in head.expression_names:
        expression[0, head.expression_names.index("jawOpen")] = 1.0
    none = torch.zeros(0)
    return head.skull_vertices(HeadParams(none, expression, torch.zeros(1, len(head.parents), 3), torch.zeros(1, 3)))[0]

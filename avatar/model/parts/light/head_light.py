"""The light of an avatar's clip, and what becomes of every color when the head turns in it or another light shines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avatar.geometry.rotations import SH_C0
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.model.avatar import Avatar, AvatarPart
from avatar.model.layout import Layout, Rows, TensorLayout
from avatar.model.parts.light.harmonics import TERMS, rotate_light
from avatar.model.parts.mesh_layer import NODE_WEIGHTS
from avatar.model.rig import Rig
from avatar.types import LayerMesh, PosedHead, PosedLayer

#: A display color is this root of linear light: gains of light are powers of it.
GAMMA = 2.2
#: Smallest reflected light relative to the mean light: coefficients of a strong light are negative behind it.
_FLOOR = 0.12
#: Limits of the gain of another light, linear.
_LEAST = 0.01
_MOST = 8.0
#: Linear light, relative to white, at which the curve of a camera saturates: bright colors lose saturation and dark
#: ones gain it, so that a face which gets darker does not turn gray, and one that gets brighter does not glow.
_SATURATION = 1.3
_LUMA = (0.2126, 0.7152, 0.0722)
_FRONT: tuple[Region, ...] = ("face", "nose", "forehead")


class HeadLight(AvatarPart):
    """Transfer of an avatar's Gaussians and mesh, and the light of its clip.

    The stored colors of the avatar are those at the mean pose of the clip, in its light. At another pose, or in
    another light, each changes as the reflected light does (`factors`).
    """

    key = entry = "light"
    title = "the light of the clip"
    prefix = "light."
    layout: ClassVar[Layout] = {
        "transfer": TensorLayout("F16", "N 9", -10, 10),
        "surface": TensorLayout("F16", "V 9", -10, 10),
        "coefficients": TensorLayout("F32", "9 3", -1e4, 1e4),
    }
    not_blended = "the colors of the two avatars are of different lights; another light can still be put on the blend"

    def __init__(self, transfer: Tensor, surface: Tensor, coefficients: Tensor, mean_rotation: Tensor) -> None:
        """
        Args:
            transfer: [N,9] of the Gaussians, skull frame.
            surface: [V,9] of the vertices of the head, skull frame.
            coefficients: [9,3] light of the clip, linear, world axes.
            mean_rotation: [3,3] skull frame -> world, of the stored colors.
        """
        super().__init__()
        self.register_buffer("transfer", transfer.float().contiguous())
        self.register_buffer("surface", surface.float().contiguous())
        self.register_buffer("base", coefficients[:1].float().clone())
        #: Bands 1 and 2 over band 0: what the shading of a turning head shows.
        self.shape = nn.Parameter((coefficients[1:] / coefficients[:1].clamp_min(1e-6)).float())
        self.register_buffer("anchor", self.shape.detach().clone())
        self.register_buffer("mean_rotation", mean_rotation.float().clone())
        self.target: Tensor | None = None  # [9,3] another light, world axes; None: that of the clip
        self._kept: dict[str, tuple[Tensor, Tensor]] = {}
        self._texels: Tensor | None = None

    transfer: Tensor
    surface: Tensor
    base: Tensor  # [1,3]
    anchor: Tensor  # [8,3] the shape without what the turning head shows, for training
    mean_rotation: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HeadLight:
        """As of nn.Module, under `to`, `cpu` and `cuda`; the other light follows to the device."""
        super()._apply(fn, recurse)
        self.target = None if self.target is None else self.target.to(self.base.device)
        self._kept = {}
        self._texels = None
        return self

    @torch.no_grad()
    def take(self, source: HeadLight) -> None:
        """Become equal to `source`, in place: parameters stay those of an optimizer."""
        for name in ("transfer", "surface", "base", "anchor", "shape"):
            getattr(self, name).copy_(getattr(source, name))
        self._kept = {}
        self._texels = None

    @property
    def coefficients(self) -> Tensor:
        """Light of the clip [9,3], world axes, with autograd."""
        return torch.cat([self.base, self.base * self.shape])

    def ratios(self, rotation: Tensor, torso: Tensor) -> Tensor:
        """Light [B,N,3] that the Gaussians reflect, over that which is in their stored colors.

        Args:
            rotation: [B,3,3] skull frame -> world.
            torso: [N] 0..1, how far each Gaussian follows the torso, which counts as resting.
        """
        return self._ratios("transfer", self.transfer, rotation, torso)

    def lit_texels(self, texels: Tensor, mesh: LayerMesh, rotation: Tensor) -> Tensor:
        """Colors [T,3] of `texels` [T,3] of the mesh of a layer in this light; the mean over `rotation` [B,3,3]."""
        if self._texels is None:
            self._texels = texel_transfer(mesh, self.surface, NODE_WEIGHTS, len(texels))
        return texels * factors(texels, self._ratios("texels", self._texels, rotation, None).mean(0))

    def change_colors(self, sh: Tensor, head: PosedHead, rig: Rig) -> Tensor:
        """See `AvatarPart.change_colors`; the stored colors are 0.5 + SH_C0 * sh."""
        factor = factors(0.5 + SH_C0 * sh, self.ratios(head.rotation, rig.skin)[:, :, None])
        return sh * factor + (factor - 1) * (0.5 / SH_C0)

    def change_layer(self, layer: PosedLayer) -> PosedLayer:
        """See `AvatarPart.change_layer`."""
        return replace(layer, texels=self.lit_texels(layer.texels, layer.mesh, layer.rotation))

    def level(self, coefficients: Tensor, head: HeadModel) -> Tensor:
        """Mean luminance [] that the face of `head` reflects of `coefficients` [9,3] (world axes) at the mean pose."""
        rows = head.mask(*_FRONT).to(self.surface.device)
        rows = rows if bool(rows.any()) else torch.ones_like(rows)
        light = rotate_light(coefficients, self.mean_rotation.T)
        return self.surface[rows].mean(0) @ light @ light.new_tensor(_LUMA)

    def _ratios(self, name: str, transfer: Tensor, rotation: Tensor, torso: Tensor | None) -> Tensor:
        """Light [B,N,3] that surfaces with `transfer` [N,9] reflect, over that of the stored colors."""
        own = self.coefficients
        target = self.target
        reference, resting = self._resting(name, transfer, own)
        light = own if target is None else target
        turned = reflect(transfer, rotate_light(light, rotation.transpose(-1, -2)))
        if torso is not None:
            turned = torch.lerp(turned, resting.expand_as(turned), torso[:, None])
        ratio = turned / reference
        return ratio if target is None else ratio.clamp(_LEAST, _MOST)

    def _resting(self, name: str, transfer: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Light [N,3] that is in the stored colors, and that of the shown light at the same pose."""
        fixed = not self.shape.requires_grad
        if fixed and name in self._kept and self._kept[name][0].shape[0] == len(transfer):
            return self._kept[name]
        back = self.mean_rotation.T
        reference = reflect(transfer, rotate_light(own, back))
        resting = reference if self.target is None else reflect(transfer, rotate_light(self.target, back))
        if fixed:
            self._kept[name] = reference, resting
        return reference, resting

    def set_rows(self, name: str, value: Tensor) -> None:
        """See `AvatarPart.set_rows`."""
        super().set_rows(name, value)
        self._kept = {}

    @torch.no_grad()
    def with_rows(self, rows: Rows, avatar: Avatar) -> HeadLight:
        """See `AvatarPart.with_rows`; the transfer of new Gaussians is computed."""
        from avatar.model.parts.light.transfer import gaussian_transfer  # here: it loads SciPy, which rendering omits

        result = super().with_rows(rows, avatar)
        new = (~rows.known).nonzero()[:, 0]
        if len(new):
            result.transfer[new] = gaussian_transfer(avatar, result.surface, new)
        return result

    @classmethod
    def check(cls, header: Mapping[str, Any], tensors: Mapping[str, Tensor], sizes: dict[str, int]) -> None:
        """See `AvatarPart.check`."""
        if not bool((tensors["coefficients"][0] > 0).all()):
            raise ValueError("light.coefficients: expected a mean light above 0")

    @classmethod
    def restore(cls, avatar: Avatar, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> HeadLight:
        """See `AvatarPart.restore`."""
        return cls(mean_rotation=avatar.rig.torso.mean_rotation, **tensors)

    def show(self, target: Tensor | None) -> None:
        """Shine the light `target` [9,3] (linear, world axes) on the avatar; None: the light of its clip."""
        self.target = None if target is None else target.to(self.base)
        self._kept = {}


def reflect(transfer: Tensor, light: Tensor) -> Tensor:
    """Light [...,N,3] that surfaces of albedo 1 with `transfer` [N,9] reflect of `light` [...,9,3], above 0."""
    least = _FLOOR * SH_C0 * light[..., :1, :].abs() + 1e-6
    raw = transfer @ light
    return 0.5 * (raw + (raw * raw + 4 * least * least).sqrt())


def factors(colors: Tensor, ratios: Tensor) -> Tensor:
    """Factors of display `colors` when their light is multiplied by `ratios`, of the same or a broadcast shape.

    The camera's curve is u = s / (1 + s / w) for scene light s, and the root of that: u becomes
    r u / (1 + (r - 1) u / w).
    """
    linear = colors.clamp(0, 1).pow(GAMMA)
    return (ratios / (1 + (ratios - 1) * (linear / _SATURATION))).pow(1 / GAMMA)


def scene_light(linear: Tensor) -> Tensor:
    """Scene light of linear light [...,3] of display colors, with their hue: the inverse of the curve of `factors`."""
    luminance = (linear.clamp(0, 1) @ linear.new_tensor(_LUMA))[..., None]
    return linear / (1 - luminance / _SATURATION)


def texel_transfer(mesh: LayerMesh, surface: Tensor, weights: Tensor, count: int) -> Tensor:
    """Transfer [T,9] of the texels of a layer: the mean of the places that share each.

    Args:
        mesh: of the layer.
        surface: [V,9] of the vertices.
        weights: [15,3] barycentric weights of the nodes of a face.
        count: T.
    """
    nodes = torch.einsum("kc,fcd->fkd", weights.to(surface), surface[mesh.faces]).flatten(0, 1)
    ids = mesh.texel_ids.flatten()
    total = surface.new_zeros(count, TERMS).index_add_(0, ids, nodes)
    shares = surface.new_zeros(count, 1).index_add_(0, ids, torch.ones_like(nodes[:, :1]))
    return total / shares.clamp_min(1)

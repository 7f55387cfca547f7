"""Anchors: L2 terms that hold Gaussians which the video hardly shows to their initial values.

Colors of Gaussians without blendshapes have a weak anchor each, from the first relocation on to the color of their
visible neighbors (`avatar.training.corrections`); a part of the training may give weak anchors to all colors.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from avatar import ops
from avatar.head.regions import Region
from avatar.model.avatar import Avatar
from avatar.model.to_device import move_attributes, to_device
from avatar.training.memo import Memo

#: A Gaussian is anchored if it covers fewer pixels than this in the frames from which colors are initialized ...
MIN_COVERAGE = 0.5
#: ... or is bound to one of these regions.
HIDDEN_REGIONS: tuple[Region, ...] = ("teeth_upper", "teeth_lower", "tongue", "mouth_interior")
#: Gradient of the loss per unit of distance from the initial value, for each parameter: well below the gradient of a
#: visible Gaussian, well above the noise that Adam would otherwise scale up to full steps.
ANCHOR_WEIGHTS = {"offsets": 0.5, "log_scales": 3e-6, "quats": 3e-6, "logit_opacities": 3e-6, "colors": 1e-5}
BASIS_ANCHOR_WEIGHT = 1e-5
#: The weak anchor of a color is as strong as the loss of so many pixels per unit of distance: more than a hidden
#: Gaussian contributes, and a small part of what a visible one does. The head turns: of it the frames show more.
TORSO_PIXELS = 1.0
HEAD_PIXELS = 0.25
#: Name of the strengths of these anchors [N], in pixels, among the initial values.
PIXELS = "color_pixels"
#: Skinning weight of the torso from which on a Gaussian belongs to it or to the neck.
MIN_SKIN = 0.05


class Anchors:
    """The anchored Gaussians of an avatar and their initial values; none before `set` or `restore`."""

    def __init__(self, avatar: Avatar, batch: int) -> None:
        """
        Args:
            avatar: its gradients receive the terms.
            batch: images per step; the loss is a sum over images, so the terms are multiplied by it.
        """
        self._avatar = avatar
        self._batch = batch
        self._first = avatar.blendshapes.count  # Gaussians from here on have weak anchors
        device = avatar.offsets.device
        self.rows = torch.zeros(0, dtype=torch.int64, device=device)  # [M] indices of the anchored Gaussians
        self.initial: dict[str, Tensor] = {}  # values of the parameters that they are anchored to
        # [count] anchor weight to zero in the basis
        self.basis_weights = torch.zeros(avatar.blendshapes.count, device=device)
        self._weights: dict[str, Tensor] = {}  # [N] of each parameter, without the weak anchors
        self._weak = torch.zeros(len(avatar) - self._first, device=device)  # 1: the color has a weak anchor
        self._of_colors: defaultdict[int, Memo[Tensor]] = defaultdict(Memo)  # [N] with the weak ones, by `pixels`

    def anchor_all_colors(self) -> None:
        """Give weak anchors to the colors of Gaussians with blendshapes, too; before `set` and `restore`."""
        self._first = 0
        self._weak = torch.zeros(len(self._avatar), device=self._weak.device)

    def to(self, device: torch.device) -> None:
        """Move to the device of the avatar."""
        move_attributes(self, device)

    def set(self, coverage: Tensor) -> None:
        """Anchor hidden regions and Gaussians of small `coverage` [N], in pixels, to their present values."""
        region = self._avatar.head.mask(*HIDDEN_REGIONS)[self._avatar.rig.triangles[:, 0]]
        rows = torch.nonzero(region | (coverage < MIN_COVERAGE))[:, 0]
        initial = {name: getattr(self._avatar, name).detach().clone() for name in ANCHOR_WEIGHTS}
        initial[PIXELS] = torch.where(self._avatar.rig.skin > MIN_SKIN, TORSO_PIXELS, HEAD_PIXELS)
        self.restore(rows, initial)

    def state(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The arguments of `restore`."""
        return self.rows, self.initial

    def restore(self, rows: Tensor, initial: dict[str, Tensor]) -> None:
        """Anchor the Gaussians `rows` [M] to the values `initial` of all Gaussians, by name of the parameter.

        Raises:
            ValueError: `rows` or `initial` do not belong to this avatar.
        """
        rows = to_device(rows, self._weak.device)
        initial = to_device(initial, self._weak.device)
        _check(self._avatar, rows, initial)
        self.rows = rows
        self.initial = initial
        anchored = torch.zeros(len(self._avatar), device=self._weak.device)
        anchored[rows] = 1.0
        self._weights = {name: self._batch * weight * anchored for name, weight in ANCHOR_WEIGHTS.items()}
        self._weak.fill_(1.0)
        self._weak[rows[rows >= self._first] - self._first] = 0.0
        self.basis_weights.zero_()
        self.basis_weights[rows[rows < len(self.basis_weights)]] = self._batch * BASIS_ANCHOR_WEIGHT

    def set_colors(self, colors: Tensor) -> None:
        """Anchor the colors of the M Gaussians without blendshapes, the last ones, to `colors` [M,3]."""
        self.initial["colors"][self._avatar.blendshapes.count :] = colors

    def set_surface_colors(self, rows: Tensor, colors: Tensor, pixels: Tensor) -> None:
        """Anchor the colors of the Gaussians `rows` [M] to `colors` [M,3], as strongly as `pixels` [M] and no less."""
        self.initial["colors"][rows] = colors
        usual = torch.where(self._avatar.rig.skin[rows] > MIN_SKIN, TORSO_PIXELS, HEAD_PIXELS)
        self.initial[PIXELS][rows] = usual.maximum(pixels)

    def add_gradients(self, pixels: int) -> None:
        """Add the gradients of the anchors; an outer basis has none, its optimizer step takes `basis_weights`.

        Args:
            pixels: number of pixels of an image.
        """
        if not self.initial:
            return
        local = self._avatar.local
        strong, strengths = self._weights["colors"], self.initial[PIXELS]
        of_colors = self._of_colors[pixels](lambda: self._color_weights(pixels), strong, strengths, self._weak)
        weights = self._weights | {"colors": of_colors}
        ops.add_anchors(
            [value.grad for value in vars(local).values() if value.grad is not None],
            [ops.Anchor(value, self.initial[name], weights[name]) for name, value in vars(local).items()],
        )
        rows = self.rows
        basis = self._avatar.blendshapes.basis
        if basis.grad is not None:
            rows = rows[rows < basis.shape[1]]
            basis.grad[:, rows] += self._batch * BASIS_ANCHOR_WEIGHT * basis.detach()[:, rows]

    def _color_weights(self, pixels: int) -> Tensor:
        weights = self._weights["colors"].clone()
        weak = self._weak * self.initial[PIXELS][self._first :] / (3 * pixels)
        weights[self._first :] += self._batch * weak
        return weights


def _check(avatar: Avatar, rows: Tensor, initial: dict[str, Tensor]) -> None:
    count = len(avatar)
    if rows.dtype != torch.int64 or rows.ndim != 1 or bool(((rows < 0) | (rows >= count)).any()):
        raise ValueError("anchored Gaussians that the avatar does not have")
    for name in (*ANCHOR_WEIGHTS, PIXELS):
        value = initial[name]
        own = avatar.rig.skin if name == PIXELS else getattr(avatar, name)
        if not isinstance(value, Tensor) or value.shape != own.shape or value.dtype != own.dtype:
            raise ValueError(f"anchor values of {name} of another kind")

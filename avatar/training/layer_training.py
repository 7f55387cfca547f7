"""What a training does with the texture of the mesh layer: parameters, anchors and limits."""

from __future__ import annotations

import torch

from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import MeshLayer, Part
from avatar.training.adam import Group
from avatar.training.config import LearningRates

#: Gradient of the loss per unit of difference of a texel from the head's color times light and gain: of eyes, of teeth,
#: and of gums, tongue and cavity. Five times as much leaves teeth as they are, half as much washes out the gaps between
#: them. Tongue and cavity hardly change: frames that show teeth where the mesh has a tongue would turn it into teeth,
#: and the inner side of lips too.
ANCHOR_WEIGHTS = {
    Part.SCLERA: 5e-7,
    Part.IRIS: 5e-7,
    Part.CROWN: 2e-6,
    Part.GUM: 1e-5,
    Part.TONGUE: 1e-5,
    Part.CAVITY: 1e-5,
    Part.SKIN: 1e-7,
    Part.LIP: 1e-6,
    Part.LIP_INNER: 1e-5,
    Part.LID_INNER: 1e-5,
}
#: Gradient of the loss per unit of the logarithm of a gain, and the limits of that. Irises have any color.
GAIN_ANCHOR_WEIGHT, EYE_GAIN_ANCHOR_WEIGHT = 2e-4, 1e-5
GAIN_LOW, GAIN_HIGH = -0.5, 0.3
EYE_GAIN_LIMITS = {Part.SCLERA: (-1.0, 0.3), Part.IRIS: (-2.0, 1.0)}
#: Gradient of the loss by every reflection: faint glare of the whole iris is none, the texture of the eyes has that
#: color. A pixel that is too dark in all frames has several times as much for its texel.
REFLECTION_WEIGHT = 2e-6
#: Limits of the light of a video relative to that of the head model.
LIGHT_RANGE = (0.15, 1.2)
#: Epsilon of Adam for one image a step, about the gradient of a texel that is seen well: texels that few frames show
#: would otherwise move by full steps.
EPS, GAIN_EPS = 1e-7, 1e-12


def layer_groups(layer: MeshLayer, rates: LearningRates, batch: int) -> list[Group]:
    """The parameters of the layer for the optimizer, for `batch` images a step."""
    return [
        Group("texels", layer.delta, rates.texel, eps=batch * EPS),
        Group("texel_gains", layer.gains, rates.texel_gain, eps=GAIN_EPS),
        Group("reflections", layer.eye_light.reflections, rates.texel, eps=batch * EPS),
    ]


@torch.no_grad()
def set_light(avatar: Avatar) -> None:
    """Estimate the light of the video from the colors that the Gaussians of the face took from its frames.

    The color of the skin is that of the person and of the light: half of its difference from gray is taken for light.
    """
    layer = avatar.part(MeshLayer)
    if layer is None:
        return
    head, triangles = avatar.head, avatar.rig.triangles
    on_face = head.mask("face") & ~head.mask("lips", "eyelids")
    rows = on_face[triangles].all(1)
    if not rows.any():
        return
    weight = torch.sigmoid(avatar.logit_opacities[rows])[:, None]
    of_head = (head.colors[triangles[rows]] * avatar.rig.bary[rows][..., None]).sum(1)
    ratio = (avatar.colors[rows] * weight).sum(0) / (of_head * weight).sum(0)
    logarithm = ratio.clamp(*LIGHT_RANGE).log()
    gray = ratio.mean().clamp(*LIGHT_RANGE).log()
    layer.light.copy_(gray + 0.5 * (logarithm - gray))


class TexelAnchors:
    """The anchors of the parameters of one layer."""

    def __init__(self, layer: MeshLayer, batch: int) -> None:
        """
        Args:
            layer: its gradients receive the terms.
            batch: images per step; the loss is a sum over images, so the terms are multiplied by it.
        """
        self._layer, self._batch = layer, batch
        self._of_texels = torch.tensor([ANCHOR_WEIGHTS[part] for part in Part])[layer.part.cpu()][:, None].to(
            layer.part.device
        )
        self._of_gains = torch.full((len(Part), 1), GAIN_ANCHOR_WEIGHT)
        self._of_gains[list(EYE_GAIN_LIMITS)] = EYE_GAIN_ANCHOR_WEIGHT
        self._of_gains = self._of_gains.to(layer.part.device)

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients of the anchors to those of the last image, if it showed the layer."""
        layer, batch = self._layer, self._batch
        if layer.delta.grad is None or layer.gains.grad is None:
            return
        layer.delta.grad.addcmul_(layer.delta, self._of_texels, value=batch)
        layer.gains.grad.addcmul_(layer.gains, self._of_gains, value=batch)
        reflections = layer.eye_light.reflections
        if reflections.grad is not None:
            reflections.grad.add_(batch * REFLECTION_WEIGHT)


@torch.no_grad()
def limit_texels(layer: MeshLayer) -> None:
    """Clamp gains and colors after a step."""
    low, high = torch.full((len(Part), 1), GAIN_LOW), torch.full((len(Part), 1), GAIN_HIGH)
    for part, limits in EYE_GAIN_LIMITS.items():
        low[part], high[part] = limits
    layer.gains.copy_(layer.gains.clamp(low.to(layer.gains.device), high.to(layer.gains.device)))
    layer.eye_light.reflections.clamp_(0, 1)
    colors = layer.texels()
    layer.delta.add_(colors.clamp(0, 1) - colors)

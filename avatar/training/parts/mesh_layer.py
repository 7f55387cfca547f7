"""Training of the texture of the mesh layer: parameters, anchors, limits, and eyes that stay alike and round.

Frames show the same part of an eyeball in almost all poses, its edge under the lids hardly ever. Texel by texel, the
part that is seen becomes darker than the rest, with the outline of the lids: a rectangle that moves with the gaze. So
the texture of the eyeballs is kept close to rings around the pupil.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import TrainingFrames
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.model.parts.eye_light import EYES
from avatar.model.parts.mesh_layer import NODE_WEIGHTS, MeshLayer, Part
from avatar.model.to_device import move_attributes
from avatar.training.adam import Group
from avatar.training.parts.part import AvatarPartTraining, Step, Training

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
GAIN_ANCHOR_WEIGHT = 2e-4
EYE_GAIN_ANCHOR_WEIGHT = 1e-5
GAIN_LOW = -0.5
GAIN_HIGH = 0.3
EYE_GAIN_LIMITS = {Part.SCLERA: (-1.0, 0.3), Part.IRIS: (-2.0, 1.0)}
#: ... of tongue and cavity: how much light enters the mouth differs more between videos than the color of teeth.
DEEP = (Part.TONGUE, Part.CAVITY)
DEEP_GAIN_ANCHOR_WEIGHT = 2e-5
DEEP_GAIN_LOW = -1.5
#: Gradient of the loss by every reflection: faint glare of the whole iris is none, the texture of the eyes has that
#: color. A pixel that is too dark in all frames has several times as much for its texel.
REFLECTION_WEIGHT = 2e-6
#: Limits of the light of a video relative to that of the head model.
LIGHT_RANGE = (0.15, 1.2)
#: Epsilon of Adam for one image a step, about the gradient of a texel that is seen well: texels that few frames show
#: would otherwise move by full steps.
EPS = 1e-7
GAIN_EPS = 1e-12
#: Meters between rings, and number of rings.
SPACING = 4e-4
RINGS = 32
#: Fraction of the difference from the rings that each application removes: streaks of an iris remain in part.
ROUNDING = 0.15
#: Weight of the difference of neighboring rings, relative to the mean evidence of a ring: rings that no frame shows
#: continue the color of those that frames show.
SMOOTHNESS = 0.1


class LayerTraining(AvatarPartTraining[MeshLayer]):
    """The mesh layer of an avatar in training."""

    key = "layer"
    graphed = True
    kind = MeshLayer

    def __init__(self, training: Training) -> None:
        """Args: see `PartTraining`."""
        super().__init__(training)
        self._anchors = TexelAnchors(self.part, training.config.batch)
        self._limits = TexelLimits(self.part)
        self._round_eyes = RoundEyes(training.avatar.head, self.part)

    def to(self, device: torch.device) -> None:
        """Move anchors, limits and rings."""
        move_attributes(self._anchors, device)
        move_attributes(self._limits, device)
        move_attributes(self._round_eyes, device)

    def groups(self) -> list[Group]:
        """Differences of the texels from the head, gains of its parts, and reflections in the eyes."""
        layer = self.part
        rates = self.training.config.rates
        eps = self.training.config.batch * EPS
        return [
            Group("texels", layer.delta, rates.texel, eps=eps),
            Group("texel_gains", layer.gains, rates.texel_gain, eps=GAIN_EPS),
            Group("reflections", layer.eye_light.reflections, rates.texel, eps=eps),
        ]

    def initialize(self, frames: TrainingFrames, contribution: Tensor) -> None:
        """Estimate the light of the video, which gives the layer its initial colors."""
        set_light(self.training.avatar, self.part)

    def after_backward(self, step: Step) -> None:
        """Add the anchors of the texture."""
        self._anchors.add_gradients()

    def limit(self) -> None:
        """Round the eyes, and clamp gains and colors."""
        self._round_eyes(self.part.delta, self.training.optimizer.moment("texels"))
        self._limits()


@torch.no_grad()
def set_light(avatar: Avatar, layer: MeshLayer) -> None:
    """Estimate the light of the video from the colors that the Gaussians of the face took from its frames.

    The color of the skin is that of the person and of the light: half of its difference from gray is taken for light.
    """
    head = avatar.head
    triangles = avatar.rig.triangles
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
            layer: on the host; its gradients receive the terms.
            batch: images per step; the loss is a sum over images, so the terms are multiplied by it.
        """
        self._layer = layer
        self._batch = batch
        self._of_texels = batch * torch.tensor([ANCHOR_WEIGHTS[part] for part in Part])[layer.part]
        self._of_gains = torch.full((len(Part),), batch * GAIN_ANCHOR_WEIGHT)
        self._of_gains[list(DEEP)] = batch * DEEP_GAIN_ANCHOR_WEIGHT
        self._of_gains[list(EYE_GAIN_LIMITS)] = batch * EYE_GAIN_ANCHOR_WEIGHT

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradients of the anchors to those of the last image, if it showed the layer."""
        layer = self._layer
        if layer.delta.grad is None or layer.gains.grad is None:
            return
        anchors = (layer.delta, self._of_texels), (layer.gains, self._of_gains)
        ops.add_anchors(
            [layer.delta.grad, layer.gains.grad], [ops.Anchor(value, None, weights) for value, weights in anchors]
        )
        reflections = layer.eye_light.reflections
        if reflections.grad is not None:
            reflections.grad.add_(self._batch * REFLECTION_WEIGHT)


class TexelLimits:
    """The limits of the parameters of one layer."""

    def __init__(self, layer: MeshLayer) -> None:
        """Args: layer: on the host."""
        self._layer = layer
        self._low = torch.full((len(Part), 1), GAIN_LOW)
        self._high = torch.full((len(Part), 1), GAIN_HIGH)
        self._low[list(DEEP)] = DEEP_GAIN_LOW
        for part, limits in EYE_GAIN_LIMITS.items():
            self._low[part], self._high[part] = limits

    @torch.no_grad()
    def __call__(self) -> None:
        """Clamp gains and colors after a step."""
        layer = self._layer
        layer.gains.copy_(layer.gains.clamp(self._low, self._high))
        layer.eye_light.reflections.clamp_(0, 1)
        ops.limit_texels(layer.delta, layer.start, layer.takes, layer.factors())


class RoundEyes:
    """Texels of the eyes of one head, and the rings around the pupil that they belong to."""

    def __init__(self, head: HeadModel, layer: MeshLayer) -> None:
        """Args: the baked head, and its layer."""
        eye = head.mask(*EYES[:1])
        of_iris = eye & head.mask("iris")
        faces = layer.mesh.faces
        ids = layer.mesh.texel_ids
        rows = eye[faces[:, 0]].nonzero()[:, 0] if of_iris.any() else faces.new_zeros(0)
        points = torch.einsum("nk,fkc->fnc", NODE_WEIGHTS, head.v_template[faces[rows]]).reshape(-1, 3)
        texels, where = ids[rows].flatten().unique(return_inverse=True)
        position = points.new_zeros(len(texels), 3).index_copy_(0, where, points)
        if len(rows):
            pupil = head.v_template[of_iris].mean(0)
            axis = torch.nn.functional.normalize(pupil - head.v_template[eye].mean(0), dim=0)
            away = position - pupil
            distance = (away - (away @ axis)[:, None] * axis).norm(dim=1)
            places = (distance / SPACING).clamp(max=RINGS - 1.001)
        else:
            places = torch.zeros(0)
        self.texels = texels  # [n] int
        self.places = places  # [n] 0..RINGS - 1

    @torch.no_grad()
    def __call__(self, delta: Tensor, squares: Tensor) -> None:
        """Move the texels [T,3] of both eyes towards their rings, in place.

        Args:
            delta: differences of the texels from the colors of the head.
            squares: [T,3] 0 or more, square of how strongly frames determine each texel.
        """
        ops.round_rings(delta, squares, self.texels, self.places, RINGS, SMOOTHNESS, ROUNDING)

"""The avatar: head model -> blendshapes -> rig -> Gaussians, and the only function that makes Gaussians."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.model.appearance import Appearances, with_appearance
from avatar.model.blendshapes import Blendshapes, expression_features
from avatar.model.light.head_light import HeadLight
from avatar.model.mesh_layer import MeshLayer
from avatar.model.moving import moved
from avatar.model.pose_corrector import PoseCorrector
from avatar.model.rig import Rig
from avatar.model.sampling import Sampling
from avatar.model.torso_regression import TorsoRegression
from avatar.model.wrinkles import Wrinkles
from avatar.types import Gaussians, HeadParams, LocalGaussians, PosedHead, PosedLayer


def baked(head: HeadModel, identity: Tensor) -> HeadModel:
    """The head of one person: the template is the shape of `identity` [S], and the identity basis is dropped.

    The expression basis is rounded to half precision, as in the .avatar file, so that training and rendering agree.
    """
    shaped = head.identity_vertices(identity).detach()
    rounded = {name: getattr(head, name).half().to(shaped.dtype) for name in ("exprdirs", "curvedirs", "posedirs")}
    return replace(head, v_template=shaped, shapedirs=shaped.new_zeros(len(shaped), 3, 0), **rounded)


class Avatar(nn.Module):
    """N Gaussians on one person's head, driven by expression, jaw, gaze and pose.

    The head is baked (`baked`): the avatar needs neither the capture nor the file of the head model.
    """

    def __init__(
        self,
        head: HeadModel,
        rig: Rig,
        blendshapes: Blendshapes,
        local: LocalGaussians,
        neutral: Tensor,
        layer: MeshLayer | None = None,
    ) -> None:
        """
        Args:
            head: a baked head.
            rig: which triangle carries each of the N Gaussians.
            blendshapes: offsets of the Gaussians by expression.
            local: the initial values of the N Gaussians; they are copied.
            neutral: [E] the tracked expression weights of the person's resting face.
            layer: teeth, tongue and eyeballs of the head as a textured mesh; None: they are Gaussians.
        """
        super().__init__()
        self.head = head
        self.rig = rig
        self.blendshapes = blendshapes
        self.layer = layer
        self.wrinkles: Wrinkles | None = None
        for name, value in vars(local).items():
            self.register_parameter(name, nn.Parameter(value.clone()))
        self.register_buffer("neutral", neutral.clone())
        self.sampling = Sampling()
        self.light: HeadLight | None = None  # how the colors change with the pose of the head, or in another light
        self.provenance: Mapping[str, Any] = {}  # figures of the training, plain JSON values, stored in the file
        # Both for frames of the capture it was trained on:
        self.torso_regression: TorsoRegression | None = None
        self.pose_corrector: PoseCorrector | None = None
        self.appearance: Appearances | None = None  # of several recordings

    offsets: Tensor
    quats: Tensor
    log_scales: Tensor
    logit_opacities: Tensor
    colors: Tensor
    neutral: Tensor

    @property
    def local(self) -> LocalGaussians:
        """The parameters of the Gaussians as one record, not copied."""
        return LocalGaussians(self.offsets, self.quats, self.log_scales, self.logit_opacities, self.colors)

    def with_local(self, local: LocalGaussians) -> Avatar:
        """A view of this avatar with other local Gaussians, differentiable in them; everything else is shared."""
        view = copy.copy(self)
        view._parameters = {}
        view.__dict__ |= vars(local)
        return view

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Avatar:
        """As of nn.Module, under `to`, `cpu` and `cuda`; the parts that are no modules follow to the device."""
        super()._apply(fn, recurse)
        device = self.offsets.device
        self.head = moved(self.head, device)
        if self.torso_regression is not None:
            self.torso_regression = moved(self.torso_regression, device)
        if self.pose_corrector is not None:
            self.pose_corrector = moved(self.pose_corrector, device)
        return self

    def __len__(self) -> int:
        return len(self.offsets)

    def posed_layer(self, head: PosedHead, look: tuple[Tensor, Tensor] | None = None) -> PosedLayer | None:
        """The mesh layer in the B poses of `head`; None for an avatar without one.

        Args:
            head: B poses.
            look: `layer_look()` if it is known.
        """
        look = self.layer_look() if look is None else look
        if self.layer is None or look is None:
            return None
        fades, texels = look
        if self.light is not None:
            texels = self.light.lit_texels(texels, self.layer, head.rotation)
        return self.layer.posed(head.vertices, head.rotation, head.translation, fades, texels)

    def layer_look(self) -> tuple[Tensor, Tensor] | None:
        """What the mesh layer has in all poses: fades [N] of the Gaussians and texels [T,3]; None without a layer."""
        if self.layer is None:
            return None
        return self.layer.fades(self.rig.triangles, self.offsets, self.blendshapes.count), self.layer.texels()

    def with_appearance(self, weights: Mapping[str, float]) -> Avatar:
        """A plain copy in a mix of the appearances; see `avatar.model.appearance.with_appearance`."""
        return with_appearance(self, weights)

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics of the colors: 0, the same color from every direction."""
        return 0

    def with_identity(self, params: HeadParams) -> HeadParams:
        """`params` with the identity of this avatar, which is baked into its head; needed for cross-driving."""
        return replace(params, identity=self.head.v_template.new_zeros(0))

    def forward(self, params: HeadParams, *, blend: bool = True) -> Gaussians:
        """Gaussians [B,N] in the world for `params` [B]; the identity in `params` is ignored.

        `blend=False` leaves the blendshapes out: only the mesh moves the Gaussians.

        Raises:
            ValueError: a frame of `params` has a NaN or an infinity.
        """
        params.check_finite()
        params = self.with_identity(params)
        weights = self.blendshapes.weights(expression_features(params))
        if not blend:
            weights = torch.zeros_like(weights)
        head = self.rig.posed_head(self.head.skull_vertices(params), *self.head.skull_pose(params))
        return assemble(self, head, self.blendshapes(weights))


def assemble(avatar: Avatar, head: PosedHead, extra: Tensor, look: tuple[Tensor, Tensor] | None = None) -> Gaussians:
    """The Gaussians of a posed head in the world: the only function that makes them.

    The head may come from the head model, with gradients (`Rig.posed_head`), or from a `Poser`, which is faster.

    Args:
        avatar: N Gaussians.
        head: B poses of its head.
        extra: [B,M,CHANNELS] blended offsets of the first M Gaussians, in units of the blendshapes; no wrinkles.
        look: `avatar.layer_look()` if it is known.

    Returns:
        [B,N] Gaussians, and the mesh layer behind them.
    """
    rig = avatar.rig
    sampling = avatar.sampling
    # What the deformation of the mesh adds to the blendshapes.
    stretch = rig.vertex_stretch(head.vertices)
    if avatar.wrinkles is not None:
        extra = avatar.wrinkles(extra, stretch, rig)
    local = ops.deform(avatar.local, extra, avatar.blendshapes.units)
    sh = local.sh if avatar.light is None else avatar.light.lit(local.sh, head.rotation, rig.skin)
    # From the frames of the triangles to the world.
    means, quats, scales = ops.bind(head.vertices, rig.binding, local, head.bones, stretch)
    layer = avatar.posed_layer(head, look)
    return Gaussians(means, quats, sampling.widened(scales), local.opacities, sh, sampling.dilation, layer)

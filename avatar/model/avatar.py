"""The avatar: head model -> blendshapes -> rig -> Gaussians. The only path from parameters to splats."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.model.blendshapes import Blendshapes, expression_features
from avatar.model.rig import Rig
from avatar.types import Gaussians, HeadParams

if TYPE_CHECKING:
    from avatar.refine.track import RefinedTrack


def baked(head: HeadModel, identity: Tensor) -> HeadModel:
    """The head of one person: `identity [S]` becomes the template and the identity basis is dropped.

    The expression basis is rounded to half precision, as the .avatar file keeps it, so that training and use agree.
    """
    shaped = head.identity_vertices(identity).detach()
    rounded = {name: getattr(head, name).half().to(shaped.dtype) for name in ("exprdirs", "curvedirs", "posedirs")}
    return replace(head, v_template=shaped, shapedirs=shaped.new_zeros(len(shaped), 3, 0), **rounded)


class Avatar(nn.Module):
    """N Gaussians on one person's head, driven by expression, jaw, gaze and pose.

    The head is baked (`baked`): the avatar needs neither the capture nor the head model's file again.
    """

    def __init__(self, head: HeadModel, rig: Rig, blendshapes: Blendshapes, initial: dict[str, Tensor]) -> None:
        """Args: a baked head, the rig, the blendshapes and the initial local Gaussians.

        `initial` holds offsets [N,3] meters, quats [N,4], log_scales [N,3], logit_opacities [N], colors [N,3], and
        `neutral [E]`, the expression weights this person's resting face was tracked with.
        """
        super().__init__()
        self.head = head
        self.rig = rig
        self.blendshapes = blendshapes
        self.offsets = nn.Parameter(initial["offsets"].clone())
        self.quats = nn.Parameter(initial["quats"].clone())
        self.log_scales = nn.Parameter(initial["log_scales"].clone())
        self.logit_opacities = nn.Parameter(initial["logit_opacities"].clone())
        self.colors = nn.Parameter(initial["colors"].clone())
        self.register_buffer("neutral", initial["neutral"].clone())
        self.summary: dict[str, object] = {}
        self.refined: RefinedTrack | None = None  # what training found out about its frames

    neutral: Tensor

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def sh_degree(self) -> int:
        """Degree of the spherical harmonics of its colors: 0, the same from everywhere."""
        return 0

    def with_identity(self, params: HeadParams) -> HeadParams:
        """`params` with this avatar's own (baked) identity: what cross-driving needs."""
        return replace(params, identity=self.head.v_template.new_zeros(0))

    def forward(self, params: HeadParams, *, blend: bool = True) -> Gaussians:
        """Gaussians [B,N] in the world for `params` (its identity is ignored: the person is baked in).

        `blend=False` leaves the blendshapes out: the mesh alone moves the Gaussians.
        """
        params = self.with_identity(params)
        rotation, translation = self.head.skull_pose(params)
        weights = self.blendshapes.weights(expression_features(params))
        if not blend:
            weights = torch.zeros_like(weights)
        return self.assemble(self.head.skull_vertices(params), weights, rotation, translation)

    def assemble(
        self,
        vertices: Tensor,
        weights: Tensor,
        rotation: Tensor,
        translation: Tensor,
        torso: tuple[Tensor, Tensor] | None = None,
    ) -> Gaussians:
        """Gaussians [B,N] from skull-frame vertices [B,V,3], blend weights [B,K] and skull poses [B,3,3], [B,3].

        `torso` is the torso's pose [B,3,3], [B,3] where it is known.
        """
        return self.place(self.blendshapes(weights), vertices, rotation, translation, torso)

    def place(
        self,
        extra: Tensor,
        vertices: Tensor,
        rotation: Tensor,
        translation: Tensor,
        torso: tuple[Tensor, Tensor] | None = None,
    ) -> Gaussians:
        """Gaussians [B,N] from blended offsets `extra` [B,M,CHANNELS]; the rest as for `assemble`."""
        offsets, quats, scales, opacities, sh = ops.deform(
            self.offsets, self.quats, self.log_scales, self.logit_opacities, self.colors, extra, self.blendshapes.units
        )
        means, world_quats = self.rig.place(vertices, offsets, quats, rotation, translation, torso)
        return Gaussians(means, world_quats, scales, opacities, sh)

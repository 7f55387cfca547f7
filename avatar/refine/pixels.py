"""What the controls of the expression do to the pixels of a rendered avatar."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.reference.motion import image_gradients
from avatar.refine.controls import Controls
from avatar.refine.targets import Rendered, Targets
from avatar.types import Camera, Gaussians, HeadParams, PosedHead, PosedLayer

#: Principal components of the changes of all Gaussians, so many that about 1 % of their energy is left out; with the
#: depth a multiple of three, the channels of a pass.
_COMPONENTS = 44
#: Pixels of an image that are used at most, those that change most.
_PIXELS = 6000
#: Change of color by a motion of one meter, for the balance of both in the components.
_SLOPE = 50.0
_NEAR = 1e-3  # meters, smallest depth to divide by


@dataclass(frozen=True)
class ControlMotion:
    """Changes of the Gaussians and vertices of an avatar per unit of each of P controls, as weights of C components."""

    gaussians: Tensor  # [N,C]
    vertices: Tensor  # [V,C]
    motion: Tensor  # [C,3,P] meters, skull frame
    color: Tensor  # [C,3,P]

    @staticmethod
    @torch.no_grad()
    def of(avatar: Avatar, params: HeadParams, controls: Controls) -> ControlMotion:
        """Finite differences at the head parameters `params` [1]."""
        moved, step = controls.stepped(params)
        count = len(controls)
        weights = avatar.weights(expression_features(moved))
        vertices = avatar.head.skull_vertices(moved)
        out = assemble(avatar, PosedHead.in_skull_frame(vertices), avatar.blendshapes(weights))

        def change(values: Tensor, unit: float) -> Tensor:
            return ((values[1:] - values[:1]) * (unit / step[:, None, None])).permute(1, 2, 0).flatten(1)  # [n,3 P]

        of_gaussians = torch.cat([change(out.means, _SLOPE), change(out.sh[:, :, 0], SH_C0)], 1)
        of_vertices = torch.nn.functional.pad(change(vertices, _SLOPE), (0, 3 * count))
        energy = (of_gaussians.T @ of_gaussians + of_vertices.T @ of_vertices).double()
        # In units in which all controls change the avatar as much.
        unit = energy.diagonal().view(6, count).sum(0).clamp_min(1e-12).sqrt().repeat(6)
        basis = torch.linalg.eigh(energy / (unit[:, None] * unit))[1].flip(1)[:, :_COMPONENTS]  # [6 P,C]
        weights, back = ((basis * scale[:, None]).float() for scale in (1 / unit, unit))
        motion, color = back.T.unflatten(1, (2, 3, count)).unbind(1)
        return ControlMotion(of_gaussians @ weights, of_vertices @ weights, motion / _SLOPE, color)


@dataclass(frozen=True)
class PixelMotion:
    """Changes of n pixels in each of m images per unit of each control."""

    chosen: Tensor  # [m,n] int, indices of the pixels
    flow: Tensor  # [m,n,2,P] pixels, times alpha
    color: Tensor  # [m,n,3,P] of the color in place

    @staticmethod
    def of(
        change: ControlMotion, gaussians: Gaussians, rendered: Rendered, targets: Targets, row: Tensor, turn: Tensor
    ) -> PixelMotion:
        """The pixels that change most.

        Args:
            change: of the avatar by the controls.
            gaussians: [s,N] of the states.
            rendered: these Gaussians in m images.
            targets: m images.
            row: [m] int, the state of each image.
            turn: [m,3,3] skull frame -> camera axes.
        """
        camera = targets.camera
        depth = camera.to_camera(gaussians.means[row])[..., 2:]
        of_layer = None
        if rendered.layer is not None and gaussians.layer is not None:
            of_layer = layer_features(change.vertices, gaussians.layer.select(row), rendered.layer.images, camera)
        # Blended like colors, three at a time; the last one is the depth.
        passes = []
        for k in range(0, change.gaussians.shape[1] + 1, 3):
            values = change.gaussians[:, k : k + 3].expand(len(row), -1, -1)
            values = values.contiguous() if values.shape[2] == 3 else torch.cat([values, depth], 2)
            layer = None if of_layer is None else of_layer[..., k : k + 3].contiguous()
            passes.append(ops.splat_features(rendered.prepared, values, layer))
        blended = torch.cat(passes, -1).flatten(1, 2)  # [m,h w,C + 1]
        features = blended[..., :-1]
        _, chosen = features.square().sum(-1).topk(min(_PIXELS, blended.shape[1]))
        found = features.gather(1, chosen[..., None].expand(-1, -1, features.shape[2]))
        depth = (blended[..., -1] / rendered.alpha.flatten(1).clamp_min(_NEAR)).gather(1, chosen)[..., None]
        scale = 1 / depth.clamp_min(_NEAR)
        K = camera.K[:, None]
        x = (chosen % camera.width + 0.5 - K[..., 0, 2])[..., None]
        y = (chosen // camera.width + 0.5 - K[..., 1, 2])[..., None]
        motion = torch.einsum("mij,cjp->micp", turn, change.motion)  # [m,3,C,P] camera axes
        dx, dy, dz = (found @ motion[:, axis] for axis in range(3))  # [m,n,P]
        u = scale * (K[..., 0, :1] * dx - x * dz)
        v = scale * (K[..., 1, 1:2] * dy - y * dz)
        color = torch.stack([found @ change.color[:, channel] for channel in range(3)], 2)
        return PixelMotion(chosen, torch.stack([u, v], 2), color)

    def normal(self, image: Tensor, residual: Tensor, robust: Tensor) -> tuple[Tensor, Tensor]:
        """Gauss-Newton matrix [m,P,P] and gradient [m,P] by the controls, half of the cost's derivatives.

        A pixel changes by the change of its color minus the image's gradient times its flow (Lucas and Kanade 1981).

        Args:
            image: [m,h,w,3] rendered.
            residual: [m,h,w,3].
            robust: [m,h,w] weight of each pixel.
        """
        values = torch.cat([residual, *image_gradients(image), robust[..., None]], -1).flatten(1, 2)
        found = values.gather(1, self.chosen[..., None].expand(-1, -1, values.shape[2]))  # [m,n,10]
        difference, gx, gy = (found[..., 3 * k : 3 * k + 3, None] for k in range(3))
        jacobian = self.color - gx * self.flow[:, :, None, 0] - gy * self.flow[:, :, None, 1]  # [m,n,3,P]
        weighted = (jacobian * found[..., 9, None, None]).flatten(1, 2).transpose(1, 2)
        return weighted @ jacobian.flatten(1, 2), (weighted @ difference.flatten(1, 2))[..., 0]


def layer_features(values: Tensor, posed: PosedLayer, images: ops.LayerImages, camera: Camera) -> Tensor:
    """Values [V,C] of the vertices, and depth, in the pixels of a layer [m,h,w,C + 1], premultiplied with coverage."""
    world = posed.vertices @ posed.rotation.transpose(1, 2) + posed.translation[:, None]
    vertices = camera.to_camera(world)
    _, height, width = images.coverage.shape
    K = camera.K.clone()
    K[:, :2, 2] -= images.origin.to(K)
    face, shares, _ = ops.mesh(vertices, posed.mesh.faces, K, width, height)
    out = values.new_zeros(*images.coverage.shape, values.shape[1] + 1)
    image, y, x = torch.nonzero(face >= 0, as_tuple=True)
    corners = posed.mesh.faces[face[image, y, x].long()].long()  # [k,3]
    of_pixel = (values[corners] * shares[image, y, x][..., None]).sum(1)
    out[image, y, x, :-1] = of_pixel * images.coverage[image, y, x][:, None]
    out[..., -1] = images.coverage * images.depth
    return out

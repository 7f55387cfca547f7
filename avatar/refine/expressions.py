"""Expressions of tracked frames, refined against an avatar: Gauss-Newton with image derivatives from rendered flow.

The motion and change of color of every Gaussian by each control are computed once for a few neighboring frames.
Blending them like colors gives the optical flow of each pixel, which replaces finite differences of whole images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.geometry.rotations import SH_C0
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.reference.motion import geman_mcclure, image_gradients
from avatar.refine.controls import Controls
from avatar.refine.crops import face_crop
from avatar.refine.options import RefineOptions
from avatar.refine.states import add_by_row, solve_chunks
from avatar.refine.targets import Rendered, Targets, render_targets
from avatar.types import Camera, Gaussians, HeadParams, PosedHead, PosedLayer

_LARGEST = 0.4  # largest change of a control in one step
_NEAR = 1e-3  # meters, smallest depth to divide by


@dataclass(frozen=True)
class ExpressionFit:
    """Refined controls of S states."""

    values: Tensor  # [S,P]
    information: Tensor  # [S,P,P] Hessian of the cost, without the anchor to the landmarks' values
    cost: tuple[float, float]  # mean over frames, before and after


def refine_expressions(
    avatar: Avatar,
    targets: Targets,
    states: HeadStates,
    controls: Controls,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None = None,
) -> ExpressionFit:
    """Refine the controls of `states` [S] so that the rendered face matches the images; poses stay.

    Args:
        avatar: the avatar; it is not changed.
        targets: images of the states.
        states: the initial values, to which the controls are anchored.
        controls: the expression weights to refine, and the gaze.
        options: weights and limits.
        progress: called with (states done, S).
    """
    parts = solve_chunks(
        lambda rows: _Chunk(avatar, targets, states, rows, controls, options).solve(),
        len(states),
        targets.chunk_size(len(states)),
        states.rotation.device,
        progress,
    )
    values, information, before, after = (torch.cat([part[k] for part in parts]) for k in range(4))
    return ExpressionFit(values, information, (float(before.mean()), float(after.mean())))


class _Chunk:
    """A few neighboring states, solved in one batch."""

    def __init__(
        self,
        avatar: Avatar,
        targets: Targets,
        states: HeadStates,
        chosen: Tensor,
        controls: Controls,
        options: RefineOptions,
    ) -> None:
        self.avatar = avatar
        self.controls = controls
        self.options = options
        self.states = states[chosen]
        whole, self.row = targets.of_states(chosen)
        self.targets = face_crop(avatar, whole, self.states, self.row)
        # The option is for images of `options.size`; a larger image has more pixels.
        self.anchor_weight = options.pull * (max(whole.camera.width, whole.camera.height) / options.size) ** 2

    @torch.no_grad()
    def solve(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Controls [s,P], information [s,P,P], cost before and after [s]."""
        start = self.controls.read(self.states.params)
        values = best = start.clamp(self.controls.low, self.controls.high)
        cost = start.new_full((len(start),), torch.inf)
        first = cost
        flows: tuple[Tensor, Tensor] | None = None
        matrix = gradient = information = start.new_zeros(0)
        for iteration in range(self.options.expression_iterations + 1):
            gaussians = self._gaussians(self.controls.write(self.states.params, values))
            rendered = render_targets(gaussians, self.targets, self.row)
            if flows is None:
                flows = self._flows(gaussians, rendered)
            now, new_matrix, new_gradient = self._normal(rendered.rgb + (1 - rendered.alpha)[..., None], flows)
            change = values - start
            now = now + self.anchor_weight * change.square().sum(1)
            better = now < cost
            if iteration == 0:
                first = now
                matrix = new_matrix
                gradient = new_gradient
                information = new_matrix
            cost = torch.where(better, now, cost)
            best = torch.where(better[:, None], values, best)
            matrix = torch.where(better[:, None, None], new_matrix, 2 * matrix)  # worse: a shorter step
            information = torch.where(better[:, None, None], new_matrix, information)
            gradient = torch.where(better[:, None], new_gradient + self.anchor_weight * change, gradient)
            if iteration < self.options.expression_iterations:
                values = self._step(best, matrix, gradient)
        return best, information, first, cost

    def _step(self, values: Tensor, matrix: Tensor, gradient: Tensor) -> Tensor:
        eye = np.eye(len(self.controls))
        least, most = (limit.double().cpu().numpy() for limit in (self.controls.low, self.controls.high))
        now, hessians, slopes = (value.double().cpu().numpy() for value in (values, matrix, gradient))
        low = np.maximum(least, now - _LARGEST)
        high = np.minimum(most, now + _LARGEST)
        out = np.empty_like(low)
        for index, hessian in enumerate(hessians):
            damped = hessian + eye * self.anchor_weight + np.diag(1e-2 * np.diag(hessian))
            right = damped @ now[index] - slopes[index]
            out[index] = _box_constrained(damped, right, low[index], high[index])
        return torch.from_numpy(out).float().to(values.device)

    def _gaussians(self, params: HeadParams) -> Gaussians:
        avatar = self.avatar
        states = self.states
        weights = avatar.weights(expression_features(params))
        vertices = avatar.head.skull_vertices(params)
        head = avatar.rig.posed_head(vertices, states.rotation, states.translation, states.torso)
        return assemble(avatar, head, avatar.blendshapes(weights))

    def _motions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Change of position (meters, skull frame) and of color of every Gaussian by each control, [P,N,3] each.

        The third is the same of every vertex, [P,V,3]. They are finite differences at the mean of the states.
        """
        mean = self.states.params[torch.zeros(1, dtype=torch.int64, device=self.row.device)]
        mean.expression[:] = self.states.params.expression.mean(0)
        mean.joint_rot[:] = self.states.params.joint_rot.mean(0)
        center = self.controls.read(mean)
        step = torch.where(center[0] + self.controls.steps > self.controls.high, -1.0, 1.0) * self.controls.steps
        count = len(self.controls)
        repeated = mean[torch.zeros(count + 1, dtype=torch.int64, device=step.device)]
        moved = self.controls.write(repeated, center + torch.cat([step.new_zeros(1, count), torch.diag(step)]))
        weights = self.avatar.weights(expression_features(moved))
        vertices = self.avatar.head.skull_vertices(moved)
        out = assemble(self.avatar, PosedHead.in_skull_frame(vertices), self.avatar.blendshapes(weights))
        size = step[:, None, None]
        tint = (out.sh[1:, :, 0] - out.sh[:1, :, 0]) * SH_C0 / size
        return (out.means[1:] - out.means[:1]) / size, tint, (vertices[1:] - vertices[:1]) / size

    def _flows(self, gaussians: Gaussians, rendered: Rendered) -> tuple[Tensor, Tensor]:
        """Optical flow [m,P,2,h,w] in pixels and change of color [m,P,3,h,w] of each pixel by each control."""
        motion, tint, vertices = self._motions()
        count = len(self.controls)
        size = motion.shape[1]
        camera = self.targets.camera
        turn = camera.world_to_cam[:, :3, :3] @ self.states.rotation[self.row]
        x, y, z = camera.to_camera(gaussians.means[self.row]).unbind(-1)  # [m,N]
        inverse_depth = 1 / z.clamp_min(_NEAR)
        channels = motion.new_empty(len(turn), 5 * count + (-5 * count) % 3, size)
        channels[:, 5 * count :] = 0
        for image in range(len(turn)):
            dx, dy, dz = (motion @ turn[image].T).unbind(-1)  # [P,N]
            scale = inverse_depth[image]
            K = camera.K[image]
            channels[image, 0 : 5 * count : 5] = K[0, 0] * scale * (dx - x[image] * scale * dz)
            channels[image, 1 : 5 * count : 5] = K[1, 1] * scale * (dy - y[image] * scale * dz)
            for k in range(3):
                channels[image, 2 + k : 5 * count : 5] = tint[..., k]
        of_layer = None
        if rendered.layer is not None and gaussians.layer is not None:
            posed = gaussians.layer.select(self.row)
            images = rendered.layer.images
            flow = layer_flow(posed, images, vertices, turn, camera, _NEAR).permute(0, 3, 4, 1, 2)
            of_layer = torch.nn.functional.pad(flow, (0, 3)).flatten(3)
            of_layer = torch.nn.functional.pad(of_layer, (0, channels.shape[1] - of_layer.shape[3]))
        passes = [
            ops.splat_features(
                rendered.prepared,
                channels[:, k : k + 3].transpose(1, 2).contiguous(),
                None if of_layer is None else of_layer[..., k : k + 3].contiguous(),
            )
            for k in range(0, channels.shape[1], 3)
        ]
        blended = torch.cat(passes, -1)[..., : 5 * count].unflatten(-1, (count, 5)).permute(0, 3, 4, 1, 2)
        return blended[:, :, :2].contiguous(), blended[:, :, 2:].contiguous()

    def _normal(self, image: Tensor, flows: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Cost [s], matrix [s,P,P] and gradient [s,P] of the states from their rendered images [m,h,w,3]."""
        residual = image - self.targets.rgb
        cost, weight = geman_mcclure(residual, self.options.sigma)
        gx, gy = (slope.permute(0, 3, 1, 2)[:, None] for slope in image_gradients(image))
        motion, tint = flows
        jacobian = (tint - gx * motion[:, :, :1] - gy * motion[:, :, 1:]).flatten(2)  # [m,P,3 h w]
        weighted = jacobian * weight[:, None].expand(-1, 3, -1, -1).flatten(1)[:, None]
        weighted = weighted * self.targets.weight[:, None, None]
        matrix = weighted @ jacobian.transpose(1, 2)
        gradient = (weighted @ residual.permute(0, 3, 1, 2).flatten(1)[..., None])[..., 0]
        states = len(self.states)
        count = len(self.controls)
        return (
            add_by_row(cost.new_zeros(states), self.row, cost * self.targets.weight),
            add_by_row(cost.new_zeros(states, count, count), self.row, matrix),
            add_by_row(cost.new_zeros(states, count), self.row, gradient),
        )


def _box_constrained(hessian: np.ndarray, right: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Approximate minimum x [P] of x H x / 2 - b x in low..high: entries beyond a bound are fixed there, in rounds.

    Args:
        hessian: H [P,P].
        right: b [P].
        low: [P].
        high: [P].
    """
    fixed = np.zeros(len(right), bool)
    x = np.zeros(len(right))
    for _ in range(len(right)):
        free = ~fixed
        x[free] = np.linalg.solve(hessian[np.ix_(free, free)], right[free] - hessian[np.ix_(free, fixed)] @ x[fixed])
        beyond = free & ((x < low) | (x > high))
        if not beyond.any():
            break
        x[beyond] = np.clip(x[beyond], low[beyond], high[beyond])
        fixed |= beyond
    return x


def layer_flow(
    posed: PosedLayer, images: ops.LayerImages, motion: Tensor, turn: Tensor, camera: Camera, near: float
) -> Tensor:
    """Flow of each pixel of the layer by P controls of gaze, teeth and tongue, premultiplied with coverage.

    Args:
        posed: the layer in m poses.
        images: [m], of that layer.
        motion: [P,V,3] change of the vertices by each control, meters in the skull frame.
        turn: [m,3,3] skull frame -> camera axes.
        camera: [m].
        near: meters, smallest depth to divide by.

    Returns:
        [m,P,2,h,w] pixels, in the window of `images`.
    """
    batch, height, width = images.coverage.shape
    flow = motion.new_zeros(batch, len(motion), 2, height * width)
    if not height or not width:
        return flow.unflatten(-1, (height, width))
    world = posed.vertices @ posed.rotation.transpose(1, 2) + posed.translation[:, None]
    vertices = world @ camera.world_to_cam[:, :3, :3].transpose(1, 2) + camera.world_to_cam[:, None, :3, 3]
    K = camera.K.clone()
    K[:, :2, 2] -= images.origin.to(K)
    face, bary, _ = ops.mesh(vertices, posed.mesh.faces, K, width, height)
    for image in range(batch):
        pixels = (face[image].flatten() >= 0).nonzero()[:, 0]
        corners = posed.mesh.faces[face[image].flatten()[pixels].long()]
        weights = bary[image].reshape(-1, 3)[pixels][..., None]  # [n,3,1]
        x, y, z = (vertices[image, corners] * weights).sum(1).unbind(-1)  # [n]
        dx, dy, dz = ((motion[:, corners] * weights).sum(2) @ turn[image].T).unbind(-1)  # [P,n]
        scale = images.coverage[image].flatten()[pixels] / z.clamp_min(near)
        of_image = flow[image]
        of_image[:, 0, pixels] = K[image, 0, 0] * scale * (dx - x / z.clamp_min(near) * dz)
        of_image[:, 1, pixels] = K[image, 1, 1] * scale * (dy - y / z.clamp_min(near) * dz)
    return flow.unflatten(-1, (height, width))

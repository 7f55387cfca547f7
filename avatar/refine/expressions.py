"""Expressions of tracked frames, refined against an avatar: Gauss-Newton with the optical flow of its pixels.

Flow and change of color are computed once for a few neighboring frames, in place of finite differences of images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.model.avatar import Avatar, assemble
from avatar.model.blendshapes import expression_features
from avatar.reference.motion import geman_mcclure
from avatar.refine.controls import Controls
from avatar.refine.crops import face_crop
from avatar.refine.options import RefineOptions
from avatar.refine.pixels import ControlMotion, PixelMotion
from avatar.refine.states import add_by_row, solve_chunks
from avatar.refine.targets import Rendered, Targets, render_targets
from avatar.types import Gaussians, HeadParams

_LARGEST = 0.4  # largest change of a control in one step


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
    with ops.one_thread():  # the bits of a matrix product depend on the number of threads
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
        self.constants = avatar.constants()
        self.change = _change(avatar, states[chosen].params, controls)
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
        pixels: PixelMotion | None = None
        matrix = gradient = information = start.new_zeros(0)
        for iteration in range(self.options.expression_iterations + 1):
            gaussians = self._gaussians(self.controls.write(self.states.params, values))
            rendered = render_targets(gaussians, self.targets, self.row)
            if pixels is None:
                pixels = self._pixels(gaussians, rendered)
            now, new_matrix, new_gradient = self._normal(rendered.rgb + (1 - rendered.alpha)[..., None], pixels)
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

    def _pixels(self, gaussians: Gaussians, rendered: Rendered) -> PixelMotion:
        turn = self.targets.camera.world_to_cam[:, :3, :3] @ self.states.rotation[self.row]
        return PixelMotion.of(self.change, gaussians, rendered, self.targets, self.row, turn)

    def _gaussians(self, params: HeadParams) -> Gaussians:
        avatar = self.avatar
        states = self.states
        weights = avatar.weights(expression_features(params))
        vertices = avatar.head.skull_vertices(params)
        head = avatar.rig.posed_head(vertices, states.rotation, states.translation, states.torso)
        return assemble(avatar, head, avatar.blendshapes(weights), self.constants)

    def _normal(self, image: Tensor, pixels: PixelMotion) -> tuple[Tensor, Tensor, Tensor]:
        """Cost [s], matrix [s,P,P] and gradient [s,P] of the states from their rendered images [m,h,w,3]."""
        residual = image - self.targets.rgb
        cost, robust = geman_mcclure(residual, self.options.sigma)
        robust = robust * self.targets.weight[:, None, None]
        matrix, gradient = pixels.normal(image, residual, robust)
        states = len(self.states)
        count = len(self.controls)
        return (
            add_by_row(cost.new_zeros(states), self.row, cost * self.targets.weight),
            add_by_row(cost.new_zeros(states, count, count), self.row, matrix),
            add_by_row(cost.new_zeros(states, count), self.row, gradient),
        )


def _change(avatar: Avatar, params: HeadParams, controls: Controls) -> ControlMotion:
    """Changes by the controls at the mean of `params` [S]."""
    mean = params[torch.zeros(1, dtype=torch.int64, device=params.expression.device)]
    mean.expression[:] = params.expression.mean(0)
    mean.joint_rot[:] = params.joint_rot.mean(0)
    return ControlMotion.of(avatar, mean, controls)


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

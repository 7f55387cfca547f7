"""Poses of tracked frames, refined against an avatar by Levenberg-Marquardt on the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.model.avatar import Avatar, assemble
from avatar.model.torso import TRAVEL_UNIT
from avatar.refine.crops import face_crop
from avatar.refine.options import RefineOptions
from avatar.refine.states import add_by_row, solve_chunks
from avatar.refine.targets import Rendered, Targets, depth_and_torso, render_targets
from avatar.types import Gaussians, TorsoPose

#: Largest step: rotation in radians, translation in meters.
_LARGEST_TURN = 0.06
_LARGEST_SHIFT = 0.015
#: Levenberg-Marquardt damping, relative to the diagonal: initial value, factor after a better step, factor and summand
#: after a worse one, minimum and maximum.
_DAMPING = 1e-3
_SHRINK = 0.3
_GROW = 10.0
_GROW_BY = 1e-2
_DAMPING_MIN = 1e-4
_DAMPING_MAX = 10.0


@dataclass(frozen=True)
class BonePoses:
    """Rigid poses of S states in G groups: the skull (G = 1), or the skull and the torso (G = 2)."""

    rotation: Tensor  # [S,G,3,3] frame of the group -> world, float64
    translation: Tensor  # [S,G,3] meters

    @staticmethod
    def of(avatar: Avatar, states: HeadStates, torso: bool) -> BonePoses:
        """The poses of `states`; with `torso` also those of the torso, from the rig's torso map if not known."""
        rotation = [states.rotation]
        translation = [states.translation]
        if torso:
            with torch.no_grad():
                torso_pose = (
                    avatar.rig.torso(states.rotation, states.translation) if states.torso is None else states.torso
                )
            rotation.append(torso_pose.rotation)
            translation.append(torso_pose.translation)
        return BonePoses(torch.stack(rotation, 1).double(), torch.stack(translation, 1).double())

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: Tensor) -> BonePoses:
        return BonePoses(self.rotation[rows], self.translation[rows])

    def pivots(self, avatar: Avatar) -> Tensor:
        """Pivots of rotation [S,G,3] in the world: the origin of the skull frame, the base of the neck."""
        return self.about(local_pivots(avatar, self.rotation.shape[1])).translation

    def about(self, points: Tensor) -> BonePoses:
        """The same poses with `points` [G,3] of the groups' frames as origins of these frames."""
        return BonePoses(self.rotation, self.translation + (self.rotation @ points[..., None])[..., 0])

    def after_motion(self, step: Tensor, pivots: Tensor) -> BonePoses:
        """These poses after the motion `step` [S,6 G]: rotations (rad, world axes) about `pivots`, translations (m)."""
        motions = step.unflatten(1, (-1, 6))
        turn = axis_angle_to_matrix(motions[..., :3])
        arm = self.translation - pivots
        return BonePoses(turn @ self.rotation, (turn @ arm[..., None])[..., 0] + pivots + motions[..., 3:])

    def where(self, mask: Tensor, other: BonePoses) -> BonePoses:
        """These poses where `mask` [S] holds, those of `other` elsewhere."""
        rotation = torch.where(mask[:, None, None, None], self.rotation, other.rotation)
        return BonePoses(rotation, torch.where(mask[:, None, None], self.translation, other.translation))

    def with_changes(self, rows: Tensor, fitted: BonePoses, time: np.ndarray, pivots: Tensor) -> BonePoses:
        """These poses with the changes of some of them, interpolated in time.

        Args:
            rows: [r] int, increasing.
            fitted: the `rows` after their change.
            time: [S] seconds, increasing.
            pivots: [G,3] in the frames of the groups; translations are those of the pivots.
        """
        before, after = self.about(pivots), fitted.about(pivots)
        turn = matrix_to_axis_angle(after.rotation @ before.rotation[rows].transpose(-1, -2))
        change = torch.cat([turn, after.translation - before.translation[rows]], -1)  # [r,G,6]
        known = rows.cpu().numpy()
        second = np.clip(np.searchsorted(known, np.arange(len(self))), 0, len(known) - 1)
        first = np.where(known[second] > np.arange(len(self)), np.maximum(second - 1, 0), second)
        span = time[known[second]] - time[known[first]]
        passed = np.where(span > 0, (time - time[known[first]]) / np.where(span > 0, span, 1), 0)
        weight = torch.from_numpy(passed.clip(0, 1)).to(change)[:, None, None]
        of_first, of_second = (change[torch.from_numpy(index).to(rows.device)] for index in (first, second))
        every = (1 - weight) * of_first + weight * of_second
        moved = BonePoses(axis_angle_to_matrix(every[..., :3]) @ before.rotation, before.translation + every[..., 3:])
        return moved.about(-pivots)


def local_pivots(avatar: Avatar, groups: int) -> Tensor:
    """Pivots of rotation [G,3] in the frames of the groups."""
    pivot = avatar.rig.torso.pivot
    return torch.stack([torch.zeros_like(pivot), pivot])[:groups].double()


@dataclass(frozen=True)
class PoseFit:
    """Refined poses of S states and the curvature of their cost."""

    poses: BonePoses
    pivots: Tensor  # [G,3] in the frames of the groups
    information: Tensor  # [S,D,D] Hessian of the cost by rotations about the pivots and translations, world axes
    cost: Tensor  # [S] before the last step
    cost_before: Tensor  # [S]
    evaluations: int  # of states

    @staticmethod
    def joined(fits: Sequence[PoseFit], rows: Tensor) -> PoseFit:
        """The fit of S states from fits of some of them; `rows` [S] int are the states of all fits, in their order."""
        order = rows.argsort()

        def join(*values: Tensor) -> Tensor:
            return torch.cat(values)[order]

        poses = BonePoses(join(*(fit.poses.rotation for fit in fits)), join(*(fit.poses.translation for fit in fits)))
        information, cost, before = (
            join(*(getattr(fit, name) for fit in fits)) for name in ("information", "cost", "cost_before")
        )
        return PoseFit(poses, fits[0].pivots, information, cost, before, sum(fit.evaluations for fit in fits))


def refine_poses(
    avatar: Avatar,
    targets: Targets,
    states: HeadStates,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None = None,
    face_weight: float = 0.0,
    initial: BonePoses | None = None,
) -> PoseFit:
    """Refine the poses of `states` [S] so that the rendered avatar matches the images; expressions stay.

    Args:
        avatar: the avatar; it is not changed.
        targets: images of the states; states without an image keep their poses.
        states: the initial poses.
        options: weights and limits.
        progress: called with (states done, S).
        face_weight: weight of a pixel of the crop round eyes and mouth, beside that of a pixel of the whole image.
        initial: [S] poses from which the fit starts; None: those of `states`.
    """
    fits = solve_chunks(
        lambda rows: _Chunk(avatar, targets, states, rows, options, face_weight, initial).solve(),
        len(states),
        targets.chunk_size(len(states)),
        states.rotation.device,
        progress,
    )
    return PoseFit.joined(fits, torch.arange(len(states), device=states.rotation.device))


class _Chunk:
    """A few states, solved in one batch by Levenberg-Marquardt."""

    def __init__(
        self,
        avatar: Avatar,
        targets: Targets,
        states: HeadStates,
        chosen: Tensor,
        options: RefineOptions,
        face_weight: float,
        initial: BonePoses | None,
    ) -> None:
        self.avatar = avatar
        self.options = options
        whole, self.row = targets.of_states(chosen)
        self.states = states[chosen]
        self.targets = [whole]
        if face_weight > 0:
            face = face_crop(avatar, whole, self.states, self.row)
            self.targets.append(replace(face, weight=face_weight * face.weight))
        with torch.no_grad():
            self.extra = avatar.blendshapes(avatar.weights(self.states.features))
            self.constants = avatar.constants()
        self.start = BonePoses.of(avatar, self.states, options.torso) if initial is None else initial[chosen]

    @torch.no_grad()
    def solve(self) -> PoseFit:
        count = len(self.start)
        size = 6 * self.start.rotation.shape[1]
        best = self.start
        trial = self.start
        first = best.rotation.new_zeros(count)
        cost = torch.full_like(first, torch.inf)
        damping = torch.full_like(first, _DAMPING)
        matrix = first.new_zeros(count, size, size)
        gradient = first.new_zeros(count, size)
        active = torch.ones_like(first, dtype=torch.bool)
        evaluations = 0
        for iteration in range(self.options.iterations + 1):
            rows = torch.nonzero(active)[:, 0]
            now, equations = self._evaluate(trial[rows], rows)
            evaluations += len(rows)
            better = now < cost[rows]
            won = rows[better]
            if iteration == 0:
                first[rows] = now
            cost[won] = now[better]
            matrix[won] = equations[0][better]
            gradient[won] = equations[1][better]
            accepted = torch.zeros_like(active)
            accepted[won] = True
            best = trial.where(accepted, best)
            damping = torch.where(accepted, damping * _SHRINK, damping * _GROW + _GROW_BY)
            damping.clamp_(_DAMPING_MIN, _DAMPING_MAX)
            if iteration == self.options.iterations:
                break
            step = self._step(matrix, gradient, damping)
            trial = best.after_motion(step, best.pivots(self.avatar))
            # The last step is so small that its cost needs no evaluation.
            last = active & (-(gradient * step).sum(1) <= self.options.tolerance * cost)
            best = trial.where(last, best)
            active &= ~last
            if not active.any():
                break
        return PoseFit(best, local_pivots(self.avatar, size // 6), matrix, cost, first, evaluations)

    def _step(self, matrix: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
        diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
        damped = matrix + torch.diag_embed(damping[:, None] * diagonal + 1e-9)
        step = -torch.linalg.solve(damped, gradient)
        limit = step.new_tensor([_LARGEST_TURN] * 3 + [_LARGEST_SHIFT] * 3).repeat(step.shape[1] // 6)
        return step / (step.abs() / limit).amax(1, keepdim=True).clamp_min(1)

    def _evaluate(self, poses: BonePoses, rows: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Cost [r] and normal equations [r,D,D], [r,D] in world axes of the states `rows` at `poses` [r]."""
        gaussians = self._place(poses, rows)
        size = 6 * poses.rotation.shape[1]
        cost = poses.rotation.new_zeros(len(rows))
        matrix = cost.new_zeros(len(rows), size, size)
        gradient = cost.new_zeros(len(rows), size)
        for whole in self.targets:
            targets, row = self._images(whole, rows)
            rendered = render_targets(gaussians, targets, row)
            features = depth_and_torso(self.avatar, gaussians.means[row], targets, rendered)
            if self.states.still:
                features[..., 1] = 0  # the torso moves with the skull
            normal = self._normal(poses, targets, row, rendered, features)
            for total, term in zip((matrix, gradient, cost), normal, strict=True):
                add_by_row(total, row, term)
        self._add_torso_prior(poses, rows, cost, matrix, gradient)
        return cost, (matrix, gradient)

    def _images(self, targets: Targets, rows: Tensor) -> tuple[Targets, Tensor]:
        """The m images of the states `rows` [r], and the position of each image's state in `rows`, [m]."""
        if len(rows) == len(self.start):
            return targets, self.row
        position = rows.new_full((len(self.start),), -1)
        position[rows] = torch.arange(len(rows), device=rows.device)
        images = torch.nonzero(position[self.row] >= 0)[:, 0]
        return targets.select(images), position[self.row[images]]

    def _place(self, poses: BonePoses, rows: Tensor) -> Gaussians:
        rotation = poses.rotation.float()
        translation = poses.translation.float()
        torso = self.states[rows].torso
        if self.states.still:
            torso = TorsoPose(rotation[:, 0], translation[:, 0])
        elif rotation.shape[1] > 1:
            torso = TorsoPose(rotation[:, 1], translation[:, 1])
        head = self.avatar.rig.posed_head(self.states.vertices[rows], rotation[:, 0], translation[:, 0], torso)
        return assemble(self.avatar, head, self.extra[rows], self.constants)

    def _normal(
        self, poses: BonePoses, targets: Targets, row: Tensor, rendered: Rendered, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Matrix [m,D,D], gradient [m,D] and cost [m] of each image, in world axes.

        Args:
            poses: [r] of the states.
            targets: m images.
            row: [m] int, the state of each image.
            rendered: the avatar at these poses.
            features: [m,H,W,3] of `depth_and_torso`.
        """
        view = targets.camera.world_to_cam.double()
        pivots = poses.pivots(self.avatar)[row]
        # In double precision, unlike `Camera.to_camera`.
        seen = (view[:, None, :3, :3] @ pivots[..., None])[..., 0] + view[:, None, :3, 3]
        matrix, gradient, cost = (
            term.double()
            for term in ops.rigid_normal(
                rendered.rgb, rendered.alpha, targets.rgb, features, targets.camera.K, seen.float(), self.options.sigma
            )
        )
        # The kernel's derivatives are along the axes of the camera; rotate them to the axes of the world.
        blocks = 2 * pivots.shape[1]
        mask = torch.block_diag(*[view.new_ones(3, 3)] * blocks)
        axes = view[:, :3, :3].repeat(1, blocks, blocks) * mask
        gradient = (axes.transpose(1, 2) @ gradient[..., None])[..., 0]
        weight = targets.weight.double()
        matrix = axes.transpose(1, 2) @ matrix @ axes
        return matrix * weight[:, None, None], gradient * weight[:, None], cost * weight

    def _add_torso_prior(self, poses: BonePoses, rows: Tensor, cost: Tensor, matrix: Tensor, gradient: Tensor) -> None:
        """Add, in place, the L2 anchor of the torso to its initial pose if known, else to that of the rig's map.

        Few pixels show the torso.

        Args:
            poses: [r].
            rows: [r] int, states.
            cost: [r].
            matrix: [r,D,D].
            gradient: [r,D].
        """
        if matrix.shape[1] == 6:
            return
        if self.states.torso is None:
            pose = self.avatar.rig.torso(poses.rotation[:, 0].float(), poses.translation[:, 0].float())
        else:
            pose = self.states.torso[rows]
        anchor = BonePoses(pose.rotation.double()[:, None], pose.translation.double()[:, None])
        torso = BonePoses(poses.rotation[:, 1:], poses.translation[:, 1:])
        difference = torch.cat(
            [
                matrix_to_axis_angle(torso.rotation[:, 0] @ anchor.rotation[:, 0].transpose(1, 2)),
                (self._neck_base(torso) - self._neck_base(anchor)),
            ],
            -1,
        )
        turn = self.options.torso_pull
        weight = difference.new_tensor([turn] * 3 + [turn / TRAVEL_UNIT**2] * 3)
        cost += (weight * difference.square()).sum(-1)
        gradient[:, 6:] += weight * difference
        torch.diagonal(matrix, dim1=1, dim2=2)[:, 6:] += weight

    def _neck_base(self, torso: BonePoses) -> Tensor:
        """Base of the neck [S,3] in the world for torso poses."""
        return (torso.rotation[:, 0] @ self.avatar.rig.torso.pivot.double()) + torso.translation[:, 0]

"""Poses of tracked frames, refined against an avatar by Gauss-Newton on the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.data.training_frames import HeadStates
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.model.avatar import Avatar
from avatar.model.rig import TRAVEL_UNIT
from avatar.refine.options import RefineOptions
from avatar.refine.targets import Drawn, Targets, depth_and_torso, draw
from avatar.types import Gaussians

#: Largest step: radians of a turn, meters of a shift.
_LARGEST_TURN, _LARGEST_SHIFT = 0.06, 0.015
#: Levenberg-Marquardt damping, relative to the diagonal: where it starts, and how it shrinks and grows.
_DAMPING, _SHRINK, _GROW, _GROW_BY, _DAMPING_LEAST, _DAMPING_MOST = 1e-3, 0.3, 10.0, 1e-2, 1e-4, 10.0


@dataclass(frozen=True)
class Poses:
    """Rigid poses of S states: the skull's, and the torso's where it has one of its own (G = 1 or 2 groups)."""

    rotation: Tensor  # [S,G,3,3] -> world, float64
    translation: Tensor  # [S,G,3] meters

    @staticmethod
    def of(avatar: Avatar, states: HeadStates, torso: bool) -> Poses:
        """The poses that `states` have now; a torso without one is where the rig's map puts it."""
        rotation, translation = [states.rotation], [states.translation]
        if torso:
            with torch.no_grad():
                own = states.torso or avatar.rig.torso(states.rotation, states.translation)
            rotation.append(own[0])
            translation.append(own[1])
        return Poses(torch.stack(rotation, 1).double(), torch.stack(translation, 1).double())

    def __len__(self) -> int:
        return len(self.rotation)

    def __getitem__(self, rows: Tensor) -> Poses:
        return Poses(self.rotation[rows], self.translation[rows])

    def pivots(self, avatar: Avatar) -> Tensor:
        """World points [S,G,3] that the groups turn about: the skull frame's origin, the foot of the neck."""
        return self.about(own_pivots(avatar, self.rotation.shape[1])).translation

    def about(self, points: Tensor) -> Poses:
        """The same poses told by where `points` [G,3] of the groups' own frames are, instead of the origins."""
        return Poses(self.rotation, self.translation + (self.rotation @ points[..., None])[..., 0])

    def moved(self, step: Tensor, pivots: Tensor) -> Poses:
        """After the motion `step` [S,6 G]: turns (rad, world axes) about `pivots`, and shifts (m)."""
        parts = step.reshape(len(step), -1, 6)
        turn = axis_angle_to_matrix(parts[..., :3])
        arm = self.translation - pivots
        return Poses(turn @ self.rotation, (turn @ arm[..., None])[..., 0] + pivots + parts[..., 3:])

    def where(self, mask: Tensor, other: Poses) -> Poses:
        """These poses where `mask` [S] holds, those of `other` elsewhere."""
        rotation = torch.where(mask[:, None, None, None], self.rotation, other.rotation)
        return Poses(rotation, torch.where(mask[:, None, None], self.translation, other.translation))


def own_pivots(avatar: Avatar, groups: int) -> Tensor:
    """Points [G,3] of the groups' own frames that they turn about."""
    return torch.stack([torch.zeros(3), avatar.rig.torso.pivot])[:groups].double()


@dataclass(frozen=True)
class PoseFit:
    """Refined poses of S states, and what the pictures say about them."""

    poses: Poses
    pivots: Tensor  # [G,3] points of the groups' own frames
    information: Tensor  # [S,D,D] second derivatives of the cost by turns about the pivots and shifts, world axes
    cost: Tensor  # [S] after
    cost_before: Tensor  # [S]
    evaluations: int  # of states


def refine_poses(
    avatar: Avatar,
    targets: Targets,
    states: HeadStates,
    options: RefineOptions,
    progress: Callable[[int, int], None] | None = None,
) -> PoseFit:
    """Refine the poses of `states` [S] so that the avatar looks like the pictures; expressions stay.

    Args:
        avatar: what is drawn; it is not changed.
        targets: pictures of the states; states without one stay where they are.
        states: where to start.
        options: weights and limits.
        progress: called with (states done, S).
    """
    fits = []
    together = targets.together(len(states))
    for start in range(0, max(1, len(states)), together):
        end = min(start + together, len(states))
        fits.append(_Chunk(avatar, targets, states, torch.arange(start, end), options).solve())
        if progress:
            progress(end, len(states))
    poses = Poses(torch.cat([fit.poses.rotation for fit in fits]), torch.cat([fit.poses.translation for fit in fits]))
    information, cost, before = (
        torch.cat([getattr(fit, name) for fit in fits]) for name in ("information", "cost", "cost_before")
    )
    pivots = fits[0].pivots
    return PoseFit(poses, pivots, information, cost, before, sum(fit.evaluations for fit in fits))


class _Chunk:
    """A few states solved side by side by Levenberg-Marquardt."""

    def __init__(
        self, avatar: Avatar, targets: Targets, states: HeadStates, chosen: Tensor, options: RefineOptions
    ) -> None:
        self.avatar, self.options = avatar, options
        self.targets, self.row = targets.of_states(chosen)
        self.states = states[chosen]
        with torch.no_grad():
            self.extra = avatar.blendshapes(avatar.blendshapes.weights(self.states.features))
        self.start = Poses.of(avatar, self.states, options.torso)

    @torch.no_grad()
    def solve(self) -> PoseFit:
        count, size = len(self.start), 6 * self.start.rotation.shape[1]
        best, trial = self.start, self.start
        cost = torch.full((count,), torch.inf, dtype=torch.float64)
        first = torch.zeros(count, dtype=torch.float64)
        matrix = torch.zeros(count, size, size, dtype=torch.float64)
        gradient = torch.zeros(count, size, dtype=torch.float64)
        damping = torch.full((count,), _DAMPING, dtype=torch.float64)
        active = torch.ones(count, dtype=torch.bool)
        evaluations = 0
        for iteration in range(self.options.iterations + 1):
            rows = torch.nonzero(active)[:, 0]
            now, found = self._evaluate(trial[rows], rows)
            evaluations += len(rows)
            better = now < cost[rows]
            gained = (cost[rows] - now) / now.clamp_min(1e-12)
            won = rows[better]
            if iteration == 0:
                first[rows] = now
            cost[won], matrix[won], gradient[won] = now[better], found[0][better], found[1][better]
            accepted = torch.zeros(count, dtype=torch.bool)
            accepted[won] = True
            best = trial.where(accepted, best)
            damping = torch.where(accepted, damping * _SHRINK, damping * _GROW + _GROW_BY)
            damping.clamp_(_DAMPING_LEAST, _DAMPING_MOST)
            done = rows[better & (gained < self.options.tolerance)]
            active[done] = False
            if not active.any():
                break
            trial = best.moved(self._step(matrix, gradient, damping), best.pivots(self.avatar))
        return PoseFit(best, own_pivots(self.avatar, size // 6), matrix, cost, first, evaluations)

    def _step(self, matrix: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
        diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
        damped = matrix + torch.diag_embed(damping[:, None] * diagonal + 1e-9)
        step = -torch.linalg.solve(damped, gradient)
        most = step.new_tensor([_LARGEST_TURN] * 3 + [_LARGEST_SHIFT] * 3).repeat(step.shape[1] // 6)
        return step / (step.abs() / most).amax(1, keepdim=True).clamp_min(1)

    def _evaluate(self, poses: Poses, rows: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Cost [r] and normal equations [r,D,D], [r,D] in world axes of the states `rows` at `poses` [r]."""
        targets, row = self._pictures(rows)
        gaussians = self._place(poses, rows)
        drawn = draw(gaussians, targets, row)
        features = depth_and_torso(self.avatar, gaussians.means[row], targets, drawn)
        normal = self._normal(poses, targets, row, drawn, features)
        cost = torch.zeros(len(rows), dtype=torch.float64).index_add_(0, row, normal[2])
        matrix = torch.zeros(len(rows), *normal[0].shape[1:], dtype=torch.float64).index_add_(0, row, normal[0])
        gradient = torch.zeros(len(rows), normal[1].shape[1], dtype=torch.float64).index_add_(0, row, normal[1])
        self._keep_torso(poses, cost, matrix, gradient)
        return cost, (matrix, gradient)

    def _pictures(self, rows: Tensor) -> tuple[Targets, Tensor]:
        if len(rows) == len(self.start):
            return self.targets, self.row
        place = torch.full((len(self.start),), -1, dtype=torch.int64)
        place[rows] = torch.arange(len(rows))
        kept = torch.nonzero(place[self.row] >= 0)[:, 0]
        return self.targets.at(kept), place[self.row[kept]]

    def _place(self, poses: Poses, rows: Tensor) -> Gaussians:
        rotation, translation = poses.rotation.float(), poses.translation.float()
        torso = (rotation[:, 1], translation[:, 1]) if rotation.shape[1] > 1 else None
        return self.avatar.place(self.extra[rows], self.states.vertices[rows], rotation[:, 0], translation[:, 0], torso)

    def _normal(
        self, poses: Poses, targets: Targets, row: Tensor, drawn: Drawn, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        view = targets.camera.world_to_cam.double()
        pivots = poses.pivots(self.avatar)[row]
        seen = (view[:, None, :3, :3] @ pivots[..., None])[..., 0] + view[:, None, :3, 3]
        matrix, gradient, cost = (
            term.double()
            for term in ops.rigid_normal(
                drawn.rgb, drawn.alpha, targets.rgb, features, targets.camera.K, seen.float(), self.options.sigma
            )
        )
        # Turns and shifts along the camera's axes are those along the world's, turned with the camera.
        blocks = 2 * pivots.shape[1]
        mask = torch.block_diag(*[torch.ones(3, 3, dtype=torch.float64)] * blocks)
        axes = view[:, :3, :3].repeat(1, blocks, blocks) * mask
        gradient = (axes.transpose(1, 2) @ gradient[..., None])[..., 0]
        trust = targets.weight.double()
        matrix = axes.transpose(1, 2) @ matrix @ axes
        return matrix * trust[:, None, None], gradient * trust[:, None], cost * trust

    def _keep_torso(self, poses: Poses, cost: Tensor, matrix: Tensor, gradient: Tensor) -> None:
        """Pull the torso to where the rig's map puts it for this head: often little of it is in the picture."""
        if matrix.shape[1] == 6:
            return
        rotation, translation = self.avatar.rig.torso(poses.rotation[:, 0].float(), poses.translation[:, 0].float())
        likely = Poses(rotation.double()[:, None], translation.double()[:, None])
        own = Poses(poses.rotation[:, 1:], poses.translation[:, 1:])
        away = torch.cat(
            [
                matrix_to_axis_angle(own.rotation[:, 0] @ likely.rotation[:, 0].transpose(1, 2)),
                (self._foot(own) - self._foot(likely)),
            ],
            -1,
        )
        turn = self.options.torso_pull
        pull = away.new_tensor([turn] * 3 + [turn / TRAVEL_UNIT**2] * 3)
        cost += (pull * away.square()).sum(-1)
        gradient[:, 6:] += pull * away
        matrix[:, range(6, 12), range(6, 12)] += pull

    def _foot(self, torso: Poses) -> Tensor:
        """The foot of the neck [S,3] for torso poses."""
        return (torso.rotation[:, 0] @ self.avatar.rig.torso.pivot.double()) + torso.translation[:, 0]

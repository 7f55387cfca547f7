"""Acceptance of refined states: a change of pose or expression is kept only where no region of the head gets worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from avatar.data.image_regions import head_box
from avatar.data.training_frames import HeadStates, TrainingFrames, over_white
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar, assemble
from avatar.refine.controls import Controls
from avatar.refine.states import solve_chunks
from avatar.rendering.render import render
from avatar.types import TorsoPose

REGIONS = ("mouth", "eyes", "head", "hair")
#: Growth of the convex hulls of mouth and eyes, relative to the height of the face.
_GROW = 0.06
#: Images that are rendered in one batch.
_CHUNK = 8
#: Longer side of the compared images at most, pixels.
_SIZE = 256


def accept_changes(
    avatar: Avatar,
    frames: TrainingFrames,
    start: HeadStates,
    refined: HeadStates,
    others: Sequence[HeadStates],
    tolerance: float,
) -> tuple[HeadStates, Tensor]:
    """The refined states where no region gets worse; elsewhere the best of what does not.

    The torso is judged first, by itself, then the head against the initial head on that torso. Tried in place of a
    refined head: the same with the controls of the eyes, or of the mouth, at their initial values, `others`, and the
    middle between both; the initial head is what remains.

    Args:
        avatar: the avatar; it is not changed.
        frames: images of the states.
        start: [S] initial states.
        refined: [S] refined poses and expressions.
        others: [S] each, such as refined poses with the initial expressions.
        tolerance: dB by which a region may be worse.

    Returns:
        States [S], and a mask [S] of those that are not `refined`.
    """
    judge = RegionJudge(avatar, frames, start)
    base, before = _base(judge, start, refined, tolerance)
    after = judge.scores(replace(refined, torso=base.torso), torch.arange(len(start)))
    left = torch.from_numpy(np.flatnonzero(~nowhere_worse(before, after, tolerance)))
    changed = torch.zeros(len(start), dtype=torch.bool)
    if base.torso is not None and refined.torso is not None:
        changed = (base.torso.translation != refined.torso.translation).any(-1).cpu()
    changed[left] = True
    result = replace(refined, torso=base.torso)
    if not len(left):
        return result, changed.to(result.rotation.device)
    candidates = [*_partly(avatar.head, start, refined), *others, halfway(avatar.head, start, refined)]
    candidates = [replace(states, torso=base.torso) for states in candidates]
    scores = np.stack([judge.scores(states, left) for states in candidates])
    gains = np.nansum(scores - before[left.numpy()], -1)
    gains[~nowhere_worse(before[left.numpy()], scores, tolerance)] = -np.inf
    chosen = np.where(gains.max(0) > 0, gains.argmax(0), len(candidates))
    for index, states in enumerate([*candidates, base]):
        result = _replace_rows(result, states, left[torch.from_numpy(chosen == index)])
    return result, changed.to(result.rotation.device)


def _base(
    judge: RegionJudge, start: HeadStates, refined: HeadStates, tolerance: float
) -> tuple[HeadStates, np.ndarray]:
    """The initial heads [S] with the refined torsos that make no region worse, and their scores [S,R]."""
    every = torch.arange(len(start))
    scores = judge.scores(start, every)
    if refined.torso is None:
        return start, scores
    moved = replace(start, torso=refined.torso)
    moved_scores = judge.scores(moved, every)
    worse = ~nowhere_worse(scores, moved_scores, tolerance)
    base = _replace_rows(moved, _with_torso(judge.avatar, start), torch.from_numpy(np.flatnonzero(worse)))
    return base, np.where(worse[:, None], scores, moved_scores)


def nowhere_worse(before: np.ndarray, after: np.ndarray, tolerance: float) -> np.ndarray:
    """Mask [...] of scores [...,R] in dB that are nowhere worse by more than `tolerance`; nan does not count."""
    return np.asarray(~(after < before - tolerance).any(-1))


class RegionJudge:
    """Scores states by the regions of the head in the images; the regions are computed once."""

    def __init__(self, avatar: Avatar, frames: TrainingFrames, start: HeadStates) -> None:
        """
        Args:
            avatar: the avatar; it is not changed.
            frames: images and cameras; their states are not used. Those larger than _SIZE are compared at that size.
            start: [S] states that outline the regions: the same pixels whatever is compared.
        """
        larger = max(frames.camera.width, frames.camera.height) / _SIZE
        self.avatar = avatar
        self.frames = frames.resized(1 / larger) if larger > 1 else frames
        self.start = start
        self._constants = avatar.constants()
        self._steps = frames.step.cpu()
        self._packed: dict[int, np.ndarray] = {}  # image -> bits of its masks: an eighth of their memory

    def scores(self, states: HeadStates, rows: Tensor) -> np.ndarray:
        """PSNR [r,R] of REGIONS in dB, mean over the images of a state; nan where a region has no pixels.

        Args:
            states: [S] to render.
            rows: [r] int on the host, the states that are scored.
        """
        size = max(1, _CHUNK * len(self.start) // max(len(self._steps), 1))
        device = states.rotation.device
        parts = solve_chunks(lambda chunk: self._scores(states, rows[chunk.cpu()]), len(rows), size, device)
        return np.concatenate(parts)

    @torch.no_grad()
    def _scores(self, states: HeadStates, rows: Tensor) -> np.ndarray:
        avatar = self.avatar
        frames = self.frames
        ratios: dict[int, list[list[float]]] = {row: [] for row in rows.tolist()}
        images = torch.nonzero(torch.isin(self._steps, rows))[:, 0]
        for begin in range(0, len(images), _CHUNK):
            chosen = images[begin : begin + _CHUNK]
            of_images = states[self._steps[chosen].to(states.rotation.device)]
            weights = avatar.weights(of_images.features)
            head = avatar.rig.posed_head(of_images.vertices, of_images.rotation, of_images.translation, of_images.torso)
            gaussians = assemble(avatar, head, avatar.blendshapes(weights), self._constants)
            rendered = render(gaussians, frames.views(chosen), with_depth=False).rgb.clamp(0, 1).cpu().numpy()
            for color, index in zip(rendered, chosen.tolist(), strict=True):
                truth = over_white(frames.rgb[index].cpu().numpy(), frames.alpha[index].cpu().numpy())
                error = np.square(color - truth).mean(-1)
                ratios[int(self._steps[index])].append([_psnr(error, mask) for mask in self._masks(index)])
        nothing = [[float("nan")] * len(REGIONS)]
        return np.array([np.mean(values or nothing, axis=0) for values in ratios.values()]).reshape(-1, len(REGIONS))

    def _masks(self, image: int) -> np.ndarray:
        """Masks [R,H,W] of REGIONS in an image."""
        camera = self.frames.camera
        if image not in self._packed:
            (masks,) = region_masks(self.avatar.head, self.frames, self.start, torch.tensor([image]))
            self._packed[image] = np.packbits(np.stack(masks).reshape(len(masks), -1), axis=1)
        bits = np.unpackbits(self._packed[image], axis=1, count=camera.height * camera.width)
        return bits.reshape(len(REGIONS), camera.height, camera.width).view(bool)


def region_masks(head: HeadModel, frames: TrainingFrames, states: HeadStates, images: Tensor) -> list[list[np.ndarray]]:
    """Masks [H,W] of REGIONS, a list for each image, from projected vertices.

    Args:
        head: the baked head.
        frames: cameras of the images.
        states: [S] poses of the head.
        images: [m] int.
    """
    # On the host, as the pixels.
    lips = head.mask("lips").cpu()
    lids = head.mask("eyelids").cpu()
    face = head.mask("face").cpu()
    whole = (head.torso_weight() < 0.1).cpu()
    left = head.v_template[:, 0].cpu() > 0
    vertices = (lips, lids & left, lids & ~left, face, whole)
    result = []
    steps = frames.step.tolist()
    for index in images.tolist():
        step = steps[index]
        world = states.vertices[step] @ states.rotation[step].T + states.translation[step]
        pixels = frames.view(index).project(world, near=1e-3).cpu()
        result.append(_masks(frames.alpha[index].cpu().numpy(), [pixels[mask].numpy() for mask in vertices]))
    return result


def _masks(alpha: np.ndarray, points: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Masks of REGIONS from the matte [H,W] uint8 and pixels [n,2] of mouth, eyes, face and head."""
    height, width = alpha.shape
    mouth, left, right, face, head = points
    tall = float(np.ptp(face[:, 1])) if len(face) else 0.0
    eyes = _hull(left, (height, width), _GROW * tall) | _hull(right, (height, width), _GROW * tall)
    box = np.zeros((height, width), bool)
    if len(head):
        box[head_box(head, width, height)] = True
    chin = float(face[:, 1].max()) if len(face) else height
    above = np.arange(height)[:, None] < chin
    hair = (alpha > 127) & above & ~_hull(face, (height, width), 0.0)
    return [_hull(mouth, (height, width), _GROW * tall), eyes, box, hair]


def _hull(points: np.ndarray, shape: tuple[int, int], grow: float) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    if len(points) >= 3:
        limit = 4 * max(shape)
        cv2.fillConvexPoly(canvas, cv2.convexHull(points.clip(-limit, limit).round().astype(np.int32)), 1)
    side = 2 * round(grow) + 1
    return np.asarray(cv2.dilate(canvas, np.ones((side, side), np.uint8)) > 0)


def _psnr(error: np.ndarray, mask: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(error[mask].mean()), 1e-10))) if mask.any() else float("nan")


def _partly(head: HeadModel, start: HeadStates, refined: HeadStates) -> list[HeadStates]:
    """`refined` with the controls of the eyes, and of the mouth, at the values of `start`; none of unnamed ones."""
    controls = Controls.of(head)
    eyes = controls.of_eyes(head)
    if not eyes.any() or eyes.all():
        return []
    before = controls.read(start.params)
    after = controls.read(refined.params)
    result = []
    for reset in (eyes, ~eyes):
        params = controls.write(refined.params, torch.where(reset, before, after))
        states = HeadStates.of(params, head)
        result.append(replace(states, rotation=refined.rotation, translation=refined.translation, torso=refined.torso))
    return result


def halfway(head: HeadModel, start: HeadStates, refined: HeadStates) -> HeadStates:
    """States in the middle between those of `start` and `refined` [S], with the torsos of `refined`."""
    first = start.params
    second = refined.params
    params = replace(
        first,
        expression=0.5 * (first.expression + second.expression),
        joint_rot=0.5 * (first.joint_rot + second.joint_rot),
    )
    turn = matrix_to_axis_angle(refined.rotation @ start.rotation.transpose(1, 2))
    return replace(
        HeadStates.of(params, head),
        rotation=axis_angle_to_matrix(0.5 * turn) @ start.rotation,
        translation=0.5 * (start.translation + refined.translation),
        torso=refined.torso,
    )


def _with_torso(avatar: Avatar, start: HeadStates) -> HeadStates:
    """`start` with the torsos of the rig's map if it has none, so that it can be combined with fitted ones."""
    if start.torso is not None:
        return start
    with torch.no_grad():
        return replace(start, torso=avatar.rig.torso(start.rotation, start.translation))


def _replace_rows(states: HeadStates, replacement: HeadStates, rows: Tensor) -> HeadStates:
    """`states` with those of `replacement` at `rows` [r] int."""

    def merged(first: Tensor, second: Tensor) -> Tensor:
        index = rows.to(first.device)
        return first.index_copy(0, index, second[index])

    params = replace(
        states.params,
        expression=merged(states.params.expression, replacement.params.expression),
        joint_rot=merged(states.params.joint_rot, replacement.params.joint_rot),
        translation=merged(states.params.translation, replacement.params.translation),
    )
    torso = None
    if states.torso is not None and replacement.torso is not None:
        torso = TorsoPose(
            merged(states.torso.rotation, replacement.torso.rotation),
            merged(states.torso.translation, replacement.torso.translation),
        )
    return HeadStates(
        params,
        merged(states.vertices, replacement.vertices),
        merged(states.features, replacement.features),
        merged(states.rotation, replacement.rotation),
        merged(states.translation, replacement.translation),
        torso,
    )

"""Driving: a motion of any space in, parameters of the avatar out, and pictures of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from avatar.driving.lip_closure import Lips
from avatar.driving.report import DriveReport
from avatar.driving.retargeting import Carrier
from avatar.driving.trained_range import PoseTarget, TrainedRange
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import mean_rotation
from avatar.head.model import HeadModel, is_mode
from avatar.model.avatar import Avatar
from avatar.model.neutral import resting_expression
from avatar.motion.edit import filled, head_rotation
from avatar.rendering.animator import Animator
from avatar.rendering.backends import Rasterizer
from avatar.rendering.render import WHITE, render, to_uint8
from avatar.types import NECK, Camera, HeadParams, Motion

#: Share of the driver's travel (meters) that the avatar makes: two people rarely sit the same way.
TRAVEL_SHARE = 0.5
#: Fewer frames than these say nothing about a resting face or a mean pose.
ENOUGH_FRAMES = 30

Neutral = Literal["resting", "as-is"]
HeadMode = Literal["relative", "absolute", "still"]


@dataclass(frozen=True)
class DriveOptions:
    """How a motion is retold."""

    neutral: Neutral = "resting"
    """resting: the driver's resting face becomes the avatar person's; as-is: weights as the motion has them"""
    head: HeadMode = "relative"
    """relative: turns about the driver's mean pose, set about the avatar's; absolute: turned as in the motion; still"""
    travel: float = TRAVEL_SHARE
    """share of the head's travel about its mean place"""
    soft_clamp: bool = True
    """keep expressions and poses within the avatar's reach"""
    motion_head: HeadModel | None = None
    """the head model the motion was made for; needed for FLAME's expressions on another head"""


@dataclass(frozen=True, eq=False)
class Driver:
    """Retells frames of a motion for one avatar, each on its own: nothing is remembered from one to the next.

    So a frame without a face (confidence 0) is the caller's: skip it and show the parameters of the frame before again,
    and leave it out of what `calibrated` sees.
    """

    avatar: Avatar
    carrier: Carrier
    reach: TrainedRange
    options: DriveOptions
    resting: Tensor  # [E] of the avatar's expressions, the driver's resting face
    own_rest: Tensor  # [E] the avatar person's, which stands in for it
    mean_rotation: Tensor  # [3,3] of the driver's head
    mean_place: Tensor | None  # [3] meters; None before any frame was seen: the avatar then stays in its own place
    lips: Lips | None  # of the avatar's head; None where its landmarks are not known

    @staticmethod
    def of(avatar: Avatar, names: tuple[str, ...], space: str, options: DriveOptions | None = None) -> Driver:
        """A driver for motions with these expression `names`, of a person whose face rests at zero weights.

        Until it is `calibrated` it takes the driver's mean pose for one straight at the camera, and as it cannot tell
        travel from where the driver sits, it leaves the avatar in its own mean place.

        Args:
            avatar: whom to drive.
            names: of the motion's expressions.
            space: of the motion, "arkit52", "flame" or a capture's own.
            options: how; as they come when None.
        """
        options = options or DriveOptions()
        carrier = Carrier.between(tuple(names), space, options.motion_head, avatar.head)
        like = avatar.neutral
        still = torch.zeros_like(like), like, torch.eye(3, dtype=like.dtype, device=like.device), None
        return Driver(avatar, carrier, TrainedRange.of(avatar), options, *still, Lips.of(avatar.head))

    def calibrated(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> Driver:
        """This driver once it has seen frames [T,E], [T,J,3], [T,3] of the person.

        They tell the resting face, the mean pose and where the lips meet; of fewer than ENOUGH_FRAMES only the place is
        taken, and of none nothing. All of them should show a face.
        """
        if not len(weights):
            return self
        weights, joint_rot, translation = self._at_home(weights, joint_rot, translation)
        known = replace(self, mean_place=translation.mean(0))
        if len(weights) < ENOUGH_FRAMES:
            return known
        carried, _ = self.carrier(weights, joint_rot)
        resting = resting_expression(carried)
        gaze = [name.startswith("eyeLook") for name in self.avatar.head.expression_names]
        resting[gaze] = 0
        known = replace(known, resting=resting, mean_rotation=mean_rotation(head_rotation(joint_rot)))
        if self.lips is None:
            return known
        meant = known._on_own_rest(carried.clamp(*self.avatar.head.expression_limits))
        return replace(known, own_rest=self.lips.closing(self.own_rest, meant))

    def __call__(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> HeadParams:
        """Parameters of the avatar for frames of the motion.

        Args:
            weights: [T,E].
            joint_rot: [T,J,3] axis-angle radians.
            translation: [T,3] meters, of the point the head turns about.
        """
        wish = self.wish(weights, joint_rot, translation)
        return self.reach.params(self.reach.within(wish) if self.options.soft_clamp else wish)

    def wish(self, weights: Tensor, joint_rot: Tensor, translation: Tensor) -> PoseTarget:
        """What the motion wants, arguments as for `__call__`: not yet kept within reach."""
        weights, joint_rot, translation = self._at_home(weights, joint_rot, translation)
        carried, turned = self.carrier(weights, joint_rot)
        expression = self._on_own_rest(carried.clamp(*self.avatar.head.expression_limits))
        rotation, place = self._pose(head_rotation(joint_rot), translation)
        turned[:, NECK] = 0
        return PoseTarget(expression, turned, rotation, place)

    def _at_home(self, *values: Tensor) -> Iterator[Tensor]:
        """Tensors of a motion where the avatar is: files and sockets fill the CPU's memory."""
        return (value.to(self.resting) for value in values)

    @cached_property
    def _modes(self) -> Tensor:
        """Which expressions [E] of the avatar are numbered components: they have a sign and no full strength."""
        modes = [is_mode(name) for name in self.avatar.head.expression_names]
        return torch.tensor(modes, device=self.resting.device)

    @cached_property
    def _exchange(self) -> tuple[Tensor, Tensor]:
        """What the avatar's resting face has more than the driver's [E], and the driver's room up to weight 1 [E]."""
        return self.own_rest - self.resting, (1 - self.resting).clamp_min(1e-3)

    @cached_property
    def _mean_turn(self) -> Tensor:
        """[3,3], from the driver's mean pose to the avatar's, the driver's turn to the left of it."""
        return self.mean_rotation.T @ self.avatar.rig.torso.mean_rotation

    def _on_own_rest(self, weights: Tensor) -> Tensor:
        """Weights [T,E] with the driver's resting face exchanged for the avatar person's.

        A shift at and below rest, which runs out towards weight 1: what the driver does fully the avatar does fully.
        """
        if self.options.neutral == "as-is":
            return weights
        more, room = self._exchange
        left = ((1 - weights) / room).clamp(0, 1).masked_fill(self._modes, 1.0)
        return (weights + more * left).clamp(*self.avatar.head.expression_limits)

    def _pose(self, rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation [T,3,3] of the avatar's head and place [T,3] of the point it turns about.

        That point is the neck's joint: it travels least when people nod and turn.
        """
        torso, mode = self.avatar.rig.torso, self.options.head
        place = self.reach.mean_place.expand(len(rotation), 3)
        if mode == "still":
            return torso.mean_rotation.expand(len(rotation), 3, 3), place
        if mode == "relative":
            rotation = rotation @ self._mean_turn
        if self.mean_place is None:
            return rotation, place
        return rotation, place + self.options.travel * (translation - self.mean_place)


@dataclass(frozen=True)
class Drive:
    """A motion retold for an avatar."""

    params: HeadParams  # T frames
    time: np.ndarray  # [T] float64 seconds
    report: DriveReport


def drive(avatar: Avatar, motion: Motion, options: DriveOptions | None = None) -> Drive:
    """Retell `motion` for `avatar`, frame for frame; frames without a face are bridged from those beside them.

    Raises:
        HeadsplatError: the motion has no frames or no face, or none of its expressions is of `options.motion_head`.
    """
    options = options or DriveOptions()
    if not len(motion):
        raise HeadsplatError("the motion has no frames; give another file")
    seen = torch.ones(len(motion), dtype=torch.bool) if motion.confidence is None else motion.confidence > 0
    if not seen.any():
        raise HeadsplatError("the motion shows no face in any frame (confidence 0 throughout); give another take")
    whole = filled(motion)
    known = whole[seen]
    driver = Driver.of(avatar, motion.names, motion.space, options)
    driver = driver.calibrated(known.weights, known.joint_rot, known.translation)
    wish = driver.wish(whole.weights, whole.joint_rot, whole.translation)
    meant = driver.reach.params(wish)
    params = driver.reach.params(driver.reach.within(wish)) if options.soft_clamp else meant
    return Drive(params, motion.time.numpy(), DriveReport.of(driver.carrier, driver.reach, whole, meant, params))


def render_track(
    avatar: Avatar,
    params: HeadParams,
    camera: Camera,
    background: Sequence[float] = WHITE,
    rasterizer: Rasterizer = "native",
) -> Iterator[np.ndarray]:
    """Pictures [H,W,3] uint8 of `avatar`, one for each frame of `params`, over `background` (0..1)."""
    animator = Animator(avatar, camera.width, camera.height, background)
    for frame in range(len(params)):
        if rasterizer == "native":
            yield animator.draw(params[frame], camera).cpu().numpy().copy()
            continue
        with torch.no_grad():
            yield to_uint8(render(avatar(params[frame]), camera, background, rasterizer).rgb[0]).cpu().numpy()
